//! Request bodies are collected before a server is taken, as far as they are held anyway, so that a
//! client that sends slowly occupies neither a server nor a slot.

mod common;

use common::{Backend, Balancer, Gate, Peer, ok, reply, timed};

/// Longest wait for the end of a body of unknown length, with what a busy machine takes.
const END_WAIT_MS: std::ops::Range<u128> = 900..5_000;

/// Answers with method, target and body of each request.
fn echo() -> Backend {
    Backend::start(|request| {
        let line = request.start_line().replace(" HTTP/1.1", "");
        ok(format!("{line} {}", request.text()))
    })
}

fn post(length: usize) -> String {
    format!("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

const CHUNKED: &str = "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Sends a part and has it read, as far as that can be seen: a later request is served.
fn send_part(balancer: &Balancer, client: &mut Peer, part: impl AsRef<[u8]>) {
    client.send(part);
    assert_eq!(balancer.get("/seen").status(), 200);
}

#[test]
fn half_bodies_occupy_neither_servers_nor_slots() {
    let (one, two) = (echo(), echo());
    let limits = [one.argument() + " max=1", two.argument() + " max=1"].join("\n");
    let list = std::env::temp_dir().join(format!("half-bodies-{}", std::process::id()));
    std::fs::write(&list, limits).expect("a list of servers");
    let file = list.to_str().expect("a name in UTF-8");
    let arguments = ["127.0.0.1:0", "-f", file, "-N", "2", "--health", "off"];
    let balancer = Balancer::start(&arguments);
    let mut stalled: Vec<Peer> = (0..2).map(|_| balancer.connect()).collect();
    for client in &mut stalled {
        client.send(post(10) + "abc");
    }
    for _ in 0..4 {
        assert_eq!(balancer.get("/free").text(), "GET /free ");
    }
    assert!([&one, &two].iter().all(|it| it.targets().iter().all(|target| target == "/free")));
    for client in &mut stalled {
        client.send("defghij");
        assert_eq!(client.response().text(), "POST /p abcdefghij");
    }
    let _ = std::fs::remove_file(list);
}

#[test]
fn a_body_is_forwarded_whole_however_it_comes() {
    timed(|| {
        let backend = echo();
        let balancer = Balancer::over(&[&backend], &["-N", "1"]);
        for (name, parts, expected) in [
            ("all at once", vec![post(3) + "abc"], "POST /p abc"),
            ("head and body", vec![post(3), "abc".into()], "POST /p abc"),
            ("byte by byte", vec![post(3), "a".into(), "b".into(), "c".into()], "POST /p abc"),
            (
                "chunks",
                vec![CHUNKED.into(), "3\r\nabc\r\n".into(), "0\r\n\r\n".into()],
                "POST /p abc",
            ),
            ("a GET", vec![post(2).replace("POST", "GET"), "ab".into()], "GET /p ab"),
            ("HTTP/1.0", vec![post(2).replace("/1.1", "/1.0"), "ab".into()], "POST /p ab"),
            ("no content", vec![post(0)], "POST /p "),
        ] {
            let mut client = balancer.connect();
            for part in &parts {
                send_part(&balancer, &mut client, part);
            }
            assert_eq!(client.response().text(), expected, "{name}");
        }
    });
}

#[test]
fn requests_behind_a_body_are_served_and_the_connection_goes_on() {
    timed(|| {
        let backend = echo();
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        send_part(&balancer, &mut client, post(3) + "a");
        send_part(
            &balancer,
            &mut client,
            format!("bcGET /next HTTP/1.1\r\nHost: x\r\n\r\n{CHUNKED}1"),
        );
        send_part(&balancer, &mut client, format!("\r\nz\r\n0\r\n\r\n{}", post(1)));
        client.send("y");
        let texts: Vec<String> = (0..4).map(|_| client.response().text()).collect();
        assert_eq!(texts, ["POST /p abc", "GET /next ", "POST /p z", "POST /p y"]);
        assert_eq!(client.get("/kept").text(), "GET /kept ");
    });
}

#[test]
fn a_conversation_of_unknown_length_begins_after_a_second() {
    timed(|| {
        let backend = Backend::raw(|peer| {
            let Some(_) = peer.head() else { return };
            assert_eq!(peer.exactly(8), b"3\r\none\r\n");
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nONE");
            assert_eq!(peer.exactly(8), b"3\r\ntwo\r\n");
            peer.send("TWO");
            assert_eq!(peer.exactly(5), b"0\r\n\r\n");
        });
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        let begun = std::time::Instant::now();
        client.send(format!("{CHUNKED}3\r\none\r\n"));
        client.head().expect("a head while the request goes on");
        let waited = begun.elapsed().as_millis();
        assert!(END_WAIT_MS.contains(&waited), "{waited} ms");
        assert_eq!(client.exactly(3), b"ONE");
        client.send("3\r\ntwo\r\n");
        assert_eq!(client.exactly(3), b"TWO");
        client.send("0\r\n\r\n");
    });
}

#[test]
fn a_larger_body_is_forwarded_once_the_held_part_is_here() {
    let backend = Backend::raw(|peer| {
        let Some(_) = peer.head() else { return };
        peer.exactly(40_000);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
        peer.exactly(60_000);
        peer.send("x");
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(post(100_000));
    client.send([b'u'; 40_000]);
    client.head().expect("a head while the upload goes on");
    client.send([b'u'; 60_000]);
    assert_eq!(client.exactly(1), b"x");
}

#[test]
fn leave_to_send_is_given_once_and_the_server_hears_nothing_of_it() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let expecting = |head: &str| head.replace("Host: x", "Host: x\r\nExpect: 100-continue");
    let large = "u".repeat(100_000);
    for (name, head, body, text) in [
        ("small", post(4), "body", "body"),
        ("large", post(large.len()), large.as_str(), large.as_str()),
        ("chunked", CHUNKED.to_owned(), "4\r\nbody\r\n0\r\n\r\n", "body"),
    ] {
        let mut client = balancer.connect();
        client.send(expecting(&head));
        let leave = client.response();
        assert_eq!(leave.start_line(), "HTTP/1.1 100 Continue", "{name}");
        client.send(body);
        let response = client.response();
        assert_eq!(
            (response.status(), response.text()),
            (200, format!("POST /p {text}")),
            "{name}"
        );
        assert!(!response.closes(), "{name}: {}", response.head);
        assert_eq!(client.get("/kept").status(), 200, "{name}");
    }
    for request in backend.requests() {
        assert_eq!(request.field("Expect"), None, "{}", request.head);
    }
}

#[test]
fn a_client_that_does_not_wait_for_leave_is_given_none() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    for (name, first, rest) in [("the whole body", "body", ""), ("a part of the body", "bo", "dy")]
    {
        let mut client = balancer.connect();
        let head = post(4).replace("Host: x", "Host: x\r\nExpect: 100-continue");
        send_part(&balancer, &mut client, head + first);
        client.send(rest);
        assert_eq!(client.response().text(), "POST /p body", "{name}");
    }
}

#[test]
fn with_stream_requests_a_server_gets_what_has_come() {
    let backend = Backend::raw(|peer| {
        let Some(head) = peer.head() else { return };
        assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
        peer.send(reply("403 Forbidden", "", "no"));
    });
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    for head in [post(4), post(100_000), CHUNKED.to_owned()] {
        let mut client = balancer.connect();
        client.send(head.replace("Host: x", "Host: x\r\nExpect: 100-continue"));
        assert_eq!(client.response().status(), 403, "{head}");
    }
}

#[test]
fn what_is_refused_is_refused_without_its_body_and_without_leave_to_send_it() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    for (name, head, status) in [
        ("an expectation", post(9).replace("Host: x", "Host: x\r\nExpect: tea"), 417),
        ("framing", post(9).replace("Host: x", "Host: x\r\nTransfer-Encoding: chunked"), 400),
        ("a TRACE", post(9).replace("POST", "TRACE"), 400),
        ("https", post(9).replace("/p", "https://x/p"), 421),
        (
            "no forwards",
            post(9).replace("POST", "OPTIONS").replace("Host: x", "Host: x\r\nMax-Forwards: 0"),
            200,
        ),
        ("a coding", CHUNKED.replace("chunked", "gzip, chunked"), 501),
    ] {
        let head = head.replace("Host: x\r\n", "Host: x\r\nExpect: 100-continue\r\n");
        assert_eq!(balancer.exchange(head).status(), status, "{name}");
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn broken_chunks_are_refused_and_reach_no_server() {
    timed(|| {
        let backend = echo();
        let balancer = Balancer::over(&[&backend], &["-v"]);
        for (name, parts) in [
            ("no size", vec!["x\r\n"]),
            ("in the second part", vec!["3\r\nabc\r\n", "zz\r\n"]),
            ("too long a chunk", vec!["1\r\na", "b\r\n0\r\n\r\n"]),
            ("in the trailer section", vec!["1\r\na\r\n0\r\n", "T: u\r\n v\r\n\r\n"]),
        ] {
            let mut client = balancer.connect();
            client.send(CHUNKED);
            for part in parts {
                let _ = client.try_send(part);
            }
            let answer = client.response();
            assert_eq!(answer.status(), 400, "{name}");
            assert!(answer.closes(), "{name}: {}", answer.head);
        }
        assert_eq!(backend.connections(), 0);
        balancer
            .stderr
            .wait_for("http_request_error: the request body's chunked framing is malformed");
    });
}

#[test]
fn a_client_that_ends_inside_its_body_is_logged_and_reaches_no_server() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &["-v"]);
    for (target, half_closes) in [("/closed", true), ("/reset", false)] {
        let mut client = balancer.connect();
        client.send(post(10).replace("/p", target) + "abc");
        if half_closes {
            client.half_close();
            client.expect_end();
        } else {
            client.reset();
        }
        let line = balancer.stderr.wait_for(&format!("\"POST {target} "));
        assert!(line.contains(", client_gone"), "{line}");
        assert_eq!(backend.connections(), 0, "{target}");
    }
}

#[test]
fn a_client_that_ends_its_side_behind_its_body_is_served() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    send_part(&balancer, &mut client, post(3) + "a");
    client.send("bc");
    client.half_close();
    assert_eq!(client.response().text(), "POST /p abc");
}

