//! The backends as `/status` and `/metrics` show them.

use super::backend::ProbeResult;
use super::cluster::Cluster;
use crate::balance::{AdminState, Membership};
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::health::{DownReason, ProbeFault, State};
use crate::net::Now;
use crate::observe::snapshot::{Backend, BackendState, DownKind};
use crate::observe::state::ServerState;
use crate::proxy::log::Logs;
use std::fmt::Display;
use std::time::Duration;

impl Cluster {
    /// The state of a backend for people; none of a removed one that has left.
    pub fn state_of(&self, backend: BackendId) -> Option<BackendState> {
        let candidate = self.candidate(backend);
        Some(match (candidate.membership, candidate.spec.admin) {
            (Membership::Vacant, _) => return None,
            (Membership::Leaving, _) | (Membership::Serving, AdminState::Drain) => {
                BackendState::Drain
            }
            (Membership::Serving, AdminState::Down) => BackendState::Disabled,
            (Membership::Serving, AdminState::Ready) => match self.health(backend).state() {
                State::Up => BackendState::Up,
                State::Suspect => BackendState::Slow,
                State::Down => BackendState::Down,
            },
        })
    }

    /// A backend as `/status` and `/metrics` show it; none past the last, of a removed one, or where
    /// nothing is counted.
    /// `waiting`: the requests that wait for room.
    pub fn snapshot(&self, backend: BackendId, waiting: usize, now: Now) -> Option<Backend<'_>> {
        let entry = self.backends.get(backend.index())?;
        let state = self.state_of(backend)?;
        let account = &entry.account;
        let counters = account.counted()?;
        let since = now.instant.since(account.changed_at());
        let down = Duration::from_micros(counters.down_us);
        let since_down = account.down().map(|down| now.instant.since(down.since));
        Some(Backend {
            name: &entry.name,
            state,
            since,
            changed_unix_ms: now.unix_ms.saturating_sub(since.as_millis() as u64),
            down: account.down().map(|down| (kind(&down.reason), down as _)),
            in_flight: self.in_flight(backend),
            max: entry.spec.pairs_max,
            waiting: match state.is_up() && self.is_full(backend) {
                true => u32::try_from(waiting).unwrap_or(u32::MAX),
                false => 0,
            },
            weight: entry.spec.weight,
            backup: entry.spec.backup,
            by_hand: entry.by_hand,
            down_time: down + since_down.unwrap_or_default(),
            counters,
        })
    }

    /// Writes the state of a backend as a line, if it is not a removed one.
    pub fn log_state(&self, backend: BackendId, now: Instant, logs: &mut Logs) {
        self.with_state(backend, now, |state| logs.event(format_args!("state: {state}")));
    }

    /// Calls `write` with the state of a backend, if it is not a removed one.
    pub fn with_state(
        &self,
        backend: BackendId,
        now: Instant,
        write: impl FnOnce(&ServerState<'_>),
    ) {
        let (Some(entry), Some(state)) =
            (self.backends.get(backend.index()), self.state_of(backend))
        else {
            return;
        };
        let last = self.last_probe(backend);
        let fault = last.and_then(ProbeResult::fault);
        let down = entry.account.down().map(|down| down as &dyn Display);
        let server = ServerState {
            name: &entry.name,
            state,
            since: now.since(entry.account.changed_at()),
            in_flight: self.in_flight(backend),
            max: entry.spec.pairs_max,
            weight: entry.spec.weight,
            backup: entry.spec.backup,
            by_hand: entry.by_hand,
            reason: down.or(fault.as_ref().map(|fault| fault as _)),
        };
        write(&server);
    }
}

fn kind(reason: &DownReason) -> DownKind {
    match reason {
        DownReason::ConnectFailed(fault) if fault.is_handshake() => DownKind::Tls,
        DownReason::ConnectFailed(_) => DownKind::Connect,
        DownReason::Unanswered(_) => DownKind::Unanswered,
        DownReason::Erred { .. } => DownKind::Errors,
        DownReason::Probe { fault, timeout: _ } => match fault {
            ProbeFault::Connect(fault) if fault.is_handshake() => DownKind::ProbeTls,
            ProbeFault::Connect(_) => DownKind::ProbeConnect,
            ProbeFault::TimedOut => DownKind::ProbeTimeout,
            ProbeFault::Status(_) => DownKind::ProbeStatus,
            ProbeFault::Broken | ProbeFault::Unexpected | ProbeFault::TooLong => {
                DownKind::ProbeBroken
            }
        },
    }
}
