//! The files of `--acme-webroot`: looked at once at the start, then read for each request, on a thread,
//! as a directory on the network may block.

use super::failure::Failure;
use crate::base::reason::reason;
use crate::config::{Config, quote};
use crate::net::background::Task;
use crate::net::files::read_plain;
use crate::net::kernel::Kernel;
use crate::proxy::{CHALLENGE_FOLDER, ChallengeFile, Proxy, WantedChallenge};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Largest file, in bytes: a token, a dot and the hash of a key (RFC 8555 §8.1) have some 90.
const FILE_BYTES_MAX: u64 = 1024;

/// What the thread brings back: why a file could not be used, in words.
type Reading = Result<ChallengeFile, String>;

/// The files that clients wait for.
#[derive(Debug)]
pub struct ChallengeFiles {
    /// None without `--acme-webroot`.
    folder: Option<PathBuf>,
    /// One at a time, for those that were wanted first when it began.
    task: Option<(Vec<WantedChallenge>, Task<Vec<Reading>>)>,
    /// What was logged last, so that it is logged once.
    reported: Option<String>,
}

impl ChallengeFiles {
    /// Those of a configuration.
    pub fn new(config: &Config) -> ChallengeFiles {
        let folder = config.acme_webroot.as_ref().map(|directory| directory.join(CHALLENGE_FOLDER));
        ChallengeFiles { folder, task: None, reported: None }
    }

    /// Answers those who wait for what was read, and has read what is wanted.
    pub fn advance(&mut self, proxy: &mut Proxy<Kernel>) {
        if let Some((wanted, task)) = self.task.take() {
            match task.poll() {
                Err(task) => {
                    self.task = Some((wanted, task));
                    return;
                }
                Ok(readings) => self.answer(&wanted, readings.unwrap_or_default(), proxy),
            }
        }
        while self.task.is_none() && self.folder.is_some() {
            let wanted = proxy.take_challenges();
            if wanted.is_empty() {
                return;
            }
            self.read(wanted, proxy);
        }
    }

    /// Has these read, or answers at once if that cannot be.
    fn read(&mut self, wanted: Vec<WantedChallenge>, proxy: &mut Proxy<Kernel>) {
        let Some(folder) = self.folder.clone() else { return };
        let tokens = wanted.clone();
        let read = move || tokens.iter().map(|it| self::read(&folder, &it.token)).collect();
        match Task::start(proxy.net_mut().waker(), read) {
            Ok(task) => self.task = Some((wanted, task)),
            Err(error) => {
                let text = format!("cannot read challenges now: {}", reason(&error));
                self.answer(&wanted, vec![Err(text); wanted.len()], proxy);
            }
        }
    }

    fn answer(
        &mut self,
        wanted: &[WantedChallenge],
        readings: Vec<Reading>,
        proxy: &mut Proxy<Kernel>,
    ) {
        let mut readings = readings.into_iter();
        for wanted in wanted {
            // None if the thread has panicked.
            let file = match readings.next() {
                Some(Ok(file)) => file,
                Some(Err(text)) => {
                    self.report(text, proxy);
                    ChallengeFile::Unreadable
                }
                None => ChallengeFile::Unreadable,
            };
            proxy.answer_challenge(wanted, &file);
        }
    }

    fn report(&mut self, text: String, proxy: &mut Proxy<Kernel>) {
        if self.reported.as_ref() != Some(&text) {
            proxy.log_event(format_args!("{text}"));
            self.reported = Some(text);
        }
    }
}

fn read(folder: &Path, token: &str) -> Reading {
    match read_plain(&folder.join(token), FILE_BYTES_MAX) {
        Ok(content) => Ok(ChallengeFile::Read(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(ChallengeFile::Missing),
        Err(error) => {
            let token = quote(token);
            Err(format!("cannot use the challenge {token} of --acme-webroot: {}", reason(&error)))
        }
    }
}

/// Looks whether the directory of `--acme-webroot` can be used, once this program runs as the user
/// that it stays.
///
/// Errors: it cannot.
pub fn check_webroot(config: &Config) -> Result<(), Failure> {
    let Some(directory) = &config.acme_webroot else { return Ok(()) };
    let name = quote(&directory.display().to_string());
    let unfit = |error: io::Error| {
        let hint = match (error.kind(), &config.user) {
            (ErrorKind::NotFound, _) => {
                "create it, or name the directory of certbot's -w".to_owned()
            }
            (ErrorKind::PermissionDenied, Some(user)) => {
                format!("let {user}, the user of --user, enter it and those above it (chmod o+x)")
            }
            _ => "name a directory that can be read".to_owned(),
        };
        Failure(format!("cannot use the --acme-webroot {name}: {}; {hint}", reason(&error)))
    };
    let metadata = directory.metadata().map_err(unfit)?;
    if !metadata.is_dir() {
        return Err(unfit(ErrorKind::NotADirectory.into()));
    }
    // certbot makes what is below it, and removes it again.
    match directory.join(CHALLENGE_FOLDER).join("x").symlink_metadata() {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unfit(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}
