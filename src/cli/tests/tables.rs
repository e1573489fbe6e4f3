//! What the option tables promise: every option in help, none without effect.

use super::*;
use crate::cli::option::{Opt, Take};

/// Every long name, value placeholder, explanation and default of a table stands in its help, in
/// lines that fit a terminal.
fn check_help<T>(text: &str, rows: &[Opt<T>], left_out: &[&str]) {
    let help = help(text);
    let words: Vec<&str> = help.split_whitespace().collect();
    let flowing = words.join(" ");
    for row in rows.iter().filter(|row| !left_out.contains(&row.long)) {
        let names = match row.take {
            Take::Optional { .. } => format!("--{}[={}]", row.long, row.value),
            _ => format!("--{} {}", row.long, row.value),
        };
        assert!(flowing.contains(&format!("{} {}", names.trim(), row.help)), "{}", row.long);
        let short = row.short.map_or(String::new(), |short| format!("-{short}, --{}", row.long));
        assert!(help.contains(&short), "{short}");
        let takes_none = match row.take {
            Take::First { names } => names().is_empty(),
            _ => matches!(row.take, Take::Flag { .. } | Take::Help | Take::Version),
        };
        assert_eq!(row.takes_value(), !takes_none);
    }
    assert!(help.ends_with('\n'));
}

/// The text of a help request, for terminals of several widths.
fn help_at(text: &str, columns: usize) -> String {
    match line(text) {
        Ok(Command::Help(help)) => help(columns),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn help_fits_the_terminal_and_78_columns_and_breaks_no_word() {
    let words = |help: &str| help.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for text in ["loadbalancer --help", "loadbalancer demo --help", "httpserver --help"] {
        let expected = words(&help(text));
        for columns in [1, 44, 60, 69, 70, 78, 79, 200] {
            let help = help_at(text, columns);
            for line in help.lines() {
                assert_eq!(line.trim_end(), line);
                // Command lines are not broken, so that they can be copied.
                let is_call = ["  loadbalancer ", "  curl "].iter().any(|it| line.starts_with(it));
                let most = if is_call { 78 } else { columns.clamp(44, 78) };
                assert!(line.chars().count() <= most, "{columns}: {line}");
            }
            assert_eq!(words(&help), expected, "{columns}");
        }
    }
}

#[test]
fn the_short_help_is_one_screen() {
    for text in ["loadbalancer -h", "loadbalancer demo -h"] {
        let help = help(text);
        assert!(help.lines().count() <= 25, "{text}: {}", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 78, "{text}: {line}");
        }
    }
    let help = help("loadbalancer -h");
    let options = help.split("\nOptions").nth(1).expect("a list of options");
    assert_eq!(options.lines().filter(|line| line.contains(" --")).count(), 11, "ten and --help");
    let examples = help.split("Examples:\n").nth(1).expect("examples");
    let examples: Vec<&str> = examples.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        let call = example.trim().split("  ").next().expect("a call");
        assert!(line(call).is_ok(), "{call}");
    }
}

#[test]
fn help_shows_every_option() {
    check_help("loadbalancer --help", options::OPTIONS, &[]);
    let not_of_demo = [
        "backend",
        "file",
        "takeover",
        "check",
        "print-config",
        "print-unit",
        "man",
        "completions",
    ];
    check_help("loadbalancer demo --help", options::OPTIONS, &not_of_demo);
    check_help("httpserver -h", &httpserver::OPTIONS, &[]);
    check_help("loadbalancer get -h", &get::OPTIONS, &[]);
    check_help("loadbalancer top -h", &top::OPTIONS, &[]);
    check_help("loadbalancer ctl -h", &ctl::OPTIONS, &[]);
    check_help("loadbalancer replay -h", &replay::OPTIONS, &[]);
    assert!(!help("loadbalancer demo --help").contains("--backend"));
}

#[test]
fn help_shows_the_defaults_of_the_configuration() {
    let help = help("loadbalancer --help").split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = ["80", "http", "rr", "503", "/healthcheck", "10s", "1m", "1h"];
    for default in shown {
        assert!(help.contains(&format!("[default: {default}]")), "{default}");
    }
    for (name, _, explanation) in strategy::names() {
        assert!(help.contains(name) && help.contains(explanation), "{name}");
    }
}

#[test]
fn every_example_of_help_is_a_good_call() {
    for topic in [
        "loadbalancer",
        "loadbalancer demo",
        "loadbalancer httpserver",
        "loadbalancer get",
        "loadbalancer top",
        "loadbalancer replay",
    ] {
        let help = help(&format!("{topic} --help"));
        let calls = help.lines().filter_map(|line| line.strip_prefix("  loadbalancer"));
        let examples: Vec<&str> = calls.filter(|call| !call.contains(['[', '|'])).collect();
        assert!(!examples.is_empty());
        for call in examples {
            let read = line(&format!("loadbalancer{call}"));
            assert!(read.is_ok(), "{call}: {read:?}");
        }
    }
}

