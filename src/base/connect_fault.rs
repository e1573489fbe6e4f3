//! Why a connection to a server did not come about.

use std::fmt;
use std::io::ErrorKind;

/// Why no connection was established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// What the system says.
    System(ErrorKind),
    /// The TLS handshake failed.
    Handshake(HandshakeFault),
}

/// Why a TLS handshake with a server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    TimedOut,
    /// The server closed the connection.
    Closed,
    /// The server speaks something else.
    NotTls,
    Expired,
    NotYetValid,
    /// The certificate is for other names than the one that was expected.
    OtherName,
    UnknownIssuer,
    /// Anything else about the certificate.
    BadCertificate,
    /// The server has sent an alert.
    Refused,
    /// The messages break the protocol, or no version or cipher is common to both.
    Failed,
}

impl ConnectFault {
    /// Nothing came back in time.
    pub fn is_timeout(self) -> bool {
        match self {
            ConnectFault::System(kind) => kind == ErrorKind::TimedOut,
            ConnectFault::Handshake(fault) => fault == HandshakeFault::TimedOut,
        }
    }

    /// The server was reached, and the handshake failed.
    pub fn is_handshake(self) -> bool {
        match self {
            ConnectFault::System(_) => false,
            ConnectFault::Handshake(_) => true,
        }
    }
}

impl From<ErrorKind> for ConnectFault {
    fn from(kind: ErrorKind) -> ConnectFault {
        ConnectFault::System(kind)
    }
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFault::System(kind) => kind.fmt(out),
            ConnectFault::Handshake(fault) => fault.fmt(out),
        }
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            HandshakeFault::TimedOut => "TLS handshake timed out",
            HandshakeFault::Closed => "closed the connection during the TLS handshake",
            HandshakeFault::NotTls => "speaks no TLS",
            HandshakeFault::Expired => "certificate has expired",
            HandshakeFault::NotYetValid => {
                "certificate is not valid yet; is this machine's clock right?"
            }
            HandshakeFault::OtherName => "certificate is for another name",
            HandshakeFault::UnknownIssuer => "certificate is signed by nobody we trust",
            HandshakeFault::BadCertificate => "certificate cannot be used",
            HandshakeFault::Refused => "refused the TLS handshake",
            HandshakeFault::Failed => "TLS handshake failed",
        })
    }
}
