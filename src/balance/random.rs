//! `rand`: one drawn at random by weight. `p2c`: two different ones drawn by weight, the one with
//! fewer requests in flight (Mitzenmacher 2001).

use super::candidate::Candidate;
use super::explain::Reason;
use super::figures::Level;
use super::policy::{Hint, Policy};
use super::weights::Weights;
use crate::base::rng::Rng;

/// How many are drawn for a pick.
#[derive(Clone, Copy, Debug)]
enum Draws {
    One,
    Two { last: [usize; 2] },
}

/// The weights of the visible ones.
#[derive(Debug)]
pub(super) struct Random {
    rng: Rng,
    weights: Weights,
    draws: Draws,
}

impl Random {
    /// `rand`.
    pub(super) fn one(rng: Rng) -> Random {
        Random { rng, weights: Weights::default(), draws: Draws::One }
    }

    /// `p2c`.
    pub(super) fn better_of_two(rng: Rng) -> Random {
        Random { rng, weights: Weights::default(), draws: Draws::Two { last: [0; 2] } }
    }

    /// Another one than `first`, drawn from the rest of the total, so that one draw is enough.
    /// `first` itself when it is the only one.
    fn another(&mut self, first: usize) -> usize {
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

    fn pick(&mut self, candidates: &[Candidate], _hint: &Hint<'_>) -> Option<usize> {
        if self.weights.total() == 0 {
            return None;
        }
        let first = self.weights.at(self.rng.below(self.weights.total()));
        match self.draws {
            Draws::One => Some(first),
            Draws::Two { .. } => {
                let second = self.another(first);
                self.draws = Draws::Two { last: [first, second] };
                // Of two equals the first: it was drawn by weight, so idle servers share by weight.
                let better = Level::of(&candidates[second]) < Level::of(&candidates[first]);
                Some(if better { second } else { first })
            }
        }
    }

    fn reason(&self, _picked: usize, among: &[usize], all: &[Candidate], _: &Hint<'_>) -> Reason {
        match self.draws {
            Draws::One => {
                let chance = |&index: &usize| (index, self.weights.of(index));
                Reason::Chance { among: among.iter().map(chance).collect() }
            }
            Draws::Two { last } => {
                Reason::Two { drawn: last.map(|index| (index, Level::of(&all[index]))) }
            }
        }
    }
}
