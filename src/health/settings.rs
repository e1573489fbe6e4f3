//! How backends are probed and judged: what the user can set.

use super::dialogue::Dialogue;
use std::time::Duration;

/// What an active probe does (`--health`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A request for the health path; the status decides.
    Http,
    /// Only connects.
    Tcp,
    /// No probes.
    Off,
}

/// The method of an HTTP probe (`--health-method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    /// Without content, so without a load report.
    Head,
    Options,
}

impl Method {
    /// As in a request line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
        }
    }
}

/// Whether the operator said how to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Yes: that is kept to the letter.
    Configured,
    /// No: a backend without the default health check is probed only when nothing else shows that
    /// it is there.
    Default,
}

/// How backends are probed, and when they go down and up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a probe does.
    pub check: Check,
    /// Request target of the HTTP probe, starting with `/`.
    pub path: String,
    /// `Host` field of the HTTP probe; none: the backend as it is written.
    pub host: Option<String>,
    /// Method of the HTTP probe.
    pub method: Method,
    /// The only healthy status; none: every complete answer below 500.
    pub expect: Option<u16>,
    /// What a probe that only connects says and waits for; none: nothing.
    pub dialogue: Option<Dialogue>,
    /// Time between two probes of one backend.
    pub interval: Duration,
    /// Whether that was chosen.
    pub pace: Pace,
    /// Time-out of one probe, connect included.
    pub timeout: Duration,
    /// Probe every backend at least once per this many requests (`-R`).
    pub per_requests: Option<u32>,
    /// Consecutive passed probes that bring a backend up.
    pub rise: u16,
    /// Consecutive failed probes that take a backend down.
    pub fall: u16,
    /// Consecutive 5xx responses to clients that eject a backend for a while; none: never.
    pub fall_on_5xx: Option<u16>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            check: Check::Http,
            path: String::from("/healthcheck"),
            host: None,
            method: Method::Get,
            expect: None,
            dialogue: None,
            interval: Duration::from_secs(2),
            pace: Pace::Configured,
            timeout: Duration::from_secs(2),
            per_requests: None,
            rise: 1,
            fall: 2,
            fall_on_5xx: None,
        }
    }
}
