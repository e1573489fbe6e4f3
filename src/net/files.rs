//! Reading files in bounds, and noticing that one has changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file that was written to more recently than this is perhaps still being written.
const SETTLING: Duration = Duration::from_millis(100);

/// The first `bytes_max` bytes of a file.
///
/// Errors: it cannot be opened or read.
pub fn read_at_most(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    bytes: u64,
    written: SystemTime,
}

impl Stamp {
    /// The file as it is now; none when it cannot be looked at.
    pub fn of(file: &Path) -> Option<Stamp> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Stamp { bytes: metadata.len(), written: metadata.modified().ok()? })
    }

    /// Nobody is writing to it, by all appearance.
    pub fn is_settled(&self) -> bool {
        // A time ahead of the clock says nothing; such a file is read as it is.
        self.written.elapsed().map_or(true, |age| age >= SETTLING)
    }
}
