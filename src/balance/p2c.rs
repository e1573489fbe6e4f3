//! `p2c`: two distinct ones drawn by weight, the less busy of them (Mitzenmacher 2001).

use super::balancer::Candidate;
use super::draw::Weights;
use super::explain::Reason;
use super::least_conn::Level;
use super::policy::{Hint, Policy};
use crate::base::rng::Rng;

/// The weights of the visible ones and the last draw.
#[derive(Debug)]
pub(super) struct PowerOfTwo {
    rng: Rng,
    weights: Weights,
    drawn: [usize; 2],
}

impl PowerOfTwo {
    /// Nobody visible yet.
    pub(super) fn new(rng: Rng) -> PowerOfTwo {
        PowerOfTwo { rng, weights: Weights::default(), drawn: [0; 2] }
    }

    /// The second of two: drawn from what the first leaves of the total, so that it is another one
    /// without drawing until it is. The first again when it is alone.
    fn second(&mut self, first: usize) -> usize {
        let weight = self.weights.of(first);
        let rest = self.weights.total() - weight;
        if rest == 0 {
            return first;
        }
        let point = self.rng.below(rest);
        let beyond = point >= self.weights.before(first);
        self.weights.at(if beyond { point + weight } else { point })
    }
}

impl Policy for PowerOfTwo {
    fn add(&mut self, index: usize, _candidate: &Candidate) {
        self.weights.grow(index);
    }

    fn enter(&mut self, index: usize, candidate: &Candidate) {
        self.weights.set(index, candidate.spec.weight.into());
    }

    fn leave(&mut self, index: usize, _candidate: &Candidate) {
        self.weights.set(index, 0);
    }

    fn pick(&mut self, candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        if self.weights.total() == 0 {
            return None;
        }
        let first = self.weights.at(self.rng.below(self.weights.total()));
        let second = self.second(first);
        self.drawn = [first, second];
        // Of two equals the first: it was drawn by weight, so idle servers share by weight.
        let better = Level::of(&candidates[second]) < Level::of(&candidates[first]);
        Some(if better { second } else { first })
    }

    fn reason(&self, _picked: usize, _: &[usize], all: &[Candidate], _: &Hint<'_>) -> Reason {
        Reason::Two { drawn: self.drawn.map(|index| (index, Level::of(&all[index]))) }
    }
}
