//! Many clients at once that abort, stall or exceed the limits: what they cost, and that others are
//! served.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Gate, Message, Peer, Running, TempDir, assert_same_bytes, binary};
use common::{DEADLINE, ok, pattern, wait_until};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Each test here takes many descriptors or measures time spent: one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds requests for `/held` until the gate lets them pass.
fn held(gate: &Gate) -> Backend {
    let gate = gate.clone();
    Backend::start(move |request: &Message| {
        if request.target() == "/held" {
            gate.pass();
        }
        ok(request.target())
    })
}

/// Fails if the process uses a tenth of a CPU or more for a second. One that spins uses a whole
/// one.
fn does_not_spin(balancer: &Balancer) {
    let before = balancer.cpu_ticks();
    std::thread::sleep(Duration::from_secs(1));
    let spent = balancer.cpu_ticks() - before;
    assert!(spent < 10, "{spent} ticks of 10 ms in a second of waiting");
}

#[test]
fn without_a_descriptor_accepting_pauses_without_spinning_and_resumes() {
    let _alone = alone();
    if Command::new("prlimit").arg("--version").output().is_err() {
        println!("skipped: prlimit is not installed");
        return;
    }
    let gate = Gate::new();
    let backend = held(&gate);
    let balancer = Balancer::over(&[&backend], &[]);
    let served: Vec<Peer> = (0..10).map(|_| balancer.ask("/held")).collect();
    backend.wait_for_requests(10);
    // All allowed descriptors are open; the program knows only the limit it started with.
    let limit = format!("--nofile={}", balancer.descriptors());
    let id = balancer.id().to_string();
    let status = Command::new("prlimit").args(["--pid", &id, &limit]).status();
    assert!(status.expect("running prlimit").success());
    let waiting: Vec<Peer> = (0..5).map(|_| balancer.ask("/waiting")).collect();
    balancer.stderr.wait_for("cannot accept");
    does_not_spin(&balancer);
    assert_eq!(backend.requests().len(), 10, "no other client was accepted");
    gate.open();
    for mut client in served {
        assert_eq!(client.response().text(), "/held");
    }
    for mut client in waiting {
        assert_eq!(client.response().text(), "/waiting");
    }
    assert_eq!(balancer.stderr.with("cannot accept").len(), 1, "it is logged once");
}

#[test]
fn at_capacity_new_clients_wait_without_spinning_and_are_served() {
    let _alone = alone();
    let gate = Gate::new();
    let backend = held(&gate);
    let balancer = with_few_descriptors(&backend, "http");
    // Far more than the limit; the first of them are at the server, the others wait.
    let clients: Vec<Peer> = (0..40).map(|_| balancer.ask("/held")).collect();
    backend.wait_for_requests(1);
    does_not_spin(&balancer);
    let served = backend.requests().len();
    assert!(served < clients.len(), "every client was accepted");
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().text(), "/held");
    }
}

#[test]
fn at_capacity_busy_clients_give_way_to_new_ones() {
    const CLIENTS: usize = 60;
    let _alone = alone();
    let backend = Backend::named("a");
    for (mode, status) in [("http", 200), ("redirect", 301)] {
        let balancer = with_few_descriptors(&backend, mode);
        let (balancer, served, begun) = (&balancer, &AtomicUsize::new(0), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(move || {
                    let mut client = balancer.ask("/");
                    let mut answer = client.response();
                    served.fetch_add(1, Ordering::SeqCst);
                    let waits = || served.load(Ordering::SeqCst) < CLIENTS;
                    while waits() && !answer.closes() && begun.elapsed() < DEADLINE {
                        answer = client.get("/");
                    }
                    assert_eq!(answer.status(), status, "{mode}");
                    assert!(answer.closes() || !waits(), "{mode}: new clients still wait");
                });
            }
        });
    }
}

#[test]
fn at_capacity_there_are_descriptors_for_files_and_probes() {
    const FILES: usize = 64;
    /// Clients that are accepted then, each with a connection to the server.
    const PLACES: usize = 20;
    let _alone = alone();
    let gate = Gate::new();
    let (backend, new) = (held(&gate), Backend::named("new"));
    let directory = TempDir::new();
    let list = directory.file("servers", format!("{}\n", backend.argument()));
    let (log, old) = (directory.path().join("log"), directory.path().join("old"));
    let log_name = log.to_str().expect("a path in UTF-8");
    let balancer = Balancer::limited(FILES, &["-f", &list, "-l", log_name, "-c", "50ms"]);
    let clients: Vec<Peer> = (0..FILES).map(|_| balancer.ask("/held")).collect();
    let at_server = || backend.targets().iter().filter(|target| *target == "/held").count();
    wait_until("every place to be taken", || at_server() >= PLACES);
    std::fs::rename(&log, &old).expect("the log moved away");
    directory.file("servers", format!("{}\n{}\n", backend.argument(), new.argument()));
    balancer.signal("HUP");
    new.wait_for_probes(1);
    wait_until("a new log", || log.exists());
    assert_eq!(at_server(), PLACES, "no other client was accepted");
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(balancer.stderr.with("os error"), [""; 0]);
}

