//! Which server gets a request, by strategy, as far as clients can see it.

mod common;

use common::{Backend, Balancer, Gate, Peer, TempDir, ok, reply};
use std::collections::HashMap;

const NAMES: [&str; 4] = ["0", "1", "2", "3"];

fn four() -> Vec<Backend> {
    NAMES.iter().map(|name| Backend::named(name)).collect()
}

/// Balances by this strategy, without probes unless it needs them.
fn by(strategy: &str, backends: &[&Backend]) -> Balancer {
    let check = if strategy == "rank" { "tcp" } else { "off" };
    Balancer::probing(backends, &["-s", strategy, "--health", check])
}

/// The names of the servers that answer `count` requests, one after the other.
fn sequence(balancer: &Balancer, count: usize) -> String {
    let answers: Vec<String> = (0..count).map(|_| balancer.get("/").text()).collect();
    answers.join(" ")
}

/// Balances over a list file with these lines, `{0}`, `{1}` … standing for the servers.
fn over_list(backends: &[Backend], lines: &str, options: &[&str]) -> (Balancer, TempDir) {
    let mut text = lines.to_owned();
    for (number, backend) in backends.iter().enumerate() {
        text = text.replace(&format!("{{{number}}}"), &backend.argument());
    }
    let directory = TempDir::new();
    let list = directory.file("servers", text);
    let balancer =
        Balancer::start(&[&["127.0.0.1:0", "-f", &list, "--health", "off"], options].concat());
    (balancer, directory)
}

#[test]
fn round_robin_takes_turns() {
    for options in [&[][..], &["-s", "rr"], &["-s", "round-robin"]] {
        let backends = four();
        let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), options);
        assert_eq!(sequence(&balancer, 8), "0 1 2 3 0 1 2 3", "{options:?}");
    }
}

#[test]
fn first_takes_the_first_that_is_up() {
    for name in ["first", "n2one"] {
        let mut backends = four();
        let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-s", name]);
        assert_eq!(sequence(&balancer, 4), "0 0 0 0", "{name}");
        backends[0].close();
        assert_eq!(sequence(&balancer, 1), "1", "{name}");
    }
}

#[test]
fn weights_give_shares() {
    let backends = four();
    let (balancer, _directory) =
        over_list(&backends, "{0} weight=3\n{1} weight=1\n", &["-s", "rr"]);
    let answers = sequence(&balancer, 8);
    assert_eq!(answers.matches('0').count(), 6, "{answers}");
    assert_eq!(answers.matches('1').count(), 2, "{answers}");
    // Smooth: the light server comes between the others, not after all of them.
    assert!(!answers.contains("0 0 0 0"), "{answers}");
}

#[test]
fn backups_are_used_only_when_no_other_is_left() {
    let mut backends = four();
    let (balancer, _directory) = over_list(&backends, "{0} backup\n{1}\n", &["-s", "rr"]);
    assert_eq!(sequence(&balancer, 4), "1 1 1 1");
    backends[1].close();
    assert_eq!(sequence(&balancer, 4), "0 0 0 0");
}

#[test]
fn random_choice_reaches_every_server() {
    for name in ["rand", "random"] {
        let backends = four();
        let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-s", name]);
        let mut counts: HashMap<String, usize> = HashMap::new();
        for _ in 0..200 {
            *counts.entry(balancer.get("/").text()).or_default() += 1;
        }
        // A share of 50 is expected; 10 or fewer happen once in 10^12 runs.
        assert!(NAMES.iter().all(|name| counts.get(*name).is_some_and(|n| *n > 10)), "{counts:?}");
    }
}

#[test]
fn every_other_strategy_serves_every_request() {
    for name in
        ["least-conn", "least-time", "lrt", "least-load", "load", "rank", "p2c", "source", "uri"]
    {
        let backends = four();
        let balancer = by(name, &backends.iter().collect::<Vec<_>>());
        for number in 0..20 {
            assert_eq!(balancer.get(&format!("/{number}")).status(), 200, "{name}");
        }
        let served: usize = backends.iter().map(|backend| backend.requests().len()).sum();
        assert_eq!(served, 20, "{name}");
    }
}

#[test]
fn every_strategy_leaves_out_servers_that_are_down() {
    for name in [
        "first",
        "rr",
        "rand",
        "least-conn",
        "least-time",
        "least-load",
        "rank",
        "p2c",
        "source",
        "uri",
    ] {
        let (down, up) = (Backend::refusing(), Backend::named("up"));
        let balancer = by(name, &[&down, &up]);
        for number in 0..10 {
            assert_eq!(balancer.get(&format!("/{number}")).text(), "up", "{name}");
        }
    }
}

