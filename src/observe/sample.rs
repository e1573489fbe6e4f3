//! A program and its backends for the tests of what is shown of them.

use super::causes::RetryReason;
use super::counters::{BackendCounters, Counters, Time};
use super::recent::Quantiles;
use super::snapshot::{Backend, BackendState, DownKind, Process, Program, Stage};
use super::{ProxyError, Record};
use crate::base::address::Address;
use crate::base::time::Instant;
use crate::wire::by_hand::ByHand;
use std::time::Duration;

/// The second of the program's life that everything is looked at.
pub const SECOND: u32 = 5;

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// Ten requests in the last complete second, two refusals, and one answer that is none.
pub fn counters() -> Counters {
    let mut counters = Counters::default();
    let causes = [ProxyError::Unavailable, ProxyError::Unavailable, ProxyError::InternalResponse];
    causes.into_iter().for_each(|cause| counters.answered(cause, 4));
    (0..10).for_each(|_| counters.request_ended(&Record::default(), 4));
    counters
}

/// In each of five seconds two requests, one of them answered by 500, and in the last one retry.
pub fn backend_counters() -> BackendCounters {
    let mut counters = BackendCounters::default();
    for second in 0..5 {
        for status in [200, 500] {
            let begun = at(second * 1_000);
            let record = Record {
                status,
                arrived: begun,
                begun,
                answered: Some(at(second * 1_000 + 4)),
                response_bytes: 1,
                ..Record::default()
            };
            counters.attempt_ended(&record, Time::at(at(second * 1_000 + 5)));
        }
    }
    counters.retried(RetryReason::Closed, 4);
    counters
}

pub fn program(counters: &Counters) -> Program<'_> {
    Program {
        version: "0.1.0",
        mode: "http",
        strategy: "rr",
        listen: vec![Address::Ip("127.0.0.1:8080".parse().expect("an address"))],
        stage: Stage::Running,
        started_unix_ms: 0,
        now_unix_ms: 5_000,
        second: SECOND,
        process: Process { pid: 7, ..Process::default() },
        backends: [1, 0, 1, 0, 0],
        in_flight: 3,
        in_flight_max: 2_048,
        queued: 7,
        clients: 9,
        clients_idle: 4,
        log_lines_lost: 0,
        recent: Quantiles::default(),
        counters,
    }
}

/// One that is up, at most of its limit.
pub fn up(counters: &BackendCounters) -> Backend<'_> {
    Backend {
        name: "127.0.0.1:1234",
        state: BackendState::Up,
        since: Duration::from_secs(75),
        changed_unix_ms: 0,
        down: None,
        in_flight: 3,
        max: Some(1_000),
        waiting: 4,
        weight: 2,
        backup: true,
        by_hand: ByHand { wish: None, weight: Some(2) },
        down_time: Duration::ZERO,
        counters,
    }
}

/// One that is down for a reason that HTML would misread.
pub fn down(counters: &BackendCounters) -> Backend<'_> {
    Backend {
        name: "h:1",
        state: BackendState::Down,
        since: Duration::from_secs(12),
        down: Some((DownKind::ProbeStatus, &"status <500> & \"more\"")),
        in_flight: 0,
        max: None,
        waiting: 0,
        backup: false,
        by_hand: ByHand::default(),
        ..up(counters)
    }
}
