//! A backend that answers with 5xx (`--fall-on-5xx`): when it is ejected, and for how long. A
//! passed probe does not bring it back, as a probe asks for another page; only time does.

use std::time::Duration;

/// The first ejection lasts this many probe intervals, and at most this long.
const INTERVALS: u32 = 5;
const FIRST_MAX: Duration = Duration::from_secs(30);

/// Each further ejection without a good response in between lasts twice as long, up to this.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// Whether a status says that something is wrong with the server. 501 and 505 answer a client that
/// asks for what the server does not support.
pub fn is_error(status: u16) -> bool {
    status >= 500 && status != 501 && status != 505
}

/// Errors in a row, and ejections since the last good response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outlier {
    errors: u16,
    times: u32,
}

impl Outlier {
    /// A response that is no error.
    pub fn answered(&mut self) {
        *self = Outlier::default();
    }

    /// An error; returns how many there were in a row if that is too many.
    pub fn erred(&mut self, limit: Option<u16>) -> Option<u16> {
        self.errors = self.errors.saturating_add(1);
        limit.filter(|&limit| self.errors >= limit).map(|_| self.errors)
    }

    /// The backend is ejected; returns for how long.
    pub fn eject(&mut self, interval: Duration) -> Duration {
        let first = interval.saturating_mul(INTERVALS).min(FIRST_MAX);
        let factor = 2_u32.saturating_pow(self.times);
        *self = Outlier { errors: 0, times: self.times + 1 };
        first.saturating_mul(factor).min(HOLD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ejection_is_twice_as_long_until_a_good_response() {
        for (interval_ms, expected_ms) in [
            (2_000, [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]),
            (20, [100, 200, 400, 800, 1_600, 3_200, 6_400]),
            (120_000, [30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000]),
        ] {
            let interval = Duration::from_millis(interval_ms);
            let mut outlier = Outlier::default();
            for _ in 0..2 {
                let holds = [(); 7].map(|()| outlier.eject(interval).as_millis());
                assert_eq!(holds, expected_ms, "{interval:?}");
                outlier.answered();
            }
        }
        let mut outlier = Outlier::default();
        for _ in 0..100 {
            assert!(outlier.eject(Duration::from_secs(1)) <= HOLD_MAX);
        }
    }

    #[test]
    fn errors_count_in_a_row_and_only_if_asked() {
        let mut outlier = Outlier::default();
        assert_eq!([(); 3].map(|()| outlier.erred(Some(3))), [None, None, Some(3)]);
        assert_eq!(outlier.erred(Some(3)), Some(4), "until it is ejected");
        outlier.answered();
        assert_eq!(outlier.erred(Some(2)), None);
        outlier.eject(Duration::from_secs(1));
        assert_eq!([(); 2].map(|()| outlier.erred(Some(2))), [None, Some(2)]);
        assert_eq!(outlier.erred(None), None);
    }

    #[test]
    fn what_the_server_does_not_support_is_no_error() {
        for (status, expected) in
            [(200, false), (404, false), (499, false), (500, true), (501, false)]
        {
            assert_eq!(is_error(status), expected, "{status}");
        }
        for (status, expected) in [(502, true), (503, true), (504, true), (505, false), (599, true)]
        {
            assert_eq!(is_error(status), expected, "{status}");
        }
    }
}
