//! argv in, a typed command out, or one line saying what is wrong. Does no I/O: files are named
//! here and read by others.

mod balance;
mod duration;
mod error;
mod get;
mod help;
mod httpserver;
mod modes;
mod option;
mod options;
mod scan;
mod strategy;
mod suggest;
mod topic;
mod value;

#[cfg(test)]
mod tests;

pub use crate::config::{Config, Endpoint, LogTarget};
pub use error::UsageError;

use pico_args::Arguments;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `-V` prints.
pub const VERSION: &str = concat!("loadbalancer ", env!("CARGO_PKG_VERSION"));

/// The words that may stand first.
const COMMANDS: [&str; 4] = ["demo", "httpserver", "get", "help"];

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// To balance.
    Balance(Config),
    /// To balance over servers started for the purpose.
    Demo(Demo),
    /// To be such a server.
    HttpServer(HttpServer),
    /// To download a file.
    Get(Get),
    /// To print this help text, which ends in a newline.
    Help(String),
    /// To print this chapter of the manual, through a pager where somebody reads it.
    Topic(&'static str),
    /// To print [`VERSION`].
    Version,
}

/// `loadbalancer demo`.
#[derive(Clone, Debug)]
pub struct Demo {
    /// How to balance; always listens on a named host and has no backends yet.
    pub config: Config,
}

impl Default for Demo {
    /// On 127.0.0.1:8080.
    fn default() -> Demo {
        let listen = Endpoint { host: Some("127.0.0.1".to_owned()), port: 8080 };
        Demo { config: Config::new(listen, Vec::new()) }
    }
}

/// `loadbalancer httpserver`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpServer {
    /// Where it listens.
    pub listen: Endpoint,
    /// The log of requests.
    pub log: Option<LogTarget>,
    /// What it serves.
    pub dir: PathBuf,
    /// Wait before each answer, 0 to 24 h.
    pub delay: Duration,
    /// Share of the requests that fail, 0 to 1.
    pub fail_rate: f64,
    /// It stops when standard input ends, so that a child never outlives its parent.
    pub until_eof: bool,
}

/// `loadbalancer get`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Get {
    /// What to download; begins with `http://` and a host.
    pub url: String,
    /// Where to; none: the last part of the URL, in the current directory.
    pub output: Option<PathBuf>,
}

/// Reads a whole command line, `argv[0]` first: called as `httpserver`, it is that command.
pub fn parse(argv: Vec<OsString>) -> Result<Command, UsageError> {
    let mut words = argv.into_iter();
    let called = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    if Path::new(&called).file_name().is_some_and(|name| name == "httpserver") {
        return httpserver::httpserver(words);
    }
    let mut after_command = Arguments::from_vec(words.clone());
    // A first word that is no text is no command either: it is refused with the other words.
    let command = after_command.subcommand().unwrap_or_default();
    match command.as_deref() {
        Some("demo") => balance::demo(after_command.finish()),
        Some("httpserver") => httpserver::httpserver(after_command.finish()),
        Some("get") => get::get(after_command.finish()),
        Some("help") => topic::help(after_command.finish()),
        Some(_) | None => balance::balance(words),
    }
}
