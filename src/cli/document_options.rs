//! The rows of the option table that print something for an installation.

use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::shell::SHELLS;
use super::value::names;
use crate::config::Config;

pub const PRINT_UNIT: Opt<Config> = Opt {
    long: "print-unit",
    short: None,
    value: "",
    group: Group::About,
    help: "Before -- and a command line: print a systemd unit that runs it",
    modes: EVERY,
    take: Take::First { names: Vec::new },
};

pub const MAN: Opt<Config> = Opt {
    long: "man",
    short: None,
    value: "",
    group: Group::About,
    help: "Print the man page: options and manual, as roff",
    modes: EVERY,
    take: Take::First { names: Vec::new },
};

pub const COMPLETIONS: Opt<Config> = Opt {
    long: "completions",
    short: None,
    value: "SHELL",
    group: Group::About,
    help: "Print completions of the command line for bash, zsh or fish",
    modes: EVERY,
    take: Take::First { names: || names(&SHELLS) },
};
