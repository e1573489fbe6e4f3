//! Event lines on standard error, when its reader is stalled.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Running, binary, terminal, wait_until};
use std::fs::File;
use std::io::Write;
use std::process::Command;

/// Requests, and bytes of the target of each: their lines exceed 1 MiB.
const VERBOSE: (usize, usize) = (1_400, 900);

/// Backends that refuse, with a line each: more lines than a pipe of 65,536 bytes has room for in
/// addition to the filler.
const REFUSED: usize = 900;

/// The arguments before the names of the backends.
const OPTIONS: [&str; 5] = ["127.0.0.1:0", "-s", "first", "--health", "off"];

const FILLER_BYTES: usize = 60_000;

/// The command line of a balancer that has [`REFUSED`] lines to write before it finds the backend
/// that answers.
struct ManyRefusing {
    up: Backend,
    arguments: Vec<String>,
    /// Keeps its port from being used by others.
    _refusing: Backend,
}

impl ManyRefusing {
    fn new() -> ManyRefusing {
        let (refusing, up) = (Backend::refusing(), Backend::named("up"));
        let port = refusing.address().port();
        let mut arguments: Vec<String> = OPTIONS.map(String::from).to_vec();
        let refused = (0..REFUSED).map(|number| (number / 250, number % 250 + 1));
        arguments.extend(refused.map(|(third, fourth)| format!("127.1.{third}.{fourth}:{port}")));
        arguments.push(up.argument());
        ManyRefusing { up, arguments, _refusing: refusing }
    }

    fn command(&self) -> Command {
        let mut command = binary();
        command.args(&self.arguments);
        command
    }

    /// Fails unless it serves and stops while its standard error is not read, in which `fill` has
    /// left too little room for all lines.
    fn serves_unread(&self, mut balancer: Balancer, fill: impl FnOnce(&Balancer)) {
        let lines = balancer.stderr.clone();
        let unread = lines.unread();
        fill(&balancer);
        for _ in 0..2 {
            let answer = balancer.get("/");
            assert_eq!((answer.status(), answer.text().as_str()), (200, "up"));
        }
        assert_eq!(self.up.requests().len(), 2);
        balancer.signal("TERM");
        assert_eq!(balancer.wait().code(), Some(0));
        drop(unread);
        let read = lines.whole().lines().filter(|line| line.contains(" down: ")).count();
        assert!(read > 0, "some lines came before it was full");
        assert!(read < REFUSED, "there was room for all {read} lines");
    }
}

/// A process whose standard error is a terminal.
fn on_a_terminal(command: Command) -> Running {
    let (user, programs) = terminal();
    Running::start_with_stderr(command, programs, user)
}

#[test]
fn a_stalled_reader_of_standard_error_blocks_nothing() {
    let servers = ManyRefusing::new();
    let balancer = Balancer::of(Running::start(&mut servers.command()));
    servers.serves_unread(balancer, |balancer| {
        let stderr = format!("/proc/{}/fd/2", balancer.id());
        let mut stderr = File::options().write(true).open(stderr).expect("its standard error");
        stderr.write_all(&[b'\n'; FILLER_BYTES]).expect("room in the pipe");
    });
}

#[test]
fn a_stopped_terminal_blocks_nothing() {
    let servers = ManyRefusing::new();
    let balancer = Balancer::of(on_a_terminal(servers.command()));
    // It has room for far less from the start.
    servers.serves_unread(balancer, |_| {});
}

#[test]
fn a_terminal_gets_all_lines_in_their_order_before_the_end() {
    let servers = ManyRefusing::new();
    let mut balancer = Balancer::of(on_a_terminal(servers.command()));
    assert_eq!(balancer.get("/").text(), "up");
    balancer.signal("TERM");
    assert_eq!(balancer.wait().code(), Some(0));
    let text = balancer.stderr.whole();
    let first = text.lines().next().unwrap_or_default();
    assert!(first.contains(" listening on "), "{first}");
    let down: Vec<&str> = text.lines().filter(|line| line.contains(" down: ")).collect();
    assert_eq!(down.len(), REFUSED);
    let names = &servers.arguments[OPTIONS.len()..];
    for (line, name) in down.iter().zip(names) {
        assert!(line.contains(name), "{name} in {line}");
    }
}

