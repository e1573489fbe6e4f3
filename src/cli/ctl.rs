//! The command line of the commands for a running balancer.

use super::command::{Command, Ctl};
use super::error::UsageError;
use super::help;
use super::option::Opt;
use super::scan::{Scan, scan};
use super::sheet::{Page, Sheet};
use crate::base::address::UNIX;
use crate::wire::command::{self, CommandError};
use std::ffi::OsString;

const PAGE: Page = Page {
    summary: "Steers a balancer that runs: takes a server out and back, reloads, stops.",
    examples: &[
        ("loadbalancer ctl", "list the balancers that run"),
        ("loadbalancer ctl status", "of the only one: the program and each server"),
        ("loadbalancer ctl 8080 drain 10.0.0.2:8082", "no new request to this server"),
        ("loadbalancer ctl 8080 up 8082", "it takes requests again; its port is enough"),
        ("loadbalancer ctl 8080 weight 10.0.0.2 3", "the beginning of its name is enough, too"),
    ],
    usage: &["loadbalancer ctl [ADDR]", "loadbalancer ctl [ADDR] COMMAND"],
    notes: &[
        "ADDR is where the balancer listens, PORT, HOST:PORT, unix:/PATH or as in the list; with \
         one that runs it may be left out. SERVER is a server as written at the start, the beginning of its name \
         or its port.",
        "What is set by hand is marked in the status, stays over a reload of the list, and is gone \
         when the balancer ends. It takes commands of the same user and of root.",
        "Exit status: 0 done, 1 not done, 2 wrong command line. Chapter: loadbalancer help control.",
    ],
};

/// Every option of the commands.
pub static OPTIONS: [Opt<Ctl>; 2] = [Opt::help(), Opt::version()];

/// Reads the words after `ctl`.
pub fn ctl(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows: Vec<&Opt<Ctl>> = OPTIONS.iter().collect();
    let mut ctl = Ctl::default();
    let given = match scan(&rows, words, "loadbalancer ctl", &mut ctl)? {
        Scan::Summary | Scan::Help => return Ok(Command::Help(help_text)),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let words: Vec<String> = given.arguments.into_iter().map(|argument| argument.text).collect();
    let (place, line) = match words.split_first() {
        Some((first, rest)) if is_place(first) => (Some(first.clone()), rest),
        _ => (None, &words[..]),
    };
    if let Some(word) = line.iter().find(|word| !is_word(word)) {
        return Err(wrong(&CommandError::Unknown(word.clone())));
    }
    ctl.place = place;
    if !line.is_empty() {
        let command = command::Command::read(&line.join(" ")).map_err(|error| wrong(&error))?;
        let word = line[0].as_str();
        if !command::COMMANDS.iter().any(|(usage, _)| usage.split(' ').next() == Some(word)) {
            return Err(wrong(&CommandError::Unknown(word.to_owned())));
        }
        ctl.command = Some(command);
    }
    Ok(Command::Ctl(ctl))
}

fn wrong(error: &CommandError) -> UsageError {
    UsageError::BadArgument(error.to_string())
}

/// One word of a line of the control socket.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a text says where a balancer listens, as no command does.
fn is_place(word: &str) -> bool {
    word.starts_with(UNIX) || word.split('/').next().is_some_and(has_port)
}

/// Whether a text ends in a port.
fn has_port(text: &str) -> bool {
    text.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok())
}

/// What is shown of them.
pub fn sheet() -> Sheet {
    Sheet::new("loadbalancer ctl", &PAGE, &OPTIONS, &Ctl::default())
}

fn help_text(columns: usize) -> String {
    let commands =
        command::COMMANDS.map(|(usage, what)| (usage.to_owned(), what.to_owned())).to_vec();
    help::text(&sheet(), &[("Commands", &commands)], columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::by_hand::Wish;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn an_address_before_the_command_names_the_instance() {
        let drain = |server: &str| Some(command::Command::Set(server.to_owned(), Wish::Drain));
        for (line, place, command) in [
            ("", None, None),
            ("8080", Some("8080"), None),
            ("status", None, Some(command::Command::Status)),
            ("drain 8080", None, drain("8080")),
            ("8080 drain 8081", Some("8080"), drain("8081")),
            ("127.0.0.1:80/12 stop", Some("127.0.0.1:80/12"), Some(command::Command::Stop)),
            ("[::]:80 drain a", Some("[::]:80"), drain("a")),
            ("unix:/run/lb.sock", Some("unix:/run/lb.sock"), None),
            ("unix:@lb/12 drain unix:/a", Some("unix:@lb/12"), drain("unix:/a")),
            ("drain unix:/run/a.sock", None, drain("unix:/run/a.sock")),
        ] {
            let place = place.map(str::to_owned);
            match ctl(words(line)) {
                Ok(Command::Ctl(ctl)) => assert_eq!(ctl, Ctl { place, command }, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn other_words_are_refused() {
        for line in ["x", "8080 x", "info", "takeover 1", "ready", "drain", "drain a b", "drain é"]
        {
            let error = ctl(words(line)).expect_err(line).to_string();
            assert!(error.contains("write"), "{line}: {error}");
        }
    }
}
