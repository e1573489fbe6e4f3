//! Heads that are read, at every split, and heads that are refused.

use super::*;

fn status_of(text: &[u8]) -> u16 {
    match request(text, &mut RequestHead::default()) {
        Parse::Complete => 200,
        Parse::Partial => 0,
        Parse::Refused(refusal) => refusal.status,
    }
}

#[test]
fn a_request_head_is_found_at_every_split() {
    let text = b"\r\nPOST /a?b=c HTTP/1.1\r\nHost: x:80\r\nEmpty:\r\n\
          A: b c \t\r\nConnection: close\r\n\r\nbody";
    let end = text.len() - 4;
    let mut head = RequestHead::default();
    for cut in 0..end {
        assert_eq!(request(&text[..cut], &mut head), Parse::Partial, "cut at {cut}");
    }
    for cut in end..=text.len() {
        assert_eq!(request(&text[..cut], &mut head), Parse::Complete, "cut at {cut}");
        assert_eq!(head.bytes, end);
        assert_eq!(head.method, Method::Post);
        assert_eq!(head.target.of(text), b"/a?b=c");
        let lines = b"Host: x:80\r\nEmpty:\r\nA: b c \t\r\nConnection: close\r\n";
        assert_eq!(head.fields.span().of(text), lines);
        let names = head.fields.lines().iter().map(|line| line.name_text.of(text));
        assert_eq!(names.collect::<Vec<_>>(), [&b"Host"[..], b"Empty", b"A", b"Connection"]);
        let values: Vec<_> = head.fields.lines().iter().map(|line| line.value.of(text)).collect();
        assert_eq!(values, [&b"x:80"[..], b"", b"b c", b"close"]);
        assert!(!head.keeps_alive());
    }
}