#[test]
fn an_upgrade_with_content_that_comes_later_is_forwarded_with_it() {
    let backend = Backend::raw(|peer| {
        let Some(head) = peer.head() else { return };
        assert!(head.contains("\r\nUpgrade: tcp\r\n"), "{head}");
        assert_eq!(peer.exactly(2), b"{}");
        peer.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello");
        assert_eq!(peer.exactly(3), b"you");
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(post(2).replace("Host: x", "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp"));
    client.send("{}");
    assert_eq!(client.response().status(), 101);
    assert_eq!(client.exactly(5), b"hello");
    client.send("you");
}

#[test]
fn trailers_of_a_collected_body_are_forwarded() {
    timed(|| {
        let backend = Backend::raw(|peer| {
            let Some(_) = peer.head() else { return };
            let expected = b"1\r\na\r\n0\r\nT: v\r\n\r\n";
            assert_eq!(peer.exactly(expected.len()), expected);
            peer.send(ok("whole"));
        });
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        client.send(CHUNKED.replace("Host: x", "Host: x\r\nTrailer: T"));
        client.send("1;e=f\r\na\r\n0\r\nT: v\r\n");
        client.send("\r\n");
        assert_eq!(client.response().text(), "whole");
    });
}

#[test]
fn half_a_body_behind_another_request_ends_with_its_client() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let balancer = Balancer::over(&[&backend], &["--idle-timeout", "1h"]);
    let mut client = balancer.connect();
    client.send(format!("GET /first HTTP/1.1\r\nHost: x\r\n\r\n{}abc", post(10)));
    client.half_close();
    backend.wait_for_requests(1);
    gate.open();
    assert_eq!(client.response().status(), 200);
    client.expect_end();
}

#[test]
fn a_collected_body_is_repeated_where_that_is_safe() {
    let dropping = Backend::raw(|peer| drop(peer.request()));
    let good = echo();
    let balancer = Balancer::over(&[&dropping, &good], &["-s", "first"]);
    for (method, status) in [("PUT", 200), ("POST", 502)] {
        let mut client = balancer.connect();
        client.send(post(3).replace("POST", method) + "a");
        client.send("bc");
        assert_eq!(client.response().status(), status, "{method}");
    }
    assert_eq!(good.requests().len(), 1);
}

#[test]
fn at_the_end_of_the_program_half_a_body_has_time_for_the_rest() {
    timed(|| {
        let backend = echo();
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        send_part(&balancer, &mut client, post(3) + "a");
        balancer.signal("TERM");
        balancer.stderr.wait_for("stopping: ");
        client.send("bc");
        let response = client.response();
        assert_eq!((response.text().as_str(), response.closes()), ("POST /p abc", true));
        balancer.stderr.wait_for("stopped: all finished");
    });
}
