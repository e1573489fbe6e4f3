//! Persistence of connections on both sides, and retries.

mod common;

use common::{Backend, Balancer, Gate, Message, Peer, ok, reply, timed, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Answers with the target, so that each response is recognised.
fn echo() -> Backend {
    Backend::start(|request| ok(request.target()))
}

#[test]
fn one_client_connection_carries_many_requests() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for number in 0..50 {
        let target = format!("/{number}");
        let answer = client.get(&target);
        assert_eq!(answer.text(), target);
        assert!(!answer.closes(), "{}", answer.head);
    }
}

#[test]
fn one_server_connection_carries_many_requests() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..50 {
        client.get("/");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn server_connections_are_shared_among_clients() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    for _ in 0..10 {
        assert_eq!(balancer.connect().get("/").status(), 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn requests_of_one_connection_are_balanced_one_by_one() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&first, &second], &[]);
    let mut client = balancer.connect();
    let answers: Vec<String> = (0..6).map(|_| client.get("/").text()).collect();
    assert_eq!(answers, ["a", "b", "a", "b", "a", "b"]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    let all: String = (0..100).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    client.send(all);
    for number in 0..100 {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
}

#[test]
fn pipelined_bodies_are_separated_from_the_next_requests() {
    let backend =
        Backend::start(|request| ok([request.target().as_bytes(), &request.body].concat()));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(
        "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /\
         POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    for expected in ["/1GET /", "/2GET", "/3"] {
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn a_pipelined_request_is_served_though_the_one_before_it_failed() {
    let backend = Backend::refusing();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2));
    assert_eq!(client.response().status(), 503);
    assert_eq!(client.response().status(), 503);
}

#[test]
fn a_client_that_sends_close_gets_a_close() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    for (name, request) in [
        ("1.1", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        ("1.1 in capitals", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n"),
        ("1.0", "GET / HTTP/1.0\r\nHost: x\r\n\r\n"),
        (
            "1.0 with both",
            "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        ),
    ] {
        let mut client = balancer.connect();
        client.send(request);
        let answer = client.response();
        assert_eq!(answer.text(), "/", "{name}");
        assert!(answer.closes(), "{name}: {}", answer.head);
        client.expect_end();
    }
    // A close by the client is no reason to close the connection to the server.
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_http_1_0_client_that_asks_for_keep_alive_gets_it() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.field("Connection"), Some("keep-alive"));
        assert_eq!(answer.text(), "/");
    }
}

#[test]
fn requests_after_a_close_are_not_served() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
         GET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(client.response().text(), "/1");
    client.half_close();
    client.expect_end();
    assert_eq!(backend.targets(), ["/1"]);
}

#[test]
fn a_server_that_sends_close_gets_a_new_connection_and_the_client_keeps_its_own() {
    let backend = Backend::start(|_| reply("200 OK", "Connection: close\r\n", "x"));
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!(answer.text(), "x");
        assert!(!answer.closes(), "{}", answer.head);
    }
    assert_eq!(backend.connections(), 3);
}

/// A server that serves one request per connection and closes the connection, without an answer,
/// when the next one arrives. Counts the requests on all connections.
fn forgetful(count: Arc<AtomicUsize>) -> Backend {
    Backend::raw(move |peer: &mut Peer| {
        if peer.request().is_some() {
            count.fetch_add(1, SeqCst);
            peer.send(ok("first"));
            if peer.request().is_some() {
                count.fetch_add(1, SeqCst);
            }
        }
    })
}

#[test]
fn a_get_on_a_pooled_connection_that_closes_is_repeated() {
    let count = Arc::new(AtomicUsize::new(0));
    let backend = forgetful(count.clone());
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status(), answer.text().as_str()), (200, "first"));
    }
    // The second and the third were sent twice: on the old connection and on a new one.
    assert_eq!(count.load(SeqCst), 5);
    assert_eq!(backend.connections(), 3);
}

