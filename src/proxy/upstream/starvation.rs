//! Servers with a thread for each connection: our idle connections may hold all threads, and what
//! comes on a new connection then waits for one of them to close. Pure.
//!
//! The sign is a request on a new connection that waits. Then connections are closed rather than
//! pooled, and if that helps, fewer are kept from then on.

use crate::base::time::Instant;
use std::time::Duration;

/// No request on a new connection was answered for this long while one waits.
const STARVING_AFTER: Duration = Duration::from_millis(250);
/// Each time this part of the connections the server had is taken as too many, but at least one and
/// at most this many: the sign may mislead.
const SHRINK_PART: usize = 4;
const SHRINK_MAX: usize = 4;
/// The limit holds for this long after the last time.
const LIMIT_LASTS: Duration = Duration::from_secs(600);

/// Where the connection of a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    New,
    Pooled,
}

/// Requests that wait on new connections to one server, and how many connections it can serve.
#[derive(Debug, Default)]
pub struct Starvation {
    /// Requests outstanding on new connections.
    waiting: u32,
    /// When one of them was answered, or the first was sent.
    since: Instant,
    /// Connections of the server that were served when one was first closed for their sake.
    closed_of: Option<usize>,
    /// Most connections to keep, and until when.
    limit: Option<(usize, Instant)>,
}

impl Starvation {
    /// A request was sent.
    pub fn sent(&mut self, origin: Origin, now: Instant) {
        if origin == Origin::New {
            if self.waiting == 0 {
                self.since = now;
            }
            self.waiting += 1;
        }
    }

    /// Its response has begun.
    pub fn answered(&mut self, origin: Origin, now: Instant) {
        if origin == Origin::New {
            self.abandoned(origin);
            self.since = now;
            if let Some(served) = self.closed_of.take() {
                self.shrink(served, now);
            }
        }
    }

    /// It ended without a response.
    pub fn abandoned(&mut self, origin: Origin) {
        if origin == Origin::New {
            debug_assert!(self.waiting > 0, "it was counted when it was sent");
            self.waiting = self.waiting.saturating_sub(1);
        }
    }

    /// Whether a connection that becomes idle is better closed.
    pub fn is_starving(&self, now: Instant) -> bool {
        self.waiting > 0 && now.since(self.since) >= STARVING_AFTER
    }

    /// Some of `open` connections to the server were closed so that others get their threads.
    pub fn closed(&mut self, open: usize) {
        if self.waiting > 0 {
            let served = open.saturating_sub(self.waiting as usize);
            self.closed_of.get_or_insert(served);
        }
    }

    /// Closing connections did not help: the server does not answer at all.
    pub fn refuted(&mut self) {
        self.closed_of = None;
    }

    fn shrink(&mut self, served: usize, now: Instant) {
        let served = self.limit.map_or(served, |(limit, _)| served.min(limit));
        let too_many = (served / SHRINK_PART).clamp(1, SHRINK_MAX);
        self.limit = Some((served.saturating_sub(too_many), now + LIMIT_LASTS));
    }

    /// Most connections to keep open, those at work included; none: no limit.
    pub fn limit(&self, now: Instant) -> Option<usize> {
        self.limit.filter(|&(_, until)| now < until).map(|(limit, _)| limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn a_request_on_a_new_connection_that_waits_is_the_sign() {
        let mut starvation = Starvation::default();
        starvation.sent(Origin::Pooled, at(0));
        assert!(!starvation.is_starving(at(9_000)), "a pooled one has its thread");
        starvation.sent(Origin::New, at(10_000));
        starvation.sent(Origin::New, at(10_200));
        assert!(!starvation.is_starving(at(10_249)));
        assert!(starvation.is_starving(at(10_250)));
        starvation.answered(Origin::Pooled, at(10_260));
        assert!(starvation.is_starving(at(10_260)), "others are answered meanwhile");
        starvation.answered(Origin::New, at(10_300));
        assert!(!starvation.is_starving(at(10_549)));
        assert!(starvation.is_starving(at(10_550)), "one still waits");
        starvation.abandoned(Origin::New);
        assert!(!starvation.is_starving(at(99_000)));
    }

    #[test]
    fn the_limit_shrinks_when_closing_has_helped() {
        for (name, served, limits) in [
            ("one thread", 1, [0, 0, 0]),
            ("four threads", 4, [3, 2, 1]),
            ("eight threads", 8, [6, 5, 4]),
            ("a burst at a large server", 256, [252, 248, 244]),
        ] {
            let mut starvation = Starvation::default();
            for limit in limits {
                starvation.sent(Origin::New, at(0));
                starvation.closed(served + 1);
                starvation.answered(Origin::New, at(500));
                assert_eq!(starvation.limit(at(501)), Some(limit), "{name}");
            }
            assert_eq!(starvation.limit(at(600_500)), None, "{name}: forgotten in the end");
        }
    }

    #[test]
    fn there_is_no_limit_unless_closing_has_helped() {
        let mut starvation = Starvation::default();
        starvation.closed(8);
        starvation.sent(Origin::New, at(0));
        starvation.answered(Origin::New, at(1));
        assert_eq!(starvation.limit(at(2)), None, "nothing waited");
        starvation.sent(Origin::New, at(3));
        starvation.closed(9);
        starvation.refuted();
        starvation.answered(Origin::New, at(5_000));
        assert_eq!(starvation.limit(at(5_001)), None, "the server did not answer");
    }
}
