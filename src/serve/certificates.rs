//! The certificates for clients: read at the start, and again when their files change or SIGHUP
//! asks for it. What cannot be used changes nothing.

use super::authorities::carries;
use super::failure::{Failure, say};
use super::watched::{Outcome, Source, Watched, stamped};
use crate::config::{CertificateFile, Config};
use crate::net::kernel::Kernel;
use crate::net::tls::{Acceptor, Certificates, ReadCertificates};
use crate::proxy::Proxy;
use std::path::PathBuf;

/// Reads the certificates, if there are any; what will trouble clients is reported.
///
/// Errors: a file cannot be used, in one sentence.
pub fn read_certificates(config: &Config) -> Result<Option<Acceptor>, Failure> {
    if config.certificates.is_empty() {
        return Ok(None);
    }
    let read =
        Certificates::read(&config.certificates, config.client_ca.as_deref()).map_err(Failure)?;
    for warning in &read.warnings {
        say(config.events, format_args!("{warning}"));
    }
    Acceptor::new(read.certificates, carries(config.mode)).map(Some).map_err(Failure)
}

/// The files of the certificates that are in use.
pub type CertificateFiles = Watched<Certified>;

/// What names them.
#[derive(Debug)]
pub struct Certified {
    files: Vec<CertificateFile>,
    client_ca: Option<PathBuf>,
}

impl CertificateFiles {
    /// Those of a configuration, which are about to be read.
    pub fn of(config: &Config) -> CertificateFiles {
        let (files, client_ca) = (config.certificates.clone(), config.client_ca.clone());
        let paths = files
            .iter()
            .flat_map(|file| std::iter::once(&file.chain).chain(&file.key))
            .chain(&client_ca)
            .cloned();
        let stamped = stamped(paths);
        Watched::new(Certified { files, client_ca }, stamped)
    }
}

impl Source for Certified {
    const NAME: &'static str = "certificates";
    type Content = ReadCertificates;

    fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn reader(&self) -> impl FnOnce() -> Result<ReadCertificates, String> + Send + 'static {
        let (files, client_ca) = (self.files.clone(), self.client_ca.clone());
        move || Certificates::read(&files, client_ca.as_deref())
    }

    fn apply(read: ReadCertificates, proxy: &mut Proxy<Kernel>) -> Outcome {
        let acceptor = proxy.net_mut().acceptor_mut();
        let acceptor = acceptor.expect("there are certificates, so there is an acceptor");
        acceptor.replace(read.certificates)?;
        read.warnings.iter().for_each(|line| proxy.log_event(format_args!("{line}")));
        Ok("the certificates were read again".to_owned())
    }
}
