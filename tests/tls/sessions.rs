//! What a connection in TLS is like for its client and for the servers.

use crate::client::{Client, Identity, plain};
use crate::common::{Backend, Balancer, Peer, assert_same_bytes, ok, pattern, reply, wait_until};
use std::io::{Read, Write};
use std::net::SocketAddr;

#[test]
fn requests_are_forwarded_and_servers_know_that_it_was_https() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &[]);
    assert!(balancer.start_line.contains("listening on https://"), "{}", balancer.start_line);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert!(client.wait_for("one").starts_with("HTTP/1.1 200"));
    }
    let seen = backend.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|one| one.field("X-Forwarded-Proto") == Some("https")));
    assert_eq!(client.0.conn.alpn_protocol(), None);
}

#[test]
fn bodies_go_both_ways_whole() {
    let identity = Identity::of(&["a.example"]);
    let content = pattern(3_000_000);
    let answer = content.clone();
    let backend = Backend::start(move |_| ok(&answer));
    let balancer = identity.over(&[&backend], &[]);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    let length = content.len();
    let head = "Host: a.example\r\nConnection: close\r\n";
    client.send(format!("POST / HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n"));
    client.send(&content);
    client.wait_for("\r\n\r\n");
    let (got, is_orderly) = client.rest();
    assert!(is_orderly);
    assert_same_bytes("the response", &got, &content);
    assert_same_bytes("the request", &backend.requests()[0].body, &content);
}

#[test]
fn a_response_that_is_cut_off_does_not_end_with_close_notify() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        }
    });
    let balancer = identity.over(&[&backend], &[]);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let (got, is_orderly) = client.rest();
    assert!(got.ends_with(b"half") && !is_orderly);
}

#[test]
fn a_client_that_ends_its_side_gets_its_response() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &[]);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    client.0.conn.complete_io(&mut client.0.sock).expect("a handshake");
    client.0.conn.send_close_notify();
    client.0.flush().expect("writing");
    let (got, _) = client.rest();
    assert!(got.is_empty(), "nothing was asked for");
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.0.conn.send_close_notify();
    client.0.flush().expect("writing");
    let (got, is_orderly) = client.rest();
    assert!(got.ends_with(b"one") && is_orderly);
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &["--proxy-protocol", "127.0.0.1"]);
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n";
    let config = identity.config();
    let mut client = Client::connect_after(header, &balancer, &config, "a.example");
    assert!(client.get("a.example").ends_with("one"));
    let seen = backend.wait_for_requests(1);
    assert_eq!(seen[0].field("X-Forwarded-For"), Some("192.0.2.7"));
    assert_eq!(seen[0].field("X-Forwarded-Proto"), Some("https"));
}

#[test]
fn http_in_the_clear_gets_a_400_that_says_why() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &[]);
    let answer = plain(&balancer, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    assert!(backend.requests().is_empty());
}

#[test]
fn a_host_that_the_certificate_is_not_for_gets_421() {
    let (first, second) = (Identity::of(&["a.example"]), Identity::of(&["*.b.example"]));
    let backend = Backend::named("one");
    let balancer = first.over(&[&backend], &["--cert", &second.pem]);
    for (identity, name, host, status) in [
        (&first, "a.example", "a.example", 200),
        (&first, "a.example", "a.example:8443", 200),
        (&first, "a.example", "x.b.example", 421),
        (&second, "x.b.example", "y.b.example", 200),
        (&second, "x.b.example", "a.example", 421),
        (&second, "x.b.example", "127.0.0.1", 421),
    ] {
        let mut client = Client::connect(&balancer, &identity.config(), name);
        let got = client.get(host);
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{name}, {host}: {got}");
    }
}

#[test]
fn an_https_target_is_right_in_tls_and_misdirected_in_the_clear() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &[]);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    client.send("GET https://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(client.wait_for("one").starts_with("HTTP/1.1 200"));
    assert_eq!(backend.targets(), ["/x"]);
}

#[test]
fn any_protocol_is_carried_in_tcp_mode_also_when_the_server_speaks_first() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::raw(|peer| {
        peer.send("hello\n");
        assert_eq!(peer.exactly(5), b"quit\n");
        peer.send("bye\n");
    });
    let balancer = identity.over(&[&backend], &["-m", "tcp"]);
    assert!(balancer.start_line.contains("listening on tls://"), "{}", balancer.start_line);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    client.wait_for("hello\n");
    client.send("quit\n");
    assert_eq!(client.rest(), (b"bye\n".to_vec(), true));
}