/// A value unlike the default for each option, with the options it needs beside it, and the modes
/// where it has an effect.
static SAMPLES: &[(&str, &str, &str, &str)] = &[
    ("listen", "9", "", "http tcp redirect"),
    ("backend", "h:9", "", "http tcp redirect"),
    ("file", "list", "", "http tcp redirect"),
    ("mode", "tcp", "", "http tcp redirect"),
    ("strategy", "rand", "", "http tcp redirect"),
    ("sticky", "srv", "", "http"),
    ("sticky-key", "x", "--sticky srv", "http"),
    ("slow-start", "77s", "", "http tcp redirect"),
    ("hash-field", "x-user", "-s header", "http redirect"),
    ("reuse-port", "", "", "http tcp redirect"),
    ("resolve-interval", "77s", "", "http tcp redirect"),
    ("socket-mode", "660", "", "http tcp redirect"),
    ("proxy-protocol", "any", "", "http tcp redirect"),
    ("user", "nobody:nogroup", "", "http tcp redirect"),
    ("retries", "5", "", "http tcp"),
    ("retry-budget", "77", "", "http"),
    ("stream-requests", "", "", "http"),
    ("all-down-status", "500", "", "http redirect"),
    ("on-down", "close", "", "tcp"),
    ("redirect-status", "302", "", "redirect"),
    ("error-page", "503=x", "", "http redirect"),
    ("trust-forwarded", "", "", "http redirect"),
    ("header-up", "-X-Env", "", "http"),
    ("header-down", "X-Env:prod", "", "http"),
    ("cert", "c.pem", "", "http tcp redirect"),
    ("key", "k.pem", "--cert c.pem", "http tcp redirect"),
    ("client-ca", "ca.pem", "--cert c.pem", "http tcp redirect"),
    ("hsts", "77s", "--cert c.pem", "http redirect"),
    ("redirect-http", "77", "--cert c.pem", "http redirect"),
    ("acme-webroot", "x", "", "http redirect"),
    ("health", "off", "", "http tcp redirect"),
    ("check-interval", "77s", "", "http tcp redirect"),
    ("probe-per-requests", "77", "", "http tcp redirect"),
    ("health-path", "/x", "--health http", "http tcp redirect"),
    ("health-host", "www.example.org", "--health http", "http tcp redirect"),
    ("health-method", "HEAD", "--health http", "http tcp redirect"),
    ("health-expect", "200", "--health http", "http tcp redirect"),
    ("health-send", "PING", "--health-expect-text PONG", "tcp"),
    ("health-expect-text", "PONG", "", "tcp"),
    ("health-timeout", "77ms", "", "http tcp redirect"),
    ("rise", "77", "", "http tcp redirect"),
    ("fall", "77", "", "http tcp redirect"),
    ("fall-on-5xx", "77", "", "http"),
    ("head-timeout", "77s", "", "http redirect"),
    ("keep-alive-timeout", "77s", "", "http redirect"),
    ("connect-timeout", "77s", "", "http tcp"),
    ("response-timeout", "77s", "", "http"),
    ("idle-timeout", "77s", "", "http redirect"),
    ("tunnel-timeout", "77s", "", "http tcp"),
    ("queue-timeout", "77s", "", "http tcp"),
    ("linger-timeout", "77s", "", "http redirect"),
    ("pool-timeout", "77s", "", "http"),
    ("drain-timeout", "77s", "", "http tcp redirect"),
    ("lame-duck", "77s", "", "http tcp redirect"),
    ("max-pairs", "77", "", "http tcp"),
    ("max-tunnels", "77", "", "http"),
    ("queue-max", "77", "", "http tcp"),
    ("rate", "77/s", "", "http tcp redirect"),
    ("max-connections-per-client", "77", "", "http tcp redirect"),
    ("min-rate", "77", "", "http"),
    ("keep-alive-requests", "77", "", "http redirect"),
    ("max-head", "777", "", "http redirect"),
    ("max-fields", "77", "", "http redirect"),
    ("max-target", "77", "", "http redirect"),
    ("log", "x", "", "http tcp redirect"),
    ("log-format", "json", "-l x", "http tcp redirect"),
    ("verbose", "", "", "http tcp redirect"),
    ("check", "", "", "http tcp redirect"),
    ("print-config", "", "", "http tcp redirect"),
    ("admin", "77", "", "http tcp redirect"),
    ("admin-host", "lb.example", "--admin 77", "http tcp redirect"),
    ("admin-public", "", "--admin 77", "http tcp redirect"),
    ("live-path", "/x", "", "http redirect"),
    ("no-control", "", "", "http tcp redirect"),
    ("takeover", "", "", "http tcp redirect"),
    ("events", "json", "", "http tcp redirect"),
    ("record", "run.record", "", "http tcp redirect"),
];

