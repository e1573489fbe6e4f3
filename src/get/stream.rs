//! A blocking connection to a server, in the clear or in TLS.

use crate::base::connect_fault::HandshakeFault;
use crate::config::{TlsServer, Trust};
use crate::net::tls::{Authorities, Carries, Connector, Places, Session};
use crate::net::{Handshake, HandshakeError};
use std::io::{self, Read, Write};
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
    pub fn secure(tcp: TcpStream, host: &str) -> io::Result<Stream> {
        let server =
            TlsServer { server: host.to_owned(), name: host.to_owned(), trust: Trust::System };
        let mut authorities = Authorities::new(Places::of_environment(), Carries::Http);
        authorities.add(&server).map_err(io::Error::other)?;
        Stream::shake_hands(Connector::new(authorities).connect(&server)?, tcp)
    }

    fn shake_hands(session: Session, mut tcp: TcpStream) -> io::Result<Stream> {
        let mut session = Box::new(session);
        match session.handshake(&mut tcp)? {
            Handshake::Complete => Ok(Stream::Tls(session, tcp)),
            Handshake::NotTls => Err(io::Error::other("the server does not speak TLS")),
            // A blocking socket says so when its time is up.
            Handshake::WantsRead | Handshake::WantsWrite => {
                Err(HandshakeError::of(HandshakeFault::TimedOut).into())
            }
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

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    #[test]
    fn a_handshake_that_stalls_is_said_to_have_timed_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        tcp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let trust = Trust::Nobody;
        let server =
            TlsServer { server: "a.example".to_owned(), name: "a.example".to_owned(), trust };
        let mut authorities = Authorities::new(Places::default(), Carries::Http);
        authorities.add(&server).unwrap();
        let session = Connector::new(authorities).connect(&server).unwrap();
        let error = Stream::shake_hands(session, tcp).expect_err("nobody answers");
        assert_eq!(error.to_string(), "TLS handshake timed out");
    }
}
