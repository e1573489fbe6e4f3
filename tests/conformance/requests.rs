//! Request heads: which are refused, and what of the others reaches a server.

use crate::common::{Backend, Balancer, TempDir, got, ok, refused, seen, wait_until};

#[test]
fn a_bare_lf_before_a_request_is_refused() {
    for (name, start) in [("one", "\n"), ("after a good one", "\r\n\n"), ("a CR alone", "\r")] {
        let request = format!("{start}GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(refused(name, request), 400, "{name}");
    }
}

#[test]
fn a_bare_cr_is_refused_in_every_position() {
    for (name, request) in [
        ("in the method", "G\rET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("in the target", "GET /\r HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("after the version", "GET / HTTP/1.1\r\rHost: x\r\n\r\n"),
        ("in a name", "GET / HTTP/1.1\r\nHost: x\r\nA\rB: c\r\n\r\n"),
        ("before a value", "GET / HTTP/1.1\r\nHost: x\r\nA:\rb\r\n\r\n"),
        ("in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n"),
        ("after a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n"),
        ("in the empty line", "GET / HTTP/1.1\r\nHost: x\r\n\r\r\n"),
    ] {
        assert_eq!(refused(name, request), 400, "{name}");
    }
}

#[test]
fn control_characters_in_fields_are_refused() {
    for byte in (0..=0x1f).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r')) {
        for place in ["A: b#c", "A: #b", "A#: b", "A#b: c"] {
            let line = place.replace('#', &char::from(byte).to_string());
            let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
            assert_eq!(refused(&line, request), 400, "{line:?}");
        }
    }
}

#[test]
fn a_line_end_after_a_body_is_no_request() {
    let backend = Backend::start(|request| ok(request.target()));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(
        "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na\r\n\
         GET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(client.response().text(), "/1");
    assert_eq!(client.response().text(), "/2");
    assert_eq!(backend.requests()[0].text(), "a");
}

#[test]
fn bytes_not_allowed_in_a_uri_are_refused() {
    for target in ["/caf\u{e9}", "/a#b", "/\u{7f}", "/a\tb"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(refused(target, request), 400, "{target}");
    }
}

#[test]
fn a_malformed_host_is_refused_in_every_version() {
    for version in ["1.0", "1.1"] {
        for host in [
            "a b",
            "a/b",
            "u@a",
            "a,b c",
            "a:b",
            "a:-1",
            "a:123456",
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "[:::]",
            "[1.2.3.4]",
            "[g::]",
            "[::1%]",
            "[%lo]",
            "[::1%a b]",
            "a%",
            "a%2",
            "a%zz",
            "a\\b",
            "a\"b",
            "<a>",
            "a?b",
            "a#b",
            "\u{e9}",
            "a\tb",
        ] {
            let request = format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n");
            assert_eq!(refused(host, request), 400, "{host:?} in {version}");
        }
        let twice = format!("GET / HTTP/{version}\r\nHost: a\r\nhost: a\r\n\r\n");
        assert_eq!(refused("twice", twice), 400);
    }
}

#[test]
fn a_wellformed_host_is_forwarded_unchanged() {
    for host in [
        "a",
        "A.b:",
        "1.2.3.4:80",
        "[::1]",
        "[::ffff:1.2.3.4]:8",
        "[fe80::1%25eth0]:8",
        "[fe80::1%eth0]",
        "a%2Db",
        "a_b~c!",
        "",
    ] {
        let request = seen(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[]);
        assert_eq!(request.field("Host"), Some(host));
    }
}

#[test]
fn an_absolute_form_without_a_proper_authority_is_refused() {
    for target in [
        "http://",
        "http:///a",
        "http://:80/",
        "http://u@x/",
        "http://u:p@x/",
        "http://x:y/",
        "http://[::1/",
        "http:x",
        "http:/x",
        "ftp://x/",
        "urn:a:b",
        "x:80",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(refused(target, request), 400, "{target}");
    }
}

#[test]
fn the_absolute_form_needs_a_host_field_in_http_1_1_and_none_in_1_0() {
    assert_eq!(refused("1.1", "GET http://x/ HTTP/1.1\r\n\r\n"), 400);
    let request = seen("GET http://x:1/a HTTP/1.0\r\n\r\n", &[]);
    assert_eq!((request.field("Host"), request.target()), (Some("x:1"), "/a"));
}

#[test]
fn https_is_served_to_trusted_proxies_only() {
    let request = "GET HTTPS://x/a HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(refused("an untrusted client", request), 421);
    let request = seen(request, &["--trust-forwarded"]);
    assert_eq!((request.target(), request.field("Host")), ("/a", Some("x")));
}

#[test]
fn forms_for_other_methods_are_refused() {
    for (name, line) in [
        ("authority", "GET x:443"),
        ("authority with OPTIONS", "OPTIONS x:443"),
        ("asterisk", "GET *"),
        ("asterisk with HEAD", "HEAD *"),
        ("asterisk and more", "OPTIONS *a"),
    ] {
        assert_eq!(refused(name, format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n")), 400, "{name}");
    }
}

#[test]
fn path_and_query_are_forwarded_unchanged() {
    for target in [
        "/",
        "//",
        "//x/y:",
        "/../a/./b",
        "/a%2fb%2F",
        "/%7Ea",
        "/a?b?c",
        "/?",
        "/a;b=c",
        "/a//b/",
        "/a?x=http://y/",
        "/'\"<>\\^`{|}",
    ] {
        let request = seen(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), &[]);
        assert_eq!(request.target(), target);
    }
}

#[test]
fn unknown_fields_are_forwarded_in_order() {
    let request = seen(
        "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n!#$%&'*+-.^_`|~0Az: odd\r\nX-B:2\r\nX-A:3 \r\n\
         x-a: \r\nX-A: 4, 5\r\n\r\n",
        &[],
    );
    assert_eq!(request.fields("x-a"), ["1", "3", "", "4, 5"]);
    assert_eq!(request.field("!#$%&'*+-.^_`|~0Az"), Some("odd"));
    assert_eq!(request.field("X-B"), Some("2"));
}

#[test]
fn credentials_conditions_and_ranges_are_forwarded_unchanged() {
    let lines = "Authorization: Basic  YTpi\r\nProxy-Authorization: Basic Yzpk\r\n\
        If-Match: \"a\", W/\"b\"\r\nIf-None-Match: *\r\n\
        If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\nIf-Unmodified-Since: x\r\n\
        If-Range: \"c\"\r\nRange: bytes=0-1,5-\r\nDate: nonsense\r\nAccept: */*;q=0\r\n";
    let request = seen(format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n"), &[]);
    assert!(request.head.contains(lines), "{}", request.head);
}

#[test]
fn white_space_around_a_value_is_no_part_of_it() {
    let request = seen(
        "POST / HTTP/1.1\r\nHost: \t x \t\r\nContent-Length:\t 3 \t\r\nConnection:\t X-Gone \r\n\
         X-Gone: 1\r\nExpect: \t\r\n\r\nabc",
        &[],
    );
    assert_eq!((request.field("Host"), request.text().as_str()), (Some("x"), "abc"));
    assert_eq!(request.field("X-Gone"), None);
}

#[test]
fn empty_members_of_a_list_do_not_count() {
    let request = seen(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ,, CHUNKED ,\t,\r\n\
         Connection: ,\t, X-Gone,,\r\nX-Gone: 1\r\nExpect: ,100-Continue,\r\n\r\n\
         1\r\na\r\n0\r\n\r\n",
        &[],
    );
    assert_eq!(request.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!((request.field("X-Gone"), request.text().as_str()), (None, "a"));
}

#[test]
fn a_field_named_close_is_hop_by_hop() {
    let request = seen("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nClose: y\r\n\r\n", &[]);
    assert_eq!((request.field("Close"), request.field("Connection")), (None, None));
}

#[test]
fn the_forwarded_request_always_has_one_host() {
    for (name, line, host, expected) in [
        ("as it came", "GET /", "Host: a\r\n", "a"),
        ("in the target", "GET http://b/", "Host: a\r\n", "b"),
        ("listed by Connection", "GET /", "Host: a\r\nConnection: host\r\n", "a"),
    ] {
        let request = seen(format!("{line} HTTP/1.1\r\n{host}\r\n"), &[]);
        assert_eq!(request.field("Host"), Some(expected), "{name}");
    }
}

#[test]
fn upgrade_in_an_http_1_0_request_is_ignored() {
    let request =
        seen("GET / HTTP/1.0\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", &[]);
    assert_eq!((request.field("Upgrade"), request.field("Connection")), (None, None));
}

#[test]
fn upgrade_without_its_connection_option_is_not_forwarded() {
    let request = seen("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", &[]);
    assert_eq!((request.field("Upgrade"), request.field("Connection")), (None, None));
}

#[test]
fn an_expectation_of_an_http_1_0_client_is_ignored() {
    let request = seen(
        "POST / HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
        &[],
    );
    assert_eq!((request.field("Expect"), request.text().as_str()), (None, "a"));
}

#[test]
fn no_expectation_is_forwarded_without_content() {
    for length in ["", "Content-Length: 0\r\n"] {
        let request =
            seen(format!("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{length}\r\n"), &[]);
        assert_eq!(request.field("Expect"), None, "{length}");
    }
}

#[test]
fn every_line_and_member_of_expect_counts() {
    for lines in [
        "Expect: other",
        "Expect: 100-continue, other",
        "Expect: 100-continue\r\nExpect: other",
        "Expect: 100-continue=1",
        "Expect: 100-continue;a",
    ] {
        let request = format!("PUT / HTTP/1.1\r\nHost: x\r\n{lines}\r\nContent-Length: 1\r\n\r\na");
        assert_eq!(refused(lines, request), 417, "{lines}");
    }
}

#[test]
fn max_forwards_counts_down_for_options_and_trace_only() {
    for (method, value, expected) in [
        ("OPTIONS", "1", "0"),
        ("TRACE", "10", "9"),
        ("OPTIONS", "0002", "1"),
        ("TRACE", "99999999999999999999", "4294967294"),
        ("GET", "0", "0"),
        ("POST", "7", "7"),
    ] {
        let head = format!("{method} / HTTP/1.1\r\nHost: x\r\nMax-Forwards: {value}\r\n\r\n");
        assert_eq!(seen(&head, &[]).field("Max-Forwards"), Some(expected), "{method} {value}");
    }
    let request = seen("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", &[]);
    assert_eq!(request.field("Max-Forwards"), None, "none is made up");
}

#[test]
fn at_max_forwards_0_the_balancer_answers_itself() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-N", "1"]);
    let mut client = balancer.connect();
    for (method, status) in [("OPTIONS", 200), ("TRACE", 501), ("OPTIONS", 200)] {
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: x\r\nCookie: secret\r\nMax-Forwards: 0\r\n\
             Connection: Max-Forwards\r\n\r\n"
        ));
        let answer = client.response();
        assert_eq!(answer.status(), status, "{method}");
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
    assert!(backend.requests().is_empty());
    // The one slot is free again.
    assert_eq!(client.get("/").text(), "a");
}

#[test]
fn a_malformed_max_forwards_is_refused() {
    for lines in [
        "Max-Forwards: x",
        "Max-Forwards: -1",
        "Max-Forwards:",
        "Max-Forwards: 1\r\nMax-Forwards: 1",
    ] {
        let request = format!("OPTIONS / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n");
        assert_eq!(refused(lines, request), 400, "{lines}");
    }
}

#[test]
fn a_trace_with_content_is_refused() {
    for body in ["Content-Length: 1\r\n\r\na", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let request = format!("TRACE / HTTP/1.1\r\nHost: x\r\n{body}");
        assert_eq!(refused(body, request), 400, "{body}");
    }
}

#[test]
fn via_has_the_version_of_the_received_message() {
    for (version, expected) in [("1.0", "1.0 loadbalancer"), ("1.1", "1.1 loadbalancer")] {
        let request =
            seen(format!("GET / HTTP/{version}\r\nHost: x\r\nVia: 1.1 a, 1.0 b\r\n\r\n"), &[]);
        assert_eq!(request.fields("Via"), ["1.1 a, 1.0 b", expected]);
    }
}

#[test]
fn a_request_in_a_loop_is_answered_508() {
    let directory = TempDir::new();
    let list = directory.file("servers", "");
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    // Through a second one, as its own address is refused.
    let address = balancer.address().to_string();
    let second = Balancer::start(&["127.0.0.1:0", &address, "--health", "off"]);
    directory.file("servers", format!("{}\n", second.address()));
    balancer.signal("HUP");
    wait_until("an end of the loop", || balancer.get("/").status() == 508);
    let cause = "loadbalancer; error=proxy_loop_detected";
    assert_eq!(balancer.get("/").field("Proxy-Status"), Some(cause));
}

#[test]
fn a_request_may_pass_two_instances_and_not_three() {
    let via = |members: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nVia: {members}\r\n\r\n");
    let request = seen(via("1.1 loadbalancer, 1.1 cache"), &[]);
    assert_eq!(request.fields("Via"), ["1.1 loadbalancer, 1.1 cache", "1.1 loadbalancer"]);
    assert_eq!(refused("a list", via("1.1 loadbalancer, 1.1 cache, 1.0 loadbalancer")), 508);
    assert_eq!(refused("two lines", via("1.1 loadbalancer\r\nVia: 1.1 LoadBalancer (x)")), 508);
}

#[test]
fn no_transfer_coding_is_sent_to_http_1_0_clients() {
    let answer = got(
        "GET / HTTP/1.0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(answer.field("Transfer-Encoding"), None);
    assert_eq!((answer.text().as_str(), answer.field("X-Sum")), ("a", None));
}