#[test]
fn a_pooled_connection_that_closes_is_no_failure_of_the_server() {
    let count = Arc::new(AtomicUsize::new(0));
    let backend = forgetful(count.clone());
    let balancer = Balancer::over(&[&backend], &["-v"]);
    let mut client = balancer.connect();
    for _ in 0..10 {
        assert_eq!(client.get("/").status(), 200);
    }
    balancer.stderr.wait_for_count("\"GET / HTTP/1.1\" 200", 10);
    assert_eq!(balancer.stderr.with(" down"), Vec::<String>::new());
}

#[test]
fn a_pooled_connection_closed_while_idle_is_not_used() {
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send(ok("x"));
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "x");
        wait_until("the server to close", || backend.open_connections() == 0);
    }
    assert_eq!(backend.connections(), 5);
}

#[test]
fn a_post_is_never_sent_twice() {
    let count = Arc::new(AtomicUsize::new(0));
    let copy = count.clone();
    let backend = Backend::raw(move |peer| {
        // Reads the request and closes without an answer: it may have acted on it.
        if peer.request().is_some() {
            copy.fetch_add(1, SeqCst);
        }
    });
    let balancer = Balancer::over(&[&backend], &["--retries", "9"]);
    for sent in 1..=3 {
        let answer = balancer.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(answer.status(), 502);
        assert_eq!(count.load(SeqCst), sent);
    }
}

#[test]
fn a_post_is_served_though_pooled_connections_are_stale() {
    let count = Arc::new(AtomicUsize::new(0));
    let backend = forgetful(count.clone());
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").status(), 200);
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(client.response().text(), "first");
    }
}

#[test]
fn a_get_that_one_server_drops_is_answered_by_another() {
    let dropping = Backend::raw(|peer| drop(peer.request()));
    let good = Backend::named("good");
    let balancer = Balancer::over(&[&dropping, &good], &["-s", "first"]);
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "good");
    }
}

#[test]
fn retries_end_at_their_number() {
    let count = Arc::new(AtomicUsize::new(0));
    let copy = count.clone();
    let dropping = Backend::raw(move |peer| {
        if peer.request().is_some() {
            copy.fetch_add(1, SeqCst);
        }
    });
    let balancer = Balancer::over(&[&dropping], &["--retries", "1"]);
    assert_eq!(balancer.get("/").status(), 502);
    assert_eq!(count.load(SeqCst), 2);
}

#[test]
fn a_half_closed_client_is_served() {
    let gate = Gate::new();
    let backend = Backend::gated(&gate, "late");
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.half_close();
    backend.wait_for_requests(1);
    gate.open();
    assert_eq!(client.response().text(), "late");
    client.expect_end();
}

#[test]
fn pipelined_requests_of_a_half_closed_client_are_all_served() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.half_close();
    assert_eq!(client.response().text(), "/1");
    assert_eq!(client.response().text(), "/2");
    client.expect_end();
}

