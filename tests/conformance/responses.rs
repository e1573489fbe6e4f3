//! Responses: which are rejected, and how the others are forwarded.

use crate::common::{Backend, Balancer, Message, TempDir, got, ok, reply, wait_until};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// The response to a GET whose server sends this: it must be a 502 without any of it.
fn bad_gateway(name: &str, answer: impl AsRef<[u8]>) {
    let answer = got(GET, answer);
    assert_eq!(answer.status(), 502, "{name}: {}", answer.head);
    assert_eq!(answer.field("X-Mark"), None, "{name}: {}", answer.head);
    assert!(!answer.text().contains("marked"), "{name}: {}", answer.text());
}

#[test]
fn a_malformed_status_line_is_answered_502() {
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 -20 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1200 OK",
        " HTTP/1.1 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1 200 O\0K",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "ICY 200 OK",
        "200 OK",
        "marked",
    ] {
        bad_gateway(line, format!("{line}\r\nX-Mark: 1\r\nContent-Length: 6\r\n\r\nmarked"));
    }
}

#[test]
fn a_status_without_a_reason_is_forwarded_with_its_space() {
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 "] {
        let answer = got(GET, format!("{line}\r\nContent-Length: 1\r\n\r\na"));
        assert_eq!(answer.start_line(), "HTTP/1.1 200 ");
    }
}

#[test]
fn unknown_statuses_are_forwarded_unchanged() {
    for status in [200, 226, 299, 308, 399, 451, 499, 599, 600, 999] {
        let answer = got(GET, reply(&format!("{status} Strange"), "", "x"));
        assert_eq!(answer.start_line(), format!("HTTP/1.1 {status} Strange"));
        assert_eq!(answer.text(), "x", "{status}");
    }
}

#[test]
fn a_malformed_response_head_is_answered_502() {
    for (name, lines) in [
        ("a space before the colon", "X-Mark : 1"),
        ("a tab before the colon", "X-Mark\t: 1"),
        ("a folded line", "X-Mark: 1\r\n folded"),
        ("a line folded by a tab", "X-Mark: 1\r\n\tfolded"),
        ("white space before the first field", " X-Mark: 1"),
        ("a bare CR", "X-Mark: 1\rX-B: c"),
        ("a NUL", "X-Mark: 1\0"),
        ("a control character", "X-Mark: 1\x01"),
        ("an empty name", ": 1"),
        ("no colon", "X-Mark"),
        ("a space in a name", "X Mark: 1"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\nContent-Length: 6\r\n\r\nmarked");
        bad_gateway(name, head);
    }
    bad_gateway("LF in front", "\nHTTP/1.1 200 OK\r\nX-Mark: 1\r\nContent-Length: 6\r\n\r\nmarked");
}

#[test]
fn bare_lfs_in_a_response_head_are_repaired() {
    for (name, head) in [
        ("everywhere", "HTTP/1.1 200 OK\nX-Mark: 1\nContent-Length: 6\n\n"),
        ("after one field", "HTTP/1.1 200 OK\r\nX-Mark: 1\nContent-Length: 6\r\n\r\n"),
        ("at the end", "HTTP/1.1 200 OK\r\nX-Mark: 1\r\nContent-Length: 6\r\n\n"),
    ] {
        let answer = got(GET, format!("{head}marked"));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "marked"), "{name}");
        assert_eq!(answer.field("X-Mark"), Some("1"), "{name}");
        assert!(!answer.head.replace("\r\n", "").contains('\n'), "{name}: {:?}", answer.head);
    }
}

