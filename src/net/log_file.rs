//! A log to append to: a file, standard output, a device, or a FIFO, which may have no reader yet.

use super::files::wait_until_writable;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Written by the thread of a log writer; may block.
#[derive(Debug)]
pub enum LogFile {
    /// Takes any number of bytes at once.
    Regular(File),
    /// Pipes, sockets and devices: written in parts of whole lines that a pipe takes or refuses as
    /// one (POSIX, `write`), so that a stalled reader leaves no doubt about what was written.
    Stream(File),
    /// A FIFO without a reader: opened again with each write.
    Unread(PathBuf),
}

impl LogFile {
    /// Opens or creates the log at `path`. A FIFO without a reader is not waited for.
    ///
    /// Errors: the system's; a socket.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().append(true).create(true).custom_flags(flags).open(path);
        match file {
            Ok(file) => LogFile::of(file),
            // A standard stream that is a socket, or another user's, cannot be opened again.
            Err(_) if is_one_of(path, &STDOUT_PATHS) => LogFile::stdout(),
            Err(_) if is_one_of(path, &STDERR_PATHS) => LogFile::of(copy_of(&io::stderr())?),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_fifo(path) => {
                Ok(LogFile::Unread(path.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the log at `path` as [`LogFile::open`] does, and leaves no trace: a file that was not
    /// there is removed again.
    ///
    /// Errors: as of [`LogFile::open`].
    pub fn check(path: &Path) -> io::Result<()> {
        let was_there = path.exists();
        let log = LogFile::open(path)?;
        // Another program may have begun to write to it.
        let is_ours = matches!(&log, LogFile::Regular(file) if file.metadata()?.len() == 0);
        if is_ours && !was_there {
            // Not a link that leads to it.
            std::fs::remove_file(std::fs::canonicalize(path)?)?;
        }
        Ok(())
    }

    /// Standard output.
    pub fn stdout() -> io::Result<LogFile> {
        LogFile::of(copy_of(&io::stdout())?)
    }

    /// Whether a person sees the lines come.
    pub fn is_terminal(&self) -> bool {
        match self {
            LogFile::Stream(file) => file.is_terminal(),
            LogFile::Regular(_) | LogFile::Unread(_) => false,
        }
    }

    fn of(file: File) -> io::Result<LogFile> {
        match file.metadata()?.is_file() {
            true => Ok(LogFile::Regular(file)),
            false => Ok(LogFile::Stream(file)),
        }
    }
}

const STDOUT_PATHS: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
const STDERR_PATHS: [&str; 3] = ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"];

fn is_one_of(path: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| path == Path::new(name))
}

fn is_fifo(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn copy_of(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

/// The part of `lines` that is written at once: whole lines, unless the first is too long.
fn part(lines: &[u8]) -> &[u8] {
    let most = &lines[..lines.len().min(libc::PIPE_BUF)];
    let end = most.iter().rposition(|&byte| byte == b'\n').map_or(most.len(), |last| last + 1);
    &most[..end]
}

impl Write for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if let LogFile::Unread(path) = self {
            *self = LogFile::open(path)?;
        }
        let file = match self {
            LogFile::Regular(file) => return file.write(lines),
            LogFile::Stream(file) => file,
            LogFile::Unread(_) => return Err(io::Error::other("it is a pipe nobody reads")),
        };
        loop {
            match file.write(part(lines)) {
                // Opened here or inherited as non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait_until_writable(file)?,
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_a_line_if_it_can() {
        let long = "x".repeat(libc::PIPE_BUF);
        for (name, lines, count) in [
            ("few", "a\nb\n", 4),
            ("without an end", "ab", 2),
            ("one too many", &format!("a\n{long}\n"), 2),
            ("just fits", &format!("{}\nb\n", &long[1..]), libc::PIPE_BUF),
            ("too long", &format!("{long}\n"), libc::PIPE_BUF),
        ] {
            assert_eq!(part(lines.as_bytes()).len(), count, "{name}");
        }
    }
}
