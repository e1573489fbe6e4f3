//! The cap of N pairs and the queue before it, first come first served. Pure book-keeping.

use crate::proxy::ClientKey;
use std::collections::VecDeque;

/// Who holds a slot is counted here; who they are is known to the tables.
#[derive(Debug)]
pub struct Admission {
    slots_max: usize,
    used: usize,
    queue: VecDeque<ClientKey>,
    /// Clients in the queue that still wait; the others left it in their own way.
    waiting: usize,
    /// The first of the queue could not be served though it had a slot: it waits for the end of a
    /// pair, and the others behind it.
    blocked: bool,
}

impl Admission {
    /// No slot used, nobody waiting. `slots_max` is at least 1.
    pub fn new(slots_max: usize) -> Admission {
        assert!(slots_max > 0, "with no slot nobody would ever be served");
        Admission { slots_max, used: 0, queue: VecDeque::new(), waiting: 0, blocked: false }
    }

    /// Takes a slot if one is free and nobody came before.
    pub fn admit(&mut self) -> bool {
        let admitted = self.used < self.slots_max && self.waiting == 0;
        self.used += usize::from(admitted);
        admitted
    }

    /// Joins the end of the queue. `is_waiting` tells who still does: entries of those that left
    /// are dropped before they outnumber the others.
    pub fn enqueue(&mut self, client: ClientKey, is_waiting: impl Fn(ClientKey) -> bool) {
        if self.queue.len() > 2 * self.waiting + 64 {
            self.queue.retain(|&queued| is_waiting(queued));
        }
        self.queue.push_back(client);
        self.waiting += 1;
    }

    /// A client gives its slot back and becomes the first of the queue: it could not be served
    /// now, and nobody who came later shall be before it.
    pub fn step_back(&mut self, client: ClientKey) {
        self.release();
        self.queue.push_front(client);
        self.waiting += 1;
        self.blocked = true;
    }

    /// A waiting client left: time-out, or gone.
    pub fn leave(&mut self) {
        assert!(self.waiting > 0, "left a queue nobody waits in");
        self.waiting -= 1;
    }

    /// Gives a slot back.
    pub fn release(&mut self) {
        assert!(self.used > 0, "released a slot nobody held");
        self.used -= 1;
    }

    /// Gives a free slot to the first that still waits, if there are both.
    pub fn next(&mut self, is_waiting: impl Fn(ClientKey) -> bool) -> Option<ClientKey> {
        while self.used < self.slots_max {
            let client = self.queue.pop_front()?;
            if is_waiting(client) {
                self.waiting -= 1;
                self.used += 1;
                self.blocked = false;
                return Some(client);
            }
        }
        None
    }

    /// Slots in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Clients waiting.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether somebody waits with reason: for a slot, or for the end of a pair.
    pub fn waits_with_reason(&self) -> bool {
        self.waiting == 0 || self.used == self.slots_max || (self.blocked && self.used > 0)
    }

    /// The cap N.
    pub fn slots_max(&self) -> usize {
        self.slots_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::table::Table;

    #[test]
    fn first_come_first_served_and_never_past_the_cap() {
        let mut clients = Table::new();
        let keys: Vec<ClientKey> = (0..5).map(|number| clients.insert(number)).collect();
        let mut admission = Admission::new(2);
        assert!(admission.admit() && admission.admit() && !admission.admit());
        for &key in &keys {
            admission.enqueue(key, |_| true);
        }
        assert_eq!(admission.next(|_| true), None, "no slot is free");
        admission.release();
        assert!(!admission.admit(), "a newcomer does not overtake the queue");
        admission.leave();
        let gone = keys[0];
        assert_eq!(admission.next(|key| key != gone), Some(keys[1]));
        assert_eq!(admission.next(|_| true), None);
        assert_eq!((admission.used(), admission.waiting()), (2, 3));
    }

    #[test]
    fn entries_of_those_that_left_do_not_pile_up() {
        let mut clients: Table<crate::proxy::ClientKind, ()> = Table::new();
        let mut admission = Admission::new(1);
        for _ in 0..10_000 {
            let key = clients.insert(());
            admission.enqueue(key, |_| false);
            admission.leave();
        }
        assert!(admission.queue.len() <= 65);
    }
}
