//! The time at the start of an event line, where nobody watches the lines come.

use crate::http::date::Civil;
use std::fmt;

/// Seconds since 1970, shown as `2026-11-28T15:04:05Z` and a space (RFC 3339); nothing if there are
/// none, as on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime(pub Option<u64>);

impl fmt::Display for EventTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(seconds) = self.0 else { return Ok(()) };
        let Civil { year, month, day, hour, minute, second } = Civil::of(seconds);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_in_utc_or_not_at_all() {
        for (seconds, expected) in [
            (Some(0), "1970-01-01T00:00:00Z "),
            (Some(784_111_777), "1994-11-06T08:49:37Z "),
            (None, ""),
        ] {
            assert_eq!(EventTime(seconds).to_string(), expected);
        }
    }
}
