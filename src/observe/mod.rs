//! Records of requests, and the lines of the access and event logs. Formats into bounded memory;
//! the `net` modules write it out.

pub mod access;
pub mod causes;
pub mod client;
pub mod counters;
pub mod event;
pub mod event_time;
pub mod families;
pub mod histogram;
pub mod json;
pub mod line;
pub mod log_buffer;
pub mod page;
pub mod prometheus;
pub mod recent;
#[cfg(test)]
pub mod sample;
pub mod seconds;
pub mod secured;
pub mod snapshot;
pub mod state;
pub mod status;
pub mod status_text;

use crate::base::time::Instant;

/// Why this program answered a request itself: error types of `Proxy-Status` (RFC 9209 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// The request is malformed, incomplete or not supported (§2.3.16).
    Request,
    /// A limit on requests or connections is reached (§2.3.12).
    Limit,
    /// No server can be used (§2.3.4).
    Unavailable,
    /// The server closed the connection before it answered (§2.3.8).
    Terminated,
    /// The response of the server is malformed (§2.3.28).
    Protocol,
    /// The server did not answer in time (§2.3.26).
    Timeout,
    /// This program could not handle the request (§2.3.30).
    Internal,
    /// The request has been forwarded by this program before (§2.3.32).
    Loop,
    /// No error: this program is the one to answer, for example with a redirect (§2.3.29).
    InternalResponse,
    /// The client sends more than it may (§2.3.17).
    Denied,
}

impl ProxyError {
    /// All of them, in the order of their counters.
    pub const ALL: [ProxyError; 10] = [
        ProxyError::Request,
        ProxyError::Limit,
        ProxyError::Unavailable,
        ProxyError::Terminated,
        ProxyError::Protocol,
        ProxyError::Timeout,
        ProxyError::Internal,
        ProxyError::Loop,
        ProxyError::InternalResponse,
        ProxyError::Denied,
    ];

    /// The registered name, as `Proxy-Status` and the logs have it.
    pub fn name(self) -> &'static str {
        match self {
            ProxyError::Request => "http_request_error",
            ProxyError::Denied => "http_request_denied",
            ProxyError::Limit => "connection_limit_reached",
            ProxyError::Unavailable => "destination_unavailable",
            ProxyError::Terminated => "connection_terminated",
            ProxyError::Protocol => "http_protocol_error",
            ProxyError::Timeout => "http_response_timeout",
            ProxyError::Internal => "proxy_internal_error",
            ProxyError::Loop => "proxy_loop_detected",
            ProxyError::InternalResponse => "proxy_internal_response",
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Request and response were forwarded whole.
    #[default]
    Complete,
    /// This program answered itself.
    Local(ProxyError),
    /// The client closed or reset the connection too early.
    ClientGone,
    /// The client was slower than `--min-rate` while others waited.
    ClientSlow,
    /// The server closed before its response was complete.
    ServerClosed,
    /// The response of the server was malformed after it had begun.
    ServerMalformed,
    /// No byte moved for too long.
    TimedOut,
    /// The program ended first.
    Stopped,
}

impl Outcome {
    /// The name in the logs.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Local(cause) => cause.name(),
            Outcome::ClientGone => "client_gone",
            Outcome::ClientSlow => "client_slow",
            Outcome::ServerClosed => "server_closed",
            Outcome::ServerMalformed => "server_malformed",
            Outcome::TimedOut => "timed_out",
            Outcome::Stopped => "stopped",
        }
    }
}

/// What one request came to, for the logs and the balancing policies.
#[derive(Debug, Default)]
pub struct Record {
    /// Status of the response to the client; 0 while there is none.
    pub status: u16,
    /// Number of attempts after the first.
    pub retries: u8,
    pub outcome: Outcome,
    /// Body bytes sent to the client: of the server, including chunked framing, or of our page.
    pub response_bytes: u64,
    /// Bytes of the request's body, or of the tunnel, that went to the server in the last attempt.
    pub request_bytes: u64,
    /// When the request head was complete; if it never was, when its first byte arrived.
    pub arrived: Instant,
    /// When it sought a slot: the head, and as much of the body as is collected, were there.
    pub ready: Instant,
    /// When it got a slot, or was answered without one.
    pub admitted: Instant,
    /// When the last attempt started.
    pub begun: Instant,
    /// When the connection of the last attempt was established; none for a pooled one.
    pub connected: Option<Instant>,
    /// When the head of the final response was complete.
    pub answered: Option<Instant>,
    /// Text for the logs; none when nothing is logged.
    pub notes: Option<Box<access::RequestNotes>>,
}

impl Record {
    /// Whether the request has waited for a slot.
    pub fn has_queued(&self) -> bool {
        self.admitted > self.ready
    }

    /// Bytes of both bodies that went on so far.
    #[inline]
    pub fn body_bytes(&self) -> u64 {
        self.request_bytes + self.response_bytes
    }
}
