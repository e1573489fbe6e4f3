//! `least-conn`: fewest requests in flight, relative to weight; ties in turn.

use super::candidate::Candidate;
use super::explain::Reason;
use super::figures::Level;
use super::heap::Heap;
use super::policy::{Change, Hint, Policy};
use super::slot::slot;
use super::turns::Turns;

/// The visible ones by level.
///
/// Idle backends take turns by weight, so that one client at a time is still spread by weight. Busy
/// ones queue within their level: one that just got a pair goes to the back, one that just finished
/// a pair goes to the front, because it makes progress.
#[derive(Debug, Default)]
pub(super) struct LeastConn {
    visible: Heap<Level>,
    turns: Turns,
    /// Order within a level by index; kept while invisible.
    orders: Vec<i64>,
    sequence: i64,
}

impl LeastConn {
    fn level(&self, index: usize, candidate: &Candidate) -> Level {
        let due = if candidate.load() == 0 { self.turns.due(index) } else { 0 };
        Level { due, order: self.orders[index], ..Level::of(candidate) }
    }
}

impl Policy for LeastConn {
    fn add(&mut self, index: usize, candidate: &Candidate) {
        self.turns.add(index, candidate.spec.weight);
        *slot(&mut self.orders, index) = 0;
    }

    fn reconfigure(&mut self, index: usize, candidate: &Candidate) {
        self.turns.reweigh(index, candidate.spec.weight);
    }

    fn enter(&mut self, index: usize, candidate: &Candidate) {
        self.turns.enter(index);
        self.visible.set(index, self.level(index, candidate));
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.visible.remove(index);
    }

    fn change(&mut self, index: usize, candidate: &Candidate, change: Change) {
        match change {
            Change::Began => {
                self.turns.take(index);
                self.sequence += 1;
                self.orders[index] = self.sequence;
            }
            Change::Ended => {
                self.turns.enter(index);
                self.sequence += 1;
                let makes_progress = candidate.load() > 0 && !candidate.failing;
                self.orders[index] = if makes_progress { -self.sequence } else { self.sequence };
            }
            Change::Released => self.turns.enter(index),
            Change::Held => {}
            Change::Served { .. } | Change::Probed { .. } => return,
            Change::Reported { .. } | Change::Failed { .. } => return,
        }
        self.visible.update(index, self.level(index, candidate));
    }

    fn pick(&mut self, _candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        self.visible.least()
    }

    fn reason(&self, _: usize, among: &[usize], all: &[Candidate], _: &Hint<'_>) -> Reason {
        let level = |&index: &usize| (index, self.level(index, &all[index]));
        Reason::Conns { among: among.iter().map(level).collect() }
    }
}
