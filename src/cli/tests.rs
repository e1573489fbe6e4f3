//! Good command lines as commands, and random ones.

mod tables;
mod wrong;

use super::*;
use crate::balance::Strategy;
use crate::base::rng::Rng;
use crate::config::list::Line;
use crate::config::{HostPort, Mode, TrustedProxies};
use crate::health::Check;
use std::path::PathBuf;
use std::time::Duration;

/// Reads a line as a shell without quotes would.
fn line(line: &str) -> Result<Command, UsageError> {
    parse(line.split_whitespace().map(OsString::from).collect())
}

fn config(text: &str) -> Config {
    match line(text) {
        Ok(Command::Balance(config) | Command::PrintConfig(config, _)) => config,
        other => panic!("{text}: {other:?}"),
    }
}

/// What these arguments give, as a shell passes them on.
fn arguments(arguments: &[&str]) -> Result<Command, UsageError> {
    let words = std::iter::once(&"loadbalancer").chain(arguments);
    parse(words.map(OsString::from).collect())
}

/// `listen <- backends`, as addresses.
fn addresses(config: &Config) -> String {
    let backends: Vec<String> =
        config.backends.iter().map(|spec| spec.endpoint.to_string()).collect();
    format!("{} <- {}", config.listen, backends.join(" "))
}

