//! Durations counted in fixed buckets, for Prometheus and for quantiles.

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

/// Classes of durations: four for each power of two of microseconds, from 2^6 to 2^26 (67 s), with
/// [`OFFSET_US`] added to them so that none is below the first.
const CLASSES: usize = 80;
/// The lowest power of two.
const FIRST_POWER: u32 = 6;
const OFFSET_US: u64 = 1 << FIRST_POWER;
/// The exponent and the two highest bits of the fraction of [`OFFSET_US`] as a `f64`.
const FIRST_CLASS: u64 = (OFFSET_US as f64).to_bits() >> (f64::MANTISSA_DIGITS - 3);

/// Cells: the classes, of which those that have one of [`BOUNDS_US`] inside are two. So one cell
/// tells the bucket for Prometheus exactly, and a quantile to within a quarter (16 µs if that is
/// more), mostly much better as values within a cell are taken as spread evenly.
pub const CELLS: usize = CLASSES + BOUNDS_US.len();

/// Microseconds at which a class begins.
const fn class_start(class: usize) -> u64 {
    (((class % 4 + 4) as u64) << (FIRST_POWER as usize - 2 + class / 4)) - OFFSET_US
}

/// A class of durations, to find the cell.
#[derive(Clone, Copy)]
struct Class {
    /// The last microsecond of the first of its two cells; the highest number if it has one cell.
    first_ends: u64,
    /// The number of its first cell.
    cell: usize,
}

/// The classes, and the bounds of the cells.
const TABLES: ([Class; CLASSES], [u64; CELLS + 1]) = {
    let mut classes = [Class { first_ends: u64::MAX, cell: 0 }; CLASSES];
    let mut starts = [0; CELLS + 1];
    let (mut class, mut cell, mut bound) = (0, 0, 0);
    while class < CLASSES {
        starts[cell] = class_start(class);
        classes[class].cell = cell;
        cell += 1;
        if bound < BOUNDS_US.len() && BOUNDS_US[bound] < class_start(class + 1) {
            classes[class].first_ends = BOUNDS_US[bound];
            starts[cell] = BOUNDS_US[bound] + 1;
            bound += 1;
            cell += 1;
        }
        class += 1;
    }
    assert!(cell == CELLS && bound == BOUNDS_US.len(), "each bound is inside a class of its own");
    starts[CELLS] = class_start(CLASSES);
    (classes, starts)
};

static CLASS: [Class; CLASSES] = TABLES.0;

/// Microseconds at which each cell begins, and the last one ends.
pub const STARTS: [u64; CELLS + 1] = TABLES.1;

/// The cell of a duration. What is longer than 67 s is in the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(usize);

impl Cell {
    /// The cell of so many microseconds. Each request pays for this: no loop, and the
    /// logarithm from a floating-point number, whose highest bits are the power of two and what
    /// follows its leading bit. It is exact up to 2^53.
    #[inline]
    pub fn of(micros: u64) -> Cell {
        let shifted = micros.wrapping_add(OFFSET_US) as i64 as f64;
        let class = (shifted.to_bits() >> (f64::MANTISSA_DIGITS - 3)).wrapping_sub(FIRST_CLASS);
        match CLASS.get(class as usize) {
            Some(class) => Cell(class.cell + usize::from(micros > class.first_ends)),
            None => Cell(CELLS - 1),
        }
    }
}

/// Durations since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// By cell.
    counts: [u64; CELLS],
    sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; CELLS], sum_us: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&mut self, micros: u64) {
        self.observe_in(Cell::of(micros), micros);
    }

    /// The same for a duration whose cell is known.
    #[inline]
    pub fn observe_in(&mut self, cell: Cell, micros: u64) {
        self.counts[cell.0] += 1;
        self.sum_us += micros;
    }

    /// Counts so many durations of zero.
    pub fn add_zeros(&mut self, count: u64) {
        self.counts[0] += count;
    }

    /// By cell.
    pub fn counts(&self) -> &[u64; CELLS] {
        &self.counts
    }

    /// The number of durations up to each of [`BOUNDS`].
    pub fn cumulative(&self) -> [u64; BOUNDS.len()] {
        let mut sums = [0; BOUNDS.len()];
        let (mut sum, mut bound) = (0, 0);
        for (count, start) in self.counts.iter().zip(STARTS) {
            if BOUNDS_US.get(bound).is_some_and(|&of| of < start) {
                sums[bound] = sum;
                bound += 1;
            }
            sum += count;
        }
        sums[bound] = sum;
        sums
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
            same.observe_in(Cell::of(micros), micros);
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
    fn cells_follow_one_another() {
        for cell in 0..CELLS {
            assert_eq!(Cell::of(STARTS[cell]).0, cell);
            assert_eq!(Cell::of(STARTS[cell + 1] - 1).0, cell);
        }
        let ends = [0, u64::MAX].map(|micros| Cell::of(micros).0);
        assert_eq!(ends, [0, CELLS - 1]);
    }
}
