//! What a probe sends, which answers are healthy, and when probes run. Opens no connection.

use super::event::{Page, ProbeFault};
use super::settings::Settings;
use crate::base::rng::Rng;
use std::time::Duration;

/// First probes are spread over this time, so that a long list does not cause a burst of connects.
const SPREAD_MAX: Duration = Duration::from_millis(100);

/// Appends the probe request to the backend `authority`, which is its `Host` unless another one is
/// set.
pub fn request(settings: &Settings, authority: &str, out: &mut Vec<u8>) {
    let fields = concat!(
        "\r\nUser-Agent: loadbalancer/",
        env!("CARGO_PKG_VERSION"),
        "\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let host = settings.host.as_deref().unwrap_or(authority);
    let (method, path) = (settings.method.name(), settings.path.as_str());
    for part in [method, " ", path, " HTTP/1.1\r\nHost: ", host, fields] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Whether a complete answer with this status is healthy: the expected status, or any below 500 (a
/// server without the file is up).
pub fn judge(status: u16, expect: Option<u16>) -> Result<Page, ProbeFault> {
    match expect {
        Some(expected) if status == expected => Ok(Page::Found),
        None if status == 404 => Ok(Page::Missing),
        None if status < 500 => Ok(Page::Found),
        Some(_) | None => Err(ProbeFault::Status(status)),
    }
}

/// The load that a backend reports in the body of its health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// Requests answered with an error since its start.
    pub errors: u64,
    /// Requests answered since its start.
    pub requests: u64,
}

/// Reads a body of exactly two decimal lines, errors then requests; none for any other body. CRLF
/// and a missing last line end are fine.
pub fn load_report(body: &[u8]) -> Option<LoadReport> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let (errors, requests) = text.split_once('\n')?;
    Some(LoadReport { errors: decimal(errors)?, requests: decimal(requests)? })
}

/// Digits only, with an optional carriage return: `parse` alone would accept a sign.
fn decimal(line: &str) -> Option<u64> {
    let digits = line.strip_suffix('\r').unwrap_or(line);
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all_digits)
}

/// `span` ± 10 %, so that probes of many backends (and many balancers) do not align.
pub fn jitter(span: Duration, rng: &mut Rng) -> Duration {
    span / 10 * 9 + below(span / 5, rng)
}

/// Time from the start (or from being added) to the first probe, at most [`SPREAD_MAX`].
pub fn first_probe_in(settings: &Settings, rng: &mut Rng) -> Duration {
    below(SPREAD_MAX.min(settings.interval / 10), rng)
}

fn below(span: Duration, rng: &mut Rng) -> Duration {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.below(micros))
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::*;

    #[test]
    fn request_is_a_complete_head() {
        let path = String::from("/up");
        let host = Some(String::from("www.example.org"));
        let named = Settings { path, host, method: Method::Head, ..Settings::default() };
        for (settings, line, host) in [
            (Settings::default(), "GET /healthcheck HTTP/1.1", "127.0.0.1:81"),
            (named, "HEAD /up HTTP/1.1", "www.example.org"),
        ] {
            let mut out = Vec::new();
            request(&settings, "127.0.0.1:81", &mut out);
            let expected = format!(
                "{line}\r\nHost: {host}\r\nUser-Agent: loadbalancer/{}\r\n\
                 Accept: */*\r\nConnection: close\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn healthy_is_below_500_or_what_is_expected() {
        let cases = [
            (200, None, true),
            (403, None, true),
            (499, None, true),
            (500, None, false),
            (599, None, false),
            (200, Some(200), true),
            (204, Some(200), false),
            (503, Some(503), true),
        ];
        for (status, expect, healthy) in cases {
            let expected = if healthy { Ok(Page::Found) } else { Err(ProbeFault::Status(status)) };
            assert_eq!(judge(status, expect), expected, "{status} for {expect:?}");
        }
        assert_eq!(judge(404, None), Ok(Page::Missing));
        assert_eq!(judge(404, Some(404)), Ok(Page::Found));
    }

    #[test]
    fn load_report_is_two_decimal_lines_and_nothing_else() {
        type Case = (&'static [u8], Option<(u64, u64)>);
        let cases: [Case; 19] = [
            (b"3\n17\n", Some((3, 17))),
            (b"3\n17", Some((3, 17))),
            (b"3\r\n17\r\n", Some((3, 17))),
            (b"0\n007\n", Some((0, 7))),
            (b"18446744073709551615\n0\n", Some((u64::MAX, 0))),
            (b"18446744073709551616\n0\n", None),
            (b"", None),
            (b"\n", None),
            (b"3\n", None),
            (b"3\n\n", None),
            (b"\n3\n", None),
            (b"3\n17\n\n", None),
            (b"3\n17\n1\n", None),
            (b"+3\n17\n", None),
            (b"-3\n17\n", None),
            (b" 3\n17\n", None),
            (b"3 17\n", None),
            (b"3\r\r\n17\n", None),
            (b"ok\n\xff\n", None),
        ];
        for (body, expected) in cases {
            let expected = expected.map(|(errors, requests)| LoadReport { errors, requests });
            assert_eq!(load_report(body), expected, "{:?}", body.escape_ascii().to_string());
        }
    }

    #[test]
    fn jitter_stays_within_a_tenth_and_varies() {
        let mut rng = Rng::new(5);
        let span = Duration::from_secs(2);
        let spans: Vec<_> = (0..1_000).map(|_| jitter(span, &mut rng)).collect();
        assert!(spans.iter().all(|it| (span / 10 * 9..span / 10 * 11).contains(it)));
        assert!(spans.iter().max() > spans.iter().min().map(|least| *least * 6 / 5).as_ref());
        assert_eq!(jitter(Duration::ZERO, &mut rng), Duration::ZERO);
    }

    #[test]
    fn first_probes_are_spread_over_a_moment() {
        let mut rng = Rng::new(5);
        for (interval_ms, most_ms) in [(120_000, 100), (2_000, 100), (200, 20), (0, 1)] {
            let interval = Duration::from_millis(interval_ms);
            let settings = Settings { interval, ..Settings::default() };
            for _ in 0..100 {
                assert!(first_probe_in(&settings, &mut rng) < Duration::from_millis(most_ms));
            }
        }
    }
}
