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
