//! The rows of the option table that show what the program does, or would do.

use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::value::{choice, new_file};
use crate::config::{Config, Purpose, Reach};

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
        default: |_| String::new(),
    },
};
