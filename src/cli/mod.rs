//! The command line: argv in, a typed command out, or one line that says what is wrong. Does no
//! I/O: files are named here and read elsewhere.

mod admin_options;
mod balance;
mod command;
mod commands;
mod completions;
mod control_options;
mod ctl;
mod document_options;
mod documents;
mod duration;
mod effective;
mod error;
mod get;
mod health_options;
mod help;
mod httpserver;
mod inspect_options;
mod limit_options;
mod man;
mod message_options;
mod modes;
mod network_options;
mod option;
mod options;
mod pages;
mod replay;
mod roff;
mod rows;
mod rules;
mod scan;
mod sheet;
mod shell;
mod sticky_options;
mod strategy;
mod suggest;
mod text;
mod tls_options;
mod top;
mod topic;
mod unit;
mod value;

#[cfg(test)]
mod tests;

pub use crate::config::{Config, Endpoint, LogTarget};
pub use command::{Command, Ctl, Demo, Get, HelpText, HttpServer, Replay, Top, VERSION};
pub use error::UsageError;
pub use help::COLUMNS;
pub use unit::Unit;

use pico_args::Arguments;
use std::ffi::OsString;
use std::path::Path;

/// The name that messages about a command line begin with.
pub fn program(argv: &[OsString]) -> &'static str {
    let called = argv.first().and_then(|word| Path::new(word).file_name());
    let words = [called, argv.get(1).map(OsString::as_os_str)].map(|word| word?.to_str());
    match words {
        [Some("httpserver"), _] | [_, Some("httpserver")] => "httpserver",
        [_, Some("get")] => "get",
        [_, Some("top")] => "top",
        [_, Some("ctl")] => "ctl",
        [_, Some("demo")] => "demo",
        [_, Some("replay")] => "replay",
        [_, Some(_) | None] => "loadbalancer",
    }
}

/// Reads a whole command line, `argv[0]` first: called as `httpserver`, it is that command.
pub fn parse(argv: Vec<OsString>) -> Result<Command, UsageError> {
    let mut words = argv.into_iter();
    let called = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    if Path::new(&called).file_name().is_some_and(|name| name == "httpserver") {
        return httpserver::httpserver(words);
    }
    if let Some(asked) = documents::document(&words) {
        return asked;
    }
    let mut after_command = Arguments::from_vec(words.clone());
    // A first word that is not UTF-8 is not a command: it is refused with the other words.
    let command = after_command.subcommand().unwrap_or_default();
    match command.as_deref() {
        Some("demo") => balance::demo(after_command.finish()),
        Some("httpserver") => httpserver::httpserver(after_command.finish()),
        Some("get") => get::get(after_command.finish()),
        Some("top") => top::top(after_command.finish()),
        Some("ctl") => ctl::ctl(after_command.finish()),
        Some("replay") => replay::replay(after_command.finish()),
        Some("help") => topic::help(after_command.finish()),
        Some("version") => topic::version(after_command.finish()),
        Some(_) | None => balance::balance(words),
    }
}
