//! Instants as plain numbers, so that tests and the simulation can pass any time to pure modules.

use std::time::Duration;

/// A point in time: microseconds since the program (or the simulation) started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the program.
    pub const START: Instant = Instant(0);
    /// The deadline of a wait without one: later than any other.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The instant `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(micros)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Microseconds since `earlier`; zero if that is later.
    pub const fn micros_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates: a deadline past the largest instant is [`Instant::NEVER`].
    fn add(self, span: Duration) -> Instant {
        // Not `as_micros`, whose 128 bits cost more: this runs several times per request.
        let micros = span.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(u64::from(span.subsec_micros()));
        Instant(self.0.saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_past_the_largest_instant_is_never() {
        assert_eq!(Instant::from_micros(5) + Duration::MAX, Instant::NEVER);
    }

    #[test]
    fn since_a_later_instant_is_zero() {
        let early = Instant::from_micros(1_000);
        let late = early + Duration::from_millis(2);
        assert_eq!(late.since(early), Duration::from_millis(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
