//! `loadbalancer help [TOPIC]`: a chapter of the manual or the help text of a command; and
//! `loadbalancer version`.

use super::command::{COMMANDS, Command};
use super::error::UsageError;
use super::suggest::nearest;
use super::{balance, ctl, get, httpserver, pages, top};
use crate::manual::{self, TOPICS};
use std::ffi::OsString;

/// Reads the words after `loadbalancer help`; without any, the list of chapters is asked for.
pub fn help(words: Vec<OsString>) -> Result<Command, UsageError> {
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    let Some(name) = words.next() else { return Ok(Command::Help(contents)) };
    if let Some(argument) = words.next() {
        let hint = "help takes one topic";
        return Err(UsageError::UnexpectedArgument { argument, hint });
    }
    let help_option = || vec![OsString::from("--help")];
    match name.as_str() {
        "help" | "-h" | "--help" => Ok(Command::Help(contents)),
        "options" | "loadbalancer" => Ok(Command::Help(pages::balance_help)),
        "version" => Ok(Command::Version),
        "demo" => balance::demo(help_option()),
        "httpserver" => httpserver::httpserver(help_option()),
        "get" => get::get(help_option()),
        "top" => top::top(help_option()),
        "ctl" => ctl::ctl(help_option()),
        _ => match manual::topic(&name) {
            Some(topic) => Ok(Command::Topic(topic.text)),
            None => Err(unknown(name)),
        },
    }
}

/// Reads the words after `loadbalancer version`.
pub fn version(words: Vec<OsString>) -> Result<Command, UsageError> {
    match words.first() {
        None => Ok(Command::Version),
        Some(word) => {
            let argument = word.to_string_lossy().into_owned();
            Err(UsageError::UnexpectedArgument { argument, hint: "version takes none" })
        }
    }
}

/// The chapters of the manual; they fit any terminal.
fn contents(_columns: usize) -> String {
    manual::contents()
}

fn unknown(word: String) -> UsageError {
    let names = TOPICS.iter().map(|topic| topic.name).chain(COMMANDS);
    let near = nearest(&word, names);
    UsageError::UnknownTopic { word, near }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn every_topic_gives_its_chapter() {
        for topic in TOPICS {
            match help(words(topic.name)) {
                Ok(Command::Topic(text)) => assert_eq!(text, topic.text),
                other => panic!("{}: {other:?}", topic.name),
            }
        }
    }

    #[test]
    fn without_a_topic_all_are_listed() {
        for line in ["", "help", "--help"] {
            match help(words(line)) {
                Ok(Command::Help(text)) => assert_eq!(text(80), manual::contents(), "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_command_gives_its_help_text() {
        for command in ["demo", "httpserver", "get", "top", "ctl"] {
            match help(words(command)) {
                Ok(Command::Help(text)) => assert!(text(80).contains(command), "{command}"),
                other => panic!("{command}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_topic_is_refused_with_a_suggestion() {
        let table = [
            ("retrys", "there is no topic `retrys`; did you mean loadbalancer help retries?"),
            ("zzz", "there is no topic `zzz`; loadbalancer help lists all topics"),
            ("limits logs", "unexpected argument `logs`: help takes one topic"),
        ];
        for (line, expected) in table {
            let wrong = help(words(line)).expect_err(line).to_string();
            assert_eq!(wrong, expected, "{line}");
        }
    }
}
