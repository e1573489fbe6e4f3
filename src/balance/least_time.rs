//! `least-time`: lowest average response time, untried ones first, ties in turn.
//!
//! The average alone would send a burst to one server until its first answer, and would never look
//! again at a server that was slow once. So a server's score is its average times the requests it
//! would then have in flight, and one unused for long is explored now and then.

use super::balancer::Candidate;
use super::explain::Reason;
use super::heap::Heap;
use super::policy::{Change, Hint, Policy, slot};
use crate::base::time::Instant;
use std::cmp::Ordering;
use std::time::Duration;

/// An answer weighs in the average with the time since the one before as a part of this: after a
/// pause this long the new answer is all that counts.
const MEMORY: Duration = Duration::from_secs(2);
/// The least weight of an answer is one in this many, TCP's gain for its round-trip times
/// (RFC 6298 §2): under load the average follows within some dozen answers.
const ANSWERS: u64 = 8;
/// An idle server not picked for this long is explored.
const EXPLORE_AFTER: Duration = Duration::from_secs(4);
/// Explorations are at most one in this many picks: a slow server costs about 4 % of them.
const EXPLORE_EVERY: u32 = 24;
/// Times are cut to this, so that sums stay far from overflow.
const TIME_MAX_US: u64 = 24 * 3_600 * 1_000_000;

/// What is known about a server's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// It never had a request: comes first.
    Untried,
    /// Microseconds: the decaying average of its answers, until then its last probe's time.
    Average(u64),
    /// It had requests but answered none yet: comes last.
    Unanswered,
}

/// How long an answer may be expected to take, and its place among equals. The least is picked.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// What is known about its time.
    pub pace: Pace,
    /// Pairs in flight.
    pub in_flight: u32,
    /// Its weight.
    pub weight: u32,
    /// Then: who had a request longest ago.
    pub order: u64,
}

impl Score {
    /// The time until it would have worked off what it holds and one more, per weight: the first
    /// figure over the second. Where no time is known every request counts the same.
    fn expected(&self) -> (u128, u128) {
        let time_us = match self.pace {
            Pace::Untried | Pace::Unanswered => 1,
            Pace::Average(us) => us.max(1),
        };
        (u128::from(time_us) * (u128::from(self.in_flight) + 1), self.weight.into())
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> Ordering {
        let class = |pace| match pace {
            Pace::Untried => 0,
            Pace::Average(_) => 1,
            Pace::Unanswered => 2,
        };
        let ((mine, my_weight), (theirs, their_weight)) = (self.expected(), other.expected());
        let classes = class(self.pace).cmp(&class(other.pace));
        let times = (mine * their_weight).cmp(&(theirs * my_weight));
        match self.pace {
            // In the given order, whatever the weights: each gets its first request.
            Pace::Untried => classes,
            Pace::Average(_) | Pace::Unanswered => {
                classes.then(times).then(self.order.cmp(&other.order))
            }
        }
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Score) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

/// What is remembered of one server.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Average of its answers and when the last came.
    answers: Option<(u64, Instant)>,
    probe_us: Option<u64>,
    picked_at: Instant,
    /// When it last got a request, counted in requests; 0: never.
    order: u64,
}

impl Memory {
    fn score(&self, candidate: &Candidate) -> Score {
        let known = self.answers.map(|(average_us, _)| average_us).or(self.probe_us);
        let pace = match known {
            _ if self.order == 0 => Pace::Untried,
            Some(us) => Pace::Average(us),
            None => Pace::Unanswered,
        };
        let Candidate { spec, in_flight, .. } = *candidate;
        Score { pace, in_flight, weight: spec.weight, order: self.order }
    }

    /// Takes one answer into the average.
    fn learn(&mut self, response_us: u64, now: Instant) {
        let response_us = response_us.min(TIME_MAX_US);
        let average_us = match self.answers {
            None => response_us,
            Some((average_us, last)) => {
                let memory = MEMORY.as_micros() as u64;
                let gap = now.since(last).as_micros().min(MEMORY.as_micros()) as u64;
                let part = gap.max(memory / ANSWERS);
                let kept = u128::from(average_us) * u128::from(memory - part);
                let added = u128::from(response_us) * u128::from(part);
                ((kept + added) / u128::from(memory)) as u64
            }
        };
        self.answers = Some((average_us, now));
    }
}

/// The visible ones by score.
#[derive(Debug, Default)]
pub(super) struct LeastTime {
    visible: Heap<Score>,
    memories: Vec<Memory>,
    moves: u64,
    /// The index looked at last for one to explore: one per pick, round and round.
    hand: usize,
    picks_since_explored: u32,
}

impl LeastTime {
    /// An idle server due for exploration, if the hand stands on one.
    fn explore(&mut self, candidates: &[Candidate], now: Instant) -> Option<usize> {
        self.picks_since_explored = self.picks_since_explored.saturating_add(1);
        self.hand = (self.hand + 1) % self.memories.len().max(1);
        let index = self.hand;
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
                self.moves += 1;
                memory.order = self.moves;
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
