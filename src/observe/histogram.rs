//! Durations counted in fixed buckets: since the start for Prometheus, and of about the last minute
//! for quantiles.

use std::time::Duration;

/// Upper bounds of the buckets of a [`Histogram`] in microseconds; one more has no bound.
pub const BOUNDS_US: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// The same bounds as Prometheus writes them, in seconds.
pub const BOUNDS: [&str; 14] = [
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5",
    "10", "+Inf",
];

/// Four fine buckets for each power of two of microseconds, from 2^6 to 2^26 (67 s): a quantile is
/// exact to within a quarter, mostly much less as values within a bucket are taken as spread evenly.
const FINE: usize = 80;
/// The lowest power of two.
const FIRST_POWER: u32 = 6;

/// The bucket of a duration among the fine ones. What is shorter than 64 µs counts as 64 µs, what is
/// longer than 67 s as the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(u8);

impl Bucket {
    /// The bucket of so many microseconds.
    #[inline]
    pub fn of(micros: u64) -> Bucket {
        let micros = micros.max(1 << FIRST_POWER);
        let power = micros.ilog2();
        // 4 to 7: the power's bit and the next two.
        let leading = (micros >> (power - 2)) as u32;
        let bucket = power * 4 + leading - (FIRST_POWER * 4 + 4);
        Bucket(bucket.min(FINE as u32 - 1) as u8)
    }

    #[inline]
    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Microseconds at which a fine bucket begins.
const fn fine_start(bucket: usize) -> u64 {
    ((bucket % 4 + 4) as u64) << (FIRST_POWER as usize - 2 + bucket / 4)
}

/// For each fine bucket, the first bucket of [`BOUNDS_US`] that its durations may belong to.
const COARSE: [u8; FINE] = {
    let mut table = [0; FINE];
    let mut bucket = 1;
    while bucket < FINE {
        let mut at = 0;
        while at < BOUNDS_US.len() && BOUNDS_US[at] < fine_start(bucket) {
            at += 1;
        }
        table[bucket] = at as u8;
        bucket += 1;
    }
    table
};

/// The upper bounds of [`COARSE`]'s values; what has none is above no bound.
const UPPER_US: [u64; BOUNDS.len()] = {
    let mut bounds = [u64::MAX; BOUNDS.len()];
    let mut at = 0;
    while at < BOUNDS_US.len() {
        bounds[at] = BOUNDS_US[at];
        at += 1;
    }
    bounds
};

/// Durations since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By bucket, not cumulative.
    counts: [u64; BOUNDS.len()],
    sum_us: u64,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn observe(&mut self, micros: u64) {
        // Most requests do not wait at all.
        if micros <= BOUNDS_US[0] {
            self.counts[0] += 1;
            self.sum_us += micros;
        } else {
            self.observe_in(Bucket::of(micros), micros);
        }
    }

    /// The same for a duration whose fine bucket is known.
    #[inline]
    pub fn observe_in(&mut self, bucket: Bucket, micros: u64) {
        // A fine bucket spans less than two bounds are apart, so one comparison is enough.
        let first = usize::from(COARSE[bucket.index()]);
        self.counts[first + usize::from(micros > UPPER_US[first])] += 1;
        self.sum_us += micros;
    }

    /// The number of durations up to each of [`BOUNDS`].
    pub fn cumulative(&self) -> [u64; BOUNDS.len()] {
        let mut sum = 0;
        self.counts.map(|count| {
            sum += count;
            sum
        })
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The durations together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

/// Seconds that a part of a [`Recent`] covers.
const PART_SECONDS: u32 = 20;
const PARTS: usize = 4;

/// Durations of the last 60 to 80 seconds. Parts rotate when the next duration is counted or they
/// are looked at: nothing needs a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    parts: [[u32; FINE]; PARTS],
    /// The number of the part that is counted in, since the start of the program.
    part: u32,
    /// The second in which the next part begins.
    end: u32,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { parts: [[0; FINE]; PARTS], part: 0, end: PART_SECONDS }
    }
}

