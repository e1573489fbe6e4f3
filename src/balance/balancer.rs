//! Who may be picked: keeps every backend's standing and counters, and tells the policy of changes.

use super::Strategy;
use super::explain::{Explanation, Skip};
use super::policy::{self, Change, Hint, Policy};
use crate::base::time::Instant;

/// One backend as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Share of the traffic relative to the others, at least 1.
    pub weight: u32,
    /// Used only when no other is left.
    pub backup: bool,
    /// Most pairs in flight; none: no limit of its own.
    pub pairs_max: Option<u32>,
    /// [`super::hash`] of its address as written: its place on the hash ring, so that a key keeps
    /// its backend when the list is reordered or another balancer has it in another order.
    pub id: u64,
}

/// What the operator wants of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No backend at this index; [`Balancer::add`] may use it.
    Vacant,
    /// Takes part.
    Serving,
    /// Takes no new pair.
    Draining,
}

/// One backend as the policies see it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// As configured.
    pub spec: Spec,
    /// What the operator wants of it.
    pub standing: Standing,
    /// Believed healthy. Apart from `standing`: a draining backend goes down and up all the same.
    pub up: bool,
    /// Pairs in flight.
    pub in_flight: u32,
    /// Its tier's policy counts it in. Not derived, since tried ones are hidden during a pick.
    visible: bool,
}

impl Candidate {
    fn new(spec: Spec) -> Candidate {
        assert!(spec.weight > 0, "a weight is at least 1");
        Candidate { spec, standing: Standing::Serving, up: true, in_flight: 0, visible: false }
    }

    /// Up, not draining and below its own limit. (A backup must also wait for the others.)
    pub fn is_eligible(&self) -> bool {
        self.standing == Standing::Serving && self.up && !self.is_full()
    }

    /// As many pairs in flight as its own limit allows.
    pub fn is_full(&self) -> bool {
        self.spec.pairs_max.is_some_and(|max| self.in_flight >= max)
    }

    fn tier(&self) -> usize {
        usize::from(self.spec.backup)
    }
}

/// The backups form a tier of their own with a policy of their own, so that nothing has to move
/// when the last of the others goes or returns: with small `max` limits that is every request.
struct Tier {
    policy: Box<dyn Policy>,
    visible: usize,
}

/// All backends of one service and the policy that chooses among them. An index names a backend
/// from [`Balancer::add`] to [`Balancer::remove`].
pub struct Balancer {
    strategy: Strategy,
    candidates: Vec<Candidate>,
    tiers: [Tier; 2],
}

impl Balancer {
    /// A balancer over `specs`, indexed in that order, all up; same seed, same picks.
    pub fn new(strategy: Strategy, specs: &[Spec], seed: u64) -> Balancer {
        let tier = |seed| Tier { policy: policy::of(strategy, seed), visible: 0 };
        let candidates = specs.iter().copied().map(Candidate::new).collect();
        let mut balancer =
            Balancer { strategy, candidates, tiers: [tier(seed), tier(seed.rotate_left(32))] };
        // All are introduced before the first enters: who takes turns spaces them by their number.
        for (index, candidate) in balancer.candidates.iter().enumerate() {
            balancer.tiers[candidate.tier()].policy.add(index, candidate);
        }
        for index in 0..specs.len() {
            balancer.refresh(index);
        }
        balancer
    }

    /// Adds a backend, up and idle, at the lowest vacant index.
    pub fn add(&mut self, spec: Spec) -> usize {
        let vacant = |candidate: &Candidate| candidate.standing == Standing::Vacant;
        let index = self.candidates.iter().position(vacant).unwrap_or(self.candidates.len());
        let candidate = Candidate::new(spec);
        self.tiers[candidate.tier()].policy.add(index, &candidate);
        if index == self.candidates.len() {
            self.candidates.push(candidate);
        } else {
            self.candidates[index] = candidate;
        }
        self.refresh(index);
        index
    }

    /// Takes a backend away for good. It must be idle: drain it first.
    pub fn remove(&mut self, index: usize) {
        let candidate = &mut self.candidates[index];
        assert!(candidate.standing != Standing::Vacant, "removed twice");
        assert!(candidate.in_flight == 0, "removed with pairs in flight");
        candidate.standing = Standing::Vacant;
        self.refresh(index);
    }

    /// Health believes this backend up or down.
    pub fn set_up(&mut self, index: usize, up: bool) {
        self.candidates[index].up = up;
        self.refresh(index);
    }

