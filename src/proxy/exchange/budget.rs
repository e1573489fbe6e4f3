//! How many requests may be repeated at servers that may have seen them: a share of the recent
//! ones, or of those in flight where they take longer than that. When all servers are failing,
//! repeating everything would multiply what troubles them; when one is, its share fits. Pure: ten
//! counters, no clock, no memory per request.

use crate::base::time::Instant;

/// Length of a slot in microseconds, and how many of them are recent.
const SLOT_MICROS: u64 = 1_000_000;
const SLOTS: usize = 10;

/// Repeats within [`SLOTS`] that are allowed whatever the share: a service with few requests has
/// its failures all the same, and what was in flight at a server that dies is repeated at once.
const FLOOR: u32 = 100;

/// What happened within a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    repeats: u32,
}

/// Requests and repeats of the last ten seconds.
#[derive(Debug)]
pub struct Budget {
    percent: u32,
    slots: [Slot; SLOTS],
    /// The sums over `slots`.
    recent: Slot,
    /// Number of the current slot since the start; its place is this modulo [`SLOTS`].
    number: u64,
}

impl Budget {
    /// Repeats may be `percent` of the requests, beside [`FLOOR`].
    pub fn new(percent: u32) -> Budget {
        Budget { percent, slots: [Slot::default(); SLOTS], recent: Slot::default(), number: 0 }
    }

    /// It is `now`: what is no longer recent is forgotten.
    pub fn advance(&mut self, now: Instant) {
        let number = now.as_micros() / SLOT_MICROS;
        let past = number.saturating_sub(self.number);
        self.number += past;
        for back in 0..past.min(SLOTS as u64) {
            let gone = std::mem::take(&mut self.slots[(self.number - back) as usize % SLOTS]);
            self.recent.requests -= gone.requests;
            self.recent.repeats -= gone.repeats;
        }
    }

    /// A request has come.
    pub fn request(&mut self) {
        let slot = &mut self.slots[self.number as usize % SLOTS];
        slot.requests += 1;
        self.recent.requests += 1;
    }

    /// Whether one more may be repeated, with so many in flight.
    pub fn allows(&self, in_flight: usize) -> bool {
        let requests = u64::from(self.recent.requests).max(in_flight as u64);
        let share = requests * u64::from(self.percent) / 100;
        u64::from(self.recent.repeats) < share + u64::from(FLOOR)
    }

    /// One is repeated.
    pub fn repeat(&mut self) {
        let slot = &mut self.slots[self.number as usize % SLOTS];
        slot.repeats += 1;
        self.recent.repeats += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget at a time of its own: some place among the slots, not the first.
    fn at(percent: u32, seconds: f64) -> Budget {
        let mut budget = Budget::new(percent);
        budget.advance(after(seconds));
        budget
    }

    fn after(seconds: f64) -> Instant {
        Instant::from_micros((seconds * 1e6) as u64)
    }

    /// Repeats as long as it is allowed; how often that was.
    fn spend(budget: &mut Budget) -> u32 {
        let mut count = 0;
        while budget.allows(0) {
            budget.repeat();
            count += 1;
            assert!(count < 1_000_000, "no end of repeats");
        }
        count
    }

    #[test]
    fn repeats_are_a_share_of_the_requests_and_a_floor() {
        for (percent, requests, expected) in [
            (20, 0, FLOOR),
            (20, 4, FLOOR),
            (20, 5, FLOOR + 1),
            (20, 1_000, FLOOR + 200),
            (0, 1_000, FLOOR),
            (1, 1_000, FLOOR + 10),
            (100, 1_000, FLOOR + 1_000),
            (900, 1_000, FLOOR + 9_000),
        ] {
            let mut budget = at(percent, 123.4);
            (0..requests).for_each(|_| budget.request());
            assert_eq!(spend(&mut budget), expected, "{percent} % of {requests}");
        }
    }

    #[test]
    fn requests_that_take_long_count_as_long_as_they_are_in_flight() {
        for (recent, in_flight, expected) in [(1_000, 10, 200), (10, 1_000, 200), (0, 0, 0)] {
            let mut budget = at(20, 7.0);
            (0..recent).for_each(|_| budget.request());
            (0..FLOOR + expected).for_each(|_| {
                assert!(budget.allows(in_flight), "{recent} recent, {in_flight} in flight");
                budget.repeat();
            });
            assert!(!budget.allows(in_flight), "{recent} recent, {in_flight} in flight");
        }
    }

    #[test]
    fn what_is_ten_seconds_old_is_forgotten() {
        // The second of the repeats counts as a whole.
        for (seconds, expected) in [(55.0, 0), (64.9, 0), (65.0, FLOOR), (1e6, FLOOR)] {
            let mut budget = at(20, 55.0);
            (0..1_000).for_each(|_| budget.request());
            assert_eq!(spend(&mut budget), FLOOR + 200);
            budget.advance(after(seconds));
            assert_eq!(spend(&mut budget), expected, "at {seconds} s");
        }
    }

    #[test]
    fn under_a_steady_load_the_share_is_kept_in_every_window() {
        let mut budget = Budget::new(20);
        let mut repeats = [0; 60];
        for second in 0..60_u32 {
            budget.advance(after(f64::from(second)));
            for _ in 0..1_000 {
                budget.request();
                if budget.allows(0) {
                    budget.repeat();
                    repeats[second as usize] += 1;
                }
            }
        }
        for window in repeats.windows(SLOTS) {
            let sum: u32 = window.iter().sum();
            assert!(sum <= 2_000 + FLOOR, "{sum} repeats in ten seconds: {repeats:?}");
        }
        assert!(repeats.iter().sum::<u32>() >= 60 * 200, "it is used up: {repeats:?}");
    }

    #[test]
    fn a_clock_that_stands_still_or_jumps_does_no_harm() {
        let mut budget = at(20, 30.0);
        (0..50).for_each(|_| budget.request());
        for seconds in [30.0, 29.0, 30.0, 31.0, 45.0, 1e9] {
            budget.advance(after(seconds));
            budget.request();
            budget.repeat();
        }
        assert_eq!((budget.recent.requests, budget.recent.repeats), (1, 1));
        assert_eq!(budget.slots.iter().map(|slot| slot.requests).sum::<u32>(), 1);
    }
}
