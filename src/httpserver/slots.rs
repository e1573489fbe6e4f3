//! The connections served at once: a limited number, in which idle ones give way to new ones.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections served at once, each by a thread; more wait in the listen backlog.
pub const SLOTS_MAX: usize = 1_024;

/// Longest wait for a closed idle connection before the next one is closed, too: a request may have
/// arrived just before the first was closed.
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);

/// The slots of one server.
#[derive(Debug)]
pub struct Slots {
    max: usize,
    state: Mutex<State>,
    /// A slot was freed, or a connection became idle.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Connections without a request, in the order in which they became idle.
    idle: BTreeMap<u64, Arc<TcpStream>>,
    next_key: u64,
}

impl State {
    /// Ends the connection that is idle for the longest time: its thread reads the end of input.
    fn close_longest_idle(&mut self) {
        if let Some((_, stream)) = self.idle.pop_first() {
            // It fails when the client has closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Slots {
    /// `max` slots, all free.
    pub fn new(max: usize) -> Arc<Slots> {
        Arc::new(Slots { max, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits for a slot; when all are taken, an idle connection is closed for it.
    pub fn take(self: &Arc<Slots>) -> Slot {
        let mut state = self.lock();
        while state.taken >= self.max {
            state.close_longest_idle();
            let waited = self.changed.wait_timeout(state, CLOSE_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.taken += 1;
        Slot(Arc::clone(self))
    }

    /// Makes the system's resources of an idle connection available, if there is one.
    pub fn close_longest_idle(&self) {
        self.lock().close_longest_idle();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to serve one connection; given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slot {
    /// The connection `stream` of this slot is idle until the value is dropped.
    pub fn idle(&self, stream: &Arc<TcpStream>) -> Idle<'_> {
        let mut state = self.0.lock();
        let key = state.next_key;
        state.next_key += 1;
        state.idle.insert(key, Arc::clone(stream));
        drop(state);
        self.0.changed.notify_one();
        Idle { slots: &self.0, key }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().taken -= 1;
        self.0.changed.notify_one();
    }
}

/// A connection that waits for its next request.
#[derive(Debug)]
pub struct Idle<'a> {
    slots: &'a Slots,
    key: u64,
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.slots.lock().idle.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn the_slot_past_the_limit_waits_for_one_to_be_given_back() {
        let slots = Slots::new(SLOTS_MAX);
        let mut held: Vec<Slot> = (0..SLOTS_MAX).map(|_| slots.take()).collect();
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::clone(&slots);
        let waiter = thread::spawn(move || {
            let slot = waiting.take();
            sender.send(()).unwrap();
            drop(slot);
        });
        assert!(receiver.try_recv().is_err());
        held.pop();
        receiver.recv().unwrap();
        waiter.join().unwrap();
        assert_eq!(slots.lock().taken, SLOTS_MAX - 1);
    }

    #[test]
    fn the_longest_idle_connection_gives_way_to_a_new_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, Arc::new(listener.accept().unwrap().0))
        };
        let slots = Slots::new(2);
        let (first, second) = (slots.take(), slots.take());
        let ((_client, older), (_other, newer)) = (connect(), connect());
        // It was idle before, but is not for as long as the other one now.
        drop(second.idle(&newer));
        let (sender, receiver) = mpsc::channel();
        let server = thread::spawn(move || {
            let _idle = first.idle(&older);
            sender.send(()).unwrap();
            (&*older).read(&mut [0]).unwrap()
        });
        receiver.recv().unwrap();
        let idle = second.idle(&newer);
        drop(slots.take());
        assert_eq!(server.join().unwrap(), 0, "the end of input");
        newer.set_nonblocking(true).unwrap();
        assert!((&*newer).read(&mut [0]).is_err(), "it is still open");
        drop(idle);
        assert!(slots.lock().idle.is_empty());
    }
}
