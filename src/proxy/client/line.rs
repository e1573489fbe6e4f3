//! In which line a request waits.

use crate::base::backend_id::BackendId;

/// In which line of the queue a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// First come, first served.
    Open,
    /// Behind the others: its client has ended its side, so that it may be gone, or half-closed and
    /// waiting for the response.
    HalfClosed,
    /// Beside the others: for the server that its cookie names.
    Session(BackendId),
    /// For that server as well, behind all whose clients are there for certain.
    HalfClosedSession(BackendId),
}

impl Line {
    /// The one server that is waited for; none in the queue.
    pub fn backend(self) -> Option<BackendId> {
        match self {
            Line::Open | Line::HalfClosed => None,
            Line::Session(backend) | Line::HalfClosedSession(backend) => Some(backend),
        }
    }

    /// Where a request waits once its client has ended its side.
    pub fn half_closed(self) -> Line {
        match self {
            Line::Open | Line::HalfClosed => Line::HalfClosed,
            Line::Session(backend) | Line::HalfClosedSession(backend) => {
                Line::HalfClosedSession(backend)
            }
        }
    }
}
