//! Completions of the command line for shells, from the option tables. What all shells share is
//! here.

pub mod bash;
pub mod fish;
pub mod zsh;

use super::command::COMMANDS;
use super::sheet::Sheet;
use crate::manual::TOPICS;
use crate::wire::command::COMMANDS as COMMANDS_OF_CTL;

/// The key of a command in a script: `get`, and `balance` for the balancer itself.
fn key(sheet: &Sheet) -> &'static str {
    sheet.call.split(' ').nth(1).unwrap_or("balance")
}

/// What may follow `loadbalancer help`.
fn topics() -> impl Iterator<Item = (&'static str, &'static str)> {
    let commands = COMMANDS.into_iter().filter(|command| !matches!(*command, "help" | "replay"));
    let commands = commands.map(|command| (command, "the options of this command"));
    TOPICS.iter().map(|topic| (topic.name, topic.about)).chain(commands)
}

/// What a command does, in one line.
fn about(command: &str, sheets: &[Sheet]) -> &'static str {
    let sheet = sheets.iter().find(|sheet| key(sheet) == command);
    match (sheet, command) {
        (Some(sheet), _) => sheet.page.summary.trim_end_matches('.'),
        (None, "version") => "Prints the version",
        (None, _) => "Prints a chapter of the manual",
    }
}

/// The words that may follow a command; none for most.
fn words(sheet: &Sheet) -> Vec<&'static str> {
    let commands = COMMANDS_OF_CTL.iter().filter(|_| key(sheet) == "ctl");
    commands.filter_map(|(usage, _)| usage.split(' ').next()).collect()
}

/// Text between single quotes of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
