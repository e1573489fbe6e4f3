//! `--sticky`: a cookie keeps a client at its server.

mod common;

use common::{Backend, Balancer, Gate, Message, Peer, TempDir, reply, run, wait_until};
use loadbalancer::balance::NAMES;

/// All but the one that needs a field to hash.
fn strategies() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|row| row.name).filter(|&name| name != "header")
}

/// The value that a response sets, with its attributes.
fn set(response: &Message) -> Option<(String, String)> {
    let line = response.field("Set-Cookie")?;
    let (value, attributes) = line.strip_prefix("srv=")?.split_once("; ")?;
    Some((value.to_owned(), attributes.to_owned()))
}

fn ask(balancer: &Balancer, cookies: &str) -> Message {
    balancer.exchange(format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{cookies}\r\n"))
}

fn with(value: &str) -> String {
    format!("Cookie: srv={value}\r\n")
}

#[test]
fn a_client_stays_at_its_server_by_every_strategy() {
    let servers = [Backend::named("a"), Backend::named("b"), Backend::named("c")];
    for strategy in strategies() {
        let servers: Vec<&Backend> = servers.iter().collect();
        let probes = if strategy == "rank" { "http" } else { "off" };
        let options = ["--sticky", "srv", "-s", strategy, "--health", probes];
        let balancer = Balancer::probing(&servers, &options);
        let first = ask(&balancer, "");
        let (value, attributes) = set(&first).expect("a cookie");
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax", "{strategy}");
        assert!(value.len() == 16 && value.bytes().all(|b| b.is_ascii_hexdigit()), "{value}");
        for _ in 0..6 {
            let next = ask(&balancer, &with(&value));
            assert_eq!(next.text(), first.text(), "{strategy}");
            assert_eq!(set(&next), None, "{strategy}: it is set when it changes");
        }
    }
}

#[test]
fn the_server_does_not_see_the_cookie() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--sticky", "srv"]);
    let (value, _) = set(&ask(&balancer, "")).expect("a cookie");
    for (sent, seen) in [
        (format!("Cookie: srv={value}\r\n"), vec![]),
        (format!("Cookie: a=b; srv={value}; c=d\r\n"), vec!["a=b; c=d"]),
        (format!("Cookie: a=b\r\nCookie: srv={value}\r\nCookie: c=d\r\n"), vec!["a=b", "c=d"]),
        ("Cookie: srv=forged; a=b\r\n".to_owned(), vec!["a=b"]),
    ] {
        let response = ask(&balancer, &sent);
        assert_eq!(set(&response).is_some(), sent.contains("forged"), "{sent}");
        let request = backend.requests().pop().expect("a request");
        assert_eq!(request.fields("Cookie"), seen, "{sent}");
    }
}

#[test]
fn two_balancers_with_one_key_agree_and_others_do_not() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let key = directory.file("key", "0123456789abcdef0123\n");
    let other = directory.file("other", "another secret of 24 bytes");
    let over = |servers: &[&Backend], more: &[&str]| {
        Balancer::over(servers, &[&["--sticky", "srv"], more].concat())
    };
    let one = over(&[&first, &second], &["--sticky-key", &key]);
    let reordered = over(&[&second, &first], &["--sticky-key", &key, "-s", "first"]);
    let strangers =
        [over(&[&first, &second], &["--sticky-key", &other]), over(&[&first, &second], &[])];
    for _ in 0..2 {
        let response = ask(&one, "");
        let (value, _) = set(&response).expect("a cookie");
        let same = ask(&reordered, &with(&value));
        assert_eq!((same.text(), set(&same)), (response.text(), None));
        for stranger in &strangers {
            assert!(set(&ask(stranger, &with(&value))).is_some(), "it is a value of another key");
        }
    }
}

#[test]
fn when_its_server_is_gone_a_client_gets_another_and_a_new_cookie() {
    let (mut first, second) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&first, &second], &["--sticky", "srv", "-s", "first"]);
    let (value, _) = set(&ask(&balancer, "")).expect("a cookie");
    first.close();
    let moved = ask(&balancer, &with(&value));
    assert_eq!((moved.status(), moved.text().as_str()), (200, "b"));
    let (other, _) = set(&moved).expect("a new cookie");
    assert_ne!(other, value);
    let stays = ask(&balancer, &with(&other));
    assert_eq!((stays.text().as_str(), set(&stays)), ("b", None));
}

#[test]
fn a_draining_server_keeps_its_sessions_and_one_set_to_down_does_not() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let list = |word: &str| {
        let lines = format!("{} {word}\n{}\n", first.argument(), second.argument());
        directory.file("servers", lines)
    };
    let file = list("");
    let options = ["127.0.0.1:0", "-f", &file, "--sticky", "srv", "-s", "first", "--health", "off"];
    let balancer = Balancer::start(&options);
    let (value, _) = set(&ask(&balancer, "")).expect("a cookie");
    list("drain");
    balancer.stderr.wait_for(" is draining");
    assert_eq!(ask(&balancer, "").text(), "b", "no new session goes there");
    let kept = ask(&balancer, &with(&value));
    assert_eq!((kept.text().as_str(), set(&kept)), ("a", None));
    list("down");
    balancer.stderr.wait_for(" is set to down");
    let moved = ask(&balancer, &with(&value));
    assert_eq!(moved.text(), "b");
    assert!(set(&moved).is_some());
}

