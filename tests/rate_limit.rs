//! `--rate` and `--max-connections-per-client`: what one client address may have.

mod common;

use common::{Backend, Balancer, Message, Peer};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A rate that gives no second token during a test.
const ONE: &str = "1/s:1";

/// `/metrics` of a balancer.
fn metrics(balancer: &Balancer) -> String {
    balancer.ask_admin("/metrics").text()
}

/// Requests of one client until one is refused; the refusal, and how many were served.
fn until_refused(client: &mut Peer) -> (Message, usize) {
    for served in 0..100 {
        client.send(GET);
        let response = client.response();
        if response.status() != 200 {
            return (response, served);
        }
    }
    panic!("none of 100 requests was refused");
}

#[test]
fn a_client_above_its_rate_is_refused_and_others_are_not() {
    let backend = Backend::named("a");
    let options = ["--rate", "1/s:5", "--admin", "0", "-l", "-", "-v"];
    let balancer = Balancer::over(&[&backend], &options);
    let mut client = balancer.connect();
    let (refused, served) = until_refused(&mut client);
    // The bucket fills while the test runs.
    assert!((5..50).contains(&served), "{served}");
    assert_eq!(backend.requests().len(), served, "a refused request reaches no server");
    assert_eq!(refused.status(), 429);
    assert!(refused.head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{}", refused.head);
    assert_eq!(refused.field("Retry-After"), Some("1"));
    assert!(refused.head.contains("error=http_request_denied"), "{}", refused.head);
    assert!(!refused.closes(), "the connection stays");
    let mut other = Peer::connect_from(2, balancer.address());
    assert_eq!(other.get("/").status(), 200, "another address has its own rate");
    balancer.stderr.wait_for("more requests than it may");
    let shown = metrics(&balancer);
    assert!(!shown.contains("loadbalancer_clients_limited_total{limit=\"rate\"} 0\n"), "{shown}");
    assert!(shown.contains("loadbalancer_clients_limited_total{limit=\"connections\"} 0\n"));
}

#[test]
fn a_rate_is_over_all_connections_of_a_client() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--rate", ONE]);
    let statuses: Vec<u16> = (0..10).map(|_| balancer.get("/").status()).collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_refused_body_is_not_taken_for_a_request() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--rate", ONE]);
    let mut client = balancer.connect();
    until_refused(&mut client);
    client
        .send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{GET}", GET.len()));
    let response = client.response();
    if response.status() == 429 {
        assert!(response.closes(), "its body was not read");
    }
}

#[test]
fn the_live_path_is_not_limited() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--rate", ONE, "--live-path", "/alive"]);
    assert!((0..5).all(|_| balancer.get("/alive").status() == 200));
}

#[test]
fn in_tcp_mode_new_connections_are_closed() {
    let backend = Backend::raw(|peer| {
        let _ = peer.try_send("hello");
        let _ = peer.try_rest();
    });
    let balancer = Balancer::over(&[&backend], &["-m", "tcp", "--rate", ONE]);
    let mut first = balancer.connect();
    assert_eq!(first.exactly(5), b"hello");
    let is_closed = (0..10).any(|_| {
        let mut next = balancer.connect();
        next.some().is_none()
    });
    assert!(is_closed);
    first.send("more");
    assert_eq!(Peer::connect_from(2, balancer.address()).exactly(5), b"hello");
}

#[test]
fn a_client_has_so_many_connections_and_gets_429_on_the_next() {
    let backend = Backend::named("a");
    let options = ["--max-connections-per-client", "2", "--admin", "0"];
    let balancer = Balancer::over(&[&backend], &options);
    let mut kept = [balancer.connect(), balancer.connect()];
    for client in &mut kept {
        assert_eq!(client.get("/").status(), 200);
    }
    let mut surplus = balancer.connect();
    let refused = surplus.response();
    assert_eq!((refused.status(), refused.closes()), (429, true));
    assert_eq!(refused.field("Retry-After"), Some("1"));
    surplus.half_close();
    surplus.expect_end();
    assert_eq!(Peer::connect_from(2, balancer.address()).get("/").status(), 200);
    assert!(
        metrics(&balancer)
            .contains("loadbalancer_clients_limited_total{limit=\"connections\"} 1\n")
    );
    // One that ends makes room for another.
    let [first, mut second] = kept;
    drop(first);
    common::wait_until("room for one more", || {
        let mut next = balancer.connect();
        next.send(GET);
        next.response().status() == 200
    });
    assert_eq!(second.get("/").status(), 200);
}

#[test]
fn in_tcp_mode_surplus_connections_are_closed() {
    let backend = Backend::raw(|peer| {
        let _ = peer.try_send("hello");
        let _ = peer.try_rest();
    });
    let options = ["-m", "tcp", "--max-connections-per-client", "1"];
    let balancer = Balancer::over(&[&backend], &options);
    let mut first = balancer.connect();
    assert_eq!(first.exactly(5), b"hello");
    assert_eq!(balancer.connect().some(), None);
    drop(first);
    common::wait_until("room for another", || balancer.connect().some().is_some());
}

#[test]
fn the_client_is_the_one_that_a_proxy_header_names() {
    let backend = Backend::named("a");
    let options = ["--proxy-protocol", "any", "--rate", ONE, "--max-connections-per-client", "1"];
    let balancer = Balancer::over(&[&backend], &options);
    let from = |ip: &str| {
        let mut peer = balancer.connect();
        peer.send(format!("PROXY TCP4 {ip} 10.0.0.9 1 80\r\n"));
        peer
    };
    let mut first = from("10.0.0.1");
    assert_eq!(first.get("/").status(), 200);
    assert_eq!(from("10.0.0.1").response().status(), 429, "its second connection");
    assert_eq!(from("10.0.0.2").get("/").status(), 200, "another client of the same proxy");
    let (refused, _) = until_refused(&mut first);
    assert_eq!(refused.status(), 429);
}
