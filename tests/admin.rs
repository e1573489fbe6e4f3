//! The admin listener: what it answers, to which requests, and that it does so whatever the traffic
//! is, and the other way round.

mod common;

use common::{Backend, Balancer, Gate, InFlight, Message, Peer, Running, TempDir};
use common::{ok, reply, run, timed, wait_until};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

/// Connections that the admin listener has at a time.
const PLACES: usize = 16;

fn request(method: &str, target: &str, host: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// One request to the admin listener.
fn ask(at: SocketAddr, target: &str) -> Message {
    let mut peer = Peer::connect(at);
    peer.send(request("GET", target, "localhost"));
    peer.response()
}

/// Every sample of `/metrics`, by its name and labels.
fn metrics(at: SocketAddr) -> BTreeMap<String, f64> {
    let text = ask(at, "/metrics").text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        (name.to_owned(), value)
    };
    let pairs: Vec<_> = samples.map(sample).collect();
    let count = pairs.len();
    let map: BTreeMap<String, f64> = pairs.into_iter().collect();
    assert_eq!(map.len(), count, "every sample is there once");
    map
}

/// The value of a sample of the only backend.
fn of(metrics: &BTreeMap<String, f64>, name: &str, backend: &Backend, label: &str) -> f64 {
    let comma = if label.is_empty() { "" } else { "," };
    let key =
        format!("loadbalancer_backend_{name}{{backend=\"{}\"{comma}{label}}}", backend.argument());
    *metrics.get(&key).unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn each_path_answers_for_its_readers_and_no_foreign_page() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--admin", "0", "--admin-host", "lb.example"]);
    let at = balancer.admin();
    assert!(at.ip().is_loopback(), "a port alone listens on 127.0.0.1: {at}");
    let mut peer = Peer::connect(at);
    for (target, media_type, start) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/live", "text/plain; charset=utf-8", "working"),
        ("/ready", "text/plain; charset=utf-8", "1 of 1 server up\n"),
        ("/status", "application/json", "{\"version\":1,"),
        ("/status?text", "text/plain; charset=utf-8", "loadbalancer "),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP loadbalancer_"),
    ] {
        for method in ["GET", "HEAD"] {
            peer.send(request(method, target, "127.0.0.1:9000"));
            let response = peer.response_to(method);
            assert_eq!(response.status(), 200, "{method} {target}");
            assert_eq!(response.field("content-type"), Some(media_type), "{target}");
            assert_eq!(response.field("cache-control"), Some("no-store"), "{target}");
            assert_eq!(response.field("x-content-type-options"), Some("nosniff"), "{target}");
            assert_eq!(response.field("access-control-allow-origin"), None, "{target}");
            let is_page = response.field("content-security-policy").is_some();
            assert_eq!(is_page, target == "/", "{target}");
            if method == "GET" {
                assert!(response.text().starts_with(start), "{target}: {}", response.text());
            }
        }
    }
    for (method, target, host, status) in [
        ("POST", "/status", "localhost", 405),
        ("DELETE", "/", "localhost", 405),
        ("OPTIONS", "/metrics", "localhost", 405),
        ("GET", "/nothing", "localhost", 404),
        ("GET", "/status/", "localhost", 404),
        ("GET", "/status", "evil.example", 403),
        ("GET", "/", "evil.example:8081", 403),
        ("GET", "/status", "lb.example", 200),
    ] {
        peer.send(request(method, target, host));
        let response = peer.response();
        assert_eq!(response.status(), status, "{method} {target} of {host}");
        let allowed = response.field("allow");
        assert_eq!(allowed, (status == 405).then_some("GET, HEAD"), "{method} {target}");
    }
    peer.send("GET /live HTTP/1.0\r\n\r\n");
    assert_eq!(peer.response().status(), 200, "HTTP/1.0 without a Host");
    peer.expect_end();
    assert!(backend.requests().is_empty(), "nothing of it reaches a server");
}

#[test]
fn a_report_to_http_1_0_ends_with_the_connection() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--admin", "0"]);
    let mut peer = Peer::connect(balancer.admin());
    peer.send("GET /status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = peer.response();
    assert_eq!(response.field("transfer-encoding"), None);
    assert!(response.closes() && response.text().ends_with("]}\n"), "{}", response.text());
    peer.expect_end();
}

