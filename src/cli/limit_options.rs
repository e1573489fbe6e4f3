//! The rows of the option table about how much may wait.

use super::modes::PAIRS;
use super::option::{Group, Opt, Take};
use super::value::{or, whole};
use crate::config::Config;

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
