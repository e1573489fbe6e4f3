//! The authorities that servers' certificates are verified by: those of this machine, and those in
//! a file.

use super::certificates::shown;
use crate::base::reason::reason;
use crate::net::files::read_regular;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where systems keep the authorities that all programs trust: Debian, Fedora, openSUSE, and the
/// BSDs, Alpine and macOS.
const PLACES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Largest file of authorities, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Most files of a folder of authorities that are read.
const FOLDER_FILES_MAX: usize = 4_096;

/// Where the authorities for all programs of this machine are, if the environment says so.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// A PEM file (`SSL_CERT_FILE`).
    pub file: Option<OsString>,
    /// Folders of PEM files, with `:` between them (`SSL_CERT_DIR`); not looked at where there is
    /// such a file.
    pub folders: Option<OsString>,
}

impl Places {
    /// As the environment says.
    pub fn of_environment() -> Places {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Places { file: set("SSL_CERT_FILE"), folders: set("SSL_CERT_DIR") }
    }

    /// The file or the folders that are read.
    pub fn paths(&self) -> Vec<PathBuf> {
        match (&self.file, &self.folders) {
            (Some(file), _) => vec![PathBuf::from(file)],
            (None, Some(folders)) => std::env::split_paths(folders).collect(),
            (None, None) => usual().into_iter().collect(),
        }
    }
}

/// Authorities that were read.
#[derive(Clone, Debug)]
pub struct Roots {
    pub store: RootCertStore,
    /// The certificates that the operator has named, not those of this machine.
    pub named: Vec<CertificateDer<'static>>,
}

impl PartialEq for Roots {
    fn eq(&self, other: &Roots) -> bool {
        (&self.store.roots, &self.named) == (&other.store.roots, &other.named)
    }
}

impl Roots {
    fn empty() -> Roots {
        Roots { store: RootCertStore::empty(), named: Vec::new() }
    }

    /// Adds those that can be read: what cannot be of a long list does not keep the others from
    /// being used.
    fn add_readable(&mut self, pem: &[u8]) {
        let readable: Vec<_> = CertificateDer::pem_slice_iter(pem).flatten().collect();
        self.store.add_parsable_certificates(readable.iter().cloned());
        self.named.extend(readable);
    }
}

/// The authorities at these places, or else those of this machine.
///
/// Errors: one sentence about the file that cannot be used.
pub fn of_system(places: &Places) -> Result<Roots, String> {
    let hint = "name a PEM file in SSL_CERT_FILE";
    let mut roots = Roots::empty();
    let place = match (&places.file, &places.folders) {
        (Some(file), _) => {
            let file = PathBuf::from(file);
            roots.add_readable(&read(&file, hint)?);
            file
        }
        (None, Some(folders)) => {
            for folder in std::env::split_paths(folders) {
                add_folder(&mut roots, &folder, hint)?;
            }
            PathBuf::from(folders)
        }
        (None, None) => {
            let file = usual().ok_or_else(|| {
                format!(
                    "this machine has no list of authorities; install ca-certificates, or {hint}"
                )
            })?;
            roots.add_readable(&read(&file, hint)?);
            roots.named = Vec::new();
            file
        }
    };
    match roots.store.is_empty() {
        true => Err(format!("there is no certificate in {}; {hint}", shown(&place))),
        false => Ok(roots),
    }
}

/// Where this machine keeps them, if it does.
fn usual() -> Option<PathBuf> {
    PLACES.into_iter().map(PathBuf::from).find(|place| place.is_file())
}

fn add_folder(roots: &mut Roots, folder: &Path, hint: &str) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        let why = reason(&error);
        format!("cannot read the authorities in {}: {why}; {hint}", shown(folder))
    })?;
    for entry in entries.flatten().take(FOLDER_FILES_MAX) {
        if let Ok(bytes) = read_regular(&entry.path(), FILE_BYTES_MAX) {
            roots.add_readable(&bytes);
        }
    }
    Ok(())
}

/// Those in this file, every one of which has to be usable.
///
/// Errors: one sentence about it.
pub fn of_file(path: &Path) -> Result<Roots, String> {
    let hint = "name a PEM file with the certificates of authorities";
    let mut roots = Roots::empty();
    for authority in CertificateDer::pem_slice_iter(&read(path, hint)?) {
        let cannot = |why: String| format!("the authorities {} {why}; {hint}", shown(path));
        let authority = authority.map_err(|error| cannot(format!("are damaged: {error}")))?;
        let added = roots.store.add(authority.clone());
        added.map_err(|error| cannot(format!("cannot be used: {error}")))?;
        roots.named.push(authority);
    }
    match roots.store.is_empty() {
        true => Err(format!("there is no certificate in {}; {hint}", shown(path))),
        false => Ok(roots),
    }
}

fn read(path: &Path, hint: &str) -> Result<Vec<u8>, String> {
    read_regular(path, FILE_BYTES_MAX).map_err(|error| {
        format!("cannot read the authorities {}: {}; {hint}", shown(path), reason(&error))
    })
}
