//! The rows of the option table about sticky sessions.

use super::modes::HTTP;
use super::option::{Group, Opt, Take};
use super::value::shown_path;
use crate::config::{Config, cookie_name};

pub const STICKY: Opt<Config> = Opt {
    long: "sticky",
    short: None,
    value: "NAME",
    group: Group::How,
    help: "Keep each client at its backend by a cookie of this name, by any strategy",
    modes: HTTP,
    take: Take::Text {
        set: |c, v| cookie_name(v).map(|name| c.sticky = Some(name)),
        default: |c| c.sticky.clone().unwrap_or_default(),
    },
};

pub const STICKY_KEY: Opt<Config> = Opt {
    long: "sticky-key",
    short: None,
    value: "FILE",
    group: Group::How,
    help: "Secret of 16 bytes or more for the values of that cookie, so that several balancers, \
           and the next start, agree on them",
    modes: HTTP,
    take: Take::Path {
        set: |c, v| {
            c.sticky_key_file = Some(v);
            Ok(())
        },
        default: |c| match &c.sticky_key_file {
            Some(file) => shown_path(Some(file)),
            None => "random for each start".to_owned(),
        },
    },
};
