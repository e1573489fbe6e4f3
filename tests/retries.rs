//! Which requests go to another server, to which one, and how many of them.

mod common;

use common::{Backend, Balancer, Gate, Peer, TempDir, ok, reply, wait_until};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A server that reads each request and closes without a response, and how many it read.
fn dropping() -> (Backend, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let copy = count.clone();
    let backend = Backend::raw(move |peer: &mut Peer| {
        if peer.request().is_some() {
            copy.fetch_add(1, SeqCst);
        }
    });
    (backend, count)
}

/// A server is down only after a hundred failures in a row, and probes change nothing.
const STAYS_UP: [&str; 6] = ["--health", "tcp", "-c", "1h", "--fall", "100"];

#[test]
fn no_server_gets_a_request_twice_while_another_has_not_had_it() {
    for strategy in ["first", "rr", "rand", "least-conn", "p2c", "source", "uri"] {
        let servers: Vec<_> = (0..4).map(|_| dropping()).collect();
        let backends: Vec<&Backend> = servers.iter().map(|(backend, _)| backend).collect();
        let options = [&STAYS_UP[..], &["-s", strategy, "--retries", "3"]].concat();
        let balancer = Balancer::probing(&backends, &options);
        for asked in 1..=3 {
            assert_eq!(balancer.get("/").status(), 502, "{strategy}");
            let counts: Vec<usize> = servers.iter().map(|(_, count)| count.load(SeqCst)).collect();
            assert_eq!(counts, [asked; 4], "{strategy}");
        }
    }
}

#[test]
fn a_request_lost_with_a_pooled_connection_goes_to_another_server() {
    let forgetful = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send(ok("first"));
            let _ = peer.request();
        }
    });
    let other = Backend::named("other");
    let balancer = Balancer::over(&[&forgetful, &other], &["-s", "first"]);
    let mut client = balancer.connect();
    for expected in ["first", "other", "first", "other"] {
        assert_eq!(client.get("/").text(), expected);
    }
}

/// Sends `count` requests to servers that close without a response; how often a server received
/// one, and how many periods of ten seconds have begun in that time.
fn all_fail(count: usize, options: &[&str]) -> (usize, usize) {
    // So many servers that none of them is down before the end.
    let servers: Vec<_> = (0..6).map(|_| dropping()).collect();
    let backends: Vec<&Backend> = servers.iter().map(|(backend, _)| backend).collect();
    let start = Instant::now();
    let options = [&STAYS_UP[..], &["--retries", "9"], options].concat();
    let balancer = Balancer::probing(&backends, &options);
    for _ in 0..count {
        assert_eq!(balancer.get("/").status(), 502);
    }
    let windows = start.elapsed().as_secs() as usize / 10 + 1;
    (servers.iter().map(|(_, count)| count.load(SeqCst)).sum(), windows)
}

#[test]
fn repeats_are_bounded_when_all_servers_fail() {
    // By default a fifth of the requests, and a hundred in ten seconds.
    let (deliveries, windows) = all_fail(200, &[]);
    let least = 200 + 40 + 100;
    assert!(deliveries >= least, "{deliveries} deliveries: the budget was not used up");
    assert!(deliveries <= least + 100 * windows, "{deliveries} deliveries of 200 requests");
}

#[test]
fn the_share_of_repeats_can_be_chosen() {
    let (deliveries, _) = all_fail(50, &["--retry-budget", "900"]);
    assert_eq!(deliveries, 500, "every request is sent ten times");
    let (deliveries, windows) = all_fail(150, &["--retry-budget", "0"]);
    assert!((250..=250 + 100 * windows).contains(&deliveries), "{deliveries} deliveries");
}

#[test]
fn what_was_in_flight_at_a_server_that_dies_is_within_the_budget() {
    let gate = Gate::new();
    let (mut dies, lives) = (Backend::gated(&gate, "held"), Backend::gated(&gate, "held"));
    let balancer = Balancer::over(&[&dies, &lives], &[]);
    let mut clients: Vec<Peer> = (0..100)
        .map(|_| {
            let mut client = balancer.connect();
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client
        })
        .collect();
    dies.wait_for_requests(50);
    dies.close();
    lives.wait_for_requests(100);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().text(), "held");
    }
}