#[test]
fn lines_that_are_not_read_are_dropped_counted_and_reported() {
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
    let mut asked = count;
    // The lines of the last requests come with the next ones.
    wait_until("all lines to be read or to be reported as lost", || {
        assert_eq!(balancer.get("/").status(), 200);
        asked += 1;
        let lines = balancer.stderr.so_far();
        let lost = lines.iter().filter(|line| line.contains(" lines were lost here: "));
        let lost: usize =
            lost.filter_map(|line| line.split(' ').nth(2)?.parse::<usize>().ok()).sum();
        let came = lines.iter().filter(|line| line.contains("\"GET /")).count();
        assert!(lost + came <= asked, "{lost} lost and {came} come of {asked}");
        lost > 0 && lost + came + 2 >= asked
    });
}

#[test]
fn lines_about_a_backend_end_with_what_is_left() {
    let (mut first, second) = (Backend::named("a"), Backend::refusing());
    let options = ["-c", "20ms", "--health", "tcp"];
    let balancer = Balancer::probing(&[&first, &second], &options);
    let line = balancer.stderr.wait_for(&format!("backend {} down: ", second.argument()));
    assert!(line.ends_with("; 1 of 2 up"), "{line}");
    first.close();
    let line = balancer.stderr.wait_for(&format!("backend {} down: ", first.argument()));
    assert!(line.ends_with("; none is up, every request is answered 503"), "{line}");
    first.open();
    let line = balancer.stderr.wait_for(&format!("backend {} up: ", first.argument()));
    assert!(line.ends_with("; 1 of 2 up"), "{line}");
}

#[test]
fn event_lines_have_the_time_except_on_a_terminal() {
    let backend = Backend::refusing();
    let mut command = binary();
    command.args(["127.0.0.1:0", "-c", "20ms", "-v", &backend.argument()]);
    let on_terminal = Balancer::of(on_a_terminal(command));
    let line = on_terminal.stderr.wait_for(" down: ");
    assert!(line.starts_with("loadbalancer: backend "), "{line}");
    assert_eq!(on_terminal.get("/").status(), 503);
    let line = on_terminal.stderr.wait_for(" bytes ");
    let (time, _) = line.split_once(' ').expect("a time");
    assert_eq!(time.replace(|char: char| char.is_ascii_digit(), "9"), "99:99:99.999", "{line}");
    let piped = Balancer::probing(&[&backend], &["-c", "20ms"]);
    for part in ["listening on ", " down: "] {
        let line = piped.stderr.wait_for(part);
        let (time, rest) = line.split_once(' ').expect("a time");
        let shape: String =
            time.chars().map(|char| if char.is_ascii_digit() { '9' } else { char }).collect();
        assert_eq!(shape, "9999-99-99T99:99:99.999Z", "{line}");
        assert!(rest.starts_with("loadbalancer: "), "{line}");
    }
}

#[test]
fn a_tls_client_of_a_plain_port_is_reported_once() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    for _ in 0..3 {
        let mut client = balancer.connect();
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert_eq!(client.response().status(), 400);
    }
    let reported = "client 127.0.0.1: the client speaks TLS; this port is plain HTTP; ";
    balancer.stderr.wait_for(reported);
    // What came before this line is there when it is.
    balancer.signal("HUP");
    balancer.stderr.wait_for("SIGHUP: ");
    let lines = balancer.stderr.with("TLS");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn events_can_be_json_objects() {
    let mut backend = Backend::named("a");
    let other = Backend::named("b");
    let options = ["--events", "json", "-v", "-c", "20ms"];
    let balancer = Balancer::probing(&[&backend, &other], &options);
    assert_eq!(balancer.get("/\"x").status(), 200);
    let request = balancer.stderr.wait_for("\"event\":\"request\"");
    assert!(request.contains(r#""request":"GET /\"x HTTP/1.1","status":200,"#), "{request}");
    backend.close();
    let down = balancer.stderr.wait_for("\"event\":\"backend_down\"");
    let name = backend.argument();
    assert!(down.contains(&format!("\"backend\":\"{name}\",\"message\":\"backend {name} down: ")));
    balancer.signal("TERM");
    let whole = balancer.stderr.whole();
    for line in whole.lines() {
        assert!(line.starts_with("{\"event\":\"") && line.ends_with("\"}"), "{line}");
        assert!(line.contains("\"time\":1"), "a time even on a terminal: {line}");
    }
    assert!(whole.contains("\"message\":\"listening on http://127.0.0.1:"), "{whole}");
    assert!(whole.contains("\"message\":\"stopped: all finished\""), "{whole}");
}
