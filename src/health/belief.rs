//! The health of one backend, and which evidence changes it.
//!
//! Probes decide, by thresholds. Failed requests of clients can take a backend down too. That is
//! safe because it is cheap to undo: the next probe runs soon, the backend is tried first when no
//! other is up, and a response to a client brings it up again. A response does not outweigh a probe
//! that reached the server and got a bad answer or none: the operator chose what probes ask for,
//! and another page that works says nothing about it.
//!
//! [`Silence`] is separate: requests do not wait for a backend that sends nothing at all.

use super::event::{DownReason, Observation, ProbeFault, Proof, Transition};
use super::outlier::Outlier;
use super::silence::{Action, Silence};
use super::{Check, Settings};
use crate::base::time::Instant;
use std::io::ErrorKind;
use std::time::Duration;

/// A backend whose probes hang goes down this long after the first of them started, even if `fall`
/// is not reached; or after one probe, if the probe time-out is longer.
pub const HUNG_WITHIN: Duration = Duration::from_secs(5);
/// A backend that failed a probe but is still up is probed again this soon.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// A backend that is down is probed this often, so that a long interval does not delay its return.
const DOWN_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// After so many passed probes in a row.
    Down {
        passes: u16,
    },
}

/// Order in which down backends are tried when no other is left: the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suspicion {
    kind: Kind,
    /// Among equals the one that failed longest ago.
    failed_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// It sent nothing for too long; no request and no probe has failed.
    Silent,
    /// Only clients' requests failed; its last probe, if there was one, passed.
    Clients,
    /// Its last probe could not connect: it will fail fast if it still cannot.
    Connect,
}

/// Up or down, with the evidence for it.
#[derive(Clone, Debug)]
pub struct Health {
    state: State,
    /// The latest probe's fault; none if it passed or there was none.
    fault: Option<ProbeFault>,
    /// Failed probes in a row.
    probes_failed: u16,
    /// Start of the first probe that timed out in this row.
    hung_since: Option<Instant>,
    /// Requests of clients without an answer in a row.
    unanswered: u16,
    /// The latest failure of any kind: evidence from before it does not bring the backend up. In
    /// the future for a backend that was ejected because of 5xx responses: the end of the ejection.
    failed_at: Instant,
    silence: Silence,
    outlier: Outlier,
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

impl Health {
    /// Up: a new backend is trusted at once and probed at once.
    pub fn new() -> Health {
        Health {
            state: State::Up,
            fault: None,
            probes_failed: 0,
            hung_since: None,
            unanswered: 0,
            failed_at: Instant::START,
            silence: Silence::new(),
            outlier: Outlier::default(),
        }
    }

    /// Whether it takes requests.
    pub fn is_up(&self) -> bool {
        self.state == State::Up && !self.silence.is_stuck()
    }

    /// Whether requests in flight with it may never be answered.
    pub fn hangs(&self) -> bool {
        let probes_hang = self.state != State::Up && self.fault == Some(ProbeFault::TimedOut);
        probes_hang || self.silence.is_stuck()
    }

    /// The first request is in flight with it.
    pub fn owes(&mut self, now: Instant) {
        self.silence.begins(now);
    }

    /// A byte came from it; whether [`Observation::Heard`] would change anything.
    pub fn heard(&mut self, now: Instant) -> bool {
        self.silence.broken(now)
    }

    /// A probe or a connect that makes no progress for this long is late.
    pub fn late_after(&self) -> Duration {
        self.silence.late_after()
    }

    /// The next action if it sends nothing, and when; see [`Silence::next`].
    pub fn silence_next(&self, owes: bool, probe: Option<Instant>) -> Option<(Instant, Action)> {
        let up = self.state == State::Up;
        up.then(|| self.silence.next(owes, probe)).flatten()
    }

    /// Applies one observation made at `now`; returns the change of state, if any.
    pub fn observe(
        &mut self,
        observation: Observation,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        let was_up = self.is_up();
        let transition = self.apply(observation, settings, now);
        match (was_up, self.is_up()) {
            (true, false) => transition,
            // Only the silence has ended.
            (false, true) => transition.or(Some(Transition::Up(Proof::Heard))),
            (true, true) | (false, false) => None,
        }
    }

    fn apply(
        &mut self,
        observation: Observation,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        match observation {
            Observation::ProbePassed { started } => {
                self.silence.probed(now.since(started), settings.interval, now);
                self.probe_passed(started, settings)
            }
            Observation::ProbeFailed { started, fault } => {
                if fault != ProbeFault::TimedOut {
                    self.silence.broken(now);
                    self.silence.decay();
                }
                self.probe_failed(started, fault, settings, now)
            }
            Observation::Doubtful => {
                self.silence.suspect(now);
                None
            }
            Observation::Silent => {
                self.silence.give_up();
                Some(Transition::Down(DownReason::Silent(self.silence.lasts(now))))
            }
            Observation::Heard => {
                self.silence.decay();
                None
            }
            Observation::ConnectFailed(kind) => self.connect_failed(kind, now),
            Observation::Unanswered => self.went_unanswered(settings, now),
            Observation::Served { sent } => {
                self.outlier.answered();
                self.served(sent)
            }
            Observation::Erred { sent, alone } => self.erred(sent, alone, settings, now),
            Observation::TrialDue => match self.state {
                State::Up => None,
                State::Down { .. } if now < self.failed_at => None,
                State::Down { .. } => self.rise(Proof::Trial),
            },
        }
    }

