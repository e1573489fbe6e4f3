//! Which backends are eligible: keeps the state and counters of each, and passes changes to the
//! policy.

mod warming;

use super::candidate::{AdminState, Candidate, Membership, Spec};
use super::explain::{Explanation, Skip};
use super::first::First;
use super::hashed::Hashed;
use super::holds::Holds;
use super::least_conn::LeastConn;
use super::least_load::LeastLoad;
use super::least_time::LeastTime;
use super::policy::{Change, Hint, Policy};
use super::random::Random;
use super::rank::Rank;
use super::round_robin::RoundRobin;
use super::slow_start::SlowStart;
use super::strategy::Strategy;
use crate::base::backend_id::BackendId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use std::time::Duration;

/// How long a failed request counts as in flight while no backend has answered yet.
const UNKNOWN_HOLD_US: u64 = 1_000_000;

/// How long a response usually takes.
enum Usual {
    /// Every other backend is down or fails as well.
    NoneAnswers,
    /// Another backend may answer but has not yet.
    Unknown,
    /// The longest average in microseconds.
    Slowest(u64),
}

/// The backups form a tier of their own with a policy of their own, so that nothing has to move
/// when the last of the others goes or returns: with small `max` limits that is every request.
struct Tier {
    policy: Box<dyn Policy>,
    visible: usize,
}

/// All backends of one service and the policy that chooses among them. An id names a backend from
/// [`Balancer::add`] to [`Balancer::remove`].
pub struct Balancer {
    strategy: Strategy,
    candidates: Vec<Candidate>,
    tiers: [Tier; 2],
    holds: Holds,
    pub(super) slow_start: SlowStart,
}

impl Balancer {
    /// A balancer over `specs`, indexed in that order, all up; same seed, same picks.
    pub fn new(strategy: Strategy, specs: &[Spec], seed: u64) -> Balancer {
        let tier = |seed| Tier { policy: policy(strategy, seed), visible: 0 };
        let candidates = specs.iter().copied().map(Candidate::new).collect();
        let mut balancer = Balancer {
            strategy,
            candidates,
            tiers: [tier(seed), tier(seed.rotate_left(32))],
            holds: Holds::default(),
            slow_start: SlowStart::new(strategy, Duration::ZERO),
        };
        // All are added before the first enters: turns are spaced by the number of backends.
        for (index, candidate) in balancer.candidates.iter().enumerate() {
            balancer.tiers[candidate.tier()].policy.add(index, candidate);
        }
        for index in 0..specs.len() {
            balancer.refresh(index);
        }
        balancer
    }

    /// The same, with backends that warm up for so long; zero: they do not.
    pub fn with_slow_start(mut self, span: Duration) -> Balancer {
        self.slow_start = SlowStart::new(self.strategy, span);
        self
    }

    /// Adds a backend, up and idle, at the lowest vacant index.
    pub fn add(&mut self, spec: Spec) -> BackendId {
        let vacant = |candidate: &Candidate| candidate.membership == Membership::Vacant;
        let index = self.candidates.iter().position(vacant).unwrap_or(self.candidates.len());
        let candidate = Candidate::new(spec);
        self.tiers[candidate.tier()].policy.add(index, &candidate);
        if index == self.candidates.len() {
            self.candidates.push(candidate);
        } else {
            self.candidates[index] = candidate;
        }
        self.refresh(index);
        BackendId::new(index)
    }

    /// Removes a backend. It must be idle: drain it first.
    pub fn remove(&mut self, id: BackendId) {
        let index = id.index();
        let candidate = &mut self.candidates[index];
        assert!(candidate.membership != Membership::Vacant, "removed twice");
        assert!(candidate.in_flight == 0, "removed with pairs in flight");
        candidate.membership = Membership::Vacant;
        self.holds.remove(index);
        self.refresh(index);
        self.cool(index);
        let tier = self.candidates[index].tier();
        self.tiers[tier].policy.remove(index);
    }

    /// Applies another weight, limit, role or wish of the operator to a backend. What is known of it stays, except for
    /// what its policy knows when it becomes a backup or stops being one.
    pub fn reconfigure(&mut self, id: BackendId, spec: Spec) {
        assert!(spec.weight > 0, "a weight is at least 1");
        let index = id.index();
        assert!(
            self.candidates[index].membership != Membership::Vacant,
            "no backend at this index"
        );
        self.hide(index);
        let old_tier = self.candidates[index].tier();
        self.candidates[index].spec = spec;
        let candidate = &self.candidates[index];
        if candidate.tier() == old_tier {
            self.tiers[old_tier].policy.reconfigure(index, candidate);
        } else {
            self.tiers[old_tier].policy.remove(index);
            self.tiers[candidate.tier()].policy.add(index, candidate);
        }
        self.refresh(index);
    }