/// A balancer with room for far fewer than forty clients.
fn with_few_descriptors(backend: &Backend, mode: &str) -> Balancer {
    Balancer::limited(40, &[&backend.argument(), "--health", "off", "-m", mode])
}

/// One client that aborts, in one of several ways.
fn abort(balancer: &Balancer, kind: usize) {
    let mut client = balancer.connect();
    let get = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";
    match kind % 9 {
        0 => client.reset(),
        1 => drop(client),
        2 => {
            client.send(&get[..20]);
            client.reset();
        }
        3 => {
            client.send(get);
            client.reset();
        }
        4 => {
            client.send(get);
            client.head().expect("a head");
            client.reset();
        }
        5 => {
            client.send(post);
            client.send("half");
            client.reset();
        }
        6 => {
            client.send(post);
            client.half_close();
        }
        7 => {
            client.send(get.repeat(10));
            client.reset();
        }
        _ => {
            client.send("nonsense\r\n\r\n");
            client.reset();
        }
    }
}

#[test]
fn clients_that_abort_leak_nothing() {
    let _alone = alone();
    let gate = Gate::new();
    let large = pattern(300_000);
    let copy = gate.clone();
    let backend = Backend::start(move |request: &Message| match request.target() {
        "/held" => {
            copy.pass();
            ok("held")
        }
        _ => ok(&large),
    });
    let balancer = Balancer::over(&[&backend], &["-N", "4", "--pool-timeout", "50ms"]);
    let before = balancer.descriptors();
    for kind in 0..900 {
        abort(&balancer, kind);
    }
    // Each kind came a hundred times; a few pipes may be kept for the next large body.
    wait_until("descriptors to be closed", || balancer.descriptors() <= before + 16);
    // Every slot is free, and there are no more than that.
    let at_server = || backend.targets().iter().filter(|target| *target == "/held").count();
    let clients: Vec<Peer> = (0..6).map(|_| balancer.ask("/held")).collect();
    wait_until("every slot to be used", || at_server() >= 4);
    assert_eq!(balancer.exchange("bad\r\n\r\n").status(), 400);
    assert_eq!(at_server(), 4, "more than -N allows");
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().text(), "held");
    }
}

#[test]
fn five_hundred_unfinished_heads_do_not_harm_others_and_time_out() {
    let _alone = alone();
    let backend = Backend::start(|request: &Message| ok(request.target()));
    // Room for all of them, whatever half of the open-file limit is.
    let balancer = Balancer::over(&[&backend], &["--head-timeout", "2s", "-N", "50"]);
    let mut slow: Vec<Peer> = (0..500)
        .map(|_| {
            let mut client = balancer.connect();
            client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
            client
        })
        .collect();
    for number in 0..50 {
        let target = format!("/{number}");
        assert_eq!(balancer.get(&target).text(), target);
        for client in &mut slow {
            // Single bytes do not extend the time-out.
            let _ = client.try_send("x");
        }
    }
    for client in &mut slow {
        let answer = client.response();
        assert_eq!(answer.status(), 408);
        assert!(answer.closes(), "{}", answer.head);
    }
    assert_eq!(backend.requests().len(), 50, "nothing unfinished reached the server");
}

#[test]
fn three_hundred_slow_readers_cost_only_their_buffers_and_others_are_served() {
    const READERS: usize = 300;
    /// The server's response in the inbox, and the client's outbox.
    const BUFFERS_KIB: usize = 2 * 32;
    /// Everything else: spare buffers, table entries, heads in transfer.
    const REST_KIB: usize = 4 * 1024;
    let _alone = alone();
    let directory = TempDir::new();
    let large = pattern(10 * 1024 * 1024);
    directory.file("large", &large);
    directory.file("small", "small");
    let mut command = binary();
    command.args(["httpserver", "127.0.0.1:0", "-d"]).arg(directory.path());
    let server = Running::start(&mut command);
    let line = server.stderr.wait_for("listening on http://");
    let server_address =
        line.split("http://").nth(1).and_then(|rest| rest.split([',', ' ']).next());
    let arguments = ["127.0.0.1:0", server_address.expect("an address"), "--health", "off"];
    let balancer = Balancer::start(&arguments);
    assert_eq!(balancer.get("/small").text(), "small");
    let before = balancer.memory_kib();
    let mut readers: Vec<Peer> = (0..READERS).map(|_| balancer.ask("/large")).collect();
    balancer.comes_to_rest(Duration::from_millis(100));
    let grown = balancer.memory_kib() - before;
    let most = READERS * BUFFERS_KIB + REST_KIB;
    assert!(grown < most, "{grown} KiB for {READERS} slow readers, {most} expected at most");
    assert_eq!(balancer.get("/small").text(), "small");
    // Some of them continue reading.
    for client in readers.iter_mut().step_by(100) {
        let answer = client.response();
        assert_same_bytes("a slow reader's answer", &answer.body, &large);
    }
    // Freed memory is used again.
    drop(readers);
    let _readers: Vec<Peer> = (0..READERS).map(|_| balancer.ask("/large")).collect();
    balancer.comes_to_rest(Duration::from_millis(100));
    let grown = balancer.memory_kib() - before;
    assert!(grown < most, "{grown} KiB the second time, {most} expected at most");
}
