//! `--check`: what it finds before the start, what it says, and what it leaves alone.

mod common;

use common::{Backend, BlackHole, TempDir, ok, run, timed, wait_until};
use std::net::TcpListener;
use std::os::unix::fs::symlink;

/// A line per backend with its verdict but without its time, which varies.
fn verdicts(stdout: &str) -> Vec<String> {
    let lines = stdout.lines().map(|line| {
        let line = line.strip_prefix("backend ").expect("a line about a backend");
        match line.rsplit_once(", ") {
            Some((verdict, time)) if time.ends_with(" ms") => verdict.to_owned(),
            _ => line.to_owned(),
        }
    });
    lines.collect()
}

#[test]
fn every_backend_gets_a_verdict_that_tells_what_is_wrong_apart() {
    timed(|| {
        let up = Backend::named("a");
        let without_page = Backend::named("b");
        without_page.set_health(common::reply("404 Not Found", "", ""));
        let failing = Backend::named("c");
        failing.set_health(common::reply("500 Internal Server Error", "", ""));
        let silent = Backend::named("d");
        silent.hang_probes();
        let strange = Backend::named("e");
        strange.set_health(b"SSH-2.0-server\r\n\r\n".to_vec());
        let refusing = Backend::refusing();
        let hole = BlackHole::new();
        let backends = [&up, &without_page, &failing, &silent, &strange, &refusing];
        let mut names: Vec<String> = backends.iter().map(|backend| backend.argument()).collect();
        names.extend([hole.argument(), "no-such-name.invalid:80".to_owned()]);
        let mut arguments = vec!["127.0.0.1:0", "--check", "--health-timeout", "300ms"];
        arguments.extend(names.iter().map(String::as_str));
        let finished = run(&arguments);
        let found = verdicts(&finished.stdout);
        let expected = [
            "up",
            "up, 404 for GET /healthcheck",
            "status 500",
            "time-out, connected but no answer",
            "no HTTP answer",
            "refused",
            "time-out, could not connect",
        ];
        for ((name, verdict), line) in names.iter().zip(expected).zip(&found) {
            assert_eq!(*line, format!("{name}: {verdict}"), "{}", finished.stdout);
        }
        assert!(found[7].starts_with("no-such-name.invalid:80: unknown name: "), "{}", found[7]);
        assert_eq!(found.len(), names.len());
        assert_eq!(finished.code, Some(1));
        assert!(finished.stderr.ends_with("the check found 6 problems\n"), "{}", finished.stderr);
        assert!(up.requests().is_empty(), "a health request only");
    });
}

#[test]
fn where_all_is_well_the_exit_status_is_0_and_each_backend_was_asked_once() {
    let (one, two) = (Backend::named("a"), Backend::named("b"));
    let finished = run(&["127.0.0.1:0", &one.argument(), &two.argument(), "--check"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.ends_with("the configuration is valid\n"), "{}", finished.stderr);
    assert_eq!((one.probes().len(), two.probes().len()), (1, 1));
}

#[test]
fn without_probes_or_in_tcp_mode_a_backend_is_connected_to() {
    for options in [&["--health", "off"][..], &["-m", "tcp"]] {
        let backend = Backend::named("a");
        backend.hang_probes();
        let argument = backend.argument();
        let arguments = [&["127.0.0.1:0", &argument, "--check"], options].concat();
        let finished = run(&arguments);
        assert_eq!(verdicts(&finished.stdout), [format!("{argument}: up")]);
        assert_eq!(finished.code, Some(0), "{options:?}");
        wait_until("the connection to be seen", || backend.connections() == 1);
        assert!(backend.probes().is_empty(), "nothing was asked");
    }
}

#[test]
fn every_problem_is_reported_not_only_the_first() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let backend = Backend::refusing();
    let directory = TempDir::new();
    let list = directory.file("list", "127.0.0.1:1 weight=0\n");
    let finished = run(&[
        &address,
        &backend.argument(),
        "--check",
        "-f",
        &list,
        "--error-page",
        "503=/no/such/page",
        "-l",
        "/no/such/directory/log",
    ]);
    assert_eq!(finished.code, Some(1));
    for part in [
        &format!("{list}:1: ")[..],
        "cannot read the error page `/no/such/page`",
        "cannot open the access log `/no/such/directory/log`",
        &format!("cannot listen on {address}: "),
        "the check found 5 problems",
    ] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert_eq!(verdicts(&finished.stdout), [format!("{}: refused", backend.argument())]);
}

#[test]
fn the_address_is_released() {
    let backend = Backend::named("a");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let finished = run(&[&free.to_string(), &backend.argument(), "--check"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    TcpListener::bind(free).expect("the port is free again");
}

#[test]
fn check_config_uses_no_network() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let backend = Backend::named("a");
    let finished =
        run(&[&address, &backend.argument(), "no-such-name.invalid:80", "--check=config"]);
    assert_eq!((finished.code, &finished.stdout[..]), (Some(0), ""), "{}", finished.stderr);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn the_access_log_is_left_as_it_was() {
    let backend = Backend::named("a");
    let directory = TempDir::new();
    let kept = directory.file("kept", "a line\n");
    let empty = directory.file("empty", "");
    let missing = directory.path().join("missing");
    let link = directory.path().join("link");
    symlink(&missing, &link).expect("a link");
    for log in [&kept, &empty, missing.to_str().expect("UTF-8"), link.to_str().expect("UTF-8")] {
        let finished = run(&["127.0.0.1:0", &backend.argument(), "--check=config", "-l", log]);
        assert_eq!(finished.code, Some(0), "{log}: {}", finished.stderr);
    }
    assert_eq!(std::fs::read(&kept).expect("readable"), b"a line\n");
    assert_eq!(std::fs::read(&empty).expect("readable"), b"");
    assert!(!missing.exists());
    assert!(link.symlink_metadata().is_ok(), "the link itself stays");
}

#[test]
fn a_check_that_a_wrong_command_line_asks_for_is_exit_status_2() {
    for (line, value) in [
        ("8080 1234 --check=net", "`net`"),
        ("8080 1234 --check --check", "--check"),
        ("8080 --check", "no backend"),
        ("8080 1234 --check -N 0", "`0`"),
        ("demo --check", "`--check`"),
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let finished = run(&arguments);
        assert_eq!(finished.code, Some(2), "{line}: {}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{line}: {}", finished.stderr);
        assert!(finished.stderr.contains(value), "{line}: {}", finished.stderr);
    }
}

#[test]
fn a_response_of_any_healthy_status_is_what_the_loop_takes_for_healthy() {
    let backend = Backend::named("a");
    backend.set_health(ok("fine"));
    let address = backend.argument();
    for (options, verdict, code) in
        [(&["--health-expect", "200"][..], "up", 0), (&["--health-expect", "204"], "status 200", 1)]
    {
        let finished = run(&[&["127.0.0.1:0", &address, "--check"], options].concat());
        assert_eq!(verdicts(&finished.stdout), [format!("{address}: {verdict}")]);
        assert_eq!(finished.code, Some(code), "{verdict}");
    }
}
