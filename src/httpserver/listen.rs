//! From the configured endpoint to a listening socket.

use crate::config::Endpoint;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// Connections the kernel keeps while all slots are taken. The standard library's own listener has
/// 128 fixed, which a load test overruns.
const BACKLOG: i32 = 1_024;

/// Listens on `endpoint`: all interfaces when it has no host, by IPv6 and IPv4 alike where the
/// system can; else on the first address of the host that can be listened on.
pub fn listen(endpoint: &Endpoint) -> io::Result<TcpListener> {
    let Some(host) = &endpoint.host else {
        let port = endpoint.port;
        return match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(error) if is_without_ipv6(&error) => {
                open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            outcome => outcome,
        };
    };
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "the host has no address"));
    for address in (host.as_str(), endpoint.port).to_socket_addrs()? {
        outcome = open(address);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// IPv6 is not built in, or is switched off.
fn is_without_ipv6(error: &io::Error) -> bool {
    let unsupported = [libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| unsupported.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_bare_port_is_reached_by_ipv4() {
        let listener = listen(&Endpoint { host: None, port: 0 }).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let host = Some("127.0.0.1".to_owned());
        let listener = listen(&Endpoint { host: host.clone(), port: 0 }).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = listen(&Endpoint { host, port }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
