//! The `Date` field's format (IMF-fixdate, RFC 9110 §5.6.7) and of the access log, from seconds
//! since 1970.

/// `Sun, 06 Nov 1994 08:49:37 GMT`: always 29 bytes.
pub const DATE_BYTES: usize = 29;

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A moment in the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
}

impl Civil {
    /// The moment `seconds` after 1970-01-01 00:00:00 UTC, by Howard Hinnant's published method
    /// ("chrono-compatible low-level date algorithms"): years counted from March, in 400-year eras.
    pub fn of(seconds: u64) -> Civil {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let leap_days = day_of_era / 1_460 + day_of_era / 146_096;
        let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        Civil { year, month, day, hour, minute, second }
    }

    /// Three letters of the month's English name.
    pub fn month_name(&self) -> &'static str {
        let name = MONTHS[(self.month as usize - 1) % 12];
        std::str::from_utf8(name).unwrap_or_default()
    }
}

/// The `Date` value for `seconds` since 1970.
pub fn imf_fixdate(seconds: u64) -> [u8; DATE_BYTES] {
    let civil = Civil::of(seconds);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(seconds / 86_400 % 7) as usize]);
    text[8..11].copy_from_slice(MONTHS[(civil.month as usize - 1) % 12]);
    let mut two = |at: usize, value: u64| {
        text[at] = b'0' + (value / 10 % 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    };
    two(5, civil.day);
    two(12, civil.year / 100);
    two(14, civil.year);
    two(17, civil.hour);
    two(20, civil.minute);
    two(23, civil.second);
    text
}

/// The time of an access log line, `06/Nov/1994:08:49:37 +0000`: always 26 bytes.
pub const LOG_DATE_BYTES: usize = 26;

/// The access log's form of `seconds` since 1970.
pub fn log_date(seconds: u64) -> [u8; LOG_DATE_BYTES] {
    let civil = Civil::of(seconds);
    let mut text = *b"01/Jan/1970:00:00:00 +0000";
    text[3..6].copy_from_slice(MONTHS[(civil.month as usize - 1) % 12]);
    let parts = [civil.day, civil.year / 100, civil.year, civil.hour, civil.minute, civil.second];
    for (at, value) in [0, 7, 9, 12, 15, 18].into_iter().zip(parts) {
        text[at] = b'0' + (value / 10 % 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    }
    text
}

/// `seconds` since 1970 as certificates have it, `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
pub fn generalized_time(seconds: u64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::of(seconds);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(String::from_utf8_lossy(&imf_fixdate(seconds)), text);
        }
        assert_eq!(generalized_time(784_111_777), "19941106084937Z");
    }
}
