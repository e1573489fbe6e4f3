//! The command line of the download client.

use super::command::{Command, Get};
use super::error::UsageError;
use super::help;
use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::scan::{Scan, scan};
use super::sheet::{Page, Sheet};
use crate::config::quote;
use std::ffi::OsString;

const PAGE: Page = Page {
    summary: "Downloads a file, following redirects, and says which server it came from.",
    examples: &[
        ("loadbalancer get http://localhost:8080/file", "save it as ./file"),
        ("loadbalancer get http://localhost:8080/file -o copy", "save it as ./copy"),
        ("loadbalancer get http://localhost:8080/file -o -", "print it"),
        ("loadbalancer get https://www.example.org/file", "from a server in TLS"),
        (
            "loadbalancer get -q -o /dev/null http://localhost:8080/",
            "check that it can be downloaded, as a container's health check",
        ),
    ],
    usage: &["loadbalancer get URL [-o FILE] [-q]"],
    notes: &[
        "Exit status: 0 saved, 2 wrong command line; otherwise the download failed, as with a \
         status of 400 or above.",
    ],
};

/// Every option of the download client.
pub static OPTIONS: [Opt<Get>; 4] = [
    Opt {
        long: "output",
        short: Some('o'),
        value: "FILE",
        group: Group::Where,
        help: "Save as FILE; - is standard output",
        modes: EVERY,
        take: Take::Path {
            set: |get, path| {
                get.output = Some(path);
                Ok(())
            },
            default: |_| "the last part of the URL, in the current directory".to_owned(),
        },
    },
    Opt {
        long: "quiet",
        short: Some('q'),
        value: "",
        group: Group::Logging,
        help: "Print only errors",
        modes: EVERY,
        take: Take::Flag { set: |get| get.quiet = true, is_set: |get| get.quiet },
    },
    Opt::help(),
    Opt::version(),
];

/// Reads the words after `get`.
pub fn get(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows: Vec<&Opt<Get>> = OPTIONS.iter().collect();
    let mut get = Get::default();
    let given = match scan(&rows, words, "loadbalancer get", &mut get)? {
        Scan::Summary | Scan::Help => return Ok(Command::Help(help_text)),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let mut arguments = given.arguments.into_iter().map(|argument| argument.text);
    let example = "loadbalancer get http://localhost:8080/file";
    let url = arguments.next().ok_or(UsageError::MissingArgument { what: "URL", example })?;
    if let Some(argument) = arguments.next() {
        let hint = "get takes one URL, run it again for the next";
        return Err(UsageError::UnexpectedArgument { argument, hint });
    }
    get.url = check(url)?;
    Ok(Command::Get(get))
}

/// What is shown of it.
pub fn sheet() -> Sheet {
    Sheet::new("loadbalancer get", &PAGE, &OPTIONS, &Get::default())
}

fn help_text(columns: usize) -> String {
    help::text(&sheet(), &[], columns)
}

/// Accepts `http://` or `https://` followed by a host, without spaces; the rest is checked on connecting.
fn check(url: String) -> Result<String, UsageError> {
    let shown = quote(&url);
    let reason = match url.split_once("://") {
        None => format!("{shown} is not a URL: write {}", quote(&format!("http://{url}"))),
        Some((scheme, _))
            if !["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) =>
        {
            format!("{shown} is no URL of HTTP: write one beginning with http:// or https://")
        }
        Some((_, rest)) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => {
            format!("{shown} names no host: write http://host:port/file")
        }
        Some(_) if url.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            format!("{shown} has a space in it: write %20 for it")
        }
        Some(_) => return Ok(url),
    };
    Err(UsageError::BadArgument(reason))
}
