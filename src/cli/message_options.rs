//! The rows of the option table about what is changed in forwarded messages.

use super::modes::HTTP;
use super::option::{Group, Opt, Take};
use crate::config::{Config, FieldEdit, Heads};

pub const HEADER_UP: Opt<Config> = Opt {
    long: "header-up",
    short: None,
    value: "EDIT",
    group: Group::How,
    help: "Set a field of each request to a server ('X-Env: prod'), or remove it (-X-Env); may be \
           repeated",
    modes: HTTP,
    take: Take::Edit {
        add: |c, v| FieldEdit::add(v, Heads::Up, &mut c.header_up),
        shown: |c| c.header_up.iter().map(FieldEdit::to_string).collect(),
    },
};

pub const HEADER_DOWN: Opt<Config> = Opt {
    long: "header-down",
    short: None,
    value: "EDIT",
    group: Group::How,
    help: "The same for each response of a server to a client; may be repeated",
    modes: HTTP,
    take: Take::Edit {
        add: |c, v| FieldEdit::add(v, Heads::Down, &mut c.header_down),
        shown: |c| c.header_down.iter().map(FieldEdit::to_string).collect(),
    },
};
