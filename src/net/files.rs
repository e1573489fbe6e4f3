//! Reads files up to a limit, and detects that one has changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file that was modified more recently than this may still be being written. Much longer than
/// the resolution of a file system's clock, so that the next write changes the modification time.
pub const SETTLE_TIME: Duration = Duration::from_millis(100);

/// Up to `bytes_max` bytes from the start of a file.
///
/// Errors: it cannot be opened or read.
pub fn read_at_most(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Metadata that differs between two versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    bytes: u64,
    modified: SystemTime,
}

impl Stamp {
    /// Of the file as it is now; none if it does not exist or its directory cannot be searched.
    pub fn of(file: &Path) -> Option<Stamp> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Stamp { bytes: metadata.len(), modified: metadata.modified().ok()? })
    }

    /// Whether nothing has been written to it for [`SETTLE_TIME`].
    pub fn is_settled(&self) -> bool {
        self.is_older_than(SETTLE_TIME)
    }

    /// Whether it was last modified at least this long ago.
    pub fn is_older_than(&self, age: Duration) -> bool {
        self.was_older_than(age, SystemTime::now())
    }

    fn was_older_than(&self, age: Duration, now: SystemTime) -> bool {
        // A time in the future says nothing: such a file is read as it is.
        now.duration_since(self.modified).map_or(true, |elapsed| elapsed >= age)
    }

    /// Of a file of so many bytes, modified so long ago.
    #[cfg(test)]
    pub fn with(bytes: u64, age: Duration) -> Stamp {
        Stamp { bytes, modified: SystemTime::now() - age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_settled_once_it_was_not_modified_for_a_while() {
        let stamp = Stamp { bytes: 1, modified: SystemTime::UNIX_EPOCH + SETTLE_TIME };
        let moment = Duration::from_nanos(1);
        for (name, now, expected) in [
            ("just written", stamp.modified, false),
            ("one moment too early", stamp.modified + SETTLE_TIME - moment, false),
            ("old enough", stamp.modified + SETTLE_TIME, true),
            ("from the future", stamp.modified - moment, true),
        ] {
            assert_eq!(stamp.was_older_than(SETTLE_TIME, now), expected, "{name}");
        }
    }
}