#[test]
fn what_clients_get_is_what_is_counted() {
    let backend = Backend::start(|request| match request.target() {
        "/404" => reply("404 Not Found", "", "gone"),
        "/500" => reply("500 Internal Server Error", "", "oh"),
        target => ok(target),
    });
    let balancer = Balancer::over(&[&backend], &["--admin", "0"]);
    let at = balancer.admin();
    let mut peer = balancer.connect();
    for target in ["/a", "/b", "/404", "/500", "/c", "/404"] {
        peer.get(target);
    }
    peer.send("POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(peer.response().status(), 200);
    assert_eq!(balancer.exchange("bad\r\n\r\n").status(), 400);
    let found = metrics(at);
    for (name, label, expected) in [
        ("responses_total", "class=\"2xx\"", 4.0),
        ("responses_total", "class=\"4xx\"", 2.0),
        ("responses_total", "class=\"5xx\"", 1.0),
        ("requests_total", "", 7.0),
        ("attempts_total", "", 7.0),
        ("requests_in_flight", "", 0.0),
        ("sent_bytes_total", "", 5.0),
        ("received_bytes_total", "", (3 * 2 + 2 * 4 + 2 + 2) as f64),
        ("up", "", 1.0),
        ("first_byte_seconds_count", "", 7.0),
        ("request_seconds_count", "", 7.0),
        ("request_seconds_bucket", "le=\"+Inf\"", 7.0),
    ] {
        assert_eq!(of(&found, name, &backend, label), expected, "{name} {label}");
    }
    let opened = of(&found, "connections_opened_total", &backend, "");
    let reused = of(&found, "connections_reused_total", &backend, "");
    assert_eq!((opened + reused, opened >= 1.0), (7.0, true));
    let cause = "loadbalancer_local_responses_total{cause=\"http_request_error\"}";
    assert_eq!(found[cause], 1.0);
    assert_eq!(found["loadbalancer_requests_total"], 8.0);
    assert_eq!(found["loadbalancer_queue_seconds_count"], 8.0);
    assert_eq!(found["loadbalancer_clients_accepted_total"], 2.0);
    assert!(found["loadbalancer_open_descriptors"] > 5.0);
    assert!(found["loadbalancer_resident_memory_bytes"] > 500_000.0);
}

#[test]
fn a_server_that_refuses_is_down_with_its_reason() {
    let (refusing, good) = (Backend::refusing(), Backend::named("good"));
    let options = ["--admin", "0", "-s", "first"];
    let balancer = Balancer::over(&[&refusing, &good], &options);
    let at = balancer.admin();
    assert_eq!(balancer.get("/").text(), "good");
    let found = metrics(at);
    for (name, label, expected) in [
        ("connect_failures_total", "kind=\"refused\"", 1.0),
        ("requests_total", "", 0.0),
        ("up", "", 0.0),
        ("state", "state=\"down\"", 1.0),
        ("state", "state=\"up\"", 0.0),
        ("down_reason", "reason=\"connect\"", 1.0),
        ("down_reason", "reason=\"probe_status\"", 0.0),
        ("state_changes_total", "", 1.0),
    ] {
        assert_eq!(of(&found, name, &refusing, label), expected, "{name} {label}");
    }
    assert!(of(&found, "down_seconds_total", &refusing, "") >= 0.0);
    assert_eq!(of(&found, "responses_total", &good, "class=\"2xx\""), 1.0);
    let status = ask(at, "/status").text();
    assert!(status.contains("\"reason\":\"connection refused\""), "{status}");
}

#[test]
fn a_request_that_is_sent_again_is_counted_where_it_failed() {
    let closing = Backend::raw(|peer| {
        peer.request();
    });
    let good = Backend::named("good");
    let balancer = Balancer::over(&[&closing, &good], &["--admin", "0", "-s", "first"]);
    assert_eq!(balancer.get("/").text(), "good");
    let found = metrics(balancer.admin());
    for (backend, name, label, expected) in [
        (&closing, "retries_total", "reason=\"closed\"", 1.0),
        (&closing, "attempts_total", "", 1.0),
        (&closing, "requests_total", "", 0.0),
        (&closing, "first_byte_seconds_count", "", 0.0),
        (&good, "retries_total", "reason=\"closed\"", 0.0),
        (&good, "requests_total", "", 1.0),
        (&good, "responses_total", "class=\"2xx\"", 1.0),
    ] {
        assert_eq!(of(&found, name, backend, label), expected, "{name} {label}");
    }
    assert_eq!(found["loadbalancer_requests_total"], 1.0);
}

#[test]
fn not_ready_without_a_server_that_is_up() {
    let refusing = Backend::refusing();
    let options = ["--admin", "0", "-c", "0.05", "--live-path", "/alive"];
    let balancer = Balancer::probing(&[&refusing], &options);
    let at = balancer.admin();
    wait_until("it is not ready", || ask(at, "/ready").status() == 503);
    assert_eq!(ask(at, "/ready").text(), "none of 1 server is up\n");
    assert_eq!(ask(at, "/live").status(), 200);
    assert_eq!(balancer.get("/alive").status(), 200, "on the clients' port, too");
    assert_eq!(balancer.get("/other").status(), 503);
}

#[test]
fn it_answers_while_every_slot_is_taken_and_until_the_drain_is_over() {
    let mut held = InFlight::new(&["-N", "1", "--admin", "0", "--live-path", "/alive?x"]);
    let at = held.balancer.admin();
    let mut kept = Peer::connect(at);
    let mut queued = held.balancer.ask("/queued");
    wait_until("one is queued", || ask(at, "/status").text().contains("\"queued\":1,"));
    assert_eq!(ask(at, "/ready").status(), 200);
    held.drain();
    for target in ["/live", "/status", "/metrics", "/", "/status?text"] {
        assert_eq!(ask(at, target).status(), 200, "{target}");
    }
    let ready = ask(at, "/ready");
    assert_eq!((ready.status(), ready.closes()), (503, true));
    assert!(ready.text().starts_with("stopping"), "{}", ready.text());
    kept.send(request("GET", "/status", "localhost"));
    assert!(kept.response().text().contains("\"state\":\"draining\""));
    held.finish();
    assert_eq!(queued.response().text(), "/queued");
    assert_eq!(held.balancer.wait().code(), Some(0), "admin connections do not hold the end up");
}

#[test]
fn the_live_path_is_answered_here_and_others_are_forwarded() {
    let backend = Backend::start(|request| ok(request.target()));
    let options = ["--live-path", "/alive", "--lame-duck", "30"];
    let balancer = Balancer::over(&[&backend], &options);
    let mut peer = balancer.connect();
    for (method, target, is_here) in [
        ("GET", "/alive", true),
        ("HEAD", "/alive", true),
        ("GET", "/alive?x", true),
        ("GET", "/alive/", false),
        ("PUT", "/alive", false),
    ] {
        let before = backend.requests().len();
        peer.send(request(method, target, "x"));
        assert_eq!(peer.response_to(method).status(), 200, "{method} {target}");
        assert_eq!(backend.requests().len() == before, is_here, "{method} {target}");
    }
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping in");
    assert_eq!(balancer.get("/alive").status(), 503, "no new clients, please");
}

#[test]
fn a_thousand_connections_cost_the_clients_nothing() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--admin", "0"]);
    let at = balancer.admin();
    let crowd: Vec<Peer> = (0..1000).map(|_| Peer::connect(at)).collect();
    assert_eq!(balancer.get("/").text(), "a");
    assert_eq!(ask(at, "/live").status(), 200, "the one that came last has a place");
    assert!(balancer.descriptors() < 60, "{} descriptors", balancer.descriptors());
    drop(crowd);
    assert_eq!(ask(at, "/live").status(), 200);
}

