//! What is counted for `/metrics` and `/status`: plain integers, added to where the thing happens.
//! Counters only grow; a rate per second is kept of the last minute.

use super::histogram::{Histogram, Recent};
use super::seconds::Seconds;
use super::{ProxyError, Record};
use crate::base::time::Instant;
use std::io::ErrorKind;
use std::time::Duration;

/// Why a request was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// The server could not be connected to.
    Connect,
    /// The connect took too long.
    ConnectTimeout,
    /// The server closed the connection without a response.
    Closed,
    /// The response did not come in time.
    Timeout,
    /// What came was no usable response.
    Malformed,
    /// The server was silent while its health checks failed.
    Silent,
}

impl RetryReason {
    /// All of them, in the order of their counters.
    pub const ALL: [RetryReason; 6] = [
        RetryReason::Connect,
        RetryReason::ConnectTimeout,
        RetryReason::Closed,
        RetryReason::Timeout,
        RetryReason::Malformed,
        RetryReason::Silent,
    ];

    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            RetryReason::Connect => "connect",
            RetryReason::ConnectTimeout => "connect_timeout",
            RetryReason::Closed => "closed",
            RetryReason::Timeout => "timeout",
            RetryReason::Malformed => "malformed",
            RetryReason::Silent => "silent",
        }
    }
}

/// How connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectKind {
    Refused,
    Timeout,
    Unreachable,
    Reset,
    Other,
}

impl ConnectKind {
    /// All of them, in the order of their counters.
    pub const ALL: [ConnectKind; 5] = [
        ConnectKind::Refused,
        ConnectKind::Timeout,
        ConnectKind::Unreachable,
        ConnectKind::Reset,
        ConnectKind::Other,
    ];

    /// The value of the label `kind`.
    pub fn name(self) -> &'static str {
        match self {
            ConnectKind::Refused => "refused",
            ConnectKind::Timeout => "timeout",
            ConnectKind::Unreachable => "unreachable",
            ConnectKind::Reset => "reset",
            ConnectKind::Other => "other",
        }
    }
}

impl From<ErrorKind> for ConnectKind {
    fn from(kind: ErrorKind) -> ConnectKind {
        match kind {
            ErrorKind::ConnectionRefused => ConnectKind::Refused,
            ErrorKind::TimedOut => ConnectKind::Timeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ConnectKind::Unreachable,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ConnectKind::Reset,
            _ => ConnectKind::Other,
        }
    }
}

/// The classes of status codes, as labels.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Attempts that ended, and redirects.
    Requests,
    /// Responses 5xx, and attempts that the server failed.
    Errors,
    /// Attempts after which the request was sent again.
    Retries,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub now: Instant,
    /// Of the response; 0 if none began, or if it is no HTTP.
    pub status: u16,
    /// When the request was complete.
    pub arrived: Instant,
    /// When this attempt began.
    pub begun: Instant,
    /// When the response began.
    pub answered: Option<Instant>,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

impl Ended {
    /// The attempt of this record ended at `now`.
    #[inline]
    pub fn of(record: &Record, now: Instant) -> Ended {
        Ended {
            now,
            status: record.status,
            arrived: record.arrived,
            begun: record.begun,
            answered: record.answered,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
        }
    }
}

/// The counters of one backend.
#[derive(Clone, Debug, Default)]
pub struct BackendCounters {
    /// By [`CLASSES`].
    pub responses: [u64; CLASSES.len()],
    /// By [`RetryReason`].
    retries: [u64; RetryReason::ALL.len()],
    /// Connects that were started.
    pub opened: u64,
    /// Requests that got a pooled connection.
    pub reused: u64,
    /// Requests that were sent on a pooled connection which the server was closing.
    pub races_lost: u64,
    /// Clients that were redirected to it.
    pub redirects: u64,
    /// By [`ConnectKind`].
    connect_failures: [u64; ConnectKind::ALL.len()],
    /// Exchanges that the client cut off.
    pub client_aborts: u64,
    /// Exchanges that the server cut off after its response had begun, or that stalled.
    pub server_aborts: u64,
    /// Bytes of request bodies and of tunnels that went to the server.
    pub sent_bytes: u64,
    /// Bytes of response bodies and of tunnels that came from the server.
    pub received_bytes: u64,
    pub probes_ok: u64,
    pub probes_failed: u64,
    /// Times it went up or down.
    pub state_changes: u64,
    /// How long it has been down, without the present time down, in microseconds.
    pub down_us: u64,
    /// From the start of an attempt to the first byte of the response.
    pub first_byte: Histogram,
    /// From a whole request head to the end of the response, of answered requests.
    pub whole: Histogram,
    /// As `first_byte`.
    pub recent: Recent,
    /// By [`Rate`].
    pub seconds: Seconds<3>,
}

impl BackendCounters {
    /// An attempt ended. In one place, so that its cost can be measured.
    #[inline]
    pub fn attempt_ended(&mut self, ended: &Ended) {
        let second = second_of(ended.now);
        let counts = self.seconds.at(second);
        counts[Rate::Requests as usize] += 1;
        self.sent_bytes += ended.request_bytes;
        let Some(answered) = ended.answered else { return };
        let class = usize::from(ended.status / 100);
        if let Some(count) = self.responses.get_mut(class.wrapping_sub(1)) {
            *count += 1;
            counts[Rate::Errors as usize] += u32::from(class == 5);
        }
        self.received_bytes += ended.response_bytes;
        let first_byte = micros(ended.begun, answered);
        self.recent.observe(first_byte, second, &mut self.first_byte);
        self.whole.observe(micros(ended.arrived, ended.now));
    }

