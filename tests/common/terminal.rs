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
