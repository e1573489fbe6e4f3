//! `least-load`: fewest requests per weight as its health check reports them, then fewest errors.

use super::candidate::Candidate;
use super::explain::Reason;
use super::figures::Load;
use super::heap::Heap;
use super::policy::{Change, Hint, Policy};
use super::slot::slot;

/// The visible ones by load.
#[derive(Debug, Default)]
pub(super) struct LeastLoad {
    visible: Heap<Load>,
    loads: Vec<Load>,
    sequence: u64,
}

impl Policy for LeastLoad {
    fn add(&mut self, index: usize, candidate: &Candidate) {
        *slot(&mut self.loads, index) = Load { weight: candidate.spec.weight, ..Load::default() };
    }

    fn reconfigure(&mut self, index: usize, candidate: &Candidate) {
        self.loads[index].weight = candidate.spec.weight;
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
                self.sequence += 1;
                load.order = self.sequence;
                load.requests = load.requests.saturating_add(1);
            }
            Change::Failed { .. } => load.errors = load.errors.saturating_add(1),
            Change::Reported { requests, errors } => {
                *load = Load { requests, errors, ..*load };
            }
            Change::Ended | Change::Served { .. } | Change::Probed { .. } => return,
            Change::Held | Change::Released => return,
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
