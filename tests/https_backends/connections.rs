//! What connections to servers in TLS carry, how they are kept, and how they end.

use crate::common::{Backend, Gate, Peer, assert_same_bytes, ok, pattern, reply, wait_until};
use crate::server::{Ending, Identity, Server, listed, trusting};

#[test]
fn requests_of_a_client_in_the_clear_go_out_in_tls_on_one_connection() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, Backend::named("one"));
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    let said = format!("over 1 backend: {}", server.at("localhost"));
    assert!(balancer.start_line.contains(&said), "{}", balancer.start_line);
    let mut client = balancer.connect();
    for _ in 0..3 {
        let response = client.get("/a");
        assert_eq!((response.status(), &*response.text()), (200, "one"));
    }
    let requests = server.behind.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.field("host"), Some("example.test"), "that of the client");
        assert_eq!(request.field("x-forwarded-proto"), Some("http"), "that of the client");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "the connection is kept: {seen:?}");
    assert_eq!(seen[0].name.as_deref(), Some("localhost"));
    assert_eq!(seen[0].protocol.as_deref(), Some("http/1.1"));
}

#[test]
fn a_client_in_tls_has_its_own_scheme_forwarded() {
    let identity = Identity::of(&["localhost"]);
    let both = identity
        .directory
        .file("both.pem", format!("{}{}", identity.made.certificate, identity.made.key));
    let server = Server::new(&identity, Backend::named("one"));
    let arguments = [&*server.at("localhost"), "--cert", &both, "--proxy-protocol", "127.0.0.1"];
    let balancer = trusting(&identity.file, &arguments[..3]);
    let url = format!("https://localhost:{}/", balancer.address().port());
    let mut get = crate::common::binary();
    get.env("SSL_CERT_FILE", &identity.file).args(["get", &url, "-q", "-o", "-"]);
    let done = get.output().expect("running get");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "one");
    assert_eq!(server.behind.requests()[0].field("x-forwarded-proto"), Some("https"));
}

#[test]
fn bodies_go_both_ways_whole() {
    let identity = Identity::of(&["localhost"]);
    let content = pattern(3_000_000);
    let answer = content.clone();
    let server = Server::new(&identity, Backend::start(move |_| ok(&answer)));
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    let mut client = balancer.connect();
    for _ in 0..2 {
        let length = content.len();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
        client.send(&content);
        let response = client.response();
        assert_eq!(response.status(), 200, "{}", response.head);
        assert_same_bytes(&format!("the response {}", response.head), &response.body, &content);
    }
    for request in server.behind.requests() {
        assert_same_bytes("the request", &request.body, &content);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn bodies_go_both_ways_whole_when_the_server_takes_them_in_parts() {
    let identity = Identity::of(&["localhost"]);
    // More than the systems on the way hold, so that some of it waits as ciphertext.
    let content = pattern(12_000_000);
    let answer = content.clone();
    let gate = Gate::new();
    let behind = Backend::start(move |_| ok(&answer));
    let server = Server::reading_late(&gate, &identity, behind);
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    let mut client = balancer.connect();
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len());
    let (mut writer, request) = (client.writer(), [head.as_bytes(), &content].concat());
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &request));
    wait_until("the handshake", || !server.seen().is_empty());
    balancer.comes_to_rest(std::time::Duration::from_millis(20));
    gate.open();
    let response = client.response();
    writing.join().expect("a thread").expect("writing");
    assert_eq!(response.status(), 200, "{}", response.head);
    assert_same_bytes(&format!("the response {}", response.head), &response.body, &content);
    assert_same_bytes("the request", &server.behind.requests()[0].body, &content);
}

#[test]
fn a_session_is_resumed_on_the_next_connection() {
    let identity = Identity::of(&["localhost"]);
    let answer = reply("200 OK", "Connection: close\r\n", "one");
    let server = Server::new(&identity, Backend::start(move |_| answer.clone()));
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "one");
    }
    let resumed: Vec<bool> = server.seen().iter().map(|seen| seen.is_resumed).collect();
    assert_eq!(resumed, [false, true, true, true]);
}

