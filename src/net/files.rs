//! Reads files up to a limit without blocking for long and detects that one has changed.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A file that was modified more recently than this may still be being written. Much longer than
/// the resolution of a file system's clock, so that the next write changes the modification time.
pub const SETTLE_TIME: Duration = Duration::from_millis(100);

/// How long a pipe may be silent while a file is read from it.
pub const PIPE_SILENCE_MAX: Duration = Duration::from_secs(10);

/// All of a regular file of at most `bytes_max` bytes that is no symbolic link itself.
///
/// Errors: it cannot be opened or read; it is something else, or larger.
pub fn read_plain(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(|error| {
        let is_link = error.raw_os_error() == Some(libc::ELOOP);
        if is_link { unfit("it is a symbolic link") } else { error }
    })?;
    if !file.metadata()?.is_file() {
        return Err(unfit("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => Err(unfit("it is too large")),
        false => Ok(bytes),
    }
}

fn unfit(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

/// Up to `bytes_max` bytes from the start of a regular file.
///
/// Errors: it cannot be opened or read, or is something else, such as a pipe, which may never end.
pub fn read_regular(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    if !metadata.is_file() {
        return Err(unfit("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What was read by [`read_once`].
#[derive(Debug)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// It can be read again; a pipe (`<(command)`, `/dev/stdin`) cannot.
    pub is_regular: bool,
    /// It is a device, such as `/dev/zero`, and no terminal.
    pub is_device: bool,
}

/// Up to `bytes_max` bytes of a file, pipe or device.
///
/// Errors: it cannot be opened or read; nothing came for [`PIPE_SILENCE_MAX`].
pub fn read_once(path: &Path, bytes_max: u64) -> io::Result<Content> {
    let (file, metadata) = open(path)?;
    let kind = metadata.file_type();
    let is_device = (kind.is_char_device() || kind.is_block_device()) && !file.is_terminal();
    let mut bytes = Vec::new();
    let mut patient = Patient { file, silence_max: PIPE_SILENCE_MAX };
    (&mut patient).take(bytes_max).read_to_end(&mut bytes)?;
    Ok(Content { bytes, is_regular: metadata.is_file(), is_device })
}

/// Opens for reading; does not wait for the writer of a FIFO.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// A non-blocking file, of which each read waits for bytes or the end.
struct Patient {
    file: File,
    silence_max: Duration,
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let deadline = Instant::now() + self.silence_max;
        loop {
            // First, as a FIFO without a writer reads as its end.
            let left = deadline.saturating_duration_since(Instant::now());
            if !wait_until_readable(&self.file, left)? {
                return Err(io::Error::new(ErrorKind::TimedOut, "nobody writes to it"));
            }
            match self.file.read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }
}

/// Whether a read returns something; false after `timeout`.
fn wait_until_readable(file: &File, timeout: Duration) -> io::Result<bool> {
    poll(file, libc::POLLIN, timeout)
}

/// Blocks until a non-blocking file has room.
pub fn wait_until_writable(file: &File) -> io::Result<()> {
    poll(file, libc::POLLOUT, Duration::MAX).map(drop)
}

/// Whether one of `events` came within `timeout`, of which [`Duration::MAX`] is without limit.
#[allow(unsafe_code)]
fn poll(file: &File, events: libc::c_short, timeout: Duration) -> io::Result<bool> {
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
    // Rounded up, as a wait of 0 ms would be repeated at once.
    let millis = timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(-1);
    // SAFETY: the pointer is to one live `pollfd`, and the count is one.
    match unsafe { libc::poll(&raw mut wanted, 1, millis) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == ErrorKind::Interrupted => Ok(true),
            error => Err(error),
        },
        count => Ok(count > 0),
    }
}

/// Metadata that differs between two versions of a file: the modification time may be equal after
/// `cp -p` or when a symbolic link is changed, but then device and inode or the change time differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: SystemTime,
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file as it is now; none if it does not exist or its directory cannot be searched.
    pub fn of(file: &Path) -> Option<Stamp> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: metadata.modified().ok()?,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
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
        let modified = SystemTime::now() - age;
        Stamp { device: 1, inode: 1, bytes, modified, changed: (0, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_settled_once_it_was_not_modified_for_a_while() {
        let modified = SystemTime::UNIX_EPOCH + SETTLE_TIME;
        let stamp = Stamp { modified, ..Stamp::with(1, Duration::ZERO) };
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

    #[test]
    fn what_may_never_end_is_not_read_as_a_regular_file() {
        for device in ["/dev/zero", "/dev/null"] {
            let error = read_regular(Path::new(device), 9).expect_err("no regular file");
            assert_eq!(error.to_string(), "it is no regular file", "{device}");
        }
        assert!(read_regular(Path::new("/"), 9).is_err(), "a directory");
    }

    #[test]
    fn a_device_is_read_up_to_the_limit() {
        let content = read_once(Path::new("/dev/zero"), 9).expect("readable");
        assert_eq!((content.bytes, content.is_regular), (vec![0; 9], false));
        assert!(content.is_device);
    }

    #[test]
    fn a_pipe_nobody_writes_to_is_not_waited_for_without_limit() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mut patient = Patient { file, silence_max: Duration::from_millis(1) };
        let error = patient.read(&mut [0; 9]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(writer);
        assert_eq!(patient.read(&mut [0; 9]).expect("the end"), 0);
    }
}
