//! While requests wait for a slot, or clients for a place: clients that keep theirs by being slower
//! than `--min-rate` lose it. Nothing here runs while nobody waits.
//!
//! Every client is looked at once a second. One that its request waits for at every look of 10 s,
//! and that has moved too few bytes meanwhile, is ended. What counts as moved is what its TCP has
//! acknowledged or sent: the buffers of the kernel hide a slow reader for minutes.

use super::Proxy;
use super::client::pace::Speed;
use super::client::slow_clients::{Holds, LOOKS_MAX};
use super::kinds::{ClientKey, Next};
use crate::net::Net;

/// Who waits for what a slow client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contested {
    slots: bool,
    /// Places for connections.
    places: bool,
}

impl Contested {
    fn any(self) -> bool {
        self.slots || self.places
    }
}

impl<N: Net> Proxy<N> {
    fn contested(&self) -> Contested {
        let slots = self.exchanges.admission.waiting() > 0;
        Contested { slots, places: self.exchanges.context.at_capacity }
    }

    /// At the end of a turn: looks are planned as long as somebody waits.
    pub(super) fn plan_look(&mut self) {
        let is_contested = self.contested().any();
        if is_contested != self.slow_clients.timer().is_armed() {
            let clients = self.clients.len();
            self.slow_clients.plan(&mut self.exchanges.context, is_contested, clients);
        }
    }

    /// Looks at the next clients if that is due, and ends those that were too slow for too long.
    pub(super) fn look_at_slow_clients(&mut self) {
        let contested = self.contested();
        if !self.slow_clients.take_due() || !contested.any() {
            return;
        }
        let (keys, next) = self.clients.slice(self.slow_clients.from(), LOOKS_MAX);
        for key in keys {
            if let Speed::Slow(rate) = self.look_at(key, contested) {
                self.end_slow(key, rate);
            }
        }
        self.slow_clients.looked(self.exchanges.context.now.instant, next);
        self.after_step();
    }

    fn look_at(&mut self, key: ClientKey, contested: Contested) -> Speed {
        let client = self.clients.get_mut(key).expect("it was listed just now");
        let is_waited_for = match self.exchanges.waits_for_client(client) {
            Some(Holds::Slot) => true,
            Some(Holds::Place) => contested.places,
            None => false,
        };
        let bytes = if is_waited_for { client.conn.bytes_moved() } else { None };
        let cx = &self.exchanges.context;
        self.slow_clients.look(key, bytes, cx.now.instant, cx.config.rate_min)
    }

    fn end_slow(&mut self, key: ClientKey, rate: u64) {
        let client = self.clients.get_mut(key).expect("it was looked at just now");
        match self.exchanges.end_slow(key, client, rate) {
            Next::Gone => self.close_client(key),
            Next::Again | Next::Yield | Next::Defer | Next::Park => {
                client.wake(&mut self.exchanges.context, key);
            }
        }
    }
}