    /// Health believes this backend up or down.
    pub fn set_up(&mut self, id: BackendId, up: bool) {
        let index = id.index();
        self.candidates[index].up = up;
        self.refresh(index);
    }

    /// This backend was removed from the service, or is in it again.
    pub fn set_leaving(&mut self, id: BackendId, leaving: bool) {
        let index = id.index();
        let candidate = &mut self.candidates[index];
        assert!(candidate.membership != Membership::Vacant, "no backend at this index");
        candidate.membership = if leaving { Membership::Leaving } else { Membership::Serving };
        self.refresh(index);
    }

    /// A pair with it began. Also to be called for one that was not picked (a last resort), and,
    /// followed by [`Balancer::ended`], for a redirect, so that ties keep rotating.
    pub fn began(&mut self, id: BackendId) {
        let index = id.index();
        self.candidates[index].in_flight += 1;
        self.notify(index, Change::Began);
        self.refresh(index);
    }

    /// A pair with it ended, whatever its outcome.
    pub fn ended(&mut self, id: BackendId) {
        let index = id.index();
        let candidate = &mut self.candidates[index];
        assert!(candidate.in_flight > 0, "ended more pairs than began");
        candidate.in_flight -= 1;
        self.notify(index, Change::Ended);
        self.refresh(index);
    }

    /// It answered a client's request without an error, `response_us` microseconds after it was
    /// sent.
    pub fn served(&mut self, id: BackendId, response_us: u64, now: Instant) {
        self.candidates[id.index()].learn_usual(response_us);
        self.notify(id.index(), Change::Served { response_us, now });
    }

    /// It passed a probe that took `duration_us` microseconds.
    pub fn probed(&mut self, id: BackendId, duration_us: u64) {
        self.notify(id.index(), Change::Probed { duration_us });
    }

    /// Its health check reported how many requests and errors it has seen so far.
    pub fn report(&mut self, id: BackendId, requests: u64, errors: u64) {
        self.notify(id.index(), Change::Reported { requests, errors });
    }

    /// A client's request failed on it: a server error after `response_us` microseconds, or no
    /// response at all. A fast error is not a good response time: it counts as slow, and as in
    /// flight, as long as the slowest backend usually takes, unless no other backend answers.
    pub fn failed(&mut self, id: BackendId, response_us: Option<u64>, now: Instant) {
        let index = id.index();
        self.candidates[index].failing = true;
        let (counted_us, hold_us) = match self.slowest_usual(index) {
            Usual::NoneAnswers => (response_us, None),
            Usual::Unknown => (None, Some(UNKNOWN_HOLD_US)),
            Usual::Slowest(us) => {
                (response_us.max(Some(us)), us.checked_sub(response_us.unwrap_or(0)))
            }
        };
        self.notify(index, Change::Failed { counted_us, now });
        if let Some(us) = hold_us {
            self.hold(index, now + Duration::from_micros(us));
        }
    }

    /// How long the backends that answer usually take, seen from a failure of `index`.
    fn slowest_usual(&self, index: usize) -> Usual {
        let answers = |(other, candidate): &(usize, &Candidate)| {
            *other != index
                && candidate.membership != Membership::Vacant
                && candidate.up
                && !candidate.failing
        };
        let others = self.candidates.iter().enumerate().filter(answers);
        match others.map(|(_, candidate)| candidate.usual_us).max() {
            None => Usual::NoneAnswers,
            Some(None) => Usual::Unknown,
            Some(Some(us)) => Usual::Slowest(self.candidates[index].usual_us.unwrap_or(0).max(us)),
        }
    }

    /// Counts a failed request of `index` as in flight until `due`.
    fn hold(&mut self, index: usize, due: Instant) {
        if let Some(replaced) = self.holds.add(due, index) {
            self.release(replaced);
        }
        self.candidates[index].held += 1;
        self.notify(index, Change::Held);
    }

    fn release(&mut self, index: usize) {
        self.candidates[index].held -= 1;
        self.notify(index, Change::Released);
    }

    /// The backend for the next request: eligible, not tried, a backup only when no other is left.
    /// None when there is no such backend; whether to try a tried or a down one is the caller's
    /// decision. Counts nothing in flight: that is [`Balancer::began`].
    pub fn pick(&mut self, hint: &Hint<'_>) -> Option<BackendId> {
        while let Some(index) = self.holds.pop_due(hint.now) {
            self.release(index);
        }
        let warms = self.slow_start.is_active();
        if warms {
            self.advance_slow_start(hint.now);
        }
        for id in hint.tried {
            self.hide(id.index());
        }
        let tier = usize::from(self.tiers[0].visible == 0);
        let picked = match warms {
            true => self.pick_in_slow_start(tier, hint),
            false => self.tiers[tier].policy.pick(&self.candidates, hint),
        };
        for id in hint.tried {
            self.refresh(id.index());
        }
        picked.map(BackendId::new)
    }

