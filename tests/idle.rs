//! An idle program sleeps: nothing wakes it when no timer is due.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, wait_until};
use std::time::Duration;

/// How often the process went to sleep so far, and whether it sleeps now.
fn sleeps(balancer: &Balancer) -> (u64, bool) {
    let path = format!("/proc/{}/status", balancer.id());
    let status = std::fs::read_to_string(path).expect("the status of a live process");
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    };
    let count = value("voluntary_ctxt_switches:").parse().expect("a number");
    (count, value("State:").starts_with('S'))
}

/// Waits until the process sleeps through a pause of this length.
fn comes_to_rest(balancer: &Balancer, pause: Duration) {
    let mut before = sleeps(balancer);
    wait_until("the process to rest", || {
        std::thread::sleep(pause);
        let now = sleeps(balancer);
        let rests = now == before && now.1;
        before = now;
        rests
    });
}

/// Fails if the process wakes again and again. Once it may: for the timer of a wait that is over,
/// which is not moved when the wait ends.
fn sleeps_on(balancer: &Balancer) {
    comes_to_rest(balancer, Duration::from_secs(1));
}

#[test]
fn without_probes_and_clients_nothing_wakes_it() {
    let backend = Backend::named("a");
    sleeps_on(&Balancer::over(&[&backend], &[]));
}

#[test]
fn idle_connections_do_not_wake_it() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-v"]);
    let mut kept = balancer.connect();
    assert_eq!(kept.get("/").status(), 200);
    let silent = balancer.connect();
    balancer.stderr.wait_for("\"GET / HTTP/1.1\" 200");
    sleeps_on(&balancer);
    drop((kept, silent));
}

#[test]
fn a_request_at_the_server_does_not_wake_it() {
    let backend = Backend::raw(|peer| {
        let _ = peer.try_rest();
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("the request at the server", || backend.connections() == 1);
    sleeps_on(&balancer);
}

#[test]
fn a_client_that_does_not_read_does_not_keep_it_busy() {
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
            let _ = peer.writer().set_write_timeout(None);
            while peer.try_send([b'x'; 10_000]).is_ok() {}
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.head().expect("a head");
    // The kernel may still report what little room it finds: rest is all there is to ask for.
    comes_to_rest(&balancer, Duration::from_millis(100));
}

#[test]
fn probes_wake_it_only_when_they_are_due() {
    let backend = Backend::named("a");
    let balancer = Balancer::probing(&[&backend], &["-c", "1h"]);
    backend.wait_for_probes(1);
    sleeps_on(&balancer);
}
