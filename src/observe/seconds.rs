//! Counts per second of the last minute, in a ring that rotates when it is used.

/// Seconds that are kept: the last 60 complete ones, the present one, and three unused.
const SLOTS: usize = 64;

/// Seconds that are shown.
pub const SHOWN: usize = 60;

/// What happened in each of the last seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seconds<const KINDS: usize> {
    slots: [[u32; KINDS]; SLOTS],
    /// The latest second that was counted in, since the start of the program.
    second: u32,
}

impl<const KINDS: usize> Default for Seconds<KINDS> {
    fn default() -> Seconds<KINDS> {
        Seconds { slots: [[0; KINDS]; SLOTS], second: 0 }
    }
}

impl<const KINDS: usize> Seconds<KINDS> {
    /// The counts of `second`, to add to.
    #[inline]
    pub fn at(&mut self, second: u32) -> &mut [u32; KINDS] {
        if second != self.second {
            self.advance(second);
        }
        &mut self.slots[second as usize % SLOTS]
    }

    /// Forgets the seconds whose slots are used again. Time does not go back.
    #[cold]
    fn advance(&mut self, second: u32) {
        for passed in (self.second + 1..=second).rev().take(SLOTS) {
            self.slots[passed as usize % SLOTS] = [0; KINDS];
        }
        self.second = self.second.max(second);
    }

    /// The counts of one kind in the last 60 seconds, oldest first; the last is of `second`, which
    /// is not over.
    pub fn last(&self, kind: usize, second: u32) -> [u32; SHOWN] {
        std::array::from_fn(|at| {
            let age = (SHOWN - 1 - at) as u32;
            let Some(counted) = second.checked_sub(age).filter(|&it| it <= self.second) else {
                return 0;
            };
            let is_kept = ((self.second - counted) as usize) < SLOTS;
            if is_kept { self.slots[counted as usize % SLOTS][kind] } else { 0 }
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

    #[test]
    fn each_second_has_its_count_and_old_ones_are_gone() {
        let mut seconds = Seconds::<2>::default();
        for second in [0, 1, 1, 30, 59] {
            seconds.at(second)[1] += 1;
        }
        let last = seconds.last(1, 59);
        assert_eq!((last[0], last[1], last[30], last[59]), (1, 2, 1, 1));
        assert_eq!(seconds.last(0, 59), [0; SHOWN], "the other kind");
        // Looked at later, nothing having been counted.
        let later = seconds.last(1, 61);
        assert_eq!((later[0], later[28], later[57], later[59]), (0, 1, 1, 0));
        assert_eq!(seconds.last(1, 500), [0; SHOWN]);
        // The slots of 0 and 1 are used again by 64 and 65.
        seconds.at(66)[1] += 7;
        let last = seconds.last(1, 66);
        assert_eq!((last[59], last[58], last[57], last[52], last[23]), (7, 0, 0, 1, 1));
        seconds.at(1000)[1] += 1;
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
