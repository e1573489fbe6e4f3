//! Unix sockets: connecting to them, and listening on them with the file that goes with that.

use crate::base::address::UnixName;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Established connections that wait in the kernel to be accepted, at a listener of any kind;
/// capped by `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// A listening unix socket. Dropping it removes its file.
#[derive(Debug)]
pub struct UnixListener {
    pub socket: mio::net::UnixListener,
    name: UnixName,
    /// None of an abstract name.
    file: Option<SocketFile>,
}

/// The file of a listening socket: device and inode tell it from a successor's.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        // Without the right to remove it the next start finds it stale.
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino()))
}

fn address(name: &UnixName) -> io::Result<SockAddr> {
    match name {
        UnixName::Path(path) => SockAddr::unix(path),
        UnixName::Abstract(name) => SockAddr::unix(format!("\0{name}")),
    }
}

/// Starts to connect, without waiting.
///
/// Errors: nothing listens there, it is not allowed, or its queue of connections is full
/// ([`ErrorKind::ResourceBusy`]).
pub fn connect(name: &UnixName) -> io::Result<mio::net::TcpStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address(name)?) {
        Ok(()) => {}
        // A TCP connection would wait for room.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(ErrorKind::ResourceBusy.into());
        }
        Err(error) => return Err(error),
    }
    Ok(stream(socket.into()))
}

/// A connected socket for the loop. The type's name is TCP's; what it does to a socket (`recv`,
/// `send`, `shutdown`) is the same for every stream, and options of TCP fail without harm.
pub fn stream(socket: OwnedFd) -> mio::net::TcpStream {
    mio::net::TcpStream::from_std(socket.into())
}

/// Listens on `name`; its file gets `mode`, or what the umask leaves.
///
/// Errors: `AddrInUse` if a process listens there, `AlreadyExists` if another kind of file is
/// there, or the system's.
pub fn listen(name: &UnixName, mode: Option<u32>) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let at = address(name)?;
    let file = match name {
        UnixName::Abstract(_) => {
            socket.bind(&at)?;
            None
        }
        UnixName::Path(path) => Some(bind_file(&socket, &at, Path::new(path), mode)?),
    };
    // Not before its file has the mode: until then connects are refused.
    socket.listen(BACKLOG)?;
    let socket = mio::net::UnixListener::from_std(OwnedFd::from(socket).into());
    Ok(UnixListener { socket, name: name.clone(), file })
}

fn bind_file(
    socket: &Socket,
    at: &SockAddr,
    path: &Path,
    mode: Option<u32>,
) -> io::Result<SocketFile> {
    if let Err(error) = socket.bind(at) {
        if error.kind() != ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(at, path)?;
        socket.bind(at)?;
    }
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

/// Removes the socket file of a process that is gone.
///
/// Errors: a process listens there, or it is no socket.
fn remove_stale(at: &SockAddr, path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(at) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) | Err(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

impl UnixListener {
    /// As it is written.
    pub fn name(&self) -> &UnixName {
        &self.name
    }

    /// Its file; none of an abstract name.
    pub fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// Accepts the next waiting connection.
    pub fn accept(&mut self) -> io::Result<mio::net::TcpStream> {
        let (socket, _) = self.socket.accept()?;
        Ok(stream(std::os::unix::net::UnixStream::from(socket).into()))
    }
}
