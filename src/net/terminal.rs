//! A terminal: its size, and keys one by one.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

/// The size of a terminal in characters, neither of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// The size of the terminal that `output` is; none if it is not one or does not know.
#[allow(unsafe_code)]
pub fn size(output: &impl AsRawFd) -> Option<Size> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes at most one `winsize`, to the pointer it is given.
    let done = unsafe { libc::ioctl(output.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    let is_known = done == 0 && size.ws_col > 0 && size.ws_row > 0;
    is_known.then(|| Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
}

/// A terminal that gives each key at once, without showing it. Ctrl-C stays a signal; Ctrl-Z does
/// nothing, as a stopped program would leave the terminal like this. A clone is the same terminal.
#[derive(Clone, Debug)]
pub struct Keys {
    terminal: Arc<File>,
    /// As they were before.
    settings: libc::termios,
}

impl Keys {
    /// Changes the terminal that `input` is; [`Keys::restore`] changes it back.
    ///
    /// Errors: `input` is no terminal.
    #[allow(unsafe_code)]
    pub fn new(input: &impl AsFd) -> io::Result<Keys> {
        let terminal = Arc::new(File::from(input.as_fd().try_clone_to_owned()?));
        let mut settings = MaybeUninit::uninit();
        // SAFETY: the call writes at most one `termios`, to the pointer it is given.
        if unsafe { libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, and so has written it.
        let settings = unsafe { settings.assume_init() };
        let keys = Keys { terminal, settings };
        let mut changed = settings;
        changed.c_lflag &= !(libc::ICANON | libc::ECHO);
        changed.c_cc[libc::VMIN] = 1;
        changed.c_cc[libc::VTIME] = 0;
        changed.c_cc[libc::VSUSP] = libc::_POSIX_VDISABLE;
        keys.apply(&changed)?;
        Ok(keys)
    }

    /// The next key, if there is one within `timeout`; the first byte of those that send several.
    ///
    /// Errors: the terminal is gone.
    pub fn wait(&self, timeout: Duration) -> io::Result<Option<u8>> {
        if !is_readable(&self.terminal, timeout)? {
            return Ok(None);
        }
        let mut key = [0];
        match (&*self.terminal).read(&mut key)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(Some(key[0])),
        }
    }

    /// Makes the terminal what it was.
    pub fn restore(&self) {
        // It fails only when the terminal is gone.
        let _ = self.apply(&self.settings);
    }

    #[allow(unsafe_code)]
    fn apply(&self, settings: &libc::termios) -> io::Result<()> {
        // SAFETY: the call reads one `termios`, which is alive.
        match unsafe { libc::tcsetattr(self.terminal.as_raw_fd(), libc::TCSADRAIN, settings) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Waits until a read would not block, at most for `timeout`. A signal ends the wait early.
#[allow(unsafe_code)]
fn is_readable(file: &File, timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the call reads and writes one `pollfd`, which is alive.
    match unsafe { libc::poll(&raw mut poll, 1, millis) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.kind() == ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}
