//! What slow start means for the balancer: which backends warm up, and picks while one does.

use super::super::candidate::SHARE_FULL;
use super::super::policy::Hint;
use super::Balancer;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;

impl Balancer {
    /// This backend, which is up, has just come back or was just added: its share of the requests
    /// and its limit rise from a tenth to all. Not if it would have no other beside it.
    pub fn warm(&mut self, id: BackendId, now: Instant) {
        let index = id.index();
        let tier = self.candidates[index].tier();
        if !self.candidates[index].is_usable() || !self.has_warm_one(tier, index) {
            return;
        }
        self.candidates[index].share = self.slow_start.begin(index, now);
        self.refresh(index);
    }

    /// Whether another one of the tier takes requests and does not warm up.
    fn has_warm_one(&self, tier: usize, but: usize) -> bool {
        let mut others = self.candidates.iter().enumerate().filter(|(index, _)| *index != but);
        others.any(|(index, it)| {
            it.tier() == tier && it.is_usable() && !self.slow_start.is_warming(index)
        })
    }

    /// A backend does not warm up any more.
    pub(super) fn cool(&mut self, index: usize) {
        self.slow_start.end(index);
        self.candidates[index].share = SHARE_FULL;
    }

    /// Gives each backend that warms up its share of now.
    #[cold]
    pub(super) fn advance_slow_start(&mut self, now: Instant) {
        // One that is alone has to take what comes.
        let is_alone = [0, 1].map(|tier| !self.has_warm_one(tier, usize::MAX));
        let candidates = &mut self.candidates;
        self.slow_start.advance(now, |index, share| {
            let candidate = &mut candidates[index];
            candidate.share = if is_alone[candidate.tier()] { SHARE_FULL } else { share };
        });
        // Limits may have risen, also of those that are done.
        for index in 0..self.candidates.len() {
            self.refresh(index);
        }
    }

    /// The policy's choice, unless that would be more than the share of a backend that warms up:
    /// then the policy's next one. Where all that are left warm up, the choice stands.
    #[cold]
    pub(super) fn pick_in_slow_start(&mut self, tier: usize, hint: &Hint<'_>) -> Option<usize> {
        self.slow_start.earn(&self.candidates, tier);
        let mut picked = self.tiers[tier].policy.pick(&self.candidates, hint);
        while let Some(index) = picked
            && !self.slow_start.admits(index, &self.candidates[index], hint)
        {
            self.slow_start.passed.push(index);
            self.hide(index);
            picked = self.tiers[tier].policy.pick(&self.candidates, hint);
        }
        for at in 0..self.slow_start.passed.len() {
            self.refresh(self.slow_start.passed[at]);
        }
        match picked {
            Some(_) => picked,
            None => self.tiers[tier].policy.pick(&self.candidates, hint),
        }
    }
}
