//! The process at the other end of a control socket, and whether it may use it.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub user: u32,
    /// None where the system does not say.
    pub process: Option<u32>,
}

/// Whether processes of these users may steer one another.
pub(super) fn is_allowed(user: u32, own: u32) -> bool {
    user == own || user == 0
}

/// The user that this process runs as.
#[allow(unsafe_code)]
pub fn user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(super) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut bytes = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointers are to a live `ucred` and its size, which the
    // call writes.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut bytes,
        )
    };
    match outcome {
        0 => Ok(Peer { user: found.uid, process: u32::try_from(found.pid).ok() }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
#[allow(unsafe_code)]
pub(super) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is open, and the pointers are to live numbers, which the call writes.
    match unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut user, &raw mut group) } {
        0 => Ok(Peer { user, process: None }),
        _ => Err(io::Error::last_os_error()),
    }
}
