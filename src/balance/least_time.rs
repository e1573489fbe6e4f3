//! `least-time`: lowest average response time, untried ones first, ties in turn.
//!
//! The average alone would send a burst to one server until its first response, and would never
//! return to a server that was slow once. So the score of a server is its average times the
//! requests it would then have in flight, and one unused for long is explored again.

use super::candidate::Candidate;
use super::explain::Reason;
use super::figures::{ResponseTime, Score};
use super::heap::Heap;
use super::policy::{Change, Hint, Policy};
use super::slot::slot;
use crate::base::time::Instant;
use std::time::Duration;

/// A response weighs in the average as the time since the one before, relative to this: after a
/// pause this long only the new response counts.
const MEMORY: Duration = Duration::from_secs(2);
/// The least weight of a response is one in this many, the gain of TCP for round-trip times
/// (RFC 6298 §2): under load the average follows within a few dozen responses.
const RESPONSES: u64 = 8;
/// An idle server not picked for this long is explored.
const EXPLORE_AFTER: Duration = Duration::from_secs(4);
/// Explorations are at most one in this many picks: a slow server costs about 4 % of them.
const EXPLORE_EVERY: u32 = 24;
/// Times are cut to this, so that sums stay far from overflow.
const TIME_MAX_US: u64 = 24 * 3_600 * 1_000_000;

/// What is known of one server.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Average of its responses, microseconds, and when the last came.
    responses: Option<(u64, Instant)>,
    probe_us: Option<u64>,
    picked_at: Instant,
    /// When it last got a request, counted in requests; 0: never.
    order: u64,
}

impl Memory {
    fn score(&self, candidate: &Candidate) -> Score {
        let known = self.responses.map(|(average_us, _)| average_us).or(self.probe_us);
        let time = match known {
            _ if self.order == 0 => ResponseTime::Untried,
            Some(us) => ResponseTime::Average(us),
            None => ResponseTime::Unanswered,
        };
        let Candidate { spec, in_flight, .. } = *candidate;
        Score { time, in_flight, weight: spec.weight, order: self.order }
    }

    /// Adds one response to the average.
    fn learn(&mut self, response_us: u64, now: Instant) {
        let response_us = response_us.min(TIME_MAX_US);
        let average_us = match self.responses {
            None => response_us,
            Some((average_us, last)) => {
                let memory = MEMORY.as_micros() as u64;
                let gap = now.since(last).as_micros().min(MEMORY.as_micros()) as u64;
                let part = gap.max(memory / RESPONSES);
                let kept = u128::from(average_us) * u128::from(memory - part);
                let added = u128::from(response_us) * u128::from(part);
                ((kept + added) / u128::from(memory)) as u64
            }
        };
        self.responses = Some((average_us, now));
    }
}

/// The visible ones by score.
#[derive(Debug, Default)]
pub(super) struct LeastTime {
    visible: Heap<Score>,
    memories: Vec<Memory>,
    sequence: u64,
    /// The index last considered for exploration: one per pick, in a circle.
    cursor: usize,
    picks_since_explored: u32,
}

impl LeastTime {
    /// An idle server due for exploration, if the cursor is on one.
    fn explore(&mut self, candidates: &[Candidate], now: Instant) -> Option<usize> {
        self.picks_since_explored = self.picks_since_explored.saturating_add(1);
        self.cursor = (self.cursor + 1) % self.memories.len().max(1);
        let index = self.cursor;
        let due = self.picks_since_explored >= EXPLORE_EVERY
            && self.visible.contains(index)
            && candidates[index].in_flight == 0
            && now.since(self.memories[index].picked_at) >= EXPLORE_AFTER;
        if due {
            self.picks_since_explored = 0;
        }
        due.then_some(index)
    }
}

impl Policy for LeastTime {
    fn add(&mut self, index: usize, _candidate: &Candidate) {
        *slot(&mut self.memories, index) = Memory::default();
    }

    fn enter(&mut self, index: usize, candidate: &Candidate) {
        self.visible.set(index, self.memories[index].score(candidate));
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.visible.remove(index);
    }

    fn change(&mut self, index: usize, candidate: &Candidate, change: Change) {
        let memory = &mut self.memories[index];
        match change {
            Change::Began => {
                self.sequence += 1;
                memory.order = self.sequence;
            }
            Change::Served { response_us, now } => memory.learn(response_us, now),
            Change::Probed { duration_us } => memory.probe_us = Some(duration_us.min(TIME_MAX_US)),
            Change::Ended => {}
            Change::Reported { .. } | Change::Failed => return,
        }
        self.visible.update(index, memory.score(candidate));
    }

    fn pick(&mut self, candidates: &[Candidate], hint: &Hint<'_>) -> Option<usize> {
        let explored = self.explore(candidates, hint.now);
        let index = explored.or_else(|| self.visible.least())?;
        self.memories[index].picked_at = hint.now;
        Some(index)
    }

    fn reason(&self, picked: usize, among: &[usize], all: &[Candidate], _: &Hint<'_>) -> Reason {
        let score = |&index: &usize| (index, self.memories[index].score(&all[index]));
        let among: Vec<_> = among.iter().map(score).collect();
        match self.picks_since_explored {
            0 => Reason::Explored { score: self.memories[picked].score(&all[picked]) },
            _ => Reason::Time { among },
        }
    }
}
