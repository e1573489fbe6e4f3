//! The order of requests and responses: which side waits, what ends a connection, what is retried.

use crate::common::{Backend, Balancer, Gate, Message, ok, reply, wait_until};

const EXPECT: &str =
    "PUT /expect HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

/// A server that reads a head, sends `first`, then reads the body and answers with it.
fn says_first(first: &'static str) -> Backend {
    Backend::raw(move |peer| {
        while let Some(head) = peer.head() {
            if head.starts_with("GET ") {
                peer.send(ok("next"));
                continue;
            }
            peer.send(first);
            let body = peer.exactly(4);
            peer.send(ok(body));
        }
    })
}

#[test]
fn a_client_that_does_not_wait_for_100_is_served_too() {
    for first in ["HTTP/1.1 100 Continue\r\n\r\n", ""] {
        let backend = says_first(first);
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        client.send(format!("{EXPECT}bodyGET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        if !first.is_empty() {
            assert_eq!(client.response().status(), 100);
        }
        assert_eq!(client.response().text(), "body");
        assert_eq!(client.response().text(), "next");
    }
}

#[test]
fn a_client_that_gives_up_waiting_for_100_sends_its_content() {
    let backend = says_first("");
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send(EXPECT);
    // The head was forwarded without its content.
    wait_until("the head at the server", || backend.connections() == 1);
    client.send("body");
    assert_eq!(client.response().text(), "body");
}

#[test]
fn every_interim_response_is_forwarded() {
    let first = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n";
    let backend = says_first(first);
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    for head in [EXPECT.to_owned(), EXPECT.replace("Expect: 100-continue\r\n", "")] {
        client.send(head);
        let interim: Vec<u16> = (0..4).map(|_| client.response().status()).collect();
        assert_eq!(interim, [102, 100, 100, 199]);
        client.send("body");
        assert_eq!(client.response().text(), "body");
    }
}

#[test]
fn a_final_response_instead_of_100_ends_the_connection() {
    let backend = Backend::raw(|peer| {
        if peer.head().is_some() {
            peer.send(reply("403 Forbidden", "", "no"));
            assert!(peer.rest().is_empty(), "content after a refusal");
        }
    });
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send(EXPECT);
    let answer = client.response();
    assert_eq!((answer.status(), answer.text().as_str()), (403, "no"));
    // This content could be read as a request.
    let _ = client.try_send("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    client.half_close();
    client.expect_end();
    wait_until("the server to be let go", || backend.open_connections() == 0);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_expectation_is_retried_with_its_request() {
    let dropping = Backend::raw(|peer| drop(peer.head()));
    let good = says_first("HTTP/1.1 100 Continue\r\n\r\n");
    let balancer = Balancer::over(&[&dropping, &good], &["-s", "first", "--stream-requests"]);
    let mut client = balancer.connect();
    client.send(EXPECT);
    assert_eq!(client.response().status(), 100);
    client.send("body");
    assert_eq!(client.response().text(), "body");
}

#[test]
fn a_request_with_an_expectation_is_refused_at_once() {
    let backend = Backend::refusing();
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send(EXPECT);
    let answer = client.response();
    assert_eq!(answer.status(), 503);
    assert!(answer.closes(), "the content may still come: {}", answer.head);
}

#[test]
fn a_local_answer_to_a_request_with_a_body_ends_the_connection() {
    let backend = Backend::refusing();
    let balancer = Balancer::over(&[&backend], &[]);
    for body in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let mut client = balancer.connect();
        client
            .send(format!("POST / HTTP/1.1\r\nHost: x\r\n{body}GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.response();
        assert_eq!(answer.status(), 503);
        assert!(answer.closes(), "{}", answer.head);
        client.half_close();
        client.expect_end();
    }
}

#[test]
fn an_early_response_to_an_incomplete_request_ends_the_connection() {
    let gate = Gate::new();
    let passed = gate.clone();
    let backend = Backend::raw(move |peer| {
        if peer.head().is_some() {
            peer.send(ok("early"));
            passed.pass();
        }
    });
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n");
    assert_eq!(client.response().text(), "early");
    client.send("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    gate.open();
    client.half_close();
    client.expect_end();
    assert_eq!(backend.connections(), 1);
}

#[test]
fn requests_pipelined_after_a_refused_one_are_not_served() {
    let backend = Backend::start(|request| ok(request.target()));
    let balancer = Balancer::over(&[&backend], &[]);
    for (name, bad) in [
        ("head", "GET /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n"),
        ("body", "POST /bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
        ("target", "GET bad HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("expectation", "GET /bad HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n"),
        ("version", "GET /bad HTTP/2.0\r\nHost: x\r\n\r\n"),
    ] {
        let mut client = balancer.connect();
        let good = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.send([good("/1"), good("/2"), bad.to_owned(), good("/3")].concat());
        assert_eq!(client.response().text(), "/1", "{name}");
        assert_eq!(client.response().text(), "/2", "{name}");
        let answer = client.response();
        assert!(answer.status() >= 400 && answer.closes(), "{name}: {}", answer.head);
        client.half_close();
        client.expect_end();
    }
    assert!(backend.targets().iter().all(|target| target != "/3" && target != "/bad"));
}

#[test]
fn concurrent_responses_reach_the_right_clients() {
    let gate = Gate::new();
    let passed = gate.clone();
    let backend = Backend::start(move |request| {
        if request.target() == "/slow" {
            passed.pass();
        }
        ok(request.target())
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut slow = balancer.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /after HTTP/1.1\r\nHost: x\r\n\r\n");
    backend.wait_for_requests(1);
    assert_eq!(balancer.get("/quick").text(), "/quick");
    gate.open();
    let texts: Vec<String> = (0..2).map(|_| slow.response().text()).collect();
    assert_eq!(texts, ["/slow", "/after"]);
}

#[test]
fn an_incomplete_response_closes_both_connections() {
    for (name, answer) in [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        ("chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf"),
        ("size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n"),
        ("trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: "),
        ("bad trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n"),
    ] {
        let backend = Backend::raw(move |peer| {
            if peer.request().is_some() {
                peer.send(answer);
            }
        });
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n");
        let outcome = client.try_response("GET");
        assert!(outcome.is_err(), "{name}: {outcome:?}");
        assert_eq!(backend.connections(), 1, "{name}: the next request was served");
    }
}

#[test]
fn close_is_honoured_whatever_else_connection_lists() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    for lines in [
        "Connection: close",
        "Connection: x-a, CLOSE",
        "Connection: keep-alive, close",
        "Connection: close\r\nConnection: keep-alive",
        "Connection: ,close,",
    ] {
        let mut client = balancer.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n"));
        let answer: Message = client.response();
        assert!(answer.closes(), "{lines}: {}", answer.head);
        client.expect_end();
    }
}
