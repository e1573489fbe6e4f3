//! `least-time`: least expected response time, that is the average × (1 + in flight) / weight.
//! Untried ones first, ties in turn.
//!
//! The averages of equally fast servers differ by noise. Compared as they are, one server would get
//! all requests: the one with the lowest average keeps its figure fresh, and the others are not
//! asked again. So an average that differs from the lowest one by no more than responses usually
//! vary counts as equal to it. And a server that is not used is explored again: the slower it was,
//! the later. A first response may be slow for reasons that do not come again (connections, caches,
//! threads), so each server is tried twice before it is judged.

use super::candidate::Candidate;
use super::explain::Reason;
use super::figures::{ResponseTime, Score};
use super::heap::Heap;
use super::policy::{Change, Hint, Policy};
use super::slot::slot;
use super::turns::Turns;
use crate::base::time::Instant;
use std::time::Duration;

/// A response weighs in the average as the time since the one before, relative to this: after a
/// pause this long only the new response counts.
const MEMORY_US: u64 = 2_000_000;
/// The least weight of a response is one in this many, the gain of TCP for round-trip times
/// (RFC 6298 §2): under load the average follows within a few dozen responses.
const RESPONSES: u64 = 8;
/// An idle server not picked for this long is explored.
const EXPLORE_AFTER_MAX: Duration = Duration::from_secs(4);
/// Explorations are at most one in this many picks. A server is explored once it was idle for its
/// average, the next time for twice its average and so on up to this many times: a short delay is
/// soon forgotten, and a slow server costs about 4 % of picks and of time.
const EXPLORE_EVERY: u32 = 24;
/// Requests to a server before its response time counts.
const TRIES: u8 = 2;
/// Times are cut to this, so that sums stay far from overflow.
const TIME_MAX_US: u64 = 24 * 3_600 * 1_000_000;

/// A decaying average and how far responses are from it on average, microseconds.
#[derive(Clone, Copy, Debug)]
struct Average {
    us: u64,
    deviation_us: u64,
    /// It is made of one response only.
    is_first: bool,
    /// The last response and when it came.
    last_us: u64,
    last: Instant,
}

impl Average {
    fn new(response_us: u64, now: Instant) -> Average {
        Average {
            us: response_us,
            deviation_us: 0,
            is_first: true,
            last_us: response_us,
            last: now,
        }
    }

    fn learn(&mut self, response_us: u64, now: Instant) {
        let gap = u64::try_from(now.since(self.last).as_micros()).unwrap_or(u64::MAX);
        let part = gap.clamp(MEMORY_US / RESPONSES, MEMORY_US);
        let blend = |old: u64, new: u64| {
            let kept = u128::from(old) * u128::from(MEMORY_US - part);
            ((kept + u128::from(new) * u128::from(part)) / u128::from(MEMORY_US)) as u64
        };
        if std::mem::take(&mut self.is_first) {
            self.us = self.us.min(response_us);
        }
        // A single slow response among fast ones says little: it counts as twice the average.
        let counted_us = response_us.min(self.last_us.max(2 * self.us));
        self.deviation_us = blend(self.deviation_us, self.us.abs_diff(counted_us));
        self.us = blend(self.us, counted_us);
        (self.last_us, self.last) = (response_us, now);
    }
}

/// What is known of one server.
#[derive(Clone, Debug, Default)]
struct Memory {
    responses: Option<Average>,
    probe_us: Option<u64>,
    picked_at: Instant,
    /// It was picked to be explored: its next response replaces the average.
    is_explored: bool,
    /// Explorations since it was last picked for its score.
    explorations: u8,
    /// Requests it got, as far as they matter: at most [`TRIES`].
    tries: u8,
    /// When it last got a request, counted in requests; 0: never.
    order: u64,
}

impl Memory {
    /// Its average, until the first response the duration of its last probe.
    fn known_us(&self) -> Option<u64> {
        self.responses.map(|average| average.us).or(self.probe_us)
    }

    /// Adds one response to the average.
    fn learn(&mut self, response_us: u64, now: Instant) {
        let response_us = response_us.min(TIME_MAX_US);
        match &mut self.responses {
            Some(average) if std::mem::take(&mut self.is_explored) => {
                *average = Average {
                    deviation_us: average.deviation_us,
                    ..Average::new(response_us, now)
                };
            }
            None => self.responses = Some(Average::new(response_us, now)),
            Some(average) => average.learn(response_us, now),
        }
    }
}

/// The lowest average, with which those within the noise count as equal. It follows only moves of
/// more than an eighth, because each one changes the score of every server.
#[derive(Clone, Copy, Debug)]
struct Reference {
    us: u64,
    holder: usize,
}

impl Reference {
    /// The time that counts for `memory`: the reference if the difference is noise.
    fn counted_us(self, known_us: u64, deviation_us: u64) -> u64 {
        // The bounds: an eighth is noise in any case, and a server that takes twice as long is
        // slower however much its responses vary.
        let noise = deviation_us.clamp(self.us / 8, self.us);
        if known_us <= self.us.saturating_add(noise) { self.us } else { known_us }
    }

    /// Whether a server's average of now moves it.
    fn is_moved_by(self, index: usize, known_us: u64) -> bool {
        let slack = self.us / 8;
        known_us < self.us - slack || (index == self.holder && known_us > self.us + slack)
    }
}

/// The visible ones by score.
#[derive(Debug, Default)]
pub(super) struct LeastTime {
    visible: Heap<Score>,
    turns: Turns,
    memories: Vec<Memory>,
    reference: Option<Reference>,
    /// An average has moved the reference since it was found.
    is_moved: bool,
    /// Picks since then, times eight.
    picks_since_moved: usize,
    sequence: u64,
    /// The index last considered for exploration: one per pick, in a circle.
    cursor: usize,
    picks_since_explored: u32,
}

