//! How the program stops: what is in flight is finished, everything else is closed.

mod common;

use common::{Backend, Balancer, DEADLINE, Gate, InFlight, wait_until};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn with_nothing_in_flight_it_stops_at_once_with_status_0() {
    for signal in ["TERM", "INT"] {
        let backend = Backend::named("a");
        let mut balancer = Balancer::over(&[&backend], &[]);
        balancer.signal(signal);
        assert_eq!(balancer.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_request_in_flight_is_finished() {
    let mut held = InFlight::new(&[]);
    held.balancer.signal("TERM");
    held.balancer.stderr.wait_for("stopping: 1 in flight");
    let response = held.finish();
    assert!(response.closes(), "{}", response.head);
    held.client.expect_end();
    assert_eq!(held.balancer.wait().code(), Some(0));
}

#[test]
fn queued_requests_are_served() {
    let mut held = InFlight::new(&["-N", "1"]);
    let mut second = held.balancer.ask("/queued");
    // Answered once the request before it was read.
    assert_eq!(held.balancer.exchange("bad\r\n\r\n").status(), 400);
    held.balancer.signal("TERM");
    held.balancer.stderr.wait_for("stopping: 1 in flight, 1 waiting");
    held.finish();
    assert_eq!(second.response().text(), "/queued");
    assert_eq!(held.balancer.wait().code(), Some(0));
}

#[test]
fn new_connections_are_refused() {
    let mut held = InFlight::new(&[]);
    held.drain();
    let refused = TcpStream::connect_timeout(&held.balancer.address(), DEADLINE);
    let error = refused.expect_err("the listener is closed");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    held.finish();
    assert_eq!(held.balancer.wait().code(), Some(0));
}

#[test]
fn idle_clients_are_closed() {
    let mut held = InFlight::new(&[]);
    let mut silent = held.balancer.connect();
    let mut kept = held.balancer.ask("/kept");
    held.backend.wait_for_requests(2);
    held.gate.let_pass(2);
    assert_eq!(kept.response().text(), "/kept");
    assert_eq!(held.client.response().text(), "/held");
    let mut busy = held.balancer.ask("/busy");
    held.backend.wait_for_requests(3);
    held.balancer.signal("TERM");
    silent.expect_end();
    kept.expect_end();
    assert!(held.balancer.is_running(), "it stopped before its last request");
    held.gate.open();
    assert_eq!(busy.response().status(), 200);
    assert_eq!(held.balancer.wait().code(), Some(0));
}

/// Its client was connected when the program was still accepting, and no other process was offered
/// the request.
#[test]
fn the_first_request_of_a_new_connection_is_served() {
    const HEADER: &str = "PROXY TCP4 203.0.113.7 198.51.100.2 1 443\r\n";
    let backend = Backend::named("a");
    for (options, header) in [(&[][..], ""), (&["--proxy-protocol", "any"][..], HEADER)] {
        let mut is_tried = false;
        // On a machine that stalls, the time that a new connection has may be over.
        while !is_tried {
            let mut balancer = Balancer::over(&[&backend], options);
            let begun = Instant::now();
            let mut new = balancer.connect();
            let later = balancer.exchange(format!("{header}bad\r\n\r\n"));
            assert_eq!(later.status(), 400, "answered once the new one is accepted");
            balancer.signal("TERM");
            balancer.stderr.wait_for("stopping: 0 in flight");
            let sent = new.try_send(format!("{header}GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
            is_tried = begun.elapsed() < Duration::from_millis(1_800);
            if is_tried {
                sent.expect("it is open");
                let response = new.response();
                assert_eq!((response.status(), response.text()), (200, "a".to_owned()));
                assert!(response.closes(), "{}", response.head);
                assert_eq!(balancer.wait().code(), Some(0));
            }
        }
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut held = InFlight::new(&[]);
    held.drain();
    assert!(held.balancer.is_running());
    held.balancer.signal("TERM");
    held.balancer.wait();
    held.client.expect_end();
    held.gate.open();
}

#[test]
fn draining_ends_after_its_time_out() {
    let mut held = InFlight::new(&["--drain-timeout", "50ms"]);
    held.balancer.signal("TERM");
    held.balancer.wait();
    held.client.expect_end();
    held.gate.open();
}

#[test]
fn a_body_in_transfer_is_finished() {
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
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
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
fn the_last_line_says_how_it_ended() {
    for (name, options, signals, expected) in [
        ("finished", &[][..], 1, "stopped: all finished"),
        ("timed out", &["--drain-timeout", "50ms"], 1, "stopped: 2 cut off after 0.05 s"),
        ("stopped twice", &[], 2, "stopped: 2 cut off by the second signal"),
    ] {
        let gate = Gate::new();
        let backend = Backend::held(&gate);
        let mut balancer = Balancer::over(&[&backend], options);
        let clients = [balancer.ask("/held"), balancer.ask("/held")];
        backend.wait_for_requests(2);
        balancer.signal("TERM");
        balancer.stderr.wait_for("stopping: 2 in flight");
        if signals == 2 {
            balancer.signal("TERM");
        } else if options.is_empty() {
            gate.open();
        }
        balancer.wait();
        let lines = balancer.stderr.whole();
        assert!(
            lines.lines().last().is_some_and(|line| line.ends_with(expected)),
            "{name}: {lines}"
        );
        gate.open();
        drop(clients);
    }
}

#[test]
fn a_request_that_is_cut_off_is_logged() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let options = ["--drain-timeout", "50ms", "-l", "-", "--log-format", "json"];
    let mut balancer = Balancer::over(&[&backend], &options);
    let client = balancer.ask("/held");
    backend.wait_for_requests(1);
    balancer.signal("TERM");
    balancer.wait();
    let log = balancer.stdout.whole();
    assert!(log.contains("/held") && log.contains("\"end\":\"stopped\""), "{log}");
    gate.open();
    drop(client);
}

#[test]
fn half_a_head_does_not_delay_the_end_for_the_whole_head_time_out() {
    let backend = Backend::named("a");
    let options = ["--head-timeout", "1h", "--drain-timeout", "1h"];
    let mut balancer = Balancer::over(&[&backend], &options);
    let mut slow = balancer.connect();
    slow.send("GET / HTTP/1.1\r\nHost:");
    // Answered once the bytes before it were read.
    assert_eq!(balancer.get("/").status(), 200);
    let begun = Instant::now();
    balancer.signal("TERM");
    // It may still complete its head.
    assert_eq!(slow.response().status(), 408);
    assert!(begun.elapsed() >= Duration::from_secs(1), "it had time");
    // The client keeps its connection open and silent: nothing is waited for after the answer.
    assert_eq!(balancer.wait().code(), Some(0));
    drop(slow);
}

#[test]
fn a_lame_duck_serves_on_and_ends_connections() {
    let backend = Backend::named("a");
    let mut balancer = Balancer::over(&[&backend], &["--lame-duck", "1h"]);
    let mut kept = balancer.ask("/");
    assert!(!kept.response().closes());
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping in 3600 s");
    kept.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (old, new) = (kept.response(), balancer.get("/new"));
    for response in [old, new] {
        assert_eq!(response.status(), 200);
        assert!(response.closes(), "{}", response.head);
    }
    assert!(balancer.is_running());
    balancer.signal("TERM");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn a_lame_duck_drains_when_its_time_is_over() {
    let mut held = InFlight::new(&["--lame-duck", "50ms"]);
    held.balancer.signal("TERM");
    held.balancer.stderr.wait_for("stopping: 1 in flight");
    assert_eq!(held.finish().status(), 200);
    assert_eq!(held.balancer.wait().code(), Some(0));
}
