//! `rank`: at random, with weight 1 for the slowest last probe up to n for the fastest. Equals
//! share the mean of their weights.

use super::candidate::Candidate;
use super::explain::Reason;
use super::policy::{Change, Hint, Policy};
use super::slot::slot;
use crate::base::rng::Rng;
use std::ops::Range;

/// The visible ones in the order of their last probes. Configured weights are not used.
#[derive(Debug)]
pub(super) struct Rank {
    rng: Rng,
    /// The known ones by index.
    members: Vec<Member>,
    /// Slowest first. A sorted list: it changes seldom, the position is the weight, and moving
    /// 1,000 entries by one costs less than a tree.
    visible: Vec<Place>,
}

/// What is known of one backend.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// Duration of its last probe, microseconds.
    probe_us: Option<u64>,
    /// Its last response was an error or did not come: as slow as one without a probe.
    failing: bool,
}

/// Sorts the slowest first, and one without a probe before it. The index makes places distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    speed: u64,
    index: usize,
}

impl Rank {
    /// A policy without backends.
    pub(super) fn new(rng: Rng) -> Rank {
        Rank { rng, members: Vec::new(), visible: Vec::new() }
    }

    fn place(&self, index: usize) -> Place {
        let Member { probe_us, failing } = self.members[index];
        let speed = probe_us.filter(|_| !failing).map_or(0, |us| u64::MAX - us);
        Place { speed, index }
    }

    fn remove(&mut self, index: usize) -> bool {
        let found = self.visible.binary_search(&self.place(index));
        found.map(|at| self.visible.remove(at)).is_ok()
    }

    fn insert(&mut self, index: usize) {
        let place = self.place(index);
        let at = self.visible.partition_point(|other| *other < place);
        self.visible.insert(at, place);
    }
}

impl Policy for Rank {
    fn add(&mut self, index: usize, _candidate: &Candidate) {
        *slot(&mut self.members, index) = Member::default();
    }

    fn enter(&mut self, index: usize, _candidate: &Candidate) {
        self.insert(index);
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.remove(index);
    }

    fn change(&mut self, index: usize, _candidate: &Candidate, change: Change) {
        let old = self.members[index];
        let new = match change {
            Change::Probed { duration_us } => Member { probe_us: Some(duration_us), ..old },
            Change::Failed { .. } => Member { failing: true, ..old },
            Change::Served { .. } if old.failing => Member { failing: false, ..old },
            Change::Served { .. } | Change::Began | Change::Ended => return,
            Change::Held | Change::Released | Change::Reported { .. } => return,
        };
        let visible = self.remove(index);
        self.members[index] = new;
        if visible {
            self.insert(index);
        }
    }

    fn pick(&mut self, _candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        let count = self.visible.len() as u64;
        if count == 0 {
            return None;
        }
        // Places 0, 1, 2 … own 1, 2, 3 … points of the total: place k starts at k (k + 1) / 2.
        let point = self.rng.below(count * (count + 1) / 2);
        let place = ((8 * point + 1).isqrt() - 1) / 2;
        // Any of the equals: otherwise the order of the list would decide, before the first probes
        // for all of them.
        let equals = equals(&self.visible, self.visible[place as usize].speed);
        let one = self.rng.below(equals.len() as u64) as usize;
        Some(self.visible[equals.start + one].index)
    }

    fn reason(&self, _picked: usize, among: &[usize], _: &[Candidate], _: &Hint<'_>) -> Reason {
        let mut places: Vec<_> = among.iter().map(|&index| self.place(index)).collect();
        places.sort();
        // Twice the mean of the first and the last weight of the equals, which may be a half.
        let chance = |place: &Place| {
            let equals = equals(&places, place.speed);
            (place.index, (equals.start + 1 + equals.end) as u64)
        };
        Reason::Chance { among: places.iter().map(chance).collect() }
    }
}

/// The places of those equally fast among `sorted` ones.
fn equals(sorted: &[Place], speed: u64) -> Range<usize> {
    let start = sorted.partition_point(|place| place.speed < speed);
    let end = sorted.partition_point(|place| place.speed <= speed);
    start..end
}
