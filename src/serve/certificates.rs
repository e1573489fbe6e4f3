//! The certificates for clients: read at the start, and again when their files change or SIGHUP
//! asks for it. What cannot be used changes nothing.

use super::authorities::carries;
use super::backends::Outcome;
use super::failure::{Failure, say};
use crate::base::reason::reason;
use crate::config::{CertificateFile, Config};
use crate::net::background::Task;
use crate::net::files::Stamp;
use crate::net::kernel::Kernel;
use crate::net::tls::{Acceptor, Certificates, ReadCertificates};
use crate::proxy::Proxy;
use std::path::{Path, PathBuf};

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

/// A reading of all files, with what they were like before it.
#[derive(Debug)]
struct Reading {
    outcome: Result<ReadCertificates, String>,
    /// Right after it.
    stamps: Vec<Option<Stamp>>,
}

/// The files of the certificates that are in use.
#[derive(Debug)]
pub struct CertificateFiles {
    files: Vec<CertificateFile>,
    client_ca: Option<PathBuf>,
    paths: Vec<PathBuf>,
    /// As they were when they were read last.
    seen: Vec<Option<Stamp>>,
    /// To be read whatever `seen` says.
    is_requested: bool,
    reading: Option<Task<Reading>>,
    /// SIGHUP came, and no reading since has ended.
    is_asked: bool,
    /// What came of the last reload, for the one who asked for it.
    outcome: Outcome,
    /// Why the last reading was not used, so that it is reported once.
    reported: Option<String>,
}

impl CertificateFiles {
    /// Those of a configuration, which are about to be read.
    pub fn new(config: &Config) -> CertificateFiles {
        let files = config.certificates.clone();
        let paths: Vec<PathBuf> = files
            .iter()
            .flat_map(|file| std::iter::once(&file.chain).chain(&file.key))
            .chain(&config.client_ca)
            .cloned()
            .collect();
        CertificateFiles {
            seen: stamps(&paths),
            files,
            client_ca: config.client_ca.clone(),
            paths,
            is_requested: false,
            reading: None,
            is_asked: false,
            outcome: Ok(String::new()),
            reported: None,
        }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// SIGHUP: they are read, and the outcome is reported.
    pub fn reload(&mut self, proxy: &mut Proxy<Kernel>) {
        if self.files.is_empty() {
            return;
        }
        (self.is_requested, self.is_asked, self.reported) = (true, true, None);
        self.look(proxy);
    }

    /// SIGHUP was not carried out yet.
    pub fn is_reloading(&self) -> bool {
        self.is_asked
    }

    /// What the last reload has come to; none without certificates.
    pub fn outcome(&self) -> Option<&Outcome> {
        (!self.files.is_empty()).then_some(&self.outcome)
    }

    /// Has them read if one has changed.
    pub fn look(&mut self, proxy: &mut Proxy<Kernel>) {
        if self.files.is_empty() || self.reading.is_some() {
            return;
        }
        let stamps = stamps(&self.paths);
        if !self.is_requested && stamps == self.seen {
            return;
        }
        if stamps.iter().flatten().any(|stamp| !stamp.is_settled()) {
            // One may still be being written.
            return proxy.look_at_list_soon();
        }
        let (files, paths) = (self.files.clone(), self.paths.clone());
        let client_ca = self.client_ca.clone();
        let read = move || Reading {
            outcome: Certificates::read(&files, client_ca.as_deref()),
            stamps: self::stamps(&paths),
        };
        match Task::start(proxy.net_mut().waker(), read) {
            Ok(task) => {
                (self.reading, self.seen, self.is_requested) = (Some(task), stamps, false);
            }
            Err(error) => {
                let line = format!("cannot read the certificates now: {}", reason(&error));
                proxy.log_event(format_args!("{line}"));
                (self.is_asked, self.outcome) = (false, Err(line));
            }
        }
    }

    /// Puts to use what was read since the last turn.
    pub fn advance(&mut self, proxy: &mut Proxy<Kernel>) {
        let Some(task) = self.reading.take() else { return };
        let reading = match task.poll() {
            Ok(reading) => reading,
            Err(task) => {
                self.reading = Some(task);
                return;
            }
        };
        match reading {
            Some(reading) if reading.stamps != self.seen => {
                // One has changed meanwhile.
                self.is_requested = true;
                proxy.look_at_list_soon();
            }
            Some(reading) => self.apply(reading.outcome, proxy),
            None => self.apply(Err("reading the certificates was interrupted".to_owned()), proxy),
        }
        if self.is_asked && self.is_requested {
            // It was asked for again meanwhile: the next reading answers.
            self.look(proxy);
        }
    }

    fn apply(&mut self, read: Result<ReadCertificates, String>, proxy: &mut Proxy<Kernel>) {
        let outcome = read.and_then(|read| {
            let acceptor = proxy.net_mut().acceptor_mut();
            let acceptor = acceptor.expect("there are certificates, so there is an acceptor");
            acceptor.replace(read.certificates).map(|()| read.warnings)
        });
        self.is_asked &= self.is_requested;
        self.outcome = match outcome {
            Ok(warnings) => {
                self.reported = None;
                warnings.iter().for_each(|line| proxy.log_event(format_args!("{line}")));
                let line = "the certificates were read again";
                proxy.log_event(format_args!("{line}"));
                Ok(line.to_owned())
            }
            Err(why) => {
                let line = format!("{why}; still using the previous certificates");
                if self.reported.as_ref() != Some(&why) {
                    proxy.log_event(format_args!("{line}"));
                    self.reported = Some(why);
                }
                Err(line)
            }
        };
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path: &PathBuf| Stamp::of(Path::new(path))).collect()
}
