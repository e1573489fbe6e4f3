//! `source`, `uri`, `header`: consistent hashing with bounded load. Equal keys go to the same
//! backend; when one leaves only its keys move; no backend gets far more than its share.
//!
//! The ring (Karger 1997) holds every configured backend, visible or not, so that coming and going
//! changes no point of it: a key moves on to the next visible one. The bound is that of Mirrokni,
//! Thorup and Zadimoghaddam (2016): 1.25 times the average in flight.

use super::candidate::Candidate;
use super::explain::{Passed, Reason};
use super::policy::{Change, Hint, Policy};
use super::slot::slot;
use crate::base::rng::Rng;

/// Points on the ring for a backend of average weight: shares come out within about 10 %.
const POINTS: u64 = 128;
/// A backend with fewer in flight is never passed over: there is no overload to spread, and the six
/// connections of a browser should reach one server.
const ALWAYS_ROOM_BELOW: u32 = 8;

/// One point of the ring: all keys up to `at` from the point before belong to `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    at: u32,
    index: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    id: u64,
    /// 0 for an index that is not of this tier or was removed.
    weight: u64,
    visible: bool,
}

/// Sums over the visible ones.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    in_flight: u64,
    weight: u64,
}

impl Totals {
    /// Whether one more pair leaves the candidate within 1.25 times its share of all in flight.
    /// Some candidate always has room, because the bounds add up to more than all pairs.
    fn has_room(self, candidate: &Candidate) -> bool {
        let mine = 4 * u128::from(candidate.load()) * u128::from(self.weight);
        let bound = 5 * (u128::from(self.in_flight) + 1) * u128::from(candidate.spec.weight);
        candidate.load() < ALWAYS_ROOM_BELOW || mine < bound
    }
}

/// The ring and its members.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    members: Vec<Member>,
    totals: Totals,
    /// Empty after a change of configuration; built again by the next pick, since a reload adds
    /// many at once.
    ring: Vec<Point>,
}

impl Hashed {
    fn build(&mut self) {
        let is_present = |member: &&Member| member.weight > 0;
        let count = self.members.iter().filter(is_present).count() as u64;
        let weight: u64 = self.members.iter().map(|member| member.weight).sum();
        for (index, member) in self.members.iter().enumerate() {
            let points = (POINTS * count * member.weight).div_ceil(weight.max(1));
            // A sequence of its own per backend: with another weight it only grows or is cut short.
            let mut places = Rng::new(member.id);
            let mut point = |_| Point { at: (places.bits() >> 32) as u32, index: index as u32 };
            self.ring.extend((0..points).map(&mut point));
        }
        self.ring.sort_unstable();
    }

    /// The backends from the key's place onwards, once around; the same one may come repeatedly.
    fn walk(&self, hash: u64) -> impl Iterator<Item = usize> {
        let at = (hash >> 32) as u32;
        let start = self.ring.partition_point(|point| point.at < at);
        let (before, after) = self.ring.split_at(start);
        after.iter().chain(before).map(|point| point.index as usize)
    }
}

impl Policy for Hashed {
    fn add(&mut self, index: usize, candidate: &Candidate) {
        let spec = candidate.spec;
        *slot(&mut self.members, index) =
            Member { id: spec.id, weight: spec.weight.into(), visible: false };
        self.ring.clear();
    }

    fn reconfigure(&mut self, index: usize, candidate: &Candidate) {
        self.add(index, candidate);
    }

    fn remove(&mut self, index: usize) {
        self.members[index] = Member::default();
        self.ring.clear();
    }

    fn enter(&mut self, index: usize, candidate: &Candidate) {
        self.members[index].visible = true;
        self.totals.weight += u64::from(candidate.spec.weight);
        self.totals.in_flight += u64::from(candidate.load());
    }

    fn leave(&mut self, index: usize, candidate: &Candidate) {
        self.members[index].visible = false;
        self.totals.weight -= u64::from(candidate.spec.weight);
        self.totals.in_flight -= u64::from(candidate.load());
    }

    fn change(&mut self, index: usize, _candidate: &Candidate, change: Change) {
        let visible = u64::from(self.members[index].visible);
        match change {
            Change::Began | Change::Held => self.totals.in_flight += visible,
            Change::Ended | Change::Released => self.totals.in_flight -= visible,
            Change::Served { .. } | Change::Probed { .. } => {}
            Change::Reported { .. } | Change::Failed { .. } => {}
        }
    }

    fn pick(&mut self, candidates: &[Candidate], hint: &Hint<'_>) -> Option<usize> {
        if self.totals.weight == 0 {
            return None;
        }
        if self.ring.is_empty() {
            self.build();
        }
        let has_room =
            |i: &usize| self.members[*i].visible && self.totals.has_room(&candidates[*i]);
        self.walk(hint.hash).find(has_room)
    }

    fn reason(&self, picked: usize, among: &[usize], all: &[Candidate], hint: &Hint<'_>) -> Reason {
        let mut totals = Totals::default();
        for &index in among {
            totals.weight += u64::from(all[index].spec.weight);
            totals.in_flight += u64::from(all[index].load());
        }
        let mut passed: Vec<Passed> = Vec::new();
        for index in self.walk(hint.hash).take_while(|&index| index != picked) {
            let seen = passed.iter().any(|other| other.index == index);
            if among.contains(&index) && !seen {
                let (in_flight, weight) = (all[index].load(), all[index].spec.weight);
                passed.push(Passed { index, in_flight, weight });
            }
        }
        Reason::Key { passed, in_flight: totals.in_flight, weight: totals.weight }
    }
}
