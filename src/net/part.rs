//! A file that appears under its name only once it is whole: an upload or a download in progress.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes of the final name that the temporary name repeats: with what is added it stays within the
/// 255 bytes a name may have.
const STEM_BYTES_MAX: usize = 200;

/// Temporary names tried before giving up; each is in use by another writer of this process.
const TRIES_MAX: u32 = 10_000;

/// A file being written under a temporary name; removed when dropped before [`Part::keep`].
#[derive(Debug)]
pub struct Part {
    file: File,
    /// None once the file has its final name.
    path: Option<PathBuf>,
}

impl Part {
    /// Makes `.NAME.part-PID` beside `target`.
    pub fn beside(target: &Path) -> io::Result<Part> {
        let name = target.file_name().unwrap_or_default().as_bytes();
        let mut stem = OsString::from(".");
        stem.push(OsStr::from_bytes(&name[..name.len().min(STEM_BYTES_MAX)]));
        stem.push(format!(".part-{}", std::process::id()));
        for number in 0..TRIES_MAX {
            let mut name = stem.clone();
            if number > 0 {
                name.push(format!("-{number}"));
            }
            let path = target.with_file_name(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Part { file, path: Some(path) }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(ErrorKind::AlreadyExists))
    }

    /// Renames it to `target`, replacing the file there.
    pub fn keep(mut self, target: &Path) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        fs::rename(path, target)?;
        // Another writer may use that name from now on: `drop` must not remove it.
        self.path = None;
        Ok(())
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It fails when the file is gone already.
            let _ = fs::remove_file(path);
        }
    }
}
