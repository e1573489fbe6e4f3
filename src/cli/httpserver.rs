//! The command line of the demo backend.

use super::duration::LONGEST;
use super::error::UsageError;
use super::help::{self, Page};
use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::scan::{Scan, scan};
use super::value::{log_target, share, shown_log};
use super::{Command, HttpServer};
use crate::config::{AddressError, Endpoint};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const PAGE: Page = Page {
    program: "loadbalancer httpserver",
    summary: "A small HTTP server to balance over; also runs under the name httpserver.",
    examples: &[
        ("loadbalancer httpserver 1234", "serve the current directory on port 1234"),
        ("loadbalancer httpserver 1234 -l /tmp/log1234", "with a log"),
        ("loadbalancer httpserver 1234 --delay 200ms --fail-rate 10%", "a bad day, to try things"),
        ("curl -T xyz http://localhost:1234/xyz", "upload a file"),
        ("curl http://localhost:1234/100", "a page with pi to 100 terms, 1 ms each"),
    ],
    usage: &["loadbalancer httpserver ADDR [OPTIONS]"],
    notes: &[
        "ADDR is PORT, HOST:PORT or [IPv6]:PORT; a port alone is one of all interfaces, port 0 a \
         free one.",
        "TIME is 500ms, 5s, 1m, 2h or a number of seconds such as 0.5.",
    ],
};

/// Every option of the demo backend.
pub static OPTIONS: [Opt<HttpServer>; 8] = [
    Opt {
        long: "listen",
        short: Some('p'),
        value: "ADDR",
        group: Group::Where,
        help: "Listen here, as ADDR alone does",
        modes: EVERY,
        take: Take::Text {
            set: |server, text| {
                let listen = Endpoint::listener(text).map_err(|wrong| wrong.to_string())?;
                server.listen = listen;
                Ok(())
            },
            default: |_| String::new(),
        },
    },
    Opt {
        long: "dir",
        short: Some('d'),
        value: "DIR",
        group: Group::Where,
        help: "Serve the files under DIR, and store uploads there",
        modes: EVERY,
        take: Take::Path {
            set: |server, dir| {
                server.dir = dir;
                Ok(())
            },
            default: |server| server.dir.display().to_string(),
        },
    },
    Opt {
        long: "log",
        short: Some('l'),
        value: "FILE",
        group: Group::Logging,
        help: "Append a line per request to FILE; - is standard output",
        modes: EVERY,
        take: Take::Path {
            set: |server, path| {
                server.log = Some(log_target(path));
                Ok(())
            },
            default: |server| shown_log(server.log.as_ref()),
        },
    },
    Opt {
        long: "delay",
        short: None,
        value: "TIME",
        group: Group::Experiments,
        help: "Wait before each answer",
        modes: EVERY,
        take: Take::Span { at: |server| &mut server.delay, least: Duration::ZERO, most: LONGEST },
    },
    Opt {
        long: "fail-rate",
        short: None,
        value: "SHARE",
        group: Group::Experiments,
        help: "Fail this share of the requests, such as 0.3 or 30%",
        modes: EVERY,
        take: Take::Text {
            set: |server, text| share(text).map(|rate| server.fail_rate = rate),
            default: |server| server.fail_rate.to_string(),
        },
    },
    Opt {
        long: "until-eof",
        short: None,
        value: "",
        group: Group::How,
        help: "Stop when standard input ends",
        modes: EVERY,
        take: Take::Flag(|server| server.until_eof = true),
    },
    Opt::help(),
    Opt::version(),
];

impl Default for HttpServer {
    /// What a call without options gives. The port has no default: a call without one is refused.
    fn default() -> HttpServer {
        HttpServer {
            listen: Endpoint { host: None, port: 0 },
            log: None,
            dir: PathBuf::from("."),
            delay: Duration::ZERO,
            fail_rate: 0.0,
            until_eof: false,
        }
    }
}

/// Reads the words after `httpserver`.
pub fn httpserver(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows: Vec<&Opt<HttpServer>> = OPTIONS.iter().collect();
    let mut server = HttpServer::default();
    let given = match scan(&rows, words, PAGE.program, &mut server)? {
        Scan::Help => {
            return Ok(Command::Help(help::text(&PAGE, &rows, &HttpServer::default(), &[])));
        }
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let mut words = given.words.iter();
    if !given.has("listen") {
        let what = "port to listen on";
        let missing = UsageError::Missing { what, example: "loadbalancer httpserver 1234" };
        let word = words.next().ok_or(missing)?;
        let bad = |wrong: AddressError| UsageError::BadWord(wrong.to_string());
        server.listen = Endpoint::listener(&word.text).map_err(bad)?;
    }
    match words.next() {
        Some(word) => {
            let mend = "start another httpserver for it";
            Err(UsageError::Surplus { word: word.text.clone(), mend })
        }
        None => Ok(Command::HttpServer(server)),
    }
}
