//! The command line of the live table of servers.

use super::command::{Command, Top};
use super::error::UsageError;
use super::help;
use super::option::Opt;
use super::scan::{Scan, scan};
use super::sheet::{Page, Sheet};
use crate::config::HostPort;
use std::ffi::OsString;

const PAGE: Page = Page {
    summary: "Shows the servers of a running balancer, live in a terminal.",
    examples: &[
        ("loadbalancer top", "of the balancer whose admin address is 127.0.0.1:8081"),
        ("loadbalancer top 9000", "another port of this machine"),
        ("loadbalancer top | cat", "print the table once"),
    ],
    usage: &["loadbalancer top [ADDR]"],
    notes: &[
        "ADDR is what follows --admin at the balancer: PORT, HOST:PORT or [IPv6]:PORT; \
         a port alone is on 127.0.0.1. Without ADDR it is 127.0.0.1:8081, as in the demo.",
        "The table is drawn once a second; q or Ctrl-C ends it. Where standard output is no \
         terminal it is printed once. Exit status: 0 shown, 1 no answer, 2 wrong command line.",
    ],
};

/// Every option of the table.
pub static OPTIONS: [Opt<Top>; 2] = [Opt::help(), Opt::version()];

/// Reads the words after `top`.
pub fn top(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows: Vec<&Opt<Top>> = OPTIONS.iter().collect();
    let mut top = Top::default();
    let given = match scan(&rows, words, "loadbalancer top", &mut top)? {
        Scan::Summary | Scan::Help => return Ok(Command::Help(help_text)),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let mut arguments = given.arguments.into_iter().map(|argument| argument.text);
    if let Some(text) = arguments.next() {
        // What has no host is on this machine, as at `--admin`.
        let read = HostPort::listener(&text);
        let HostPort { host, port } =
            read.map_err(|error| UsageError::BadArgument(error.to_string()))?;
        if port == 0 {
            let hint = "write the port that the balancer printed";
            return Err(UsageError::UnexpectedArgument { argument: text, hint });
        }
        let host = host.or(Top::default().admin.host);
        top.admin = HostPort { host, port };
    }
    if let Some(argument) = arguments.next() {
        let hint = "top takes one address";
        return Err(UsageError::UnexpectedArgument { argument, hint });
    }
    Ok(Command::Top(top))
}

/// What is shown of it.
pub fn sheet() -> Sheet {
    Sheet::new("loadbalancer top", &PAGE, &OPTIONS, &Top::default())
}

fn help_text(columns: usize) -> String {
    help::text(&sheet(), &[], columns)
}
