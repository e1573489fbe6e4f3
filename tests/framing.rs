//! Messages that are ambiguous or too large are refused, and nothing of them reaches a server.

mod common;

use common::{Backend, Balancer, Message, ok, refused, refused_by};

/// Heads with these lines after the request line `POST / HTTP/1.1` and a good `Host`.
fn with_fields(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n")
}

#[test]
fn ambiguous_framing_is_refused_and_reaches_no_server() {
    for (name, fields, status) in [
        ("length and chunked", "Content-Length: 3\r\nTransfer-Encoding: chunked", 400),
        ("chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 3", 400),
        ("two lengths that differ", "Content-Length: 3\r\nContent-Length: 4", 400),
        ("two lengths that agree", "Content-Length: 3\r\nContent-Length: 3", 400),
        ("a list of lengths", "Content-Length: 3, 3", 400),
        ("an empty length", "Content-Length:", 400),
        ("a signed length", "Content-Length: +3", 400),
        ("a negative length", "Content-Length: -1", 400),
        ("a hexadecimal length", "Content-Length: 0x3", 400),
        ("a fraction", "Content-Length: 3.0", 400),
        ("a length with a space in it", "Content-Length: 1 1", 400),
        ("a length past u64", "Content-Length: 18446744073709551617", 400),
        ("a length past i64", "Content-Length: 9223372036854775808", 400),
        ("an unknown coding", "Transfer-Encoding: gzip", 400),
        ("an unknown coding before chunked", "Transfer-Encoding: gzip, chunked", 501),
        ("identity", "Transfer-Encoding: identity", 400),
        ("a coding nearly chunked", "Transfer-Encoding: xchunked", 400),
        ("chunked with a parameter", "Transfer-Encoding: chunked;a=b", 400),
        ("chunked twice", "Transfer-Encoding: chunked, chunked", 400),
        ("chunked on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("chunked not last", "Transfer-Encoding: chunked, gzip", 400),
        ("an empty coding", "Transfer-Encoding:", 400),
        ("a vertical tab in the coding", "Transfer-Encoding: \x0Bchunked", 400),
        ("a space before the colon", "Transfer-Encoding : chunked", 400),
        ("a tab before the colon", "Content-Length\t: 3", 400),
        ("a folded line", "Transfer-Encoding:\r\n chunked", 400),
        ("a folded line after a length", "Content-Length: 3\r\n\tX: y", 400),
        ("a bare LF between fields", "X: y\nContent-Length: 3", 400),
        ("a bare CR in a value", "X: y\rContent-Length: 3", 400),
        ("a NUL in a value", "X: y\0z", 400),
        ("a space in a name", "Content Length: 3", 400),
        ("a line without a colon", "Content-Length", 400),
        ("an empty name", ": x", 400),
    ] {
        assert_eq!(refused(name, with_fields(fields)), status, "{name}");
    }
}

#[test]
fn chunked_in_an_http_1_0_request_is_refused() {
    let request = "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused("1.0", request), 400);
}

#[test]
fn a_wrong_host_is_refused() {
    for (name, lines) in [
        ("none", ""),
        ("two", "Host: a\r\nHost: a\r\n"),
        ("two that differ", "Host: a\r\nHost: b\r\n"),
        ("with a path", "Host: a/b\r\n"),
        ("with user information", "Host: u@a\r\n"),
        ("with a space", "Host: a b\r\n"),
        ("a list", "Host: a, b\r\n"),
        ("a port that is none", "Host: a:b\r\n"),
    ] {
        let request = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        assert_eq!(refused(name, request), 400, "{name}");
    }
}

#[test]
fn garbage_is_refused_with_400() {
    for (name, bytes) in [
        ("TLS", &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..]),
        ("binary", b"\x00\x01\x02\x03\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        ("one word", b"hello\r\n\r\n"),
        ("HTTP/0.9", b"GET /\r\n\r\n"),
        ("two spaces", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a space after the version", b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
        ("a space before the method", b" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a space in the target", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a control character in the target", b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a target that is no path", b"GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("another scheme", b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("an asterisk without OPTIONS", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a lower case version", b"GET / http/1.1\r\nHost: x\r\n\r\n"),
        ("lines that end in LF", b"GET / HTTP/1.1\nHost: x\n\n"),
        ("a space before the first field", b"GET / HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n"),
    ] {
        assert_eq!(refused(name, bytes), 400, "{name}");
    }
}

#[test]
fn other_major_versions_are_refused_with_505() {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"] {
        let request = format!("GET / {version}\r\nHost: x\r\n\r\n");
        assert_eq!(refused(version, request), 505, "{version}");
    }
}

/// What the server received before the connection was closed, and what the client received.
fn broken_body(body: &str) -> (u16, Vec<Message>) {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let status = refused_by(&balancer, body, format!("{head}{body}").as_bytes());
    (status, backend.requests())
}

#[test]
fn ambiguous_chunk_sizes_are_refused_with_400() {
    for (name, body) in [
        ("past u64", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("just within u64", "FFFFFFFFFFFFFFFF\r\nabc"),
        ("no digit", "\r\nabc\r\n0\r\n\r\n"),
        ("a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a prefix", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a space before it", " 3\r\nabc\r\n0\r\n\r\n"),
        ("a letter past f", "g\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF after it", "3\nabc\r\n0\r\n\r\n"),
        ("a bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n"),
        ("a NUL in an extension", "3;a\0\r\nabc\r\n0\r\n\r\n"),
        ("no CRLF after the data", "3\r\nabcd\r\n0\r\n\r\n"),
        ("a bare LF after the data", "3\r\nabc\n0\r\n\r\n"),
        ("a bare LF after the last chunk", "0\n\n"),
        ("a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"),
        ("a trailer without a colon", "0\r\nX\r\n\r\n"),
        ("a space in a trailer's name", "0\r\nX : y\r\n\r\n"),
    ] {
        let (status, requests) = broken_body(body);
        assert_eq!(status, 400, "{name}");
        assert!(requests.is_empty(), "{name}: a whole request reached the server");
    }
}

#[test]
fn chunk_extensions_and_trailers_past_their_limits_are_refused() {
    let long = "x".repeat(5000);
    for (name, body, expected) in [
        ("extension", format!("3;a={long}\r\nabc\r\n0\r\n\r\n"), 400),
        ("size of many zeros", format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(5000)), 400),
        ("trailers", format!("0\r\nX: {long}\r\n\r\n"), 431),
        ("many trailers", format!("0\r\n{}\r\n", "X: y\r\n".repeat(100)), 431),
    ] {
        let (status, requests) = broken_body(&body);
        assert_eq!(status, expected, "{name}");
        assert!(requests.is_empty(), "{name}: a whole request reached the server");
    }
}

/// Whether a request is served, or refused with this status: at once, or in two pieces.
fn served(options: &[&str], request: &str) -> Result<(), u16> {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], options);
    let at_once = balancer.exchange(request).status();
    let mut client = balancer.connect();
    let (most, last) = request.split_at(request.len() - 14);
    client.send(most);
    // Read by the time this is answered, unless it came in the same moment.
    assert_eq!(balancer.exchange("GET / HTTP/1.0\r\n\r\n").status(), 200);
    let _ = client.try_send(last);
    assert_eq!(client.response().status(), at_once, "at once, and in two pieces");
    match at_once {
        200 => Ok(()),
        status => Err(status),
    }
}