    fn probe_passed(&mut self, started: Instant, settings: &Settings) -> Option<Transition> {
        self.fault = None;
        self.probes_failed = 0;
        self.hung_since = None;
        match self.state {
            State::Up => None,
            // Evidence from before the failure.
            State::Down { .. } if started < self.failed_at => None,
            State::Down { passes } if passes.saturating_add(1) >= settings.rise => {
                self.rise(Proof::Probe)
            }
            State::Down { passes } => {
                self.state = State::Down { passes: passes + 1 };
                None
            }
        }
    }

    fn probe_failed(
        &mut self,
        started: Instant,
        fault: ProbeFault,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        self.failed_at = self.failed_at.max(now);
        self.fault = Some(fault);
        self.probes_failed = self.probes_failed.saturating_add(1);
        if fault == ProbeFault::TimedOut {
            self.hung_since.get_or_insert(started);
        }
        if self.probes_failed >= settings.fall || self.hangs_too_long(settings, now) {
            return self.fall(DownReason::Probe { fault, timeout: settings.timeout });
        }
        if self.state != State::Up {
            self.state = State::Down { passes: 0 };
        }
        None
    }

    /// Whether one more probe that hangs would end after [`HUNG_WITHIN`].
    fn hangs_too_long(&self, settings: &Settings, now: Instant) -> bool {
        let latest_start = now + retry_interval(settings) / 10 * 11;
        let limit = HUNG_WITHIN.max(settings.timeout);
        self.hung_since.is_some_and(|since| latest_start + settings.timeout > since + limit)
    }

    fn connect_failed(&mut self, kind: ErrorKind, now: Instant) -> Option<Transition> {
        self.failed_at = self.failed_at.max(now);
        self.fall(DownReason::ConnectFailed(kind))
    }

    fn went_unanswered(&mut self, settings: &Settings, now: Instant) -> Option<Transition> {
        self.failed_at = self.failed_at.max(now);
        self.unanswered = self.unanswered.saturating_add(1);
        match self.unanswered >= settings.fall {
            true => self.fall(DownReason::Unanswered(self.unanswered)),
            false => None,
        }
    }

    fn served(&mut self, sent: Instant) -> Option<Transition> {
        self.unanswered = 0;
        // A server that stops refuses connections while it finishes its requests: these responses
        // are to requests from before the failure and do not show that it is up.
        let is_newer = sent >= self.failed_at;
        match (self.state, self.fault) {
            (State::Up, _) => None,
            (State::Down { .. }, None | Some(ProbeFault::Connect(_))) if is_newer => {
                self.rise(Proof::Request)
            }
            (State::Down { .. }, _) => None,
        }
    }

    /// A 5xx response is a response like any other until there are too many in a row.
    fn erred(
        &mut self,
        sent: Instant,
        alone: bool,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        let counted = if self.is_up() { self.outlier.erred(settings.fall_on_5xx) } else { None };
        match counted {
            Some(times) if !alone => {
                let hold = self.outlier.eject(settings.interval);
                self.failed_at = now + hold;
                self.fall(DownReason::Erred { times, hold })
            }
            Some(_) | None => self.served(sent),
        }
    }

    fn rise(&mut self, proof: Proof) -> Option<Transition> {
        self.silence.decay();
        *self = Health {
            failed_at: self.failed_at,
            silence: self.silence,
            outlier: self.outlier,
            ..Health::new()
        };
        Some(Transition::Up(proof))
    }

    fn fall(&mut self, reason: DownReason) -> Option<Transition> {
        self.state = State::Down { passes: 0 };
        Some(Transition::Down(reason))
    }

    /// Its place among the down backends to try when no backend is up. None if it is up, and if its
    /// last probe hung (a request would hang too) or got a bad answer.
    pub fn last_resort(&self) -> Option<Suspicion> {
        let kind = match (self.state, self.fault) {
            (State::Up, _) if self.silence.is_stuck() => {
                return Some(Suspicion { kind: Kind::Silent, failed_at: self.silence.since() });
            }
            (State::Up, _) => return None,
            (State::Down { .. }, None) => Kind::Clients,
            (State::Down { .. }, Some(ProbeFault::Connect(_))) => Kind::Connect,
            (State::Down { .. }, Some(ProbeFault::TimedOut | ProbeFault::Broken)) => return None,
            (State::Down { .. }, Some(ProbeFault::Status(_))) => return None,
        };
        Some(Suspicion { kind, failed_at: self.failed_at })
    }

    /// Time from the end of one probe to the start of the next, before [`super::check::jitter`].
    /// With probes off and the backend down: time until [`Observation::TrialDue`].
    pub fn next_probe_in(&self, settings: &Settings) -> Duration {
        match self.state {
            // A trial may cost a client's request a retry, a probe does not.
            State::Down { .. } if settings.check == Check::Off => settings.interval,
            State::Down { .. } => settings.interval.min(DOWN_INTERVAL),
            State::Up if self.probes_failed > 0 => retry_interval(settings),
            State::Up => settings.interval,
        }
    }
}

fn retry_interval(settings: &Settings) -> Duration {
    settings.interval.min(RETRY_INTERVAL)
}
