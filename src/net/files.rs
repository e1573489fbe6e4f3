//! Reading files in bounds, and noticing that one has changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file that was written to more recently than this is perhaps still being written. Much longer
/// than the steps of a file system's clock, so that a settled file gets another time when it is
/// written to again.
pub const SETTLING: Duration = Duration::from_millis(100);

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
        self.has_stood(SETTLING)
    }

    /// It was not written to for so long.
    pub fn has_stood(&self, time: Duration) -> bool {
        self.had_stood(time, SystemTime::now())
    }

    fn had_stood(&self, time: Duration, now: SystemTime) -> bool {
        // A time ahead of the clock says nothing; such a file is read as it is.
        now.duration_since(self.written).map_or(true, |age| age >= time)
    }

    /// That of a file of so many bytes that was written to so long ago.
    #[cfg(test)]
    pub fn given(bytes: u64, age: Duration) -> Stamp {
        Stamp { bytes, written: SystemTime::now() - age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_settled_when_it_was_not_written_to_for_a_while() {
        let stamp = Stamp { bytes: 1, written: SystemTime::UNIX_EPOCH + SETTLING };
        let moment = Duration::from_nanos(1);
        for (name, now, expected) in [
            ("just written", stamp.written, false),
            ("one moment too early", stamp.written + SETTLING - moment, false),
            ("old enough", stamp.written + SETTLING, true),
            ("from the future", stamp.written - moment, true),
        ] {
            assert_eq!(stamp.had_stood(SETTLING, now), expected, "{name}");
        }
    }
}
