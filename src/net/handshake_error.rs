//! A handshake that failed, as an error of the socket: what kind of fault, and in words.

use crate::base::connect_fault::{ConnectFault, HandshakeFault};
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// Why a handshake failed. Its words may name what the peer has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeError {
    pub fault: HandshakeFault,
    pub words: Box<str>,
}

impl HandshakeError {
    /// One of which there is no more to say than its kind does.
    pub fn of(fault: HandshakeFault) -> HandshakeError {
        HandshakeError { fault, words: fault.to_string().into_boxed_str() }
    }

    /// What ended a handshake in one of its steps: the error that was found in it, or else one of the
    /// connection, which was established before.
    pub fn of_step(error: &io::Error) -> HandshakeError {
        if let Some(found) = HandshakeError::find(error) {
            return found.clone();
        }
        match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => HandshakeError::of(HandshakeFault::Closed),
            ErrorKind::TimedOut => HandshakeError::of(HandshakeFault::TimedOut),
            _ => {
                let fault = HandshakeFault::Failed;
                HandshakeError { fault, words: format!("{fault}: {error}").into_boxed_str() }
            }
        }
    }

    /// The one that `error` is; none of others.
    pub fn find(error: &io::Error) -> Option<&HandshakeError> {
        error.get_ref()?.downcast_ref()
    }
}

/// What `error` says about the server that was to be connected to.
pub fn connect_fault(error: &io::Error) -> ConnectFault {
    match HandshakeError::find(error) {
        Some(failed) => ConnectFault::Handshake(failed.fault),
        None => ConnectFault::System(error.kind()),
    }
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.words)
    }
}

impl Error for HandshakeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_connection_is_one_of_the_handshake() {
        let closed = "closed the connection during the TLS handshake";
        let found = HandshakeError { fault: HandshakeFault::Refused, words: "refused: x".into() };
        let cases: [(&str, io::Error, HandshakeFault, &str); 6] = [
            ("reset", ErrorKind::ConnectionReset.into(), HandshakeFault::Closed, closed),
            ("write", ErrorKind::BrokenPipe.into(), HandshakeFault::Closed, closed),
            ("end", ErrorKind::UnexpectedEof.into(), HandshakeFault::Closed, closed),
            (
                "time-out of the kernel",
                ErrorKind::TimedOut.into(),
                HandshakeFault::TimedOut,
                "TLS handshake timed out",
            ),
            (
                "anything else",
                ErrorKind::HostUnreachable.into(),
                HandshakeFault::Failed,
                "TLS handshake failed: host unreachable",
            ),
            ("found", found.into(), HandshakeFault::Refused, "refused: x"),
        ];
        for (name, error, fault, words) in cases {
            let given = HandshakeError::of_step(&error);
            assert_eq!((given.fault, &*given.words), (fault, words), "{name}");
        }
    }
}
