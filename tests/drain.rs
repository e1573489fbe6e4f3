//! How the program ends: what is in flight is finished, everything else is let go.

mod common;

use common::{Backend, Balancer, DEADLINE, Gate, Running, binary, wait_until};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

const GET: &str = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn with_nothing_in_flight_it_ends_at_once_with_0() {
    for signal in ["TERM", "INT"] {
        let backend = Backend::named("a");
        let mut balancer = Balancer::over(&[&backend], &[]);
        balancer.signal(signal);
        assert_eq!(balancer.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn what_is_in_flight_is_finished() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(GET);
    backend.wait_for_requests(1);
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping: 1 in flight");
    gate.open();
    let answer = client.response();
    assert_eq!(answer.text(), "/held");
    assert!(answer.closes(), "{}", answer.head);
    client.expect_end();
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn who_waits_in_the_queue_is_served() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut balancer = Balancer::over(&[&backend], &["-N", "1"]);
    let mut first = balancer.connect();
    first.send(GET);
    backend.wait_for_requests(1);
    let mut second = balancer.connect();
    second.send("GET /queued HTTP/1.1\r\nHost: x\r\n\r\n");
    // Answered once the request before it was read.
    assert_eq!(balancer.exchange("bad\r\n\r\n").status(), 400);
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping: 1 in flight, 1 waiting");
    gate.open();
    assert_eq!(first.response().text(), "/held");
    assert_eq!(second.response().text(), "/queued");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn new_connections_are_refused() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(GET);
    backend.wait_for_requests(1);
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping: ");
    let refused = TcpStream::connect_timeout(&balancer.address(), DEADLINE);
    let error = refused.expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    gate.open();
    assert_eq!(client.response().status(), 200);
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn idle_clients_are_closed() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut balancer = Balancer::over(&[&backend], &[]);
    let mut silent = balancer.connect();
    let mut kept = balancer.connect();
    assert_eq!(kept.get_held(&backend, &gate), "/held");
    let mut busy = balancer.connect();
    busy.send(GET);
    backend.wait_for_requests(2);
    balancer.signal("TERM");
    silent.expect_end();
    kept.expect_end();
    assert!(balancer.is_running(), "it ended before its last request");
    gate.open();
    assert_eq!(busy.response().status(), 200);
    assert_eq!(balancer.wait().code(), Some(0));
}

trait GetHeld {
    fn get_held(&mut self, backend: &Backend, gate: &Gate) -> String;
}

impl GetHeld for common::Peer {
    /// One request, let pass as soon as it is at the server.
    fn get_held(&mut self, backend: &Backend, gate: &Gate) -> String {
        self.send(GET);
        backend.wait_for_requests(1);
        gate.let_pass(1);
        self.response().text()
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(GET);
    backend.wait_for_requests(1);
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping: ");
    assert!(balancer.is_running());
    balancer.signal("TERM");
    balancer.wait();
    client.expect_end();
    gate.open();
}

#[test]
fn draining_ends_after_its_time() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut balancer = Balancer::over(&[&backend], &["--drain-timeout", "50ms"]);
    let mut client = balancer.connect();
    client.send(GET);
    backend.wait_for_requests(1);
    balancer.signal("TERM");
    balancer.wait();
    client.expect_end();
    gate.open();
}

#[test]
fn a_body_on_its_way_is_finished() {
    let gate = Gate::new();
    let passed = gate.clone();
    let backend = Backend::raw(move |peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
            passed.pass();
            peer.send("half");
        }
    });
    let mut balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(GET);
    client.head().expect("a head");
    assert_eq!(client.exactly(4), b"half");
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping: ");
    gate.open();
    assert_eq!(client.rest(), b"half");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn pooled_connections_are_closed() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    assert_eq!(balancer.get("/").status(), 200);
    balancer.stop();
    wait_until("the server's connections to end", || backend.open_connections() == 0);
}

#[test]
fn closing_the_terminal_ends_it_as_a_stop_does() {
    // A signal that is handled here starts anew in a child; one that is ignored, as where the tests
    // run under nohup, would stay ignored.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default()).expect("a handler");
    let backend = Backend::named("a");
    let mut balancer = Balancer::over(&[&backend], &[]);
    assert_eq!(balancer.get("/").status(), 200);
    balancer.signal("HUP");
    assert_eq!(balancer.wait().code(), Some(0));
    balancer.stderr.wait_for("stopping: ");
}

#[test]
fn under_nohup_closing_the_terminal_ends_nothing() {
    let backend = Backend::named("a");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.args([binary().get_program(), "127.0.0.1:0".as_ref(), backend.argument().as_ref()]);
    let balancer = Balancer::of(Running::start(&mut command));
    let mut client = balancer.connect();
    balancer.signal("HUP");
    // The answer to the first may be under way when the signal is looked at; not the second's.
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status(), 200);
    }
    balancer.stop();
}
