//! Descriptors that go over a unix socket beside bytes (`SCM_RIGHTS`, unix(7)).

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors that are sent or received with one message.
const DESCRIPTORS_MAX: usize = 128;

/// Room for the control message of so many descriptors, aligned for its header.
#[allow(unsafe_code)]
fn control_space(count: usize) -> Vec<u64> {
    let bytes = mem::size_of::<RawFd>() * count;
    // SAFETY: the call computes a number.
    let space = unsafe { libc::CMSG_SPACE(bytes as libc::c_uint) } as usize;
    vec![0; space.div_ceil(mem::size_of::<u64>())]
}

/// Writes some of `bytes`, which are not empty, and beside the first of them the descriptors.
///
/// Errors: the system's; then nothing was sent.
#[allow(unsafe_code)]
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if descriptors.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = control_space(descriptors.len());
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: zeros are a message without anything.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = (space.len() * mem::size_of::<u64>()) as _;
    let data_bytes =
        mem::size_of_val(descriptors) / mem::size_of::<BorrowedFd<'_>>() * mem::size_of::<RawFd>();
    // SAFETY: the control buffer is live, aligned, zeroed, and has room for a header with so many
    // descriptors, so that there is a first header and its data lie within.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(data_bytes as libc::c_uint) as _;
        let data = libc::CMSG_DATA(header).cast::<RawFd>();
        for (at, descriptor) in descriptors.iter().enumerate() {
            data.add(at).write_unaligned(descriptor.as_raw_fd());
        }
    }
    // SAFETY: the message and what it points to live until the call returns, and it only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Reads some bytes into `into`, which is not empty, and adds the descriptors beside them to
/// `received`; 0 bytes at the end of the input. Descriptors are not inherited by other programs.
///
/// Errors: the system's; `InvalidData`, more descriptors than [`DESCRIPTORS_MAX`].
// Elsewhere the length of a header is of another type.
#[allow(unsafe_code, clippy::unnecessary_cast)]
pub fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    received: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    const FLAGS: libc::c_int = libc::MSG_CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    const FLAGS: libc::c_int = 0;
    let mut space = control_space(DESCRIPTORS_MAX);
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut message = MaybeUninit::<libc::msghdr>::zeroed();
    // SAFETY: zeros are a message without anything.
    let message = unsafe { message.assume_init_mut() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = (space.len() * mem::size_of::<u64>()) as _;
    // SAFETY: the message and the buffers it points to live until the call returns, and it writes
    // within their sizes.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), message, FLAGS) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel wrote whole headers into the control buffer and its length into the
    // message; the data of a header of this type are open descriptors, which nothing else owns.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(found) = header.as_ref() {
            if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let bytes = found.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for at in 0..bytes / mem::size_of::<RawFd>() {
                    received.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    for descriptor in received.iter() {
        socket2::SockRef::from(descriptor).set_cloexec(true)?;
    }
    match message.msg_flags & libc::MSG_CTRUNC {
        0 => Ok(count),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_arrive_once_and_are_not_inherited() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let sent = send(one.as_fd(), b"hello", &[listener.as_fd(), listener.as_fd()]);
        assert_eq!(sent.expect("room"), 5);
        let (mut bytes, mut received) = ([0; 3], Vec::new());
        assert_eq!(receive(other.as_fd(), &mut bytes, &mut received).expect("some"), 3);
        assert_eq!(receive(other.as_fd(), &mut bytes, &mut received).expect("the rest"), 2);
        assert_eq!(received.len(), 2);
        let address = listener.local_addr().expect("bound");
        for descriptor in received {
            // SAFETY: the call only reads the flags of an open descriptor.
            #[allow(unsafe_code)]
            let flags = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFD) };
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
            assert_eq!(TcpListener::from(descriptor).local_addr().expect("bound"), address);
        }
        drop(one);
        let mut none = Vec::new();
        assert_eq!(receive(other.as_fd(), &mut bytes, &mut none).expect("the end"), 0);
    }

    #[test]
    fn no_or_too_many_descriptors_are_refused() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        let many = vec![one.as_fd(); DESCRIPTORS_MAX + 1];
        for descriptors in [&[][..], &many] {
            let error = send(one.as_fd(), b"x", descriptors).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
