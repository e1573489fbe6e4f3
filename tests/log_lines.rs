//! Reasons and byte counts in the log lines.

mod common;

use common::{Backend, Balancer, Message};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A balancer with both request logs: `-v`, and JSON on standard output.
fn logging(backend: &Backend, options: &[&str]) -> Balancer {
    Balancer::over(&[backend], &[&["-v", "-l", "-", "--log-format", "json"], options].concat())
}

/// Fails unless the line of each log contains this.
fn assert_logged(balancer: &Balancer, verbose: &str, json: &str) {
    let line = balancer.stderr.wait_for(" bytes ");
    assert!(line.contains(verbose), "{verbose:?} in {line}");
    let line = balancer.stdout.wait_for("\"bytes\":");
    assert!(line.contains(json), "{json:?} in {line}");
}

#[test]
fn a_refused_request_is_logged_with_the_reason_on_its_page() {
    let backend = Backend::named("a");
    for (request, reason) in [
        ("bad\r\n\r\n", "the request line is malformed"),
        ("GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", "a field name is malformed"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "the only supported transfer coding is chunked",
        ),
        (
            &format!("{CHUNKED}0\r\n{}\r\n", "X: y\r\n".repeat(100)),
            "the request has too many trailer fields",
        ),
        (
            &format!("{CHUNKED}0\r\nX: {}\r\n\r\n", "y".repeat(4_100)),
            "the request's trailer section is too large",
        ),
        (
            &format!("{CHUNKED}1;{}\r\na\r\n0\r\n\r\n", "y".repeat(4_100)),
            "a chunk-size line of the request is too long",
        ),
    ] {
        let balancer = logging(&backend, &[]);
        let answer = balancer.exchange(request);
        assert!(answer.text().contains(reason), "{reason:?} in {}", answer.text());
        let json = format!("\"end\":\"http_request_error\",\"reason\":\"{reason}\"}}");
        assert_logged(&balancer, &format!(" ms, http_request_error: {reason}; "), &json);
    }
}

#[test]
fn a_rejected_response_is_logged_with_the_reason() {
    let chunked = |rest: &str| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n{rest}")
    };
    let long = "x".repeat(4_100);
    for (answer, end, reason) in [
        (
            "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
            "http_protocol_error",
            "the status line is malformed",
        ),
        (chunked("xyz\r\n"), "server_malformed", "the server's chunked framing is malformed"),
        (
            chunked(&format!("1;{long}\r\n")),
            "server_malformed",
            "a chunk-size line of the server is too long",
        ),
        (
            chunked(&format!("0\r\nX: {long}\r\n\r\n")),
            "server_malformed",
            "the server's trailer section is too large",
        ),
        (
            chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(300))),
            "server_malformed",
            "the server sent too many trailer fields",
        ),
    ] {
        let backend = Backend::raw(move |peer| {
            if peer.request().is_some() {
                peer.send(&answer);
            }
        });
        let balancer = logging(&backend, &[]);
        let mut client = balancer.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        while client.some().is_some() {}
        let json = format!("\"end\":\"{end}\",\"reason\":\"{reason}\"}}");
        assert_logged(&balancer, &format!(", {end}: {reason}; "), &json);
    }
}

/// Fails unless the logs count the body of this response.
fn assert_counted(balancer: &Balancer, answer: &Message) {
    let bytes = answer.body.len();
    let json = format!("\"status\":{},\"bytes\":{bytes},", answer.status());
    assert_logged(balancer, &format!(" {} {bytes} bytes ", answer.status()), &json);
}

#[test]
fn the_bytes_of_a_generated_page_are_counted() {
    let backend = Backend::named("a");
    for (method, target, mode, status) in [
        ("GET", "/", "redirect", 301),
        ("HEAD", "/", "redirect", 301),
        ("CONNECT", "x:1", "http", 501),
    ] {
        let balancer = logging(&backend, &["-m", mode]);
        let mut client = balancer.connect();
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.response_to(method);
        assert_eq!(answer.status(), status, "{method}");
        assert_eq!(answer.body.is_empty(), method == "HEAD", "{method}");
        assert_counted(&balancer, &answer);
    }
}

#[test]
fn the_manual_lists_the_fields_of_the_json_log_in_their_order() {
    let backend = Backend::named("a");
    let balancer = logging(&backend, &[]);
    assert_eq!(balancer.get("/").status(), 200);
    let line = balancer.stdout.wait_for("\"bytes\":");
    // No value of this request has a colon after a quote.
    let keys = line.match_indices("\":").map(|(end, _)| {
        let start = line[..end].rfind('"').expect("an opening quote") + 1;
        &line[start..end]
    });
    let chapter = loadbalancer::manual::topic("logs").expect("a chapter").text;
    let section = chapter.split("\n## json\n").nth(1).expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let entries = section.lines().filter_map(|line| line.strip_prefix("- "));
    let listed = entries.flat_map(|entry| {
        let names = entry.split(": ").next().unwrap_or_default();
        names.split(", ").map(|name| name.trim_matches('`'))
    });
    assert_eq!(keys.collect::<Vec<_>>(), listed.collect::<Vec<_>>(), "logs.md");
}
