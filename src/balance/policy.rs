//! What a policy is told and asked. Who may be picked at all is the balancer's business, not its.

use super::Strategy;
use super::balancer::Candidate;
use super::explain::Reason;
use super::first::First;
use super::hashed::Hashed;
use super::least_conn::LeastConn;
use super::least_load::LeastLoad;
use super::least_time::LeastTime;
use super::p2c::PowerOfTwo;
use super::random::Random;
use super::rank::Rank;
use super::round_robin::RoundRobin;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// What is known about the request that needs a backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint<'a> {
    /// Backends that already failed this request: not picked again.
    pub tried: &'a [usize],
    /// [`super::hash`] of the client's address, the target or the field; read by the hash
    /// strategies only.
    pub hash: u64,
    /// When the pick is made.
    pub now: Instant,
}

/// What happened to one backend, visible or not; the candidate passed along is already updated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// A pair was made with it.
    Began,
    /// A pair with it ended.
    Ended,
    /// It answered a client's request after so many microseconds.
    Served { response_us: u64, now: Instant },
    /// It passed a probe which took so many microseconds.
    Probed { duration_us: u64 },
    /// Its health check reported its own counts.
    Reported { requests: u64, errors: u64 },
    /// A client's request failed on it.
    Failed,
}

/// One way to choose among the visible candidates. `leave` followed by `enter` must not cost a
/// candidate its place: the balancer hides the tried ones that way for the time of one pick.
pub(super) trait Policy {
    /// A backend is configured at `index`, not yet visible; forgets what was known of that slot.
    fn add(&mut self, index: usize, candidate: &Candidate);
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

/// A new policy of this strategy, knowing nobody.
pub(super) fn of(strategy: Strategy, seed: u64) -> Box<dyn Policy> {
    match strategy {
        Strategy::First => Box::new(First::default()),
        Strategy::RoundRobin => Box::new(RoundRobin::default()),
        Strategy::Random => Box::new(Random::new(Rng::new(seed))),
        Strategy::LeastConn => Box::new(LeastConn::default()),
        Strategy::LeastTime => Box::new(LeastTime::default()),
        Strategy::LeastLoad => Box::new(LeastLoad::default()),
        Strategy::Rank => Box::new(Rank::new(Rng::new(seed))),
        Strategy::PowerOfTwo => Box::new(PowerOfTwo::new(Rng::new(seed))),
        Strategy::Source | Strategy::Uri | Strategy::Header => Box::new(Hashed::default()),
    }
}

/// The entry of `index` in a table that grows as backends are added.
pub(super) fn slot<T: Default + Clone>(table: &mut Vec<T>, index: usize) -> &mut T {
    if table.len() <= index {
        table.resize(index + 1, T::default());
    }
    &mut table[index]
}