#[test]
fn a_client_that_resets_releases_its_server() {
    let (asked, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let copies = (asked.clone(), ended.clone());
    let backend = Backend::raw(move |peer| {
        if peer.request().is_some() {
            copies.0.fetch_add(1, SeqCst);
            let _ = peer.try_rest();
            copies.1.fetch_add(1, SeqCst);
        }
    });
    let balancer = Balancer::over(&[&backend], &["-N", "1"]);
    for round in 1..=3 {
        let mut client = balancer.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        wait_until("the request at the server", || asked.load(SeqCst) >= round);
        client.reset();
        // With -N 1 the next round also shows that the slot was given back.
        wait_until("the server to be released", || ended.load(SeqCst) >= round);
    }
}

#[test]
fn a_client_that_closes_during_its_response_releases_its_server() {
    let ended = Arc::new(AtomicUsize::new(0));
    let copy = ended.clone();
    let backend = Backend::raw(move |peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
            while peer.try_send([b'x'; 10_000]).is_ok() {}
            copy.fetch_add(1, SeqCst);
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.exactly(100_000);
    drop(client);
    wait_until("the server to be released", || ended.load(SeqCst) == 1);
}

#[test]
fn a_truncated_upload_is_not_taken_for_a_complete_one() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    for (name, head) in [
        ("length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"),
        (
            "chunked",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ),
    ] {
        let mut client = balancer.connect();
        client.send(head);
        client.half_close();
        let answer = client.try_response("POST");
        assert!(
            !matches!(&answer, Ok(Some(answer)) if answer.status() < 400),
            "{name}: {answer:?}"
        );
    }
    wait_until("the server to be released", || backend.open_connections() == 0);
    assert!(backend.requests().is_empty());
}

#[test]
fn an_idle_client_is_closed_after_its_time() {
    timed(|| {
        let backend = echo();
        let balancer = Balancer::over(&[&backend], &["--keep-alive-timeout", "50ms"]);
        let mut client = balancer.connect();
        assert_eq!(client.get("/").status(), 200);
        client.expect_end();
    });
}

/// Sends more requests at once than the connection allows; returns the responses.
fn asked_at_once(balancer: &Balancer, version: &str, count: usize) -> Vec<Message> {
    let mut client = balancer.connect();
    let lines = format!("GET / {version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
    client.send(lines.repeat(count));
    let answers = (0..).map_while(|_| client.try_response("GET").expect("whole answers")).collect();
    client.half_close();
    client.expect_end();
    answers
}

#[test]
fn a_client_connection_ends_after_as_many_requests_as_allowed() {
    let backend = echo();
    let down = Backend::refusing();
    for (kind, backend, options, status) in [
        ("forwarded", &backend, &[][..], 200),
        ("answered here", &down, &[], 503),
        ("redirected", &backend, &["-m", "redirect"], 301),
    ] {
        for most in [1, 2, 5] {
            let number = most.to_string();
            let limit = ["--keep-alive-requests", &number];
            let balancer = Balancer::over(&[backend], &[options, &limit].concat());
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                let answers = asked_at_once(&balancer, version, most + 2);
                assert_eq!(answers.len(), most, "{kind}, {version}");
                for (at, answer) in answers.iter().enumerate() {
                    assert_eq!(answer.status(), status, "{kind}, {version}, {at}");
                    assert_eq!(
                        answer.closes(),
                        at + 1 == most,
                        "{kind}, {version}, {at} of {most}"
                    );
                }
            }
        }
    }
    // No request after the last response reached a server, and no earlier one is missing.
    assert_eq!(backend.requests().len(), 2 * (1 + 2 + 5));
}

#[test]
fn by_default_a_client_connection_has_no_request_limit() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    for number in 0..2_000 {
        assert!(!client.get("/").closes(), "request {number}");
    }
}

#[test]
fn an_idle_server_connection_is_closed_after_its_time() {
    let backend = echo();
    let balancer = Balancer::over(&[&backend], &["--pool-timeout", "50ms"]);
    assert_eq!(balancer.get("/").status(), 200);
    wait_until("the pooled connection to close", || backend.open_connections() == 0);
}

#[test]
fn unsolicited_bytes_are_no_answer_to_the_next_client() {
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send([ok("asked"), ok("unasked")].concat());
            let _ = peer.try_rest();
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    for _ in 0..5 {
        assert_eq!(balancer.get("/").text(), "asked");
    }
}

#[test]
fn a_put_that_one_server_drops_reaches_another_complete() {
    for (name, head, body) in [
        ("length", "Content-Length: 500", "x".repeat(500)),
        (
            "chunked",
            "Trailer: T\r\nTransfer-Encoding: chunked",
            "3\r\nabc\r\n0\r\nT: u\r\n\r\n".to_owned(),
        ),
    ] {
        let dropping = Backend::raw(|peer| drop(peer.request()));
        let good = Backend::named("good");
        let balancer = Balancer::over(&[&dropping, &good], &["-s", "first"]);
        let request = format!("PUT / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}");
        assert_eq!(balancer.exchange(request).text(), "good", "{name}");
        let got = good.requests().remove(0);
        assert_eq!(String::from_utf8_lossy(&got.coded), body, "{name}");
    }
}

#[test]
fn a_put_too_large_to_be_held_is_not_repeated() {
    let dropping = Backend::raw(|peer| {
        let _ = peer.head();
        let _ = peer.exactly(1_000_000);
    });
    let good = Backend::named("good");
    let balancer = Balancer::over(&[&dropping, &good], &["-s", "first"]);
    let mut client = balancer.connect();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    client.send(vec![b'x'; 1_000_000]);
    assert_eq!(client.response().status(), 502);
    assert!(good.requests().is_empty());
}

