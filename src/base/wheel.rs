//! A hierarchical timer wheel: arming, moving and cancelling are O(1) for any number of timers
//! (Varghese and Lauck 1987). An owner that extends its deadline does not update the wheel: when
//! the timer fires too early, the owner arms it again. So a packet costs the wheel nothing.

use super::table::Id;
use super::time::Instant;
use slab::Slab;

/// One tick in microseconds, as a shift: 1.024 ms. epoll waits in whole milliseconds anyway.
const TICK_SHIFT: u32 = 10;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 64^6 ticks are more than two years; a later deadline is capped, and its owner arms it again.
const LEVELS: usize = 6;
const TICKS_MAX: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;
const NONE: u32 = u32::MAX;

/// The timer of one owner, which must [`Wheel::cancel`] it before it goes away.
#[derive(Debug, Default)]
pub struct Timer(Option<u32>);

#[derive(Debug)]
struct Node {
    id: Id,
    tick: u64,
    slot: u16,
    next: u32,
    previous: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    head: u32,
    /// No node in the slot fires before this tick. A lower bound: removing a node does not raise
    /// it.
    earliest: u64,
}

/// All timers of the program.
#[derive(Debug)]
pub struct Wheel {
    nodes: Slab<Node>,
    slots: Box<[[Slot; SLOTS]; LEVELS]>,
    /// A bit per slot with a node in it.
    occupied: [u64; LEVELS],
    /// The tick up to which everything has fired.
    now: u64,
    /// The least `earliest` of all slots, `u64::MAX` for none: most turns of the loop have no
    /// timer to fire, and need not search for it.
    due: u64,
    /// Nodes inserted into a slot or inspected in one, for the test of the cost.
    #[cfg(test)]
    steps: u64,
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel::new()
    }
}

