//! Durations as people write them: `500ms`, `5s`, `1m`, `2h`; a bare number is seconds.

use crate::config::quote;
use std::time::Duration;

/// The longest duration any option takes.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Units with their length in microseconds, the longest first.
const UNITS: [(&str, u64); 4] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

/// Reads a duration from `least` to `most`; the error names the value, with a hint.
pub fn parse(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let span = read(text)?;
    if span < least {
        return Err(format!("{} is too short: write at least {}", quote(text), show(least)));
    }
    if span > most {
        return Err(format!("{} is too long: write at most {}", quote(text), show(most)));
    }
    Ok(span)
}

/// The shortest way to write `span` (to the millisecond) that reads back as the same.
pub fn show(span: Duration) -> String {
    let micros = span.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let fits = |length: u64| micros.is_multiple_of(u128::from(length));
    let (unit, length) = UNITS.into_iter().find(|&(_, length)| fits(length)).unwrap_or(UNITS[3]);
    format!("{}{unit}", micros / u128::from(length))
}

/// A number with an optional fraction and an optional unit. Saturates far past every bound.
fn read(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    if text.starts_with('-') {
        return Err(format!("{} is negative: write a time to wait, like 5s", quote(text)));
    }
    if unit.starts_with(',') {
        return Err(format!("{} has a comma: write the fraction with a point", quote(text)));
    }
    if !has_digits || fraction.contains('.') {
        return Err(format!("{} is not a duration: write 500ms, 5s, 1m or 2h", quote(text)));
    }
    let unit_name = if unit.is_empty() { "s" } else { unit };
    let Some((_, length)) = UNITS.into_iter().find(|(name, _)| *name == unit_name) else {
        return Err(format!("{} has no known unit: write ms, s, m or h", quote(text)));
    };
    // Only digits are left: a whole part that does not parse is merely huge.
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let micros = whole.saturating_mul(length).saturating_add(part(fraction, length));
    Ok(Duration::from_micros(micros))
}

/// The microseconds of the digits after the point, in a unit of `length` microseconds. Digits past
/// the ninth are below any microsecond that counts.
fn part(fraction: &str, length: u64) -> u64 {
    let digits = &fraction[..fraction.len().min(9)];
    let (mut value, mut scale) = (0, 1);
    for digit in digits.bytes() {
        value = value * 10 + u64::from(digit - b'0');
        scale *= 10;
    }
    // Below 3.6e9 * 1e9, which fits.
    value * length / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(1);

    #[test]
    fn good_durations_are_read() {
        let table = [
            ("500ms", 500_000),
            ("5s", 5_000_000),
            ("1m", 60_000_000),
            ("2h", 7_200_000_000),
            ("10", 10_000_000),
            ("120", 120_000_000),
            ("0.5", 500_000),
            (".5", 500_000),
            ("5.", 5_000_000),
            ("1.5m", 90_000_000),
            ("0.001", 1_000),
            ("1ms", 1_000),
            ("2.5ms", 2_500),
            ("007", 7_000_000),
            ("0.9999999999999999", 999_999),
            ("24h", 86_400_000_000),
        ];
        for (text, micros) in table {
            assert_eq!(parse(text, LEAST, LONGEST), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn every_bad_duration_has_its_message() {
        let table = [
            ("0", "`0` is too short: write at least 1ms"),
            ("0.0009", "`0.0009` is too short: write at least 1ms"),
            ("24.1h", "`24.1h` is too long: write at most 24h"),
            ("99999999999999999999h", "`99999999999999999999h` is too long: write at most 24h"),
            ("-5s", "`-5s` is negative: write a time to wait, like 5s"),
            ("0,5", "`0,5` has a comma: write the fraction with a point"),
            ("", "`` is not a duration: write 500ms, 5s, 1m or 2h"),
            (".", "`.` is not a duration: write 500ms, 5s, 1m or 2h"),
            ("1.2.3", "`1.2.3` is not a duration: write 500ms, 5s, 1m or 2h"),
            ("soon", "`soon` is not a duration: write 500ms, 5s, 1m or 2h"),
            ("+5", "`+5` is not a duration: write 500ms, 5s, 1m or 2h"),
            ("5d", "`5d` has no known unit: write ms, s, m or h"),
            ("5 s", "`5 s` has no known unit: write ms, s, m or h"),
            ("1h30m", "`1h30m` has no known unit: write ms, s, m or h"),
            ("1e3", "`1e3` has no known unit: write ms, s, m or h"),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text, LEAST, LONGEST), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn shown_durations_read_back() {
        let table =
            [(1, "1ms"), (500, "500ms"), (1_500, "1500ms"), (10_000, "10s"), (60_000, "1m")];
        for (millis, expected) in table {
            let span = Duration::from_millis(millis);
            assert_eq!(show(span), expected);
            assert_eq!(parse(expected, LEAST, LONGEST), Ok(span));
        }
        assert_eq!(show(Duration::from_secs(3_600)), "1h");
        assert_eq!(show(Duration::from_secs(5_400)), "90m");
        assert_eq!(show(Duration::ZERO), "0s");
    }
}
