//! Why requests were sent again, connects failed and clients were limited, what became of PROXY
//! headers, and the classes of responses: the values of labels.

use crate::base::connect_fault::ConnectFault;
use std::io::ErrorKind;

/// Why a request was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// The server could not be connected to.
    Connect,
    /// The connect took too long.
    ConnectTimeout,
    /// The server closed the connection without a response.
    Closed,
    /// The response did not come in time.
    Timeout,
    /// What came was no usable response.
    Malformed,
    /// The server was silent while its health checks failed.
    Silent,
}

impl RetryReason {
    /// All of them, in the order of their counters.
    pub const ALL: [RetryReason; 6] = [
        RetryReason::Connect,
        RetryReason::ConnectTimeout,
        RetryReason::Closed,
        RetryReason::Timeout,
        RetryReason::Malformed,
        RetryReason::Silent,
    ];

    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            RetryReason::Connect => "connect",
            RetryReason::ConnectTimeout => "connect_timeout",
            RetryReason::Closed => "closed",
            RetryReason::Timeout => "timeout",
            RetryReason::Malformed => "malformed",
            RetryReason::Silent => "silent",
        }
    }
}

/// How connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectKind {
    Refused,
    Timeout,
    Unreachable,
    Reset,
    /// The TLS handshake failed.
    Tls,
    Other,
}

impl ConnectKind {
    /// All of them, in the order of their counters.
    pub const ALL: [ConnectKind; 6] = [
        ConnectKind::Refused,
        ConnectKind::Timeout,
        ConnectKind::Unreachable,
        ConnectKind::Reset,
        ConnectKind::Tls,
        ConnectKind::Other,
    ];

    /// The value of the label `kind`.
    pub fn name(self) -> &'static str {
        match self {
            ConnectKind::Refused => "refused",
            ConnectKind::Timeout => "timeout",
            ConnectKind::Unreachable => "unreachable",
            ConnectKind::Reset => "reset",
            ConnectKind::Tls => "tls",
            ConnectKind::Other => "other",
        }
    }
}

impl From<ConnectFault> for ConnectKind {
    fn from(fault: ConnectFault) -> ConnectKind {
        let kind = match fault {
            ConnectFault::Handshake(_) => return ConnectKind::Tls,
            ConnectFault::System(kind) => kind,
        };
        match kind {
            ErrorKind::ConnectionRefused => ConnectKind::Refused,
            ErrorKind::TimedOut => ConnectKind::Timeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ConnectKind::Unreachable,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ConnectKind::Reset,
            _ => ConnectKind::Other,
        }
    }
}

/// The classes of status codes, as labels.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What became of a PROXY header that was required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderOutcome {
    /// It names a client.
    Client,
    /// It names a client without an IP address.
    Unknown,
    /// The connection is the proxy's own.
    Proxy,
    /// The connection ended before its first byte, as health checks of connections do.
    None,
    /// It did not come in time.
    Late,
    /// Something else came, or not all of it.
    Malformed,
}

impl HeaderOutcome {
    /// All of them, in the order of their places.
    pub const ALL: [HeaderOutcome; 6] = [
        HeaderOutcome::Client,
        HeaderOutcome::Unknown,
        HeaderOutcome::Proxy,
        HeaderOutcome::None,
        HeaderOutcome::Late,
        HeaderOutcome::Malformed,
    ];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            HeaderOutcome::Client => "client",
            HeaderOutcome::Unknown => "unknown",
            HeaderOutcome::Proxy => "local",
            HeaderOutcome::None => "none",
            HeaderOutcome::Late => "timeout",
            HeaderOutcome::Malformed => "malformed",
        }
    }
}

/// Which limit a client was above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLimit {
    /// Requests, or sessions, a second.
    Rate,
    /// Connections.
    Connections,
}

impl ClientLimit {
    /// All of them, in the order of their places.
    pub const ALL: [ClientLimit; 2] = [ClientLimit::Rate, ClientLimit::Connections];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            ClientLimit::Rate => "rate",
            ClientLimit::Connections => "connections",
        }
    }
}
