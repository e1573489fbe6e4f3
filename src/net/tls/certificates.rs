//! The certificates that clients are shown: read from their files, checked, and chosen by the name
//! that a client asks for.

use super::provider;
use super::x509::{Certificate, Name};
use crate::base::reason::reason;
use crate::config::{CertificateFile, quote};
use crate::net::files::read_regular;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest file of certificates or keys, in bytes: a list of all public authorities has 220 KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Before a certificate ends by this, the start warns.
const EXPIRY_WARNING_SECONDS: i64 = 7 * 86_400;

/// A certificate, its key, and what it is for.
#[derive(Debug)]
struct Entry {
    certified: Arc<CertifiedKey>,
    names: Vec<Name>,
}

/// What clients are shown, and by what they are let in.
#[derive(Debug)]
pub struct Certificates {
    /// The first is for those that ask for no name, or for one that none is for.
    entries: Vec<Entry>,
    /// Places in `entries` by name, in lower case.
    by_name: HashMap<String, usize>,
    /// The same by what follows `*.`.
    by_parent: HashMap<String, usize>,
    /// The name in the hello that was looked at last, if there was one in it. The library does not
    /// say it otherwise; the session takes it as soon as the library returns.
    asked: Mutex<Option<Asked>>,
    /// The authorities of clients' certificates; none: clients need none.
    pub client_authorities: Option<Arc<RootCertStore>>,
}

/// What a hello asks for, and what it gets.
#[derive(Debug)]
pub struct Asked {
    /// None if it asks for no name.
    pub name: Option<Box<str>>,
    /// The certificate that its client is shown.
    pub place: Place,
}

/// The place of a certificate among those that were read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(usize);

/// Certificates that were read, and what is to be said about them.
#[derive(Debug)]
pub struct ReadCertificates {
    pub certificates: Certificates,
    /// A sentence each: what will trouble clients.
    pub warnings: Vec<String>,
}

impl Certificates {
    /// Reads them from their files, and the authorities of clients from `client_ca`.
    ///
    /// Errors: one sentence about the first file that cannot be used.
    pub fn read(
        files: &[CertificateFile],
        client_ca: Option<&Path>,
    ) -> Result<ReadCertificates, String> {
        let (mut entries, mut warnings) = (Vec::new(), Vec::new());
        for file in files {
            let (entry, warning) = read_entry(file)?;
            warnings.extend(warning);
            entries.push(entry);
        }
        let (mut by_name, mut by_parent) = (HashMap::new(), HashMap::new());
        for (place, entry) in entries.iter().enumerate() {
            for name in &entry.names {
                // Of several for the same name the first counts.
                match name {
                    Name::Dns(name) => by_name.entry(name.clone()).or_insert(place),
                    Name::Wildcard(parent) => by_parent.entry(parent.clone()).or_insert(place),
                    // Clients do not ask for an address by name (RFC 6066 §3).
                    Name::Ip(_) => continue,
                };
            }
        }
        let client_authorities = client_ca.map(read_authorities).transpose()?.map(Arc::new);
        let asked = Mutex::default();
        let certificates = Certificates { entries, by_name, by_parent, asked, client_authorities };
        Ok(ReadCertificates { certificates, warnings })
    }

    /// The place of the one for this name.
    fn find(&self, name: &str) -> Option<usize> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let by_parent = || self.by_parent.get(name.split_once('.')?.1);
        self.by_name.get(&name).or_else(by_parent).copied()
    }

    fn chosen(&self, asked: Option<&str>) -> Place {
        Place(asked.and_then(|name| self.find(name)).unwrap_or(0))
    }

    fn entry(&self, place: Place) -> &Entry {
        self.entries.get(place.0).expect("there is at least one, and names lead to those there are")
    }

    /// Whether the certificate at `place` is for `host`. A client that has `asked` for no name and
    /// names an address is let through: health checks know no better.
    pub fn covers(&self, place: Place, asked: Option<&str>, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let address = host.trim_start_matches('[').trim_end_matches(']');
        if asked.is_none() && address.parse::<IpAddr>().is_ok() {
            return true;
        }
        self.entry(place).names.iter().any(|name| name.covers(address))
    }

    /// What the hello that was looked at last asks for; none if no hello was since the last call.
    pub fn take_asked(&self) -> Option<Asked> {
        self.last_asked().take()
    }

    fn last_asked(&self) -> MutexGuard<'_, Option<Asked>> {
        // No code that holds the lock can panic.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every name, for the line at the start.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.iter().flat_map(|entry| &entry.names)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (name, place) = (hello.server_name(), self.chosen(hello.server_name()));
        *self.last_asked() = Some(Asked { name: name.map(Box::from), place });
        Some(Arc::clone(&self.entry(place).certified))
    }
}

