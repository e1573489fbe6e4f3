//! Servers that send nothing: which requests wait, which go elsewhere, and who is only busy.

mod common;

use common::{Backend, Balancer, Gate, Message, Peer, ok, timed, wait_until};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Scheduled probes are an hour apart, so that only those of a suspicion are seen.
const OPTIONS: [&str; 6] = ["-s", "first", "-c", "1h", "--health-timeout", "5s"];

/// A server that can be stopped: then it answers neither requests nor probes.
struct Stoppable {
    backend: Backend,
    is_stopped: Arc<AtomicBool>,
    gate: Gate,
}

impl Stoppable {
    fn new(name: &'static str) -> Stoppable {
        let (is_stopped, gate) = (Arc::new(AtomicBool::new(false)), Gate::new());
        let (stopped, held) = (is_stopped.clone(), gate.clone());
        let backend = Backend::start(move |request| {
            if stopped.load(SeqCst) || request.target() == "/held" {
                held.pass();
            }
            ok(name)
        });
        Stoppable { backend, is_stopped, gate }
    }

    /// Shows the balancer that this server, the best it has, answers in milliseconds, also while a
    /// request is outstanding.
    fn warm_up(&self, balancer: &Balancer) {
        self.backend.wait_for_probes(1);
        let before = self.backend.requests().len();
        let mut held = balancer.ask("/held");
        self.backend.wait_for_requests(before + 1);
        for _ in 0..5 {
            assert_eq!(balancer.get("/").status(), 200);
        }
        self.gate.let_pass(1);
        assert_eq!(held.response().status(), 200);
        assert_eq!(self.backend.requests().len(), before + 6, "all went to this server");
    }

    fn stop(&self) {
        self.is_stopped.store(true, SeqCst);
        self.backend.hang_probes();
    }

    fn resume(&self) {
        self.is_stopped.store(false, SeqCst);
        self.backend.set_health(ok(""));
        self.gate.open();
    }
}

/// Sends a request without waiting for its response.
fn ask(balancer: &Balancer, method: &str) -> Peer {
    let mut client = balancer.connect();
    client.send(format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"));
    client
}

/// Sends one POST after another until one goes to `other`; those that wait for the stopped server.
fn post_until_avoided(balancer: &Balancer, other: &Backend) -> Vec<Peer> {
    let mut waiting = Vec::new();
    wait_until("new requests to go elsewhere", || {
        waiting.push(ask(balancer, "POST"));
        !other.requests().is_empty()
    });
    waiting
}

#[test]
fn new_requests_avoid_a_stopped_server_and_waiting_posts_stay() {
    timed(|| {
        let (first, other) = (Stoppable::new("first"), Backend::named("other"));
        let balancer = Balancer::probing(&[&first.backend, &other], &OPTIONS);
        first.warm_up(&balancer);
        first.stop();
        let stopped = Instant::now();
        let waiting = post_until_avoided(&balancer, &other);
        assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());
        assert_eq!(ask(&balancer, "POST").response().text(), "other");
        // Longer than any request that may be repeated would wait.
        std::thread::sleep(Duration::from_millis(1_500));
        first.resume();
        let at_first = first.backend.requests().len() - 6;
        let answers: Vec<_> = waiting.into_iter().map(|mut it| it.response().text()).collect();
        let by_first = answers.iter().filter(|name| *name == "first").count();
        assert_eq!(by_first, at_first, "each is done where it was sent");
        assert_eq!(at_first + other.requests().len(), answers.len() + 1, "and once");
    });
}

#[test]
fn a_request_that_may_be_repeated_leaves_a_stopped_server_after_a_second() {
    timed(|| {
        let (first, other) = (Stoppable::new("first"), Backend::named("other"));
        let balancer = Balancer::probing(&[&first.backend, &other], &OPTIONS);
        first.warm_up(&balancer);
        first.stop();
        let started = Instant::now();
        let mut client = ask(&balancer, "PUT");
        assert_eq!(client.response().text(), "other");
        assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
        assert_eq!(first.backend.requests().len(), 7);
    });
}

#[test]
fn a_request_is_taken_from_stopped_servers_once() {
    timed(|| {
        let (mut first, second) = (Stoppable::new("first"), Stoppable::new("second"));
        let third = Backend::named("third");
        let backends = [&first.backend, &second.backend, &third];
        let balancer = Balancer::probing(&backends, &OPTIONS);
        // Both are known to answer in milliseconds.
        first.warm_up(&balancer);
        first.backend.close();
        assert_eq!(balancer.get("/").text(), "second");
        second.warm_up(&balancer);
        first.backend.open();
        balancer.stderr.wait_for(&format!("backend {} up: ", first.backend.argument()));
        first.stop();
        // It answers probes, so that it is no suspect when the request comes.
        second.is_stopped.store(true, SeqCst);
        let mut client = ask(&balancer, "GET");
        second.backend.wait_for_requests(8);
        second.stop();
        let waiting = post_until_avoided(&balancer, &third);
        std::thread::sleep(Duration::from_millis(1_500));
        second.resume();
        assert_eq!(client.response().text(), "second");
        drop(waiting);
    });
}

