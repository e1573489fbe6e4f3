//! What `/metrics` and `/status` show at one moment, as values.

use super::counters::{BackendCounters, Counters};
use super::recent::Quantiles;
use crate::base::address::Address;
use crate::wire::by_hand::ByHand;
use std::fmt;
use std::time::Duration;

/// How far the program is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Running,
    /// About to stop: it serves on, so that balancers in front notice (`--lame-duck`).
    LameDuck,
    /// Stopping: what is in flight ends.
    Draining,
}

impl Stage {
    /// The word in `/status`.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Running => "running",
            Stage::LameDuck => "lame_duck",
            Stage::Draining => "draining",
        }
    }
}

/// Whether requests go to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    Up,
    /// Up, but late to answer: others are preferred.
    Slow,
    Down,
    /// Taken out of rotation or removed: it finishes its requests and gets no new one.
    Drain,
    /// Set to down by the operator: it is not probed either.
    Disabled,
}

impl BackendState {
    /// All of them, in the order of [`Program::backends`].
    pub const ALL: [BackendState; 5] = [
        BackendState::Up,
        BackendState::Slow,
        BackendState::Down,
        BackendState::Drain,
        BackendState::Disabled,
    ];

    /// The word in `/status`, and the value of the label `state`.
    pub fn name(self) -> &'static str {
        match self {
            BackendState::Up => "up",
            BackendState::Slow => "slow",
            BackendState::Down => "down",
            BackendState::Drain => "drain",
            BackendState::Disabled => "disabled",
        }
    }

    /// Whether it can take requests.
    pub fn is_up(self) -> bool {
        matches!(self, BackendState::Up | BackendState::Slow)
    }
}

/// Why a backend is down, as a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownKind {
    /// Requests could not connect.
    Connect,
    /// Requests failed in the TLS handshake.
    Tls,
    /// Requests got no valid response.
    Unanswered,
    /// Too many responses 5xx in a row.
    Errors,
    /// Probes could not connect.
    ProbeConnect,
    /// Probes failed in the TLS handshake.
    ProbeTls,
    /// Probes timed out.
    ProbeTimeout,
    /// Probes were answered by a status that is not healthy.
    ProbeStatus,
    /// Probes were answered by what is no HTTP response, or too long.
    ProbeBroken,
}

impl DownKind {
    /// All of them.
    pub const ALL: [DownKind; 9] = [
        DownKind::Connect,
        DownKind::Tls,
        DownKind::Unanswered,
        DownKind::Errors,
        DownKind::ProbeConnect,
        DownKind::ProbeTls,
        DownKind::ProbeTimeout,
        DownKind::ProbeStatus,
        DownKind::ProbeBroken,
    ];

    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            DownKind::Connect => "connect",
            DownKind::Tls => "tls",
            DownKind::Unanswered => "unanswered",
            DownKind::Errors => "errors",
            DownKind::ProbeConnect => "probe_connect",
            DownKind::ProbeTls => "probe_tls",
            DownKind::ProbeTimeout => "probe_timeout",
            DownKind::ProbeStatus => "probe_status",
            DownKind::ProbeBroken => "probe_broken",
        }
    }
}

/// What the system says of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub descriptors_open: u64,
    pub descriptors_max: u64,
}

/// Everything but the backends.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    pub version: &'static str,
    pub mode: &'static str,
    pub strategy: &'static str,
    /// Where clients connect; empty once that is over.
    pub listen: Vec<Address>,
    pub stage: Stage,
    /// Milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Milliseconds since 1970.
    pub now_unix_ms: u64,
    /// Seconds since the start, as counters use them.
    pub second: u32,
    pub process: Process,
    /// Backends by [`BackendState`].
    pub backends: [u64; BackendState::ALL.len()],
    pub in_flight: u64,
    pub in_flight_max: u64,
    pub queued: u64,
    pub clients: u64,
    /// Without those that have a request in flight or in the queue.
    pub clients_idle: u64,
    pub log_lines_lost: u64,
    /// Of all backends together.
    pub recent: Quantiles,
    pub counters: &'a Counters,
}

impl Program<'_> {
    /// Whether it would serve, and why in one line.
    pub fn readiness(&self) -> Readiness {
        let [up, slow, down, drain, disabled] = self.backends;
        let (up, total) = (up + slow, up + slow + down + drain + disabled);
        match self.stage {
            Stage::LameDuck => Readiness::LameDuck,
            Stage::Draining => Readiness::Draining,
            Stage::Running if total == 0 => Readiness::NoBackend,
            Stage::Running if up == 0 => Readiness::NoneUp { total },
            Stage::Running => Readiness::Ready { up, total },
        }
    }
}

/// Whether the program would serve. `Display` says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready { up: u64, total: u64 },
    LameDuck,
    Draining,
    NoBackend,
    NoneUp { total: u64 },
}

impl Readiness {
    /// Whether it would.
    pub fn is_ready(self) -> bool {
        matches!(self, Readiness::Ready { .. })
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = |total: &u64| if *total == 1 { "server" } else { "servers" };
        match self {
            Readiness::Ready { up, total } => write!(out, "{up} of {total} {} up", servers(total)),
            Readiness::LameDuck => out.write_str("about to stop: send new requests elsewhere"),
            Readiness::Draining => out.write_str("stopping: no new request is taken"),
            Readiness::NoBackend => out.write_str("no server is listed"),
            Readiness::NoneUp { total } => write!(out, "none of {total} {} is up", servers(total)),
        }
    }
}

/// One backend.
#[derive(Clone, Copy)]
pub struct Backend<'a> {
    /// `host:port`.
    pub name: &'a str,
    pub state: BackendState,
    /// How long it has been in that state.
    pub since: Duration,
    /// Milliseconds since 1970.
    pub changed_unix_ms: u64,
    /// Why it is down.
    pub down: Option<(DownKind, &'a dyn fmt::Display)>,
    pub in_flight: u32,
    /// Its own limit.
    pub max: Option<u32>,
    /// Requests that wait for room there; one may wait for several backends.
    pub waiting: u32,
    pub weight: u32,
    pub backup: bool,
    /// What `loadbalancer ctl` has set of it.
    pub by_hand: ByHand,
    /// How long it has been down in all.
    pub down_time: Duration,
    pub counters: &'a BackendCounters,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_says_why_in_one_line() {
        for (readiness, is_ready, text) in [
            (Readiness::Ready { up: 1, total: 1 }, true, "1 of 1 server up"),
            (Readiness::Ready { up: 3, total: 4 }, true, "3 of 4 servers up"),
            (Readiness::LameDuck, false, "about to stop: send new requests elsewhere"),
            (Readiness::Draining, false, "stopping: no new request is taken"),
            (Readiness::NoBackend, false, "no server is listed"),
            (Readiness::NoneUp { total: 2 }, false, "none of 2 servers is up"),
        ] {
            assert_eq!((readiness.is_ready(), readiness.to_string().as_str()), (is_ready, text));
        }
    }
}
