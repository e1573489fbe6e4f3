//! How fast a client is while a request waits for it, from looks at it. Pure.

use crate::base::time::Instant;
use std::time::Duration;

/// The wait over which a client's rate is averaged.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How often a client is looked at.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What lies between two looks that are further apart says nothing: the average begins again.
const GAP_MAX: Duration = Duration::from_secs(3);

/// A client at the looks since its average began, at all of which it was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    begun: Instant,
    /// The bytes it had moved then.
    bytes: u64,
    looked_at: Instant,
}

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// It was not waited for long enough.
    Unknown,
    Enough,
    /// Bytes per second, fewer than asked for.
    Slow(u64),
}

impl Pace {
    /// The average begins with this look, at which it had moved `bytes` in all.
    pub fn begin(now: Instant, bytes: u64) -> Pace {
        Pace { begun: now, bytes, looked_at: now }
    }

    /// Another look; `rate_min` is in bytes per second.
    pub fn look(&mut self, now: Instant, bytes: u64, rate_min: u32) -> Speed {
        let (gap, waited) = (now.since(self.looked_at), now.since(self.begun));
        self.looked_at = now;
        if gap > GAP_MAX {
            *self = Pace::begin(now, bytes);
            return Speed::Unknown;
        }
        if waited < WINDOW {
            return Speed::Unknown;
        }
        let moved = u128::from(bytes.saturating_sub(self.bytes));
        let rate = moved * 1_000_000 / waited.as_micros().max(1);
        *self = Pace::begin(now, bytes);
        if rate < u128::from(rate_min) { Speed::Slow(rate as u64) } else { Speed::Enough }
    }

    /// Whether a look from now on would begin another average.
    pub fn is_over(&self, now: Instant) -> bool {
        now.since(self.looked_at) > GAP_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn a_rate_is_averaged_over_ten_seconds_of_looks_in_a_row() {
        use Speed::{Enough, Slow, Unknown};
        for (name, looks, last) in [
            ("too short", &[(0, 0), (1_000, 0), (9_999, 0)][..], Unknown),
            ("nothing moved", &[(0, 5), (3_000, 5), (6_000, 5), (9_000, 5), (10_000, 5)], Slow(0)),
            (
                "one byte too few",
                &[(0, 7), (3_000, 7), (6_000, 7), (9_000, 7), (10_000, 10_246)],
                Slow(1_023),
            ),
            (
                "just enough",
                &[(0, 7), (3_000, 7), (6_000, 7), (9_000, 7), (10_000, 10_247)],
                Enough,
            ),
            ("a gap", &[(0, 0), (3_000, 0), (6_001, 0), (9_000, 0), (10_000, 0)], Unknown),
            (
                "ten seconds after a gap",
                &[(0, 0), (3_001, 0), (6_000, 0), (9_000, 0), (12_000, 0), (13_001, 0)],
                Slow(0),
            ),
            (
                "a burst counts once",
                &[
                    (0, 0),
                    (3_000, 99_999),
                    (6_000, 99_999),
                    (9_000, 99_999),
                    (10_000, 99_999),
                    (13_000, 99_999),
                    (16_000, 99_999),
                    (19_000, 99_999),
                    (20_000, 99_999),
                ],
                Slow(0),
            ),
        ] {
            let mut pace = Pace::begin(at(looks[0].0), looks[0].1);
            let mut speed = Unknown;
            for &(ms, bytes) in &looks[1..] {
                speed = pace.look(at(ms), bytes, 1024);
            }
            assert_eq!(speed, last, "{name}");
        }
    }
}
