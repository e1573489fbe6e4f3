//! Where a certificate for clients is (`--cert`, `--key`).

use std::path::PathBuf;

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// The certificate, then those of its authorities, in PEM.
    pub chain: PathBuf,
    /// Its key in PEM; none: it is in the same file.
    pub key: Option<PathBuf>,
}
