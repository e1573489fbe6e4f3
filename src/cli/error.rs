//! What can be wrong with a command line, each as one line naming the culprit and the mend.

use crate::config::{BACKENDS_MAX, Endpoint, quote};
use std::fmt;

/// Wrong use. Displays as one line without the program's name; the exit code for it is 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No such option; `mend` is the nearest one or where they are listed.
    UnknownOption { spelled: String, mend: String },
    /// An option given twice that can be given once, by its names.
    OptionTwice(String),
    /// An option at the end or before another one, without its value.
    NoValue { spelled: String, value: &'static str, follows: Option<String> },
    /// A value attached to an option that takes none.
    NeedlessValue(String),
    /// A value that does not fit; `wrong` says why and the mend.
    BadValue { spelled: String, wrong: String },
    /// A word without an option that is no address or URL: why not, and the mend.
    BadWord(String),
    /// Near the name of a command.
    UnknownCommand { word: String, near: &'static str },
    /// No such topic of the manual.
    UnknownTopic { word: String, near: Option<&'static str> },
    /// A command that does not stand first.
    LateCommand(&'static str),
    /// A word that is not UTF-8, where text is needed.
    NotText(String),
    /// Nothing to balance over.
    NoBackend,
    /// The same backend twice on the command line.
    BackendTwice(Endpoint),
    /// More backends than [`BACKENDS_MAX`].
    BackendsMax,
    /// A backend that is the balancer itself.
    Loop(Endpoint),
    /// An option or strategy that does nothing in the mode at hand, and the modes where it does.
    NoEffect { spelled: String, mode: String, modes: Vec<String> },
    /// Options that cannot work together: which, and the mend.
    Conflict(&'static str),
    /// A command without the word it needs, and a call that has it.
    Missing { what: &'static str, example: &'static str },
    /// A word too many.
    Surplus { word: String, mend: &'static str },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use UsageError::*;
        match self {
            UnknownOption { spelled, mend } => {
                write!(f, "there is no option {}; {mend}", quote(spelled))
            }
            OptionTwice(names) => write!(f, "{names} is given twice: keep one"),
            NoValue { spelled, value, follows } => {
                let before = follows.as_ref().map(|next| format!(" before {}", quote(next)));
                let before = before.unwrap_or_default();
                write!(f, "{spelled} needs a value: write {spelled} {value}{before}")
            }
            NeedlessValue(spelled) => write!(f, "{spelled} takes no value: write it alone"),
            BadValue { spelled, wrong } => write!(f, "{spelled}: {wrong}"),
            BadWord(wrong) => f.write_str(wrong),
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
            LateCommand(word) => {
                write!(f, "the command `{word}` comes first: write loadbalancer {word} ...")
            }
            NotText(word) => write!(f, "{} is not UTF-8: write plain text", quote(word)),
            NoBackend => f.write_str(
                "no backend to balance over: name them after the port, as in \
                 loadbalancer 8080 1234 5678, or try loadbalancer demo",
            ),
            BackendTwice(backend) => {
                write!(f, "the backend `{backend}` is given twice: keep one")
            }
            BackendsMax => {
                write!(f, "there are more than {BACKENDS_MAX} backends: leave some out")
            }
            Loop(backend) => {
                write!(f, "the backend `{backend}` is the balancer itself: change either port")
            }
            NoEffect { spelled, mode, modes } => {
                let modes = modes.join(" or -m ");
                write!(
                    f,
                    "{spelled} does nothing with -m {mode}: leave it out, or write -m {modes}"
                )
            }
            Conflict(wrong) => f.write_str(wrong),
            Missing { what, example } => write!(f, "no {what} given: write {example}"),
            Surplus { word, mend } => write!(f, "{} is one word too many: {mend}", quote(word)),
        }
    }
}

impl std::error::Error for UsageError {}
