//! Requests and responses as forwarded by the balancer: heads, bodies, tunnels.

mod common;

use common::{Backend, Balancer, Gate, assert_same_bytes, got, ok, pattern, reply, seen};
use loadbalancer::http::date::imf_fixdate;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const GET: &str = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n";

#[test]
fn request_line_and_fields_are_forwarded_unchanged() {
    let request = seen(
        "GET /a/b%20c?d=e&f HTTP/1.1\r\nHost: Example.test:81\r\nX-Odd:  two  words \r\n\
         Accept: */*\r\nCookie: a=b; c=d\r\nX-Empty:\r\n\r\n",
        &[],
    );
    assert_eq!(request.start_line(), "GET /a/b%20c?d=e&f HTTP/1.1");
    for (name, value) in [
        ("Host", "Example.test:81"),
        ("X-Odd", "two  words"),
        ("Accept", "*/*"),
        ("Cookie", "a=b; c=d"),
        ("X-Empty", ""),
    ] {
        assert_eq!(request.field(name), Some(value), "{name} in {}", request.head);
    }
}

#[test]
fn the_server_gets_client_address_scheme_host_and_via() {
    let request = seen(GET, &[]);
    assert_eq!(request.field("Via"), Some("1.1 loadbalancer"));
    assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(request.field("X-Forwarded-Proto"), Some("http"));
    assert_eq!(request.field("X-Forwarded-Host"), Some("example.test"));
}

const FORGED: &str = "GET / HTTP/1.1\r\nHost: example.test\r\nX-Forwarded-For: 6.6.6.6\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nVia: 1.0 first\r\n\r\n";

#[test]
fn forwarded_fields_of_an_untrusted_client_are_replaced() {
    let request = seen(FORGED, &[]);
    assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(request.field("X-Forwarded-Proto"), Some("http"));
    assert_eq!(request.field("X-Forwarded-Host"), Some("example.test"));
}

#[test]
fn forwarded_fields_of_a_trusted_proxy_are_extended() {
    let request = seen(FORGED, &["--trust-forwarded"]);
    assert_eq!(request.field("X-Forwarded-For"), Some("6.6.6.6, 127.0.0.1"));
    assert_eq!(request.field("X-Forwarded-Proto"), Some("https"));
    assert_eq!(request.field("X-Forwarded-Host"), Some("evil.test"));
}

#[test]
fn via_is_appended_to_the_received_one() {
    let request = seen(FORGED, &[]);
    assert_eq!(request.fields("Via"), ["1.0 first", "1.1 loadbalancer"]);
}

#[test]
fn hop_by_hop_fields_are_not_forwarded() {
    let request = seen(
        "GET / HTTP/1.1\r\nHost: example.test\r\nConnection: X-Mine, keep-alive\r\n\
         Connection: x-second\r\nX-Mine: 1\r\nX-Second: 2\r\nX-Kept: 3\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n",
        &[],
    );
    for name in
        ["Connection", "X-Mine", "X-Second", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade"]
    {
        assert_eq!(request.field(name), None, "{name} in {}", request.head);
    }
    assert_eq!(request.field("X-Kept"), Some("3"));
}

#[test]
fn connection_cannot_remove_routing_or_framing_fields() {
    let request = seen(
        "POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 3\r\n\
         Connection: Host, Content-Length, X-Forwarded-For\r\n\r\nabc",
        &[],
    );
    assert_eq!(request.field("Host"), Some("example.test"));
    assert_eq!(request.field("Content-Length"), Some("3"));
    assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(request.text(), "abc");
}

#[test]
fn the_absolute_form_gives_host_and_path() {
    for (name, line, host, path) in [
        ("with a path", "GET http://real.test:81/a?b", "real.test:81", "/a?b"),
        ("without a path", "GET http://real.test", "real.test", "/"),
        ("query only", "GET http://real.test?q", "real.test", "/?q"),
        ("OPTIONS for the server", "OPTIONS http://real.test", "real.test", "*"),
    ] {
        let request = seen(format!("{line} HTTP/1.1\r\nHost: other.test\r\n\r\n"), &[]);
        assert_eq!(request.field("Host"), Some(host), "{name}");
        assert_eq!(request.target(), path, "{name}");
    }
}

#[test]
fn every_method_is_forwarded_unchanged() {
    for method in
        ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "M-SEARCH"]
    {
        let request = seen(format!("{method} /m HTTP/1.1\r\nHost: x\r\n\r\n"), &[]);
        assert_eq!(request.start_line(), format!("{method} /m HTTP/1.1"));
    }
}

