//! What is counted for `/metrics` and `/status`: plain integers, added to where the thing happens.
//! Counters only grow; a rate per second is kept of the last minute.

use super::causes::{CLASSES, ClientLimit, ConnectKind, HeaderOutcome, RetryReason};
use super::histogram::{Cell, Histogram};
use super::recent::{Quantiles, Recent};
use super::seconds::{SHOWN, Seconds};
use super::{ProxyError, Record};
use crate::base::time::Instant;

/// What is counted per second of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Attempts that ended, and redirects.
    Requests,
    /// Responses 5xx, and attempts that the server failed.
    Errors,
    /// Attempts after which the request was sent again.
    Retries,
}

/// The first digits a status has; it has three. Without a response it is 0.
const DIGITS: usize = 10;
const SERVER_ERROR: usize = 5;

/// The counters of one backend.
#[derive(Clone, Debug, Default)]
pub struct BackendCounters {
    /// Attempts that ended, by the first digit of the status.
    ended: [u64; DIGITS],
    /// By [`RetryReason`].
    retries: [u64; RetryReason::ALL.len()],
    /// Attempts that the server failed.
    failed: u64,
    /// Attempts that got a new connection, established by now or not.
    connects: u64,
    /// Connects that failed before there was an attempt.
    failed_at_once: u64,
    /// Requests that were sent on a pooled connection which the server was closing.
    pub races_lost: u64,
    /// Clients that were redirected to it.
    redirects: u64,
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
    /// Of `first_byte`.
    recent: Recent,
    /// By [`Rate`].
    seconds: Seconds<3>,
}

impl BackendCounters {
    /// An attempt ended. What each request costs is here and in [`Counters::request_ended`]: totals
    /// only, from which the rest is computed when it is looked at.
    #[inline]
    pub fn attempt_ended(&mut self, record: &Record, time: Time) {
        self.arrive_in(time.second);
        self.sent_bytes += record.request_bytes;
        let Some(answered) = record.answered else {
            self.ended[0] += 1;
            return;
        };
        if let Some(count) = self.ended.get_mut(usize::from(record.status / 100)) {
            *count += 1;
        }
        self.received_bytes += record.response_bytes;
        let first_byte = micros(record.begun, answered);
        let cell = Cell::of(first_byte);
        self.first_byte.observe_in(cell, first_byte);
        let whole = micros(record.arrived, time.now);
        // A request that did not wait and whose response came at once has both in one cell.
        let cell = if whole == first_byte { cell } else { Cell::of(whole) };
        self.whole.observe_in(cell, whole);
    }

    /// What is counted from here on is counted in `second`.
    #[inline]
    fn arrive_in(&mut self, second: u32) {
        if !self.seconds.is_at(second) {
            self.advance(second);
        }
    }

    #[cold]
    fn advance(&mut self, second: u32) {
        let totals = [Rate::Requests, Rate::Errors, Rate::Retries].map(|rate| self.total(rate));
        self.seconds.advance(second, totals);
        self.recent.advance(second, &self.first_byte);
    }

    fn total(&self, rate: Rate) -> u64 {
        match rate {
            Rate::Requests => self.ended() + self.redirects,
            Rate::Errors => self.ended[SERVER_ERROR] + self.failed,
            Rate::Retries => self.retries_total(),
        }
    }