#[test]
fn a_get_whose_answer_has_begun_is_not_repeated() {
    let breaking = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200");
        }
    });
    let good = Backend::named("good");
    let balancer = Balancer::over(&[&breaking, &good], &["-s", "first"]);
    assert_eq!(balancer.get("/").status(), 502);
    assert!(good.requests().is_empty());
}

#[test]
fn a_get_after_an_interim_response_is_not_repeated() {
    let breaking = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 102 Processing\r\n\r\n");
        }
    });
    let good = Backend::named("good");
    let balancer = Balancer::over(&[&breaking, &good], &["-s", "first"]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().status(), 102);
    assert_eq!(client.response().status(), 502);
    assert!(good.requests().is_empty());
}

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";

#[test]
fn posts_share_connections_with_a_server_that_keeps_them() {
    timed(|| {
        let chunked = "PATCH / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nab\r\n0\r\n\r\n";
        let large = format!(
            "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{}",
            "x".repeat(1_000_000)
        );
        for (name, request) in [("POST", POST), ("chunked", chunked), ("too large to hold", &large)]
        {
            let backend = echo();
            let balancer = Balancer::over(&[&backend], &[]);
            let mut client = balancer.connect();
            for _ in 0..100 {
                client.send(request);
                assert_eq!(client.response().status(), 200, "{name}");
            }
            let connections = backend.connections();
            assert!(connections <= 5, "{name}: {connections} connections for 100 requests");
        }
    });
}

#[test]
fn a_post_is_not_sent_on_a_connection_that_was_idle_too_long_for_its_server() {
    timed(|| {
        // Closes what is idle for 400 ms.
        let backend = Backend::raw(|peer| {
            peer.set_patience(Duration::from_millis(400));
            while peer.request().is_some() && peer.try_send(ok("x")).is_ok() {}
        });
        let balancer = Balancer::over(&[&backend], &["-v"]);
        let mut client = balancer.connect();
        for pause in [0, 0, 0, 500, 0, 0, 250, 0, 350, 390, 0, 300, 410, 0, 380, 399, 401, 220] {
            std::thread::sleep(Duration::from_millis(pause));
            client.send(POST);
            assert_eq!(client.response().status(), 200, "after {pause} ms");
        }
        balancer.stderr.wait_for("closed a connection that was idle for 0.");
    });
}

#[test]
fn after_a_close_that_was_not_announced_posts_connect() {
    timed(|| {
        // Closes with every tenth response, and says nothing.
        let backend = Backend::raw(|peer| {
            for _ in 0..10 {
                if peer.request().is_none() || peer.try_send(ok("x")).is_err() {
                    return;
                }
            }
        });
        let balancer = Balancer::over(&[&backend], &["-v"]);
        let mut client = balancer.connect();
        let mut lost = 0;
        for _ in 0..200 {
            client.send(POST);
            let answer = client.response();
            lost += usize::from(answer.status() == 502);
            if answer.closes() {
                client = balancer.connect();
            }
        }
        assert!(lost <= 1, "{lost} were lost");
        let connections = backend.connections();
        assert!(connections > 180, "{connections} connections for 200 requests");
        balancer.stderr.wait_for("closed a connection after 10 responses");
    });
}

#[test]
fn what_a_server_says_of_its_keep_alive_time_limits_the_use_for_posts() {
    timed(|| {
        let backend = Backend::start(|request| {
            let lines = "Connection: keep-alive\r\nKeep-Alive: timeout=0\r\n";
            match request.target() {
                "/says" => reply("200 OK", lines, "x"),
                _ => ok("x"),
            }
        });
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        for (target, more) in [("/", 0..=4), ("/says", 19..=20)] {
            let before = backend.connections();
            for _ in 0..20 {
                client.send(POST.replace(" / ", &format!(" {target} ")));
                assert_eq!(client.response().status(), 200);
            }
            let connects = backend.connections() - before;
            assert!(more.contains(&connects), "{target}: {connects} connections for 20 requests");
        }
    });
}
