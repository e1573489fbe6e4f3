//! Turns by weight (stride scheduling, Waldspurger 1995): on a virtual clock a backend of weight w
//! is due w times per round. Turns are evenly spaced (weights 5, 1, 1 interleave), and a short
//! absence costs no turn.

use super::slot::slot;

/// Clock ticks per round: the least common multiple of 1 to 16, so that the usual weights divide it
/// exactly (others to 0.2 % up to 1,000). 64 bits last 2.5 * 10^13 rounds.
const ROUND: u64 = 720_720;

/// Ticks between two turns.
fn stride(weight: u32) -> u64 {
    (ROUND / u64::from(weight)).max(1)
}

#[derive(Clone, Debug, Default)]
struct Turn {
    due: Option<u64>,
    stride: u64,
}

/// The virtual clock and when each backend is due on it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    clock: u64,
    members: Vec<Turn>,
}

impl Turns {
    /// A backend of this weight, due when it first enters.
    pub(super) fn add(&mut self, index: usize, weight: u32) {
        *slot(&mut self.members, index) = Turn { due: None, stride: stride(weight) };
    }

    /// Another weight: its next turn keeps its place in proportion, so that a light one that
    /// becomes heavy does not wait for a turn of its old weight.
    pub(super) fn reweigh(&mut self, index: usize, weight: u32) {
        let clock = self.clock;
        let turn = &mut self.members[index];
        let (old, new) = (turn.stride, stride(weight));
        turn.stride = new;
        if let Some(due) = &mut turn.due {
            let left = u128::from(due.saturating_sub(clock)) * u128::from(new) / u128::from(old);
            *due = clock + left as u64;
        }
    }

    /// It takes part (again). It keeps its place unless it missed a whole turn: turns
    /// do not add up during an absence. A new place is spaced by index, so that equals are due in
    /// index order and those that enter together do not come in bursts.
    pub(super) fn enter(&mut self, index: usize) {
        let places = self.members.len() as u64 * 2;
        let turn = &mut self.members[index];
        if turn.due.is_none_or(|due| due + turn.stride < self.clock) {
            turn.due = Some(self.clock + turn.stride * (index as u64 * 2 + 1) / places);
        }
    }

    /// When its next turn is due; the lowest comes first.
    pub(super) fn due(&self, index: usize) -> u64 {
        self.members[index].due.unwrap_or(self.clock)
    }

    /// It had its turn; returns when the next one is due.
    pub(super) fn take(&mut self, index: usize) -> u64 {
        let due = self.due(index);
        let turn = &mut self.members[index];
        self.clock = self.clock.max(due);
        turn.due = Some(due + turn.stride);
        due + turn.stride
    }

    /// When the turn it took last was due.
    pub(super) fn taken(&self, index: usize) -> u64 {
        self.due(index) - self.members[index].stride
    }
}