    fn ended(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// The counts in the last 60 seconds, oldest first; the last is of `second`, which is not over.
    pub fn last(&self, rate: Rate, second: u32) -> [u32; SHOWN] {
        self.seconds.last(rate as usize, second, self.total(rate))
    }

    /// Adds the times to first byte of about the last minute to `sum`.
    pub fn add_recent(&self, sum: &mut Quantiles, second: u32) {
        self.recent.add_to(sum, second, &self.first_byte);
    }

    /// An attempt got a new connection.
    pub fn connecting(&mut self) {
        self.connects += 1;
    }

    /// A connect failed before there was an attempt.
    pub fn connect_failed_at_once(&mut self) {
        self.failed_at_once += 1;
    }

    /// A client was redirected to it.
    pub fn redirected(&mut self, second: u32) {
        self.arrive_in(second);
        self.redirects += 1;
    }

    /// The server failed an attempt.
    pub fn attempt_failed(&mut self, second: u32) {
        self.arrive_in(second);
        self.failed += 1;
    }

    /// A request is sent again after an attempt here.
    pub fn retried(&mut self, reason: RetryReason, second: u32) {
        self.arrive_in(second);
        self.retries[reason as usize] += 1;
    }

    /// A connect for a request failed, at once or later. Probes have counters of their own.
    pub fn connect_failed(&mut self, kind: ConnectKind) {
        self.connect_failures[kind as usize] += 1;
    }

    /// Responses by class.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.ended[1..].iter().copied())
    }

    /// Clients that were redirected to it.
    pub fn redirects(&self) -> u64 {
        self.redirects
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

    /// Times a request was given to this backend; `in_flight` are there now.
    pub fn attempts(&self, in_flight: u32) -> u64 {
        self.ended() + u64::from(in_flight)
    }

    /// Connects that were started.
    pub fn opened(&self) -> u64 {
        self.connects + self.failed_at_once
    }

    /// Attempts that got a pooled connection.
    pub fn reused(&self, in_flight: u32) -> u64 {
        self.attempts(in_flight).saturating_sub(self.connects)
    }

    /// Requests that ended and whose last attempt was here.
    pub fn requests(&self) -> u64 {
        self.ended().saturating_sub(self.retries_total())
    }
}

/// The present time as counters use it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Time {
    pub now: Instant,
    /// Of the program's life.
    pub second: u32,
}

impl Time {
    /// The time `now`.
    pub fn at(now: Instant) -> Time {
        Time { now, second: (now.as_micros() / 1_000_000) as u32 }
    }
}

/// What is counted per second of the whole program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramRate {
    /// Requests that ended.
    Requests,
    /// Answers of this program.
    Local,
}

/// The counters of the whole program.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Clients accepted.
    pub accepted: u64,
    /// PROXY headers that were required, by [`HeaderOutcome`].
    proxy_headers: [u64; HeaderOutcome::ALL.len()],
    /// Requests and connections above a limit of their client, by [`ClientLimit`].
    client_limits: [u64; ClientLimit::ALL.len()],
    /// Requests and sessions that ended, however they did.
    pub requests: u64,
    /// Requests for which there was no place in the queue.
    pub queue_refused: u64,
    /// Answers of this program, by [`ProxyError`].
    local: [u64; ProxyError::ALL.len()],
    /// From a whole request head to its slot, of those that had to wait.
    waited: Histogram,
    /// By [`ProgramRate`].
    seconds: Seconds<2>,
}

impl Counters {
    /// A client was above a limit.
    pub fn client_limited(&mut self, limit: ClientLimit) {
        self.client_limits[limit as usize] += 1;
    }