pub fn shown(path: &Path) -> String {
    quote(&path.display().to_string())
}

fn read_file(path: &Path, what: &str, hint: &str) -> Result<Vec<u8>, String> {
    let cannot = |why: &str| format!("cannot read the {what} {}: {why}; {hint}", shown(path));
    let bytes = read_regular(path, FILE_BYTES_MAX + 1).map_err(|error| cannot(&reason(&error)))?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(cannot("it is larger than 4 MiB")),
        false => Ok(bytes),
    }
}

fn read_entry(file: &CertificateFile) -> Result<(Entry, Option<String>), String> {
    let bytes = read_file(
        &file.chain,
        "certificate",
        "name a PEM file with the certificate first, then those of its authorities",
    )?;
    let name = shown(&file.chain);
    let chain = read_chain(&bytes).map_err(|why| format!("the certificate {name} {why}"))?;
    let key = match &file.key {
        Some(path) => {
            let bytes = read_file(path, "key", "name the PEM file of the certificate's key")?;
            read_key(&bytes, path, "name the PEM file of the certificate's key")
        }
        None => read_key(&bytes, &file.chain, "add --key FILE after its --cert"),
    }?;
    let leaf = chain.first().and_then(|leaf| Certificate::read(leaf)).ok_or_else(|| {
        format!("the certificate {name} is damaged: its content is no X.509; get it again")
    })?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        let key = file
            .key
            .as_ref()
            .map_or("the key in it".to_owned(), |key| format!("the key {}", shown(key)));
        match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "{key} does not belong to the certificate {name}; give each --cert its own --key"
            ),
            error => format!(
                "{key} cannot be used ({error}); make one with `openssl genpkey -algorithm EC \
                 -pkeyopt ec_paramgen_curve:P-256`"
            ),
        }
    })?;
    if leaf.names.is_empty() {
        return Err(format!(
            "the certificate {name} is for no name: it has no subjectAltName; get one for the name \
             that clients use"
        ));
    }
    let warning =
        validity_warning(&leaf, unix_seconds()).map(|why| format!("the certificate {name} {why}"));
    Ok((Entry { certified: Arc::new(certified), names: leaf.names }, warning))
}

/// What clients will have against the time for which it is valid.
fn validity_warning(leaf: &Certificate, now: i64) -> Option<String> {
    let days = |seconds: i64| match seconds / 86_400 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    if now > leaf.not_after {
        let ago = days(now - leaf.not_after);
        Some(format!("has expired {ago} ago, and clients will refuse it; renew it"))
    } else if now < leaf.not_before {
        let left = days(leaf.not_before - now);
        Some(format!("is not valid for another {left}; check this machine's clock"))
    } else if leaf.not_after - now < EXPIRY_WARNING_SECONDS {
        Some(format!("expires in {}; renew it", days(leaf.not_after - now)))
    } else {
        None
    }
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn read_chain(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(bytes).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err("has no `-----BEGIN CERTIFICATE-----`; name a PEM file with one".to_owned())
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("is damaged: {error}; get it again")),
    }
}

fn read_key(bytes: &[u8], path: &Path, hint: &str) -> Result<PrivateKeyDer<'static>, String> {
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let name = shown(path);
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "the key in {name} is encrypted; write it without a password: `openssl pkey -in FILE \
             -out NEW`"
        ));
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => format!("there is no private key in {name}; {hint}"),
        error => format!("the key in {name} is damaged: {error}; get it again"),
    })
}

fn read_authorities(path: &Path) -> Result<RootCertStore, String> {
    let hint = "name a PEM file with the certificates of authorities";
    let bytes = read_file(path, "client authorities", hint)?;
    let name = shown(path);
    let chain = read_chain(&bytes).map_err(|why| format!("the client authorities {name} {why}"))?;
    let mut store = RootCertStore::empty();
    for authority in chain {
        store.add(authority).map_err(|error| {
            format!("the client authorities {name} cannot be used: {error}; {hint}")
        })?;
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_now_is_warned_of() {
        let leaf =
            Certificate { not_before: 10 * 86_400, not_after: 100 * 86_400, names: Vec::new() };
        for (day, expected) in [
            (0, Some("is not valid for another 10 days")),
            (10, None),
            (50, None),
            (94, Some("expires in 6 days")),
            (99, Some("expires in 1 day")),
            (100, Some("expires in less than a day")),
            (102, Some("has expired 2 days ago")),
        ] {
            let found = validity_warning(&leaf, day * 86_400);
            let matches = match (&found, expected) {
                (Some(found), Some(expected)) => found.starts_with(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(matches, "day {day}: {found:?}");
        }
    }
}
