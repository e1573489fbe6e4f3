//! What rows of the balancer's option table have in common: choices, bounds, and whole rows of a
//! kind.

use super::duration::LONGEST;
use super::modes::{HEADS, Modes};
use super::option::{Group, Opt, Take};
use crate::config::{Config, LogFormat, OnDown};
use crate::health::{Check, Method};
use std::time::Duration;

pub const FORMATS: [(&str, LogFormat); 2] =
    [("combined", LogFormat::Combined), ("json", LogFormat::Json)];
pub const ON_DOWN: [(&str, OnDown); 2] = [("keep", OnDown::Keep), ("close", OnDown::Close)];
pub const CHECKS: [(&str, Check); 3] =
    [("http", Check::Http), ("tcp", Check::Tcp), ("off", Check::Off)];
pub const METHODS: [(&str, Method); 3] =
    [("GET", Method::Get), ("HEAD", Method::Head), ("OPTIONS", Method::Options)];

/// Statuses that send a client elsewhere (RFC 9110 §15.4).
pub const REDIRECTS: [(&str, u16); 5] =
    [("301", 301), ("302", 302), ("303", 303), ("307", 307), ("308", 308)];

/// Shortest time-out: the resolution of the timers.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// Shortest probe interval: with a shorter one most of the traffic would be probes.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A hanging backend is detected within this time.
pub const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// A time-out.
pub const fn timeout(
    long: &'static str,
    modes: Modes,
    help: &'static str,
    at: fn(&mut Config) -> &mut Duration,
) -> Opt<Config> {
    let take = Take::Duration { at, least: TIMEOUT_MIN, most: LONGEST };
    Opt { long, short: None, value: "TIME", group: Group::Timeouts, help, modes, take }
}

/// A limit of request heads.
pub const fn limit(
    long: &'static str,
    value: &'static str,
    help: &'static str,
    at: fn(&mut Config) -> &mut u32,
    least: u32,
    most: u32,
) -> Opt<Config> {
    let take = Take::Count { at, least, most };
    Opt { long, short: None, value, group: Group::Limits, help, modes: HEADS, take }
}
