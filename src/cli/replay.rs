//! The command line of the replay of recorded choices.

use super::command::{Command, Replay};
use super::error::UsageError;
use super::help;
use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::scan::{Scan, scan};
use super::sheet::{Page, Sheet};
use super::strategy;
use std::ffi::OsString;
use std::path::PathBuf;

const PAGE: Page = Page {
    summary: "Makes the choices of a record again, or compares its strategy with another one.",
    examples: &[
        ("loadbalancer 8080 1234 5678 --record run.record", "make a record"),
        ("loadbalancer replay run.record", "number, time and server of each choice"),
        (
            "loadbalancer replay run.record -s least-time",
            "what least-time would have made of the same requests",
        ),
    ],
    usage: &["loadbalancer replay FILE [-s NAME]"],
    notes: &["Exit status: 0 done, 1 the record is bad or cut off, 2 wrong command line. More: \
         loadbalancer help replay."],
};

/// Every option of the replay.
pub static OPTIONS: [Opt<Replay>; 3] = [
    Opt {
        long: "strategy",
        short: Some('s'),
        value: "NAME",
        group: Group::How,
        help: "Compare with this strategy: shares, waiting and response times",
        modes: EVERY,
        take: Take::Choice {
            names: strategy::all,
            set: |replay, text| {
                strategy::parse(text).map(|strategy| replay.strategy = Some(strategy))
            },
            default: |_| String::new(),
        },
    },
    Opt::help(),
    Opt::version(),
];

/// Reads the words after `replay`.
pub fn replay(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows: Vec<&Opt<Replay>> = OPTIONS.iter().collect();
    let mut replay = Replay::default();
    let given = match scan(&rows, words, "loadbalancer replay", &mut replay)? {
        Scan::Summary | Scan::Help => return Ok(Command::Help(help_text)),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let mut arguments = given.arguments.into_iter().map(|argument| argument.text);
    let example = "loadbalancer replay run.record";
    let file = arguments.next().ok_or(UsageError::MissingArgument { what: "FILE", example })?;
    if let Some(argument) = arguments.next() {
        let hint = "replay takes one file";
        return Err(UsageError::UnexpectedArgument { argument, hint });
    }
    replay.file = PathBuf::from(file);
    Ok(Command::Replay(replay))
}

/// What is shown of it.
pub fn sheet() -> Sheet {
    Sheet::new("loadbalancer replay", &PAGE, &OPTIONS, &Replay::default())
}

fn help_text(columns: usize) -> String {
    help::text(&sheet(), &[], columns)
}