    /// Why the last [`Balancer::pick`] gave `picked` for `hint`. To be called before any other
    /// change, `began` included; allocates, so for `-v` only.
    pub fn explain(&self, picked: BackendId, hint: &Hint<'_>) -> Explanation {
        let picked = picked.index();
        let tier = self.candidates[picked].tier();
        let mut among = Vec::new();
        let mut skipped = Vec::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            match skip(candidate, hint.tried.contains(&BackendId::new(index))) {
                Some(skip) => skipped.push((index, skip)),
                None if candidate.membership == Membership::Vacant => {}
                None if index != picked && self.slow_start.has_passed(index) => {
                    skipped.push((index, Skip::SlowStart));
                }
                None if candidate.tier() == tier => among.push(index),
                None => skipped.push((index, Skip::Backup)),
            }
        }
        let reason = self.tiers[tier].policy.reason(picked, &among, &self.candidates, hint);
        Explanation { strategy: self.strategy, picked, reason, skipped }
    }

    /// How many a pick could choose among if none was tried.
    pub fn eligible_count(&self) -> usize {
        let [others, backups] = &self.tiers;
        if others.visible > 0 { others.visible } else { backups.visible }
    }

    /// The backend; check [`Candidate::membership`] for a removed one.
    pub fn candidate(&self, id: BackendId) -> &Candidate {
        &self.candidates[id.index()]
    }

    /// Pairs in flight with the backend.
    pub fn in_flight(&self, id: BackendId) -> u32 {
        self.candidates[id.index()].in_flight
    }

    fn notify(&mut self, index: usize, change: Change) {
        let candidate = &self.candidates[index];
        assert!(candidate.membership != Membership::Vacant, "no backend at this index");
        self.tiers[candidate.tier()].policy.change(index, candidate, change);
    }

    /// Makes visibility follow eligibility.
    fn refresh(&mut self, index: usize) {
        let candidate = &mut self.candidates[index];
        match (candidate.visible, candidate.is_eligible()) {
            (false, true) => {
                candidate.visible = true;
                let tier = &mut self.tiers[candidate.tier()];
                tier.visible += 1;
                tier.policy.enter(index, candidate);
            }
            (true, false) => self.hide(index),
            (true, true) | (false, false) => {}
        }
    }

    fn hide(&mut self, index: usize) {
        let candidate = &mut self.candidates[index];
        if candidate.visible {
            candidate.visible = false;
            let tier = &mut self.tiers[candidate.tier()];
            tier.visible -= 1;
            tier.policy.leave(index, candidate);
        }
    }
}

/// A new policy of this strategy, without backends.
fn policy(strategy: Strategy, seed: u64) -> Box<dyn Policy> {
    match strategy {
        Strategy::First => Box::new(First::default()),
        Strategy::RoundRobin => Box::new(RoundRobin::default()),
        Strategy::Random => Box::new(Random::one(Rng::new(seed))),
        Strategy::LeastConn => Box::new(LeastConn::default()),
        Strategy::LeastTime => Box::new(LeastTime::default()),
        Strategy::LeastLoad => Box::new(LeastLoad::default()),
        Strategy::Rank => Box::new(Rank::new(Rng::new(seed))),
        Strategy::PowerOfTwo => Box::new(Random::better_of_two(Rng::new(seed))),
        Strategy::Source | Strategy::Uri | Strategy::Header => Box::new(Hashed::default()),
    }
}

/// Why a backend could not be picked; none for one that could (and for a vacant index).
fn skip(candidate: &Candidate, tried: bool) -> Option<Skip> {
    match (candidate.membership, candidate.spec.admin) {
        (Membership::Vacant, _) => None,
        (Membership::Leaving, _) => Some(Skip::Leaving),
        (Membership::Serving, AdminState::Drain) => Some(Skip::Draining),
        (Membership::Serving, AdminState::Down) => Some(Skip::Disabled),
        (Membership::Serving, AdminState::Ready) if !candidate.up => Some(Skip::Down),
        (Membership::Serving, AdminState::Ready) if candidate.is_full() => Some(Skip::Full),
        (Membership::Serving, AdminState::Ready) if tried => Some(Skip::Tried),
        (Membership::Serving, AdminState::Ready) => None,
    }
}