#[test]
fn half_requests_give_their_places_to_whole_ones() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--admin", "0"]);
    let at = balancer.admin();
    let half: Vec<Peer> = (0..16)
        .map(|_| {
            let mut peer = Peer::connect(at);
            peer.send("GET /status HTTP/1.1\r\nHost:");
            peer
        })
        .collect();
    assert_eq!(balancer.get("/").text(), "a");
    assert_eq!(ask(at, "/live").status(), 200);
    drop(half);
}

#[test]
fn it_answers_when_traffic_has_used_all_descriptors_it_may() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let program = env!("CARGO_BIN_EXE_loadbalancer");
    let own = backend.argument();
    let options = "--health off --admin 0 --queue-timeout 1h --response-timeout 1h";
    let line = format!("ulimit -n 72; exec {program} 127.0.0.1:0 {own} {options}");
    let balancer = Balancer::of(Running::start(Command::new("sh").args(["-c", &line])));
    let at = balancer.admin();
    let clients: Vec<Peer> = (0..72).map(|_| balancer.ask("/held")).collect();
    let value = |name: &str| metrics(at)[&format!("loadbalancer_{name}")];
    let most = value("requests_in_flight_max");
    wait_until("every slot in use", || value("requests_in_flight") == most);
    backend.wait_for_requests(most as usize);
    wait_until("no client more", || {
        let before = value("clients_accepted_total");
        (0..5).all(|_| value("clients_accepted_total") == before)
    });
    let mut visitors: Vec<Peer> = (0..PLACES).map(|_| Peer::connect(at)).collect();
    for target in ["/ready", "/metrics"] {
        for visitor in &mut visitors {
            visitor.send(request("GET", target, "localhost"));
        }
        for visitor in &mut visitors {
            assert_eq!(visitor.response().status(), 200, "{target}");
        }
    }
    // More than there are places: the one that has been idle longest goes.
    assert_eq!(value("requests_in_flight"), most, "no answer had to wait for the traffic");
    gate.open();
    drop(clients);
}

