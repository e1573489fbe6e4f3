//! The command line: any list of words gives a command that can be run or one clear line, and both
//! ways to write a value mean the same. One word per line of the input, `argv[0]` left out.

use super::is_one_line;
use loadbalancer::cli::{self, Command};
use loadbalancer::config::{BACKENDS_MAX, Config, Endpoint, HostPort, Mode};
use loadbalancer::health::Check;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Longest message: what is quoted of a command line is cut.
const MESSAGE_CHARS_MAX: usize = 400;

/// Options that mean something else with the next word: they take none, or all up to the next one.
const ALONE: [&[u8]; 5] = [b"--backend", b"--check", b"--help", b"--trust-forwarded", b"--version"];

fn parse(called: &str, words: &[&[u8]]) -> Result<Command, String> {
    let words = words.iter().map(|word| OsString::from_vec(word.to_vec()));
    let argv = std::iter::once(OsString::from(called)).chain(words).collect();
    cli::parse(argv).map_err(|wrong| wrong.to_string())
}

/// What can be run, and the same as text.
fn outcome(called: &str, words: &[&[u8]]) -> String {
    let outcome = parse(called, words);
    match &outcome {
        Ok(Command::Balance(config)) => {
            assert!(!config.backends.is_empty() || config.list_file.is_some(), "{config:?}");
            check(config);
        }
        Ok(Command::Demo(demo)) => {
            assert!(demo.config.backends.is_empty(), "{demo:?}");
            let at = &demo.config.listen;
            assert!(matches!(at, Endpoint::Tcp(HostPort { host: Some(_), .. })), "{at}");
            check(&demo.config);
        }
        Ok(Command::HttpServer(server)) => assert!((0.0..=1.0).contains(&server.fail_rate)),
        Ok(Command::Get(get)) => {
            let lower = get.url.to_ascii_lowercase();
            assert!(lower.starts_with("http://") || lower.starts_with("https://"));
            assert!(is_one_line(&get.url), "{:?}", get.url);
        }
        Ok(Command::Top(top)) => {
            assert!(top.admin.host.is_some() && top.admin.port != 0, "{top:?}");
        }
        Ok(Command::PrintConfig(config, lines)) => {
            check(config);
            assert!(lines.iter().all(|line| is_one_line(line)), "{lines:?}");
        }
        Ok(Command::Unit(unit)) => {
            let text = unit.text(std::path::Path::new("/usr/bin/loadbalancer"));
            let starts = text.lines().filter(|line| line.starts_with("ExecStart="));
            assert_eq!(starts.count(), 1, "{text}");
            let has_value = |line: &str| line.is_empty() || line.contains(['=', '[', '#']);
            assert!(text.lines().all(has_value), "an argument reaches another line: {text}");
        }
        Ok(Command::Ctl(ctl)) => {
            let line = ctl.command.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(is_one_line(&line) && ctl.place.as_deref().is_none_or(is_one_line), "{ctl:?}");
        }
        // Any name may be one of a file.
        Ok(Command::Replay(_)) => {}
        Ok(Command::Help(text)) => assert!(text(60).ends_with('\n'), "{}", text(60)),
        Ok(Command::Topic(text)) => assert!(text.ends_with('\n'), "{text:?}"),
        Ok(Command::Version) => {}
        Err(message) => {
            assert!(is_one_line(message), "{message:?}");
            assert!(message.chars().count() <= MESSAGE_CHARS_MAX, "{message:?}");
        }
    }
    format!("{outcome:?}")
}

/// Properties of every accepted configuration.
fn check(config: &Config) {
    assert!(config.backends.len() <= BACKENDS_MAX);
    for (at, spec) in config.backends.iter().enumerate() {
        assert_ne!(spec.endpoint.port(), Some(0), "{config:?}");
        let mut others = config.backends[..at].iter();
        assert!(!others.any(|other| other.endpoint.is_same_backend(&spec.endpoint)), "{config:?}");
    }
    assert!((1..=10).contains(&config.attempts_max), "{config:?}");
    assert!((400..=599).contains(&config.all_down_status), "{config:?}");
    assert!(config.pairs_max != Some(0), "{config:?}");
    assert!(!config.timeouts.connect.is_zero() && !config.timeouts.head.is_zero(), "{config:?}");
    assert!(config.mode == Mode::Redirect || config.redirect_status.is_none(), "{config:?}");
    assert!(config.mode != Mode::Tcp || config.error_pages.is_empty(), "{config:?}");
    assert!(config.mode != Mode::Redirect || config.pairs_max.is_none(), "{config:?}");
    let health = &config.health;
    assert!(health.check != Check::Http || health.path.starts_with('/'), "{config:?}");
}

pub fn run(data: &[u8]) {
    let words: Vec<&[u8]> = data.split(|&byte| byte == b'\n' || byte == 0).collect();
    let whole = outcome("loadbalancer", &words);
    outcome("/bin/httpserver", &words);
    // `--name=value` is `--name value` wherever the value is no option.
    let end = words.iter().position(|word| *word == b"--").unwrap_or(words.len());
    for (at, word) in words[..end].iter().enumerate() {
        let Some(equals) = word.iter().position(|&byte| byte == b'=') else { continue };
        let (name, value) = (&word[..equals], &word[equals + 1..]);
        let is_long = name.len() > 2 && name.starts_with(b"--") && !ALONE.contains(&name);
        if is_long && !value.is_empty() && !value.starts_with(b"-") {
            let apart = [&words[..at], &[name, value], &words[at + 1..]].concat();
            let apart = outcome("loadbalancer", &apart);
            assert!(apart == whole || whole.starts_with("Err("), "{whole} but apart {apart}");
        }
    }
}
