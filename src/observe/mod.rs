//! What is told about the work: event lines, the access log. Formats into bounded memory; whoever
//! owns the kernel writes it out. Never calls back.

pub mod access;
pub mod journal;

use crate::base::time::Instant;

/// Why a request was answered here: error types of the `Proxy-Status` field (RFC 9209 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Request,
    Limit,
    Unavailable,
    Terminated,
    Protocol,
    Timeout,
    Internal,
    /// No error: the answer is this program's to give.
    Own,
}

impl Cause {
    /// As the field and the logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Request => "http_request_error",
            Cause::Limit => "connection_limit_reached",
            Cause::Unavailable => "destination_unavailable",
            Cause::Terminated => "connection_terminated",
            Cause::Protocol => "http_protocol_error",
            Cause::Timeout => "http_response_timeout",
            Cause::Internal => "proxy_internal_error",
            Cause::Own => "proxy_internal_response",
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Both messages were complete.
    #[default]
    Complete,
    /// Answered here, for this cause.
    Local(Cause),
    /// The client reset or ended too early.
    ClientGone,
    /// The server closed before its response was complete.
    ServerClosed,
    /// The server's response broke its framing.
    ServerMalformed,
    /// Nothing moved for too long.
    TimedOut,
}

impl End {
    /// As the logs name it.
    pub fn name(self) -> &'static str {
        match self {
            End::Complete => "complete",
            End::Local(cause) => cause.name(),
            End::ClientGone => "client_gone",
            End::ServerClosed => "server_closed",
            End::ServerMalformed => "server_malformed",
            End::TimedOut => "timed_out",
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
    pub end: End,
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
    pub noted: Option<Box<access::Noted>>,
}
