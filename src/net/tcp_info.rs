//! What the kernel's TCP counts of a connection, where it does.

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
mod linux {
    #![allow(unsafe_code)]

    use std::mem::{offset_of, size_of};
    use std::os::fd::AsRawFd;

    /// What an older kernel (before 4.1) does not fill ends before this.
    const NEEDED_BYTES: usize = offset_of!(libc::tcp_info, tcpi_bytes_received) + size_of::<u64>();

    /// Bytes sent and acknowledged, and bytes received, of an established connection.
    pub fn bytes_moved(socket: &impl AsRawFd) -> Option<u64> {
        // SAFETY: the structure is made of numbers alone, for which zero is a value.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut bytes = size_of::<libc::tcp_info>() as libc::socklen_t;
        let (level, name, into) = (libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast());
        // SAFETY: the call writes at most `bytes` bytes to the live structure of that size.
        let outcome =
            unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, into, &raw mut bytes) };
        let is_whole = outcome == 0 && bytes as usize >= NEEDED_BYTES;
        is_whole.then(|| info.tcpi_bytes_acked.saturating_add(info.tcpi_bytes_received))
    }
}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
pub use linux::bytes_moved;

/// None: this system does not count them in a way that is known here.
#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
pub fn bytes_moved<S>(_: &S) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    #[test]
    fn bytes_count_in_both_directions_once_the_peer_has_them() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut peer = TcpStream::connect(address).expect("it listens");
        let (mut socket, _) = listener.accept().expect("connected");
        let before = bytes_moved(&socket).expect("this kernel counts");
        peer.write_all(&[b'x'; 300]).expect("room");
        socket.read_exact(&mut [0; 300]).expect("sent");
        socket.write_all(&[b'y'; 5_000]).expect("room");
        peer.read_exact(&mut [0; 5_000]).expect("sent");
        // An acknowledgement may be delayed, by 0.2 s at most.
        let deadline = Instant::now() + Duration::from_secs(10);
        let moved = || bytes_moved(&socket).expect("as before") - before;
        while moved() < 5_300 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(moved(), 5_300);
    }
}
