//! The time at the start of a line on standard error, where nobody watches the lines come.

use crate::http::date::Civil;
use std::fmt;

/// Milliseconds since 1970, shown as `2026-11-28T15:04:05.678Z` and a space (RFC 3339); nothing if
/// there are none, as on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime(pub Option<u64>);

impl fmt::Display for EventTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ms) = self.0 else { return Ok(()) };
        let Civil { year, month, day, hour, minute, second } = Civil::of(ms / 1000);
        write!(
            out,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z ",
            ms % 1000
        )
    }
}

/// Seconds since 1970, shown as `2026-11-28T15:04:05Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub u64);

impl fmt::Display for Utc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = Civil::of(self.0);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_in_utc_or_not_at_all() {
        for (ms, expected) in [
            (Some(0), "1970-01-01T00:00:00.000Z "),
            (Some(784_111_777_042), "1994-11-06T08:49:37.042Z "),
            (None, ""),
        ] {
            assert_eq!(EventTime(ms).to_string(), expected);
        }
    }
}
