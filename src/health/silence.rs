//! A backend from which nothing comes: when it is probed, avoided, and when requests that wait for
//! it are sent elsewhere.
//!
//! Each step needs more evidence than the one before, as it costs more. A probe costs nearly
//! nothing, so a short silence is enough. If the probe is late too, new requests go elsewhere.
//! Requests that wait for the backend are repeated only when it is much later than its own
//! responses usually are: while a backend works on one request at a time, it sends nothing either.

use super::latency::{Concurrency, Latency};
use crate::base::time::Instant;
use std::time::Duration;

/// Lowest silence threshold: a shorter silence is not worth a probe.
const THRESHOLD_MIN: Duration = Duration::from_millis(100);
/// A false alarm doubles the threshold, a response lowers it by this part: where silences are usual
/// at most every fifth response costs a probe.
const DECAY_PART: u32 = 8;
/// A probe is late after this many times the slowest of the latest probes,
const LATE_TIMES: u32 = 4;
/// at least after this,
const LATE_MIN: Duration = Duration::from_millis(100);
/// and after this while none has passed yet.
const LATE_UNKNOWN: Duration = Duration::from_secs(1);
/// At this part of it our own idle connections are closed: they may hold the threads that would
/// answer the probe.
const CLOSE_IDLE_PART: u32 = 2;
/// Each faster probe lowers the slowest by this part. One slower probe doubles the wait at most: a
/// server that was stopped once is not slow from then on.
const FORGET_PART: u32 = 8;
const LATE_GROWTH: u32 = 2;

/// A request is repeated elsewhere after this many times the usual time to the first byte,
const REROUTE_TIMES: u32 = 2;
/// at least after this,
const REROUTE_MIN: Duration = Duration::from_secs(1);
/// and this while too little is known of the backend: it may work on one request at a time, and so
/// many of those that wait may be repeated for nothing that they are more than one in a hundred.
const REROUTE_MIN_UNKNOWN: Duration = Duration::from_secs(10);
const RESPONSES_PER_REROUTE: u32 = 100;

/// How far the suspicion has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    None,
    /// A probe is due or under way since then.
    Probing(Instant),
    /// The probe is slow, and idle connections are closed.
    ProbeSlow(Instant),
    /// The probe is late.
    Suspect {
        /// Since then.
        at: Instant,
        /// When requests that wait for it are to be looked at; none while none waits.
        reroute_at: Option<Instant>,
        /// How many were sent elsewhere.
        rerouted: u16,
    },
}

/// What to do about a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Probe at once, on a connection of its own.
    Probe,
    /// Close our idle connections: they may be what the probe waits for.
    CloseIdle,
    /// Send new requests elsewhere.
    Avoid,
    /// Send those waiting requests elsewhere that have waited for long.
    Reroute,
}

/// How long a backend has been silent, and what is usual for it.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// When the last byte came, or the first outstanding request was sent. While it is a suspect:
    /// when the silence began.
    since: Instant,
    /// Requests sent and not yet answered.
    outstanding: u32,
    threshold: Duration,
    /// Duration of the slowest of the latest passed probes; none before the first.
    slowest_probe: Option<Duration>,
    stage: Stage,
    latency: Latency,
    concurrency: Concurrency,
}

impl Default for Silence {
    fn default() -> Silence {
        Silence::new()
    }
}

impl Silence {
    /// Nothing known, nothing outstanding.
    pub fn new() -> Silence {
        Silence {
            since: Instant::START,
            outstanding: 0,
            threshold: THRESHOLD_MIN,
            slowest_probe: None,
            stage: Stage::None,
            latency: Latency::default(),
            concurrency: Concurrency::default(),
        }
    }

    /// A request was sent; whether that may change [`Silence::next`].
    pub fn sent(&mut self, now: Instant) -> bool {
        if self.outstanding == 0 && !self.is_suspect() {
            self.since = now;
        }
        self.outstanding += 1;
        self.concurrency.sent(now);
        if let Stage::Suspect { reroute_at: None, .. } = self.stage {
            self.rerouted(0, Some(now + self.reroute_after()));
        }
        self.outstanding == 1 || self.is_suspect()
    }

    /// A byte came; whether [`Silence::next`] may be due sooner than before. The byte may belong to
    /// the response to a request sent long ago: while the backend is a suspect it proves nothing.
    pub fn heard(&mut self, now: Instant) -> bool {
        match self.stage {
            Stage::None => {
                self.since = now;
                false
            }
            Stage::Probing(_) | Stage::ProbeSlow(_) => {
                self.clear(now);
                true
            }
            Stage::Suspect { .. } => false,
        }
    }

    /// The response to the request sent at `sent` has begun. A suspect is cleared if it was one by
    /// then.
    pub fn answered(&mut self, sent: Instant, now: Instant) {
        self.ended(sent);
        self.latency.record(now.since(sent));
        self.concurrency.answered(sent);
        self.concurrency.ended(sent);
        self.decay();
        if matches!(self.stage, Stage::Suspect { at, .. } if sent >= at) {
            self.clear(now);
        }
    }

    /// The request sent at `sent` ended without a response.
    pub fn abandoned(&mut self, sent: Instant) {
        self.ended(sent);
        self.concurrency.ended(sent);
    }

