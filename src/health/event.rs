//! What is seen of a backend and what follows from it, as values and as words for the event log.

use crate::base::time::Instant;
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

/// What went wrong with a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFault {
    /// It could not connect: refused, unreachable.
    Connect(ErrorKind),
    /// It got no complete answer in time, or not even a connection.
    TimedOut,
    /// It was answered with this status, which does not count as healthy.
    Status(u16),
    /// The answer was malformed or cut off.
    Broken,
}

/// One piece of evidence about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A probe got a healthy answer.
    ProbePassed {
        /// When the probe started.
        started: Instant,
    },
    /// A probe did not.
    ProbeFailed {
        /// When the probe started.
        started: Instant,
        /// What went wrong.
        fault: ProbeFault,
    },
    /// A client's request could not connect.
    ConnectFailed(ErrorKind),
    /// A client's request got no answer, or one that is no HTTP. A pooled connection that closes
    /// unanswered was merely old and is not reported at all.
    Unanswered,
    /// A client's request was answered.
    Served {
        /// When the request was sent to the backend.
        sent: Instant,
    },
    /// Nothing came of it for too long, or a connect takes too long: it is to be probed.
    Doubtful,
    /// Nothing has come since, not even the answer to the probe.
    Silent,
    /// A byte came.
    Heard,
    /// A client's request was answered with an [`super::outlier::is_error`].
    Erred {
        /// When the request was sent to the backend.
        sent: Instant,
        /// No other backend is up: better one that errs than none.
        alone: bool,
    },
    /// With probes off nothing else would bring a backend back: the time of
    /// [`super::Health::next_probe_in`] has passed since it went down.
    TrialDue,
}

/// Why a backend went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// A client's request could not connect.
    ConnectFailed(ErrorKind),
    /// So many requests in a row were not answered.
    Unanswered(u16),
    /// Nothing came of it for so long, nor the answer to a probe.
    Silent(Duration),
    /// So many answers in a row were errors.
    Erred {
        /// How many.
        times: u16,
        /// How long it is taken out at least.
        hold: Duration,
    },
    /// Its probes failed, the last in this way.
    Probe {
        /// What went wrong.
        fault: ProbeFault,
        /// The longest a probe may take.
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
    /// It is not silent any more.
    Heard,
    /// None: with probes off it is simply tried again.
    Trial,
}

/// A change of belief; `Display` gives the words for the event line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Believed up from now on.
    Up(Proof),
    /// Believed down from now on.
    Down(DownReason),
}

impl Transition {
    /// Down because it does not answer probes: what waits for it may wait in vain.
    pub fn is_hang(&self) -> bool {
        let Transition::Down(cause) = self else { return false };
        matches!(
            cause,
            DownReason::Silent(_) | DownReason::Probe { fault: ProbeFault::TimedOut, .. }
        )
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transition::Up(Proof::Probe) => out.write_str("up: health check passed"),
            Transition::Up(Proof::Request) => out.write_str("up: answered a request"),
            Transition::Up(Proof::Heard) => out.write_str("up: answers again"),
            Transition::Up(Proof::Trial) => out.write_str("up: on trial, health checks are off"),
            Transition::Down(cause) => write!(out, "down: {cause}"),
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownReason::ConnectFailed(ErrorKind::TimedOut) => out.write_str("connecting timed out"),
            DownReason::ConnectFailed(kind) => write!(out, "{kind}"),
            DownReason::Unanswered(1) => out.write_str("gave no valid answer"),
            DownReason::Unanswered(times) => write!(out, "gave no valid answer {times} times"),
            DownReason::Silent(lasts) => {
                let ms = lasts.as_millis();
                write!(out, "silent for {ms}ms, to requests and a health check")
            }
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

impl fmt::Display for ProbeFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeFault::Connect(kind) => write!(out, "health check could not connect: {kind}"),
            ProbeFault::TimedOut => out.write_str("health check timed out"),
            ProbeFault::Status(status) => write!(out, "health check answered {status}"),
            ProbeFault::Broken => out.write_str("health check got a broken answer"),
        }
    }
}