    /// The operator takes this backend out of rotation or puts it back.
    pub fn set_draining(&mut self, index: usize, draining: bool) {
        let candidate = &mut self.candidates[index];
        assert!(candidate.standing != Standing::Vacant, "no backend at this index");
        candidate.standing = if draining { Standing::Draining } else { Standing::Serving };
        self.refresh(index);
    }

    /// A pair was made with it. Also right for one that was not picked (a last resort), and, with
    /// [`Balancer::ended`] at once, for a redirect, so that ties keep rotating.
    pub fn began(&mut self, index: usize) {
        self.candidates[index].in_flight += 1;
        self.tell(index, Change::Began);
        self.refresh(index);
    }

    /// A pair with it ended, however it went.
    pub fn ended(&mut self, index: usize) {
        let candidate = &mut self.candidates[index];
        assert!(candidate.in_flight > 0, "ended more pairs than began");
        candidate.in_flight -= 1;
        self.tell(index, Change::Ended);
        self.refresh(index);
    }

    /// It answered a client's request, `response_us` microseconds after it was sent.
    pub fn served(&mut self, index: usize, response_us: u64, now: Instant) {
        self.tell(index, Change::Served { response_us, now });
    }

    /// It passed a probe that took `duration_us` microseconds.
    pub fn probed(&mut self, index: usize, duration_us: u64) {
        self.tell(index, Change::Probed { duration_us });
    }

    /// Its health check reported how many requests and errors it has seen so far.
    pub fn report(&mut self, index: usize, requests: u64, errors: u64) {
        self.tell(index, Change::Reported { requests, errors });
    }

    /// A client's request failed on it (no answer, or a server error).
    pub fn failed(&mut self, index: usize) {
        self.tell(index, Change::Failed);
    }

    /// The backend for the next request: eligible, not tried, a backup only when no other is left.
    /// None when there is no such backend; whether to try a tried or a down one is the caller's
    /// decision. Counts nothing in flight: that is [`Balancer::began`].
    pub fn pick(&mut self, hint: &Hint<'_>) -> Option<usize> {
        for &index in hint.tried {
            self.hide(index);
        }
        let tier = &mut self.tiers[usize::from(self.tiers[0].visible == 0)];
        let picked = tier.policy.pick(&self.candidates, hint);
        for &index in hint.tried {
            self.refresh(index);
        }
        picked
    }

    /// Why the last [`Balancer::pick`] gave `picked` for `hint`. To be asked before anything else
    /// is told, `began` included; allocates, so for `-v` only.
    pub fn explain(&self, picked: usize, hint: &Hint<'_>) -> Explanation {
        let tier = self.candidates[picked].tier();
        let mut among = Vec::new();
        let mut skipped = Vec::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            match skip(candidate, hint.tried.contains(&index)) {
                Some(skip) => skipped.push((index, skip)),
                None if candidate.standing == Standing::Vacant => {}
                None if candidate.tier() == tier => among.push(index),
                None => skipped.push((index, Skip::Backup)),
            }
        }
        let reason = self.tiers[tier].policy.reason(picked, &among, &self.candidates, hint);
        Explanation { strategy: self.strategy, picked, reason, skipped }
    }

    /// How many a pick without tried ones would choose among.
    pub fn eligible_count(&self) -> usize {
        let [others, backups] = &self.tiers;
        if others.visible > 0 { others.visible } else { backups.visible }
    }

    /// The backend at `index`; check [`Candidate::standing`] for a vacant one.
    pub fn candidate(&self, index: usize) -> &Candidate {
        &self.candidates[index]
    }

    /// Pairs in flight with the backend at `index`.
    pub fn in_flight(&self, index: usize) -> u32 {
        self.candidates[index].in_flight
    }

    fn tell(&mut self, index: usize, change: Change) {
        let candidate = &self.candidates[index];
        assert!(candidate.standing != Standing::Vacant, "no backend at this index");
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

/// Why a backend could not be picked; none for one that could (and for a vacant index).
fn skip(candidate: &Candidate, tried: bool) -> Option<Skip> {
    match candidate.standing {
        Standing::Vacant => None,
        Standing::Draining => Some(Skip::Draining),
        Standing::Serving if !candidate.up => Some(Skip::Down),
        Standing::Serving if candidate.is_full() => Some(Skip::Full),
        Standing::Serving if tried => Some(Skip::Tried),
        Standing::Serving => None,
    }
}
