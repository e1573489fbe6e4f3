//! Bodies: their framing, and which parts of it are forwarded, in both directions.

use crate::common::{Backend, Balancer, Message, got, reply, seen};
use std::sync::{Arc, Mutex};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n";

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// The bytes of the body of this chunked request as the server received them.
fn sent_on(fields: &str, body: &str) -> Message {
    seen(format!("{CHUNKED}{fields}\r\n{body}"), &[])
}

/// The chunked response with this body as the client received it.
fn passed_back(fields: &str, body: &str) -> Message {
    got(GET, format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{body}"))
}

/// Trailer fields that would change the meaning of a head, or that are hop-by-hop.
const HEAD_ONLY: [&str; 23] = [
    "Content-Length: 5",
    "transfer-encoding: gzip",
    "Trailer: X",
    "Host: other",
    "Max-Forwards: 0",
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Proto: https",
    "Forwarded: for=6.6.6.6",
    "AUTHORIZATION: Basic eA==",
    "Set-Cookie: a=b",
    "Connection: close",
    "Keep-Alive: 5",
    "Upgrade: x",
    "Content-Type: text/html",
    "Expect: 100-continue",
    "X_Forwarded_For: 6.6.6.6",
    "X-Forwarded_Host: evil",
    "X_Real_IP: 6.6.6.6",
    "Content_Length: 5",
    "X-Forwarded-Port: 1",
    "Set_Cookie: a=b",
    "Content_Type: text/html",
];

#[test]
fn trailers_that_belong_in_the_head_are_dropped() {
    for line in HEAD_ONLY {
        let body = format!("1\r\na\r\n0\r\nX-A: 1\r\n{line}\r\nX-B: 2\r\n\r\n");
        for message in [sent_on("Trailer: X-A\r\n", &body), passed_back("", &body)] {
            assert_eq!(message.trailers, "X-A: 1\r\nX-B: 2\r\n", "{line}");
            assert_eq!(message.text(), "a", "{line}");
        }
    }
}

#[test]
fn other_trailers_are_forwarded_unchanged() {
    let trailers = "ETag: \"x\"\r\nServer-Timing:\tdb;dur=1 \r\nX-Sum: 1\r\nX-Sum: 2\r\nX-E:\r\n";
    let body = format!("1\r\na\r\n0\r\n{trailers}\r\n");
    for message in [sent_on("Trailer: ETag\r\n", &body), passed_back("", &body)] {
        assert_eq!(message.trailers, trailers);
    }
}

#[test]
fn request_trailers_are_forwarded_only_if_announced() {
    let body = "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n";
    for (fields, trailers) in [
        ("", ""),
        ("TE: trailers\r\nConnection: TE\r\n", ""),
        ("Trailer: X-Sum\r\n", "X-Sum: 1\r\n"),
    ] {
        let request = sent_on(fields, body);
        assert_eq!(
            (request.trailers.as_str(), request.text().as_str()),
            (trailers, "a"),
            "{fields}"
        );
    }
}

#[test]
fn head_and_trailers_share_the_limit_of_fields() {
    let backend = Backend::named("a");
    for more in [&[][..], &["--stream-requests"]] {
        let options = [&["--max-fields", "8"], more].concat();
        let balancer = Balancer::over(&[&backend], &options);
        // Host, Transfer-Encoding and Trailer are three of them.
        for (trailers, status) in [(5, 200), (6, 431)] {
            let lines = "X-Sum: 1\r\n".repeat(trailers);
            let request = format!("{CHUNKED}Trailer: X-Sum\r\n\r\n1\r\na\r\n0\r\n{lines}\r\n");
            let answer = balancer.exchange(request);
            assert_eq!(answer.status(), status, "{trailers} trailer fields, {more:?}");
        }
    }
}

#[test]
fn trailers_do_not_become_header_fields() {
    let body = "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n";
    for message in [sent_on("", body), passed_back("", body)] {
        assert_eq!(message.field("X-Sum"), None, "{}", message.head);
    }
}

#[test]
fn trailers_that_connection_may_have_named_are_dropped() {
    let body = "1\r\na\r\n0\r\nX-Hop: 1\r\nX-Sum: 2\r\n\r\n";
    let fields = "Connection: x-hop\r\nTrailer: x-hop\r\n";
    for message in [sent_on(fields, body), passed_back(fields, body)] {
        assert_eq!((message.trailers.as_str(), message.text().as_str()), ("", "a"));
    }
}

#[test]
fn chunk_extensions_are_ignored_and_not_forwarded() {
    let body = "1;a=\"b;c\\\"\"\r\nx\r\n2 \t; d = e ;f\r\nyz\r\n000;g\r\n\r\n";
    for message in [sent_on("", body), passed_back("", body)] {
        assert_eq!(String::from_utf8_lossy(&message.coded), "1\r\nx\r\n2\r\nyz\r\n000\r\n\r\n");
        assert_eq!(message.text(), "xyz");
    }
}

#[test]
fn the_transfer_coding_is_one_canonical_line_in_both_directions() {
    for line in
        ["transfer-encoding:chunked", "Transfer-Encoding: Chunked ,", "TRANSFER-ENCODING: ,CHUNKED"]
    {
        let body = "1\r\na\r\n0\r\n\r\n";
        let request = seen(format!("POST / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n{body}"), &[]);
        let answer = got(GET, format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n{body}"));
        for message in [request, answer] {
            let plain = message.head.matches("\r\nTransfer-Encoding: chunked\r\n").count();
            assert_eq!((plain, message.fields("transfer-encoding").len()), (1, 1), "{line}");
            assert_eq!(message.text(), "a", "{line}");
        }
    }
}

#[test]
fn a_length_is_forwarded_without_its_leading_zeros() {
    let request =
        seen("POST / HTTP/1.1\r\nHost: x\r\ncontent-length:  010 \r\n\r\n0123456789", &[]);
    let answer = got(GET, "HTTP/1.1 200 OK\r\nContent-Length: 010\r\n\r\n0123456789");
    for message in [request, answer] {
        assert_eq!(message.field("Content-Length"), Some("10"), "{}", message.head);
        assert_eq!(message.text(), "0123456789");
    }
}

#[test]
fn no_message_is_forwarded_with_both_length_and_coding() {
    // A close-delimited answer becomes chunked; none of them may keep or gain a length.
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\na",
        "HTTP/1.1 200 OK\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ] {
        let answer = got(GET, answer);
        assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"), "{}", answer.head);
        assert_eq!((answer.field("Content-Length"), answer.text().as_str()), (None, "a"));
    }
}

#[test]
fn content_is_not_transformed() {
    let coded =
        "Content-Encoding: gzip\r\nContent-Type: text/html\r\nCache-Control: no-transform\r\n";
    let content: Vec<u8> = (0..=255).collect();
    let answer = got(GET, reply("200 OK", coded, &content));
    assert!(answer.head.contains(coded), "{}", answer.head);
    assert_eq!(answer.body, content);
    let length = content.len();
    let head = format!("PUT / HTTP/1.1\r\nHost: x\r\n{coded}Content-Length: {length}\r\n\r\n");
    let request = seen([head.as_bytes(), &content].concat(), &[]);
    assert!(request.head.contains(coded), "{}", request.head);
    assert_eq!(request.body, content);
}

/// What a server received of an interrupted request, on all of its connections.
fn received(request: &str) -> (u16, String) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let copy = all.clone();
    let backend = Backend::raw(move |peer| {
        while let Some(part) = peer.some() {
            copy.lock().expect("not poisoned").extend(part);
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(request);
    let status = client.response().status();
    client.half_close();
    client.expect_end();
    crate::common::wait_until("the server to be let go", || backend.open_connections() == 0);
    let all = all.lock().expect("not poisoned");
    (status, String::from_utf8_lossy(&all).into_owned())
}

#[test]
fn the_end_of_a_malformed_body_never_reaches_the_server() {
    for (name, rest) in [
        ("a size that is none", "x\r\n"),
        ("a size too large", "10000000000000000\r\n"),
        ("no CRLF after the data", "1\r\nab\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "1;a\nb\r\na\r\n0\r\n\r\n"),
        ("a bare CR in an extension", "1;a\rb\r\na\r\n0\r\n\r\n"),
        ("a bare LF after the last chunk", "0\n\r\n"),
        ("a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
        ("a bare LF in a trailer", "0\r\nA: b\nC: d\r\n\r\n"),
        ("a bare CR in a trailer", "0\r\nA: b\rC: d\r\n\r\n"),
        ("a NUL in a trailer", "0\r\nA: b\0\r\n\r\n"),
        ("a space before a trailer's colon", "0\r\nA : b\r\n\r\n"),
        ("a trailer without a name", "0\r\n: b\r\n\r\n"),
        ("a bare LF as the end", "0\r\n\n"),
    ] {
        let next = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        let (status, all) = received(&format!("{CHUNKED}\r\n3\r\nabc\r\n{rest}{next}"));
        assert_eq!(status, 400, "{name}");
        assert!(!all.contains("smuggled"), "{name}: {all}");
        let body = all.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(!body.ends_with("0\r\n\r\n"), "{name}: {all}");
    }
}

#[test]
fn a_trailer_that_never_ends_is_answered() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--idle-timeout", "50ms"]);
    // Half a line, then nothing: the wait is for the client.
    let request = format!("{CHUNKED}\r\n0\r\nX-Sum: ");
    assert_eq!(balancer.exchange(&request).status(), 408);
    // Half a line, then a close: as with any other incomplete request.
    let mut client = balancer.connect();
    client.send(&request);
    client.half_close();
    let answer = client.try_response("POST");
    assert!(!matches!(&answer, Ok(Some(answer)) if answer.status() < 400), "{answer:?}");
    assert!(backend.requests().is_empty());
}

#[test]
fn a_large_trailer_section_arrives_in_any_segmentation() {
    let trailers: String = (0..90).map(|at| format!("X-{at}: {}\r\n", "v".repeat(30))).collect();
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(format!("{CHUNKED}Trailer: X-0\r\n\r\n"));
    let body = format!("1\r\na\r\n0\r\n{trailers}\r\n");
    for part in body.as_bytes().chunks(7) {
        client.send(part);
    }
    assert_eq!(client.response().status(), 200);
    assert_eq!(backend.requests()[0].trailers, trailers);
}
