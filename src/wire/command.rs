//! The commands of the control socket, one per line.

use super::by_hand::{self, Wish};
use super::handover::VERSION;
use std::fmt;

/// What an instance is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What the list of instances shows of it, see [`super::info`].
    Info,
    /// The program and each server, in lines.
    Status,
    /// This server takes requests, or none.
    Set(String, Wish),
    /// This server has this weight, 1 to 1000.
    Weight(String, u32),
    /// The list file is read and names are looked up again.
    Reload,
    /// The access log is opened again.
    Reopen,
    /// As SIGTERM does.
    Stop,
    /// Its listening sockets, in a message of this version.
    Takeover(u8),
    /// After [`Command::Takeover`]: the sockets are in use.
    Ready,
}

/// Why a line is no command. Each displays as one clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    Empty,
    Unknown(String),
    /// The command and what follows it.
    Usage(&'static str),
    Weight(String),
    Version(String),
}

/// What follows each command that people type, and what it does.
pub const COMMANDS: [(&str, &str); 8] = [
    ("status", "the program and each server"),
    ("drain SERVER", "no new request to SERVER; what is in flight ends"),
    ("up SERVER", "SERVER takes requests again"),
    ("down SERVER", "as drain, and no probes"),
    ("weight SERVER NUM", "the weight of SERVER, 1 to 1000"),
    ("reload", "read the list file and look names up again (SIGHUP)"),
    ("reopen", "open the access log again (SIGUSR1)"),
    ("stop", "finish what is in flight and end (SIGTERM)"),
];

impl fmt::Display for CommandError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Empty => write!(out, "there is no command; write {}", words()),
            CommandError::Unknown(word) => {
                write!(out, "there is no command `{word}`; write {}", words())
            }
            CommandError::Usage(usage) => write!(out, "write `{usage}` and nothing else"),
            CommandError::Weight(text) => {
                write!(out, "the weight `{text}` is no number from 1 to 1000")
            }
            CommandError::Version(text) => write!(
                out,
                "this program takes part in takeovers of version {VERSION}, not of `{text}`; stop \
                 it and start the other one"
            ),
        }
    }
}

fn words() -> String {
    let words: Vec<&str> =
        COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or_default()).collect();
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    format!("{} or {last}", others.join(", "))
}

impl Command {
    /// Reads a line without its end.
    pub fn read(line: &str) -> Result<Command, CommandError> {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let alone = |command: Command| match words[..] {
            [_] => Ok(command),
            _ => Err(CommandError::Usage(command.usage())),
        };
        match words[..] {
            [] => Err(CommandError::Empty),
            ["info", ..] => alone(Command::Info),
            ["status", ..] => alone(Command::Status),
            ["reload", ..] => alone(Command::Reload),
            ["reopen", ..] => alone(Command::Reopen),
            ["stop", ..] => alone(Command::Stop),
            ["ready", ..] => alone(Command::Ready),
            ["takeover", version] => match version.parse() {
                Ok(version) if version == VERSION => Ok(Command::Takeover(version)),
                Ok(_) | Err(_) => Err(CommandError::Version(version.to_owned())),
            },
            ["weight", server, number] => by_hand::weight(number)
                .map(|weight| Command::Weight(server.to_owned(), weight))
                .ok_or_else(|| CommandError::Weight(number.to_owned())),
            ["takeover", ..] => Err(CommandError::Usage("takeover VERSION")),
            ["weight", ..] => Err(CommandError::Usage("weight SERVER NUM")),
            [word, ..] => match (Wish::from_word(word), &words[1..]) {
                (Some(wish), [server]) => Ok(Command::Set((*server).to_owned(), wish)),
                (Some(wish), _) => Err(CommandError::Usage(usage_of(wish))),
                (None, _) => Err(CommandError::Unknown(word.to_owned())),
            },
        }
    }

    fn usage(&self) -> &'static str {
        match self {
            Command::Info => "info",
            Command::Status => "status",
            Command::Set(_, wish) => usage_of(*wish),
            Command::Weight(..) => "weight SERVER NUM",
            Command::Reload => "reload",
            Command::Reopen => "reopen",
            Command::Stop => "stop",
            Command::Takeover(_) => "takeover VERSION",
            Command::Ready => "ready",
        }
    }
}

fn usage_of(wish: Wish) -> &'static str {
    match wish {
        Wish::Up => "up SERVER",
        Wish::Drain => "drain SERVER",
        Wish::Down => "down SERVER",
    }
}

/// The line that asks for it, without its end.
impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Set(server, wish) => write!(out, "{} {server}", wish.word()),
            Command::Weight(server, weight) => write!(out, "weight {server} {weight}"),
            Command::Takeover(version) => write!(out, "takeover {version}"),
            Command::Info
            | Command::Status
            | Command::Reload
            | Command::Reopen
            | Command::Stop
            | Command::Ready => out.write_str(self.usage()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read_as_it_is_written() {
        let server = || "10.0.0.1:80".to_owned();
        for command in [
            Command::Info,
            Command::Status,
            Command::Set(server(), Wish::Up),
            Command::Set(server(), Wish::Drain),
            Command::Set(server(), Wish::Down),
            Command::Weight(server(), 1000),
            Command::Reload,
            Command::Reopen,
            Command::Stop,
            Command::Takeover(VERSION),
            Command::Ready,
        ] {
            assert_eq!(Command::read(&command.to_string()), Ok(command));
        }
        assert_eq!(Command::read("  stop  "), Ok(Command::Stop));
    }

    #[test]
    fn every_command_for_people_is_one() {
        for (usage, _) in COMMANDS {
            let line = usage.replace("SERVER", "80").replace("NUM", "1");
            assert_eq!(Command::read(&line).map(|command| command.usage()), Ok(usage));
        }
    }

    #[test]
    fn other_lines_are_refused_in_one_clause() {
        let all = "write status, drain, up, down, weight, reload, reopen or stop";
        for (line, expected) in [
            ("", format!("there is no command; {all}")),
            ("DRAIN x", format!("there is no command `DRAIN`; {all}")),
            ("drain", "write `drain SERVER` and nothing else".to_owned()),
            ("drain a b", "write `drain SERVER` and nothing else".to_owned()),
            ("stop now", "write `stop` and nothing else".to_owned()),
            ("weight a", "write `weight SERVER NUM` and nothing else".to_owned()),
            ("weight a 0", "the weight `0` is no number from 1 to 1000".to_owned()),
            ("weight a 1001", "the weight `1001` is no number from 1 to 1000".to_owned()),
            ("weight a -1", "the weight `-1` is no number from 1 to 1000".to_owned()),
        ] {
            let error = Command::read(line).expect_err(line);
            assert_eq!(error.to_string(), expected, "{line}");
        }
        for line in ["takeover 0", "takeover 256", "takeover x"] {
            assert!(matches!(Command::read(line), Err(CommandError::Version(_))), "{line}");
        }
    }
}