impl LeastTime {
    fn score(&self, index: usize, candidate: &Candidate) -> Score {
        let time = self.time(index);
        let in_flight = candidate.load();
        let due = if in_flight == 0 { self.turns.due(index) } else { 0 };
        Score {
            time,
            in_flight,
            weight: candidate.spec.weight,
            due,
            order: self.memories[index].order,
        }
    }

    fn time(&self, index: usize) -> ResponseTime {
        let memory = &self.memories[index];
        match memory.known_us() {
            _ if memory.tries < TRIES => ResponseTime::Untried,
            None => ResponseTime::Unanswered,
            Some(us) => {
                let deviation_us = memory.responses.map_or(0, |average| average.deviation_us);
                let counted = self.reference.map(|it| it.counted_us(us, deviation_us));
                ResponseTime::Average(counted.unwrap_or(us))
            }
        }
    }

    /// Whether the time of `index` keeps it from getting its share.
    fn is_behind(&self, index: usize) -> bool {
        match self.time(index) {
            ResponseTime::Untried => false,
            ResponseTime::Average(us) => self.reference.is_some_and(|it| us > it.us),
            ResponseTime::Unanswered => true,
        }
    }

    /// An idle server due for exploration, if the cursor is on one.
    fn explore(&mut self, candidates: &[Candidate], now: Instant) -> Option<usize> {
        self.picks_since_explored = self.picks_since_explored.saturating_add(1);
        self.cursor = (self.cursor + 1) % self.memories.len().max(1);
        let index = self.cursor;
        if self.picks_since_explored < EXPLORE_EVERY
            || !self.visible.contains(index)
            || !self.is_behind(index)
        {
            return None;
        }
        let memory = &self.memories[index];
        let average = memory.known_us().map(Duration::from_micros);
        let times = 2_u32.saturating_pow(memory.explorations.into()).min(EXPLORE_EVERY);
        let after = average.map_or(EXPLORE_AFTER_MAX, |it| it.saturating_mul(times));
        let is_due = candidates[index].load() == 0
            && now.since(memory.picked_at) >= after.min(EXPLORE_AFTER_MAX);
        if is_due {
            self.picks_since_explored = 0;
        }
        is_due.then_some(index)
    }
}

impl LeastTime {
    /// Notes that the average of `index` may move the reference.
    fn consider(&mut self, index: usize) {
        if let Some(us) = self.memories[index].known_us() {
            self.is_moved |= self.reference.is_none_or(|it| it.is_moved_by(index, us));
        }
    }

    /// Finds the reference again if it has moved or its holder cannot be picked, at most once in an
    /// eighth as many picks as there are servers, so that a pick costs O(log n) on average.
    fn follow_reference(&mut self, candidates: &[Candidate]) {
        self.picks_since_moved = self.picks_since_moved.saturating_add(8);
        let is_lost = self.reference.is_some_and(|it| !self.visible.contains(it.holder));
        if !(self.is_moved || is_lost) || self.picks_since_moved < self.memories.len() {
            return;
        }
        (self.is_moved, self.picks_since_moved) = (false, 0);
        let visible = (0..self.memories.len()).filter(|&index| self.visible.contains(index));
        let known = visible.filter_map(|index| Some((self.memories[index].known_us()?, index)));
        self.reference = known.min().map(|(us, holder)| Reference { us, holder });
        for (index, candidate) in candidates.iter().enumerate() {
            if self.visible.contains(index) {
                self.visible.set(index, self.score(index, candidate));
            }
        }
    }
}

impl Policy for LeastTime {
    fn add(&mut self, index: usize, candidate: &Candidate) {
        self.turns.add(index, candidate.spec.weight);
        *slot(&mut self.memories, index) = Memory::default();
    }

    fn reconfigure(&mut self, index: usize, candidate: &Candidate) {
        self.turns.reweigh(index, candidate.spec.weight);
    }

    fn enter(&mut self, index: usize, candidate: &Candidate) {
        self.turns.enter(index);
        self.consider(index);
        self.visible.set(index, self.score(index, candidate));
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
                memory.tries = TRIES.min(memory.tries + 1);
                self.turns.take(index);
            }
            Change::Ended | Change::Released => self.turns.enter(index),
            Change::Held => {}
            Change::Served { response_us, now } => memory.learn(response_us, now),
            Change::Failed { counted_us: Some(us), now } => memory.learn(us, now),
            Change::Probed { duration_us } => memory.probe_us = Some(duration_us.min(TIME_MAX_US)),
            Change::Reported { .. } | Change::Failed { counted_us: None, .. } => return,
        }
        self.consider(index);
        self.visible.update(index, self.score(index, candidate));
    }

    fn pick(&mut self, candidates: &[Candidate], hint: &Hint<'_>) -> Option<usize> {
        self.follow_reference(candidates);
        let explored = self.explore(candidates, hint.now);
        let index = explored.or_else(|| self.visible.least())?;
        let memory = &mut self.memories[index];
        memory.picked_at = hint.now;
        memory.is_explored |= explored.is_some();
        memory.explorations = explored.map_or(0, |_| memory.explorations.saturating_add(1));
        Some(index)
    }

    fn reason(&self, picked: usize, among: &[usize], all: &[Candidate], _: &Hint<'_>) -> Reason {
        let score = |&index: &usize| (index, self.score(index, &all[index]));
        let among: Vec<_> = among.iter().map(score).collect();
        match self.picks_since_explored {
            0 => Reason::Explored { score: self.score(picked, &all[picked]) },
            _ => Reason::Time { among },
        }
    }
}
