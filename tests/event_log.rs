//! Event lines on standard error, when nobody reads them.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, wait_until};
use std::fs::File;
use std::io::Write;

/// Requests, and bytes of the target of each: more of their lines than 1 MiB.
const VERBOSE: (usize, usize) = (1_400, 900);

/// Backends that refuse, each good for a line: more of them than a pipe of 65,536 bytes has room
/// for beside the filler.
const REFUSED: usize = 900;

const FILLER_BYTES: usize = 60_000;

#[test]
fn a_reader_of_standard_error_that_stops_stops_nobody() {
    let (refusing, up) = (Backend::refusing(), Backend::named("up"));
    let port = refusing.address().port();
    let mut names: Vec<String> = (0..REFUSED)
        .map(|number| format!("127.1.{}.{}:{port}", number / 250, number % 250 + 1))
        .collect();
    names.push(up.argument());
    let mut arguments = vec!["127.0.0.1:0", "-s", "first", "--health", "off"];
    arguments.extend(names.iter().map(String::as_str));
    let mut balancer = Balancer::start(&arguments);

    let lines = balancer.stderr.clone();
    let unread = lines.unread();
    let stderr = format!("/proc/{}/fd/2", balancer.id());
    let mut stderr = File::options().write(true).open(stderr).expect("its standard error");
    stderr.write_all(&[b'\n'; FILLER_BYTES]).expect("room in the pipe");
    drop(stderr);
    for _ in 0..2 {
        let answer = balancer.get("/");
        assert_eq!((answer.status(), answer.text().as_str()), (200, "up"));
    }
    balancer.signal("TERM");
    assert_eq!(balancer.wait().code(), Some(0));
    drop(unread);
    let told = lines.whole().lines().filter(|line| line.contains(" down: ")).count();
    assert!(told > 0, "some lines came before the pipe was full");
    assert!(told < REFUSED, "the pipe had room for all {told} lines");
}

#[test]
fn lines_that_nobody_reads_are_dropped_counted_and_told() {
    let up = Backend::named("up");
    let balancer = Balancer::over(&[&up], &["-v"]);
    let unread = balancer.stderr.unread();
    let (count, target_bytes) = VERBOSE;
    let target = format!("/{}", "x".repeat(target_bytes));
    let mut client = balancer.connect();
    for _ in 0..count {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.response().status(), 200);
    }
    drop(unread);
    let lost = |line: &String| line.contains(" lines were lost here: ");
    wait_until("the number of lost lines", || {
        assert_eq!(balancer.get("/").status(), 200);
        balancer.stderr.so_far().iter().any(lost)
    });
    let lines = balancer.stderr.so_far();
    let line = lines.iter().find(|line| lost(line)).expect("found above");
    let number = line.split(' ').nth(1).expect("a number").parse::<usize>().expect("a number");
    let came = lines.iter().filter(|line| line.contains(&target)).count();
    assert_eq!(number + came, count, "{line}");
}