#[test]
fn a_late_byte_is_no_proof_but_an_answered_probe_is() {
    timed(|| {
        let (first, other) = (Stoppable::new("first"), Backend::named("other"));
        let balancer = Balancer::probing(&[&first.backend, &other], &OPTIONS);
        first.warm_up(&balancer);
        first.stop();
        let waiting = post_until_avoided(&balancer, &other);
        let at_first = first.backend.requests().len() - 6;
        // The response to the oldest request comes, all else stays silent.
        first.gate.let_pass(1);
        wait_until("the late response", || first.backend.concurrent() < at_first);
        for _ in 0..20 {
            assert_eq!(ask(&balancer, "POST").response().text(), "other");
        }
        drop(waiting);
        first.resume();
        wait_until("the first choice again", || balancer.get("/").text() == "first");
    });
}

#[test]
fn a_stopped_server_that_is_alone_is_waited_for() {
    timed(|| {
        let first = Stoppable::new("first");
        let balancer = Balancer::probing(&[&first.backend], &OPTIONS);
        first.warm_up(&balancer);
        first.stop();
        let mut waiting = ask(&balancer, "GET");
        first.backend.wait_for_requests(7);
        // The probe of a suspicion, and time enough for it to be late.
        wait_until("another probe", || first.backend.probes().len() >= 2);
        std::thread::sleep(Duration::from_millis(300));
        let mut newer = ask(&balancer, "GET");
        first.backend.wait_for_requests(8);
        first.resume();
        for client in [&mut waiting, &mut newer] {
            assert_eq!(client.response().text(), "first");
        }
        assert_eq!(first.backend.requests().len(), 8);
    });
}

#[test]
fn a_waiting_request_leaves_once_another_server_is_back() {
    timed(|| {
        let (first, mut other) = (Stoppable::new("first"), Backend::closed(|_| ok("other")));
        let balancer = Balancer::probing(&[&first.backend, &other], &OPTIONS);
        balancer.stderr.wait_for(&format!("backend {} down: ", other.argument()));
        first.warm_up(&balancer);
        first.stop();
        let mut client = ask(&balancer, "GET");
        first.backend.wait_for_requests(7);
        std::thread::sleep(Duration::from_millis(1_200));
        other.open();
        assert_eq!(client.response().text(), "other");
    });
}

#[test]
fn also_if_that_server_refused_the_request_before() {
    timed(|| {
        let (first, mut other) = (Stoppable::new("first"), Backend::closed(|_| ok("other")));
        // Only the request itself can show that the other one is down.
        let options = [&OPTIONS[..], &["--fall", "100"]].concat();
        let balancer = Balancer::probing(&[&other, &first.backend], &options);
        first.warm_up(&balancer);
        first.stop();
        let mut client = ask(&balancer, "GET");
        first.backend.wait_for_requests(7);
        other.open();
        assert_eq!(client.response().text(), "other");
    });
}

#[test]
fn a_server_that_answers_probes_may_take_its_time() {
    timed(|| {
        let (slow, other) = (Stoppable::new("slow"), Backend::named("other"));
        let balancer = Balancer::probing(&[&slow.backend, &other], &OPTIONS);
        let mut client = balancer.ask("/held");
        slow.backend.wait_for_requests(1);
        // One at the start, the others because it was silent.
        slow.backend.wait_for_probes(4);
        slow.gate.open();
        assert_eq!(client.response().text(), "slow");
        assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
    });
}

/// Serves so many connections at a time, one thread for each; others wait to be accepted.
struct Threads {
    address: String,
    pages: Arc<Mutex<Vec<String>>>,
}

/// Whether a server keeps its connections.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    Open,
    Closed,
}

impl Threads {
    fn new(count: usize, keeps: Keeps, answer: impl Fn(&str) + Send + Sync + 'static) -> Threads {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let pages: Arc<Mutex<Vec<String>>> = Arc::default();
        let (listener, answer) = (Arc::new(listener), Arc::new(answer));
        for _ in 0..count {
            let (listener, answer, seen) = (listener.clone(), answer.clone(), pages.clone());
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    serve(Peer::over(stream), keeps, &seen, &*answer);
                }
            });
        }
        Threads { address, pages }
    }

    fn pages(&self) -> Vec<String> {
        self.pages.lock().unwrap().clone()
    }
}

fn serve(mut peer: Peer, keeps: Keeps, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&str)) {
    while let Some(request) = peer.request() {
        if request.target() != "/healthcheck" {
            seen.lock().unwrap().push(request.target().to_owned());
            answer(request.target());
        }
        let reply = match keeps {
            Keeps::Open => ok(request.target()),
            Keeps::Closed => common::reply("200 OK", "Connection: close\r\n", "x"),
        };
        if peer.try_send(reply).is_err() || keeps == Keeps::Closed {
            return;
        }
    }
}

