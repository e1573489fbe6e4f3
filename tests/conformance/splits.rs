//! Segmentation changes nothing: every split of many messages, in both directions.

use crate::common::{Backend, Balancer, Gate, ok};

const REQUESTS: [&str; 7] = [
    "GET /s?q HTTP/1.1\r\nHost: x\r\nEmpty:\r\nA: b \r\n\r\n",
    "\r\n\r\nOPTIONS http://x:8?q HTTP/1.1\r\nHost: y\r\nMax-Forwards: 3\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /",
    "POST /s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
     3 ;e=\"f\"\r\nabc\r\n00\r\nT: u\r\nHost: h\r\nETag: v\r\n\r\n",
    "POST /s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: t\r\n\r\n\
     1\r\na\r\n1\r\nb\r\n0;x\r\nT: u\r\n\r\n",
    "PUT /s HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
    "HEAD /s HTTP/1.1\r\nHost: x\r\nConnection: x-gone\r\nX-Gone: 1\r\n\r\n",
];

#[test]
fn every_split_of_a_request_gives_the_same_request() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    for whole in REQUESTS {
        let method = whole.trim_start().split(' ').next().unwrap_or_default();
        let mut client = balancer.connect();
        let mut seen = Vec::new();
        for at in 1..=whole.len() {
            let (first, second) = whole.split_at(at);
            client.send(first);
            // Another connection's exchange in between: the first part has been read by then.
            assert_eq!(balancer.get("/between").status(), 200);
            client.send(second);
            assert_eq!(client.response_to(method).status(), 200, "split at {at} of {whole:?}");
            let requests = backend.requests();
            let ours = requests.into_iter().rfind(|request| request.target() != "/between");
            let ours = ours.expect("a request that was answered");
            seen.push((ours.head, ours.coded));
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{whole:?}: {seen:?}");
    }
}

const REFUSED: [(&str, u16); 12] = [
    ("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    ("GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: a, chunked\r\n\r\n", 501),
    ("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n", 400),
    ("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\nC: d\r\n\r\n", 400),
    ("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\n", 400),
];

#[test]
fn every_split_of_a_refused_request_gives_the_same_answer() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    for (whole, status) in REFUSED {
        for at in 1..=whole.len() {
            let (first, second) = whole.split_at(at);
            let mut client = balancer.connect();
            client.send(first);
            assert_eq!(balancer.get("/between").status(), 200);
            // The first part alone may have been enough.
            let _ = client.try_send(second);
            let answer = client.response();
            assert_eq!(answer.status(), status, "split at {at} of {whole:?}");
            assert!(answer.closes(), "split at {at} of {whole:?}: {}", answer.head);
        }
    }
    assert!(backend.targets().iter().all(|target| target == "/between"));
}

const RESPONSES: [&str; 6] = [
    "HTTP/1.1 200 OK\r\nEmpty:\r\nX: y \r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 204\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nL: m\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\
     Transfer-Encoding: chunked\r\n\r\n3 ;e\r\nabc\r\n0\r\nT: u\r\nDate: d\r\nETag: v\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: , Chunked\r\nConnection: t\r\n\r\n\
     1\r\na\r\n1;\r\nb\r\n000\r\nT: u\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
];

#[test]
fn every_split_of_a_response_gives_the_same_response() {
    for whole in RESPONSES {
        let gate = Gate::new();
        let passed = gate.clone();
        let backend = Backend::raw(move |peer| {
            while let Some(request) = peer.request() {
                if request.target() == "/between" {
                    peer.send(ok("between"));
                    continue;
                }
                let at = request.target()[1..].parse().expect("a place");
                let (first, second) = whole.split_at(at);
                peer.send(first);
                passed.pass();
                peer.send(second);
            }
        });
        let balancer = Balancer::over(&[&backend], &[]);
        let mut client = balancer.connect();
        let mut got = Vec::new();
        for at in 1..whole.len() {
            client.send(format!("GET /{at} HTTP/1.1\r\nHost: x\r\n\r\n"));
            // Another exchange in between: the first part has most likely been read by then.
            assert_eq!(balancer.get("/between").text(), "between");
            gate.let_pass(1);
            let mut answer = client.response();
            let mut heads = answer.head.clone();
            while answer.status() < 200 {
                answer = client.response();
                heads += &answer.head;
            }
            // The second may turn in between.
            let lines = heads.split_inclusive("\r\n").filter(|line| !line.starts_with("Date:"));
            got.push((lines.collect::<String>(), answer.body, answer.trailers));
        }
        assert!(got.iter().all(|one| *one == got[0]), "{whole:?}: {got:?}");
    }
}

const BROKEN: [&str; 6] = [
    "\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
];

#[test]
fn every_split_of_a_broken_response_is_answered_502() {
    for whole in BROKEN {
        let gate = Gate::new();
        let passed = gate.clone();
        let backend = Backend::raw(move |peer| {
            let Some(request) = peer.request() else { return };
            let at = request.target()[1..].parse().expect("a place");
            let (first, second) = whole.split_at(at);
            peer.send(first);
            passed.pass();
            let _ = peer.try_send(second);
        });
        let balancer = Balancer::over(&[&backend], &[]);
        for at in 1..=whole.len() {
            let mut client = balancer.connect();
            client.send(format!("GET /{at} HTTP/1.1\r\nHost: x\r\n\r\n"));
            gate.let_pass(1);
            assert_eq!(client.response().status(), 502, "split at {at} of {whole:?}");
        }
    }
}
