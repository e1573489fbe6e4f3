//! `loadbalancer --man`, `--completions SHELL` and `--print-unit -- OPTIONS...`: what is printed
//! for an installation.

use super::balance;
use super::command::Command;
use super::error::UsageError;
use super::shell::{SHELLS, Shell};
use super::unit::Unit;
use super::value::choice;
use super::{completions, man};
use std::ffi::OsString;

/// Reads a command line whose first word asks for a document; none for all others.
pub fn document(words: &[OsString]) -> Option<Result<Command, UsageError>> {
    let (first, rest) = words.split_first()?;
    let (name, attached) = match first.to_str()?.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (first.to_str()?, None),
    };
    match (name, attached) {
        ("--man", None) => Some(nothing_after(rest).map(|()| Command::Help(man::text))),
        ("--completions", _) => Some(completions(attached, rest)),
        ("--print-unit", None) => Some(unit(rest)),
        ("--man" | "--print-unit", Some(_)) => {
            Some(Err(UsageError::UnexpectedValue(name.to_owned())))
        }
        (_, _) => None,
    }
}

fn nothing_after(rest: &[OsString]) -> Result<(), UsageError> {
    match rest.first() {
        None => Ok(()),
        Some(word) => {
            let argument = word.to_string_lossy().into_owned();
            Err(UsageError::UnexpectedArgument { argument, hint: "leave it out" })
        }
    }
}

fn completions(attached: Option<&str>, rest: &[OsString]) -> Result<Command, UsageError> {
    let spelled = "--completions".to_owned();
    let (shell, rest) = match (attached, rest) {
        (Some(shell), rest) => (shell.to_owned(), rest),
        (None, [shell, rest @ ..]) => (shell.to_string_lossy().into_owned(), rest),
        (None, []) => {
            return Err(UsageError::MissingValue { spelled, value: "SHELL", follows: None });
        }
    };
    let shell =
        choice(&shell, &SHELLS).map_err(|reason| UsageError::BadValue { spelled, reason })?;
    nothing_after(rest)?;
    Ok(Command::Help(match shell {
        Shell::Bash => completions::bash::script,
        Shell::Zsh => completions::zsh::script,
        Shell::Fish => completions::fish::script,
    }))
}

/// Reads the command line of a service, and what is wrong with it as a call of its own.
fn unit(rest: &[OsString]) -> Result<Command, UsageError> {
    let [dashes, words @ ..] = rest else { return Err(UsageError::NoServiceLine) };
    if dashes != "--" {
        return Err(UsageError::NoServiceLine);
    }
    match balance::balance(words.to_vec())? {
        Command::Balance(config) => {
            let texts = words.iter().map(|word| word.to_str().map(str::to_owned));
            // Names of files need not be UTF-8, but unit files are.
            let texts = texts.collect::<Option<Vec<_>>>().ok_or_else(|| {
                let word = words.iter().find(|word| word.to_str().is_none());
                let word = word.map(|word| word.to_string_lossy().into_owned());
                UsageError::NotUtf8(word.unwrap_or_default())
            })?;
            let unit = Unit::new(config, texts);
            unit.map(|unit| Command::Unit(Box::new(unit))).map_err(UsageError::NoService)
        }
        Command::PrintConfig(..) => {
            Err(UsageError::NoService("--print-config does not serve: leave it out".to_owned()))
        }
        // As a call of its own would answer.
        other => Ok(other),
    }
}
