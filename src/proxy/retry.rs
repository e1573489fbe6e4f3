//! What a request has been through before its present attempt.

use crate::base::backend_id::BackendId;
use crate::observe::Record;

/// Attempts of one request and what they cost. It goes with the request from attempt to attempt,
/// also while the request waits for room between two of them.
#[derive(Debug, Default)]
pub struct Tried {
    /// Backends that failed it, in the order they did.
    pub backends: Vec<BackendId>,
    /// Backends believed down that were tried because no other was left.
    pub last_resorts: u8,
    /// It was taken from a server that hung: that is done once.
    pub rerouted: bool,
    /// It waited for a slow connect up to the full time-out: that is done once.
    pub connect_extended: bool,
    /// It has waited as long as it may for the server that its cookie names: any other will do.
    pub session_over: bool,
    /// Attempts of which a server may have seen something.
    pub seen: u8,
}

/// A request that goes on from here at its next attempt.
#[derive(Debug)]
pub struct RetryState {
    pub tried: Tried,
    pub record: Record,
}
