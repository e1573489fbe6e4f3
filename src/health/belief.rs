//! The health of one backend, and which evidence changes it.
//!
//! Probes decide, by thresholds. Failed requests of clients can take a backend down too. That is
//! safe because it is cheap to undo: the next probe runs soon, the backend is tried first when no
//! other is up, and a response to a client brings it up again. A response does not outweigh a probe
//! that got a bad answer: the operator chose what probes ask for, and another page that works says
//! nothing about it.
//!
//! The last backend stays up while it accepts connections and gives no bad answer to a probe: when
//! it does not answer it may be busy, and requests can only gain by waiting.
//!
//! [`Silence`] is separate: a suspect is up, but avoided while another backend is no suspect.

use super::event::{DownReason, Observation, Others, Page, ProbeFault, Proof, Transition};
use super::outlier::Outlier;
use super::settings::{Check, Pace, Settings};
use super::silence::{Action, Silence};
use crate::base::connect_fault::ConnectFault;
use crate::base::time::Instant;
use std::net::IpAddr;
use std::time::Duration;

/// A backend whose probes hang goes down this long after the first of them started, even if `fall`
/// is not reached; or after one probe, if the probe time-out is longer.
pub const HUNG_WITHIN: Duration = Duration::from_secs(5);
/// A backend that failed a probe but is still up, or is a suspect, is probed again this soon.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// A backend without the default health check is probed when it has sent nothing for this long.
const QUIET_INTERVAL: Duration = Duration::from_secs(10);
/// A backend that is down is probed this often, so that a long interval does not delay its return.
const DOWN_INTERVAL: Duration = Duration::from_secs(1);

/// Whether requests go to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As the policy decides.
    Up,
    /// It is up, but its answers are late: only used when no other backend is `Up`.
    Suspect,
    /// Only used as the last resort.
    Down,
}

/// What the event log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Up,
    /// After so many passed probes in a row.
    Down {
        passes: u16,
    },
}

/// Order in which down backends are tried when no other is left: the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastResort {
    kind: Kind,
    /// Among equals the one that failed longest ago.
    failed_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Only clients' requests failed; its last probe, if there was one, passed.
    Clients,
    /// Its last probe connected, but got no answer: it may be busy.
    Hung,
    /// Its last probe could not connect: it will fail fast if it still cannot.
    Connect,
}

