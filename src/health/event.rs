//! Observations of a backend and the changes that follow, as values and as text for the event log.

use crate::base::connect_fault::ConnectFault;
use crate::base::time::Instant;
use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFault {
    /// The connect failed: refused, unreachable, timed out, the TLS handshake.
    Connect(ConnectFault),
    /// Connected, but no complete answer within the time-out.
    TimedOut,
    /// The answer had this status, which is not healthy.
    Status(u16),
    /// The answer was malformed or incomplete.
    Broken,
    /// The text that was expected is not in it.
    Unexpected,
    /// The answer had more bytes or interim responses than a health check needs.
    TooLong,
}

/// What a healthy answer was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The health check, or the connect was all that was asked for.
    Found,
    /// There is no health check: 404.
    Missing,
}

/// One piece of evidence about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A probe was answered as it should be.
    ProbePassed {
        /// When the probe started.
        started: Instant,
        /// What the answer was about.
        page: Page,
    },
    /// A probe was not.
    ProbeFailed {
        /// When the probe started.
        started: Instant,
        /// Why it failed.
        fault: ProbeFault,
    },
    /// The connect for a client's request failed.
    ConnectFailed(ConnectFault),
    /// A client's request got no answer, or one that is not HTTP. A pooled connection that closes
    /// without an answer is not reported: servers close idle connections.
    Unanswered,
    /// A client's request was answered.
    Served {
        /// When the request was sent to the backend.
        sent: Instant,
    },
    /// It sent nothing for too long, or a connect takes too long: it will be probed.
    Late,
    /// The probe takes longer than usual: idle connections to the backend were closed.
    ProbeSlow,
    /// The probe takes much longer than usual.
    ProbeLate,
    /// A client's request was answered with a status for which [`super::outlier::is_error`] holds.
    Erred {
        /// When the request was sent to the backend.
        sent: Instant,
        /// The client it went to.
        client: IpAddr,
    },
    /// [`super::Health::next_probe_in`] has passed since it went down. With probes off only this
    /// brings a backend back.
    TrialDue,
}

/// Whether requests can go to another backend: the last one stays up as long as it can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Another one is up and no suspect.
    SomeUp,
    /// None is.
    NoneUp,
}

/// Why a backend went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The connect for a client's request failed.
    ConnectFailed(ConnectFault),
    /// This many requests in a row were not answered.
    Unanswered(u16),
    /// This many responses in a row were errors.
    Erred {
        /// How many.
        times: u16,
        /// How long it stays out at least.
        hold: Duration,
    },
    /// Its probes failed.
    Probe {
        /// Why the last one failed.
        fault: ProbeFault,
        /// The probe time-out.
        timeout: Duration,
    },
}

/// Why a backend came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its probes passed.
    Probe,
    /// It answered a client's request.
    Request,
    /// None: with probes off it is tried again.
    Trial,
}

/// A change of state; `Display` gives the text for the event line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Up from now on.
    Up(Proof),
    /// Down from now on.
    Down(DownReason),
    /// Avoided from now on.
    Suspected,
    /// Used like the others from now on.
    Cleared,
}

impl Transition {
    /// Whether the event log reports it. A busy server is a suspect with each slow page.
    pub fn is_reported(&self) -> bool {
        match self {
            Transition::Up(_) | Transition::Down(_) => true,
            Transition::Suspected | Transition::Cleared => false,
        }
    }
}

impl DownReason {
    /// A TLS handshake failed.
    pub fn is_handshake(&self) -> bool {
        match self {
            DownReason::ConnectFailed(fault) => fault.is_handshake(),
            DownReason::Probe { fault, timeout: _ } => fault.is_handshake(),
            DownReason::Unanswered(_) | DownReason::Erred { .. } => false,
        }
    }
}

/// Why a backend is down, in the `words` of the TLS handshake where one has failed.
#[derive(Clone, Copy, Debug)]
pub struct InWords<'a, T> {
    pub what: &'a T,
    pub words: Option<&'a str>,
}

impl ProbeFault {
    /// A TLS handshake failed.
    pub fn is_handshake(self) -> bool {
        match self {
            ProbeFault::Connect(fault) => fault.is_handshake(),
            ProbeFault::TimedOut
            | ProbeFault::Status(_)
            | ProbeFault::Broken
            | ProbeFault::Unexpected
            | ProbeFault::TooLong => false,
        }
    }

    /// Whether nothing came back, so that requests in flight may never be answered.
    pub fn is_hang(self) -> bool {
        match self {
            ProbeFault::TimedOut => true,
            ProbeFault::Connect(fault) => fault.is_timeout(),
            ProbeFault::Status(_) | ProbeFault::Unexpected => false,
            ProbeFault::Broken | ProbeFault::TooLong => false,
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transition::Up(Proof::Probe) => out.write_str("up: health check passed"),
            Transition::Up(Proof::Request) => out.write_str("up: answered a request"),
            Transition::Up(Proof::Trial) => out.write_str("up: on trial, health checks are off"),
            Transition::Down(reason) => write!(out, "down: {reason}"),
            Transition::Suspected => out.write_str("slow to answer: others are preferred"),
            Transition::Cleared => out.write_str("answers as usual"),
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownReason::ConnectFailed(ConnectFault::System(ErrorKind::TimedOut)) => {
                out.write_str("connecting timed out")
            }
            DownReason::ConnectFailed(fault) => write!(out, "{fault}"),
            DownReason::Unanswered(1) => out.write_str("gave no valid answer"),
            DownReason::Unanswered(times) => write!(out, "gave no valid answer {times} times"),
            DownReason::Erred { times: 1, hold } => write!(out, "answered 5xx; out for {hold:?}"),
            DownReason::Erred { times, hold } => {
                write!(out, "answered 5xx {times} times in a row; out for {hold:?}")
            }
            DownReason::Probe { fault: ProbeFault::TimedOut, timeout } => {
                write!(out, "health check timed out after {timeout:?}")
            }
            DownReason::Probe { fault, timeout: _ } => write!(out, "{fault}"),
        }
    }
}

impl fmt::Display for InWords<'_, ProbeFault> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words.filter(|_| self.what.is_handshake()) {
            Some(words) => write!(out, "health check could not connect: {words}"),
            None => self.what.fmt(out),
        }
    }
}

impl fmt::Display for InWords<'_, DownReason> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InWords { what, words } = self;
        match (what, words) {
            (DownReason::ConnectFailed(fault), Some(words)) if fault.is_handshake() => {
                out.write_str(words)
            }
            (DownReason::Probe { fault, timeout: _ }, words) if fault.is_handshake() => {
                InWords { what: fault, words: *words }.fmt(out)
            }
            (what, _) => what.fmt(out),
        }
    }
}

impl fmt::Display for InWords<'_, Transition> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Transition::Down(what) => write!(out, "down: {}", InWords { what, words: self.words }),
            Transition::Up(_) | Transition::Suspected | Transition::Cleared => self.what.fmt(out),
        }
    }
}

impl fmt::Display for ProbeFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeFault::Connect(fault) => write!(out, "health check could not connect: {fault}"),
            ProbeFault::TimedOut => out.write_str("health check timed out"),
            ProbeFault::Status(status) => write!(out, "health check answered {status}"),
            ProbeFault::Broken => out.write_str("health check got a broken answer"),
            ProbeFault::Unexpected => {
                out.write_str("health check got another answer than expected")
            }
            ProbeFault::TooLong => {
                out.write_str("health check answer exceeds 64 KiB or 16 interim responses")
            }
        }
    }
}
