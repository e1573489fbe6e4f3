//! Control sockets: unix sockets that only processes of the same user and of root can use, and
//! descriptors that go over them. On Linux their names are abstract, so that no file is left behind;
//! elsewhere they are files of mode 0600 in a directory of the user.

use crate::wire::name::Name;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Write};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whether there are abstract names.
const IS_ABSTRACT: bool = cfg!(target_os = "linux");

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 128;

/// Most descriptors that are sent or received with one message.
const DESCRIPTORS_MAX: usize = 128;

/// Longest answer that is read: 1,000 servers with the longest names take half of it.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// For a connection on which nothing is read or written.
const SQUATTER_LIMIT: Duration = Duration::from_secs(1);

/// How many instances may listen at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    One,
    /// With `SO_REUSEPORT`: each has its process in its name.
    Several,
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub user: u32,
    /// None where the system does not say.
    pub process: Option<u32>,
}

/// The control socket of this process.
#[derive(Debug)]
pub struct ControlSocket {
    listener: mio::net::UnixListener,
    name: Name,
}

impl ControlSocket {
    /// Opens that of the instance that listens at `listen`. Where the name is taken, this process is
    /// part of it.
    ///
    /// Errors: the system's, such as no directory for it.
    pub fn open(listen: &str, instances: Instances) -> io::Result<ControlSocket> {
        let alone = Name { user: user(), listen: listen.to_owned(), process: None };
        let own = Name { process: Some(std::process::id()), ..alone.clone() };
        match instances {
            Instances::Several => bind(&own),
            Instances::One => match bind(&alone) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => bind(&own),
                outcome => outcome,
            },
        }
    }

    /// One that was received from the instance that had it.
    ///
    /// Errors: it is none.
    pub fn adopt(socket: OwnedFd) -> io::Result<ControlSocket> {
        let socket = Socket::from(socket);
        let name = name_of(&socket.local_addr()?).ok_or(io::ErrorKind::InvalidData)?;
        ControlSocket::of(socket, name)
    }

    fn of(socket: Socket, name: Name) -> io::Result<ControlSocket> {
        socket.set_nonblocking(true)?;
        Ok(ControlSocket { listener: OwnedFd::from(socket).into(), name })
    }

    /// What the poll watches.
    pub fn source(&mut self) -> &mut mio::net::UnixListener {
        &mut self.listener
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Another one, whose name has this process in it. Once this one is dropped, the next instance
    /// can have its name.
    ///
    /// Errors: the system's.
    pub fn renamed(&self) -> io::Result<ControlSocket> {
        bind(&Name { process: Some(std::process::id()), ..self.name.clone() })
    }

    /// The next connection, and who made it.
    ///
    /// Errors: none waits; `PermissionDenied`, it is another user's.
    pub fn accept(&self) -> io::Result<(OwnedFd, Peer)> {
        let (stream, _) = self.listener.accept()?;
        let peer = peer(stream.as_fd())?;
        match is_allowed(peer.user, user()) {
            true => Ok((stream.into(), peer)),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Whether processes of these users may steer one another.
fn is_allowed(user: u32, own: u32) -> bool {
    user == own || user == 0
}

/// The user that this process runs as.
#[allow(unsafe_code)]
pub fn user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

fn bind(name: &Name) -> io::Result<ControlSocket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if IS_ABSTRACT {
        socket.bind(&address(name)?)?;
    } else {
        bind_file(&socket, &file_of(name)?)?;
    }
    socket.listen(BACKLOG)?;
    ControlSocket::of(socket, name.clone())
}

/// Makes a socket file that only its user can open. A file without a process behind it is replaced.
fn bind_file(socket: &Socket, path: &Path) -> io::Result<()> {
    let at = SockAddr::unix(path)?;
    match socket.bind(&at) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?.connect(&at);
            if !probe.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                return Err(error);
            }
            fs::remove_file(path)?;
            socket.bind(&at)?;
        }
        outcome => outcome?,
    }
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// The directory of this user's socket files.
///
/// Errors: it cannot be made, or is another user's.
fn directory() -> io::Result<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let path = match runtime.filter(|path| path.is_absolute()) {
        Some(path) => path.join("loadbalancer"),
        None => std::env::temp_dir().join(format!("loadbalancer-{}", user())),
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(&path)?;
    match found.is_dir() && found.uid() == user() {
        true => Ok(path),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn file_of(name: &Name) -> io::Result<PathBuf> {
    Ok(directory()?.join(name.file()))
}

/// The address of the socket of this name.
fn address(name: &Name) -> io::Result<SockAddr> {
    match IS_ABSTRACT {
        // A path that begins with a zero byte is an abstract name.
        true => SockAddr::unix(format!("\0{name}")),
        false => SockAddr::unix(file_of(name)?),
    }
}

fn name_of(address: &SockAddr) -> Option<Name> {
    match address.as_abstract_namespace() {
        Some(name) => Name::read(std::str::from_utf8(name).ok()?),
        None => Name::from_file(user(), address.as_pathname()?.file_name()?.to_str()?),
    }
}

/// The names of all instances that run: of every user where names are abstract, else of this one.
pub fn names() -> Vec<Name> {
    if IS_ABSTRACT {
        // Names of other programs may have any bytes.
        let table = fs::read("/proc/net/unix").unwrap_or_default();
        return crate::wire::name::listed(&String::from_utf8_lossy(&table));
    }
    let Ok(entries) = directory().and_then(fs::read_dir) else { return Vec::new() };
    let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    files.filter_map(|file| Name::from_file(user(), &file)).collect()
}

/// Whether a process of another user than the one in the name listens under it: anybody can take an
/// abstract name. It is connected to.
pub fn is_squatted(name: &Name) -> bool {
    connect(name, SQUATTER_LIMIT)
        .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// When this span is over.
pub fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit
}

/// Has the next read of `stream` end at `deadline`.
///
/// Errors: `TimedOut`, that is over; the system's.
pub fn read_until(stream: &UnixStream, deadline: Instant) -> io::Result<()> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => stream.set_read_timeout(Some(left)),
    }
}