/// Longest target, head and number of fields, as the manual states them.
const TARGET_BYTES_MAX: usize = 8 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 100;

/// Fails unless the request built by `request` is served at the limit and refused one past it: for
/// the default, the least and the most that `option` allows.
fn check_limit(option: &str, limits: [usize; 3], request: impl Fn(usize) -> String, status: u16) {
    for (limit, set) in limits.iter().zip([false, true, true]) {
        let value = limit.to_string();
        // The other limits at their maximum.
        let mut options = vec!["--max-target=16384", "--max-head=24576", "--max-fields=200"];
        options.retain(|other| !other.contains(option));
        options.extend([option, &value].iter().filter(|_| set));
        assert_eq!(served(&options, &request(*limit)), Ok(()), "{option}: {limit}");
        assert_eq!(served(&options, &request(limit + 1)), Err(status), "{option}: {limit} + 1");
        assert_eq!(served(&options, &request(2 * limit)), Err(status), "{option}: {limit} * 2");
    }
}

#[test]
fn a_target_is_served_at_its_limit_and_refused_one_past_it() {
    let request =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(bytes - 1));
    check_limit("--max-target", [TARGET_BYTES_MAX, 1, 16 * 1024], request, 414);
}

#[test]
fn a_head_is_served_at_its_limit_and_refused_one_past_it() {
    let request = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ";
        let end = "\r\n\r\n";
        format!("{start}{}{end}", "a".repeat(bytes - start.len() - end.len()))
    };
    check_limit("--max-head", [HEAD_BYTES_MAX, 256, 24 * 1024], request, 431);
}

#[test]
fn fields_are_served_at_their_limit_and_refused_one_past_it() {
    let request = |count: usize| {
        let lines: String = (1..count).map(|number| format!("X-{number}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
    };
    check_limit("--max-fields", [FIELDS_MAX, 1, 200], request, 431);
}

#[test]
fn the_longest_head_and_all_added_fields_reach_the_server() {
    let backend = Backend::start(|request| ok(request.field("x-long").unwrap_or_default()));
    let balancer = Balancer::over(&[&backend], &["--max-head", "24576"]);
    let start = "GET / HTTP/1.0\r\nX-Long: ";
    let long = "a".repeat(24_576 - start.len() - 4);
    assert_eq!(balancer.exchange(format!("{start}{long}\r\n\r\n")).text(), long);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_served() {
    let backend = Backend::start(|request| ok(request.target()));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for byte in b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.response().text(), "/slow");
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let backend = Backend::start(|request| ok(request.start_line()));
    let balancer = Balancer::over(&[&backend], &[]);
    let answer = balancer.exchange("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.text(), "GET / HTTP/1.1");
}

#[test]
fn a_refused_client_that_is_still_sending_can_read_its_answer() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(with_fields("Content-Length: 3, 4"));
    let _ = client.try_send(vec![b'x'; 100_000]);
    assert_eq!(client.response().status(), 400);
}

#[test]
fn two_hosts_after_a_good_request_are_refused() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.response().status(), 400);
    client.half_close();
    client.expect_end();
    assert_eq!(backend.targets(), ["/1"]);
}
