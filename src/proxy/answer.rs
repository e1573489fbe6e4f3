//! An answer made here, as a value: its status, why it is given, and the word for that. Pure.

use crate::http::head::Refusal;

/// Error types of the `Proxy-Status` field (RFC 9209 §2.3).
pub mod cause {
    pub const REQUEST: &str = "http_request_error";
    pub const LIMIT: &str = "connection_limit_reached";
    pub const UNAVAILABLE: &str = "destination_unavailable";
    pub const TERMINATED: &str = "connection_terminated";
    pub const PROTOCOL: &str = "http_protocol_error";
    pub const TIMEOUT: &str = "http_response_timeout";
    pub const INTERNAL: &str = "proxy_internal_error";
    pub const OWN: &str = "proxy_internal_response";
}

/// An answer and why it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    /// One clause: what went wrong.
    pub reason: &'static str,
    /// Error type for `Proxy-Status`.
    pub cause: &'static str,
    /// Authority and path of `Location`.
    pub location: Option<(&'a [u8], &'a [u8])>,
}

impl Answer<'static> {
    /// An answer without a `Location`.
    pub const fn local(status: u16, reason: &'static str, cause: &'static str) -> Self {
        Answer { status, reason, cause, location: None }
    }
}

impl From<Refusal> for Answer<'static> {
    fn from(refusal: Refusal) -> Answer<'static> {
        Answer::local(refusal.status, refusal.reason, cause::REQUEST)
    }
}
