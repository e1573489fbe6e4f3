//! Numbers and times as they are shown, as short as they can be; `-` for one that is not known.

/// A number without decimals, `1,234,567`.
pub fn whole(number: Option<f64>) -> String {
    let Some(number) = number else { return "-".to_owned() };
    let digits = format!("{number:.0}");
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Something per second, with decimals when it is small.
pub fn rate(number: Option<f64>) -> String {
    match number {
        Some(number) if number > 0.0 && number < 0.1 => format!("{number:.2}"),
        Some(number) if number > 0.0 && number < 99.95 => format!("{number:.1}"),
        Some(_) | None => whole(number),
    }
}

/// Seconds as milliseconds, without the unit.
pub fn milliseconds(seconds: Option<f64>) -> String {
    match seconds.map(|seconds| seconds * 1_000.0) {
        Some(ms) if ms < 9.995 => format!("{ms:.2}"),
        Some(ms) if ms < 99.95 => format!("{ms:.1}"),
        ms => whole(ms),
    }
}

/// A share from 0 to 1 as percent.
pub fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

/// A time in its two largest units, `3h 12m`.
pub fn span(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {}m", minutes % 60),
        86_400.. => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let table = [
            (whole as fn(Option<f64>) -> String, 0.0, "0"),
            (whole, 999.4, "999"),
            (whole, 1_000.0, "1,000"),
            (whole, 1_234_567.0, "1,234,567"),
            (rate, 0.0, "0"),
            (rate, 0.02, "0.02"),
            (rate, 0.5, "0.5"),
            (rate, 99.94, "99.9"),
            (rate, 99.96, "100"),
            (rate, 1_204.4, "1,204"),
            (milliseconds, 0.0, "0.00"),
            (milliseconds, 0.00421, "4.21"),
            (milliseconds, 0.0421, "42.1"),
            (milliseconds, 0.09996, "100"),
            (milliseconds, 12.0, "12,000"),
            (percent, 0.333, "33%"),
            (percent, 1.0, "100%"),
            (span, 59.9, "59s"),
            (span, 60.0, "1m 0s"),
            (span, 11_540.0, "3h 12m"),
            (span, 90_000.0, "1d 1h"),
        ];
        for (show, number, expected) in table {
            assert_eq!(show(Some(number)), expected, "{number}");
            assert_eq!(show(None), "-");
        }
    }
}
