//! `rr`: in turn, by weight; the earliest due on a virtual clock is next, so heavy ones interleave.

use super::candidate::Candidate;
use super::explain::Reason;
use super::heap::Heap;
use super::policy::{Hint, Policy};
use super::turns::Turns;

/// The visible ones by when their turn is due.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    visible: Heap<u64>,
    turns: Turns,
}

impl Policy for RoundRobin {
    fn add(&mut self, index: usize, candidate: &Candidate) {
        self.turns.add(index, candidate.spec.weight);
    }

    fn reconfigure(&mut self, index: usize, candidate: &Candidate) {
        self.turns.reweigh(index, candidate.spec.weight);
    }

    fn enter(&mut self, index: usize, _candidate: &Candidate) {
        self.turns.enter(index);
        self.visible.set(index, self.turns.due(index));
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.visible.remove(index);
    }

    fn pick(&mut self, _candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        let index = self.visible.least()?;
        let due = self.turns.take(index);
        self.visible.raise_least(due);
        Some(index)
    }

    fn reason(&self, picked: usize, among: &[usize], _: &[Candidate], _: &Hint<'_>) -> Reason {
        // The pick has already moved the picked one on.
        let due = |&index: &usize| match index == picked {
            true => (index, self.turns.taken(index)),
            false => (index, self.turns.due(index)),
        };
        Reason::Turn { due: among.iter().map(due).collect() }
    }
}
