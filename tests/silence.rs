//! Servers that stop answering: which requests wait, which go to another server, and which servers
//! are not suspected.
//!
//! Regular probes are an hour apart here, so that only those of a suspicion are seen.

mod common;

use common::{Backend, Balancer, Gate, Peer, ok};

const OPTIONS: [&str; 6] = ["-s", "first", "-c", "1h", "--health-timeout", "5s"];

/// A server that answers its probes, but requests only once the gate lets them pass.
fn gated(name: &'static str) -> (Backend, Gate) {
    let gate = Gate::new();
    (Backend::gated(&gate, name), gate)
}

/// Sends a request without waiting for its response.
fn ask(balancer: &Balancer, method: &str) -> Peer {
    let mut client = balancer.connect();
    client.send(format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"));
    client
}

/// Sends a request that `backend` gets and does not answer, then waits until the balancer has found
/// that it does not answer probes either.
fn ask_in_vain(balancer: &Balancer, backend: &Backend, method: &str) -> Peer {
    let client = ask(balancer, method);
    backend.wait_for_requests(1);
    backend.wait_for_probes(1);
    backend.hang_probes();
    balancer.stderr.wait_for(&format!("backend {} down: silent for ", backend.argument()));
    client
}

#[test]
fn a_request_at_a_silent_server_is_answered_by_another() {
    let ((silent, _gate), up) = (gated("silent"), Backend::named("up"));
    let balancer = Balancer::probing(&[&silent, &up], &OPTIONS);
    let mut client = ask_in_vain(&balancer, &silent, "PUT");
    assert_eq!(client.response().text(), "up");
    assert_eq!(balancer.get("/").text(), "up");
}

#[test]
fn a_post_waits_for_the_silent_server_that_may_have_it() {
    let ((silent, gate), up) = (gated("silent"), Backend::named("up"));
    let balancer = Balancer::probing(&[&silent, &up], &OPTIONS);
    let mut client = ask_in_vain(&balancer, &silent, "POST");
    assert_eq!(ask(&balancer, "POST").response().text(), "up", "a new one goes elsewhere");
    gate.open();
    assert_eq!(client.response().text(), "silent");
    assert_eq!((silent.requests().len(), up.requests().len()), (1, 1));
}

#[test]
fn a_silent_server_is_back_with_its_first_byte() {
    let ((silent, gate), up) = (gated("silent"), Backend::named("up"));
    let balancer = Balancer::probing(&[&silent, &up], &OPTIONS);
    let mut client = ask_in_vain(&balancer, &silent, "POST");
    gate.open();
    assert_eq!(client.response().text(), "silent");
    balancer.stderr.wait_for(&format!("backend {} up: answers again", silent.argument()));
    assert_eq!(balancer.get("/").text(), "silent");
}

#[test]
fn requests_wait_for_the_only_server_when_it_is_silent() {
    let (silent, gate) = gated("silent");
    let balancer = Balancer::probing(&[&silent], &OPTIONS);
    let mut waiting = ask_in_vain(&balancer, &silent, "GET");
    let mut new = ask(&balancer, "GET");
    silent.wait_for_requests(2);
    gate.open();
    for client in [&mut waiting, &mut new] {
        assert_eq!(client.response().text(), "silent");
    }
}

#[test]
fn a_waiting_request_is_rerouted_once_another_server_is_up() {
    let ((silent, _gate), mut other) = (gated("silent"), Backend::closed(|_| ok("other")));
    let balancer = Balancer::probing(&[&silent, &other], &OPTIONS);
    balancer.stderr.wait_for(&format!("backend {} down: ", other.argument()));
    let mut client = ask_in_vain(&balancer, &silent, "GET");
    other.open();
    assert_eq!(client.response().text(), "other");
}

#[test]
fn a_waiting_request_is_rerouted_to_a_server_that_refused_it_before() {
    let ((silent, _gate), mut other) = (gated("silent"), Backend::closed(|_| ok("other")));
    // Only the request itself can show that the other server is down.
    let balancer =
        Balancer::probing(&[&other, &silent], &[&OPTIONS[..], &["--fall", "100"]].concat());
    let mut client = ask_in_vain(&balancer, &silent, "GET");
    other.open();
    assert_eq!(client.response().text(), "other");
}

#[test]
fn a_slow_server_that_answers_probes_stays_up() {
    let ((slow, gate), other) = (gated("slow"), Backend::named("other"));
    let balancer = Balancer::probing(&[&slow, &other], &OPTIONS);
    let mut client = ask(&balancer, "GET");
    slow.wait_for_requests(1);
    // The first at the start, the others because it was silent.
    slow.wait_for_probes(4);
    gate.open();
    assert_eq!(client.response().text(), "slow");
    assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_connect_that_hangs_is_given_up_for_another_server() {
    let (hole, up) = (common::BlackHole::new(), Backend::named("up"));
    for check in [&["--health", "off"][..], &["--health", "tcp", "-c", "1h"]] {
        let arguments = ["127.0.0.1:0", &hole.argument(), &up.argument(), "-s", "first"];
        let options = [&arguments[..], &["--connect-timeout", "1h"], check].concat();
        let balancer = Balancer::start(&options);
        for method in ["GET", "POST"] {
            assert_eq!(ask(&balancer, method).response().text(), "up", "{method} {check:?}");
        }
    }
}
