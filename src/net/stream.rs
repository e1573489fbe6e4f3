//! [`Socket`] over a connection of the operating system, by TCP or over a unix socket, in the clear or
//! in TLS.

use super::listen;
use super::pipe::{self, Pipe};
use super::tcp_info;
use super::tls::Session;
use super::{Handshake, Secured, Socket};
use mio::net::TcpStream;
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A TCP connection.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    /// None in the clear. Apart, as it is large.
    tls: Option<Box<Session>>,
}

impl Stream {
    /// In the clear.
    pub fn new(tcp: TcpStream) -> Stream {
        Stream { tcp, tls: None }
    }

    /// In TLS from here on.
    pub fn secure(&mut self, session: Session) {
        self.tls = Some(Box::new(session));
    }

    /// The connection below, to register it.
    pub fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.tcp);
        }
    }
}

/// Apart: inside the way of a connection in the clear it would take registers from that.
#[inline(never)]
fn read_secured(tls: &mut Session, tcp: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    tls.read(tcp, into)
}

/// Apart, as [`read_secured`].
#[inline(never)]
fn write_secured(tls: &mut Session, tcp: &mut TcpStream, from: &[u8]) -> io::Result<usize> {
    tls.write(tcp, from)
}

impl Socket for Stream {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => Read::read(&mut self.tcp, into),
            Some(tls) => read_secured(tls, &mut self.tcp, into),
        }
    }

    #[inline]
    fn is_drained(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_drained())
    }

    #[inline]
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => Write::write(&mut self.tcp, from),
            Some(tls) => write_secured(tls, &mut self.tcp, from),
        }
    }

    fn write_clear(&mut self, from: &[u8]) -> io::Result<usize> {
        Write::write(&mut self.tcp, from)
    }

    fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    fn handshake(&mut self) -> io::Result<Handshake> {
        match &mut self.tls {
            None => Ok(Handshake::Complete),
            Some(tls) => tls.handshake(&mut self.tcp),
        }
    }

    fn handshake_bytes(&self) -> u64 {
        self.tls.as_ref().map_or(0, |tls| tls.handshake_bytes())
    }

    fn secured(&self) -> Option<Secured<'_>> {
        self.tls.as_ref()?.secured()
    }

    fn is_encrypted(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_open())
    }

    fn subject(&self) -> Option<&str> {
        self.tls.as_ref()?.subject()
    }

    fn covers(&self, host: &[u8]) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.covers(host))
    }

    fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.tcp.take_error()? {
            return Err(error);
        }
        // Of any family, which `TcpStream::peer_addr` is not.
        match SockRef::from(&self.tcp).peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn fault(&mut self) -> Option<io::Error> {
        self.tcp.take_error().unwrap_or_else(Some)
    }

    fn end_output(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.end_output(&mut self.tcp)?;
        }
        self.tcp.shutdown(Shutdown::Write)
    }

    fn mark_cut_off(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.withhold_goodbye();
        }
    }

    fn can_splice(&self) -> bool {
        self.tls.is_none()
    }

    type Pipe = Pipe;

    fn pipe() -> io::Result<Pipe> {
        Pipe::new()
    }

    fn read_into(&mut self, pipe: &mut Pipe, max: usize) -> io::Result<usize> {
        pipe.take(&self.tcp, max)
    }

    fn send_room(&self) -> usize {
        pipe::send_room(&self.tcp)
    }

    fn write_from(&mut self, pipe: &mut Pipe, count: usize) -> io::Result<usize> {
        pipe.give(&self.tcp, count)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        SockRef::from(&self.tcp).local_addr().ok()?.as_socket()
    }

    fn enable_keep_alive(&mut self) {
        // If the system refuses it, the time-outs remain.
        let _ = SockRef::from(&self.tcp).set_tcp_keepalive(&listen::KEEP_ALIVE);
    }

    fn bytes_moved(&self) -> Option<u64> {
        tcp_info::bytes_moved(&self.tcp)
    }

    fn reset_on_drop(&mut self) {
        self.mark_cut_off();
        // Best effort: if the option cannot be set, closing still ends the connection.
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }
}
