//! The decision record: the figures a pick was made on, from which the choice can be computed
//! again, and one short clause for the log.

use super::figures::{Level, Load, Score};
use super::strategy::Strategy;
use crate::base::backend_id::BackendId;
use std::fmt;

/// Others and skipped ones named in a clause; more are only counted.
const NAMED_MAX: usize = 4;

/// Why a backend could not be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Believed down.
    Down,
    /// Removed, with pairs in flight.
    Leaving,
    /// Draining, as the operator wants.
    Draining,
    /// Out of service, as the operator wants.
    Disabled,
    /// At its own limit of pairs.
    Full,
    /// It warms up and has had its share.
    SlowStart,
    /// It already failed this request.
    Tried,
    /// A backup, and others are left.
    Backup,
}

/// A backend nearer to the key that already had its share in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The backend.
    pub index: usize,
    /// Pairs in flight.
    pub in_flight: u32,
    /// Its weight.
    pub weight: u32,
}

/// The figures of one pick, by backend index; those skipped are not among them.
#[derive(Clone, Debug)]
pub enum Reason {
    /// `first`: the lowest index.
    First {
        /// All that could be picked.
        among: Vec<usize>,
    },
    /// `rr`: the earliest due, of equals the lowest index.
    Turn {
        /// When each is due on the policy's virtual clock.
        due: Vec<(usize, u64)>,
    },
    /// `rand`, `rank`: any, with a chance in proportion to the number beside it.
    Chance {
        /// Each with its chance.
        among: Vec<(usize, u64)>,
    },
    /// `least-conn`: the least level, of equals the lowest index.
    Conns {
        /// Each with its level.
        among: Vec<(usize, Level)>,
    },
    /// `least-time`: the least score, of equals the lowest index.
    Time {
        /// Each with its score.
        among: Vec<(usize, Score)>,
    },
    /// `least-time`: idle and unused for long, picked regardless of its score.
    Explored {
        /// Its score.
        score: Score,
    },
    /// `least-load`: the least load, of equals the lowest index.
    Load {
        /// Each with its load.
        among: Vec<(usize, Load)>,
    },
    /// `p2c`: the lower level, of equals the first.
    Two {
        /// The two drawn; twice the same when there is but one.
        drawn: [(usize, Level); 2],
    },
    /// `source`, `uri`, `header`: the first on the ring that holds less than its share.
    Key {
        /// Those before it on the ring, in this order.
        passed: Vec<Passed>,
        /// Pairs in flight with all that could be picked.
        in_flight: u64,
        /// Weights of all that could be picked.
        weight: u64,
    },
}

/// One decision. `Display` shows backends as `#index`; [`Explanation::named`] by name.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The policy that decided.
    pub strategy: Strategy,
    /// The backend picked.
    pub picked: usize,
    /// On which figures.
    pub reason: Reason,
    /// Backends not considered, by index.
    pub skipped: Vec<(usize, Skip)>,
}

impl Explanation {
    /// The same clause with `name(id)` for each backend.
    pub fn named<'a>(&'a self, name: &'a dyn Fn(BackendId) -> String) -> Named<'a> {
        Named { explanation: self, name }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named(&|id| id.to_string()).fmt(out)
    }
}

/// An [`Explanation`] with names, to be printed.
pub struct Named<'a> {
    explanation: &'a Explanation,
    name: &'a dyn Fn(BackendId) -> String,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { strategy, picked, reason, skipped } = self.explanation;
        write!(out, "{}: {} {}", strategy.name(), self.name_of(*picked), self.clause(reason))?;
        let skips = skipped.iter().map(|(index, skip)| format!("{} {skip}", self.name_of(*index)));
        match list(skips) {
            None => Ok(()),
            Some(skips) => write!(out, "; skipped {skips}"),
        }
    }
}

impl Named<'_> {
    fn name_of(&self, index: usize) -> String {
        (self.name)(BackendId::new(index))
    }

    fn clause(&self, reason: &Reason) -> String {
        match reason {
            Reason::First { among } => format!("is the first of {} eligible", among.len()),
            Reason::Turn { due } => self.turn(due),
            Reason::Chance { among } => self.chance(among),
            Reason::Conns { among } => self.compared(among),
            Reason::Time { among } => self.compared(among),
            Reason::Explored { score } => format!("is explored again ({score})"),
            Reason::Load { among } => self.compared(among),
            Reason::Two { drawn } => self.compared(drawn),
            Reason::Key { passed, in_flight, weight } => self.key(passed, *in_flight, *weight),
        }
    }

    fn turn(&self, due: &[(usize, u64)]) -> String {
        let mut next: Vec<_> = due.iter().map(|&(index, due)| (due, index)).collect();
        next.retain(|&(_, index)| index != self.explanation.picked);
        next.sort_unstable();
        match list(next.iter().map(|&(_, index)| self.name_of(index))) {
            None => String::from("is the only one eligible"),
            Some(next) => format!("is next in turn (due after it: {next})"),
        }
    }

    fn chance(&self, among: &[(usize, u64)]) -> String {
        let total: u64 = among.iter().map(|(_, chance)| chance).sum();
        let mine = among.iter().find(|(index, _)| *index == self.explanation.picked);
        let mine = mine.map_or(0, |(_, chance)| *chance);
        format!("drawn with a chance of {mine} in {total}")
    }

    fn compared<F: fmt::Display>(&self, among: &[(usize, F)]) -> String {
        let is_picked = |index: usize| index == self.explanation.picked;
        let mine = among.iter().find(|(index, _)| is_picked(*index));
        let mine = mine.map_or_else(String::new, |(_, figure)| figure.to_string());
        let others = among.iter().filter(|(index, _)| !is_picked(*index));
        match list(others.map(|(_, figure)| format!("{figure:#}"))) {
            None => format!("has {mine}"),
            Some(others) => format!("has {mine} (others {others})"),
        }
    }

    fn key(&self, passed: &[Passed], in_flight: u64, weight: u64) -> String {
        let full = |Passed { index, in_flight, .. }: &Passed| {
            format!("{} with {in_flight} in flight", self.name_of(*index))
        };
        match list(passed.iter().map(full)) {
            None => String::from("owns the key"),
            Some(passed) => format!(
                "is next for the key after {passed}: over the share ({in_flight} in flight over \
                 weights of {weight})"
            ),
        }
    }
}

/// The first few of `items` and how many more; none when there is none.
fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.collect();
    let (named, more) = items.split_at(items.len().min(NAMED_MAX));
    match (named.is_empty(), more.len()) {
        (true, _) => None,
        (false, 0) => Some(named.join(", ")),
        (false, more) => Some(format!("{} and {more} more", named.join(", "))),
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Skip::Down => "down",
            Skip::Leaving => "removed",
            Skip::Draining => "draining",
            Skip::Disabled => "set to down",
            Skip::Full => "at its max",
            Skip::SlowStart => "in slow start",
            Skip::Tried => "already tried",
            Skip::Backup => "a backup",
        })
    }
}