#[test]
fn a_length_repeated_by_a_server_is_sent_once() {
    for lines in ["Content-Length: 6\r\nContent-Length: 6", "Content-Length: 6, 6"] {
        let answer = got(GET, format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nmarked"));
        assert_eq!(answer.fields("Content-Length"), ["6"], "{lines}");
        assert_eq!(answer.text(), "marked", "{lines}");
    }
}

#[test]
fn a_response_that_could_be_framed_in_two_ways_is_answered_502() {
    for (name, lines) in [
        ("length and chunked", "Content-Length: 6\r\nTransfer-Encoding: chunked"),
        ("chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 6"),
        ("two lengths that differ", "Content-Length: 6\r\nContent-Length: 5"),
        ("a list of lengths", "Content-Length: 6, 5"),
        ("an empty length", "Content-Length:"),
        ("a signed length", "Content-Length: +6"),
        ("a negative length", "Content-Length: -6"),
        ("a hexadecimal length", "Content-Length: 0x6"),
        ("a length past u64", "Content-Length: 18446744073709551622"),
        ("a length past i64", "Content-Length: 9223372036854775808"),
        ("an unknown coding", "Transfer-Encoding: gzip"),
        ("an unknown coding before chunked", "Transfer-Encoding: gzip, chunked"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked"),
        ("chunked not last", "Transfer-Encoding: chunked, gzip"),
        ("chunked with a parameter", "Transfer-Encoding: chunked;a=b"),
        ("an empty coding", "Transfer-Encoding:"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nX-Mark: 1\r\n{lines}\r\n\r\n");
        bad_gateway(name, format!("{head}marked"));
        // Nor does the request's method or a status without content make it readable.
        let request = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(got(request, &head).status(), 502, "{name} to HEAD");
        assert_eq!(got(GET, head.replace("200 OK", "204 x")).status(), 502, "{name} with 204");
    }
}

#[test]
fn a_coding_in_an_http_1_0_response_is_answered_502() {
    for lines in ["Transfer-Encoding: chunked", "Content-Length: 6\r\nTransfer-Encoding: chunked"] {
        let head = format!("HTTP/1.0 200 OK\r\nX-Mark: 1\r\n{lines}\r\n\r\n");
        bad_gateway(lines, format!("{head}6\r\nmarked\r\n0\r\n\r\n"));
    }
}

#[test]
fn a_connection_with_a_malformed_response_is_not_reused() {
    let backend = Backend::raw(|peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n");
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for served in 1..=3 {
        assert_eq!(client.get("/").status(), 502);
        wait_until("the connection to be closed", || backend.open_connections() == 0);
        assert_eq!(backend.connections(), served);
    }
}

#[test]
fn a_response_without_content_has_no_framing_fields() {
    for status in ["204 No Content", "103 Early Hints"] {
        for line in ["Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked"] {
            let backend = Backend::raw(move |peer| {
                while peer.request().is_some() {
                    peer.send(format!("HTTP/1.1 {status}\r\n{line}\r\nX-A: b\r\n\r\n"));
                    if status.starts_with('1') {
                        peer.send(ok("final"));
                    }
                }
            });
            let balancer = Balancer::over(&[&backend], &[]);
            let mut client = balancer.connect();
            for _ in 0..2 {
                let answer = client.get("/");
                assert_eq!(answer.field("X-A"), Some("b"), "{status}: {}", answer.head);
                assert_eq!(answer.field("Content-Length"), None, "{status} {line}");
                assert_eq!(answer.field("Transfer-Encoding"), None, "{status} {line}");
                if status.starts_with('1') {
                    assert_eq!(client.response().text(), "final");
                }
            }
            // Content may follow where it is claimed.
            let is_claimed = status.starts_with('2') && line != "Content-Length: 0";
            assert_eq!(backend.connections(), 1 + usize::from(is_claimed), "{status} {line}");
        }
    }
}

#[test]
fn head_and_304_keep_the_length_that_get_would_have() {
    let head = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    let (ok, not_modified) = ("HTTP/1.1 200 OK", "HTTP/1.1 304 Not Modified");
    for (request, line) in [(head, ok), (GET, not_modified), (head, not_modified)] {
        let answer = got(request, format!("{line}\r\nContent-Length: 12345\r\n\r\n"));
        assert_eq!(answer.field("Content-Length"), Some("12345"), "{line}");
    }
    let answer = got(head, format!("{ok}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"));
}

/// The responses to successive requests of one connection to a server that sends `answer` for each
/// and then waits.
fn answers(method: &str, answer: &'static [u8], count: usize) -> (Vec<Message>, usize) {
    let backend = Backend::raw(move |peer| {
        if peer.request().is_some() {
            peer.send(answer);
            let _ = peer.try_rest();
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    let ask = |_| {
        client.send(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"));
        client.response_to(method)
    };
    let answers = (0..count).map(ask).collect();
    (answers, backend.connections())
}

#[test]
fn bytes_after_a_response_are_discarded() {
    for (name, method, answer, body) in [
        (
            "after a length",
            "GET",
            &b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\n"[..],
            "a",
        ),
        (
            "after the last chunk",
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nmore",
            "a",
        ),
        ("content for HEAD", "HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore", ""),
        ("content with 204", "GET", b"HTTP/1.1 204 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""),
        ("content with 304", "GET", b"HTTP/1.1 304 x\r\nContent-Length: 4\r\n\r\nmore", ""),
        ("a line end", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na\r\n", "a"),
    ] {
        let (answers, connections) = answers(method, answer, 3);
        for answer in answers {
            assert_eq!(answer.text(), body, "{name}");
        }
        assert_eq!(connections, 3, "{name}: no such connection is used again");
    }
}

#[test]
fn an_unsolicited_response_reaches_no_client() {
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send(ok("asked"));
            // The connection is idle by now, or about to be.
            peer.send(ok("unasked"));
            let _ = peer.try_rest();
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    for asked in 1..=5 {
        assert_eq!(balancer.get("/").text(), "asked");
        wait_until("the connection to be thrown away", || backend.open_connections() == 0);
        assert_eq!(backend.connections(), asked);
    }
}

#[test]
fn response_fields_are_forwarded_unchanged() {
    let lines = "WWW-Authenticate: Basic realm=\"a, b\"\r\nWWW-Authenticate: Digest  x\r\n\
        Proxy-Authenticate: Basic\r\nAuthentication-Info: a=b\r\nAllow: GET,  BREW\r\n\
        Vary: *\r\nX-Odd:  two  words \r\nX-Odd: again\r\nETag: W/\"a\"\r\n";
    let answer = got(GET, reply("401 Unauthorized", lines, "x"));
    assert!(answer.head.contains(lines), "{}", answer.head);
}

#[test]
fn an_upgrade_that_was_not_offered_is_answered_502() {
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\
        Upgrade: websocket, foo/2\r\n\r\n";
    for (name, lines, status) in [
        ("one of them", "Upgrade: FOO/2\r\n", 101),
        ("both", "Upgrade: foo/2, websocket\r\n", 101),
        ("another", "Upgrade: bar\r\n", 502),
        ("one of them and another", "Upgrade: websocket, bar\r\n", 502),
        ("another version", "Upgrade: foo/3\r\n", 502),
        ("an empty list", "Upgrade: ,\r\n", 502),
        ("no word of it", "", 502),
    ] {
        let head = format!("HTTP/1.1 101 x\r\nConnection: upgrade\r\n{lines}\r\n");
        let answer = got(request, head);
        assert_eq!(answer.status(), status, "{name}");
        assert_eq!(answer.field("Upgrade").is_some(), status == 101, "{name}");
        let option = answer.fields("Connection").contains(&"upgrade");
        assert_eq!(option, status == 101, "{name}: {}", answer.head);
    }
}

#[test]
fn a_426_names_its_protocols() {
    let answer = got(GET, reply("426 Upgrade Required", "Upgrade: TLS/1.3, b\r\n", "x"));
    assert_eq!(answer.field("Upgrade"), Some("TLS/1.3, b"));
    assert!(answer.fields("Connection").contains(&"upgrade"), "{}", answer.head);
}

#[test]
fn local_answers_have_a_date_an_error_type_and_a_length() {
    // Of the error types of RFC 9209 §2.3.
    let causes = ["http_request_error", "destination_unavailable", "http_protocol_error"];
    let backend = Backend::refusing();
    let balancer = Balancer::over(&[&backend], &[]);
    let made = [balancer.exchange("bad\r\n\r\n"), balancer.get("/"), got(GET, "bad\r\n\r\n")];
    for (answer, cause) in made.iter().zip(causes) {
        let status = answer.field("Proxy-Status");
        assert_eq!(status, Some(format!("loadbalancer; error={cause}").as_str()));
        let date = answer.field("Date").expect("a date");
        let form = "Ddd, 00 Mmm 0000 00:00:00 GMT";
        assert_eq!(date.len(), form.len(), "{date}");
        for (found, expected) in date.chars().zip(form.chars()) {
            let fits = match expected {
                '0' => found.is_ascii_digit(),
                'D' | 'M' => found.is_ascii_uppercase(),
                'd' | 'm' => found.is_ascii_lowercase(),
                other => found == other,
            };
            assert!(fits, "{date}");
        }
        let length = answer.field("Content-Length").expect("a length");
        assert_eq!(length, answer.body.len().to_string());
    }
}

#[test]
fn an_unavailable_answer_has_retry_after_with_every_status() {
    let down = Backend::refusing();
    for status in ["503", "500", "502"] {
        let balancer = Balancer::over(&[&down], &["--all-down-status", status]);
        let answer = balancer.get("/");
        assert_eq!(answer.status().to_string(), status);
        let seconds = answer.field("Retry-After").and_then(|value| value.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{}", answer.head);
    }
}

#[test]
fn local_answers_to_head_have_no_content() {
    let backend = Backend::refusing();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.response_to("HEAD");
        assert_eq!(answer.status(), 503);
        assert!(answer.field("Content-Length").is_some_and(|length| length != "0"));
    }
}

#[test]
fn refusals_of_head_have_no_content() {
    let directory = TempDir::new();
    let page = directory.file("page", "a custom page");
    let backend = Backend::named("a");
    let options = ["--error-page", &format!("400={page}"), "--head-timeout", "50ms"];
    let balancer = Balancer::over(&[&backend], &options);
    let long = "a".repeat(16 * 1024);
    for (name, request, status) in [
        ("no Host", "HEAD / HTTP/1.1\r\n\r\n", 400),
        ("an unknown expectation", "HEAD / HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n", 417),
        ("a long target", &format!("HEAD /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 414),
        ("a long head", &format!("HEAD / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"), 431),
        ("empty lines in front", "\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", 400),
        ("an unfinished head", "HEAD / HTTP/1.1\r\nHost: x\r\n", 408),
        ("after another", "GET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", 400),
    ] {
        let mut client = balancer.connect();
        client.send(request);
        if name == "after another" {
            assert_eq!(client.response().text(), "a", "{name}");
        }
        let answer = client.response_to("HEAD");
        assert_eq!(answer.status(), status, "{name}: {}", answer.head);
        assert!(answer.field("Content-Length").is_some_and(|length| length != "0"), "{name}");
        client.half_close();
        let rest = client.rest();
        assert!(rest.is_empty(), "{name}: {:?}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn refusals_of_other_methods_have_content() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    for method in ["GET", "HEADS", "head"] {
        let answer = balancer.exchange(format!("{method} / HTTP/1.1\r\n\r\n"));
        assert_eq!(answer.status(), 400, "{method}");
        assert!(answer.text().contains("no Host field"), "{method}: {}", answer.text());
    }
}
