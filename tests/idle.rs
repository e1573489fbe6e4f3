//! An idle program sleeps: nothing wakes it when no timer is due.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, timed, wait_until};
use std::time::Duration;

/// Fails if the process keeps waking up. One wake-up is allowed: for the timer of a wait that is
/// over, which is not moved when the wait ends.
fn sleeps_on(balancer: &Balancer) {
    balancer.comes_to_rest(Duration::from_secs(1));
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
fn an_answered_request_leaves_no_timer_for_its_servers_silence() {
    timed(|| {
        let backend = Backend::named("a");
        let balancer = Balancer::probing(&[&backend], &["-c", "1h"]);
        backend.wait_for_probes(1);
        let mut kept = balancer.connect();
        for _ in 0..3 {
            // Further apart than a silence that is looked at.
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(kept.get("/").status(), 200);
        }
        // The balancer sleeps again as soon as it has written the response.
        wait_until("its sleep", || balancer.is_asleep());
        let before = balancer.wake_ups();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(balancer.wake_ups(), before, "no timer was due");
    });
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
    // The kernel may still report a little room: only that it comes to rest can be expected.
    balancer.comes_to_rest(Duration::from_millis(100));
}

#[test]
fn probes_wake_it_only_when_they_are_due() {
    let backend = Backend::named("a");
    let balancer = Balancer::probing(&[&backend], &["-c", "1h"]);
    backend.wait_for_probes(1);
    sleeps_on(&balancer);
}

#[test]
fn a_command_leaves_no_timer() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let place = balancer.address().to_string();
    assert_eq!(common::run(&["ctl", &place, "status"]).code, Some(0));
    sleeps_on(&balancer);
}
