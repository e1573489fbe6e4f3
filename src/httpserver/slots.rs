//! How many connections are served at once.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Connections served at once, each by a thread; more wait in the backlog of the listener.
pub const SLOTS_MAX: usize = 1_024;

/// From here on connections are closed behind their answer, so that idle ones cannot keep new
/// clients out.
const SCARCE_FROM: usize = SLOTS_MAX * 3 / 4;

/// The count of connections.
#[derive(Debug, Default)]
pub struct Slots {
    taken: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    /// A slot, once one is free.
    pub fn take(self: &Arc<Slots>) -> Slot {
        // The count is right whenever the lock is free: nothing between can panic.
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut usize| *taken >= SLOTS_MAX;
        let waited = self.freed.wait_while(taken, full);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Slot(Arc::clone(self))
    }
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slot {
    /// Few slots are left.
    pub fn is_scarce(&self) -> bool {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) > SCARCE_FROM
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn the_slot_past_the_limit_waits_for_one_to_be_given_back() {
        let slots = Arc::new(Slots::default());
        let mut held: Vec<Slot> = (0..SLOTS_MAX).map(|_| slots.take()).collect();
        assert!(held[0].is_scarce());
        let (tell, told) = mpsc::channel();
        let waiting = Arc::clone(&slots);
        let waiter = thread::spawn(move || {
            let slot = waiting.take();
            tell.send(()).unwrap();
            drop(slot);
        });
        assert!(told.try_recv().is_err());
        held.pop();
        told.recv().unwrap();
        waiter.join().unwrap();
        held.truncate(SCARCE_FROM);
        assert!(!held[0].is_scarce());
    }
}
