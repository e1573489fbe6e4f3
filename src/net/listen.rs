//! Opens the listening socket, looks up names, and raises the open-file limit.

use super::unix::{BACKLOG, Remover, SocketFile, UnixListener};
use crate::base::address::{Address, UnixName};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// TCP keep-alive: below the 350 s after which common load balancers and NATs forget an idle
/// connection; a peer that is gone is noticed after 120 + 9 * 15 s.
pub const KEEP_ALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(120)).with_interval(Duration::from_secs(15));

/// A listening socket of the loop.
#[derive(Debug)]
pub enum Listener {
    Tcp(mio::net::TcpListener),
    Unix(UnixListener),
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.socket.as_fd(),
        }
    }
}

impl Listener {
    /// A socket that this process has not opened itself, set up as one of its own.
    ///
    /// Errors: `InvalidInput`, it is no listening socket for streams; the file of a unix socket is
    /// gone; the system's.
    pub fn adopt(socket: OwnedFd, remover: Remover) -> io::Result<Listener> {
        let options = SockRef::from(&socket);
        if !options.is_listener()? || options.r#type()? != Type::STREAM {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        options.set_cloexec(true)?;
        options.set_nonblocking(true)?;
        let at = options.local_addr()?;
        if at.as_socket().is_none() {
            return UnixListener::adopt(socket, &at, remover).map(Listener::Unix);
        }
        options.set_tcp_nodelay(true)?;
        options.set_tcp_keepalive(&KEEP_ALIVE)?;
        Ok(Listener::Tcp(mio::net::TcpListener::from_std(socket.into())))
    }

    /// Where it is.
    ///
    /// Errors: the system's.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Address::Ip),
            Listener::Unix(listener) => Ok(listener.name().clone().into()),
        }
    }

    /// The file of a unix socket, if it has one.
    pub fn file(&self) -> Option<&SocketFile> {
        match self {
            Listener::Tcp(_) => None,
            Listener::Unix(listener) => listener.file(),
        }
    }

    /// The same; an error of a unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.address()? {
            Address::Ip(address) => Ok(address),
            Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Where to listen, with names looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp(TcpPlace),
    Unix(UnixName),
}

impl Place {
    /// Whether a socket that is bound to `address` is the one for it.
    pub fn has(&self, address: &Address) -> bool {
        match (self, address) {
            (Place::Tcp(place), Address::Ip(at)) => place.has(*at),
            (Place::Unix(name), Address::Unix(at)) => *name == **at,
            (Place::Tcp(_), Address::Unix(_)) | (Place::Unix(_), Address::Ip(_)) => false,
        }
    }
}

/// A port to listen on, with the name of its host looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpPlace {
    /// On all interfaces, IPv4 and IPv6.
    AllInterfaces(u16),
    /// The first of these that can be had.
    Addresses(Vec<SocketAddr>),
}

impl TcpPlace {
    /// A port on `host`; without one on all interfaces.
    ///
    /// Errors: the name is not known, or the resolver does not answer.
    pub fn look_up(host: Option<&str>, port: u16) -> io::Result<TcpPlace> {
        match host {
            None => Ok(TcpPlace::AllInterfaces(port)),
            Some(host) => resolve(host, port).map(TcpPlace::Addresses),
        }
    }

    /// The same with another port.
    pub fn on_port(&self, port: u16) -> TcpPlace {
        match self {
            TcpPlace::AllInterfaces(_) => TcpPlace::AllInterfaces(port),
            TcpPlace::Addresses(addresses) => {
                let on_port = |at: &SocketAddr| SocketAddr::new(at.ip(), port);
                TcpPlace::Addresses(addresses.iter().map(on_port).collect())
            }
        }
    }

    /// Whether a socket that is bound to `address` is the one for it.
    pub fn has(&self, address: SocketAddr) -> bool {
        match self {
            TcpPlace::AllInterfaces(port) => {
                address.ip().is_unspecified() && address.port() == *port
            }
            TcpPlace::Addresses(addresses) => addresses.contains(&address),
        }
    }

    /// Where it may be bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            TcpPlace::AllInterfaces(port) => vec![(Ipv6Addr::UNSPECIFIED, *port).into()],
            TcpPlace::Addresses(addresses) => addresses.clone(),
        }
    }
}

