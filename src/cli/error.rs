//! What can be wrong with a command line, each as one line with the value and a hint.

use crate::config::{BACKENDS_MAX, Endpoint, quote};
use std::fmt;

/// A wrong command line. Displays as one line without the name of the program; exit status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No such option; `hint` is the nearest one or where they are listed.
    UnknownOption { spelled: String, hint: String },
    /// An option given twice that can be given once, by its names.
    RepeatedOption(String),
    /// An option at the end or before another one, without its value.
    MissingValue { spelled: String, value: &'static str, follows: Option<String> },
    /// A value attached to an option that takes none.
    UnexpectedValue(String),
    /// A value that is not allowed; `reason` says why, with a hint.
    BadValue { spelled: String, reason: String },
    /// An argument that is not an address or URL: why not, with a hint.
    BadArgument(String),
    /// Near the name of a command.
    UnknownCommand { word: String, near: &'static str },
    /// No such topic of the manual.
    UnknownTopic { word: String, near: Option<&'static str> },
    /// A command that is not the first argument.
    CommandNotFirst(&'static str),
    /// An option that has to be the first word.
    NotFirst(String),
    /// A unit is asked for without the command line of its service.
    NoServiceLine,
    /// A good command line that does not fit a unit: why not, with a hint.
    NoService(String),
    /// An argument that is not UTF-8 where text is needed.
    NotUtf8(String),
    /// No backend and no list file.
    NoBackend,
    /// The same backend twice on the command line.
    RepeatedBackend(Endpoint),
    /// A port alone beside `-p`: to listen on, or a backend?
    UnclearPort { argument: String, port: u16, listen: Endpoint },
    /// More backends than [`BACKENDS_MAX`].
    TooManyBackends,
    /// A backend that is the balancer itself.
    Loop(Endpoint),
    /// An option or strategy without effect in the mode, and the modes where it has one.
    NoEffect { spelled: String, mode: String, modes: Vec<String> },
    /// Options that do not go together: which, and a hint.
    Conflict(&'static str),
    /// A command without an argument it needs, and an example that has it.
    MissingArgument { what: &'static str, example: &'static str },
    /// An argument that the command does not take.
    UnexpectedArgument { argument: String, hint: &'static str },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use UsageError::*;
        match self {
            UnknownOption { spelled, hint } => {
                write!(f, "there is no option {}; {hint}", quote(spelled))
            }
            RepeatedOption(names) => write!(f, "{names} is given twice: keep one"),
            MissingValue { spelled, value, follows } => {
                let before = follows.as_ref().map(|next| format!(" before {}", quote(next)));
                let before = before.unwrap_or_default();
                write!(f, "{spelled} needs a value: write {spelled} {value}{before}")
            }
            UnexpectedValue(spelled) => write!(f, "{spelled} takes no value: write it alone"),
            BadValue { spelled, reason } => write!(f, "{spelled}: {reason}"),
            BadArgument(reason) => f.write_str(reason),
            UnknownCommand { word, near } => {
                write!(f, "there is no command {}; did you mean {near}?", quote(word))
            }
            UnknownTopic { word, near } => {
                write!(f, "there is no topic {}; ", quote(word))?;
                match near {
                    Some(near) => write!(f, "did you mean loadbalancer help {near}?"),
                    None => f.write_str("loadbalancer help lists all topics"),
                }
            }
            CommandNotFirst(word) => {
                write!(f, "the command `{word}` must come first: write loadbalancer {word} ...")
            }
            NotFirst(spelled) => {
                write!(f, "{spelled} must come first: write loadbalancer {spelled} ...")
            }
            NoServiceLine => f.write_str(
                "--print-unit needs -- and the command line of the service: write \
                 loadbalancer --print-unit -- 80 10.0.0.1:80",
            ),
            NoService(reason) => write!(f, "--print-unit: {reason}"),
            NotUtf8(word) => write!(f, "{} is not UTF-8: write plain text", quote(word)),
            NoBackend => f.write_str(
                "no backend to balance over: name them after the port, as in \
                 loadbalancer 8080 1234 5678, or try loadbalancer demo",
            ),
            RepeatedBackend(backend) => {
                write!(f, "the backend `{backend}` is given twice: keep one")
            }
            UnclearPort { argument, port, listen } => write!(
                f,
                "`{argument}` beside -p {listen} has two readings: to listen on {port} leave out \
                 -p, for a backend on port {port} write -b {port}"
            ),
            TooManyBackends => {
                write!(f, "there are more than {BACKENDS_MAX} backends: leave some out")
            }
            Loop(backend) => write!(
                f,
                "the backend `{backend}` is the balancer itself: change one of the {}",
                kind(backend)
            ),
            NoEffect { spelled, mode, modes } => {
                let modes = modes.join(" or -m ");
                write!(
                    f,
                    "{spelled} does nothing with -m {mode}: leave it out, or write -m {modes}"
                )
            }
            Conflict(reason) => f.write_str(reason),
            MissingArgument { what, example } => write!(f, "no {what} given: write {example}"),
            UnexpectedArgument { argument, hint } => {
                write!(f, "unexpected argument {}: {hint}", quote(argument))
            }
        }
    }
}

/// What tells two addresses of this machine apart.
fn kind(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Tcp(_) => "ports",
        Endpoint::Unix(_) => "names",
    }
}

impl std::error::Error for UsageError {}
