//! `rand`: at random, each with a chance in proportion to its weight.

use super::balancer::Candidate;
use super::draw::Weights;
use super::explain::Reason;
use super::policy::{Hint, Policy};
use crate::base::rng::Rng;

/// The weights of the visible ones.
#[derive(Debug)]
pub(super) struct Random {
    rng: Rng,
    weights: Weights,
}

impl Random {
    /// Nobody visible yet.
    pub(super) fn new(rng: Rng) -> Random {
        Random { rng, weights: Weights::default() }
    }
}

impl Policy for Random {
    fn add(&mut self, index: usize, _candidate: &Candidate) {
        self.weights.grow(index);
    }

    fn enter(&mut self, index: usize, candidate: &Candidate) {
        self.weights.set(index, candidate.spec.weight.into());
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.weights.set(index, 0);
    }

    fn pick(&mut self, _candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        match self.weights.total() {
            0 => None,
            total => Some(self.weights.at(self.rng.below(total))),
        }
    }

    fn reason(&self, _picked: usize, among: &[usize], _: &[Candidate], _: &Hint<'_>) -> Reason {
        let chance = |&index: &usize| (index, self.weights.of(index));
        Reason::Chance { among: among.iter().map(chance).collect() }
    }
}