#[test]
fn the_logs_say_what_was_agreed_on() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::start(|_| reply("204 No Content", "", ""));
    let log = identity.directory.file("log", "");
    let options = ["-v", "-l", &log, "--log-format", "json"];
    let balancer = identity.over(&[&backend], &options);
    let config = identity.config();
    for _ in 0..2 {
        Client::connect(&balancer, &config, "a.example").get("a.example");
    }
    balancer.stderr.wait_for("TLSv1.3 TLS_AES_256_GCM_SHA384 for a.example, resumed");
    let lines = || std::fs::read_to_string(&log).expect("the log");
    wait_until("two lines", || lines().lines().count() == 2);
    let lines = lines();
    for (line, resumed) in lines.lines().zip(["false", "true"]) {
        let members = format!(
            r#""tls":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384","sni":"a.example","subject":"","resumed":{resumed}}}"#
        );
        assert!(line.ends_with(&members), "{line}");
    }
}

#[test]
fn servers_get_the_subject_of_a_client_and_nobody_else_can_say_it() {
    let (identity, alice) = (Identity::of(&["a.example"]), Identity::of(&["alice"]));
    let backend = Backend::named("one");
    let authorities = alice.certificate();
    let balancer = identity.over(&[&backend], &["-v", "--client-ca", &authorities]);
    let config = identity.config_showing(Some(&alice.made));
    let mut client = Client::connect(&balancer, &config, "a.example");
    let forged = "X-Client-Cert-Subject: CN=root\r\nx_client-cert-subject: CN=root\r\n\
                  Connection: x-client-cert-subject\r\n";
    client.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{forged}\r\n"));
    client.wait_for("one");
    let seen = backend.wait_for_requests(1);
    assert_eq!(seen[0].fields("X-Client-Cert-Subject"), ["CN=alice"]);
    assert_eq!(seen[0].field("x_client-cert-subject"), None);
    balancer.stderr.wait_for("for a.example with CN=alice");
    let mut nobody = Client::connect(&balancer, &identity.config(), "a.example");
    let outcome = nobody.0.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let (got, is_orderly) = nobody.rest();
    assert!(outcome.is_err() || (got.is_empty() && !is_orderly));
    balancer.stderr.wait_for("TLS handshake failed: peer sent no certificates");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn without_authorities_a_subject_is_dropped() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &[]);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Client-Cert-Subject: CN=root\r\n\r\n");
    client.wait_for("one");
    assert_eq!(backend.wait_for_requests(1)[0].field("X-Client-Cert-Subject"), None);
}

#[test]
fn browsers_are_told_to_use_https_only_in_https() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::start(|request| match request.target() {
        "/own" => reply("200 OK", "Strict-Transport-Security: max-age=7\r\n", "one"),
        _ => ok("one"),
    });
    let balancer = identity.over(&[&backend], &["--hsts", "1h"]);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    for (target, host, expected) in [
        ("/", "a.example", "Strict-Transport-Security: max-age=3600\r\n"),
        ("/own", "a.example", "Strict-Transport-Security: max-age=7\r\n"),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let got = client.wait_for("one");
        assert!(got.contains(expected), "{target}: {got}");
        assert_eq!(got.matches("Strict-Transport-Security").count(), 1, "{target}: {got}");
    }
    let in_the_clear = plain(&balancer, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(in_the_clear.status(), 400);
    assert_eq!(in_the_clear.field("Strict-Transport-Security"), None);
    let refused = Client::connect(&balancer, &identity.config(), "a.example").get("b.example");
    assert!(refused.starts_with("HTTP/1.1 421"), "{refused}");
    assert!(refused.contains("Strict-Transport-Security: max-age=3600\r\n"), "{refused}");
}

/// Where requests in the clear are sent to https.
fn redirecting(balancer: &Balancer) -> SocketAddr {
    let line = balancer.stderr.wait_for("redirecting to https on http://");
    let at = line.rsplit("http://").next().expect("an address").trim_end_matches('/');
    at.parse().expect("an address")
}

#[test]
fn requests_in_the_clear_are_sent_to_https() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &["--redirect-http", "127.0.0.1:0"]);
    let port = balancer.address().port();
    let mut peer = Peer::connect(redirecting(&balancer));
    for (request, expected) in [
        ("GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n\r\n", format!("a.example:{port}/a?b=c")),
        (
            "POST /a HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 0\r\n\r\n",
            format!("a.example:{port}/a"),
        ),
        ("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", format!("[::1]:{port}/")),
        (
            "GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
            format!("b.example:{port}/x"),
        ),
    ] {
        peer.send(request);
        let answer = peer.response();
        assert_eq!(answer.status(), 308, "{request}");
        let location = format!("https://{expected}");
        assert_eq!(answer.field("Location"), Some(&*location), "{request}");
        assert_eq!(answer.field("Strict-Transport-Security"), None);
    }
    peer.send("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!(peer.response().status(), 400);
    assert!(backend.requests().is_empty());
}