#[test]
fn half_requests_and_silent_connections_are_ended_in_time() {
    timed(|| {
        let backend = Backend::named("a");
        let options = ["--admin", "0", "--head-timeout", "50ms", "--keep-alive-timeout", "1s"];
        let balancer = Balancer::over(&[&backend], &options);
        let at = balancer.admin();
        let (mut half, mut silent) = (Peer::connect(at), Peer::connect(at));
        half.send("GET /live");
        assert_eq!(half.response().status(), 408);
        silent.expect_end();
        assert_eq!(ask(at, "/live").status(), 200);
        assert_eq!(balancer.get("/").text(), "a");
    });
}

#[test]
fn a_scraper_that_stops_reading_costs_nothing() {
    let backend = Backend::named("a");
    let others: Vec<String> =
        (2..300).map(|host| format!("127.0.1.{}:9", host % 250 + 1)).collect();
    let mut names: Vec<&str> = others.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let own = backend.argument();
    let mut arguments =
        vec!["127.0.0.1:0", &own, "--health", "off", "--admin", "0", "-s", "first", "-b"];
    arguments.extend(&names);
    let balancer = Balancer::start(&arguments);
    let at = balancer.admin();
    let whole = ask(at, "/metrics").text();
    assert!(whole.ends_with('\n') && whole.len() > 1_000_000, "{} bytes", whole.len());
    let before = balancer.memory_kib();
    let stalled: Vec<Peer> = (0..16)
        .map(|_| {
            let mut peer = Peer::connect(at);
            for _ in 0..20 {
                peer.send(request("GET", "/metrics", "localhost"));
            }
            peer
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(balancer.get("/").text(), "a");
    }
    // It has to wait for a place until one of the others has not moved for a second.
    assert_eq!(ask(at, "/live").status(), 200);
    let grown = balancer.memory_kib().saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB more");
    drop(stalled);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--admin", "0"]);
    let mut peer = Peer::connect(balancer.admin());
    let targets = ["/live", "/status", "/nothing", "/metrics", "/ready"];
    let requests = targets.map(|target| request("GET", target, "localhost"));
    peer.send(requests.concat());
    let statuses = targets.map(|_| peer.response().status());
    assert_eq!(statuses, [200, 200, 404, 200, 200]);
}

#[test]
fn malformed_requests_are_refused() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--admin", "0"]);
    let at = balancer.admin();
    for (text, status, closes) in [
        ("bad\r\n\r\n".to_owned(), 400, true),
        ("GET /live HTTP/1.1\r\n\r\n".to_owned(), 400, false),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000)), 414, true),
        ("\x16\x03\x01\x00\x00".to_owned(), 400, true),
        ("GET /live HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned(), 505, true),
        (
            "POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
            405,
            true,
        ),
    ] {
        let mut peer = Peer::connect(at);
        peer.send(&text);
        let response = peer.response();
        assert_eq!((response.status(), response.closes()), (status, closes), "{text:?}");
    }
    assert_eq!(ask(at, "/live").status(), 200);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("bound").to_string();
    let finished = run(&["127.0.0.1:0", "127.0.0.1:9", "--admin", &at]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let expected = format!("cannot listen on {at}: address already in use: another program");
    assert!(finished.stderr.contains(&expected), "{}", finished.stderr);
}

#[test]
fn without_the_option_nothing_listens() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    assert_eq!(balancer.get("/metrics").text(), "a", "on the clients' port it is forwarded");
    assert!(balancer.stderr.with("admin").is_empty());
}

#[test]
fn what_waits_for_a_server_at_its_limit_is_shown() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let dir = TempDir::new();
    let list = dir.path().join("servers");
    std::fs::write(&list, format!("{} max=1\n", backend.argument())).expect("a list");
    let list = list.to_str().expect("a name in UTF-8");
    let options = ["-f", list, "--admin", "0", "--queue-max", "2"];
    let balancer = Balancer::over(&[], &options);
    let at = balancer.admin();
    let mut clients: Vec<Peer> = (0..3).map(|_| balancer.ask("/held")).collect();
    wait_until("two that wait", || of(&metrics(at), "requests_waiting", &backend, "") == 2.0);
    let refused = balancer.get("/");
    assert_eq!(refused.status(), 503);
    assert_eq!(metrics(at)["loadbalancer_queue_refused_total"], 1.0);
    assert!(ask(at, "/status").text().contains("\"max\":1,\"waiting\":2,"));
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status(), 200));
    assert_eq!(of(&metrics(at), "requests_waiting", &backend, ""), 0.0);
}
