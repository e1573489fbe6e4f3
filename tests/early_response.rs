//! Responses that are complete before their requests: the rest of an upload goes to a server that
//! reads on, and the connection goes on with the next request.

mod common;

use common::{Backend, Balancer, Gate, ok, reply};

/// More than any buffer or pipe on the way holds.
const UPLOAD_BYTES: usize = 4 * 1024 * 1024;

/// What is collected of a request before a server gets it.
const COLLECTED_BYTES: usize = 32 * 1024;

/// A request with content, in two parts: what is collected of it, and the rest.
fn upload() -> (Vec<u8>, Vec<u8>) {
    let mut whole = head("").into_bytes();
    whole.extend(vec![b'u'; UPLOAD_BYTES]);
    let rest = whole.split_off(COLLECTED_BYTES);
    (whole, rest)
}

fn head(lines: &str) -> String {
    format!("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: {UPLOAD_BYTES}\r\n{lines}\r\n")
}

#[test]
fn the_rest_of_an_upload_goes_to_a_server_that_has_answered_and_reads_on() {
    let gate = Gate::new();
    let passed = gate.clone();
    let backend = Backend::raw(move |peer| {
        let Some(_) = peer.head() else { return };
        peer.send(reply("413 Content Too Large", "", "too large"));
        assert_eq!(peer.exactly(UPLOAD_BYTES).len(), UPLOAD_BYTES);
        passed.open();
        let Some(_) = peer.head() else { return };
        peer.send(ok("next"));
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    let (begin, rest) = upload();
    client.send(begin);
    let refused = client.response();
    assert_eq!((refused.status(), refused.text().as_str()), (413, "too large"));
    assert!(!refused.closes(), "the connection goes on: {}", refused.head);
    client.send(rest);
    gate.pass();
    assert_eq!(client.get("/next").text(), "next");
    assert_eq!(backend.connections(), 1, "the server's connection is used again");
}

#[test]
fn a_server_that_closes_after_its_response_ends_the_upload_and_not_the_response() {
    let backend = Backend::raw(|peer| {
        let Some(_) = peer.head() else { return };
        peer.send(reply("413 Content Too Large", "", "too large"));
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    let (begin, rest) = upload();
    client.send(begin);
    assert_eq!(client.response().status(), 413);
    let _ = client.try_send(rest);
    client.half_close();
    client.expect_end();
    // It answered: that is no failure of the server.
    assert_eq!(balancer.get("/").status(), 413);
}

#[test]
fn a_response_instead_of_the_leave_to_send_announces_the_close() {
    let backend = Backend::raw(|peer| {
        while peer.head().is_some() {
            peer.send(reply("401 Unauthorized", "", "who?"));
        }
    });
    let balancer = Balancer::over(&[&backend], &["--stream-requests"]);
    let mut client = balancer.connect();
    client.send(head("Expect: 100-continue\r\n"));
    let refused = client.response();
    assert_eq!(refused.status(), 401);
    assert!(refused.closes(), "its content may be given up: {}", refused.head);
    client.half_close();
    client.expect_end();
}
