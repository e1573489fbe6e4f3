//! The commands that balance: which words are backends, where to listen, and which options go
//! together. The options themselves stand in [`options`](super::options).

use super::error::UsageError;
use super::help::{self, Page};
use super::modes;
use super::option::Opt;
use super::options::OPTIONS;
use super::scan::{Given, Scan, Word, scan};
use super::suggest::nearest;
use super::{COMMANDS, Command, Demo, strategy};
use crate::balance::Strategy;
use crate::config::{AddressError, BACKENDS_MAX, BackendSpec, Config, Endpoint, Mode};
use crate::health::Check;
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
            "backends from a file, on a free port; clients are sent to them",
        ),
        (
            "loadbalancer 8080 5000 5001 5002 5003 -s least-time",
            "over four servers, whichever answers fastest",
        ),
        ("loadbalancer demo", "nothing set up yet? three servers of its own, on port 8080"),
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
        "Ctrl-C or SIGTERM finishes what is in flight, a second one stops at once. \
         Exit code 2: wrong use; 1: the system refused.",
    ],
};

const DEMO_PAGE: Page = Page {
    program: "loadbalancer demo",
    summary: "Starts three small servers and balances over them, on this machine only.",
    examples: &[
        ("loadbalancer demo", "then open http://127.0.0.1:8080/"),
        ("loadbalancer demo 9000 -s least-time -v", "another port and strategy, each choice told"),
    ],
    usage: &["loadbalancer demo [ADDR] [OPTIONS]"],
    notes: &[
        "ADDR is PORT, HOST:PORT or [IPv6]:PORT; a port alone is one of 127.0.0.1.",
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
    let is_alone = |word: &Word| word.option.is_none();
    if !given.has("listen")
        && let Some(first) = given.words.iter().position(is_alone)
    {
        config.listen = address(&given.words.remove(first), Endpoint::listener)?;
    }
    for word in &given.words {
        let backend = address(word, Endpoint::backend)?;
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
    let mut words = given.words.iter();
    if !given.has("listen")
        && let Some(word) = words.next()
    {
        config.listen = address(word, Endpoint::listener)?;
    }
    if let Some(word) = words.next() {
        let mend = "the demo takes one address and brings its own backends";
        return Err(UsageError::Surplus { word: word.text.clone(), mend });
    }
    // Whoever only wants to look must not open a port to the network.
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

/// Reads one address; a word that is nearly a command gets that hint instead.
fn address(
    word: &Word,
    read: fn(&str) -> Result<Endpoint, AddressError>,
) -> Result<Endpoint, UsageError> {
    read(&word.text).map_err(|wrong| {
        if let Some(spelled) = word.option.clone() {
            return UsageError::BadValue { spelled, wrong: wrong.to_string() };
        }
        let is_name = word.text.bytes().all(|b| b.is_ascii_alphabetic());
        match nearest(&word.text, COMMANDS.into_iter()) {
            Some(command) if command == word.text => UsageError::LateCommand(command),
            Some(near) if is_name => UsageError::UnknownCommand { word: word.text.clone(), near },
            Some(_) | None => UsageError::BadWord(wrong.to_string()),
        }
    })
}

fn add(config: &mut Config, backend: Endpoint) -> Result<(), UsageError> {
    if config.backends.iter().any(|spec| spec.endpoint.is_same_backend(&backend)) {
        return Err(UsageError::BackendTwice(backend));
    }
    if is_loop(&config.listen, &backend) {
        return Err(UsageError::Loop(backend));
    }
    if config.backends.len() == BACKENDS_MAX {
        return Err(UsageError::BackendsMax);
    }
    config.backends.push(BackendSpec::new(backend));
    Ok(())
}

/// Whether a backend is certainly the balancer itself. Names other than `localhost` are not known
/// here, and what is not certain is allowed.
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

/// Sets what depends on several options, and refuses options that would do nothing.
fn settle(
    config: &mut Config,
    rows: &[&'static Opt<Config>],
    given: &Given,
) -> Result<(), UsageError> {
    modes::check(rows, given, config)?;
    if config.mode == Mode::Tcp && !given.has("health") {
        // A server behind TCP mode need not speak HTTP.
        config.health.check = Check::Tcp;
    }
    let probes = ["check-interval", "probe-per-requests", "health-timeout", "rise", "fall"];
    let asks = ["health-path", "health-expect"];
    let is_header = config.strategy == Strategy::Header;
    let rules = [
        (
            is_header && config.hash_field.is_none(),
            "-s header needs the field to go by: add --hash-field x-user-id",
        ),
        (
            !is_header && config.hash_field.is_some(),
            "--hash-field is for -s header only: add -s header or leave it out",
        ),
        (
            given.has("log-format") && config.access_log.is_none(),
            "--log-format is for the access log only: add -l FILE or leave it out",
        ),
        (
            config.health.check == Check::Off && probes.iter().any(|long| given.has(long)),
            "--health off makes no probes: leave it out, or leave -c, -R, --health-timeout, \
             --rise and --fall out",
        ),
        (
            config.health.check != Check::Http && asks.iter().any(|long| given.has(long)),
            "--health-path and --health-expect are for HTTP probes: add --health http or leave \
             them out",
        ),
        (
            config.strategy == Strategy::Rank && config.health.check == Check::Off,
            "-s rank goes by the times of probes, which --health off does not make: leave one of \
             them out",
        ),
    ];
    match rules.into_iter().find(|(is_broken, _)| *is_broken) {
        Some((_, wrong)) => Err(UsageError::Conflict(wrong)),
        None => Ok(()),
    }
}
