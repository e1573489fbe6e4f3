//! `first`: always the first eligible one in the given order; the others are spares.

use super::candidate::Candidate;
use super::explain::Reason;
use super::heap::Heap;
use super::policy::{Hint, Policy};

/// The visible ones; with equal keys the lowest index comes first.
#[derive(Debug, Default)]
pub(super) struct First {
    visible: Heap<()>,
}

impl Policy for First {
    fn add(&mut self, _index: usize, _candidate: &Candidate) {}

    fn enter(&mut self, index: usize, _candidate: &Candidate) {
        self.visible.set(index, ());
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.visible.remove(index);
    }

    fn pick(&mut self, _candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        self.visible.least()
    }

    fn reason(&self, _picked: usize, among: &[usize], _: &[Candidate], _: &Hint<'_>) -> Reason {
        Reason::First { among: among.to_vec() }
    }
}
