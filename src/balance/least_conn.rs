//! `least-conn`: fewest in-flight pairs per weight; ties in turn.

use super::balancer::Candidate;
use super::explain::Reason;
use super::heap::Heap;
use super::policy::{Change, Hint, Policy, slot};
use super::turns::Turns;
use std::cmp::Ordering;

/// How busy a backend is, and its place among those equally busy. The least is picked.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Pairs in flight.
    pub in_flight: u32,
    /// Its weight; levels compare as `in_flight / weight`, exactly.
    pub weight: u32,
    /// Among idle ones: when its turn is due, by weight; 0 for busy ones.
    pub due: u64,
    /// Then: first come, first served.
    pub order: i64,
}

impl Level {
    /// Without a place among its equals.
    pub(super) fn of(candidate: &Candidate) -> Level {
        let Candidate { spec, in_flight, .. } = *candidate;
        Level { in_flight, weight: spec.weight, due: 0, order: 0 }
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Level) -> Ordering {
        let mine = u64::from(self.in_flight) * u64::from(other.weight);
        let theirs = u64::from(other.in_flight) * u64::from(self.weight);
        mine.cmp(&theirs).then(self.due.cmp(&other.due)).then(self.order.cmp(&other.order))
    }
}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Level) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Level {
    fn eq(&self, other: &Level) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Level {}

/// The visible ones by level.
///
/// Idle backends take turns by weight, so that a client which comes alone still sees the weights.
/// Busy ones queue within their level: who just got a pair goes to the back; who just finished one
/// goes to the front, for it has proved to make progress.
#[derive(Debug, Default)]
pub(super) struct LeastConn {
    visible: Heap<Level>,
    turns: Turns,
    /// Place within a level by index; kept while invisible.
    orders: Vec<i64>,
    moves: i64,
}

impl LeastConn {
    fn level(&self, index: usize, candidate: &Candidate) -> Level {
        let due = if candidate.in_flight == 0 { self.turns.due(index) } else { 0 };
        Level { due, order: self.orders[index], ..Level::of(candidate) }
    }
}

impl Policy for LeastConn {
    fn add(&mut self, index: usize, candidate: &Candidate) {
        self.turns.add(index, candidate.spec.weight);
        *slot(&mut self.orders, index) = 0;
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
                self.moves += 1;
                self.orders[index] = self.moves;
            }
            Change::Ended => {
                self.turns.enter(index);
                self.moves += 1;
                let idle = candidate.in_flight == 0;
                self.orders[index] = if idle { self.moves } else { -self.moves };
            }
            Change::Served { .. } | Change::Probed { .. } => return,
            Change::Reported { .. } | Change::Failed => return,
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
