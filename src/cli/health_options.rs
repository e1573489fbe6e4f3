//! The rows of the option table about health checks.

use super::duration::LONGEST;
use super::modes::{EVERY, HTTP, TCP};
use super::option::{Group, Opt, Take};
use super::rows::{CHECKS, INTERVAL_MIN, METHODS, PROBE_TIMEOUT_MAX, TIMEOUT_MIN};
use super::text;
use super::value::{choice, host_field, named, names, or, small, target, whole};
use crate::config::Config;

pub const HEALTH: Opt<Config> = Opt {
    long: "health",
    short: None,
    value: "CHECK",
    group: Group::Health,
    help: "http: request --health-path; tcp: only connect (default with -m tcp); off: no \
           probes",
    modes: EVERY,
    take: Take::Choice {
        names: || names(&CHECKS),
        set: |c, v| choice(v, &CHECKS).map(|check| c.health.check = check),
        default: |c| named(c.health.check, &CHECKS),
    },
};

pub const CHECK_INTERVAL: Opt<Config> = Opt {
    long: "check-interval",
    short: Some('c'),
    value: "TIME",
    group: Group::Health,
    help: "Time between two probes of a backend",
    modes: EVERY,
    take: Take::Duration { at: |c| &mut c.health.interval, least: INTERVAL_MIN, most: LONGEST },
};

pub const PROBE_PER_REQUESTS: Opt<Config> = Opt {
    long: "probe-per-requests",
    short: Some('R'),
    value: "NUM",
    group: Group::Health,
    help: "Also probe every backend at least once per NUM requests",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| whole(v, 1..=1_000_000_000).map(|n| c.health.per_requests = Some(n)),
        default: |c| or(c.health.per_requests, "by time only"),
    },
};

pub const HEALTH_PATH: Opt<Config> = Opt {
    long: "health-path",
    short: None,
    value: "PATH",
    group: Group::Health,
    help: "Path that an HTTP probe requests",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| target(v).map(|path| c.health.path = path),
        default: |c| c.health.path.clone(),
    },
};

pub const HEALTH_HOST: Opt<Config> = Opt {
    long: "health-host",
    short: None,
    value: "NAME",
    group: Group::Health,
    help: "Host field of an HTTP probe",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| host_field(v).map(|name| c.health.host = Some(name)),
        default: |c| c.health.host.clone().unwrap_or_else(|| "the backend".to_owned()),
    },
};

pub const HEALTH_METHOD: Opt<Config> = Opt {
    long: "health-method",
    short: None,
    value: "METHOD",
    group: Group::Health,
    help: "Method of an HTTP probe: GET, HEAD or OPTIONS",
    modes: EVERY,
    take: Take::Choice {
        names: || names(&METHODS),
        set: |c, v| choice(v, &METHODS).map(|method| c.health.method = method),
        default: |c| named(c.health.method, &METHODS),
    },
};

pub const HEALTH_EXPECT: Opt<Config> = Opt {
    long: "health-expect",
    short: None,
    value: "CODE",
    group: Group::Health,
    help: "The only status that passes, 200 to 599",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| small(v, 200..=599).map(|code| c.health.expect = Some(code)),
        default: |c| or(c.health.expect, "any below 500"),
    },
};

pub const HEALTH_TIMEOUT: Opt<Config> = Opt {
    long: "health-timeout",
    short: None,
    value: "TIME",
    group: Group::Health,
    help: "Longest duration of a probe, at most 5s",
    modes: EVERY,
    take: Take::Duration {
        at: |c| &mut c.health.timeout,
        least: TIMEOUT_MIN,
        most: PROBE_TIMEOUT_MAX,
    },
};

pub const RISE: Opt<Config> = Opt {
    long: "rise",
    short: None,
    value: "NUM",
    group: Group::Health,
    help: "Passed probes in a row that mark a backend up, 1 to 100",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| small(v, 1..=100).map(|n| c.health.rise = n),
        default: |c| c.health.rise.to_string(),
    },
};

pub const FALL: Opt<Config> = Opt {
    long: "fall",
    short: None,
    value: "NUM",
    group: Group::Health,
    help: "Failed probes in a row that mark a backend down, 1 to 100",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| small(v, 1..=100).map(|n| c.health.fall = n),
        default: |c| c.health.fall.to_string(),
    },
};

pub const FALL_ON_5XX: Opt<Config> = Opt {
    long: "fall-on-5xx",
    short: None,
    value: "NUM",
    group: Group::Health,
    help: "Eject a backend after NUM 5xx in a row to 3 clients; the last one stays",
    modes: HTTP,
    take: Take::Text {
        set: |c, v| small(v, 1..=1_000).map(|n| c.health.fall_on_5xx = Some(n)),
        default: |c| or(c.health.fall_on_5xx, "off"),
    },
};

pub const HEALTH_SEND: Opt<Config> = Opt {
    long: "health-send",
    short: None,
    value: "TEXT",
    group: Group::Health,
    help: "What a TCP probe sends first; with the escapes \\r, \\n, \\t, \\\\ and \\xHH",
    modes: TCP,
    take: Take::Text {
        set: |c, v| {
            let send = text::bytes(v)?;
            c.health.dialogue.get_or_insert_default().send = send;
            Ok(())
        },
        default: |c| {
            c.health.dialogue.as_ref().map_or_else(String::new, |it| text::shown(&it.send))
        },
    },
};

pub const HEALTH_EXPECT_TEXT: Opt<Config> = Opt {
    long: "health-expect-text",
    short: None,
    value: "TEXT",
    group: Group::Health,
    help: "What the first 4096 bytes of the answer to a TCP probe contain, with the same escapes",
    modes: TCP,
    take: Take::Text {
        set: |c, v| {
            let expect = text::bytes(v)?;
            c.health.dialogue.get_or_insert_default().expect = expect;
            Ok(())
        },
        default: |c| {
            c.health.dialogue.as_ref().map_or_else(String::new, |it| text::shown(&it.expect))
        },
    },
};
