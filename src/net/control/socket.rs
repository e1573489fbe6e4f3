//! The control socket of this process.

use super::peer::{Peer, is_allowed, is_ambiguous, peer, user};
use super::place::{IS_ABSTRACT, address, file_of, name_of};
use crate::wire::name::Name;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 128;

/// How many instances may listen at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    One,
    /// With `SO_REUSEPORT`: each has its process in its name.
    Several,
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
    /// Errors: the system's, such as no directory for it; other users look like this one.
    pub fn open(listen: &str, instances: Instances) -> io::Result<ControlSocket> {
        if is_ambiguous() {
            let user = user();
            let problem = format!("in this user namespace {user} may be any of several users");
            return Err(io::Error::other(problem));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::control::{connect, names};
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

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
