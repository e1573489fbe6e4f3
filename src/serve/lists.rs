//! The backends as the command line and the list file name them, and whom those in TLS are verified
//! by.

use super::authorities;
use super::failure::{Failure, say};
use super::list_file::ListFile;
use crate::config::list::Listed;
use crate::config::{BackendSpec, Config};
use crate::net::tls::Authorities;
use std::path::Path;

/// What the command line and the list file name, not resolved yet.
#[derive(Debug)]
pub struct Lists {
    pub given: Vec<BackendSpec>,
    pub file: Option<ListFile>,
    pub listed: Vec<Listed>,
    /// Lines of the file that were reported and skipped.
    pub skipped: usize,
}

impl Lists {
    /// Every backend, those of the command line first.
    pub fn specs(&self) -> impl Iterator<Item = &BackendSpec> {
        self.given.iter().chain(self.listed.iter().map(|listed| &listed.spec))
    }

    /// The backends of the list file, each with its line.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &BackendSpec)> {
        self.listed.iter().map(|listed| (listed.line, &listed.spec))
    }
}

/// Reads the list file, if there is one. Bad lines are reported and skipped.
///
/// Errors: it cannot be read.
pub fn read_lists(config: &Config) -> Result<Lists, Failure> {
    let given = config.backends.clone();
    let Some(path) = &config.list_file else {
        return Ok(Lists { given, file: None, listed: Vec::new(), skipped: 0 });
    };
    let (file, listed, warnings) = ListFile::open(path, &given, config.mode).map_err(Failure)?;
    for warning in &warnings {
        say(config.events, format_args!("{warning}"));
    }
    Ok(Lists { given, file: Some(file), listed, skipped: warnings.len() })
}

/// Reads whom servers in TLS are verified by; none where there is no such server. Lines of the list
/// whose server cannot be verified are reported and skipped.
///
/// Errors: a server of the command line cannot be verified.
pub fn read_authorities(
    lists: &mut Lists,
    config: &Config,
) -> Result<Option<Authorities>, Failure> {
    let path = lists.file.as_ref().map_or(Path::new(""), |file| file.path());
    let before = lists.listed.len();
    let read = authorities::read(&lists.given, path, &mut lists.listed, config)?;
    lists.skipped += before - lists.listed.len();
    Ok(read)
}