#[test]
fn least_connections_follows_what_is_held() {
    // One gate per request, so that a test can say which of them ends.
    let gates: Vec<Gate> = (0..8).map(|_| Gate::new()).collect();
    let backends: Vec<Backend> = NAMES
        .iter()
        .map(|name| {
            let gates = gates.clone();
            Backend::start(move |request| {
                let number: usize = request.target()[1..].parse().expect("a number");
                gates[number].pass();
                ok(name)
            })
        })
        .collect();
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-s", "lc"]);
    let mut held: Vec<(usize, usize, Peer)> = Vec::new();
    let mut picks = Vec::new();
    // Which server ends its oldest request after which pick, picks counted from 0.
    let releases = [None, None, None, None, Some(0), Some(3), Some(2), Some(0)];
    for (number, release) in releases.into_iter().enumerate() {
        let target = format!("/{number}");
        let mut client = balancer.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let mut picked = None;
        common::wait_until("the request at a server", || {
            picked = (0..4).find(|&at| backends[at].targets().contains(&target));
            picked.is_some()
        });
        let picked = picked.expect("a server has it");
        picks.push(picked);
        held.push((picked, number, client));
        if let Some(at) = release {
            let oldest = held.iter().position(|held| held.0 == at).expect("one is held");
            let (_, number, mut client) = held.remove(oldest);
            gates[number].open();
            assert_eq!(client.response().text(), NAMES[at]);
        }
    }
    assert_eq!(picks, [0, 1, 2, 3, 0, 0, 3, 2]);
    gates.iter().for_each(Gate::open);
}

#[test]
fn least_connections_without_an_end_takes_turns() {
    let gate = Gate::new();
    let backends: Vec<Backend> = NAMES.iter().map(|name| Backend::gated(&gate, name)).collect();
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-s", "least-conn"]);
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut client = balancer.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        backends[number % 4].wait_for_requests(1 + number / 4);
        clients.push(client);
    }
    gate.open();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().text(), NAMES[number % 4]);
    }
}

#[test]
fn a_servers_own_maximum_sends_the_rest_elsewhere() {
    let gate = Gate::new();
    let backends = [Backend::gated(&gate, "small"), Backend::named("large")];
    let (balancer, _directory) = over_list(&backends, "{0} max=2\n{1}\n", &["-s", "first"]);
    let mut clients: Vec<Peer> = Vec::new();
    for count in 1..=2 {
        let mut client = balancer.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        backends[0].wait_for_requests(count);
        clients.push(client);
    }
    for _ in 0..3 {
        assert_eq!(balancer.get("/").text(), "large");
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().text(), "small");
    }
    assert_eq!(balancer.get("/").text(), "small");
}

#[test]
fn the_hash_of_a_target_keeps_its_server() {
    let backends = four();
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-s", "uri"]);
    let targets: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();
    let ask = || -> Vec<String> { targets.iter().map(|t| balancer.get(t).text()).collect() };
    let first = ask();
    assert_eq!(ask(), first);
    assert!(first.iter().any(|name| *name != first[0]), "{first:?}");
}

#[test]
fn the_hash_of_a_field_keeps_its_server() {
    let backends = four();
    let options = ["-s", "header", "--hash-field", "X-User"];
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &options);
    let ask = |user: usize| {
        balancer.exchange(format!("GET / HTTP/1.1\r\nHost: x\r\nx-user: {user}\r\n\r\n")).text()
    };
    let first: Vec<String> = (0..20).map(ask).collect();
    let second: Vec<String> = (0..20).map(ask).collect();
    assert_eq!(first, second);
    assert!(first.iter().any(|name| *name != first[0]), "{first:?}");
}

#[test]
fn the_hash_of_the_client_keeps_its_server() {
    let backends = four();
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-s", "source"]);
    let first = balancer.get("/").text();
    for number in 0..10 {
        assert_eq!(balancer.get(&format!("/{number}")).text(), first);
    }
}

#[test]
fn least_time_tries_every_server_before_any_twice() {
    let backends = four();
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-s", "least-time"]);
    assert_eq!(sequence(&balancer, 4), "0 1 2 3");
}

#[test]
fn least_load_counts_5xx_responses_as_errors() {
    let (failing, good) = (Backend::start(|_| reply("500 Error", "", "0")), Backend::named("1"));
    let balancer = by("least-load", &[&failing, &good]);
    // Without errors it would take turns.
    assert_eq!(sequence(&balancer, 6), "0 1 1 0 1 0");
}

#[test]
fn bad_lines_of_a_list_are_reported_and_the_others_are_used() {
    let backends = four();
    let (balancer, _directory) = over_list(
        &backends,
        "# servers\r\n\r\n{0}\r\nnonsense\r\n{1} weight=x\r\n  {2}   weight=1 # the last\r\n{3}",
        &[],
    );
    assert_eq!(sequence(&balancer, 3), "0 2 3");
    assert!(balancer.stderr.wait_for("servers:4: ").contains("nonsense"));
    assert!(balancer.stderr.wait_for("servers:5: ").contains("weight"));
}
