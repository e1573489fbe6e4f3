//! `least-load`: fewest requests per weight as its health check reports them, then fewest errors.

use super::balancer::Candidate;
use super::explain::Reason;
use super::heap::Heap;
use super::policy::{Change, Hint, Policy, slot};
use std::cmp::Ordering;

/// What a backend has done so far, by its last report plus what went there since; our own counts
/// where it never reported. The least is picked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Requests so far; compared per weight, exactly.
    pub requests: u64,
    /// Its weight.
    pub weight: u32,
    /// Errors so far; they decide between equals.
    pub errors: u64,
    /// Then: who had a request longest ago.
    pub order: u64,
}

impl Ord for Load {
    fn cmp(&self, other: &Load) -> Ordering {
        let mine = u128::from(self.requests) * u128::from(other.weight);
        let theirs = u128::from(other.requests) * u128::from(self.weight);
        mine.cmp(&theirs).then(self.errors.cmp(&other.errors)).then(self.order.cmp(&other.order))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Load) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Load) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Load {}

/// The visible ones by load.
#[derive(Debug, Default)]
pub(super) struct LeastLoad {
    visible: Heap<Load>,
    loads: Vec<Load>,
    moves: u64,
}

impl Policy for LeastLoad {
    fn add(&mut self, index: usize, candidate: &Candidate) {
        *slot(&mut self.loads, index) = Load { weight: candidate.spec.weight, ..Load::default() };
    }

    fn enter(&mut self, index: usize, _candidate: &Candidate) {
        self.visible.set(index, self.loads[index]);
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.visible.remove(index);
    }

    fn change(&mut self, index: usize, _candidate: &Candidate, change: Change) {
        let load = &mut self.loads[index];
        match change {
            Change::Began => {
                self.moves += 1;
                load.order = self.moves;
                load.requests = load.requests.saturating_add(1);
            }
            Change::Failed => load.errors = load.errors.saturating_add(1),
            Change::Reported { requests, errors } => {
                *load = Load { requests, errors, ..*load };
            }
            Change::Ended | Change::Served { .. } | Change::Probed { .. } => return,
        }
        self.visible.update(index, *load);
    }

    fn pick(&mut self, _candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        self.visible.least()
    }

    fn reason(&self, _: usize, among: &[usize], _: &[Candidate], _: &Hint<'_>) -> Reason {
        let load = |&index: &usize| (index, self.loads[index]);
        Reason::Load { among: among.iter().map(load).collect() }
    }
}
