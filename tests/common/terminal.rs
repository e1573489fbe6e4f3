//! A terminal for the program to write to.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// A new pseudo-terminal: the side of its user, and that of the programs.
#[allow(unsafe_code)]
pub fn terminal() -> (File, File) {
    // SAFETY: the call takes a number and makes a descriptor.
    let user = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    assert!(user >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is open, new, and owned by nothing else.
    let user = File::from(unsafe { OwnedFd::from_raw_fd(user) });
    // SAFETY: the calls take an open descriptor.
    let ready = unsafe { (libc::grantpt(user.as_raw_fd()), libc::unlockpt(user.as_raw_fd())) };
    assert_eq!(ready, (0, 0), "{}", io::Error::last_os_error());
    let mut name = [0_u8; 64];
    // SAFETY: the call writes into the live array it is given, at most its length.
    let named = unsafe { libc::ptsname_r(user.as_raw_fd(), name.as_mut_ptr().cast(), name.len()) };
    assert_eq!(named, 0, "{}", io::Error::last_os_error());
    let name = CStr::from_bytes_until_nul(&name).expect("a name").to_str().expect("a path");
    let mut options = File::options();
    let programs = options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(name);
    (user, programs.expect("a terminal"))
}

/// Gives a terminal this size.
#[allow(unsafe_code)]
pub fn set_size(terminal: &File, columns: u16, rows: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call reads one `winsize`, which is alive.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}

/// How a terminal treats keys: local flags, the byte that suspends, and the fewest bytes of a read.
#[allow(unsafe_code)]
pub fn settings(terminal: &File) -> (libc::tcflag_t, u8, u8) {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the call writes one `termios` to the pointer it is given.
    let done = unsafe { libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    // SAFETY: the call has written it.
    let settings = unsafe { settings.assume_init() };
    (settings.c_lflag, settings.c_cc[libc::VSUSP], settings.c_cc[libc::VMIN])
}
