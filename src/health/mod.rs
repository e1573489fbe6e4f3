//! Whether a backend is believed to be up: pure, fed with observations. Runs no probe.
//!
//! [`Health`] weighs what probes and clients' requests show of one backend, `silence` what it means
//! when they show nothing; `check` says what a probe sends and how its answer is judged.

mod belief;
pub mod check;
mod event;
pub mod outlier;
mod silence;

pub use belief::{HUNG_WITHIN, Health, Suspicion};
pub use event::{DownReason, Observation, ProbeFault, Proof, Transition};
pub use silence::Action;

use std::time::Duration;

/// What an active probe does (`--health`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// `GET` of the health path; judged by the answer's status.
    Http,
    /// Only connects.
    Tcp,
    /// No probes.
    Off,
}

/// How backends are probed and judged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a probe does.
    pub check: Check,
    /// Request target of the HTTP probe, starting with `/`.
    pub path: String,
    /// The one status that counts as healthy; none: every complete answer below 500.
    pub expect: Option<u16>,
    /// Time between two probes of one backend.
    pub interval: Duration,
    /// Longest time one probe may take.
    pub timeout: Duration,
    /// Probe every backend at least once per this many requests (`-R`).
    pub per_requests: Option<u32>,
    /// Consecutive passed probes that bring a backend up.
    pub rise: u16,
    /// Consecutive failed probes that take a backend down.
    pub fall: u16,
    /// Consecutive answers of 5xx to clients that take a backend out for a while, if any do.
    pub fall_on_5xx: Option<u16>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            check: Check::Http,
            path: String::from("/healthcheck"),
            expect: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            per_requests: None,
            rise: 1,
            fall: 2,
            fall_on_5xx: None,
        }
    }
}

#[cfg(test)]
mod tests;