impl Recent {
    /// Counts one duration; its bucket.
    #[inline]
    pub fn observe(&mut self, micros: u64, second: u32) -> Bucket {
        if second >= self.end {
            self.advance(second / PART_SECONDS);
        }
        let bucket = Bucket::of(micros);
        let count = &mut self.parts[self.part as usize % PARTS][bucket.index()];
        *count = count.wrapping_add(1);
        bucket
    }

    /// Forgets what is too old. Time does not go back.
    #[cold]
    fn advance(&mut self, part: u32) {
        for passed in (self.part + 1..=part).rev().take(PARTS) {
            self.parts[passed as usize % PARTS] = [0; FINE];
        }
        self.part = self.part.max(part);
        self.end = (self.part + 1) * PART_SECONDS;
    }

    /// Adds what is not too old in `second` to `sum`.
    pub fn add_to(&self, sum: &mut Quantiles, second: u32) {
        let part = second / PART_SECONDS;
        for age in 0..PARTS as u32 {
            let Some(counted) = part.checked_sub(age).filter(|&counted| counted <= self.part)
            else {
                continue;
            };
            let counts = &self.parts[counted as usize % PARTS];
            if self.part - counted < PARTS as u32 {
                for (sum, count) in sum.counts.iter_mut().zip(counts) {
                    *sum += u64::from(*count);
                }
            }
        }
    }
}

/// Counted durations, of one backend or of several.
#[derive(Clone, Debug)]
pub struct Quantiles {
    counts: [u64; FINE],
}

impl Default for Quantiles {
    fn default() -> Quantiles {
        Quantiles { counts: [0; FINE] }
    }
}

impl Quantiles {
    /// The duration that so many percent of them do not exceed; none if there are none.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        // The smallest rank that so many percent are at or below (nearest-rank definition).
        let rank = (total * percent).div_ceil(100).max(1);
        let mut before = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            if before + count >= rank {
                let (from, to) = (fine_start(bucket), fine_start(bucket + 1));
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

    #[test]
    fn a_duration_is_in_the_bucket_of_the_first_bound_that_is_not_below_it() {
        let around = BOUNDS_US.iter().flat_map(|&bound| [bound - 1, bound, bound + 1]);
        let many = (0..30).flat_map(|power| [(1 << power) - 1, 1 << power, (3 << power) / 2]);
        for micros in around.chain(many).chain([0, u64::MAX >> 1]) {
            let mut histogram = Histogram::default();
            histogram.observe(micros);
            let expected = BOUNDS_US.iter().filter(|&&bound| bound < micros).count();
            let found = histogram.cumulative().iter().position(|&count| count == 1);
            assert_eq!(found, Some(expected), "{micros} µs");
            assert_eq!((histogram.count(), histogram.sum_us()), (1, micros));
            let mut same = Histogram::default();
            same.observe_in(Bucket::of(micros), micros);
            assert_eq!(same, histogram, "{micros} µs");
        }
    }

    #[test]
    fn the_bounds_are_the_same_twice() {
        for (micros, text) in BOUNDS_US.iter().zip(BOUNDS) {
            let seconds: f64 = text.parse().expect("a number");
            assert_eq!((seconds * 1e6).round() as u64, *micros, "{text}");
        }
    }

    #[test]
    fn fine_buckets_follow_one_another() {
        for bucket in 0..FINE {
            assert_eq!(Bucket::of(fine_start(bucket)).index(), bucket);
            assert_eq!(Bucket::of(fine_start(bucket + 1) - 1).index(), bucket);
        }
        let ends = [0, u64::MAX].map(|micros| Bucket::of(micros).index());
        assert_eq!(ends, [0, FINE - 1]);
    }

    fn percentiles(recent: &Recent, second: u32) -> Option<[u128; 3]> {
        let mut sum = Quantiles::default();
        recent.add_to(&mut sum, second);
        let of = |percent| sum.percentile(percent).map(|it| it.as_millis());
        Some([of(50)?, of(95)?, of(99)?])
    }

    #[test]
    fn percentiles_are_within_a_quarter_of_the_true_ones() {
        let mut recent = Recent::default();
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
            let mut recent = Recent::default();
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
