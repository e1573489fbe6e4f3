//! Files and directories below the served one, opened so that no link leads outside.

use super::path::SitePath;
use crate::http::head::Refusal;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// An opened regular file.
#[derive(Debug)]
pub struct Opened {
    pub file: File,
    /// Its size when it was opened.
    pub bytes: u64,
    /// Last change in seconds since 1970.
    pub modified: u64,
}

/// What a path names.
#[derive(Debug)]
pub enum Found {
    File(Opened),
    /// A directory, links resolved.
    Directory(PathBuf),
}

/// Finds what `path` names below `root`, which is absolute and without links.
///
/// Errors: 404 when there is nothing, 403 when it is outside, not readable or no regular file.
pub fn find(root: &Path, path: &SitePath) -> Result<Found, Refusal> {
    let real = inside(root, &path.under(root))?;
    if fs::metadata(&real).map_err(|error| refusal(&error))?.is_dir() {
        return Ok(Found::Directory(real));
    }
    if path.is_directory {
        return Err(MISSING);
    }
    open(&real).map(Found::File)
}

/// `path` with all links resolved; refused when that leads out of `root`.
pub fn inside(root: &Path, path: &Path) -> Result<PathBuf, Refusal> {
    let real = path.canonicalize().map_err(|error| refusal(&error))?;
    if real.starts_with(root) {
        return Ok(real);
    }
    Err(Refusal { status: 403, reason: "a link leads out of what is served here" })
}

/// Opens a regular file whose path has no links in it.
pub fn open(real: &Path) -> Result<Opened, Refusal> {
    // Without O_NONBLOCK opening a pipe would wait for its writer; with O_NOFOLLOW a link put there
    // since the path was resolved is not followed.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(real);
    let file = opened.map_err(|error| refusal(&error))?;
    let meta = file.metadata().map_err(|error| refusal(&error))?;
    if !meta.is_file() {
        return Err(Refusal { status: 403, reason: "this is not a regular file" });
    }
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |since| since.as_secs());
    Ok(Opened { file, bytes: meta.len(), modified })
}

const MISSING: Refusal = Refusal { status: 404, reason: "there is no such file here" };

/// What a client is told when the system refuses a file.
pub fn refusal(error: &io::Error) -> Refusal {
    if error.raw_os_error() == Some(libc::ELOOP) {
        return Refusal { status: 403, reason: "the path is a circle of links" };
    }
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => MISSING,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Refusal { status: 403, reason: "the server has no right to that file" }
        }
        ErrorKind::IsADirectory => Refusal { status: 403, reason: "this is a directory" },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Refusal { status: 507, reason: "the server has no room left" }
        }
        _ => Refusal { status: 500, reason: "the server could not use that file" },
    }
}