/// Request heads and the status they are answered with; 200 for those that are read.
const REQUESTS: [(&[u8], u16); 31] = [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    (b"GET / HTTP/1.0\r\n\r\n", 200),
    (b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
    (b"GET / HTTP/1.1\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\x00\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET / x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 400),
    (b"GE(T / HTTP/1.1\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    (b"GET / HTTP/2.0\r\n\r\n", 505),
    (b"GET / HTTP/0.9\r\n\r\n", 505),
    (b"GET / HTTP/11\r\n\r\n", 400),
    (b"GET / HTTP/x.1\r\n\r\n", 400),
    (b"GET / HTTP/2.x\r\n\r\n", 400),
    (b"GET / HTTP/2.0 x\r\n\r\n", 400),
    (b"GET / http/1.1\r\n\r\n", 400),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    (b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\n\r\n", 505),
    (b"GET / HTTP/1.1x\r\n\r\n", 400),
];

#[test]
fn ambiguous_request_heads_are_refused() {
    for (text, status) in REQUESTS {
        assert_eq!(status_of(text), status, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn empty_lines_before_a_request_are_measured() {
    for (text, expected) in
        [(&b""[..], 0), (b"\r", 0), (b"\r\n", 2), (b"\r\n\r", 2), (b"\r\n\r\nGET", 4), (b"\n", 0)]
    {
        assert_eq!(empty_lines(text), expected, "{text:?}");
    }
}

#[test]
fn a_tls_client_is_recognised() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01";
    for (text, expected) in [
        (&hello[..1], Parse::Partial),
        (&hello[..2], Parse::Refused(TLS_HELLO)),
        (&hello[..], Parse::Refused(TLS_HELLO)),
        (b"\x16\x04", Parse::Refused(Refusal::bad("the request line is malformed"))),
    ] {
        assert_eq!(request(text, &mut RequestHead::default()), expected, "{text:?}");
    }
}

#[test]
fn another_version_is_recognised_once_its_line_is_complete() {
    let text = b"\r\nPRI * HTTP/2.0\r\n";
    let mut head = RequestHead::default();
    for cut in 0..text.len() {
        assert_eq!(request(&text[..cut], &mut head), Parse::Partial, "cut at {cut}");
    }
    assert_eq!(status_of(text), 505);
}

#[test]
fn a_prefix_of_a_request_head_is_incomplete_or_refused_like_the_whole() {
    for (text, status) in REQUESTS {
        for cut in 0..text.len() {
            let found = status_of(&text[..cut]);
            let text = String::from_utf8_lossy(text);
            assert!(found == 0 || (found == status && status != 200), "{text:?} cut at {cut}");
        }
    }
}

#[test]
fn limits_at_and_one_past() {
    let fields = |count: usize| {
        let mut text = b"GET / HTTP/1.1\r\n".to_vec();
        for _ in 0..count {
            text.extend_from_slice(b"A: b\r\n");
        }
        text.extend_from_slice(b"\r\n");
        status_of(&text)
    };
    assert_eq!(fields(FIELDS_MAX), 200);
    assert_eq!(fields(FIELDS_MAX + 1), 431);

    let target = |bytes: usize| {
        status_of(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(bytes - 1)).as_bytes())
    };
    assert_eq!(target(TARGET_BYTES_MAX), 200);
    assert_eq!(target(TARGET_BYTES_MAX + 1), 414);
    assert_eq!(status_of("a".repeat(TARGET_BYTES_MAX + 1).as_bytes()), 414);

    // `close` is no field to look for.
    let listed = |count: usize| {
        let names = "A, ".repeat(count);
        status_of(format!("GET / HTTP/1.1\r\nConnection: {names}close\r\n\r\n").as_bytes())
    };
    assert_eq!(listed(usize::from(super::LISTED_FIELDS_MAX)), 200);
    assert_eq!(listed(usize::from(super::LISTED_FIELDS_MAX) + 1), 400);
    assert_eq!(listed(1000), 400);

    let head = |bytes: usize| {
        let fixed = "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
        status_of(format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(bytes - fixed)).as_bytes())
    };
    assert_eq!(head(HEAD_BYTES_MAX), 200);
    assert_eq!(head(HEAD_BYTES_MAX + 1), 431);
}

#[test]
fn response_heads_at_every_split() {
    for (text, status, reason, version) in [
        (&b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..], 200, &b"OK"[..], Version::Http11),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", 404, b"Not Found", Version::Http10),
        (b"HTTP/1.1 204 \r\n\r\n", 204, b"", Version::Http11),
        (b"HTTP/1.1 204\r\n\r\n", 204, b"", Version::Http11),
    ] {
        let mut head = ResponseHead::default();
        for cut in 0..text.len() {
            assert_eq!(response(&text[..cut], &mut head), Parse::Partial, "cut at {cut}");
        }
        assert_eq!(response(text, &mut head), Parse::Complete);
        assert_eq!((head.status, head.reason.of(text), head.version), (status, reason, version));
        assert_eq!(head.bytes, text.len());
    }
}

#[test]
fn broken_response_heads_are_refused() {
    for text in [
        &b"HTTP/2.0 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let name = String::from_utf8_lossy(text);
        let found = response(text, &mut ResponseHead::default());
        assert!(matches!(found, Parse::Refused(_)), "{name:?}");
        for cut in 0..text.len() {
            let found = response(&text[..cut], &mut ResponseHead::default());
            assert!(found != Parse::Complete, "{name:?} cut at {cut}");
        }
    }
}

#[test]
fn a_head_request_is_recognised_by_its_method() {
    for (text, expected) in [
        ("HEAD / HTTP/1.1\r\n", true),
        ("\r\n\r\nHEAD /", true),
        ("HEAD ", true),
        ("HEAD", false),
        ("HEADS /", false),
        ("head / HTTP/1.1", false),
        ("GET /HEAD HTTP/1.1", false),
        ("\r\n", false),
        ("", false),
    ] {
        assert_eq!(is_head_request(text.as_bytes()), expected, "{text:?}");
    }
}
