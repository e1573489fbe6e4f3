//! Slow start: a backend that came back, or was added, gets a tenth of its share at first, and all
//! of it after a while. Decides how much that is now, and whether a pick stands.
//!
//! The policies know nothing of it. What they compare (turns, requests in flight, times) does not
//! limit a share: an idle server that has just returned has the least of everything, and would get
//! each request until it is as busy as the others. So the picks of such a backend are counted
//! against what its share of all picks would be by weight. Time passes with picks only: nothing has
//! to wake up.

use super::candidate::{Candidate, SHARE_FULL};
use super::policy::Hint;
use super::strategy::Strategy;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use std::time::Duration;

/// The share at first, in permille.
const SHARE_MIN: u32 = 100;

/// One pick, in the units of [`Warm::credit`].
const PICK: u64 = 1_000_000_000;

/// Most picks that a backend may have saved up when its policy did not want it for a while.
const CREDIT_MAX: u64 = 2 * PICK;

/// What the share of a backend is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Its weight among all picks: the policy goes by what the backend does, or takes turns.
    Weight,
    /// The picks that fall to it: they do not depend on what it does.
    OwnPicks,
    /// The keys that fall to it: those that it has now stay with it when its share rises.
    Keys,
}

impl Measure {
    fn of(strategy: Strategy) -> Measure {
        match strategy {
            Strategy::RoundRobin
            | Strategy::LeastConn
            | Strategy::LeastTime
            | Strategy::LeastLoad
            | Strategy::PowerOfTwo => Measure::Weight,
            Strategy::First | Strategy::Random | Strategy::Rank => Measure::OwnPicks,
            Strategy::Source | Strategy::Uri | Strategy::Header => Measure::Keys,
        }
    }
}

/// A backend that is warming up.
#[derive(Clone, Copy, Debug)]
struct Warm {
    index: usize,
    since: Instant,
    /// The part of a pick that it is entitled to.
    credit: u64,
}

/// The backends that are warming up.
#[derive(Debug)]
pub(super) struct SlowStart {
    measure: Measure,
    /// Zero: there is no slow start.
    span: Duration,
    warm: Vec<Warm>,
    /// Those that the policy chose for the last pick and that it did not stand for.
    pub(super) passed: Vec<usize>,
}

impl SlowStart {
    pub(super) fn new(strategy: Strategy, span: Duration) -> SlowStart {
        SlowStart { measure: Measure::of(strategy), span, warm: Vec::new(), passed: Vec::new() }
    }

    /// Whether any backend is warming up.
    pub(super) fn is_active(&self) -> bool {
        !self.warm.is_empty()
    }

    pub(super) fn is_warming(&self, index: usize) -> bool {
        self.warm.iter().any(|warm| warm.index == index)
    }

    /// A backend warms up from now on. Its share now, in permille.
    pub(super) fn begin(&mut self, index: usize, now: Instant) -> u32 {
        self.end(index);
        if self.span.is_zero() {
            return SHARE_FULL;
        }
        self.warm.push(Warm { index, since: now, credit: 0 });
        SHARE_MIN
    }

    /// A backend does not warm up any more.
    pub(super) fn end(&mut self, index: usize) {
        self.warm.retain(|warm| warm.index != index);
    }

    /// Whether the last pick went past a backend that warms up.
    pub(super) fn has_passed(&self, index: usize) -> bool {
        self.is_active() && self.passed.contains(&index)
    }

    /// The backends that warm up with their shares of now. Those that are done are not among them
    /// the next time.
    pub(super) fn advance(&mut self, now: Instant, mut apply: impl FnMut(usize, u32)) {
        let span = self.span;
        self.warm.retain(|warm| {
            let share = share(now.since(warm.since), span);
            apply(warm.index, share);
            share < SHARE_FULL
        });
    }

    /// A pick is made among the visible ones of a tier: each that warms up earns its part of it.
    pub(super) fn earn(&mut self, candidates: &[Candidate], tier: usize) {
        self.passed.clear();
        if self.measure != Measure::Weight {
            return;
        }
        let in_tier = |it: &&Candidate| it.visible && it.tier() == tier;
        let total: u64 =
            candidates.iter().filter(in_tier).map(|it| u64::from(it.spec.weight)).sum();
        for warm in &mut self.warm {
            let candidate = &candidates[warm.index];
            if in_tier(&candidate) {
                let part = u64::from(candidate.spec.weight) * PICK / total.max(1);
                warm.earn(part * u64::from(candidate.share) / u64::from(SHARE_FULL));
            }
        }
    }

    /// Whether the policy's choice of `index` stands.
    pub(super) fn admits(&mut self, index: usize, candidate: &Candidate, hint: &Hint<'_>) -> bool {
        let measure = self.measure;
        let Some(warm) = self.warm.iter_mut().find(|warm| warm.index == index) else {
            return true;
        };
        match measure {
            Measure::Weight => warm.spend(),
            Measure::OwnPicks => {
                warm.earn(PICK / u64::from(SHARE_FULL) * u64::from(candidate.share));
                warm.spend()
            }
            Measure::Keys => {
                let place = Rng::new(hint.hash ^ candidate.spec.id).bits();
                place % u64::from(SHARE_FULL) < u64::from(candidate.share)
            }
        }
    }
}

impl Warm {
    fn earn(&mut self, credit: u64) {
        self.credit = (self.credit + credit).min(CREDIT_MAX);
    }

    fn spend(&mut self) -> bool {
        let is_enough = self.credit >= PICK;
        self.credit -= if is_enough { PICK } else { 0 };
        is_enough
    }
}

/// The share of a backend that has been back for `age`, in permille.
fn share(age: Duration, span: Duration) -> u32 {
    let risen = u128::from(SHARE_FULL - SHARE_MIN) * age.as_micros() / span.as_micros().max(1);
    let risen = u32::try_from(risen).unwrap_or(u32::MAX);
    SHARE_MIN.saturating_add(risen).min(SHARE_FULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_rises_linearly_from_a_tenth() {
        let span = Duration::from_secs(60);
        for (seconds, expected) in
            [(0, 100), (6, 190), (30, 550), (59, 985), (60, 1_000), (61, 1_000), (1 << 40, 1_000)]
        {
            assert_eq!(share(Duration::from_secs(seconds), span), expected, "{seconds} s");
        }
        assert_eq!(share(Duration::ZERO, Duration::from_micros(1)), SHARE_MIN);
        assert_eq!(share(Duration::from_micros(1), Duration::from_micros(1)), SHARE_FULL);
        assert_eq!(share(Duration::MAX, Duration::MAX), SHARE_FULL);
    }
}
