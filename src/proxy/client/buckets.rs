//! Token buckets by client address, in a table of fixed size (`--rate`). Pure book-keeping.
//!
//! A bucket is one point in time: when it is full again. It takes nothing to refill it, and one that
//! is full is the same as none, so that nothing has to be kept of a client that has paused.

use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::config::RateLimit;
use std::net::IpAddr;
use std::time::Duration;

/// Buckets in all, 1 MiB: as many clients can be above their rates at the same time.
const BUCKETS: usize = 1 << 16;

/// Places where the bucket of a client may be: one that needs a place takes that of the client that
/// is nearest to a full bucket.
const WAYS: usize = 8;

const SETS: usize = BUCKETS / WAYS;
const _: () = assert!(SETS.is_power_of_two());

/// Whose bucket it is: an IPv4 address, or the /64 of an IPv6 address, which is what one customer
/// has (RFC 6177).
pub fn client_of(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        // Below ::/8, where no client is.
        IpAddr::V4(v4) => 0xffff << 32 | u64::from(u32::from(v4)),
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    client: u64,
    /// Before this time it is not full.
    full_at: Instant,
}

/// Whether a client may send one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// Not before so many seconds have passed, at least 1.
    Refused {
        retry_after: u32,
    },
}

/// The buckets of all clients.
#[derive(Debug)]
pub struct Buckets {
    table: Box<[[Bucket; WAYS]]>,
    /// Decides which clients share a set, so that nobody can choose to.
    salt: u64,
    /// The time of a token.
    interval: Duration,
    /// What a bucket holds, as the time that it takes to fill.
    depth: Duration,
}

impl Buckets {
    /// Full ones for everybody.
    pub fn new(limit: RateLimit, salt: u64) -> Buckets {
        let interval = Duration::from_secs(1) / limit.per_second;
        Buckets {
            table: vec![[Bucket::default(); WAYS]; SETS].into_boxed_slice(),
            salt,
            interval,
            depth: interval * limit.burst,
        }
    }

    /// Takes a token of this client.
    pub fn take(&mut self, client: u64, now: Instant) -> Admission {
        let set = Rng::new(client ^ self.salt).bits() as usize & (SETS - 1);
        let set = &mut self.table[set];
        let own = set.iter().position(|bucket| bucket.client == client);
        let place = own.unwrap_or_else(|| {
            let fullest = (0..WAYS).min_by_key(|&way| set[way].full_at);
            let fullest = fullest.expect("a set has places");
            set[fullest] = Bucket { client, full_at: Instant::START };
            fullest
        });
        let bucket = &mut set[place];
        let full_at = bucket.full_at.max(now) + self.interval;
        let lacking = full_at.since(now).saturating_sub(self.depth);
        if lacking.is_zero() {
            bucket.full_at = full_at;
            return Admission::Admitted;
        }
        let seconds = lacking.as_micros().div_ceil(1_000_000);
        Admission::Refused { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(text: &str) -> Buckets {
        Buckets::new(RateLimit::parse(text).expect(text), 7)
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    /// How many of `count` requests at this time are admitted.
    fn admitted(buckets: &mut Buckets, client: u64, now: Instant, count: usize) -> usize {
        (0..count).filter(|_| buckets.take(client, now) == Admission::Admitted).count()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_the_rate() {
        for (text, burst, refill) in
            [("10/s", 10, 10), ("10/s:1", 1, 1), ("10/s:25", 25, 10), ("1/s:3", 3, 1)]
        {
            let mut buckets = buckets(text);
            assert_eq!(admitted(&mut buckets, 1, at(5_000), 100), burst, "{text}: the burst");
            assert_eq!(admitted(&mut buckets, 1, at(6_000), 100), refill, "{text}: after a second");
            assert_eq!(admitted(&mut buckets, 1, at(999_000), 100), burst, "{text}: after a pause");
            assert_eq!(admitted(&mut buckets, 2, at(999_000), 1), 1, "{text}: another client");
        }
        let mut buckets = buckets("2/s:1");
        let even = (0..1_000).filter(|step| buckets.take(1, at(step * 100)) == Admission::Admitted);
        assert_eq!(even.count(), 200, "two a second of ten, for 100 s");
    }

    #[test]
    fn a_refused_client_is_told_when_a_token_is_there() {
        for (text, millis, expected) in
            [("1/s:1", 0, 1), ("1/s:1", 999, 1), ("1000/s:1", 0, 1), ("1/s:5", 0, 1)]
        {
            let mut buckets = buckets(text);
            admitted(&mut buckets, 1, at(10_000), 5);
            let refused = buckets.take(1, at(10_000 + millis));
            if let Admission::Refused { retry_after } = refused {
                assert_eq!(retry_after, expected, "{text} {millis}");
                let then = at(10_000 + millis + u64::from(retry_after) * 1_000);
                assert_eq!(buckets.take(1, then), Admission::Admitted, "{text} {millis}");
            } else {
                assert_eq!(text, "1000/s:1", "{text} {millis}");
            }
        }
    }

    #[test]
    fn refused_requests_cost_nothing() {
        let mut buckets = buckets("1/s:1");
        assert_eq!(admitted(&mut buckets, 1, at(0), 1_000), 1);
        assert_eq!(admitted(&mut buckets, 1, at(1_000), 1_000), 1);
    }

    #[test]
    fn addresses_are_grouped_as_one_customer_has_them() {
        let of = |text: &str| client_of(text.parse().expect("an address"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("255.255.255.255"), of("::1"));
    }

    #[test]
    fn the_table_has_a_fixed_size_and_those_far_above_their_rate_stay_in_it() {
        let mut buckets = buckets("1/s:2");
        // One client is refused; as many others as there are places come once.
        assert_eq!(admitted(&mut buckets, 1, at(1_000), 10), 2);
        for client in 2..BUCKETS as u64 {
            assert_eq!(buckets.take(client << 32, at(1_000)), Admission::Admitted, "{client}");
        }
        assert_eq!(admitted(&mut buckets, 1, at(1_000), 10), 0, "it was not forgotten");
        assert_eq!(buckets.table.len() * WAYS, BUCKETS);
    }
}