/// Up or down, with the evidence for it.
#[derive(Clone, Debug)]
pub struct Health {
    reported: Reported,
    /// The latest probe's fault; none if it passed or there was none.
    fault: Option<ProbeFault>,
    /// What the latest passed probe found.
    page: Page,
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
            reported: Reported::Up,
            fault: None,
            page: Page::Found,
            probes_failed: 0,
            hung_since: None,
            unanswered: 0,
            failed_at: Instant::START,
            silence: Silence::new(),
            outlier: Outlier::default(),
        }
    }

    /// Whether requests go to it.
    pub fn state(&self) -> State {
        match self.reported {
            Reported::Up if self.silence.is_suspect() => State::Suspect,
            Reported::Up => State::Up,
            Reported::Down { .. } => State::Down,
        }
    }

    /// What is known about its silences and response times.
    pub fn silence(&self) -> &Silence {
        &self.silence
    }

    /// The same, to tell it about requests.
    pub fn silence_mut(&mut self) -> &mut Silence {
        &mut self.silence
    }

    /// The next action if it sends nothing, and when; see [`Silence::next`]. A backend that is down
    /// is probed on its schedule and avoided already.
    pub fn silence_next(&self, probe: Option<Instant>) -> Option<(Instant, Action)> {
        self.silence.next(probe).filter(|(_, action)| match action {
            Action::Probe | Action::CloseIdle | Action::Avoid => self.reported == Reported::Up,
            Action::Reroute => true,
        })
    }

    /// The response to a request that was sent at `sent` has begun; whether that clears a suspect
    /// ([`Transition::Cleared`]).
    #[inline]
    pub fn answered(&mut self, sent: Instant, now: Instant) -> bool {
        let was_suspect = self.state() == State::Suspect;
        self.silence.answered(sent, now);
        was_suspect && self.state() == State::Up
    }

    /// The usual [`Observation::Served`]: of a backend that is up, whose state it does not change.
    /// False if it is not up, and nothing was done.
    #[inline]
    pub fn served_while_up(&mut self) -> bool {
        let is_up = self.reported == Reported::Up;
        if is_up {
            self.outlier.answered();
            self.unanswered = 0;
        }
        is_up
    }

    /// Applies one observation made at `now`; returns the change of state, if any.
    pub fn observe(
        &mut self,
        observation: Observation,
        others: Others,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        let before = self.state();
        let transition = self.apply(observation, others, settings, now);
        match (before, self.state()) {
            (State::Up, State::Suspect) => Some(Transition::Suspected),
            (State::Suspect, State::Up) => Some(Transition::Cleared),
            (before, after) if before == after => None,
            (State::Up | State::Suspect | State::Down, _) => transition,
        }
    }

    fn apply(
        &mut self,
        observation: Observation,
        others: Others,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        match observation {
            Observation::ProbePassed { started, page } => {
                self.page = page;
                self.silence.probe_passed(started, settings.interval, now);
                self.probe_passed(started, settings)
            }
            Observation::ProbeFailed { started, fault } => {
                match fault {
                    fault if fault.is_hang() => self.silence.probe_hung(started, now),
                    ProbeFault::Status(_)
                    | ProbeFault::Broken
                    | ProbeFault::Unexpected
                    | ProbeFault::TooLong => {
                        self.silence.probe_answered(started, now);
                    }
                    // Neither silent nor there.
                    ProbeFault::Connect(_) | ProbeFault::TimedOut => {}
                }
                self.probe_failed(started, fault, others, settings, now)
            }
            Observation::Late => {
                self.silence.probe(now);
                None
            }
            Observation::ProbeSlow => {
                self.silence.probe_is_slow();
                None
            }
            Observation::ProbeLate => {
                self.silence.suspect(now);
                None
            }
            Observation::ConnectFailed(fault) => self.connect_failed(fault, now),
            Observation::Unanswered => self.went_unanswered(others, settings, now),
            Observation::Served { sent } => {
                self.outlier.answered();
                self.served(sent)
            }
            Observation::Erred { sent, client } => self.erred(sent, client, others, settings, now),
            Observation::TrialDue => match self.reported {
                Reported::Up => None,
                Reported::Down { .. } if now < self.failed_at => None,
                Reported::Down { .. } => self.rise(Proof::Trial),
            },
        }
    }

    fn probe_passed(&mut self, started: Instant, settings: &Settings) -> Option<Transition> {
        self.fault = None;
        self.probes_failed = 0;
        self.hung_since = None;
        match self.reported {
            Reported::Up => None,
            // Evidence from before the failure.
            Reported::Down { .. } if started < self.failed_at => None,
            Reported::Down { passes } if passes.saturating_add(1) >= settings.rise => {
                self.rise(Proof::Probe)
            }
            Reported::Down { passes } => {
                self.reported = Reported::Down { passes: passes + 1 };
                None
            }
        }
    }

    fn probe_failed(
        &mut self,
        started: Instant,
        fault: ProbeFault,
        others: Others,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        self.failed_at = self.failed_at.max(now);
        self.fault = Some(fault);
        self.probes_failed = self.probes_failed.saturating_add(1);
        if fault.is_hang() {
            self.hung_since.get_or_insert(started);
        }
        let is_busy_and_last = fault == ProbeFault::TimedOut && others == Others::NoneUp;
        match self.reported {
            Reported::Up if is_busy_and_last => None,
            Reported::Up if self.has_failed(settings, now) => {
                self.fall(DownReason::Probe { fault, timeout: settings.timeout })
            }
            Reported::Up => None,
            Reported::Down { .. } => {
                self.reported = Reported::Down { passes: 0 };
                None
            }
        }
    }

    /// Whether enough probes failed, or one more that hangs would end after [`HUNG_WITHIN`].
    fn has_failed(&self, settings: &Settings, now: Instant) -> bool {
        let latest_start = now + retry_interval(settings) / 10 * 11;
        let limit = HUNG_WITHIN.max(settings.timeout);
        let ends_too_late = |since| latest_start + settings.timeout > since + limit;
        self.probes_failed >= settings.fall || self.hung_since.is_some_and(ends_too_late)
    }

    fn connect_failed(&mut self, fault: ConnectFault, now: Instant) -> Option<Transition> {
        self.failed_at = self.failed_at.max(now);
        self.fall(DownReason::ConnectFailed(fault))
    }

    fn went_unanswered(
        &mut self,
        others: Others,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        self.failed_at = self.failed_at.max(now);
        self.unanswered = self.unanswered.saturating_add(1);
        match others {
            Others::SomeUp if self.unanswered >= settings.fall => {
                self.fall(DownReason::Unanswered(self.unanswered))
            }
            Others::SomeUp | Others::NoneUp => None,
        }
    }

    fn served(&mut self, sent: Instant) -> Option<Transition> {
        self.unanswered = 0;
        // A server that stops refuses connections while it finishes its requests: these responses
        // are to requests from before the failure and do not show that it is up.
        let is_newer = sent >= self.failed_at;
        match (self.reported, self.fault) {
            (Reported::Up, _) => None,
            (
                Reported::Down { .. },
                Some(
                    ProbeFault::Status(_)
                    | ProbeFault::Broken
                    | ProbeFault::Unexpected
                    | ProbeFault::TooLong,
                ),
            ) => None,
            (Reported::Down { .. }, None | Some(ProbeFault::Connect(_) | ProbeFault::TimedOut)) => {
                is_newer.then(|| self.rise(Proof::Request)).flatten()
            }
        }
    }

    /// A 5xx response is a response like any other until there are too many in a row.
    fn erred(
        &mut self,
        sent: Instant,
        client: IpAddr,
        others: Others,
        settings: &Settings,
        now: Instant,
    ) -> Option<Transition> {
        let too_many = match self.reported {
            Reported::Up => self.outlier.erred(client, settings.fall_on_5xx),
            Reported::Down { .. } => None,
        };
        match (too_many, others) {
            (Some(times), Others::SomeUp) => {
                let hold = self.outlier.eject(settings.interval);
                self.failed_at = now + hold;
                self.fall(DownReason::Erred { times, hold })
            }
            (Some(_), Others::NoneUp) | (None, _) => self.served(sent),
        }
    }

    fn rise(&mut self, proof: Proof) -> Option<Transition> {
        *self = Health {
            failed_at: self.failed_at,
            page: self.page,
            silence: self.silence,
            outlier: self.outlier,
            ..Health::new()
        };
        Some(Transition::Up(proof))
    }

    fn fall(&mut self, reason: DownReason) -> Option<Transition> {
        self.reported = Reported::Down { passes: 0 };
        Some(Transition::Down(reason))
    }

    /// Its place among the down backends to try when no backend is up. None if it is up, and if its
    /// last probe got a bad answer, or nothing but silence: the request would as well.
    pub fn last_resort(&self) -> Option<LastResort> {
        let kind = match (self.reported, self.fault) {
            (Reported::Up, _) => return None,
            (Reported::Down { .. }, None) => Kind::Clients,
            (Reported::Down { .. }, Some(ProbeFault::TimedOut)) => Kind::Hung,
            (Reported::Down { .. }, Some(ProbeFault::Connect(fault))) => match fault.is_timeout() {
                true => return None,
                false => Kind::Connect,
            },
            (
                Reported::Down { .. },
                Some(
                    ProbeFault::Broken
                    | ProbeFault::Unexpected
                    | ProbeFault::TooLong
                    | ProbeFault::Status(_),
                ),
            ) => return None,
        };
        Some(LastResort { kind, failed_at: self.failed_at })
    }

    /// Time from the end of one probe to the start of the next, before [`super::check::jitter`].
    /// With probes off and the backend down: time until [`Observation::TrialDue`].
    pub fn next_probe_in(&self, settings: &Settings) -> Duration {
        match self.reported {
            // A trial may cost a client's request a retry, a probe does not.
            Reported::Down { .. } if settings.check == Check::Off => settings.interval,
            Reported::Down { .. } => settings.interval.min(DOWN_INTERVAL),
            // The last one, which stays up: further probes would wait behind its work as well.
            Reported::Up if self.probes_failed > settings.fall => settings.interval,
            Reported::Up if self.probes_failed > 0 || self.silence.is_suspect() => {
                retry_interval(settings)
            }
            Reported::Up if self.has_no_check(settings) => QUIET_INTERVAL.max(settings.interval),
            Reported::Up => settings.interval,
        }
    }

    /// Until when a probe that is due is put off: a response is as good as a probe that finds no
    /// health check.
    pub fn probe_put_off(&self, settings: &Settings) -> Option<Instant> {
        let is_quiet = self.state() == State::Up && self.probes_failed == 0;
        let put_off = is_quiet && self.has_no_check(settings);
        put_off.then(|| self.silence.since() + QUIET_INTERVAL)
    }

    fn has_no_check(&self, settings: &Settings) -> bool {
        settings.pace == Pace::Default && self.page == Page::Missing
    }
}

fn retry_interval(settings: &Settings) -> Duration {
    settings.interval.min(RETRY_INTERVAL)
}
