//! The commands that balance: which arguments are backends, where to listen, and which options go
//! together. The options themselves are in [`options`](super::options).

use super::command::{COMMANDS, Command, Demo};
use super::error::UsageError;
use super::help::{self, Page};
use super::option::Opt;
use super::options::OPTIONS;
use super::rules::settle;
use super::scan::{Argument, Scan, scan};
use super::strategy;
use super::suggest::nearest;
use crate::config::{AddressError, BACKENDS_MAX, BackendSpec, Config, Endpoint};
use std::ffi::OsString;
use std::net::IpAddr;

const PAGE: Page = Page {
    program: "loadbalancer",
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
        ("loadbalancer demo", "no server yet? it starts three of its own, on port 8080"),
        ("loadbalancer httpserver 1234 -l /tmp/log1234", "a small server to balance over"),
        ("loadbalancer get http://localhost:8080/file", "download a file through it"),
    ],
    usage: &[
        "loadbalancer [OPTIONS] ADDR BACKEND...",
        "loadbalancer [OPTIONS] [-p ADDR] -b BACKEND... | -f FILE",
        "loadbalancer demo | httpserver | get    (each has its own --help)",
        "loadbalancer help [TOPIC]               (the manual, chapter by chapter)",
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
    program: "loadbalancer demo",
    summary: "Starts three small servers and balances over them, on this machine only.",
    examples: &[
        ("loadbalancer demo", "then open http://127.0.0.1:8080/"),
        (
            "loadbalancer demo 9000 -s least-time -v",
            "another port and strategy, with the reason of each choice",
        ),
    ],
    usage: &["loadbalancer demo [ADDR] [OPTIONS]"],
    notes: &[
        "ADDR is PORT, HOST:PORT or [IPv6]:PORT. A port alone listens on 127.0.0.1.",
        "TIME is 500ms, 5s, 1m, 2h or a number of seconds such as 0.5.",
    ],
};

/// Reads the words of `loadbalancer` itself.
pub fn balance(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows: Vec<&Opt<Config>> = OPTIONS.iter().collect();
    let mut config = Config::default();
    let mut given = match scan(&rows, words, PAGE.program, &mut config)? {
        Scan::Help => return Ok(Command::Help(page(&PAGE, &rows, &Config::default()))),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let is_positional = |argument: &Argument| argument.option.is_none();
    if !given.has("listen")
        && let Some(first) = given.arguments.iter().position(is_positional)
    {
        config.listen = address(&given.arguments.remove(first), Endpoint::listener)?;
    }
    for argument in &given.arguments {
        let backend = address(argument, Endpoint::backend)?;
        add(&mut config, backend)?;
    }
    if config.backends.is_empty() && config.list_file.is_none() {
        return Err(UsageError::NoBackend);
    }
    settle(&mut config, &rows, &given)?;
    Ok(Command::Balance(config))
}

/// Reads the words after `loadbalancer demo`.
pub fn demo(words: Vec<OsString>) -> Result<Command, UsageError> {
    let is_demo = |row: &&Opt<Config>| !matches!(row.long, "backend" | "file");
    let rows: Vec<&Opt<Config>> = OPTIONS.iter().filter(is_demo).collect();
    let mut config = Demo::default().config;
    let given = match scan(&rows, words, DEMO_PAGE.program, &mut config)? {
        Scan::Help => {
            let defaults = Demo::default().config;
            return Ok(Command::Help(page(&DEMO_PAGE, &rows, &defaults)));
        }
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let mut arguments = given.arguments.iter();
    if !given.has("listen")
        && let Some(argument) = arguments.next()
    {
        config.listen = address(argument, Endpoint::listener)?;
    }
    if let Some(argument) = arguments.next() {
        let hint = "the demo takes one address and brings its own backends";
        return Err(UsageError::UnexpectedArgument { argument: argument.text.clone(), hint });
    }
    // The demo must not open a port to the network unless asked to.
    config.listen.host.get_or_insert_with(|| "127.0.0.1".to_owned());
    settle(&mut config, &rows, &given)?;
    Ok(Command::Demo(Demo { config }))
}

/// The help text with the strategies.
fn page(page: &Page, rows: &[&'static Opt<Config>], defaults: &Config) -> String {
    let strategies: Vec<(String, String)> = strategy::names()
        .map(|(name, aliases, explanation)| {
            let names = [&[name], aliases].concat().join(", ");
            (names, explanation.to_owned())
        })
        .collect();
    help::text(page, rows, defaults, &[("Strategies (-s)", &strategies)])
}

/// Reads one address; an argument that is nearly a command gets that hint instead.
fn address(
    argument: &Argument,
    read: fn(&str) -> Result<Endpoint, AddressError>,
) -> Result<Endpoint, UsageError> {
    let Argument { text, option } = argument;
    read(text).map_err(|error| {
        if let Some(spelled) = option.clone() {
            return UsageError::BadValue { spelled, reason: error.to_string() };
        }
        let is_name = text.bytes().all(|b| b.is_ascii_alphabetic());
        match nearest(text, COMMANDS.into_iter()) {
            Some(command) if command == text => UsageError::CommandNotFirst(command),
            Some(near) if is_name => UsageError::UnknownCommand { word: text.clone(), near },
            Some(_) | None => UsageError::BadArgument(error.to_string()),
        }
    })
}

fn add(config: &mut Config, backend: Endpoint) -> Result<(), UsageError> {
    if config.backends.iter().any(|spec| spec.endpoint.is_same_backend(&backend)) {
        return Err(UsageError::RepeatedBackend(backend));
    }
    if is_loop(&config.listen, &backend) {
        return Err(UsageError::Loop(backend));
    }
    if config.backends.len() == BACKENDS_MAX {
        return Err(UsageError::TooManyBackends);
    }
    config.backends.push(BackendSpec::new(backend));
    Ok(())
}

/// Whether a backend is certainly the balancer itself. Names other than `localhost` are not
/// resolved here; what is not certain is allowed.
fn is_loop(listen: &Endpoint, backend: &Endpoint) -> bool {
    let ip = |host: &str| host.parse::<IpAddr>().ok();
    let listens_everywhere =
        listen.host.as_deref().is_none_or(|host| ip(host).is_some_and(|ip| ip.is_unspecified()));
    let is_local = backend.host.as_deref().is_none_or(|host| {
        host.eq_ignore_ascii_case("localhost") || ip(host).is_some_and(|ip| ip.is_loopback())
    });
    let is_same = listen.host.is_some() && listen.is_same_backend(backend);
    listen.port == backend.port && (is_same || (listens_everywhere && is_local))
}
