//! Counts per second of the last minute, in a ring that rotates when it is used.

/// Seconds that are kept: the last 60 complete ones, the present one, and three unused.
const SLOTS: usize = 64;

/// Seconds that are shown.
pub const SHOWN: usize = 60;

/// What totals were at the beginning of each of the last seconds, so that differences are what came
/// within them: what is counted goes into the totals alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seconds<const KINDS: usize> {
    /// The low 32 bits.
    begun: [[u32; KINDS]; SLOTS],
    /// The latest second that was counted in, since the start of the program.
    second: u32,
}

impl<const KINDS: usize> Default for Seconds<KINDS> {
    fn default() -> Seconds<KINDS> {
        Seconds { begun: [[0; KINDS]; SLOTS], second: 0 }
    }
}

impl<const KINDS: usize> Seconds<KINDS> {
    /// Whether `second` is the one that is counted in.
    #[inline]
    pub fn is_at(&self, second: u32) -> bool {
        second == self.second
    }

    /// The `second` has come, before anything is counted in it. Time does not go back.
    pub fn advance(&mut self, second: u32, totals: [u64; KINDS]) {
        for passed in (self.second + 1..=second).rev().take(SLOTS) {
            self.begun[passed as usize % SLOTS] = totals.map(|total| total as u32);
        }
        self.second = self.second.max(second);
    }

    /// The counts of one kind in the last 60 seconds, oldest first; the last is of `second`, which
    /// is not over. `total` is the present one.
    pub fn last(&self, kind: usize, second: u32, total: u64) -> [u32; SHOWN] {
        let begun = |second: u32| match second > self.second {
            true => total as u32,
            false => self.begun[second as usize % SLOTS][kind],
        };
        std::array::from_fn(|at| {
            let age = (SHOWN - 1 - at) as u32;
            let Some(counted) = second.checked_sub(age).filter(|&it| it <= self.second) else {
                return 0;
            };
            let is_kept = ((self.second - counted) as usize) < SLOTS;
            if is_kept { begun(counted + 1).wrapping_sub(begun(counted)) } else { 0 }
        })
    }
}

/// Per second, over the complete ones among the last 60; `up` is how long the program has run.
pub fn rate(counts: &[u32; SHOWN], up_seconds: u32) -> f64 {
    let complete = (SHOWN as u32 - 1).min(up_seconds);
    let sum: u64 = counts[..SHOWN - 1].iter().map(|&count| u64::from(count)).sum();
    if complete == 0 { 0.0 } else { sum as f64 / f64::from(complete) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds with what they are the seconds of.
    #[derive(Default)]
    struct Counted {
        seconds: Seconds<2>,
        totals: [u64; 2],
    }

    impl Counted {
        fn count(&mut self, second: u32, count: u64) {
            self.seconds.advance(second, self.totals);
            self.totals[1] += count;
        }

        fn last(&self, kind: usize, second: u32) -> [u32; SHOWN] {
            self.seconds.last(kind, second, self.totals[kind])
        }
    }

    #[test]
    fn each_second_has_its_count_and_old_ones_are_gone() {
        let mut seconds = Counted::default();
        for second in [0, 1, 1, 30, 59] {
            seconds.count(second, 1);
        }
        let last = seconds.last(1, 59);
        assert_eq!((last[0], last[1], last[30], last[59]), (1, 2, 1, 1));
        assert_eq!(seconds.last(0, 59), [0; SHOWN], "the other kind");
        // Looked at later, nothing having been counted.
        let later = seconds.last(1, 61);
        assert_eq!((later[0], later[28], later[57], later[59]), (0, 1, 1, 0));
        assert_eq!(seconds.last(1, 500), [0; SHOWN]);
        // The slots of 0 and 1 are used again by 64 and 65.
        seconds.count(66, 7);
        let last = seconds.last(1, 66);
        assert_eq!((last[59], last[58], last[57], last[52], last[23]), (7, 0, 0, 1, 1));
        seconds.count(1000, 1);
        assert_eq!(seconds.last(1, 1000)[..SHOWN - 1], [0; SHOWN - 1]);
    }

    #[test]
    fn the_rate_leaves_the_present_second_out_and_knows_a_young_program() {
        let mut counts = [2; SHOWN];
        counts[SHOWN - 1] = 1000;
        assert_eq!(rate(&counts, 1000), 2.0);
        assert_eq!(rate(&[0; SHOWN], 0), 0.0);
        let mut young = [0; SHOWN];
        young[SHOWN - 3..].copy_from_slice(&[4, 6, 9]);
        assert_eq!(rate(&young, 2), 5.0);
    }
}
