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
        let names = format!("--{} {}", row.long, row.value);
        assert!(flowing.contains(&format!("{} {}", names.trim(), row.help)), "{}", row.long);
        let short = row.short.map_or(String::new(), |short| format!("-{short}, --{}", row.long));
        assert!(help.contains(&short), "{short}");
        assert_eq!(
            row.takes_value(),
            !matches!(row.take, Take::Flag(_) | Take::Help | Take::Version)
        );
    }
    for line in help.lines() {
        assert!(line.chars().count() <= 94, "{line}");
        assert_eq!(line.trim_end(), line);
    }
    assert!(help.ends_with('\n'));
}

#[test]
fn help_shows_every_option() {
    check_help("loadbalancer -h", &options::OPTIONS, &[]);
    check_help("loadbalancer demo -h", &options::OPTIONS, &["backend", "file"]);
    check_help("httpserver -h", &httpserver::OPTIONS, &[]);
    check_help("loadbalancer get -h", &get::OPTIONS, &[]);
    assert!(!help("loadbalancer demo -h").contains("--backend"));
}

#[test]
fn help_shows_the_defaults_of_the_configuration() {
    let help = help("loadbalancer --help");
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
    for topic in
        ["loadbalancer", "loadbalancer demo", "loadbalancer httpserver", "loadbalancer get"]
    {
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

/// A value unlike the default for each option, with the options it needs beside it.
const SAMPLES: [(&str, &str, &str); 39] = [
    ("listen", "9", ""),
    ("backend", "h:9", ""),
    ("file", "list", ""),
    ("mode", "tcp", ""),
    ("strategy", "rand", ""),
    ("hash-field", "x-user", "-s header"),
    ("retries", "5", ""),
    ("retry-budget", "77", ""),
    ("all-down-status", "500", ""),
    ("redirect-status", "302", "-m redirect"),
    ("error-page", "503=x", ""),
    ("trust-forwarded", "", ""),
    ("health", "off", ""),
    ("check-interval", "77s", ""),
    ("probe-per-requests", "77", ""),
    ("health-path", "/x", ""),
    ("health-expect", "200", ""),
    ("health-timeout", "77ms", ""),
    ("rise", "77", ""),
    ("fall", "77", ""),
    ("fall-on-5xx", "77", ""),
    ("head-timeout", "77s", ""),
    ("keep-alive-timeout", "77s", ""),
    ("connect-timeout", "77s", ""),
    ("response-timeout", "77s", ""),
    ("idle-timeout", "77s", ""),
    ("tunnel-timeout", "77s", ""),
    ("queue-timeout", "77s", ""),
    ("linger-timeout", "77s", ""),
    ("pool-timeout", "77s", ""),
    ("drain-timeout", "77s", ""),
    ("max-pairs", "77", ""),
    ("keep-alive-requests", "77", ""),
    ("max-head", "777", ""),
    ("max-fields", "77", ""),
    ("max-target", "77", ""),
    ("log", "x", ""),
    ("log-format", "json", "-l x"),
    ("verbose", "", ""),
];

#[test]
fn every_option_changes_the_configuration() {
    let without = format!("{:?}", config("loadbalancer 8080 1234"));
    let mut results = vec![without];
    for row in &options::OPTIONS {
        if matches!(row.take, Take::Help | Take::Version) {
            continue;
        }
        let sample = SAMPLES.iter().find(|(long, ..)| *long == row.long);
        let (long, value, beside) = sample.unwrap_or_else(|| panic!("sample for {}", row.long));
        let with = config(&format!("loadbalancer 8080 1234 {beside} --{long} {value}"));
        let with = format!("{with:?}");
        assert!(!results.contains(&with), "--{long} does what another option or none does");
        results.push(with);
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
    check(&options::OPTIONS);
    check(&httpserver::OPTIONS);
    check(&get::OPTIONS);
}
