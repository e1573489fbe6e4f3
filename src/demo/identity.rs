//! The certificate and the key of `demo --tls`, in files: the balancer reads them there, and curl the
//! certificate.

use super::directory::fresh_dir;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files in a directory that only this user can enter, removed with this value. A demo that is
/// killed leaves them.
#[derive(Debug)]
pub struct Identity {
    dir: PathBuf,
    /// In PEM.
    pub certificate: PathBuf,
    /// In PEM.
    pub key: PathBuf,
}

impl Identity {
    /// Writes both, which are in PEM.
    ///
    /// Errors: those of the system.
    pub fn write(certificate: &str, key: &str) -> io::Result<Identity> {
        let dir = fresh_dir()?;
        let (chain, secret) = (dir.join("localhost.pem"), dir.join("localhost-key.pem"));
        let identity = Identity { dir, certificate: chain, key: secret };
        write(&identity.certificate, certificate)?;
        write(&identity.key, key)?;
        Ok(identity)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
