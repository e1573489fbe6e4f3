//! The access log, when it cannot be written as fast as lines come, or not at all.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, timed};
use std::time::Duration;

/// More lines than a pipe, the thread and a reader's buffer hold together.
const REQUESTS: usize = 7_000;

/// Sends so many requests, while standard output is not read.
fn ask(balancer: &Balancer) {
    let mut client = balancer.connect();
    for _ in 0..REQUESTS {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status(), 200);
    }
}

/// The number at the start of the line that reports lost lines.
fn lost(stderr: &str) -> Vec<usize> {
    let lines = stderr.lines().filter(|line| line.contains(" access log line"));
    lines
        .map(|line| {
            let (before, _) = line.split_once(" access log line").expect("the words");
            before.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number")
        })
        .collect()
}

#[test]
fn a_reader_that_is_slow_when_it_ends_gets_every_line() {
    timed(|| {
        let backend = Backend::named("a");
        let mut balancer = Balancer::over(&[&backend], &["-l", "-"]);
        let stdout = balancer.stdout.clone();
        let unread = stdout.unread();
        ask(&balancer);
        balancer.signal("TERM");
        balancer.stderr.wait_for("stopping: ");
        // How long the reader stalls; less than the shortest wait at exit, a second.
        std::thread::sleep(Duration::from_millis(300));
        drop(unread);
        assert_eq!(balancer.wait().code(), Some(0));
        assert_eq!(stdout.whole().lines().count(), REQUESTS);
        assert_eq!(lost(&balancer.stderr.whole()), []);
    });
}

#[test]
fn lines_that_are_not_read_by_the_end_are_counted_and_reported() {
    let backend = Backend::named("a");
    let options = ["-l", "-", "--drain-timeout", "100ms"];
    let mut balancer = Balancer::over(&[&backend], &options);
    let stdout = balancer.stdout.clone();
    let unread = stdout.unread();
    ask(&balancer);
    balancer.signal("TERM");
    assert_eq!(balancer.wait().code(), Some(0));
    drop(unread);
    let written = stdout.whole().lines().count();
    assert!(written < REQUESTS, "they are more than fit anywhere");
    assert_eq!(lost(&balancer.stderr.whole()), [REQUESTS - written]);
}

#[test]
fn a_second_signal_ends_the_wait_for_a_reader() {
    let backend = Backend::named("a");
    let options = ["-l", "-", "--drain-timeout", "1h"];
    let mut balancer = Balancer::over(&[&backend], &options);
    let stdout = balancer.stdout.clone();
    let unread = stdout.unread();
    ask(&balancer);
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping: ");
    balancer.signal("TERM");
    balancer.wait();
    balancer.stderr.wait_for(" access log lines were lost at exit");
    drop(unread);
}

#[test]
fn a_log_that_cannot_be_written_is_reported_with_the_first_line() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-l", "/dev/full"]);
    assert_eq!(balancer.get("/").status(), 200);
    let line = balancer.stderr.wait_for("cannot write the access log: ");
    assert!(line.contains("no space left on device"), "{line}");
    assert!(line.ends_with("; 1 access log line was lost"), "{line}");
    for _ in 0..2 {
        assert_eq!(balancer.get("/").status(), 200);
    }
    balancer.signal("TERM");
    let stderr = balancer.stderr.whole();
    assert_eq!(lost(&stderr), [1, 2], "{stderr}");
}
