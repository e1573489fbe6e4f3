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

/// Whether the kernel shows other users under the number of this one: in a user namespace, those
/// that have no number there are all shown as one, the overflow user (user_namespaces(7)).
#[cfg(target_os = "linux")]
pub(super) fn is_ambiguous() -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let overflow = read("/proc/sys/kernel/overflowuid").trim().parse().unwrap_or(OVERFLOW_USER);
    user() == overflow && mapped(&read("/proc/self/uid_map")) < USERS
}

/// The overflow user unless the machine has another one.
#[cfg(target_os = "linux")]
const OVERFLOW_USER: u32 = 65_534;

/// How many there can be: 2^32 - 1 is none.
#[cfg(target_os = "linux")]
const USERS: u64 = u32::MAX as u64;

/// How many users have a number, by `uid_map` of proc(5): the last word of each line.
#[cfg(target_os = "linux")]
fn mapped(map: &str) -> u64 {
    let count = |line: &str| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok();
    map.lines().filter_map(count).fold(0, u64::saturating_add)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_ambiguous() -> bool {
    false
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn users_that_have_a_number_are_counted() {
        for (name, map, expected) in [
            ("all", "         0          0 4294967295\n", USERS),
            ("one", "         0       1000          1\n", 1),
            ("as podman maps them", "0 1000 1\n1 100000 65536\n", 65_537),
            ("none", "", 0),
            ("no map", "x y z\n1 2\n", 0),
        ] {
            assert_eq!(mapped(map), expected, "{name}");
        }
    }
}
