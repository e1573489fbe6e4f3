//! The interface between the balancer and its policies. Which backends are eligible at all is
//! decided by the balancer.

use super::candidate::Candidate;
use super::explain::Reason;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;

/// What is known about the request that needs a backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint<'a> {
    /// Backends that already failed this request: not picked again.
    pub tried: &'a [BackendId],
    /// `hash` of the client's address, the target or the field; read by the hash
    /// strategies only.
    pub hash: u64,
    /// When the pick is made.
    pub now: Instant,
}

/// What happened to one backend, visible or not; the candidate passed along is already updated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// A pair with it began.
    Began,
    /// A pair with it ended.
    Ended,
    /// It answered a client's request after this many microseconds.
    Served { response_us: u64, now: Instant },
    /// It passed a probe that took this many microseconds.
    Probed { duration_us: u64 },
    /// Its health check reported its own counts.
    Reported { requests: u64, errors: u64 },
    /// A client's request failed on it; how long a response is assumed to have taken, if known.
    Failed { counted_us: Option<u64>, now: Instant },
    /// A failed request counts as in flight from now on.
    Held,
    /// A failed request does not count as in flight any more.
    Released,
}

/// One way to choose among the visible candidates. `leave` followed by `enter` must not cost a
/// candidate its place: the balancer hides the tried ones that way for the duration of one pick.
pub(super) trait Policy {
    /// A backend is configured at `index`, not yet visible; forgets what was known of that entry.
    fn add(&mut self, index: usize, candidate: &Candidate);
    /// The backend at `index`, which is not visible, is no longer configured.
    fn remove(&mut self, _index: usize) {}
    /// Its spec changed within the tier, while it is not visible; what was learned of it stays.
    fn reconfigure(&mut self, _index: usize, _candidate: &Candidate) {}
    /// It may be picked from now on.
    fn enter(&mut self, index: usize, candidate: &Candidate);
    /// It may not be picked until it enters again.
    fn leave(&mut self, index: usize, candidate: &Candidate);
    /// Something happened to it.
    fn change(&mut self, _index: usize, _candidate: &Candidate, _change: Change) {}
    /// One of the visible ones; none only when none is visible.
    fn pick(&mut self, candidates: &[Candidate], hint: &Hint<'_>) -> Option<usize>;
    /// Why the last `pick` chose `picked` among `among`; nothing may have changed since.
    fn reason(&self, picked: usize, among: &[usize], all: &[Candidate], hint: &Hint<'_>) -> Reason;
}
