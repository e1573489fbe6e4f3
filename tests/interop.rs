//! Servers and clients that are common and not quite by the RFCs: what they send must work, and
//! must not hurt others.

mod common;

use common::{Backend, Balancer, Peer, TempDir, ok, refused, reply, seen, timed, wait_until};
use std::time::{Duration, Instant};

#[test]
fn a_get_answered_by_garbage_goes_to_another_server() {
    for garbage in ["SSH-2.0-OpenSSH_9.6\r\n", "\x15\x03\x01\x00\x02\x02\x46", "<html></html>"] {
        let broken = Backend::raw(move |peer| {
            if peer.request().is_some() {
                peer.send(garbage);
                let _ = peer.try_rest();
            }
        });
        let good = Backend::named("good");
        let balancer = Balancer::over(&[&broken, &good], &["-s", "first"]);
        assert_eq!(balancer.get("/").text(), "good", "{garbage:?}");
        assert_eq!(broken.connections(), 1, "{garbage:?}");
    }
}

#[test]
fn a_post_answered_by_garbage_gets_502_and_is_sent_once() {
    let broken = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("SSH-2.0-OpenSSH_9.6\r\n");
            let _ = peer.try_rest();
        }
    });
    let good = Backend::named("good");
    let balancer = Balancer::over(&[&broken, &good], &["-s", "first"]);
    let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na";
    let answer = balancer.exchange(request);
    let cause = "loadbalancer; error=http_protocol_error";
    assert_eq!((answer.status(), answer.field("Proxy-Status")), (502, Some(cause)));
    assert!(good.requests().is_empty());
}

#[test]
fn a_server_that_is_the_only_one_and_sends_garbage_gets_502() {
    let broken = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("SSH-2.0-OpenSSH_9.6\r\n");
            let _ = peer.try_rest();
        }
    });
    let balancer = Balancer::over(&[&broken], &[]);
    assert_eq!(balancer.get("/").status(), 502);
}

/// `docker exec` and `docker attach`: an offer with content, then bytes both ways.
#[test]
fn an_upgrade_with_content_becomes_a_tunnel_after_the_content() {
    let backend = Backend::raw(|peer| {
        let Some(request) = peer.request() else { return };
        assert_eq!(request.field("Upgrade"), Some("tcp"));
        assert_eq!(request.field("Connection"), Some("upgrade"));
        assert_eq!(request.text(), "{\"Detach\":false,\"Tty\":false}");
        peer.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello");
        let part = peer.exactly(5);
        peer.send(part);
        assert!(peer.rest().is_empty());
        peer.send("bye");
    });
    for first in [0, 1, 26] {
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        let content = "{\"Detach\":false,\"Tty\":false}";
        let (now, later) = content.split_at(first);
        client.send(format!(
            "POST /exec/1/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{now}",
            content.len()
        ));
        client.send(later);
        assert_eq!(client.response().status(), 101, "{first} bytes of content at first");
        assert_eq!(client.exactly(5), b"hello");
        client.send("world");
        assert_eq!(client.exactly(5), b"world");
        client.half_close();
        assert_eq!(client.rest(), b"bye");
    }
}

#[test]
fn a_server_that_switches_before_the_content_is_complete_waits_for_it() {
    let backend = Backend::raw(|peer| {
        if peer.head().is_none() {
            return;
        }
        peer.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello");
        assert_eq!(peer.rest(), b"abcworld");
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\
         Content-Length: 3\r\n\r\na",
    );
    client.send("bc");
    assert_eq!(client.response().status(), 101);
    assert_eq!(client.exactly(5), b"hello");
    client.send("world");
    client.half_close();
    assert!(client.rest().is_empty());
}

#[test]
fn h2c_is_removed_from_an_offer_of_several_protocols() {
    let head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n";
    let request = seen(format!("{head}Upgrade: h2c, websocket\r\nHTTP2-Settings: AA\r\n\r\n"), &[]);
    assert_eq!(request.field("Upgrade"), Some("websocket"));
    assert_eq!(request.field("HTTP2-Settings"), None);
    let request = seen(format!("{head}Upgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"), &[]);
    assert_eq!((request.field("Upgrade"), request.field("Connection")), (None, None));
}

/// A server that authenticates the connection, as NTLM and Negotiate do: it answers with the user's
/// name, `nobody` before. Counts nothing: a user that another client sees is the fault.
fn authenticating(scheme: &'static str) -> Backend {
    Backend::raw(move |peer| {
        let mut user = None;
        while let Some(request) = peer.request() {
            if let Some(credentials) = request.field("Authorization") {
                user = credentials.split_once(' ').map(|(_, user)| user.to_owned());
            }
            peer.send(match (&user, request.target()) {
                (Some(user), _) => ok(user),
                (None, "/open") => ok("nobody"),
                (None, _) => {
                    let challenge = format!("WWW-Authenticate: {scheme}\r\n");
                    reply("401 Unauthorized", &challenge, "who?")
                }
            });
        }
    })
}

/// Authenticates in the three steps of NTLM.
fn authenticate(client: &mut Peer, scheme: &str, user: &str) {
    assert_eq!(client.get("/").status(), 401);
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {scheme} {user}\r\n\r\n"));
    assert_eq!(client.response().text(), user);
}

#[test]
fn a_connection_on_which_a_client_authenticated_serves_no_other_client() {
    for scheme in ["NTLM", "Negotiate"] {
        let backend = authenticating(scheme);
        let balancer = Balancer::over(&[&backend], &[]);
        let mut alice = balancer.connect();
        authenticate(&mut alice, scheme, "alice");
        for _ in 0..5 {
            assert_eq!(balancer.get("/open").text(), "nobody", "{scheme}");
        }
        let mut bob = balancer.connect();
        authenticate(&mut bob, scheme, "bob");
        for _ in 0..3 {
            // Each goes on with its own connection, a POST too.
            assert_eq!(alice.get("/").text(), "alice", "{scheme}");
            bob.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
            assert_eq!(bob.response().text(), "bob", "{scheme}");
        }
        drop(alice);
        for _ in 0..5 {
            assert_eq!(balancer.get("/open").text(), "nobody", "{scheme}");
        }
        // Theirs, and one for the others: the connection of a client that left is closed.
        wait_until("a close", || backend.open_connections() == 2);
        drop(bob);
        wait_until("another close", || backend.open_connections() == 1);
    }
}

#[test]
fn credentials_sent_unasked_keep_the_connection_to_their_client_too() {
    let backend = authenticating("Negotiate");
    let balancer = Balancer::over(&[&backend], &[]);
    let mut alice = balancer.connect();
    alice.send("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Negotiate alice\r\n\r\n");
    assert_eq!(alice.response().text(), "alice");
    assert_eq!(balancer.get("/open").text(), "nobody");
    assert_eq!(alice.get("/").text(), "alice");
}

#[test]
fn an_authenticated_connection_that_closes_is_replaced() {
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send(reply("401 Unauthorized", "WWW-Authenticate: NTLM\r\n", "who?"));
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").status(), 401);
    }
}