    fn ended(&mut self, sent: Instant) {
        debug_assert!(self.outstanding > 0, "sent at {sent:?} and counted");
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    fn decay(&mut self) {
        if self.threshold > THRESHOLD_MIN {
            self.threshold = (self.threshold - self.threshold / DECAY_PART).max(THRESHOLD_MIN);
        }
    }

    fn clear(&mut self, now: Instant) {
        self.stage = Stage::None;
        self.since = now;
    }

    /// A probe passed. `interval`, the time between two probes, is the highest useful threshold.
    pub fn probe_passed(&mut self, started: Instant, interval: Duration, now: Instant) {
        let took = now.since(started);
        self.slowest_probe = Some(match self.slowest_probe {
            None => took,
            Some(slowest) => {
                let most = self.late_after() * LATE_GROWTH / LATE_TIMES;
                took.min(most).max(slowest - slowest / FORGET_PART)
            }
        });
        self.concurrency.answered(started);
        match self.stage {
            Stage::None => {}
            Stage::Probing(_) | Stage::ProbeSlow(_) => {
                self.threshold = (self.threshold * 2).min(interval.max(THRESHOLD_MIN));
            }
            // What was given up too early would have taken about as long as the silence.
            Stage::Suspect { rerouted, .. } => {
                let silence = now.since(self.since);
                (0..rerouted).for_each(|_| self.latency.record(silence));
            }
        }
        self.probe_answered(started, now);
    }

    /// A probe was answered, whatever the answer. For a suspect only one proves something that was
    /// sent since the silence began.
    pub fn probe_answered(&mut self, started: Instant, now: Instant) {
        if !self.is_suspect() || started >= self.since {
            self.clear(now);
        }
    }

    /// A probe that started then ended without an answer.
    pub fn probe_hung(&mut self, started: Instant, now: Instant) {
        if !self.is_suspect() && (self.outstanding == 0 || self.since <= started) {
            self.suspect(now);
        }
    }

    /// A probe is due.
    pub fn probe(&mut self, now: Instant) {
        if self.stage == Stage::None {
            self.stage = Stage::Probing(now);
        }
    }

    /// The probe is slow.
    pub fn probe_is_slow(&mut self) {
        if let Stage::Probing(since) = self.stage {
            self.stage = Stage::ProbeSlow(since);
        }
    }

    /// The probe is late.
    pub fn suspect(&mut self, now: Instant) {
        let due = self.since + self.reroute_after();
        let reroute_at = (self.outstanding > 0).then_some(due);
        self.stage = Stage::Suspect { at: now, reroute_at, rerouted: 0 };
    }

    /// Waiting requests were looked at: `count` were sent elsewhere, the next is due at `next`.
    pub fn rerouted(&mut self, count: u16, next: Option<Instant>) {
        if let Stage::Suspect { reroute_at, rerouted, .. } = &mut self.stage {
            *reroute_at = next;
            *rerouted = rerouted.saturating_add(count);
        }
    }

    /// Something was answered on a new connection while an older one was open.
    pub fn served_beside(&mut self) {
        self.concurrency.served_beside();
    }

    /// Whether new requests should go elsewhere.
    pub fn is_suspect(&self) -> bool {
        matches!(self.stage, Stage::Suspect { .. })
    }

    /// Whether false alarms have raised the threshold: the next response lowers it.
    pub fn is_threshold_raised(&self) -> bool {
        self.threshold > THRESHOLD_MIN
    }

    /// Whether it can answer one request while another is outstanding.
    pub fn is_concurrent(&self) -> bool {
        self.concurrency == Concurrency::Seen
    }

    /// Requests sent and not yet answered.
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// When the silence began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// A probe or a connect that makes no progress for this long is late.
    pub fn late_after(&self) -> Duration {
        self.slowest_probe.map_or(LATE_UNKNOWN, |slowest| (slowest * LATE_TIMES).max(LATE_MIN))
    }

    /// A request that waits for a suspect is sent elsewhere after this time.
    pub fn reroute_after(&self) -> Duration {
        let Some(usual) = self.latency.usual() else { return REROUTE_MIN_UNKNOWN };
        let is_rare = self.latency.total() >= RESPONSES_PER_REROUTE * self.outstanding;
        let least = match self.is_concurrent() || is_rare {
            true => REROUTE_MIN,
            false => REROUTE_MIN_UNKNOWN,
        };
        (usual * REROUTE_TIMES).max(least)
    }

    /// The next action if nothing comes, and when. `probe`: when the probe under way last made
    /// progress.
    pub fn next(&self, probe: Option<Instant>) -> Option<(Instant, Action)> {
        let late_after = self.late_after();
        match (self.stage, probe) {
            (Stage::None, _) if self.outstanding > 0 => {
                Some((self.since + self.threshold, Action::Probe))
            }
            // Nothing else shows whether it is there.
            (Stage::None, Some(moved)) => Some((moved + late_after, Action::Avoid)),
            (Stage::Probing(since), Some(moved)) => {
                Some((since.max(moved) + late_after / CLOSE_IDLE_PART, Action::CloseIdle))
            }
            (Stage::ProbeSlow(since), Some(moved)) => {
                Some((since.max(moved) + late_after, Action::Avoid))
            }
            (Stage::None | Stage::Probing(_) | Stage::ProbeSlow(_), None) => None,
            (Stage::Suspect { reroute_at, .. }, _) => reroute_at.map(|due| (due, Action::Reroute)),
        }
    }
}