#[test]
fn a_request_that_no_server_received_costs_no_budget() {
    // More servers than the budget has repeats: all of them are tried.
    let refusing: Vec<Backend> = (0..150).map(|_| Backend::refusing()).collect();
    let good = Backend::named("good");
    let backends: Vec<&Backend> = refusing.iter().chain([&good]).collect();
    let balancer = Balancer::over(&backends, &["-s", "first", "--retry-budget", "0"]);
    assert_eq!(balancer.get("/").text(), "good");
}

#[test]
fn requests_lost_with_pooled_connections_cost_no_budget() {
    let forgetful = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send(ok("first"));
            let _ = peer.request();
        }
    });
    let balancer = Balancer::over(&[&forgetful], &["--retry-budget", "0"]);
    let mut client = balancer.connect();
    for _ in 0..250 {
        assert_eq!(client.get("/").status(), 200);
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_left_for_another() {
    let good = Backend::named("good");
    let hole = Backend::unreachable();
    let options = ["-s", "first", "--connect-timeout", "50ms"];
    let balancer = Balancer::over(&[&hole, &good], &options);
    assert_eq!(balancer.get("/").text(), "good");
    balancer.stderr.wait_for("down: connecting timed out");
}

/// A server that closes without a response to `/poison` and holds all other requests until the gate
/// opens, and the targets it received.
fn poisoned(gate: &Gate) -> (Backend, Arc<Mutex<Vec<String>>>) {
    let targets: Arc<Mutex<Vec<String>>> = Arc::default();
    let (copy, gate) = (targets.clone(), gate.clone());
    let backend = Backend::raw(move |peer: &mut Peer| {
        let Some(request) = peer.request() else { return };
        copy.lock().expect("not poisoned").push(request.target().to_owned());
        if request.target() != "/poison" {
            gate.pass();
            // A close of a connection that served before would be no failure of the server.
            peer.send(reply("200 OK", "Connection: close\r\n", request.target()));
        }
    });
    (backend, targets)
}

#[test]
fn waiting_for_room_between_two_tries_gives_no_further_tries() {
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let servers = gates.each_ref().map(poisoned);
    let targets = || servers.each_ref().map(|(_, targets)| targets.lock().expect("list").clone());
    let directory = TempDir::new();
    let names = servers.iter().map(|(backend, _)| format!("{} max=1\n", backend.argument()));
    let list = directory.file("list", names.collect::<String>());
    // The first failure takes a server down, so that only the others are left, which are full.
    let options = ["-s", "first", "--retries", "1", "--fall", "1", "-c", "1h", "--health", "tcp"];
    let log = ["-f", &list, "-l", "-", "--log-format", "json"];
    let balancer = Balancer::start(&[&["127.0.0.1:0"][..], &options, &log].concat());
    let mut held = ["/a", "/b", "/c"].map(|target| balancer.ask(target));
    wait_until("every server to be full", || targets().iter().all(|targets| targets.len() == 1));
    let all = targets().concat();
    let at = |server: usize| {
        let place = ["/a", "/b", "/c"].iter().position(|target| *target == all[server]);
        place.expect("one of the three")
    };
    gates[0].open();
    assert_eq!(held[at(0)].response().status(), 200);
    let mut poison = balancer.ask("/poison");
    balancer.stderr.wait_for(" down: ");
    gates[1].open();
    assert_eq!(held[at(1)].response().status(), 200);
    assert_eq!(poison.response().status(), 502);
    let seen = targets().map(|targets| targets.iter().filter(|it| *it == "/poison").count());
    assert_eq!(seen, [1, 1, 0]);
    let line = balancer.stdout.wait_for("/poison");
    assert!(line.contains("\"retries\":1,"), "{line}");
}
