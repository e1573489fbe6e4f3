//! What is told about the work: event lines, the access log. Formats into bounded memory; whoever
//! owns the kernel writes it out. Never calls back.

pub mod access;
pub mod log_buffer;

use crate::base::time::Instant;

/// Why a request was answered here: error types of the `Proxy-Status` field (RFC 9209 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    Request,
    Limit,
    Unavailable,
    Terminated,
    Protocol,
    Timeout,
    Internal,
    /// No error: the answer is this program's to give.
    None,
}

impl ProxyError {
    /// As the field and the logs name it.
    pub fn name(self) -> &'static str {
        match self {
            ProxyError::Request => "http_request_error",
            ProxyError::Limit => "connection_limit_reached",
            ProxyError::Unavailable => "destination_unavailable",
            ProxyError::Terminated => "connection_terminated",
            ProxyError::Protocol => "http_protocol_error",
            ProxyError::Timeout => "http_response_timeout",
            ProxyError::Internal => "proxy_internal_error",
            ProxyError::None => "proxy_internal_response",
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Both messages were complete.
    #[default]
    Complete,
    /// Answered here, for this cause.
    Local(ProxyError),
    /// The client reset or ended too early.
    ClientGone,
    /// The server closed before its response was complete.
    ServerClosed,
    /// The server's response broke its framing.
    ServerMalformed,
    /// Nothing moved for too long.
    TimedOut,
}

impl Outcome {
    /// As the logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Local(cause) => cause.name(),
            Outcome::ClientGone => "client_gone",
            Outcome::ServerClosed => "server_closed",
            Outcome::ServerMalformed => "server_malformed",
            Outcome::TimedOut => "timed_out",
        }
    }
}

/// What is remembered of one request for the logs and the policies.
#[derive(Debug, Default)]
pub struct Record {
    /// Status the client got; 0 while none.
    pub status: u16,
    /// Further attempts after the first.
    pub retries: u8,
    pub outcome: Outcome,
    /// Body bytes for the client: from the server, framing included, or of the page made here.
    pub response_bytes: u64,
    /// When the request's head was complete; of one that never was, when its first byte came.
    pub arrived: Instant,
    /// When it was given a slot or an answer without one.
    pub admitted: Instant,
    /// When the last attempt began.
    pub begun: Instant,
    /// When the last attempt's connection was established; none for a pooled one.
    pub connected: Option<Instant>,
    /// When the head of the final response had come.
    pub answered: Option<Instant>,
    /// What only the logs need; none when nothing is logged.
    pub notes: Option<Box<access::RequestNotes>>,
}
