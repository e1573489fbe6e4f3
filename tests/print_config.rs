//! `--print-config`: every option with its value and origin, and limits that the run keeps to.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Gate, Running, TempDir, binary, run};
use std::collections::HashMap;
use std::process::Command;

/// The values and origins by option; of repeated ones the last.
fn lines(stdout: &str) -> HashMap<String, (String, String)> {
    let line = |line: &str| {
        let (option, rest) = line.split_once(' ').expect("an option");
        let (value, origin) = rest.rsplit_once(' ').expect("a value and an origin");
        (option.to_owned(), (value.to_owned(), origin.to_owned()))
    };
    stdout.lines().map(line).collect()
}

#[test]
fn every_option_has_its_value_and_where_it_is_from() {
    let directory = TempDir::new();
    let list = directory.file("servers", "# ours\n10.0.0.9:80 weight=3 max=7 backup\n");
    let finished = run(&["8080", "1234", "-f", &list, "-s", "leastconn", "-v", "--print-config"]);
    assert_eq!((finished.code, &finished.stderr[..]), (Some(0), ""));
    let found = lines(&finished.stdout);
    for (option, value, origin) in [
        ("listen", "8080", "command-line"),
        ("file", &list[..], "command-line"),
        ("strategy", "least-conn", "command-line"),
        ("verbose", "on", "command-line"),
        ("mode", "http", "default"),
        ("retries", "2", "default"),
        ("head-timeout", "10s", "default"),
        ("keep-alive-requests", "no limit", "default"),
        ("log", "none", "default"),
        ("backend", "10.0.0.9:80 weight=3 max=7 backup", "file:2"),
    ] {
        let expected = (value.to_owned(), origin.to_owned());
        assert_eq!(found.get(option), Some(&expected), "{option}: {}", finished.stdout);
    }
    assert!(finished.stdout.contains("backend 1234 command-line\n"), "{}", finished.stdout);
    // No option that has no effect here, and every other.
    for (option, is_shown) in [("on-down", false), ("max-pairs", true), ("help", false)] {
        assert_eq!(found.contains_key(option), is_shown, "{option}");
    }
    let tcp = lines(&run(&["8080", "1234", "-m", "tcp", "--print-config"]).stdout);
    assert_eq!(tcp["health"], ("tcp".to_owned(), "default".to_owned()));
    assert!(!tcp.contains_key("max-head"));
}

#[test]
fn wrong_use_is_refused() {
    for (line, code, value) in [
        ("8080 1234 --print-config --check", 2, "--check"),
        ("8080 1234 --print-config=x", 2, "--print-config"),
        ("8080 --print-config", 2, "no backend"),
        ("8080 -f /no/such/list --print-config", 1, "/no/such/list"),
        ("demo --print-config", 2, "--print-config"),
    ] {
        let finished = run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(finished.code, Some(code), "{line}: {}", finished.stderr);
        assert!(finished.stderr.contains(value), "{line}: {}", finished.stderr);
        assert_eq!((finished.stdout.len(), finished.stderr.lines().count()), (0, 1), "{line}");
    }
}

/// The binary with few descriptors.
fn limited(arguments: &[&str]) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 96 && exec \"$0\" \"$@\""]).arg(binary().get_program());
    shell.args(arguments);
    shell
}

#[cfg(feature = "tls")]
#[test]
fn the_memory_of_buffers_includes_what_connections_in_tls_keep() {
    let limit = |arguments: &[&str], name: &str| {
        let arguments = [&["127.0.0.1:0", "--print-config", "-N", "10"], arguments].concat();
        let printed = limited(&arguments).output().expect("a run").stdout;
        let printed = lines(&String::from_utf8(printed).expect("text"));
        printed[&format!("limit.{name}")].0.parse::<usize>().expect("a number")
    };
    let directory = common::TempDir::new();
    let [plain, secured] = ["localhost:1", "https://localhost:1"];
    let list = |line: &str| directory.file("list", format!("{line}\n"));
    let (clients, pairs) = (limit(&[plain], "clients"), limit(&[plain], "requests-in-flight"));
    let tunnels = limit(&[plain], "tunnels");
    let servers = (pairs + tunnels).min(clients) + 1;
    for (name, without, arguments, expected) in [
        ("clients", &[plain][..], &[plain, "--cert", "c.pem"][..], clients),
        ("a server", &[plain], &[secured], servers),
        ("both", &[plain], &[secured, "--cert", "c.pem"], clients + servers),
    ] {
        let more = limit(arguments, "buffer-bytes") - limit(without, "buffer-bytes");
        assert_eq!(more, expected * loadbalancer::net::tls::KEPT_BYTES_MAX, "{name}");
    }
    let without = limit(&["-f", &list(plain)], "buffer-bytes");
    assert!(limit(&["-f", &list(secured)], "buffer-bytes") > without, "a server of a list");
}

#[test]
fn the_run_that_follows_keeps_to_the_printed_limits() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let argument = backend.argument();
    let arguments = ["127.0.0.1:0", &argument, "--health", "off", "-N", "10"];
    let printed = limited(&[&arguments[..], &["--print-config"]].concat()).output().expect("a run");
    let printed = lines(&String::from_utf8(printed.stdout).expect("text"));
    let limit =
        |name: &str| printed[&format!("limit.{name}")].0.parse::<usize>().expect("a number");
    assert_eq!((limit("descriptors"), limit("requests-in-flight")), (96, 10));
    let balancer = Balancer::of(Running::start(&mut limited(&arguments)));
    let before = balancer.memory_kib();
    // More clients than there are places, each with more than a buffer holds.
    let body = "x".repeat(200_000);
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut clients: Vec<_> = (0..limit("clients") + 20).map(|_| balancer.connect()).collect();
    for client in &mut clients {
        let mut writer = client.writer();
        let bytes = format!("{head}{body}");
        std::thread::spawn(move || std::io::Write::write_all(&mut writer, bytes.as_bytes()));
    }
    common::wait_until("10 requests in flight", || backend.open_connections() >= 10);
    // Beside the buffers there are the tables, and pages of the program that are touched first.
    let rest = 4 << 20;
    // At every look, however far it has got.
    for _ in 0..20 {
        assert!(backend.open_connections() <= limit("requests-in-flight"));
        assert!(balancer.descriptors() <= limit("descriptors"), "{}", balancer.descriptors());
        let grown = balancer.memory_kib().saturating_sub(before) * 1024;
        assert!(grown <= limit("buffer-bytes") + rest, "{grown} of {}", limit("buffer-bytes"));
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    gate.open();
}
