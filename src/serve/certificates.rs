//! The certificates for clients: read at the start, and again when their files change or SIGHUP
//! asks for it. What cannot be used changes nothing.

use super::authorities::carries;
use super::failure::{Failure, say};
use super::watched::{Outcome, Watched, stamped};
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
#[derive(Debug)]
pub struct CertificateFiles {
    files: Vec<CertificateFile>,
    client_ca: Option<PathBuf>,
    watched: Watched<ReadCertificates>,
}

impl CertificateFiles {
    /// Those of a configuration, which are about to be read.
    pub fn new(config: &Config) -> CertificateFiles {
        let files = config.certificates.clone();
        let paths = files
            .iter()
            .flat_map(|file| std::iter::once(&file.chain).chain(&file.key))
            .chain(&config.client_ca)
            .cloned();
        let watched = Watched::new("certificates", stamped(paths));
        CertificateFiles { files, client_ca: config.client_ca.clone(), watched }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// SIGHUP: they are read, and the outcome is reported.
    pub fn reload(&mut self, proxy: &mut Proxy<Kernel>) {
        if !self.files.is_empty() {
            self.watched.request();
            self.look(proxy);
        }
    }

    /// SIGHUP was not carried out yet.
    pub fn is_reloading(&self) -> bool {
        self.watched.is_reloading()
    }

    /// What the last reload has come to; none without certificates.
    pub fn outcome(&self) -> Option<&Outcome> {
        (!self.files.is_empty()).then_some(self.watched.outcome())
    }

    /// Has them read if one has changed.
    pub fn look(&mut self, proxy: &mut Proxy<Kernel>) {
        if !self.files.is_empty() {
            let (files, client_ca) = (self.files.clone(), self.client_ca.clone());
            self.watched.look(proxy, move || Certificates::read(&files, client_ca.as_deref()));
        }
    }

    /// Puts to use what was read since the last turn.
    #[inline]
    pub fn advance(&mut self, proxy: &mut Proxy<Kernel>) {
        if self.watched.advance(proxy, apply) {
            self.look(proxy);
        }
    }
}

fn apply(read: ReadCertificates, proxy: &mut Proxy<Kernel>) -> Outcome {
    let acceptor = proxy.net_mut().acceptor_mut();
    let acceptor = acceptor.expect("there are certificates, so there is an acceptor");
    acceptor.replace(read.certificates)?;
    read.warnings.iter().for_each(|line| proxy.log_event(format_args!("{line}")));
    Ok("the certificates were read again".to_owned())
}
