//! What an operator sets by hand of servers (`loadbalancer ctl`), and what is in force with it.

use super::kernel::{Dice, Event, Kernel};
use loadbalancer::balance::AdminState;
use loadbalancer::base::rng::Rng;
use loadbalancer::wire::by_hand::{ByHand, Wish};

/// A command, on its way to the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub name: usize,
    pub change: ByHand,
}

impl Order {
    /// Of any server; more often one that brings it back than one that takes it out.
    pub fn draw(names: usize, rng: &mut Rng) -> Order {
        let name = rng.below(names as u64) as usize;
        let (wish, weight) = match rng.below(6) {
            0 => (Some(Wish::Drain), None),
            1 => (Some(Wish::Down), None),
            2 => (None, Some(rng.between(1, 3) as u32)),
            _ => (Some(Wish::Up), None),
        };
        Order { name, change: ByHand { wish, weight } }
    }

    /// The server takes requests.
    pub fn up(name: usize) -> Order {
        Order { name, change: ByHand { wish: Some(Wish::Up), weight: None } }
    }
}

/// Plans commands in every third run in which the list changes, from numbers of their own, so that
/// the seeds keep their runs.
pub fn plan(span: u64, kernel: &mut Kernel) {
    let mut rng = Rng::new(!kernel.rng.clone().bits());
    if rng.chance(667) {
        return;
    }
    for _ in 0..rng.between(1, 6) {
        let at = kernel.now + rng.below(span);
        kernel.schedule(at, Event::Order);
    }
}

/// What is set of one server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hand(ByHand);

impl Hand {
    /// Applies a command to a server of which the list says this. What it says anyway is not set.
    pub fn take(&mut self, change: ByHand, listed: (AdminState, u32)) {
        let Hand(ByHand { wish, weight }) = self;
        if change.wish.is_some() {
            let is_listed = change.wish == Some(Wish::Up) && listed.0 == AdminState::Ready;
            *wish = change.wish.filter(|_| !is_listed);
        }
        if change.weight.is_some() {
            *weight = change.weight.filter(|weight| *weight != listed.1);
        }
    }

    /// What is in force of a server of which the list says this.
    pub fn over(self, (admin, weight): (AdminState, u32)) -> (AdminState, u32) {
        let admin = match self.0.wish {
            None => admin,
            Some(Wish::Up) => AdminState::Ready,
            Some(Wish::Drain) => AdminState::Drain,
            Some(Wish::Down) => AdminState::Down,
        };
        (admin, self.0.weight.unwrap_or(weight))
    }
}