    /// A client was redirected to it.
    pub fn redirected(&mut self, now: Instant) {
        self.redirects += 1;
        self.seconds.at(second_of(now))[Rate::Requests as usize] += 1;
    }

    /// The server failed an attempt.
    pub fn attempt_failed(&mut self, now: Instant) {
        self.seconds.at(second_of(now))[Rate::Errors as usize] += 1;
    }

    /// A request is sent again after an attempt here.
    pub fn retried(&mut self, reason: RetryReason, now: Instant) {
        self.retries[reason as usize] += 1;
        self.seconds.at(second_of(now))[Rate::Retries as usize] += 1;
    }

    /// A client's request, or a probe, could not connect.
    pub fn connect_failed(&mut self, kind: ConnectKind) {
        self.connect_failures[kind as usize] += 1;
    }

    /// Responses by class.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.responses)
    }

    /// Retries with their reasons.
    pub fn retries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RetryReason::ALL.into_iter().map(|reason| (reason.name(), self.retries[reason as usize]))
    }

    /// Retries for any reason.
    pub fn retries_total(&self) -> u64 {
        self.retries.iter().sum()
    }

    /// Failed connects with their kinds.
    pub fn connect_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |kind: ConnectKind| (kind.name(), self.connect_failures[kind as usize]);
        ConnectKind::ALL.into_iter().map(count)
    }

    /// Times a request was given to this backend.
    pub fn attempts(&self) -> u64 {
        self.opened + self.reused
    }

    /// Requests whose last attempt was here, without the `in_flight` ones.
    pub fn requests(&self, in_flight: u32) -> u64 {
        let other = self.retries_total() + u64::from(in_flight);
        self.attempts().saturating_sub(other)
    }
}

/// The counters of the whole program.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Clients accepted.
    pub accepted: u64,
    /// Requests and sessions that ended, however they did.
    pub requests: u64,
    /// Answers of this program, by [`ProxyError`].
    local: [u64; ProxyError::ALL.len()],
    /// From a whole request head to its slot.
    pub waiting: Histogram,
    /// Per second: requests that ended, answers of this program.
    pub seconds: Seconds<2>,
}

impl Counters {
    /// A request ended.
    #[inline]
    pub fn request_ended(&mut self, now: Instant, waited: Duration) {
        self.requests += 1;
        self.seconds.at(second_of(now))[0] += 1;
        self.waiting.observe(waited.as_micros() as u64);
    }

    /// This program answered.
    pub fn answered(&mut self, cause: ProxyError, now: Instant) {
        self.local[cause as usize] += 1;
        self.seconds.at(second_of(now))[1] += 1;
    }

    /// Answers of this program with their causes.
    pub fn local(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ProxyError::ALL.into_iter().map(|cause| (cause.name(), self.local[cause as usize]))
    }
}

/// The second of the program's life, as counters use it.
#[inline]
pub fn second_of(now: Instant) -> u32 {
    (now.as_micros() / 1_000_000) as u32
}

#[inline]
fn micros(from: Instant, to: Instant) -> u64 {
    to.as_micros().saturating_sub(from.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn each_label_counts_in_its_own_place() {
        let mut counters = BackendCounters::default();
        for (times, reason) in (1..).zip(RetryReason::ALL) {
            (0..times).for_each(|_| counters.retried(reason, at(0)));
        }
        for (times, kind) in (1..).zip(ConnectKind::ALL) {
            (0..times).for_each(|_| counters.connect_failed(kind));
        }
        let retries: Vec<_> = counters.retries().map(|(_, count)| count).collect();
        assert_eq!(retries, [1, 2, 3, 4, 5, 6]);
        let failures: Vec<_> = counters.connect_failures().map(|(_, count)| count).collect();
        assert_eq!(failures, [1, 2, 3, 4, 5]);
        let mut counters = Counters::default();
        for (times, cause) in (1..).zip(ProxyError::ALL) {
            (0..times).for_each(|_| counters.answered(cause, at(0)));
        }
        let local: Vec<_> = counters.local().map(|(_, count)| count).collect();
        assert_eq!(local, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn an_attempt_counts_by_the_response_it_got() {
        for (status, answered, expected, errors) in [
            (101, Some(at(30)), [1, 0, 0, 0, 0], 0),
            (200, Some(at(30)), [0, 1, 0, 0, 0], 0),
            (404, Some(at(30)), [0, 0, 0, 1, 0], 0),
            (599, Some(at(30)), [0, 0, 0, 0, 1], 1),
            // A status that is none of HTTP, a TCP session, a failed attempt.
            (999, Some(at(30)), [0; 5], 0),
            (0, Some(at(30)), [0; 5], 0),
            (0, None, [0; 5], 0),
        ] {
            let mut counters = BackendCounters::default();
            let ended = Ended {
                now: at(1_000_050),
                status,
                arrived: at(10),
                begun: at(20),
                answered,
                request_bytes: 3,
                response_bytes: 4,
            };
            counters.attempt_ended(&ended);
            assert_eq!(counters.responses, expected, "{status}");
            let is_answered = u64::from(answered.is_some());
            assert_eq!(counters.first_byte.count(), is_answered);
            assert_eq!(counters.first_byte.sum_us(), 10 * is_answered);
            assert_eq!(counters.whole.sum_us(), 1_000_040 * is_answered);
            assert_eq!((counters.sent_bytes, counters.received_bytes), (3, 4 * is_answered));
            let second = |rate: Rate| counters.seconds.last(rate as usize, 1)[59];
            assert_eq!((second(Rate::Requests), second(Rate::Errors)), (1, errors), "{status}");
        }
    }
}
