//! The figures that policies compare, the least of which is picked, and how they are shown.

use super::candidate::Candidate;
use std::cmp::Ordering;
use std::fmt;

/// Requests in flight relative to weight, then the order among equals.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Pairs in flight, and failed requests that count as such.
    pub in_flight: u32,
    /// Its weight; levels compare as `in_flight / weight`, exactly.
    pub weight: u32,
    /// Among idle ones: when its turn is due, by weight; 0 for busy ones.
    pub due: u64,
    /// Then: first come, first served.
    pub order: i64,
}

impl Level {
    /// Without an order among equals.
    pub(super) fn of(candidate: &Candidate) -> Level {
        Level { in_flight: candidate.load(), weight: candidate.spec.weight, due: 0, order: 0 }
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

/// Requests and errors so far: those of its last report plus what was sent there since; our own
/// counts where it never reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Requests so far; compared per weight, exactly.
    pub requests: u64,
    /// Its weight.
    pub weight: u32,
    /// Errors so far; they decide between equals.
    pub errors: u64,
    /// Then: the one whose last request was longest ago.
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

/// What is known about a server's response time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResponseTime {
    /// It got fewer than two requests yet: comes first.
    Untried,
    /// Microseconds: the decaying average of its responses; before the first, its last probe.
    Average(u64),
    /// It got requests and answered none yet: comes last.
    Unanswered,
}

/// The expected time of one more request, then the order among equals.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// What is known about its response time.
    pub time: ResponseTime,
    /// Pairs in flight, and failed requests that count as such.
    pub in_flight: u32,
    /// Its weight.
    pub weight: u32,
    /// Among idle ones: when its turn is due, by weight; 0 for busy ones.
    pub due: u64,
    /// Then: the one whose last request was longest ago.
    pub order: u64,
}

impl Score {
    /// Average × (1 + in flight) / weight, as a numerator and a denominator. Idle ones take turns
    /// by weight instead, or the heaviest would get every request of a single client. Where no
    /// time is known every request counts the same.
    fn expected(&self) -> (u128, u128) {
        let time_us = match self.time {
            ResponseTime::Untried | ResponseTime::Unanswered => 1,
            ResponseTime::Average(us) => u128::from(us.max(1)),
        };
        match self.in_flight {
            0 => (time_us, 1),
            in_flight => (time_us * (u128::from(in_flight) + 1), self.weight.into()),
        }
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> Ordering {
        let class = |time| match time {
            ResponseTime::Untried => 0,
            ResponseTime::Average(_) => 1,
            ResponseTime::Unanswered => 2,
        };
        let ((mine, my_weight), (theirs, their_weight)) = (self.expected(), other.expected());
        let classes = class(self.time).cmp(&class(other.time));
        let times = (mine * their_weight).cmp(&(theirs * my_weight));
        let turns = self.due.cmp(&other.due).then(self.order.cmp(&other.order));
        match self.time {
            // In the given order, whatever the weights, so that each gets its first requests.
            ResponseTime::Untried => classes.then(self.order.cmp(&other.order)),
            ResponseTime::Average(_) | ResponseTime::Unanswered => classes.then(times).then(turns),
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

/// ` by weight 3`; empty for the default weight.
struct ByWeight(u32);

impl fmt::Display for ByWeight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => Ok(()),
            weight => write!(out, " by weight {weight}"),
        }
    }
}

// The alternate form (`{:#}`) of a figure leaves out the words, for the others in a comparison.

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = if out.alternate() { "" } else { " in flight" };
        write!(out, "{}{words}{}", self.in_flight, ByWeight(self.weight))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { requests, weight, errors, .. } = self;
        match out.alternate() {
            true => write!(out, "{requests}{} with {errors}", ByWeight(*weight)),
            false => write!(out, "{requests} requests{} with {errors} errors", ByWeight(*weight)),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            ResponseTime::Untried => return out.write_str("no response time yet"),
            ResponseTime::Average(us) => write!(out, "{}.{:03}ms", us / 1_000, us % 1_000)?,
            ResponseTime::Unanswered => out.write_str("no response yet")?,
        }
        let words = if out.alternate() { "" } else { " in flight" };
        write!(out, " with {}{words}{}", self.in_flight, ByWeight(self.weight))
    }
}
