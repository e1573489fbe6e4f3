//! How often each duration occurred, in buckets of at most 1/32 of the duration.

/// Buckets per power of two.
const PARTS: u64 = 32;

/// Durations in microseconds. Below 64 µs they are exact.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// By bucket; as many as the longest duration needs.
    counts: Vec<u64>,
    total: u64,
}

fn bucket(micros: u64) -> usize {
    if micros < 2 * PARTS {
        return micros as usize;
    }
    let shift = u64::from(micros.ilog2() - PARTS.ilog2());
    (shift * PARTS + (micros >> shift)) as usize
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let least = (bucket % PARTS + PARTS) << shift;
    least + ((1 << shift) - 1) / 2
}

impl Histogram {
    pub fn add(&mut self, micros: u64) {
        let bucket = bucket(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Adds what `other` has.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The duration that `percent` of all do not exceed; none if there are none.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.map(middle)
    }

    /// For drawing from it.
    pub fn ranked(&self) -> Ranked {
        let mut seen = 0;
        let ranks = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let ends = ranks.map(|(bucket, count)| {
            seen += count;
            (seen, middle(bucket))
        });
        Ranked { ends: ends.collect(), total: self.total }
    }
}

/// A histogram by rank.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Up to which rank each duration goes.
    ends: Vec<(u64, u64)>,
    total: u64,
}

impl Ranked {
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration of this rank, counted from 0; 0 where there is none.
    pub fn at(&self, rank: u64) -> u64 {
        let place = self.ends.partition_point(|(end, _)| *end <= rank);
        self.ends.get(place).map_or(0, |(_, micros)| *micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_comes_back_within_a_64th() {
        for shift in 0..64 {
            for micros in [1_u64 << shift, (1 << shift) + (1 << shift) / 3, u64::MAX >> shift] {
                let shown = middle(bucket(micros));
                let off = shown.abs_diff(micros);
                assert!(off <= micros / 64, "{micros} is shown as {shown}");
            }
        }
        assert!((0..5_000_u64).all(|micros| bucket(micros) <= bucket(micros + 1)));
    }

    #[test]
    fn percentiles_and_ranks_are_those_of_the_sorted_list() {
        let mut all = Histogram::default();
        assert_eq!(all.percentile(50), None);
        for micros in 1..=60 {
            all.add(micros);
        }
        let mut few = Histogram::default();
        few.add(63);
        all.merge(&few);
        for (percent, expected) in [(0, 1), (1, 1), (50, 31), (98, 60), (99, 63), (100, 63)] {
            assert_eq!(all.percentile(percent), Some(expected), "p{percent}");
        }
        let ranked = all.ranked();
        let expected: Vec<u64> = (1..=60).chain([63]).collect();
        assert_eq!((0..61).map(|rank| ranked.at(rank)).collect::<Vec<_>>(), expected);
        assert_eq!((ranked.total(), ranked.at(61)), (61, 0));
    }
}