#[test]
fn sessions_of_one_server_are_not_resumed_with_another() {
    let identity = Identity::of(&["localhost"]);
    let answer = || {
        let answer = reply("200 OK", "Connection: close\r\n", "x");
        Backend::start(move |_| answer.clone())
    };
    let servers = [Server::new(&identity, answer()), Server::new(&identity, answer())];
    let names = servers.each_ref().map(|server| server.at("localhost"));
    let balancer = trusting(&identity.file, &[&names[0], &names[1]]);
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "x");
    }
    for server in &servers {
        let resumed: Vec<bool> = server.seen().iter().map(|seen| seen.is_resumed).collect();
        assert_eq!(resumed, [false, true], "each had a first session of its own");
    }
}

/// A response without a length.
fn until_close(content: &'static str) -> Backend {
    Backend::raw(move |peer: &mut Peer| {
        if peer.request().is_some() {
            peer.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{content}"));
        }
    })
}

#[test]
fn a_body_that_ends_with_the_connection_has_to_end_with_close_notify() {
    let identity = Identity::of(&["localhost"]);
    for (ending, is_whole) in [(Ending::Orderly, true), (Ending::Truncated, false)] {
        let server = Server::ending(ending, &identity, until_close("some"));
        let balancer = trusting(&identity.file, &[&server.at("localhost")]);
        let mut client = balancer.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let outcome = client.try_response("GET");
        assert_eq!(outcome.is_ok(), is_whole, "{ending:?}");
        if let Ok(Some(response)) = outcome {
            assert_eq!(response.text(), "some");
        }
    }
}

#[test]
fn a_response_with_a_length_needs_no_orderly_end() {
    let identity = Identity::of(&["localhost"]);
    let answer = reply("200 OK", "Connection: close\r\n", "whole");
    let behind = Backend::start(move |_| answer.clone());
    let server = Server::ending(Ending::Truncated, &identity, behind);
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    for _ in 0..3 {
        assert_eq!(balancer.get("/").text(), "whole");
    }
}

#[test]
fn a_pooled_connection_that_the_server_ends_loses_no_request() {
    let identity = Identity::of(&["localhost"]);
    let behind = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send(ok("one"));
        }
    });
    let server = Server::new(&identity, behind);
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    let mut client = balancer.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "one");
    }
}

#[test]
fn an_upgraded_connection_is_a_tunnel_in_tls() {
    let identity = Identity::of(&["localhost"]);
    let behind = Backend::raw(|peer| {
        if peer.request().is_some() {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n";
            peer.send(format!("{head}Upgrade: echo\r\n\r\n"));
            while let Some(bytes) = peer.some() {
                peer.send(bytes);
            }
        }
    });
    let server = Server::new(&identity, behind);
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.response().status(), 101);
    for size in [1, 100_000, 7] {
        let content = pattern(size);
        client.send(&content);
        assert_same_bytes("the echo", &client.exactly(size), &content);
    }
    client.half_close();
    assert!(client.rest().is_empty());
    wait_until("the server to see the end", || server.seen()[0].is_orderly);
}

#[test]
fn several_connections_to_one_server_are_in_flight_at_once() {
    let identity = Identity::of(&["localhost"]);
    let gate = Gate::new();
    let server = Server::new(&identity, Backend::held(&gate));
    let balancer = trusting(&identity.file, &[&server.at("localhost")]);
    let mut clients: Vec<Peer> = (0..20).map(|at| balancer.ask(&format!("/{at}"))).collect();
    server.behind.wait_for_requests(20);
    gate.open();
    for (at, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().text(), format!("/{at}"));
    }
}

#[test]
fn probes_are_in_tls_as_well() {
    let identity = Identity::of(&["localhost"]);
    for check in ["http", "tcp"] {
        let server = Server::new(&identity, Backend::named("one"));
        let line = format!("{} ca={}", server.at("localhost"), identity.file);
        let balancer = listed(&identity.directory, &[line], &["--health", check]);
        wait_until("a probe", || !server.seen().is_empty());
        if check == "http" {
            server.behind.wait_for_probes(1);
        }
        assert_eq!(balancer.get("/").text(), "one", "{check}");
    }
}
