//! The rows of the option table about how much clients get, and servers that have come back.

use super::duration::LONGEST;
use super::modes::{EVERY, PAIRS};
use super::option::{Group, Opt, Take};
use super::value::{or, whole};
use crate::config::{Config, RateLimit};
use std::time::Duration;

pub const QUEUE_MAX: Opt<Config> = Opt {
    long: "queue-max",
    short: None,
    value: "NUM",
    group: Group::Limits,
    help: "Requests (or TCP sessions) that wait at once, 0 to 1000000; others get a 503 at once",
    modes: PAIRS,
    take: Take::Text {
        set: |c, v| whole(v, 0..=1_000_000).map(|n| c.queue_max = Some(n)),
        default: |c| or(c.queue_max, "no limit"),
    },
};

pub const RATE: Opt<Config> = Opt {
    long: "rate",
    short: None,
    value: "NUM/s[:BURST]",
    group: Group::Limits,
    help: "Requests of each client address (of IPv6: its /64) a second, and at once after a pause; \
           then 429. With -m tcp: connections; then closed",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| RateLimit::parse(v).map(|rate| c.rate = Some(rate)),
        default: |c| or(c.rate, "no limit"),
    },
};

pub const CONNECTIONS_PER_CLIENT: Opt<Config> = Opt {
    long: "max-connections-per-client",
    short: None,
    value: "NUM",
    group: Group::Limits,
    help: "Connections of each client address (of IPv6: its /64), 1 to 1000000; others get a 429 \
           and are closed",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| whole(v, 1..=1_000_000).map(|n| c.connections_per_client = Some(n)),
        default: |c| or(c.connections_per_client, "no limit"),
    },
};

pub const SLOW_START: Opt<Config> = Opt {
    long: "slow-start",
    short: None,
    value: "TIME",
    group: Group::How,
    help: "Raise the share of a backend that came back or was added from 10 % to all of it \
           over TIME; 0: at once",
    modes: EVERY,
    take: Take::Duration { at: |c| &mut c.slow_start, least: Duration::ZERO, most: LONGEST },
};
