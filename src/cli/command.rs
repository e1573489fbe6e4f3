//! What a command line asks for, as values.

use super::unit::Unit;
use crate::balance::Strategy;
use crate::config::{AdminAddress, Config, HostPort, LogTarget};
use crate::wire::command;
use std::path::PathBuf;
use std::time::Duration;

/// What `-V` prints.
pub const VERSION: &str = concat!("loadbalancer ", env!("CARGO_PKG_VERSION"));

/// The commands by name.
pub(super) const COMMANDS: [&str; 8] =
    ["demo", "httpserver", "get", "top", "ctl", "replay", "help", "version"];

/// A help text for a terminal of so many columns, ending in a newline.
pub type HelpText = fn(usize) -> String;

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// To balance.
    Balance(Config),
    /// To print this configuration; the lines are those about its options.
    PrintConfig(Config, Vec<String>),
    /// To balance over servers of its own.
    Demo(Demo),
    /// To serve files.
    HttpServer(HttpServer),
    /// To download a file.
    Get(Get),
    /// To show the servers of a running balancer.
    Top(Top),
    /// To give a running balancer a command.
    Ctl(Ctl),
    /// To make recorded choices again.
    Replay(Replay),
    /// To print this help text, or another one made from the option tables.
    Help(HelpText),
    /// To print this chapter of the manual, through a pager on a terminal.
    Topic(&'static str),
    /// To print a systemd unit.
    Unit(Box<Unit>),
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
    /// On 127.0.0.1:8080, with the admin listener on the next port.
    fn default() -> Demo {
        let at = |port| HostPort::on("127.0.0.1", port);
        let mut config = Config::new(at(8080), Vec::new());
        config.admin = Some(AdminAddress::Preferred(at(8081)));
        Demo { config }
    }
}

/// `loadbalancer httpserver`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpServer {
    /// Where it listens.
    pub listen: HostPort,
    /// The log of requests.
    pub log: Option<LogTarget>,
    /// What it serves.
    pub dir: PathBuf,
    /// Wait before each answer, 0 to 24 h.
    pub delay: Duration,
    /// Share of the requests that fail, 0 to 1.
    pub fail_rate: f64,
    /// Longest body of an upload in bytes.
    pub max_upload: u64,
    /// It stops when standard input ends, so that a child never outlives its parent.
    pub until_eof: bool,
    /// When standard input ends, it removes the directory.
    pub remove_dir: bool,
}

impl Default for HttpServer {
    /// What a call without options gives. The port has no default: a call without one is refused.
    fn default() -> HttpServer {
        HttpServer {
            listen: HostPort::bare(0),
            log: None,
            dir: PathBuf::from("."),
            delay: Duration::ZERO,
            fail_rate: 0.0,
            max_upload: 1 << 30,
            until_eof: false,
            remove_dir: false,
        }
    }
}

/// `loadbalancer get`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Get {
    /// What to download; begins with `http://` and a host.
    pub url: String,
    /// Where to; none: the last part of the URL, in the current directory.
    pub output: Option<PathBuf>,
    /// Only errors are reported.
    pub quiet: bool,
}

/// `loadbalancer top`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// The admin address of the balancer; always has a host.
    pub admin: HostPort,
}

impl Default for Top {
    /// Where the demo has it: 127.0.0.1:8081.
    fn default() -> Top {
        Top { admin: HostPort::on("127.0.0.1", 8081) }
    }
}

/// `loadbalancer ctl`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ctl {
    /// Where the balancer listens; none: the only one that runs.
    pub place: Option<String>,
    /// None: the balancers that run are listed.
    pub command: Option<command::Command>,
}

/// `loadbalancer replay`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The record.
    pub file: PathBuf,
    /// The strategy to compare with; none: the recorded choices are printed.
    pub strategy: Option<Strategy>,
}
