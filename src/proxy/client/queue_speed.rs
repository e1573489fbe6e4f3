//! How fast the queue moves, for what `Retry-After` tells a client that was refused. Pure
//! book-keeping.

use crate::base::time::Instant;
use std::time::Duration;

/// Admissions from the queue are counted over one to two of these.
const WINDOW: Duration = Duration::from_secs(2);

/// Shortest and longest wait in a `Retry-After`: a client shall come back, and not at once.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Requests that left the queue for a slot, over the time in which some waited.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    span: Duration,
    served: u32,
}

/// The speed of the queue.
#[derive(Debug, Default)]
pub struct QueueSpeed {
    since: Instant,
    served: u32,
    served_at: Instant,
    before: Window,
}

impl QueueSpeed {
    /// The first request waits in a queue that was empty: the time before does not count.
    pub fn began(&mut self, now: Instant) {
        if self.served > 0 {
            self.roll(self.served_at);
        }
        self.since = now;
    }

    /// A request left the queue for a slot.
    pub fn served(&mut self, now: Instant) {
        self.served += 1;
        self.served_at = now;
        if now.since(self.since) >= WINDOW {
            self.roll(now);
        }
    }

    /// The request that left last is back: there was no room for it.
    pub fn came_back(&mut self) {
        match self.served {
            0 => self.before.served = self.before.served.saturating_sub(1),
            served => self.served = served - 1,
        }
    }

    fn roll(&mut self, until: Instant) {
        self.before = Window { span: until.since(self.since), served: self.served };
        (self.since, self.served) = (until, 0);
    }

    /// How long a request would wait behind `waiting` others, in whole seconds, 1 to 60. Where none
    /// was served yet: as long as the queue has not moved.
    pub fn wait_seconds(&self, waiting: usize, now: Instant) -> u32 {
        if waiting == 0 {
            return WAIT_MIN.as_secs() as u32;
        }
        let span = now.since(self.since) + self.before.span;
        let served = u128::from(self.served) + u128::from(self.before.served);
        let wait_us = match served {
            0 => span.as_micros(),
            served => span.as_micros() * waiting as u128 / served,
        };
        let wait_us = wait_us.clamp(WAIT_MIN.as_micros(), WAIT_MAX.as_micros());
        wait_us.div_ceil(1_000_000) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    /// A queue since `start` from which one is served every `every` milliseconds, up to `end`.
    fn moving(speed: &mut QueueSpeed, start: u64, every: usize, end: u64) {
        speed.began(at(start));
        (start..=end).step_by(every).skip(1).for_each(|now| speed.served(at(now)));
    }

    #[test]
    fn the_wait_is_what_the_queue_takes_for_those_before() {
        for (every, end, waiting, expected) in [
            (100, 1_000, 0, 1),
            (100, 1_000, 1, 1),
            (100, 1_000, 10, 1),
            (100, 1_000, 11, 2),
            (100, 1_000, 300, 30),
            (100, 60_000, 300, 30),
            (2_000, 20_000, 20, 40),
            (2_000, 20_000, 30, 60),
            (2_000, 20_000, 31, 60),
            (1, 10_000, 1_000_000, 60),
        ] {
            let mut speed = QueueSpeed::default();
            moving(&mut speed, 0, every, end);
            let found = speed.wait_seconds(waiting, at(end));
            assert_eq!(found, expected, "{waiting} waiting, one every {every} ms up to {end}");
        }
    }

    #[test]
    fn a_queue_that_does_not_move_is_as_slow_as_it_is_old() {
        let mut speed = QueueSpeed::default();
        speed.began(at(1_000));
        for (now, expected) in [(1_000, 1), (2_000, 1), (6_500, 6), (61_000, 60), (900_000, 60)] {
            assert_eq!(speed.wait_seconds(50, at(now)), expected, "{now}");
        }
    }

    #[test]
    fn time_without_a_queue_does_not_count_and_old_windows_are_forgotten() {
        let mut speed = QueueSpeed::default();
        moving(&mut speed, 0, 100, 1_000);
        moving(&mut speed, 500_000, 100, 501_000);
        assert_eq!(speed.wait_seconds(50, at(501_000)), 5, "not the 499 s between");
        for now in (502_000..520_000).step_by(1_000) {
            speed.served(at(now));
        }
        assert_eq!(speed.wait_seconds(50, at(519_000)), 50, "one a second by now");
    }

    #[test]
    fn a_request_that_came_back_was_not_served() {
        let mut speed = QueueSpeed::default();
        speed.began(at(0));
        for now in (0..10_000).step_by(10) {
            speed.served(at(now));
            speed.came_back();
        }
        assert_eq!(speed.wait_seconds(5, at(10_000)), 4, "it has not moved for two windows");
        speed.came_back();
    }
}
