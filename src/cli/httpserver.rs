//! The command line of the file server for demonstrations.

use super::command::{Command, HttpServer};
use super::duration::LONGEST;
use super::error::UsageError;
use super::help;
use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::scan::{Scan, scan};
use super::sheet::{Page, Sheet};
use super::value::{share, shown_size, size};
use crate::config::{AddressError, HostPort};
use std::ffi::OsString;
use std::time::Duration;

const PAGE: Page = Page {
    summary: "A small HTTP server to balance over; also runs under the name httpserver.",
    examples: &[
        ("loadbalancer httpserver 1234", "serve the current directory on port 1234"),
        ("loadbalancer httpserver 1234 -l /tmp/log1234", "with a log"),
        (
            "loadbalancer httpserver 1234 --delay 200ms --fail-rate 10%",
            "slow and failing, for experiments",
        ),
        ("curl -T xyz http://localhost:1234/xyz", "upload a file"),
        ("curl http://localhost:1234/100", "a page with pi to 100 terms, 1 ms each"),
    ],
    usage: &["loadbalancer httpserver ADDR [OPTIONS]"],
    notes: &[
        "ADDR is PORT, HOST:PORT or [IPv6]:PORT. A port alone listens on 127.0.0.1, 0.0.0.0:PORT \
         on all interfaces, port 0 on a free port.",
        "SIZE is a number of bytes, or of KiB, MiB or GiB with k, m or g: 500m.",
        "TIME is 500ms, 5s, 1m, 2h or a number of seconds such as 0.5.",
    ],
};

/// Every option of the file server.
pub static OPTIONS: [Opt<HttpServer>; 10] = [
    Opt::listen(
        "Address to listen on (or give it alone, without -p)",
        |server, v| HostPort::listener(v).map(|at| server.listen = at),
        |_| String::new(),
    ),
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
    Opt::log(|server| &mut server.log),
    Opt {
        long: "delay",
        short: None,
        value: "TIME",
        group: Group::Experiments,
        help: "Wait before each answer",
        modes: EVERY,
        take: Take::Duration {
            at: |server| &mut server.delay,
            least: Duration::ZERO,
            most: LONGEST,
        },
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
        long: "max-upload",
        short: None,
        value: "SIZE",
        group: Group::Limits,
        help: "Longest upload; a longer one is answered 413",
        modes: EVERY,
        take: Take::Text {
            set: |server, text| size(text).map(|bytes| server.max_upload = bytes),
            default: |server| shown_size(server.max_upload),
        },
    },
    Opt {
        long: "until-eof",
        short: None,
        value: "",
        group: Group::How,
        help: "Stop when standard input ends",
        modes: EVERY,
        take: Take::Flag { set: |it| it.until_eof = true, is_set: |it| it.until_eof },
    },
    Opt {
        long: "remove-dir",
        short: None,
        value: "",
        group: Group::How,
        help: "With --until-eof and -d: remove DIR with all its files then",
        modes: EVERY,
        take: Take::Flag { set: |it| it.remove_dir = true, is_set: |it| it.remove_dir },
    },
    Opt::help(),
    Opt::version(),
];

/// Reads the words after `httpserver`.
pub fn httpserver(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows: Vec<&Opt<HttpServer>> = OPTIONS.iter().collect();
    let mut server = HttpServer::default();
    let given = match scan(&rows, words, "loadbalancer httpserver", &mut server)? {
        Scan::Summary | Scan::Help => return Ok(Command::Help(help_text)),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    if server.remove_dir && !(server.until_eof && given.has("dir")) {
        let reason = "--remove-dir needs --until-eof and -d: add both or leave it out";
        return Err(UsageError::Conflict(reason));
    }
    let mut arguments = given.arguments.iter();
    if !given.has("listen") {
        let what = "port to listen on";
        let missing = UsageError::MissingArgument { what, example: "loadbalancer httpserver 1234" };
        let argument = arguments.next().ok_or(missing)?;
        let bad = |error: AddressError| UsageError::BadArgument(error.to_string());
        server.listen = HostPort::listener(&argument.text).map_err(bad)?;
    }
    match arguments.next() {
        Some(argument) => {
            let hint = "start another httpserver for it";
            Err(UsageError::UnexpectedArgument { argument: argument.text.clone(), hint })
        }
        None => Ok(Command::HttpServer(server)),
    }
}

/// What is shown of it.
pub fn sheet() -> Sheet {
    Sheet::new("loadbalancer httpserver", &PAGE, &OPTIONS, &HttpServer::default())
}

fn help_text(columns: usize) -> String {
    help::text(&sheet(), &[], columns)
}