/// Balances over these servers.
fn over(servers: &[&Threads], options: &[&str]) -> Balancer {
    let mut arguments = vec!["127.0.0.1:0"];
    arguments.extend(servers.iter().map(|server| server.address.as_str()));
    Balancer::start(&[&arguments, options].concat())
}

/// A server that works on one request at a time, whose pages wait for the gate.
fn one_at_a_time(gate: &Gate) -> Threads {
    let gate = gate.clone();
    Threads::new(1, Keeps::Closed, move |_| gate.pass())
}

#[test]
fn a_lone_busy_server_is_waited_for() {
    timed(|| {
        let gate = Gate::new();
        let server = one_at_a_time(&gate);
        let options = ["-c", "100ms", "--health-timeout", "100ms", "--fall", "1"];
        let balancer = over(&[&server], &options);
        let mut clients = vec![balancer.ask("/0")];
        wait_until("the page", || server.pages().len() == 1);
        // Time for probes that wait for the page as well, and end in vain.
        std::thread::sleep(Duration::from_millis(500));
        clients.extend((1..4).map(|index| balancer.ask(&format!("/{index}"))));
        std::thread::sleep(Duration::from_millis(500));
        gate.open();
        for client in &mut clients {
            assert_eq!(client.response().status(), 200);
        }
        assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
        assert_eq!(server.pages().len(), 4);
    });
}

#[test]
fn a_lone_server_that_hangs_is_still_taken_out_by_a_bad_answer() {
    let server = Stoppable::new("a");
    server.backend.hang_probes();
    let options = ["-c", "50ms", "--health-timeout", "50ms", "--fall", "2"];
    let balancer = Balancer::probing(&[&server.backend], &options);
    server.backend.wait_for_probes(4);
    assert_eq!(balancer.get("/").text(), "a");
    server.backend.set_health(common::reply("500 Internal Server Error", "", ""));
    balancer.stderr.wait_for("down: health check answered 500");
    assert_eq!(balancer.get("/").status(), 503);
}

#[test]
fn when_all_servers_are_busy_each_page_is_computed_once() {
    timed(|| {
        let gate = Gate::new();
        let servers = [one_at_a_time(&gate), one_at_a_time(&gate)];
        let options = ["-c", "1h", "--health-timeout", "200ms"];
        let balancer = over(&[&servers[0], &servers[1]], &options);
        let mut clients = [balancer.ask("/0"), balancer.ask("/1")];
        for server in &servers {
            wait_until("a page at each", || server.pages().len() == 1);
        }
        // Two probes or more in vain, then some time more than a request at a stopped server waits.
        std::thread::sleep(Duration::from_millis(1_500));
        let mut third = balancer.ask("/2");
        gate.open();
        for client in clients.iter_mut().chain([&mut third]) {
            assert_eq!(client.response().status(), 200);
        }
        let mut pages = [servers[0].pages(), servers[1].pages()].concat();
        pages.sort();
        assert_eq!(pages, ["/0", "/1", "/2"]);
    });
}

#[test]
fn slow_pages_among_fast_ones_are_computed_once() {
    timed(|| {
        let page = |target: &str| {
            if target.starts_with("/slow") {
                std::thread::sleep(Duration::from_millis(1_300));
            }
        };
        let servers = [Threads::new(1, Keeps::Closed, page), Threads::new(1, Keeps::Closed, page)];
        let balancer = over(&[&servers[0], &servers[1]], &[]);
        for round in 0..3 {
            for index in 0..13 {
                assert_eq!(balancer.get(&format!("/fast/{round}/{index}")).status(), 200);
            }
            assert_eq!(balancer.get(&format!("/slow/{round}")).status(), 200);
        }
        let mut pages = [servers[0].pages(), servers[1].pages()].concat();
        let all = pages.len();
        pages.sort();
        pages.dedup();
        assert_eq!((pages.len(), all), (42, 42), "none is computed twice");
    });
}

#[test]
fn idle_connections_do_not_starve_a_server_with_a_thread_for_each() {
    timed(|| {
        for threads in [1, 4, 8] {
            let server = Threads::new(threads, Keeps::Open, |_| {
                std::thread::sleep(Duration::from_millis(20));
            });
            let balancer = over(&[&server], &["-c", "200ms"]);
            let all = |method: &str, count: usize| -> Vec<Message> {
                let mut clients: Vec<Peer> = (0..count).map(|_| ask(&balancer, method)).collect();
                clients.iter_mut().map(Peer::response).collect()
            };
            let started = Instant::now();
            for (method, count) in [("GET", 4 * threads), ("POST", 3), ("GET", 3), ("POST", 8)] {
                for answer in all(method, count) {
                    assert_eq!(answer.status(), 200, "{threads} threads, {method}");
                }
            }
            let took = started.elapsed();
            assert!(took < Duration::from_secs(10), "{threads} threads: {took:?}");
            assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new(), "{threads} threads");
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_connect_without_an_answer_is_given_up_for_another_server() {
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
