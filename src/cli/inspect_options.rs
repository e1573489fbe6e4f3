//! The rows of the option table that show what the program does, or would do.

use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::value::{choice, named, names, new_file, shown_path};
use crate::config::{Config, EventFormat, Purpose, Reach};

const REACHES: [(&str, Reach); 1] = [("config", Reach::Files)];

pub const CHECK: Opt<Config> = Opt {
    long: "check",
    short: None,
    value: "config",
    group: Group::About,
    help: "Check options, files, the address and every backend, then end: 0 if all is well, \
           else 1; =config uses no network",
    modes: EVERY,
    take: Take::Optional {
        alone: |c| c.purpose = Purpose::Check(Reach::Backends),
        set: |c, v| choice(v, &REACHES).map(|reach| c.purpose = Purpose::Check(reach)),
        shown: |_| String::new(),
    },
};

const EVENT_FORMATS: [(&str, EventFormat); 2] =
    [("text", EventFormat::Text), ("json", EventFormat::Json)];

pub const EVENTS: Opt<Config> = Opt {
    long: "events",
    short: None,
    value: "FORMAT",
    group: Group::Logging,
    help: "Event lines, and those of -v, on standard error: text; json: one object per line",
    modes: EVERY,
    take: Take::Choice {
        names: || names(&EVENT_FORMATS),
        set: |c, v| choice(v, &EVENT_FORMATS).map(|format| c.events = format),
        default: |c| named(c.events, &EVENT_FORMATS),
    },
};

pub const RECORD: Opt<Config> = Opt {
    long: "record",
    short: None,
    value: "FILE",
    group: Group::Logging,
    help: "Write what every choice depends on to FILE, a new one, for loadbalancer replay",
    modes: EVERY,
    take: Take::Path {
        set: |c, v| new_file(v).map(|file| c.record = Some(file)),
        default: |c| shown_path(c.record.as_deref()),
    },
};

pub const PRINT_CONFIG: Opt<Config> = Opt {
    long: "print-config",
    short: None,
    value: "",
    group: Group::About,
    help: "Print every option with its value and origin, and the limits that follow, then end",
    modes: EVERY,
    take: Take::Flag {
        set: |c| c.purpose = Purpose::Print,
        is_set: |c| c.purpose == Purpose::Print,
    },
};
