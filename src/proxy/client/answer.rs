//! An answer made here, as a value: its status, why it is given, and the word for that. Pure.

use crate::base::backend_id::BackendId;
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
    /// The backend that `Location` names, with the request's path.
    pub location: Option<BackendId>,
}

impl Answer {
    /// An answer without a `Location`.
    pub const fn local(status: u16, reason: &'static str, cause: ProxyError) -> Self {
        Answer { status, reason, cause, location: None }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        Answer::local(refusal.status, refusal.reason, ProxyError::Request)
    }
}
