//! Failed requests that count as in flight for as long as a response usually takes: otherwise a
//! server that fails fast would always look the least busy and draw the traffic.

use crate::base::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Most of them at a time; a further one replaces the one that is due first. Far more than an even
/// share of what is in flight.
const HOLDS_MAX: usize = 1_024;

/// Backend indices with the time at which each hold ends.
#[derive(Debug, Default)]
pub(super) struct Holds {
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Holds {
    /// Adds a hold of `index` until `due`. Returns the index whose hold ends early to make room.
    pub(super) fn add(&mut self, due: Instant, index: usize) -> Option<usize> {
        let replaced = if self.due.len() == HOLDS_MAX { self.due.pop() } else { None };
        self.due.push(Reverse((due, index)));
        replaced.map(|Reverse((_, index))| index)
    }

    /// The index of a hold that has ended at `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let Reverse((due, index)) = *self.due.peek()?;
        if due > now {
            return None;
        }
        self.due.pop();
        Some(index)
    }

    /// Forgets the holds of `index`.
    pub(super) fn remove(&mut self, index: usize) {
        self.due.retain(|Reverse((_, held))| *held != index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_end_in_the_order_of_their_time() {
        let mut holds = Holds::default();
        for (due, index) in [(30, 0), (10, 1), (20, 2), (10, 0)] {
            assert_eq!(holds.add(Instant::from_micros(due), index), None);
        }
        holds.remove(1);
        assert_eq!(holds.pop_due(Instant::from_micros(9)), None);
        assert_eq!(holds.pop_due(Instant::from_micros(20)), Some(0));
        assert_eq!(holds.pop_due(Instant::from_micros(20)), Some(2));
        assert_eq!(holds.pop_due(Instant::from_micros(20)), None);
    }

    #[test]
    fn past_the_limit_the_one_that_is_due_first_gives_way() {
        let mut holds = Holds::default();
        for due in 0..HOLDS_MAX {
            assert_eq!(holds.add(Instant::from_micros(due as u64 + 5), due), None);
        }
        assert_eq!(holds.add(Instant::from_micros(7), HOLDS_MAX), Some(0));
        assert_eq!(holds.due.len(), HOLDS_MAX);
    }
}