fn help(text: &str) -> String {
    match line(text) {
        Ok(Command::Help(help)) => help(COLUMNS),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn every_published_call_of_the_balancer_is_understood() {
    let plain = config("loadbalancer 8080 1234 5678");
    assert_eq!(addresses(&plain), "8080 <- 1234 5678");

    let mixed = config("loadbalancer 8080 -N 8 1234 -R 7 5678 1248");
    assert_eq!(addresses(&mixed), "8080 <- 1234 5678 1248");
    assert_eq!((mixed.pairs_max, mixed.health.per_requests), (Some(8), Some(7)));

    let long = config("loadbalancer -b localhost:8081 10.0.0.2:8082 -c 10 -s rr -p 8000");
    assert_eq!(addresses(&long), "8000 <- localhost:8081 10.0.0.2:8082");
    assert_eq!(long.health.interval, Duration::from_secs(10));
    assert_eq!(long.strategy, Strategy::RoundRobin);

    let each =
        ["-p", "80", "8080 weight=2", "-b", "app.internal:80 each", "h:1 drain backup", "h:2"];
    let Ok(Command::Balance(each)) = arguments(&each) else { panic!("words of a list") };
    let lines: Vec<String> = each.backends.iter().map(|it| Line(it).to_string()).collect();
    assert_eq!(lines, ["8080 weight=2", "app.internal:80 each", "h:1 backup drain", "h:2"]);

    let file = config("loadbalancer 0 -f servers.txt -m redirect -s rank -c 120");
    assert_eq!(addresses(&file), "0 <- ");
    assert_eq!(file.list_file, Some(PathBuf::from("servers.txt")));
    assert_eq!((file.mode, file.strategy), (Mode::Redirect, Strategy::Rank));
    assert_eq!(file.health.interval, Duration::from_secs(120));

    let time = config("loadbalancer 8080 5000 5001 5002 5003 -s least-time");
    assert_eq!(addresses(&time), "8080 <- 5000 5001 5002 5003");
    assert_eq!(time.strategy, Strategy::LeastTime);
}

#[test]
fn listen_address_and_backends_are_told_apart() {
    let table = [
        ("-b h:1 h:2", "80 <- h:1 h:2"),
        ("-f list", "80 <- "),
        ("-f list 8080", "8080 <- "),
        ("-f list 8080 1234", "8080 <- 1234"),
        ("8080 -b h:1 h:2", "8080 <- h:1 h:2"),
        ("-b h:1 -v 8080 h:2", "8080 <- h:1 h:2"),
        ("-b h:1 -- 8080 h:2", "8080 <- h:1 h:2"),
        ("-bh:1 8080 h:2", "8080 <- h:1 h:2"),
        ("--backend=h:1 8080", "8080 <- h:1"),
        ("-b=h:1 8080", "8080 <- h:1"),
        ("-b h:1 -b h:2 h:3 -p 1", "1 <- h:1 h:2 h:3"),
        ("h:1 -p 8080 5678", "8080 <- h:1 5678"),
        ("h:1 -b 5678 -p 8080", "8080 <- h:1 5678"),
        (":8080 :1234", "8080 <- 1234"),
        ("-p :8080 -b :1234", "8080 <- 1234"),
        ("[::1]:8080 [::1]:1", "[::1]:8080 <- [::1]:1"),
        ("-- 8080 1234", "8080 <- 1234"),
        ("0 1234", "0 <- 1234"),
        ("127.0.0.1:8080 10.0.0.1:8080", "127.0.0.1:8080 <- 10.0.0.1:8080"),
    ];
    for (text, expected) in table {
        let config = config(&format!("loadbalancer {text}"));
        assert_eq!(addresses(&config), expected, "{text}");
    }
}

#[test]
fn every_way_to_write_an_option_means_the_same() {
    for text in ["-N8", "-N 8", "-N=8", "--max-pairs=8", "--max-pairs 8", "-vN8", "-vN 8"] {
        let config = config(&format!("loadbalancer 8080 {text} 1234"));
        assert_eq!(config.pairs_max, Some(8), "{text}");
        assert_eq!(addresses(&config), "8080 <- 1234", "{text}");
    }
}

#[test]
fn values_reach_their_place() {
    let text = "loadbalancer 1 2 -l - --retries 0 --error-page 503=a --error-page 502=b=c -c .5";
    let given = config(text);
    assert_eq!(given.access_log, Some(LogTarget::Stdout));
    assert_eq!(given.attempts_max, 1);
    assert_eq!(given.error_pages, [(503, PathBuf::from("a")), (502, PathBuf::from("b=c"))]);
    assert_eq!(given.health.interval, Duration::from_millis(500));
    let file = config("loadbalancer 1 2 --log=- -fx").list_file;
    assert_eq!(file, Some(PathBuf::from("x")));
}

#[test]
fn trusted_proxies_are_given_after_an_equals_sign_only() {
    let trusted =
        |options: &str| config(&format!("loadbalancer 8080 {options} 1234")).trust_forwarded;
    assert_eq!(trusted(""), TrustedProxies::None);
    // Without a value it takes none of the words after it.
    assert_eq!(trusted("--trust-forwarded"), TrustedProxies::All);
    let list = TrustedProxies::parse("10.0.0.0/8,::1").expect("a list");
    assert_eq!(trusted("--trust-forwarded=10.0.0.0/8,::1"), list);
}

#[test]
fn tcp_mode_probes_by_connecting_unless_asked_otherwise() {
    assert_eq!(config("loadbalancer 1 2").health.check, Check::Http);
    assert_eq!(config("loadbalancer 1 2 -m tcp").health.check, Check::Tcp);
    assert_eq!(config("loadbalancer 1 2 -m tcp --health http").health.check, Check::Http);
}

#[test]
fn every_strategy_is_known_by_its_names_and_aliases() {
    for (name, aliases, _) in strategy::names() {
        let companion = if name == "header" { "--hash-field x" } else { "" };
        for given in [&[name], aliases].concat() {
            let strategy = config(&format!("loadbalancer 1 2 {companion} -s {given}")).strategy;
            assert_eq!(strategy::name(strategy), name, "{given}");
        }
    }
}

#[test]
fn the_demo_listens_on_this_machine_only() {
    let table = [
        ("loadbalancer demo", "127.0.0.1:8080"),
        ("loadbalancer demo 9000", "127.0.0.1:9000"),
        ("loadbalancer demo 0", "127.0.0.1:0"),
        ("loadbalancer demo -p 9000", "127.0.0.1:9000"),
        ("loadbalancer demo [::1]:9000 -s lc", "[::1]:9000"),
    ];
    for (text, expected) in table {
        let Ok(Command::Demo(demo)) = line(text) else { panic!("{text}") };
        assert_eq!(demo.config.listen.to_string(), expected, "{text}");
        assert_eq!(demo.config.backends, []);
    }
    let Ok(Command::Demo(demo)) = line("loadbalancer demo -s lc -v") else { panic!("demo") };
    assert_eq!((demo.config.strategy, demo.config.verbose), (Strategy::LeastConn, true));
}

#[test]
fn httpserver_is_understood_under_both_names() {
    let listen = HostPort::bare(1234);
    let plain = HttpServer { listen, ..HttpServer::default() };
    let log = Some(LogTarget::File(PathBuf::from("/tmp/log1234")));
    let logged = HttpServer { log, ..plain.clone() };
    let odd = HttpServer {
        dir: PathBuf::from("d"),
        delay: Duration::from_millis(20),
        fail_rate: 0.3,
        max_upload: 5 << 20,
        until_eof: true,
        remove_dir: true,
        ..plain.clone()
    };
    let odd_line = "httpserver -dd --delay 20ms --fail-rate 30% --max-upload 5M --until-eof \
                    --remove-dir 1234";
    let table = [
        ("loadbalancer httpserver 1234", &plain),
        ("httpserver 1234", &plain),
        ("/usr/local/bin/httpserver -p 1234", &plain),
        ("loadbalancer httpserver 1234 -l /tmp/log1234", &logged),
        ("./httpserver 1234 -l /tmp/log1234", &logged),
        (odd_line, &odd),
        ("httpserver --delay 0 --fail-rate 0 1234", &plain),
    ];
    for (text, expected) in table {
        match line(text) {
            Ok(Command::HttpServer(server)) => assert_eq!(&server, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn messages_begin_with_the_name_of_the_command() {
    for (text, expected) in [
        ("loadbalancer httpserver -N 8", "httpserver"),
        ("httpserver", "httpserver"),
        ("/usr/bin/httpserver demo", "httpserver"),
        ("loadbalancer get -x", "get"),
        ("loadbalancer top 1 2", "top"),
        ("loadbalancer demo 0 -x", "demo"),
        ("loadbalancer 8080 get", "loadbalancer"),
        ("loadbalancer", "loadbalancer"),
        ("", "loadbalancer"),
    ] {
        let argv: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        assert_eq!(program(&argv), expected, "{text}");
    }
}

#[test]
fn get_takes_a_url_and_a_file() {
    let url = "http://host:8080/file".to_owned();
    for (text, output, quiet) in [
        ("", None, false),
        (" -o x", Some("x"), false),
        (" --output=x", Some("x"), false),
        (" -qo -", Some("-"), true),
        (" --quiet", None, true),
    ] {
        let output = output.map(PathBuf::from);
        match line(&format!("loadbalancer get {url}{text}")) {
            Ok(Command::Get(get)) => {
                assert_eq!(get, Get { url: url.clone(), output, quiet })
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn top_takes_the_admin_address() {
    for (text, expected) in [
        ("", "127.0.0.1:8081"),
        (" 9000", "127.0.0.1:9000"),
        (" lb1:9000", "lb1:9000"),
        (" [::1]:9000", "[::1]:9000"),
    ] {
        match line(&format!("loadbalancer top{text}")) {
            Ok(Command::Top(top)) => assert_eq!(top.admin.to_string(), expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn help_and_version_win_wherever_they_are() {
    for text in ["-h", "8080 --bogus -h", "-vh", "-N -h"] {
        let help = help(&format!("loadbalancer {text}"));
        assert!(help.contains("All options: loadbalancer --help"), "{text}");
    }
    for text in ["--help", "-N x --help", "-N --help", "-h --help", "help options"] {
        assert!(help(&format!("loadbalancer {text}")).contains("--retry-budget"), "{text}");
    }
    for text in ["-V", "--version", "demo -V", "httpserver --version", "get -V", "-vV", "version"] {
        let read = line(&format!("loadbalancer {text}"));
        assert!(matches!(read, Ok(Command::Version)), "{text}");
    }
    assert!(line("loadbalancer 8080 1234 -- -h").is_err());
}

#[test]
fn file_names_may_be_any_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(b"--log=\xFF".to_vec());
    let argv = ["loadbalancer", "1", "2"].map(OsString::from).into_iter().chain([odd]).collect();
    let Ok(Command::Balance(config)) = parse(argv) else { panic!("odd file name") };
    let path = PathBuf::from(OsString::from_vec(b"\xFF".to_vec()));
    assert_eq!(config.access_log, Some(LogTarget::File(path)));
}

#[test]
fn random_command_lines_never_panic_and_messages_are_one_line() {
    use std::os::unix::ffi::OsStringExt;
    let mut rng = Rng::new(5);
    let mut vocabulary: Vec<Vec<u8>> = Vec::new();
    for row in options::OPTIONS {
        vocabulary.push(format!("--{}", row.long).into_bytes());
        vocabulary.extend(row.short.map(|short| format!("-{short}").into_bytes()));
    }
    let others = "8080 0 65536 h:1 [::1]:2 -- - = --= -= -N8 -N= -vN8 --log=x demo get httpserver \
                  http://h/ 1s 0.5 rr header tcp off 503=x é --é -é --no";
    vocabulary.extend(others.split_whitespace().map(|word| word.as_bytes().to_vec()));
    vocabulary.extend([b"\xFF".to_vec(), b"-\xFF".to_vec(), b"--\xFF=".to_vec(), Vec::new()]);
    for _ in 0..30_000 {
        let mut argv = vec![OsString::from("loadbalancer")];
        for _ in 0..rng.below(9) {
            let mut word = vocabulary[rng.below(vocabulary.len() as u64) as usize].clone();
            if rng.below(8) == 0 {
                let at = rng.below(word.len() as u64 + 1) as usize;
                word.insert(at, rng.below(255) as u8 + 1);
            }
            argv.push(OsString::from_vec(word));
        }
        if let Err(wrong) = parse(argv.clone()) {
            let shown = wrong.to_string();
            let is_line = !shown.is_empty() && !shown.contains(char::is_control);
            assert!(is_line, "{argv:?}: {shown:?}");
        }
    }
}
