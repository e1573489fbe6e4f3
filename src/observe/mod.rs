//! What is told about the work: event lines, the access log. Formats into bounded memory; whoever
//! owns the kernel writes it out. Never calls back.

pub mod access;
pub mod journal;

/// What is remembered of one request for the logs.
#[derive(Debug, Default)]
pub struct Record {
    /// Status the client got; 0 while none.
    pub status: u16,
    /// Body bytes from the server, framing included.
    pub response_bytes: u64,
    /// What only the logs need; none when nothing is logged.
    pub noted: Option<Box<access::Noted>>,
}