impl Wheel {
    /// An empty wheel at [`Instant::START`].
    pub fn new() -> Wheel {
        let slot = Slot { head: NONE, earliest: u64::MAX };
        Wheel {
            nodes: Slab::new(),
            slots: Box::new([[slot; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            now: 0,
            due: u64::MAX,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Makes `id` fire at `deadline` or earlier; an owner that finds its deadline not reached arms
    /// again. Extending a deadline is therefore free.
    #[inline]
    pub fn arm(&mut self, timer: &mut Timer, deadline: Instant, id: Id) {
        // Rounded up, so that the deadline has passed when the node fires.
        let wanted = deadline.as_micros().saturating_add((1 << TICK_SHIFT) - 1) >> TICK_SHIFT;
        let fires_by_then = |index: u32| self.nodes[index as usize].tick <= wanted;
        if !timer.0.is_some_and(fires_by_then) {
            self.move_to(wanted, timer, id);
        }
    }

    fn move_to(&mut self, wanted: u64, timer: &mut Timer, id: Id) {
        let tick = wanted.clamp(self.now, self.now.saturating_add(TICKS_MAX / 2));
        match timer.0 {
            Some(index) => {
                self.unlink(index);
                self.nodes[index as usize].tick = tick;
                self.link(index);
            }
            None => {
                let node = Node { id, tick, slot: 0, next: NONE, previous: NONE };
                let index = self.nodes.insert(node) as u32;
                timer.0 = Some(index);
                self.link(index);
            }
        }
    }

    /// Disarms the timer.
    pub fn cancel(&mut self, timer: &mut Timer) {
        if let Some(index) = timer.0.take() {
            self.unlink(index);
            self.nodes.remove(index as usize);
        }
    }

    /// Removes one node that is due at `now` and returns its id; the owner must then call
    /// [`Timer::fired`]. None when nothing is due.
    pub fn pop_expired(&mut self, now: Instant) -> Option<Id> {
        let now = now.as_micros() >> TICK_SHIFT;
        while self.due <= now {
            let Some((level, slot)) = self.earliest() else { break };
            // Every node due before this slot has fired, so the wheel may advance to it.
            self.now = self.now.max(self.slots[level][slot].earliest);
            let fired = self.sift(level, slot);
            self.find_due();
            if fired.is_some() {
                return fired;
            }
        }
        self.now = self.now.max(now);
        None
    }

    /// When to call [`Wheel::pop_expired`] next: never later than the earliest deadline, and
    /// earlier only if the timer due at that time was cancelled.
    pub fn next_deadline(&self) -> Option<Instant> {
        (self.due < u64::MAX).then(|| Instant::from_micros(self.due << TICK_SHIFT))
    }

    /// The latest time at which a timer fires; none while it is not armed.
    pub fn fires_at(&self, timer: &Timer) -> Option<Instant> {
        let tick = self.nodes[timer.0? as usize].tick;
        Some(Instant::from_micros(tick << TICK_SHIFT))
    }

    /// Frees the places of timers that are gone. O(places): not for every turn of the loop.
    pub fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// Number of armed timers.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn find_due(&mut self) {
        self.due = self.earliest().map_or(u64::MAX, |(level, at)| self.slots[level][at].earliest);
    }

    /// The slot with the smallest `earliest`. From the current position on, the slots of a level
    /// are in time order, so only the first occupied one of each level is compared.
    fn earliest(&self) -> Option<(usize, usize)> {
        let mut best = None;
        let mut best_tick = u64::MAX;
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let position = (self.now >> (SLOT_BITS * level as u32)) as u32 & (SLOTS as u32 - 1);
            let ahead = self.occupied[level].rotate_right(position).trailing_zeros();
            let slot = (position + ahead) as usize % SLOTS;
            let tick = self.slots[level][slot].earliest;
            if tick < best_tick || best.is_none() {
                best = Some((level, slot));
                best_tick = tick;
            }
        }
        best
    }

    /// Returns one due node of the slot, or moves the nodes to their new slots and corrects the
    /// bound. Each node moves down at most once per level, so the cost per timer is O(1).
    fn sift(&mut self, level: usize, slot: usize) -> Option<Id> {
        let mut index = self.slots[level][slot].head;
        self.slots[level][slot].earliest = u64::MAX;
        while index != NONE {
            #[cfg(test)]
            {
                self.steps += 1;
            }
            let (next, tick) = {
                let node = &self.nodes[index as usize];
                (node.next, node.tick)
            };
            if tick <= self.now {
                self.unlink(index);
                // The rest of the slot was not inspected: its bound stays as low as it was.
                if self.occupied[level] & (1 << slot) != 0 {
                    self.slots[level][slot].earliest = self.now;
                }
                return Some(self.nodes.remove(index as usize).id);
            }
            if self.place(tick) == (level, slot) {
                let bound = &mut self.slots[level][slot].earliest;
                *bound = (*bound).min(tick);
            } else {
                self.unlink(index);
                self.link(index);
            }
            index = next;
        }
        None
    }

    /// The level is the highest base-64 digit in which `tick` differs from `now`, the slot its
    /// value.
    fn place(&self, tick: u64) -> (usize, usize) {
        let differing = 63 - ((tick ^ self.now) | 1).leading_zeros();
        let level = (differing / SLOT_BITS) as usize;
        let level = level.min(LEVELS - 1);
        (level, (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS)
    }

    fn link(&mut self, index: u32) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        let tick = self.nodes[index as usize].tick;
        let (level, at) = self.place(tick);
        let slot = &mut self.slots[level][at];
        let node = &mut self.nodes[index as usize];
        node.slot = (level * SLOTS + at) as u16;
        node.previous = NONE;
        node.next = slot.head;
        let next = slot.head;
        slot.head = index;
        slot.earliest = slot.earliest.min(tick);
        self.due = self.due.min(tick);
        self.occupied[level] |= 1 << at;
        if next != NONE {
            self.nodes[next as usize].previous = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let (next, previous, slot) = {
            let node = &self.nodes[index as usize];
            (node.next, node.previous, usize::from(node.slot))
        };
        let (level, at) = (slot / SLOTS, slot % SLOTS);
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
            return;
        }
        self.slots[level][at].head = next;
        if next == NONE {
            self.occupied[level] &= !(1 << at);
            let earliest = std::mem::replace(&mut self.slots[level][at].earliest, u64::MAX);
            if earliest == self.due {
                self.find_due();
            }
        }
    }
}

impl Timer {
    /// A timer that is not armed.
    pub const fn new() -> Timer {
        Timer(None)
    }

    /// Records that [`Wheel::pop_expired`] has removed the node.
    pub fn fired(&mut self) {
        self.0 = None;
    }

    /// Whether a node is in the wheel.
    pub fn is_armed(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::HashMap;
    use std::time::Duration;

    fn id(number: u64) -> Id {
        Id::from_token(number as usize)
    }

    /// Against a plain map of deadlines: what fires, when, and when to ask next.
    #[test]
    fn fires_exactly_what_is_due_after_random_operations() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let mut wheel = Wheel::new();
            let mut model: HashMap<u64, (Timer, Instant)> = HashMap::new();
            let mut now = Instant::START;
            for step in 0..2_000u64 {
                match rng.below(10) {
                    0..=4 => {
                        let span = 1u64 << rng.below(38);
                        let deadline = now + Duration::from_micros(rng.below(span));
                        let mut timer = Timer::new();
                        wheel.arm(&mut timer, deadline, id(step));
                        model.insert(step, (timer, deadline));
                    }
                    5 => {
                        let keys: Vec<u64> = model.keys().copied().collect();
                        if let Some(&key) = keys.get(rng.below(keys.len() as u64) as usize) {
                            let (mut timer, _) = model.remove(&key).expect("in the model");
                            wheel.cancel(&mut timer);
                        }
                    }
                    6 => {
                        let keys: Vec<u64> = model.keys().copied().collect();
                        if let Some(&key) = keys.get(rng.below(keys.len() as u64) as usize) {
                            let (timer, deadline) = model.get_mut(&key).expect("in the model");
                            let sooner = now
                                + Duration::from_micros(deadline.since(now).as_micros() as u64 / 2);
                            wheel.arm(timer, sooner, id(key));
                            *deadline = sooner;
                        }
                    }
                    _ => {
                        let span = 1u64 << rng.below(36);
                        now = now + Duration::from_micros(rng.below(span));
                        while let Some(fired) = wheel.pop_expired(now) {
                            let key = fired.token() as u64;
                            let (mut timer, deadline) = model
                                .remove(&key)
                                .unwrap_or_else(|| panic!("seed {seed}: {key} fired twice"));
                            timer.fired();
                            assert!(deadline <= now, "seed {seed}: {key} fired early");
                        }
                        let tick = Duration::from_micros(1 << TICK_SHIFT);
                        for (key, (_, deadline)) in &model {
                            assert!(*deadline + tick > now, "seed {seed}: {key} did not fire");
                        }
                    }
                }
                assert_eq!(wheel.len(), model.len());
                let earliest = model.values().map(|(_, deadline)| *deadline).min();
                match (wheel.next_deadline(), earliest) {
                    (None, None) => {}
                    (Some(next), Some(earliest)) => {
                        assert!(next <= earliest + Duration::from_micros(1 << TICK_SHIFT));
                    }
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_single_timer_fires_once_and_on_time() {
        for micros in [1, 1_000, 70_000, 5_000_000, 300_000_000, 90_000_000_000] {
            let mut wheel = Wheel::new();
            wheel.pop_expired(Instant::from_micros(123_456_789));
            let deadline = Instant::from_micros(123_456_789 + micros);
            let mut timer = Timer::new();
            wheel.arm(&mut timer, deadline, id(1));
            let next = wheel.next_deadline().expect("armed");
            assert!(
                next >= deadline && next.since(deadline) <= Duration::from_micros(1 << TICK_SHIFT)
            );
            assert_eq!(wheel.pop_expired(next), Some(id(1)), "after {micros} µs");
            assert_eq!(wheel.next_deadline(), None);
        }
    }

    /// Armed, half of them cancelled, the others fired.
    #[test]
    fn the_cost_of_a_timer_does_not_grow_with_their_number() {
        for count in [1_000, 300_000] {
            let mut rng = Rng::new(7);
            let mut wheel = Wheel::new();
            let mut timers: Vec<Timer> = (0..count).map(|_| Timer::new()).collect();
            for (number, timer) in timers.iter_mut().enumerate() {
                let deadline = Instant::from_micros(60_000_000 + rng.below(60_000_000));
                wheel.arm(timer, deadline, id(number as u64));
            }
            for timer in timers.iter_mut().step_by(2) {
                wheel.cancel(timer);
            }
            let mut fired = 0;
            while let Some(now) = wheel.next_deadline() {
                while wheel.pop_expired(now).is_some() {
                    fired += 1;
                }
            }
            assert_eq!(fired, count / 2);
            // Put in once per level at most, and looked at before it leaves.
            let bound = 2 * LEVELS as u64 * count as u64;
            assert!(wheel.steps <= bound, "{} steps for {count} timers", wheel.steps);
        }
    }

    #[test]
    fn extending_a_deadline_leaves_the_node_in_its_slot() {
        let mut wheel = Wheel::new();
        let mut timer = Timer::new();
        wheel.arm(&mut timer, Instant::from_micros(10_000), id(1));
        let before = wheel.next_deadline();
        wheel.arm(&mut timer, Instant::from_micros(50_000), id(1));
        assert_eq!(wheel.next_deadline(), before);
        wheel.arm(&mut timer, Instant::from_micros(5_000), id(1));
        assert!(wheel.next_deadline() < before);
        assert_eq!(wheel.len(), 1);
    }
}
