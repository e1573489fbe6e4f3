//! The help of the balancer and of the demo: one screen for `-h`, everything for `--help`.

use super::command::Demo;
use super::help::{self, Summary};
use super::option::{Opt, Take};
use super::options::OPTIONS;
use super::sheet::{Page, Sheet};
use super::strategy;
use super::tls_options;
use crate::config::Config;

const PAGE: Page = Page {
    summary: "Balances HTTP or TCP over several servers: one process, no configuration file.",
    examples: &[
        ("loadbalancer 8080 1234 5678", "port 8080 over two local servers"),
        ("loadbalancer 8080 -N 8 1234 -R 7 5678 1248", "options and ports in any order"),
        (
            "loadbalancer -b localhost:8081 10.0.0.2:8082 -c 10 -s rr -p 8000",
            "long form; -b takes one or more; without -p port 80",
        ),
        (
            "loadbalancer 0 -f servers.txt -m redirect -s rank -c 120",
            "backends from a file, on a free port; clients are redirected to them",
        ),
        (
            "loadbalancer 8080 5000 5001 5002 5003 -s least-time",
            "over four servers, the fastest first",
        ),
        ("loadbalancer 8080 1234 5678 --check", "would it work? asks both servers, then ends"),
        ("loadbalancer demo", "no server yet? it starts three of its own, on port 8080"),
        ("loadbalancer httpserver 1234 -l /tmp/log1234", "a small server to balance over"),
        ("loadbalancer get http://localhost:8080/file", "download a file through it"),
    ],
    usage: &[
        "loadbalancer [OPTIONS] ADDR BACKEND...",
        "loadbalancer [OPTIONS] [-p ADDR] -b BACKEND... | -f FILE",
        "loadbalancer demo | httpserver | get | top | ctl | replay  (each has --help)",
        "loadbalancer help [TOPIC]                                  (the manual)",
        "loadbalancer version",
    ],
    notes: &[
        "ADDR is PORT, HOST:PORT or [IPv6]:PORT. A port alone listens on all interfaces, or means \
         a backend on localhost; port 0 listens on a free one.",
        "TIME is 500ms, 5s, 1m, 2h or a number of seconds such as 0.5.",
        "Ctrl-C or SIGTERM finishes the requests in flight, a second one stops at once. \
         Exit status: 0 stopped, 1 could not start, 2 wrong command line.",
    ],
};

const DEMO_PAGE: Page = Page {
    summary: "Starts three small servers and balances over them, on this machine only.",
    examples: &[
        ("loadbalancer demo", "then open http://127.0.0.1:8080/"),
        ("loadbalancer demo 9000 -s least-time -v", "another port, reasons shown"),
        ("loadbalancer demo --tls", "https, with its own certificate"),
    ],
    usage: &["loadbalancer demo [ADDR] [OPTIONS]"],
    notes: &[
        "ADDR is PORT, HOST:PORT or [IPv6]:PORT. A port alone listens on 127.0.0.1.",
        "TIME is 500ms, 5s, 1m, 2h or a number of seconds such as 0.5.",
    ],
};

const SUMMARY: Summary = Summary {
    usage: &[
        "loadbalancer [OPTIONS] ADDR BACKEND...",
        "loadbalancer demo | httpserver | get | top | ctl | help | version",
    ],
    examples: &[
        ("loadbalancer 8080 1234 5678", "two servers on this machine"),
        ("loadbalancer 80 10.0.0.1:80 10.0.0.2:80", "two others, on port 80"),
        ("loadbalancer 8080 -f servers.txt", "servers from a list file"),
        ("loadbalancer 5432 -m tcp db1:5432 db2:5432", "any protocol over TCP"),
        ("loadbalancer demo", "no server yet? it starts three"),
    ],
    options: &[
        ("listen", "where to listen; else the first ADDR"),
        ("backend", "servers, or give them after the first ADDR"),
        ("file", "servers from a list file, read again on change"),
        ("strategy", "how a server is chosen, see help strategies"),
        ("mode", "http, tcp or redirect"),
        ("check-interval", "time between two health checks"),
        ("max-pairs", "requests in flight at once; others queue"),
        ("retries", "retries on other servers"),
        ("log", "access log; - is standard output"),
        ("verbose", "a line per request: which server, and why"),
    ],
    more: "All options: loadbalancer --help. The manual: loadbalancer help.",
};

const DEMO_SUMMARY: Summary = Summary {
    usage: &["loadbalancer demo [ADDR] [OPTIONS]"],
    examples: DEMO_PAGE.examples,
    options: &[
        ("listen", "where to listen"),
        ("strategy", "how a server is chosen, see help strategies"),
        ("mode", "http, tcp or redirect"),
        ("check-interval", "time between two health checks"),
        ("log", "access log; - is standard output"),
        ("verbose", "a line per request: which server, and why"),
    ],
    more: "All options: loadbalancer demo --help. The manual: loadbalancer help.",
};

/// Every option of the balancer.
pub fn balance_options() -> Vec<&'static Opt<Config>> {
    OPTIONS.iter().collect()
}

/// The options of the demo: it brings its own backends, so that there is nothing to check, and
/// prints nothing but help.
pub fn demo_options() -> Vec<&'static Opt<Config>> {
    let is_ours = |row: &&Opt<Config>| {
        matches!(row.long, "backend" | "file" | "takeover" | "check" | "print-config")
            || matches!(row.take, Take::First { .. })
    };
    let own = std::iter::once(&tls_options::DEMO_TLS);
    own.chain(OPTIONS.iter().filter(|row| !is_ours(row))).collect()
}

/// What is shown of the balancer.
pub fn balance_sheet() -> Sheet {
    Sheet::new("loadbalancer", &PAGE, balance_options(), &Config::default())
}

/// What is shown of the demo.
pub fn demo_sheet() -> Sheet {
    Sheet::new("loadbalancer demo", &DEMO_PAGE, demo_options(), &Demo::default().config)
}

/// `loadbalancer -h`.
pub fn balance_summary(_columns: usize) -> String {
    help::summary(&balance_sheet(), &SUMMARY)
}

/// `loadbalancer --help`.
pub fn balance_help(columns: usize) -> String {
    full(&balance_sheet(), columns)
}

/// `loadbalancer demo -h`.
pub fn demo_summary(_columns: usize) -> String {
    help::summary(&demo_sheet(), &DEMO_SUMMARY)
}

/// `loadbalancer demo --help`.
pub fn demo_help(columns: usize) -> String {
    full(&demo_sheet(), columns)
}

/// The strategies by all their names, with what they do.
pub fn strategies() -> Vec<(String, String)> {
    strategy::names()
        .map(|(name, aliases, explanation)| {
            let names = [&[name], aliases].concat().join(", ");
            (names, explanation.to_owned())
        })
        .collect()
}

/// The help text with the strategies.
fn full(sheet: &Sheet, columns: usize) -> String {
    help::text(sheet, &[("Strategies (-s)", &strategies())], columns)
}
