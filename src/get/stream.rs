//! A blocking connection to a server, in the clear or in TLS.

use crate::config::{TlsServer, Trust};
use crate::net::Handshake;
use crate::net::tls::{Authorities, Carries, Connector, Places, Session};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// A connection to a server.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<Session>, TcpStream),
}

impl Stream {
    /// Begins TLS with a server whose certificate must be for `host`. Time-outs are those of `tcp`.
    ///
    /// Errors: no authorities were found, the certificate does not verify, or the server does not
    /// speak TLS; in words.
    pub fn secure(mut tcp: TcpStream, host: &str) -> io::Result<Stream> {
        let server =
            TlsServer { server: host.to_owned(), name: host.to_owned(), trust: Trust::System };
        let mut authorities = Authorities::new(Places::of_environment(), Carries::Http);
        authorities.add(&server).map_err(io::Error::other)?;
        let mut session = Box::new(Connector::new(authorities).connect(&server)?);
        match session.handshake(&mut tcp)? {
            Handshake::Complete => Ok(Stream::Tls(session, tcp)),
            Handshake::NotTls => Err(io::Error::other("the server does not speak TLS")),
            // A blocking socket says so when its time is up.
            Handshake::WantsRead | Handshake::WantsWrite => Err(ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(into),
            Stream::Tls(_, _) if into.is_empty() => Ok(0),
            Stream::Tls(session, tcp) => session.read(tcp, into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.write(from),
            Stream::Tls(session, tcp) => session.write(tcp, from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
