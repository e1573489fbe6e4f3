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

/// Who removes the file of a listening socket when nobody listens on it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remover {
    /// This process.
    This,
    /// This one or another: a takeover is under way, and the one that goes on does.
    Undecided,
    /// Who has made it, such as a service manager.
    Other,
}

/// The file of a listening socket: device and inode tell it from a successor's.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    remover: Remover,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.remover != Remover::This {
            return;
        }
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

    /// Who removes it.
    pub fn remover(&self) -> Remover {
        self.remover
    }

    /// Gives it this mode if it has another one.
    ///
    /// Errors: the system's, such as that it is another user's.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match fs::symlink_metadata(&self.path)?.mode() & 0o7777 {
            found if found == mode => Ok(()),
            _ => fs::set_permissions(&self.path, fs::Permissions::from_mode(mode)),
        }
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
    let remover = Remover::This;
    let file = SocketFile { path: path.to_owned(), identity: identity(path)?, remover };
    if let Some(mode) = mode {
        file.set_mode(mode)?;
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

/// The name that a socket is bound to; none if it has none, or one that is no text.
fn name_of(at: &SockAddr) -> Option<UnixName> {
    match at.as_abstract_namespace() {
        Some(name) => Some(UnixName::Abstract(std::str::from_utf8(name).ok()?.to_owned())),
        None => Some(UnixName::Path(at.as_pathname()?.to_str()?.to_owned())),
    }
}

impl UnixListener {
    /// One that another process has opened, bound to `at`.
    ///
    /// Errors: `InvalidInput`, it has no name that can be written; its file is gone.
    pub fn adopt(socket: OwnedFd, at: &SockAddr, remover: Remover) -> io::Result<UnixListener> {
        let name = name_of(at).ok_or(ErrorKind::InvalidInput)?;
        let file = match &name {
            UnixName::Abstract(_) => None,
            UnixName::Path(path) => {
                let path = PathBuf::from(path);
                Some(SocketFile { identity: identity(&path)?, path, remover })
            }
        };
        Ok(UnixListener { socket: mio::net::UnixListener::from_std(socket.into()), name, file })
    }

    /// Another process may go on with it.
    pub fn lend(&mut self) {
        self.settle(Remover::This, Remover::Undecided);
    }

    /// After [`UnixListener::lend`] here or in the last process: this one goes on with it.
    pub fn reclaim(&mut self) {
        self.settle(Remover::Undecided, Remover::This);
    }

    fn settle(&mut self, from: Remover, to: Remover) {
        if let Some(file) = self.file.as_mut().filter(|file| file.remover == from) {
            file.remover = to;
        }
    }

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