#[test]
fn an_authenticated_connection_keeps_to_the_limit_of_its_server() {
    let backend = authenticating("NTLM");
    let directory = TempDir::new();
    let list = directory.file("servers", format!("{} max=1\n", backend.argument()));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    let mut clients: Vec<Peer> = (0..3).map(|_| balancer.connect()).collect();
    for client in &mut clients {
        authenticate(client, "NTLM", "alice");
    }
    for _ in 0..3 {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.response().text(), "alice");
        }
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn a_line_end_after_a_post_does_not_begin_a_request() {
    timed(|| {
        let backend = Backend::named("a");
        let options = ["--head-timeout", "100ms", "--keep-alive-timeout", "600ms"];
        for end in ["\r\n", "\r\n\r\n", "\r"] {
            let balancer = Balancer::over(&[&backend], &options);
            let mut client = balancer.connect();
            let start = Instant::now();
            client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na{end}"));
            assert_eq!(client.response().text(), "a");
            assert!(client.rest().is_empty(), "closed without a 408");
            // Half a line end may be the start of anything, so the head time-out applies to it.
            let waited = start.elapsed();
            assert!(end == "\r" || waited >= Duration::from_millis(600), "closed after {waited:?}");
        }
    });
}

#[test]
fn a_request_after_line_ends_is_served() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--head-timeout", "10s"]);
    let mut client = balancer.connect();
    for _ in 0..3 {
        client.send("\r\n");
        client.send("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().text(), "a");
    }
}

#[test]
fn a_tls_hello_on_a_plain_port_is_recognised() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-v"]);
    let reason = "the client speaks TLS; this port is plain HTTP";
    let answer = balancer.exchange(hello);
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains(reason), "{}", answer.text());
    balancer.stderr.wait_for(reason);
}

/// A request with `X-Forwarded-*` of two kinds, as a server behind this option sees it.
fn forwarded_port(option: &str) -> Option<String> {
    let forged = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Port: 444\r\nX-Forwarded-Ssl: on\r\n\
        X-Forwarded_Port: 445\r\nForwarded: for=6.6.6.6\r\n\r\n";
    let options: Vec<&str> = [option].into_iter().filter(|option| !option.is_empty()).collect();
    let request = seen(forged, &options);
    assert_eq!(request.field("X-Forwarded_Port"), None);
    assert_eq!(request.field("Forwarded").is_some(), request.field("X-Forwarded-Ssl").is_some());
    request.field("X-Forwarded-Port").map(str::to_owned)
}

#[test]
fn forwarded_fields_are_kept_from_trusted_proxies_only() {
    let kept = Some(String::from("444"));
    assert_eq!(forwarded_port(""), None);
    assert_eq!(forwarded_port("--trust-forwarded"), kept);
    assert_eq!(forwarded_port("--trust-forwarded=127.0.0.0/8"), kept);
    assert_eq!(forwarded_port("--trust-forwarded=10.0.0.1,127.0.0.1"), kept);
    assert_eq!(forwarded_port("--trust-forwarded=10.0.0.0/8,::1"), None);
    let https = "GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(refused("an untrusted client", https), 421);
    assert_eq!(seen(https, &["--trust-forwarded=127.0.0.1"]).target(), "/");
}
