//! How many requests a client may send (`--rate`).

use super::number::whole;
use super::quote::quote;
use std::fmt;

/// Most requests a second, and in a burst.
const MOST: u32 = 1_000_000;

/// A token bucket: tokens a second, and how many it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub per_second: u32,
    pub burst: u32,
}

impl RateLimit {
    /// Reads `NUM/s` or `NUM/s:BURST`; a burst is NUM without.
    pub fn parse(text: &str) -> Result<RateLimit, String> {
        let (rate, burst) = match text.split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let per_second = rate.strip_suffix("/s").and_then(|number| whole(number, 1..=MOST));
        let burst = burst.map_or(per_second, |burst| whole(burst, 1..=MOST));
        match (per_second, burst) {
            (Some(per_second), Some(burst)) => Ok(RateLimit { per_second, burst }),
            (_, _) => Err(format!(
                "{} is no rate: write 100/s, or 100/s:200 for bursts of 200, at most {MOST}",
                quote(text)
            )),
        }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/s:{}", self.per_second, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_number_a_second_and_perhaps_a_burst() {
        for (text, per_second, burst) in
            [("1/s", 1, 1), ("100/s", 100, 100), ("5/s:20", 5, 20), ("1000000/s:1", 1_000_000, 1)]
        {
            let limit = RateLimit::parse(text).expect(text);
            assert_eq!((limit.per_second, limit.burst), (per_second, burst), "{text}");
            assert_eq!(RateLimit::parse(&limit.to_string()), Ok(limit));
        }
        for text in [
            "",
            "5",
            "/s",
            "0/s",
            "5/m",
            "5/s:",
            "5/s:0",
            "-1/s",
            "1.5/s",
            "1000001/s",
            "5 /s",
            "a/s",
            "5/s:1000001",
            "5/s:1:2",
        ] {
            let form = "is no rate: write 100/s, or 100/s:200 for bursts of 200, at most 1000000";
            assert_eq!(RateLimit::parse(text), Err(format!("{} {form}", quote(text))));
        }
    }
}
