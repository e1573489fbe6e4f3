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
}