#[test]
fn options_for_the_whole_server_is_forwarded() {
    let request = seen("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", &[]);
    assert_eq!(request.start_line(), "OPTIONS * HTTP/1.1");
}

#[test]
fn connect_is_refused() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let answer = balancer.exchange("CONNECT example.test:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.status(), 501);
    assert!(backend.requests().is_empty());
}

#[test]
fn status_line_and_fields_are_forwarded_unchanged() {
    let answer = got(
        GET,
        "HTTP/1.1 404 Nothing Here\r\nServer: s\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nno",
    );
    assert_eq!(answer.start_line(), "HTTP/1.1 404 Nothing Here");
    assert_eq!(answer.field("Server"), Some("s"));
    assert_eq!(answer.field("Date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(answer.fields("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.text(), "no");
}

#[test]
fn a_response_without_a_date_gets_one() {
    let answer = got(GET, ok("x"));
    let date = answer.field("Date").expect("a date");
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
}

#[test]
fn the_added_date_is_the_current_second() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    // The process may round its clock differently.
    let tolerance = Duration::from_millis(50);
    let start = now();
    // Over two second boundaries: a date that is not renewed would differ.
    while now() < start + Duration::from_secs(2) {
        let before = now() - tolerance;
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let date = client.response().field("Date").expect("a date").to_owned();
        let mut seconds = before.as_secs()..=(now() + tolerance).as_secs();
        let is_current = seconds.any(|second| imf_fixdate(second) == date.as_bytes());
        assert!(is_current, "{date} at {before:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn hop_by_hop_response_fields_are_not_forwarded() {
    let answer = got(
        GET,
        reply(
            "200 OK",
            "Connection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Connection: close\r\n",
            "x",
        ),
    );
    for name in ["Connection", "X-Mine", "Keep-Alive", "Proxy-Connection"] {
        assert_eq!(answer.field(name), None, "{name} in {}", answer.head);
    }
}

#[test]
fn fields_with_bytes_outside_ascii_are_forwarded_unchanged() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let copy = heads.clone();
    let backend = Backend::raw(move |peer| {
        let head = peer.head_bytes().unwrap_or_default();
        copy.lock().expect("not poisoned").extend(head);
        peer.send(b"HTTP/1.1 200 OK\r\nX-Name: \xE9\xFF\r\nContent-Length: 0\r\n\r\n");
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Name: caf\xE9 \xC3\xA9\r\nConnection: close\r\n\r\n",
    );
    let answer = client.rest();
    let heads = heads.lock().expect("not poisoned");
    let has = |all: &[u8], part: &[u8]| all.windows(part.len()).any(|window| window == part);
    assert!(has(&heads, b"X-Name: caf\xE9 \xC3\xA9\r\n"));
    assert!(has(&answer, b"X-Name: \xE9\xFF\r\n"));
}

#[test]
fn a_large_request_body_arrives_byte_for_byte() {
    let backend = Backend::start(|request| ok(request.body.len().to_string()));
    let balancer = Balancer::over(&[&backend], &[]);
    let body = pattern(5_000_003);
    let mut client = balancer.connect();
    let length = body.len();
    client.send(format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    client.send(&body);
    assert_eq!(client.response().text(), "5000003");
    assert_same_bytes("the server's copy", &backend.requests()[0].body, &body);
}

#[test]
fn a_large_response_body_arrives_byte_for_byte() {
    let backend = Backend::start(|_| ok(pattern(5_000_003)));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    assert_same_bytes("the client's copy", &client.get("/").body, &pattern(5_000_003));
}

#[test]
fn large_bodies_flow_in_both_directions_at_once() {
    let backend = Backend::raw(|peer| {
        let Some(head) = peer.head() else { return };
        assert!(head.starts_with("POST "), "{head}");
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
        for _ in 0..300 {
            let part = peer.exactly(10_000);
            peer.send(part);
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    let mut writer = client.writer();
    let sending = std::thread::spawn(move || {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n";
        writer.write_all(head.as_bytes()).expect("writing the head");
        writer.write_all(&pattern(3_000_000)).expect("writing the body");
    });
    let answer = client.response();
    sending.join().expect("all was sent");
    assert_same_bytes("the echo", &answer.body, &pattern(3_000_000));
}

#[test]
fn a_body_is_forwarded_before_it_is_complete() {
    let backend = Backend::raw(|peer| {
        let Some(_) = peer.head() else { return };
        assert_eq!(peer.exactly(3), b"one");
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nONE");
        assert_eq!(peer.exactly(3), b"two");
        peer.send("TWO");
    });
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\none");
    let head = client.head().expect("a head before the body is complete");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(client.exactly(3), b"ONE");
    client.send("two");
    assert_eq!(client.exactly(3), b"TWO");
}

#[test]
fn a_slow_reader_gets_everything() {
    let backend = Backend::start(|_| ok(pattern(4_000_000)));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut slow = balancer.connect();
    slow.send(GET);
    // While its response fills every buffer on the way, others are served.
    slow.head().expect("a head");
    for _ in 0..3 {
        assert_eq!(balancer.get("/").body.len(), 4_000_000);
    }
    assert_same_bytes("the slow one's copy", &slow.exactly(4_000_000), &pattern(4_000_000));
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
    Trailer: X-Sum\r\n\r\n";

#[test]
fn a_chunked_request_arrives_with_its_trailers() {
    let request = seen(
        format!("{CHUNKED}5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 11\r\n\r\n"),
        &[],
    );
    assert_eq!(request.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(request.field("Content-Length"), None);
    assert_eq!(request.text(), "hello world");
    assert_eq!(request.trailers, "X-Sum: 11\r\n");
}

#[test]
fn a_chunked_response_arrives_with_its_trailers() {
    let answer = got(
        GET,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         A\r\n0123456789\r\n3\r\nabc\r\n0\r\nX-Sum: 13\r\n\r\n",
    );
    assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(answer.text(), "0123456789abc");
    assert_eq!(answer.trailers, "X-Sum: 13\r\n");
}

#[test]
fn large_chunked_bodies_arrive_byte_for_byte_both_ways() {
    let backend = Backend::start(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend_from_slice(&request.coded);
        answer
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let content = pattern(1_000_000);
    let mut client = balancer.connect();
    client.send(CHUNKED);
    // Chunks of every size up to some hundred bytes, then large ones.
    let mut rest = &content[..];
    let mut size = 1;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        client.send(&bytes);
        rest = after;
        size = if size < 300 { size + 1 } else { 70_000 };
    }
    client.send("0\r\nX-Sum: many\r\n\r\n");
    let answer = client.response();
    assert_same_bytes("the echo", &answer.body, &content);
    assert_eq!(answer.trailers, "X-Sum: many\r\n");
    assert_same_bytes("the server's copy", &backend.requests()[0].body, &content);
}

#[test]
fn the_answer_to_head_has_a_length_and_no_body() {
    let backend = Backend::start(|_| reply("200 OK", "", "").replace_length(1234));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to("HEAD").field("Content-Length"), Some("1234"));
    // The connection is at the start of the next message, on both sides.
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status(), 200);
    assert_eq!(backend.connections(), 1);
}

/// A response head with a length but no such content, as responses to HEAD have.
trait ReplaceLength {
    fn replace_length(self, length: usize) -> Self;
}

impl ReplaceLength for Vec<u8> {
    fn replace_length(self, length: usize) -> Vec<u8> {
        let text = String::from_utf8(self).expect("a head in ASCII");
        text.replace("Content-Length: 0", &format!("Content-Length: {length}")).into_bytes()
    }
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    for (name, answer) in [
        ("204", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("304", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
        ("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
    ] {
        let backend = Backend::start(move |_| answer.as_bytes().to_vec());
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        for _ in 0..2 {
            let expected: u16 = name[..3].parse().expect("a status");
            assert_eq!(client.get("/").status(), expected, "{name}");
        }
        assert_eq!(backend.connections(), 1, "{name}");
    }
}

#[test]
fn interim_responses_are_forwarded_before_the_final_one() {
    let backend = Backend::raw(|peer| {
        let Some(_) = peer.request() else { return };
        peer.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        peer.send(ok("final"));
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(GET);
    assert_eq!(client.response().start_line(), "HTTP/1.1 102 Processing");
    let hints = client.response();
    assert_eq!((hints.status(), hints.field("Link")), (103, Some("</a>")));
    assert_eq!(client.response().text(), "final");
}

#[test]
fn an_http_1_0_client_gets_no_interim_response() {
    let answer = got(
        "GET / HTTP/1.0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
         Content-Length: 5\r\n\r\nfinal",
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "final"));
}

const EXPECT: &str = "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
    Content-Length: 4\r\n\r\n";

#[test]
fn a_client_that_waits_for_100_gets_it() {
    let backend = Backend::raw(|peer| {
        let Some(head) = peer.head() else { return };
        assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = peer.exactly(4);
        peer.send(ok(body));
    });
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send(EXPECT);
    assert_eq!(client.response().status(), 100);
    client.send("body");
    assert_eq!(client.response().text(), "body");
}

#[test]
fn a_server_may_refuse_a_body_before_it_is_sent() {
    let backend = Backend::raw(|peer| {
        let Some(_) = peer.head() else { return };
        peer.send(reply("413 Content Too Large", "Connection: close\r\n", "too large"));
    });
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send(EXPECT);
    let answer = client.response();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "too large"));
    client.expect_end();
}

#[test]
fn other_expectations_are_refused_with_417() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let answer = balancer.exchange("GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n");
    assert_eq!(answer.status(), 417);
    assert!(backend.requests().is_empty());
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let gate = Gate::new();
    let passed = gate.clone();
    let backend = Backend::raw(move |peer| {
        let Some(_) = peer.head() else { return };
        peer.send(reply("401 Unauthorized", "", "who are you?"));
        passed.pass();
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    client.send(pattern(40_000));
    let answer = client.response();
    assert_eq!((answer.status(), answer.text().as_str()), (401, "who are you?"));
    gate.open();
}

#[test]
fn an_http_1_0_request_without_host_is_served() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let answer = balancer.exchange("GET /old HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "a"));
    let request = backend.requests().remove(0);
    assert_eq!(request.start_line(), "GET /old HTTP/1.1");
    assert_eq!(request.field("Host"), Some(backend.argument().as_str()));
    assert_eq!(request.field("Via"), Some("1.0 loadbalancer"));
}

#[test]
fn an_http_1_0_client_gets_a_chunked_response_unchunked_and_a_close() {
    let backend = Backend::start(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            .to_vec()
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.response();
    assert_eq!(answer.field("Transfer-Encoding"), None);
    assert_eq!(answer.text(), "abcde");
}

#[test]
fn a_close_delimited_body_is_forwarded_chunked() {
    let answer = got(GET, "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall of it");
    assert_eq!(answer.start_line(), "HTTP/1.1 200 OK");
    assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(answer.text(), "all of it");
}

#[test]
fn a_client_of_an_http_1_0_server_keeps_its_connection() {
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.0 200 OK\r\n\r\nall of it");
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "all of it");
    }
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_truncated_response_is_not_taken_for_a_complete_one() {
    for (name, request, answer) in [
        ("length", GET, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        ("chunked", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf"),
        (
            "no last chunk",
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ),
        (
            "chunked to an old client",
            "GET / HTTP/1.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf",
        ),
    ] {
        let backend = Backend::raw(move |peer| {
            if peer.request().is_some() {
                peer.send(answer);
            }
        });
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        client.send(request);
        let outcome = client.try_response("GET");
        assert!(outcome.is_err(), "{name}: {outcome:?}");
    }
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n";

#[test]
fn an_upgraded_connection_carries_bytes_both_ways() {
    let backend = Backend::raw(|peer| {
        let Some(head) = peer.head() else { return };
        assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
        assert!(head.to_lowercase().contains("\r\nconnection: upgrade\r\n"), "{head}");
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: def\r\n\r\nhello",
        );
        for _ in 0..100 {
            let part = peer.exactly(1000);
            peer.send(part);
        }
        assert!(peer.rest().is_empty());
        peer.send("bye");
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(UPGRADE);
    let answer = client.response();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.field("Upgrade"), Some("websocket"));
    assert_eq!(answer.field("Sec-WebSocket-Accept"), Some("def"));
    assert_eq!(client.exactly(5), b"hello");
    let bytes = pattern(100_000);
    client.send(&bytes);
    assert_same_bytes("the echo", &client.exactly(bytes.len()), &bytes);
    client.half_close();
    assert_eq!(client.rest(), b"bye");
}

#[test]
fn a_refused_upgrade_is_an_ordinary_response() {
    let backend = Backend::start(|_| reply("426 Upgrade Required", "Upgrade: other\r\n", "no"));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(UPGRADE);
    assert_eq!(client.response().status(), 426);
    assert_eq!(client.get("/").status(), 426);
}

#[test]
fn an_unsolicited_101_is_answered_502() {
    let answer = got(
        GET,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbytes",
    );
    assert_eq!(answer.status(), 502);
}

#[test]
fn a_server_that_does_not_speak_http_gets_502() {
    for (name, answer) in [
        ("garbage", "SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        ("nothing", ""),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        (
            "length and chunked",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab"),
    ] {
        // A POST, so that it is not retried.
        let answer = got("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", answer);
        assert_eq!(answer.status(), 502, "{name}");
    }
}

#[test]
fn error_pages_can_be_replaced() {
    let directory = common::TempDir::new();
    let page = directory.file("page.html", "<p>down</p>");
    let backend = Backend::refusing();
    let option = format!("503={page}");
    let balancer = Balancer::over(&[&backend], &["--error-page", &option]);
    let answer = balancer.get("/");
    assert_eq!((answer.status(), answer.text().as_str()), (503, "<p>down</p>"));
}

#[test]
fn a_bare_port_is_a_server_on_this_machine() {
    let backend = Backend::named("a");
    let port = backend.port().to_string();
    let balancer = Balancer::start(&["0", &port, "--health", "off"]);
    assert!(balancer.start_line.contains("(all interfaces)"), "{}", balancer.start_line);
    assert_eq!(balancer.get("/").text(), "a");
}

#[test]
fn an_http_1_0_client_gets_no_transfer_encoding_even_without_a_body() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        let answer = got(&format!("{method} / HTTP/1.0\r\n\r\n"), answer);
        assert_eq!(answer.field("Transfer-Encoding"), None, "{method}: {}", answer.head);
    }
}

#[test]
fn a_kept_connection_of_an_http_1_0_server_is_reused() {
    let backend = Backend::start(|_| {
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx".to_vec()
    });
    let balancer = Balancer::over(&[&backend], &[]);
    for _ in 0..3 {
        assert_eq!(balancer.get("/").text(), "x");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn response_heads_are_forwarded_at_their_limits_and_answered_502_past_them() {
    let of_bytes = |bytes: usize| {
        let (start, end) = ("HTTP/1.1 200 OK\r\nX-Long: ", "\r\nContent-Length: 0\r\n\r\n");
        format!("{start}{}{end}", "a".repeat(bytes - start.len() - end.len()))
    };
    let of_fields = |count: usize| {
        let lines: String = (1..count).map(|number| format!("X-{number}: y\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n")
    };
    for (name, answer, status) in [
        ("24 KiB", of_bytes(24 * 1024), 200),
        ("24 KiB and a byte", of_bytes(24 * 1024 + 1), 502),
        ("200 fields", of_fields(200), 200),
        ("201 fields", of_fields(201), 502),
    ] {
        let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(got(request, answer).status(), status, "{name}");
    }
}

#[test]
fn bytes_sent_right_after_an_upgrade_request_reach_the_server() {
    let backend = Backend::raw(|peer| {
        if peer.head().is_some() {
            peer.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                 Upgrade: websocket\r\n\r\n",
            );
            let early = peer.exactly(5);
            peer.send(early);
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(format!("{UPGRADE}early"));
    assert_eq!(client.response().status(), 101);
    assert_eq!(client.exactly(5), b"early");
}

#[test]
fn ipv4_clients_of_a_dual_stack_listener_have_ipv4_addresses() {
    let backend = Backend::named("a");
    let balancer = Balancer::start(&["0", &backend.argument(), "--health", "off"]);
    assert_eq!(balancer.get("/").status(), 200);
    assert_eq!(backend.requests()[0].field("X-Forwarded-For"), Some("127.0.0.1"));
}

#[test]
fn ipv6_clients_are_served_where_there_is_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 here");
        return;
    }
    let backend = Backend::named("a");
    let balancer = Balancer::start(&["[::1]:0", &backend.argument(), "--health", "off"]);
    assert!(balancer.address().is_ipv6(), "{}", balancer.start_line);
    assert_eq!(balancer.get("/").text(), "a");
    assert_eq!(backend.requests()[0].field("X-Forwarded-For"), Some("::1"));
}
