//! What is told about the work: event lines, the access log. Formats into bounded memory; whoever
//! owns the kernel writes it out. Never calls back.

pub mod access;
pub mod journal;

use crate::base::time::Instant;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Both messages were complete.
    #[default]
    Complete,
    /// Answered here, for this cause (a `Proxy-Status` error type).
    Local(&'static str),
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
            End::Local(cause) => cause,
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
    /// Body bytes from the server, framing included.
    pub response_bytes: u64,
    /// When the request's head was complete.
    pub arrived: Instant,
    /// When it was given a slot.
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