    /// What was above limits of clients.
    pub fn client_limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ClientLimit::ALL.into_iter().map(|limit| (limit.name(), self.client_limits[limit as usize]))
    }

    /// A request ended, after it had waited for a slot.
    #[inline]
    pub fn request_ended(&mut self, record: &Record, second: u32) {
        self.arrive_in(second);
        self.requests += 1;
        // Most requests do not wait at all.
        if record.admitted > record.ready {
            self.waited(micros(record.ready, record.admitted));
        }
    }

    #[cold]
    fn waited(&mut self, micros: u64) {
        self.waited.observe(micros);
    }

    /// A PROXY header was read, or there will be none.
    pub fn proxy_header(&mut self, outcome: HeaderOutcome) {
        self.proxy_headers[outcome as usize] += 1;
    }

    /// PROXY headers that were required with their outcomes.
    pub fn proxy_headers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        HeaderOutcome::ALL.into_iter().map(|it| (it.name(), self.proxy_headers[it as usize]))
    }

    /// This program answered.
    pub fn answered(&mut self, cause: ProxyError, second: u32) {
        self.arrive_in(second);
        self.local[cause as usize] += 1;
    }

    /// What is counted from here on is counted in `second`.
    #[inline]
    fn arrive_in(&mut self, second: u32) {
        if !self.seconds.is_at(second) {
            self.advance(second);
        }
    }

    #[cold]
    fn advance(&mut self, second: u32) {
        let totals = [ProgramRate::Requests, ProgramRate::Local].map(|rate| self.total(rate));
        self.seconds.advance(second, totals);
    }

    fn total(&self, rate: ProgramRate) -> u64 {
        match rate {
            ProgramRate::Requests => self.requests,
            ProgramRate::Local => self.local.iter().sum(),
        }
    }

    /// The counts in the last 60 seconds, oldest first; the last is of `second`, which is not over.
    pub fn last(&self, rate: ProgramRate, second: u32) -> [u32; SHOWN] {
        self.seconds.last(rate as usize, second, self.total(rate))
    }

    /// From a whole request head to its slot, of all requests.
    pub fn waiting(&self) -> Histogram {
        let mut waiting = self.waited.clone();
        waiting.add_zeros(self.requests - waiting.count());
        waiting
    }

    /// Answers of this program with their causes.
    pub fn local(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ProxyError::ALL.into_iter().map(|cause| (cause.name(), self.local[cause as usize]))
    }
}

/// The clock of the loop never goes back, so nothing is saved for that case here.
#[inline]
fn micros(from: Instant, to: Instant) -> u64 {
    debug_assert!(from <= to, "{from:?} is after {to:?}");
    to.as_micros().wrapping_sub(from.as_micros())
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
            (0..times).for_each(|_| counters.retried(reason, 0));
        }
        for (times, kind) in (1..).zip(ConnectKind::ALL) {
            (0..times).for_each(|_| counters.connect_failed(kind));
        }
        let retries: Vec<_> = counters.retries().map(|(_, count)| count).collect();
        assert_eq!(retries, [1, 2, 3, 4, 5, 6]);
        let failures: Vec<_> = counters.connect_failures().map(|(_, count)| count).collect();
        assert_eq!(failures, [1, 2, 3, 4, 5, 6]);
        let mut counters = Counters::default();
        for (times, cause) in (1..).zip(ProxyError::ALL) {
            (0..times).for_each(|_| counters.answered(cause, 0));
        }
        let local: Vec<_> = counters.local().map(|(_, count)| count).collect();
        assert_eq!(local, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        for (times, outcome) in (1..).zip(HeaderOutcome::ALL) {
            (0..times).for_each(|_| counters.proxy_header(outcome));
        }
        let headers: Vec<_> = counters.proxy_headers().map(|(_, count)| count).collect();
        assert_eq!(headers, [1, 2, 3, 4, 5, 6]);
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
            let record = Record {
                status,
                arrived: at(10),
                begun: at(20),
                answered,
                request_bytes: 3,
                response_bytes: 4,
                ..Record::default()
            };
            counters.attempt_ended(&record, Time::at(at(1_000_050)));
            let responses: Vec<_> = counters.classes().map(|(_, count)| count).collect();
            assert_eq!(responses, expected, "{status}");
            let is_answered = u64::from(answered.is_some());
            assert_eq!(counters.first_byte.count(), is_answered);
            assert_eq!(counters.first_byte.sum_us(), 10 * is_answered);
            assert_eq!(counters.whole.sum_us(), 1_000_040 * is_answered);
            assert_eq!((counters.sent_bytes, counters.received_bytes), (3, 4 * is_answered));
            let second = |rate: Rate| counters.last(rate, 1)[59];
            assert_eq!((second(Rate::Requests), second(Rate::Errors)), (1, errors), "{status}");
        }
    }
}
