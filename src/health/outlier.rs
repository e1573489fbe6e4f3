//! A backend that answers with 5xx (`--fall-on-5xx`): when it is ejected, and for how long. A
//! passed probe does not bring it back, as a probe asks for another page; only time does.

use std::net::IpAddr;
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

/// Errors count only when they went to this many clients, or to as many as the limit if that is
/// less: one client that asks for a page that fails must not eject one server after the other.
const CLIENTS: usize = 3;

/// Errors in a row, and ejections since the last good response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outlier {
    errors: u16,
    /// The first clients that got them.
    clients: [Option<IpAddr>; CLIENTS],
    times: u32,
}

impl Outlier {
    /// A response that is no error.
    pub fn answered(&mut self) {
        *self = Outlier::default();
    }

    /// An error for this client; returns how many there were in a row if that is too many.
    pub fn erred(&mut self, client: IpAddr, limit: Option<u16>) -> Option<u16> {
        self.errors = self.errors.saturating_add(1);
        for place in &mut self.clients {
            match *place {
                Some(known) if known == client => break,
                Some(_) => {}
                None => {
                    *place = Some(client);
                    break;
                }
            }
        }
        let clients = self.clients.iter().flatten().count();
        let is_too_many = |limit: u16| self.errors >= limit && clients >= CLIENTS.min(limit.into());
        limit.filter(|&limit| is_too_many(limit)).map(|_| self.errors)
    }

    /// The backend is ejected; returns for how long.
    pub fn eject(&mut self, interval: Duration) -> Duration {
        let first = interval.saturating_mul(INTERVALS).min(FIRST_MAX);
        let factor = 2_u32.saturating_pow(self.times);
        *self = Outlier { times: self.times + 1, ..Outlier::default() };
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

    fn client(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[test]
    fn errors_in_a_row_count_if_enough_clients_got_them() {
        for (name, limit, clients, expected) in [
            ("three of three", Some(3), &[1, 2, 3][..], Some(3)),
            ("two of three", Some(3), &[1, 2], None),
            ("one client", Some(3), &[1; 100], None),
            ("two clients", Some(3), &[1, 2, 1, 2, 1, 2], None),
            ("a third one late", Some(3), &[1, 1, 1, 2, 1, 3], Some(6)),
            ("three clients are enough", Some(5), &[1, 2, 3, 1, 2], Some(5)),
            ("a limit of two needs two", Some(2), &[1, 1, 2], Some(3)),
            ("a limit of one needs one", Some(1), &[1], Some(1)),
            ("not asked for", None, &[1, 2, 3, 4, 5], None),
        ] {
            let mut outlier = Outlier::default();
            let last = clients.iter().map(|&it| outlier.erred(client(it), limit)).last();
            assert_eq!(last, Some(expected), "{name}");
        }
    }

    #[test]
    fn a_good_response_or_an_ejection_starts_the_row_again() {
        let resets: [fn(&mut Outlier); 2] =
            [Outlier::answered, |it| _ = it.eject(Duration::from_secs(1))];
        for reset in resets {
            let mut outlier = Outlier::default();
            assert_eq!([1, 2].map(|it| outlier.erred(client(it), Some(3))), [None, None]);
            reset(&mut outlier);
            let again = [1, 2, 3].map(|it| outlier.erred(client(it), Some(3)));
            assert_eq!(again, [None, None, Some(3)]);
        }
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
