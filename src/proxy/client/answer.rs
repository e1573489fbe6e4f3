//! An answer made here, as a value: its status, why it is given, and the word for that. Pure.

use crate::http::head::Refusal;
use crate::observe::ProxyError;

/// An answer and why it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// One clause: what went wrong.
    pub reason: &'static str,
    /// Error type for `Proxy-Status`.
    pub cause: ProxyError,
    /// `Retry-After` in seconds, where it does not follow from the status and the queue.
    pub retry_after: Option<u32>,
}

impl Answer {
    /// An answer with `status`, given for `reason`.
    pub const fn local(status: u16, reason: &'static str, cause: ProxyError) -> Self {
        Answer { status, reason, cause, retry_after: None }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        let error = if refusal.status == 508 { ProxyError::Loop } else { ProxyError::Request };
        Answer::local(refusal.status, refusal.reason, error)
    }
}
