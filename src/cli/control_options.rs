//! The rows of the option table about the control socket.

use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use crate::config::Config;

pub const NO_CONTROL: Opt<Config> = Opt {
    long: "no-control",
    short: None,
    value: "",
    group: Group::Admin,
    help: "Open no control socket: loadbalancer ctl cannot steer this process, nor can another \
           take over",
    modes: EVERY,
    take: Take::Flag { set: |c| c.control = false, is_set: |c| !c.control },
};

pub const TAKEOVER: Opt<Config> = Opt {
    long: "takeover",
    short: None,
    value: "",
    group: Group::Where,
    help: "Replace the loadbalancer that listens there without losing a request; if there is none, \
           start as usual",
    modes: EVERY,
    take: Take::Flag { set: |c| c.takeover = true, is_set: |c| c.takeover },
};