const MODES: [&str; 3] = ["http", "tcp", "redirect"];

/// A call with the sample of one option in `mode`, which the option itself may set.
fn sample_call((long, value, beside, _): (&str, &str, &str, &str), mode: &str) -> String {
    let mode = if long == "mode" { String::new() } else { format!("-m {mode}") };
    let addresses = match long {
        "listen" => "-b 1234",
        "socket-mode" => "unix:/run/lb.sock 1234",
        _ => "8080 1234",
    };
    format!("loadbalancer {addresses} {mode} {beside} --{long} {value}")
}

#[test]
fn every_option_changes_the_configuration() {
    let without = |mode| format!("{:?}", config(&format!("loadbalancer 8080 1234 -m {mode}")));
    let mut results = vec![without("http"), without("redirect")];
    for row in options::OPTIONS {
        if matches!(row.take, Take::Help | Take::Version | Take::First { .. }) {
            continue;
        }
        let sample = SAMPLES.iter().find(|(long, ..)| *long == row.long);
        let sample = sample.unwrap_or_else(|| panic!("sample for {}", row.long));
        let mode = sample.3.split(' ').next().expect("a mode");
        let with = format!("{:?}", config(&sample_call(*sample, mode)));
        assert!(!results.contains(&with), "--{} does what another option or none does", row.long);
        results.push(with);
    }
}

#[test]
fn an_option_is_taken_in_the_modes_where_it_has_an_effect_and_refused_elsewhere() {
    for &sample in SAMPLES {
        let (long, .., modes) = sample;
        for mode in MODES {
            let call = sample_call(sample, mode);
            match line(&call) {
                Ok(_) => assert!(modes.split(' ').any(|one| one == mode), "{call} is taken"),
                Err(wrong) => {
                    let is_one = |one: &str| one != mode;
                    assert!(modes.split(' ').all(is_one), "{call} is refused: {wrong}");
                    let hint = format!("write -m {}", modes.replace(' ', " or -m "));
                    let clause = format!(" does nothing with -m {mode}: leave it out, or {hint}");
                    let shown = wrong.to_string();
                    let value = shown.strip_suffix(&clause).unwrap_or_else(|| panic!("{shown}"));
                    let is_beside = [("-s header", "hash-field"), ("--sticky", "sticky-key")];
                    let by_other = is_beside.contains(&(value, long));
                    assert!(by_other || value.ends_with(&format!("--{long}")), "{shown}");
                }
            }
        }
    }
}

#[test]
fn a_strategy_is_taken_in_the_modes_where_it_has_something_to_go_by() {
    let table = [
        ("first", "http tcp redirect"),
        ("rr", "http tcp redirect"),
        ("rand", "http tcp redirect"),
        ("least-conn", "http tcp"),
        ("least-time", "http tcp redirect"),
        ("least-load", "http tcp redirect"),
        ("rank", "http tcp redirect"),
        ("p2c", "http tcp"),
        ("source", "http tcp redirect"),
        ("uri", "http redirect"),
        ("header", "http redirect"),
    ];
    for (name, aliases, _) in strategy::names() {
        let modes = table.iter().find(|(one, _)| *one == name).map(|(_, modes)| *modes);
        let modes = modes.unwrap_or_else(|| panic!("modes of {name}"));
        let beside = if name == "header" { "--hash-field x" } else { "" };
        for (mode, alias) in MODES.iter().flat_map(|mode| {
            [&[name], aliases].concat().into_iter().map(move |alias| (mode, alias))
        }) {
            let call = format!("loadbalancer 8080 1234 -m {mode} -s {alias} {beside}");
            let expected = match modes.split(' ').any(|one| one == *mode) {
                true => None,
                false => {
                    let modes = modes.replace(' ', " or -m ");
                    let hint = format!("leave it out, or write -m {modes}");
                    Some(format!("-s {name} does nothing with -m {mode}: {hint}"))
                }
            };
            assert_eq!(line(&call).err().map(|wrong| wrong.to_string()), expected, "{call}");
        }
    }
}

#[test]
fn names_are_unique_in_each_table() {
    fn check<T>(rows: &[Opt<T>]) {
        for (i, row) in rows.iter().enumerate() {
            let is_same = |other: &&Opt<T>| {
                other.long == row.long || (other.short.is_some() && other.short == row.short)
            };
            assert_eq!(rows[..i].iter().filter(is_same).count(), 0, "{}", row.long);
        }
    }
    check(options::OPTIONS);
    check(&httpserver::OPTIONS);
    check(&get::OPTIONS);
    check(&top::OPTIONS);
    check(&ctl::OPTIONS);
}
