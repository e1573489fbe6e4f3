//! How long responses took in about the last minute, for quantiles.

use super::histogram::{CELLS, Histogram, STARTS};
use std::time::Duration;

/// Seconds that a part of a [`Recent`] covers.
const PART_SECONDS: u32 = 20;
const PARTS: u32 = 4;

/// What a [`Histogram`] had counted at the beginning of each of the last parts, so that the difference
/// is what came in the last 60 to 80 seconds. Parts begin when something is counted in them or they
/// are looked at: nothing needs a timer, and counting a duration costs nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The low 32 bits.
    begun: [[u32; CELLS]; PARTS as usize],
    /// The number of the latest part that has begun, since the start of the program.
    part: u32,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { begun: [[0; CELLS]; PARTS as usize], part: 0 }
    }
}

impl Recent {
    /// The `second` has come, before anything is counted in it. Time does not go back.
    pub fn advance(&mut self, second: u32, counted: &Histogram) {
        let part = second / PART_SECONDS;
        for passed in (self.part + 1..=part).rev().take(PARTS as usize) {
            self.begun[slot(passed)] = counted.counts().map(|count| count as u32);
        }
        self.part = self.part.max(part);
    }

    /// Adds what is not too old in `second` to `sum`.
    pub fn add_to(&self, sum: &mut Quantiles, second: u32, counted: &Histogram) {
        let oldest = (second / PART_SECONDS).saturating_sub(PARTS - 1);
        if oldest > self.part {
            return;
        }
        let before = &self.begun[slot(oldest)];
        for ((sum, &count), &before) in sum.counts.iter_mut().zip(counted.counts()).zip(before) {
            *sum += u64::from((count as u32).wrapping_sub(before));
        }
    }
}

fn slot(part: u32) -> usize {
    (part % PARTS) as usize
}

/// Counted durations, of one backend or of several.
#[derive(Clone, Debug)]
pub struct Quantiles {
    counts: [u64; CELLS],
}

impl Default for Quantiles {
    fn default() -> Quantiles {
        Quantiles { counts: [0; CELLS] }
    }
}

impl Quantiles {
    /// The duration that so many percent of them do not exceed; none if there are none.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        // The smallest rank that so many percent are at or below (nearest-rank definition).
        let rank = (total * percent).div_ceil(100).max(1);
        let mut before = 0;
        for (cell, &count) in self.counts.iter().enumerate() {
            if before + count >= rank {
                let (from, to) = (STARTS[cell], STARTS[cell + 1]);
                let micros = from + (to - from) * (rank - before) / count;
                return Some(Duration::from_micros(micros));
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Durations as they are counted of a backend.
    #[derive(Default)]
    struct Counted {
        histogram: Histogram,
        recent: Recent,
    }

    impl Counted {
        fn observe(&mut self, micros: u64, second: u32) {
            self.recent.advance(second, &self.histogram);
            self.histogram.observe(micros);
        }
    }

    fn percentiles(counted: &Counted, second: u32) -> Option<[u128; 3]> {
        let mut sum = Quantiles::default();
        counted.recent.add_to(&mut sum, second, &counted.histogram);
        let of = |percent| sum.percentile(percent).map(|it| it.as_millis());
        Some([of(50)?, of(95)?, of(99)?])
    }

    #[test]
    fn percentiles_are_within_a_quarter_of_the_true_ones() {
        let mut recent = Counted::default();
        for ms in 1..=1000 {
            recent.observe(ms * 1000, 5);
        }
        let found = percentiles(&recent, 5).expect("there are some");
        for (found, exact) in found.into_iter().zip([500, 950, 990]) {
            let (found, exact) = (found as f64, f64::from(exact));
            assert!((found - exact).abs() <= exact / 8.0, "{found} for {exact}");
        }
    }

    #[test]
    fn what_is_older_than_80_seconds_is_forgotten_and_what_is_younger_than_60_is_not() {
        for start in [0, 7, 19, 20, 1000] {
            let mut recent = Counted::default();
            recent.observe(1_000_000, start);
            for age in 0..=60 {
                assert!(percentiles(&recent, start + age).is_some(), "{age} s after {start}");
            }
            assert_eq!(percentiles(&recent, start + 80), None);
            // The same when others are counted meanwhile.
            recent.observe(10_000, start + 50);
            let found = percentiles(&recent, start + 55).expect("two");
            assert!(found[2] > 500, "{found:?}");
            let found = percentiles(&recent, start + 85).expect("the second");
            assert!(found[2] < 20, "{found:?}");
        }
    }
}