#[test]
fn a_server_that_fails_its_health_checks_loses_its_sessions() {
    let servers = [Backend::named("a"), Backend::named("b")];
    let options = ["--sticky", "srv", "-s", "first", "-c", "20ms", "--fall", "1"];
    let balancer = Balancer::probing(&[&servers[0], &servers[1]], &options);
    let (value, _) = set(&ask(&balancer, "")).expect("a cookie");
    // It still answers requests.
    servers[0].set_health(reply("503 Service Unavailable", "", ""));
    balancer.stderr.wait_for(" down: ");
    let moved = ask(&balancer, &with(&value));
    assert_eq!(moved.text(), "b");
    assert!(set(&moved).is_some());
}

/// A server that takes one request at a time and is at work on one, another one, the cookie of the
/// first, and its client.
fn at_its_max(queue: &str, gate: &Gate) -> (Balancer, [Backend; 2], String, Peer, TempDir) {
    let first = Backend::holding(gate, "a");
    let second = Backend::named("b");
    let directory = TempDir::new();
    let lines = format!("{} max=1\n{}\n", first.argument(), second.argument());
    let file = directory.file("servers", lines);
    let options = ["127.0.0.1:0", "-f", &file, "--sticky", "srv", "-s", "first", "--health", "off"];
    let options = [&options[..], &["--queue-timeout", queue, "--admin", "0"]].concat();
    let balancer = Balancer::start(&options);
    let (value, _) = set(&ask(&balancer, "")).expect("a cookie");
    let client = balancer.ask("/held");
    first.wait_for_requests(2);
    (balancer, [first, second], value, client, directory)
}

/// `/status` of a balancer.
fn status(balancer: &Balancer) -> String {
    balancer.ask_admin("/status").text()
}

#[test]
fn a_session_waits_for_a_server_at_its_max_and_holds_nobody_up() {
    let gate = Gate::new();
    let (balancer, _servers, value, mut held, _directory) = at_its_max("1m", &gate);
    let mut waiting = balancer.connect();
    waiting.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", with(&value)));
    wait_until("a session that waits", || status(&balancer).contains("\"waiting\":1,"));
    for _ in 0..3 {
        assert_eq!(ask(&balancer, "").text(), "b", "others pass it");
    }
    gate.open();
    assert_eq!(held.response().status(), 200);
    let response = waiting.response();
    assert_eq!((response.text().as_str(), set(&response)), ("a", None));
    assert!(status(&balancer).contains("\"queued\":0,"));
}

#[test]
fn the_next_request_of_a_connection_does_not_overtake_a_session_that_waits() {
    let gate = Gate::new();
    let (balancer, servers, value, mut held, _directory) = at_its_max("1m", &gate);
    let mut waiting = balancer.connect();
    waiting.send(format!("GET /session HTTP/1.1\r\nHost: x\r\n{}\r\n", with(&value)));
    wait_until("a session that waits", || status(&balancer).contains("\"waiting\":1,"));
    held.send(format!("GET /next HTTP/1.1\r\nHost: x\r\n{}\r\n", with(&value)));
    // Answered only after what came before was read.
    assert_eq!(balancer.exchange("bad\r\n\r\n").status(), 400);
    gate.open();
    for client in [&mut held, &mut waiting] {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(held.response().status(), 200);
    assert_eq!(servers[0].targets(), ["/", "/held", "/session", "/next"]);
}

#[test]
fn sessions_of_half_closed_clients_are_served_after_all_others() {
    let gate = Gate::new();
    let backend = Backend::holding(&gate, "a");
    let directory = TempDir::new();
    let file = directory.file("servers", format!("{} max=1\n", backend.argument()));
    let options = ["127.0.0.1:0", "-f", &file, "--sticky", "srv", "--health", "off"];
    let balancer = Balancer::start(&options);
    let (value, _) = set(&ask(&balancer, "")).expect("a cookie");
    let mut clients = vec![balancer.ask("/held")];
    backend.wait_for_requests(2);
    for (target, cookie) in
        [("/half-closed", with(&value)), ("/session", with(&value)), ("/other", String::new())]
    {
        let mut client = balancer.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{cookie}\r\n"));
        if target == "/half-closed" {
            client.half_close();
        }
        clients.push(client);
        // Answered only after what came before was read.
        assert_eq!(balancer.exchange("bad\r\n\r\n").status(), 400);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(backend.targets(), ["/", "/held", "/session", "/other", "/half-closed"]);
}

#[test]
fn a_session_that_has_waited_long_enough_goes_elsewhere() {
    let gate = Gate::new();
    let (balancer, _servers, value, _held, _directory) = at_its_max("50ms", &gate);
    let moved = ask(&balancer, &with(&value));
    assert_eq!((moved.status(), moved.text().as_str()), (200, "b"));
    assert!(set(&moved).is_some(), "it is at another server now");
    gate.open();
}

#[test]
fn verbose_lines_say_that_the_cookie_chose() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&first, &second], &["--sticky", "srv", "-v"]);
    let (value, _) = set(&ask(&balancer, "")).expect("a cookie");
    ask(&balancer, &with(&value));
    balancer.stderr.wait_for("its cookie names this server");
}

#[test]
fn a_key_that_is_none_is_refused() {
    let directory = TempDir::new();
    let short = directory.file("short", "only 15 bytes..\n");
    let missing = directory.path().join("missing").to_str().expect("a name").to_owned();
    for (file, problem) in
        [(short, "has 15 bytes, 16 to 4096 make a key"), (missing, "no such file")]
    {
        for check in [&[][..], &["--check=config"]] {
            let options = ["127.0.0.1:0", "127.0.0.1:9", "--sticky", "srv", "--sticky-key", &file];
            let refused = run(&[&options, check].concat());
            assert_eq!(refused.code, Some(1), "{}", refused.stderr);
            assert!(refused.stderr.contains(problem), "{}", refused.stderr);
            assert_eq!(
                refused.stderr.lines().filter(|line| line.contains("sticky key")).count(),
                1
            );
        }
    }
}