/// Whether other processes may listen on the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    Alone,
    /// Those that ask for it as well (`SO_REUSEPORT`): the kernel spreads connections over all.
    ReusePort,
}

/// Opens a listening socket for the loop.
///
/// Errors: the port is in use, the address is not local.
pub fn listen(place: &TcpPlace, sharing: Sharing) -> io::Result<Listener> {
    let listener = open(place, sharing)?;
    listener.set_nonblocking(true)?;
    Ok(Listener::Tcp(mio::net::TcpListener::from_std(listener)))
}

/// Opens a listening socket on `host`; without one on all interfaces, IPv4 and IPv6.
///
/// Errors: the port is in use, the address is not local, the name is not known.
pub fn blocking(host: Option<&str>, port: u16) -> io::Result<TcpListener> {
    open(&TcpPlace::look_up(host, port)?, Sharing::Alone)
}

fn open(place: &TcpPlace, sharing: Sharing) -> io::Result<TcpListener> {
    let addresses = match place {
        TcpPlace::AllInterfaces(port) => {
            return match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port)), sharing) {
                // A machine without IPv6 refuses the family or the address.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port)), sharing)
                }
                outcome => outcome,
            };
        }
        TcpPlace::Addresses(addresses) => addresses,
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for &address in addresses {
        match bind(address, sharing) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind(at: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait until connections of the previous process have left TIME-WAIT.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::ReusePort {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit both on Linux, which saves system calls per connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEP_ALIVE)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The addresses of `host`, IPv4 first: most local servers listen there only.
///
/// Errors: the name is not known, or the resolver does not answer.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    Ok(addresses)
}

/// Whether this machine has an address from which `to` can be reached. Sends nothing: a datagram
/// socket is connected, which chooses the source address.
pub fn has_route(to: SocketAddr) -> bool {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect(to).is_ok())
}

#[allow(unsafe_code)]
fn file_limits() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit`, which the call writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// The limit of open files that is in force.
pub fn file_limit() -> io::Result<u64> {
    file_limits().map(|limit| limit.rlim_cur)
}

/// Raises the soft limit of open files to the hard one; returns the limit now in force.
#[allow(unsafe_code)]
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = file_limits()?;
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the pointer is to a live `rlimit`, which the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
        limit = wanted;
    }
    Ok(limit.rlim_cur)
}

/// A seed that differs from start to start, for jitter and random choices.
pub fn seed() -> u64 {
    // The standard library's hash keys come from the system's randomness.
    RandomState::new().build_hasher().finish()
}

/// Random bytes for a key that lasts as long as the program.
pub fn random_key() -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed().to_le_bytes());
    key[8..].copy_from_slice(&seed().to_le_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_socket_is_found_by_its_place() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let all = TcpPlace::AllInterfaces(80);
        let one = TcpPlace::Addresses(vec![at("127.0.0.1:80"), at("[::1]:80")]);
        for (address, is_all, is_one) in [
            ("[::]:80", true, false),
            ("0.0.0.0:80", true, false),
            ("0.0.0.0:81", false, false),
            ("127.0.0.1:80", false, true),
            ("[::1]:80", false, true),
            ("127.0.0.1:81", false, false),
            ("127.0.0.2:80", false, false),
        ] {
            assert_eq!((all.has(at(address)), one.has(at(address))), (is_all, is_one), "{address}");
        }
        assert!(all.on_port(81).has(at("0.0.0.0:81")) && one.on_port(81).has(at("[::1]:81")));
    }

    #[test]
    fn port_zero_gets_a_free_port_and_a_taken_one_is_refused() {
        let place = TcpPlace::look_up(Some("127.0.0.1"), 0).expect("an address");
        let listener = listen(&place, Sharing::Alone).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert_ne!(port, 0);
        let taken = listen(&place.on_port(port), Sharing::Alone);
        assert_eq!(taken.expect_err("taken").kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_bare_port_listens_on_both_families_where_there_are_both() {
        let listener = listen(&TcpPlace::AllInterfaces(0), Sharing::Alone).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("IPv4 reaches it");
    }

    #[test]
    fn there_is_a_route_to_this_machine() {
        assert!(has_route(SocketAddr::from(([127, 0, 0, 1], 9))));
    }

    #[test]
    fn the_file_limit_is_known() {
        assert!(raise_file_limit().expect("a limit") > 16);
    }
}