/// Reads until the answer is whole, to the end or to [`ANSWER_BYTES_MAX`], all before `deadline`.
pub fn read_answer(
    stream: &mut UnixStream,
    deadline: Instant,
    is_whole: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while answer.len() < ANSWER_BYTES_MAX && !is_whole(&answer) {
        read_until(stream, deadline)?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            // With bytes of ours that it did not read, its end is a reset.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// A blocking connection to the instance of this name. Each read and write may take `limit`.
///
/// Errors: `PermissionDenied`, its user is not the one in the name; the system's.
pub fn connect(name: &Name, limit: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One with a full backlog does not accept: it is refused at once instead of waited for.
    socket.set_nonblocking(true)?;
    socket.connect(&address(name)?)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(limit))?;
    socket.set_write_timeout(Some(limit))?;
    let stream = UnixStream::from(OwnedFd::from(socket));
    // Anybody can listen under an abstract name.
    match is_allowed(peer(stream.as_fd())?.user, name.user) {
        true => Ok(stream),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// What an instance answers to a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Done(String),
    Refused(String),
}

/// Sends a line, without its end, to the instance of this name; what it answers within `limit`, in
/// whole lines.
///
/// Errors: as [`connect`]; `InvalidData`, it answers with something else.
pub fn ask(name: &Name, line: &str, limit: Duration) -> io::Result<Answer> {
    let deadline = deadline(limit);
    let mut stream = connect(name, limit)?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let answer = read_answer(&mut stream, deadline, |_| false)?;
    let text = String::from_utf8_lossy(&answer);
    let text = text.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    match (text.strip_prefix("ok "), text.strip_prefix("error ")) {
        (Some(text), _) => Ok(Answer::Done(text.to_owned())),
        (None, Some(text)) => Ok(Answer::Refused(text.to_owned())),
        (None, None) => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
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
fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is open, and the pointers are to live numbers, which the call writes.
    match unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut user, &raw mut group) } {
        0 => Ok(Peer { user, process: None }),
        _ => Err(io::Error::last_os_error()),
    }
}

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

    const LIMIT: Duration = Duration::from_secs(10);

    /// A name that no other process has.
    fn unique(port: u16) -> String {
        format!("{}.test:{port}", std::process::id())
    }

    #[test]
    fn an_instance_is_found_by_name_and_connected_to() {
        let socket = ControlSocket::open(&unique(1), Instances::One).expect("a free name");
        assert!(names().contains(socket.name()), "{:?}", names());
        let mut stream = connect(socket.name(), LIMIT).expect("it listens");
        let (accepted, peer) = socket.accept().expect("a connection");
        assert_eq!(peer.user, user());
        UnixStream::from(accepted).write_all(b"hello").expect("room");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        assert_eq!(text, "hello");
        assert_eq!(socket.accept().expect_err("none").kind(), io::ErrorKind::WouldBlock);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_of_another_program_that_is_no_text_hides_no_instance() {
        use std::os::unix::ffi::OsStrExt;
        let bytes = [b"\0\xff\xfe", unique(4).as_bytes()].concat();
        let other = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        let at = SockAddr::unix(std::ffi::OsStr::from_bytes(&bytes)).expect("a name");
        other.bind(&at).expect("a free name");
        let socket = ControlSocket::open(&unique(4), Instances::One).expect("a free name");
        assert!(names().contains(socket.name()), "{:?}", names());
    }

    #[test]
    fn an_answer_in_pieces_has_one_limit() {
        let socket = ControlSocket::open(&unique(5), Instances::One).expect("a free name");
        let name = socket.name().clone();
        let asked = std::thread::spawn(move || ask(&name, "status", Duration::from_millis(300)));
        let mut accepted = None;
        while accepted.is_none() {
            accepted = socket.accept().ok();
        }
        let mut stream = UnixStream::from(accepted.expect("a connection").0);
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let error = asked.join().expect("an outcome").expect_err("it never ends");
        let is_over = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
        assert!(is_over, "{error}");
    }

    #[test]
    fn a_second_instance_at_an_address_has_its_process_in_its_name() {
        let first = ControlSocket::open(&unique(2), Instances::One).expect("a free name");
        let second = ControlSocket::open(&unique(2), Instances::One).expect("another name");
        assert_eq!(first.name().process, None);
        assert_eq!(second.name().process, Some(std::process::id()));
        drop(first);
        let third =
            ControlSocket::open(&unique(2), Instances::One).expect("the name is free again");
        assert_eq!(third.name().process, None);
    }

    #[test]
    fn an_instance_that_steps_aside_leaves_its_name_to_the_next() {
        let first = ControlSocket::open(&unique(3), Instances::One).expect("a free name");
        let aside = first.renamed().expect("another name");
        let name = first.name().clone();
        drop(first);
        let next = ControlSocket::open(&unique(3), Instances::One).expect("the name is free");
        assert_eq!(*next.name(), name);
        assert_ne!(*aside.name(), name);
    }

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

    #[test]
    fn the_file_of_a_dead_instance_is_replaced_and_that_of_a_living_one_is_not() {
        let directory = std::env::temp_dir().join(format!("lb-control-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("127.0.0.1:80");
        let open = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            bind_file(&socket, &path)?;
            socket.listen(1)?;
            Ok(socket)
        };
        let first = open().expect("a new file");
        let mode = fs::metadata(&path).expect("the file").mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(open().expect_err("it lives").kind(), io::ErrorKind::AddrInUse);
        drop(first);
        open().expect("it is dead");
        fs::remove_dir_all(directory).expect("removed");
    }
}
