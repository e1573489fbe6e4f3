//! TCP mode: bytes both ways, whatever they are.

mod common;

use common::{Backend, Balancer, Gate, Peer, assert_same_bytes, pattern, timed, wait_until};
use std::io::Write;

/// Echoes up to the end, then closes.
fn echo() -> Backend {
    Backend::raw(|peer| {
        while let Some(bytes) = peer.some() {
            if peer.try_send(bytes).is_err() {
                return;
            }
        }
    })
}

fn over(backends: &[&Backend], options: &[&str]) -> Balancer {
    Balancer::over(backends, &[&["-m", "tcp"], options].concat())
}

#[test]
fn the_start_line_says_tcp() {
    let backend = echo();
    let balancer = over(&[&backend], &[]);
    assert!(balancer.start_line.contains("tcp://127.0.0.1:"), "{}", balancer.start_line);
}

#[test]
fn bytes_go_both_ways_unchanged() {
    let backend = echo();
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    let bytes = pattern(2_000_000);
    let (mut writer, copy) = (client.writer(), bytes.clone());
    let sending = std::thread::spawn(move || writer.write_all(&copy).expect("writing"));
    assert_same_bytes("the echo", &client.exactly(bytes.len()), &bytes);
    sending.join().expect("all was sent");
}

#[test]
fn a_server_may_send_first() {
    let backend = Backend::raw(|peer| {
        peer.send("220 ready\r\n");
        let _ = peer.try_rest();
    });
    let balancer = over(&[&backend], &[]);
    assert_eq!(balancer.connect().exactly(11), b"220 ready\r\n");
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let backend = Backend::raw(|peer| {
        let all = peer.rest();
        peer.send(format!("{} bytes", all.len()));
    });
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(pattern(100_000));
    client.half_close();
    assert_eq!(client.rest(), b"100000 bytes");
}

#[test]
fn the_servers_end_leaves_the_clients_direction_open() {
    let gate = Gate::new();
    let passed = gate.clone();
    let backend = Backend::raw(move |peer| {
        peer.send("done");
        peer.half_close();
        assert_eq!(peer.exactly(5), b"after");
        passed.open();
    });
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    assert_eq!(client.rest(), b"done");
    client.send("after");
    gate.pass();
}

#[test]
fn a_refused_connection_goes_to_another_server() {
    let (down, up) = (Backend::refusing(), echo());
    let balancer = over(&[&down, &up], &[]);
    for _ in 0..4 {
        let mut client = balancer.connect();
        client.send("hello");
        assert_eq!(client.exactly(5), b"hello");
    }
    balancer.stderr.wait_for(&format!("backend {} down: ", down.argument()));
}

#[test]
fn with_all_servers_down_the_connection_ends() {
    let down = Backend::refusing();
    let balancer = over(&[&down], &[]);
    balancer.connect().expect_end();
}

#[test]
fn connections_are_balanced() {
    let servers: Vec<Backend> =
        ["a", "b"].map(|name| Backend::raw(move |peer| peer.send(name))).into();
    let balancer = over(&servers.iter().collect::<Vec<_>>(), &[]);
    let answers: Vec<Vec<u8>> = (0..4).map(|_| balancer.connect().rest()).collect();
    assert_eq!(answers, [b"a", b"b", b"a", b"b"]);
}

#[test]
fn never_more_than_n_sessions_are_at_the_servers() {
    let backend = Backend::raw(|peer| {
        peer.send("x");
        let _ = peer.try_rest();
    });
    let balancer = over(&[&backend], &["-N", "2"]);
    let mut clients: Vec<Peer> = (0..6).map(|_| balancer.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        // Echoed, so it is at the server, and at most one more with it.
        assert_eq!(client.exactly(1), b"x");
        assert!(backend.connections() <= at + 2, "{} at {at}", backend.connections());
        client.half_close();
        client.expect_end();
    }
}

#[test]
fn a_client_that_resets_ends_its_session() {
    let backend = echo();
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("hello");
    assert_eq!(client.exactly(5), b"hello");
    client.reset();
    wait_until("the server's connection to end", || backend.open_connections() == 0);
}

#[test]
fn a_server_that_fails_ends_its_session() {
    let backend = Backend::raw(|peer| {
        let _ = peer.exactly(5);
        let now = Some(std::time::Duration::ZERO);
        socket2::SockRef::from(&peer.writer()).set_linger(now).expect("set to reset");
    });
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("hello");
    client.expect_end();
}

#[test]
fn an_idle_session_ends_after_its_time_out() {
    timed(|| {
        let backend = echo();
        let balancer = over(&[&backend], &["--tunnel-timeout", "50ms"]);
        let mut client = balancer.connect();
        client.send("hello");
        assert_eq!(client.exactly(5), b"hello");
        client.expect_end();
        wait_until("the server's connection to end", || backend.open_connections() == 0);
    });
}

#[test]
fn health_is_checked_by_connecting() {
    let backend = Backend::raw(|peer| {
        let _ = peer.try_rest();
    });
    let balancer = Balancer::probing(&[&backend], &["-m", "tcp", "-c", "20ms"]);
    wait_until("some probes", || backend.connections() >= 4);
    assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
}

#[test]
fn a_session_whose_client_sends_nothing_is_connected_to_a_server() {
    let backend = Backend::raw(|peer| peer.send("hello"));
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.half_close();
    assert_eq!(client.rest(), b"hello");
}

#[test]
fn http_is_forwarded_untouched() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    assert_eq!(balancer.get("/").text(), "a");
    assert_eq!(backend.requests()[0].field("Via"), None);
}

/// A session over a server that then goes down for its probes alone.
fn session_of_a_server_that_goes_down(on_down: &str) -> (Balancer, Backend, Peer) {
    let backend = Backend::start(|_| Vec::new());
    let options = ["--on-down", on_down, "--health", "http", "-c", "20ms", "--fall", "1"];
    let balancer = Balancer::probing(&[&backend], &[&["-m", "tcp"], &options[..]].concat());
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    backend.wait_for_requests(1);
    backend.set_health(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec());
    balancer.stderr.wait_for(" down: ");
    (balancer, backend, client)
}

#[test]
fn sessions_of_a_server_that_goes_down_are_closed_if_asked() {
    let (_balancer, _backend, mut client) = session_of_a_server_that_goes_down("close");
    client.expect_end();
}

#[test]
fn sessions_of_a_server_that_goes_down_are_kept_by_default() {
    let (_balancer, backend, mut client) = session_of_a_server_that_goes_down("keep");
    client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    backend.wait_for_requests(2);
}

/// The timer of each established connection with this port, from `/proc/net/tcp`: 2 is keep-alive.
#[cfg(target_os = "linux")]
fn timers(port: u16) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the connections");
    let end = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = lines.filter(|line| line[1].ends_with(&end) || line[2].ends_with(&end));
    ours.filter(|line| line[3] == "01").map(|line| line[5][..2].to_owned()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn idle_sessions_are_kept_alive_on_both_sides() {
    let backend = echo();
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
    // Of each connection the balancer's end has the timer; the peers of the tests have none.
    for port in [balancer.address().port(), backend.port()] {
        wait_until("a keep-alive timer", || timers(port).contains(&"02".to_owned()));
    }
}
