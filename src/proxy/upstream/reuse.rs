//! Whether a pooled connection is as safe as a new one for a request that cannot be repeated: from
//! what its server has done with idle connections so far. Pure.
//!
//! A server may close an idle connection at any time, and a request that is on its way then is lost
//! (RFC 9112 §9.3.1). There are three kinds of servers:
//!
//! - It closes after a time. A connection is used for at most half of the shortest idle time after
//!   which the server closed one, and for at most half of the longest for which it has kept one.
//!   So a server of which nothing is known is not trusted, and one that keeps its connections is
//!   trusted after two or three requests. Half, as timers of servers are coarse: gunicorn's 2 s
//!   last up to 3 s.
//! - It closes right after a response and does not say so, for example after a number of requests.
//!   No idle time is safe then, so none is used for a while, then a longer one.
//! - It says how long it keeps connections (`Keep-Alive`). That is one more limit, no promise.

use crate::base::time::Instant;
use crate::http::keep_alive::KeepAlive;
use std::fmt;
use std::time::Duration;

/// A close within this time after a response is no time-out.
const PROMPT: Duration = Duration::from_millis(100);

/// An unanswered request that fails later than this was being worked on.
const RACE_MAX: Duration = Duration::from_secs(1);

/// For how long no connection is used after a close that was not announced: at first, and at most.
const FRESH_MIN: Duration = Duration::from_secs(60);
const FRESH_MAX: Duration = Duration::from_secs(3600);

/// For how long a close after a time limits the use of connections.
const CLOSE_LASTS: Duration = Duration::from_secs(600);

/// Since when a connection is idle, or was before its present use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleSince {
    /// When its last response had come whole.
    pub released: Instant,
    /// When that response began: what was read late may have been written long before, so for its
    /// server the connection may be idle since then.
    pub answered: Instant,
}

impl IdleSince {
    /// How long it has been idle at least, for its server.
    fn at_least(self, now: Instant) -> Duration {
        now.since(self.released)
    }

    /// How long it has been idle at most.
    fn at_most(self, now: Instant) -> Duration {
        now.since(self.answered)
    }
}

/// A pooled connection that was closed under a request, before a response began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PooledClose {
    /// Nothing of the request was sent.
    BeforeRequest,
    /// It was sent when the server had closed already, as far as one can tell.
    Race,
    /// The server had the request for a while.
    AtWork,
}

/// A close that changes what is known about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// It closed a connection that was idle for this long.
    ClosesIdle(Duration),
    /// It closed a connection right after its `requests`th response, which did not say so. For
    /// `fresh` none is used.
    ClosesUnannounced { requests: u32, fresh: Duration },
}

impl fmt::Display for Lesson {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Lesson::ClosesIdle(idle) => write!(
                out,
                "closed a connection that was idle for {:.1} s: requests that cannot be repeated \
                 use those idle for {:.2} s at most",
                idle.as_secs_f32(),
                (idle / 2).as_secs_f32()
            ),
            Lesson::ClosesUnannounced { requests, fresh } => write!(
                out,
                "closed a connection after {requests} responses without \"Connection: close\": \
                 requests that cannot be repeated use new ones for {} s",
                fresh.as_secs()
            ),
        }
    }
}

/// What a server has done with its idle connections.
#[derive(Debug, Default)]
pub struct ReuseHistory {
    /// The longest that a connection was idle and open, since one was closed; zero: never.
    kept: Duration,
    /// The shortest after which one was closed lately, and until when that counts.
    closed: Option<(Duration, Instant)>,
    /// Until when no connection is used, and for how long that is.
    fresh_until: Instant,
    fresh: Duration,
}

impl ReuseHistory {
    /// Whether a connection is as safe as a new one.
    pub fn is_safe(&self, idle: IdleSince, said: &KeepAlive, now: Instant) -> bool {
        let twice = idle.at_most(now) * 2;
        twice < self.kept
            && now >= self.fresh_until
            && self.limit(now).is_none_or(|closed| twice <= closed)
            && said.timeout.is_none_or(|timeout| twice <= timeout)
            && said.max.is_none_or(|left| left > 1)
    }

    /// Whether knowing that another connection was kept for longer could make this one safe.
    pub fn lacks_evidence(&self, idle: IdleSince, now: Instant) -> bool {
        let twice = idle.at_most(now) * 2;
        twice >= self.kept
            && now >= self.fresh_until
            && self.limit(now).is_none_or(|closed| twice <= closed)
    }

    fn limit(&self, now: Instant) -> Option<Duration> {
        self.closed.filter(|&(_, until)| now < until).map(|(idle, _)| idle)
    }

    /// A connection is idle and open.
    pub fn kept(&mut self, idle: IdleSince, now: Instant) {
        self.kept = self.kept.max(idle.at_least(now));
    }

    /// The server closed an idle connection after so many responses; what is new in that.
    pub fn closed(&mut self, idle: IdleSince, requests: u32, now: Instant) -> Option<Lesson> {
        if idle.at_most(now) < PROMPT {
            return self.closed_promptly(requests, now);
        }
        let age = idle.at_least(now);
        // Its response was read so late that nothing can be said of the time.
        if age < PROMPT {
            return None;
        }
        self.kept = age;
        let known = self.limit(now);
        self.closed = match known {
            Some(shortest) if age >= shortest * 2 => self.closed,
            Some(shortest) => Some((shortest.min(age), now + CLOSE_LASTS)),
            None => Some((age, now + CLOSE_LASTS)),
        };
        let is_new = known.is_none_or(|shortest| age * 4 < shortest * 3);
        is_new.then_some(Lesson::ClosesIdle(age))
    }

    fn closed_promptly(&mut self, requests: u32, now: Instant) -> Option<Lesson> {
        self.kept = Duration::ZERO;
        // Others are closed at the same time, or were used before this was known.
        if now < self.fresh_until {
            return None;
        }
        let is_again = now.since(self.fresh_until) < FRESH_MAX && self.fresh > Duration::ZERO;
        self.fresh = if is_again { (self.fresh * 2).min(FRESH_MAX) } else { FRESH_MIN };
        self.fresh_until = now + self.fresh;
        Some(Lesson::ClosesUnannounced { requests, fresh: self.fresh })
    }
}

/// Whether a request without a response, sent at `sent` on a pooled connection that turns out to be
/// closed, was lost on its way; else the server has worked on it.
pub fn is_race(sent: Instant, now: Instant) -> bool {
    now.since(sent) < RACE_MAX
}

#[cfg(test)]
mod tests;