#[test]
fn challenges_are_answered_where_requests_are_sent_to_https() {
    let identity = Identity::of(&["a.example"]);
    let folder = identity.directory.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&folder).expect("a directory");
    std::fs::write(folder.join("token"), "token.key").expect("a file");
    let root = identity.directory.path().to_str().expect("a path in UTF-8");
    let backend = Backend::named("one");
    let options = ["--redirect-http", "127.0.0.1:0", "--acme-webroot", root];
    let balancer = identity.over(&[&backend], &options);
    let mut peer = Peer::connect(redirecting(&balancer));
    for (target, status, content) in [
        ("/.well-known/acme-challenge/token", 200, "token.key"),
        ("/.well-known/acme-challenge/other", 404, "no such challenge"),
        ("/.well-known/acme-challenge/../x", 308, "in https only"),
        ("/.well-known/acme-challenge/", 308, "in https only"),
        ("/", 308, "in https only"),
    ] {
        peer.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        let answer = peer.response();
        assert_eq!(answer.status(), status, "{target}");
        assert!(answer.text().contains(content), "{target}: {}", answer.text());
    }
    // In TLS it is a request like any other.
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    let target = "/.well-known/acme-challenge/token";
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
    client.wait_for("one");
}

/// Unread bytes at the close would reset the connection, which takes the alert away where it is not
/// read yet.
#[test]
fn a_client_that_still_sends_reads_why_its_handshake_failed() {
    let identity = Identity::of(&["a.example"]);
    let balancer = identity.over(&[&Backend::named("one")], &[]);
    // A message that is no hello, and far more than is read at once.
    let mut sent = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff".to_vec();
    sent.resize(150_000, 7);
    let mut peer = balancer.connect();
    peer.send(&sent);
    let alert = peer.try_rest().expect("an end and no reset");
    assert!(alert.starts_with(&[0x15, 3]) && alert.len() == 7, "a fatal alert: {alert:?}");
    balancer.stderr.wait_for("TLS handshake failed");
}

#[test]
fn a_client_that_sends_on_and_on_after_its_handshake_failed_is_cut_off() {
    let identity = Identity::of(&["a.example"]);
    let balancer = identity.over(&[&Backend::named("one")], &[]);
    let mut peer = balancer.connect();
    peer.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff");
    let junk = [7; 65_536];
    let most = 64 << 20;
    let sent = (0..most / junk.len()).take_while(|_| peer.try_send(junk).is_ok()).count();
    assert!(sent < most / junk.len(), "it was read to the end");
}

#[test]
fn a_client_without_the_certificate_that_is_required_reads_that() {
    let identity = Identity::of(&["a.example"]);
    let authority = identity.certificate();
    let balancer = identity.over(&[&Backend::named("one")], &["--client-ca", &authority]);
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    // In TLS 1.3 it sends before the server has looked at what it has shown.
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n{}",
        "x".repeat(100_000)
    );
    client.send(request);
    let error = client.0.read(&mut [0; 9]).expect_err("no certificate");
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[test]
fn a_large_request_in_the_clear_gets_its_answer_whole() {
    let identity = Identity::of(&["a.example"]);
    let balancer = identity.over(&[&Backend::named("one")], &[]);
    let mut peer = balancer.connect();
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 200000\r\n\r\n";
    peer.send([head.as_bytes(), &[7; 200_000]].concat());
    let answer = peer.response();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("this port speaks TLS"), "{}", answer.text());
    assert!(peer.try_rest().is_ok(), "an end and no reset");
}

#[test]
fn a_handshake_that_stalls_ends_with_the_time_for_heads() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &["--head-timeout", "100ms"]);
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut peer = balancer.connect();
        peer.send(begun);
        assert!(peer.try_rest().is_ok_and(|rest| rest.is_empty()), "{begun:?}");
    }
}

#[test]
fn the_program_ends_while_handshakes_stall() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &["--drain-timeout", "30s"]);
    let mut peer = balancer.connect();
    peer.send(b"\x16\x03\x01\x02\x00\x01");
    let mut client = Client::connect(&balancer, &identity.config(), "a.example");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    client.wait_for("one");
    balancer.stop();
    let (got, is_orderly) = client.rest();
    assert!(got.is_empty() && is_orderly, "an idle connection ends in order");
}
