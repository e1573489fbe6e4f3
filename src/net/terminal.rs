//! The size of a terminal.

use std::os::fd::AsRawFd;

/// The columns of the terminal that `output` is; none if it is not one or does not know.
#[allow(unsafe_code)]
pub fn columns(output: &impl AsRawFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes at most one `winsize`, to the pointer it is given.
    let done = unsafe { libc::ioctl(output.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some(size.ws_col.into())
}
