//! A row of an option table. Parsing, help and messages read the same rows; the rows themselves are
//! in the file of their command.

use super::modes::{EVERY, Modes};
use crate::config::{AddressError, LogTarget};
use std::path::PathBuf;
use std::time::Duration;

/// One option of a command that fills in a `T`.
pub struct Opt<T: 'static> {
    /// Long name without the dashes, unique in its table.
    pub long: &'static str,
    /// Short name, unique in its table.
    pub short: Option<char>,
    /// The placeholder of its value in help; empty for an option without one.
    pub value: &'static str,
    /// The heading it is listed under.
    pub group: Group,
    /// What it does, in one sentence; the default is added by help.
    pub help: &'static str,
    /// In which modes it has an effect; elsewhere it is refused. (Other commands have no modes.)
    pub modes: Modes,
    /// How it changes the `T`.
    pub take: Take<T>,
}

/// How an option applies. The `default` functions show the value of a `T::default()`.
pub enum Take<T: 'static> {
    /// Asks for the help text.
    Help,
    /// Asks for the version.
    Version,
    /// Asks for something to be printed, as the first word only, where `documents` reads it; with
    /// one of these values, if there are any.
    First { names: fn() -> Vec<&'static str> },
    /// No value.
    Flag { set: fn(&mut T), is_set: fn(&T) -> bool },
    /// A value that may be missing, so it is given after `=` only. The error as for `Text`.
    Optional {
        alone: fn(&mut T),
        set: fn(&mut T, &str) -> Result<(), String>,
        shown: fn(&T) -> String,
    },
    /// One address to listen on.
    Listen { set: fn(&mut T, &str) -> Result<(), AddressError>, default: fn(&T) -> String },
    /// One log file, or `-` for standard output.
    Log(fn(&mut T) -> &mut Option<LogTarget>),
    /// One value; the error says what is wrong with it, with a hint.
    Text { set: fn(&mut T, &str) -> Result<(), String>, default: fn(&T) -> String },
    /// One value of several by name. The error as for `Text`.
    Choice {
        names: fn() -> Vec<&'static str>,
        set: fn(&mut T, &str) -> Result<(), String>,
        default: fn(&T) -> String,
    },
    /// One value, a file or directory name in any encoding.
    Path { set: fn(&mut T, PathBuf) -> Result<(), String>, default: fn(&T) -> String },
    /// One duration within bounds.
    Duration { at: fn(&mut T) -> &mut Duration, least: Duration, most: Duration },
    /// One whole number within bounds.
    Count { at: fn(&mut T) -> &mut u32, least: u32, most: u32 },
    /// One value, and the option may be given again.
    Each { add: fn(&mut T, &str) -> Result<(), String>, shown: fn(&T) -> Vec<String> },
    /// As `Each`, and the value may begin with a dash: `-Name`.
    Edit { add: fn(&mut T, &str) -> Result<(), String>, shown: fn(&T) -> Vec<String> },
    /// All words up to the next option; may be given again. The command takes them from
    /// `scan::Given`, in their order among the words without an option.
    Words { shown: fn(&T) -> Vec<String> },
}

/// The headings of help, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Addresses and files.
    Where,
    /// The treatment of requests.
    How,
    /// Probes.
    Health,
    /// Time-outs.
    Timeouts,
    /// Limits.
    Limits,
    /// Access log and verbosity.
    Logging,
    /// Certificates and what goes with them.
    Tls,
    /// What other programs and browsers can ask for.
    Admin,
    /// Faults on purpose.
    Experiments,
    /// Help and version.
    About,
}

impl Group {
    /// Every group in the order of help.
    pub const ALL: [Group; 10] = [
        Group::Where,
        Group::How,
        Group::Tls,
        Group::Health,
        Group::Timeouts,
        Group::Limits,
        Group::Logging,
        Group::Admin,
        Group::Experiments,
        Group::About,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Where => "Where",
            Group::How => "How",
            Group::Tls => "TLS",
            Group::Health => "Health",
            Group::Timeouts => "Time-outs",
            Group::Limits => "Limits",
            Group::Logging => "Logging",
            Group::Admin => "Metrics, status, control",
            Group::Experiments => "Experiments",
            Group::About => "About",
        }
    }
}

impl<T> Opt<T> {
    /// Whether words after it can be its value.
    pub fn takes_value(&self) -> bool {
        !self.value.is_empty()
    }

    /// Whether it may be given more than once.
    pub fn repeats(&self) -> bool {
        matches!(self.take, Take::Each { .. } | Take::Edit { .. } | Take::Words { .. })
    }

    /// Both names, as in `-p/--listen`.
    pub fn names(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}/--{}", self.long),
            None => format!("--{}", self.long),
        }
    }

    /// The row of `-p`.
    pub const fn listen(
        help: &'static str,
        set: fn(&mut T, &str) -> Result<(), AddressError>,
        default: fn(&T) -> String,
    ) -> Opt<T> {
        Opt {
            long: "listen",
            short: Some('p'),
            value: "ADDR",
            group: Group::Where,
            help,
            modes: EVERY,
            take: Take::Listen { set, default },
        }
    }

    /// The row of `-l`.
    pub const fn log(at: fn(&mut T) -> &mut Option<LogTarget>) -> Opt<T> {
        Opt {
            long: "log",
            short: Some('l'),
            value: "FILE",
            group: Group::Logging,
            help: "Append a line per request to FILE; - is standard output",
            modes: EVERY,
            take: Take::Log(at),
        }
    }

    /// The row of `-h`, the same in every table.
    pub const fn help() -> Opt<T> {
        Opt {
            long: "help",
            short: Some('h'),
            value: "",
            group: Group::About,
            help: "Print this text",
            modes: EVERY,
            take: Take::Help,
        }
    }

    /// The row of `-V`, the same in every table.
    pub const fn version() -> Opt<T> {
        Opt {
            long: "version",
            short: Some('V'),
            value: "",
            group: Group::About,
            help: "Print the version",
            modes: EVERY,
            take: Take::Version,
        }
    }
}
