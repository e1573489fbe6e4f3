//! Servers whose handshakes fail: a reason in words, and requests that go elsewhere.

use crate::common::{Backend, Balancer, BlackHole, Peer, binary, wait_until};
use crate::server::{Identity, Server, listed, trusting};
use std::process::Output;

const EXPIRED: [&str; 2] = ["20200101000000Z", "20210101000000Z"];
const FUTURE: [&str; 2] = ["21000101000000Z", "21200101000000Z"];

/// A server that no client of TLS can use, with its reason.
struct Case {
    server: Option<Server>,
    port: u16,
    expected: &'static str,
    /// It stays open for as long as this is there.
    _plain: Option<Backend>,
}

fn cases(trusted: &Identity) -> Vec<Case> {
    let shows = |identity: &Identity, expected| {
        let server = Server::new(identity, Backend::named("never"));
        let port = server.port();
        Case { server: Some(server), port, expected, _plain: None }
    };
    let plain = |behind: Backend, expected| {
        let port = behind.port();
        Case { server: None, port, expected, _plain: Some(behind) }
    };
    vec![
        shows(&Identity::of(&["localhost"]), "certificate is signed by nobody we trust"),
        shows(trusted, "certificate is for other.example, not for localhost"),
        plain(
            Backend::raw(|peer: &mut Peer| {
                if peer.some().is_some() {
                    peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
                }
            }),
            "speaks no TLS",
        ),
        plain(
            Backend::raw(|peer| {
                peer.some();
            }),
            "closed the connection during the TLS handshake",
        ),
    ]
}

#[test]
fn why_a_handshake_failed_is_said_in_the_log_and_in_the_status() {
    let trusted = Identity::of(&["other.example"]);
    let mut cases = cases(&trusted);
    for (valid, expected) in
        [(EXPIRED, "certificate has expired"), (FUTURE, "certificate is not valid yet")]
    {
        let identity = Identity::valid(&["localhost"], valid);
        let server = Server::new(&identity, Backend::named("never"));
        let port = server.port();
        cases.push(Case { server: Some(server), port, expected, _plain: None });
    }
    for case in &cases {
        let line = format!("https://localhost:{} ca={}", case.port, trusted.file);
        let options = ["--admin", "127.0.0.1:0", "--check-interval", "100ms"];
        let balancer = listed(&trusted.directory, std::slice::from_ref(&line), &options);
        let down = balancer.stderr.wait_for(" down: ");
        let name = format!("backend https://localhost:{}", case.port);
        let said = case.expected;
        assert!(down.contains(&name) && down.contains(said), "{}: {down}", case.expected);
        assert_eq!(balancer.get("/").status(), 503, "{}", case.expected);
        let status = balancer.ask_admin("/status");
        assert!(status.text().contains(said), "{}: {}", case.expected, status.text());
        let metrics = balancer.ask_admin("/metrics");
        let label = metrics.text().lines().any(|line| {
            line.starts_with("loadbalancer_backend_down_reason")
                && line.contains("reason=\"probe_tls\"")
                && line.ends_with(" 1")
        });
        assert!(label, "{}", case.expected);
        let seen = case.server.as_ref().map_or(0, |server| server.behind.connections());
        assert_eq!(seen, 0, "no byte goes to a server that is not verified");
    }
}

#[test]
fn a_certificate_that_is_itself_trusted_still_has_to_be_valid_and_for_the_name() {
    for (names, valid, expected) in [
        (["localhost"], EXPIRED, "certificate has expired"),
        (["localhost"], FUTURE, "certificate is not valid yet"),
        (["b.example"], crate::server::VALID, "certificate is for b.example, not for localhost"),
    ] {
        let identity = Identity::valid(&names, valid);
        let server = Server::new(&identity, Backend::named("never"));
        let line = format!("{} ca={}", server.at("localhost"), identity.file);
        let balancer = listed(&identity.directory, &[line], &["--health", "off"]);
        assert_eq!(balancer.get("/").status(), 503);
        balancer.stderr.wait_for(&format!(" down: {expected}"));
    }
}

#[test]
fn a_request_of_any_method_goes_to_another_server_when_the_handshake_fails() {
    let (trusted, other) = (Identity::of(&["localhost"]), Identity::of(&["localhost"]));
    let good = Server::new(&trusted, Backend::named("good"));
    let bad = Server::new(&other, Backend::named("bad"));
    let arguments = [&*bad.at("localhost"), &*good.at("localhost"), "-s", "first", "-v"];
    let balancer = trusting(&trusted.file, &arguments);
    let body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    let response = balancer.exchange(body);
    assert_eq!((response.status(), &*response.text()), (200, "good"));
    assert_eq!(good.behind.requests()[0].body, b"abc");
    balancer.stderr.wait_for("down: certificate is signed by nobody we trust");
    let line = balancer.stderr.wait_for("\"POST / HTTP/1.1\" 200");
    assert!(line.contains(&good.at("localhost")), "{line}");
    assert_eq!(bad.behind.connections(), 0);
}

#[test]
fn a_handshake_that_stalls_has_the_time_of_a_connect() {
    let trusted = Identity::of(&["localhost"]);
    let stalled = Backend::raw(|peer| while peer.some().is_some() {});
    let good = Server::new(&trusted, Backend::named("good"));
    let stalls = format!("https://localhost:{}", stalled.port());
    let arguments = [&*stalls, &*good.at("localhost"), "-s", "first", "--connect-timeout", "1s"];
    let balancer = trusting(&trusted.file, &arguments);
    let body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(balancer.exchange(body).text(), "good");
    balancer.stderr.wait_for("down: TLS handshake timed out");
    let alone = trusting(&trusted.file, &[&stalls, "--connect-timeout", "300ms"]);
    assert_eq!(alone.get("/").status(), 503);
}

/// The kinds of failed connects that this balancer has counted.
fn connect_failures(balancer: &Balancer) -> Vec<String> {
    let metrics = balancer.ask_admin("/metrics").text();
    let counted = metrics.lines().filter(|line| {
        line.starts_with("loadbalancer_backend_connect_failures_total{") && !line.ends_with(" 0")
    });
    let kind = |line: &str| line.split("kind=\"").nth(1)?.split('"').next().map(str::to_owned);
    counted.filter_map(kind).collect()
}

/// Whichever deadline ends it: the short one of a connect while another server is there, or the
/// whole time-out.
#[test]
fn a_handshake_that_stalls_is_counted_as_one_that_failed() {
    let trusted = Identity::of(&["localhost"]);
    let stalled = Backend::raw(|peer| while peer.some().is_some() {});
    let good = Server::new(&trusted, Backend::named("good"));
    let stalls = format!("https://localhost:{} ca={}", stalled.port(), trusted.file);
    let good = format!("{} ca={} backup", good.at("localhost"), trusted.file);
    let alone = [stalls.clone()];
    let both = [stalls, good];
    let probed = ["--check-interval", "1h", "--health-timeout", "5s"].as_slice();
    for (name, lines, checks, timeout) in [
        ("another server, probes", both.as_slice(), probed, "10s"),
        ("another server, no probes", &both, &["--health", "off"], "1s"),
        ("alone, probes", &alone, probed, "300ms"),
        ("alone, no probes", &alone, &["--health", "off"], "300ms"),
    ] {
        for mode in ["http", "tcp"] {
            let options = ["--admin", "0", "-m", mode, "--connect-timeout", timeout];
            let mut counted = Vec::new();
            // On a slow machine the first probe may end before the request begins.
            wait_until("a connect that fails", || {
                let balancer = listed(&trusted.directory, lines, &[&options, checks].concat());
                let mut client = balancer.ask("/");
                match lines.len() {
                    1 if mode == "tcp" => assert!(client.rest().is_empty(), "{name}, {mode}"),
                    1 => assert_eq!(client.response().status(), 503, "{name}, {mode}"),
                    _ => assert_eq!(client.response().text(), "good", "{name}, {mode}"),
                }
                counted = connect_failures(&balancer);
                !counted.is_empty()
            });
            assert_eq!(counted, ["tls"], "{name}, {mode}");
        }
    }
}

#[test]
fn a_probe_whose_handshake_stalls_says_so() {
    let trusted = Identity::of(&["localhost"]);
    let stalled = Backend::raw(|peer| while peer.some().is_some() {});
    let line = format!("https://localhost:{} ca={}", stalled.port(), trusted.file);
    let options = ["--admin", "0", "--check-interval", "100ms", "--health-timeout", "100ms"];
    let balancer = listed(&trusted.directory, &[line], &options);
    let down = balancer.stderr.wait_for(" down: ");
    assert!(down.contains("TLS handshake timed out"), "{down}");
    let metrics = balancer.ask_admin("/metrics").text();
    let reason = metrics
        .lines()
        .find(|line| line.starts_with("loadbalancer_backend_down_reason") && line.ends_with(" 1"));
    assert!(reason.is_some_and(|line| line.contains("reason=\"probe_tls\"")), "{reason:?}");
    assert!(connect_failures(&balancer).is_empty(), "those of probes are not counted there");
}

#[test]
fn a_server_that_cannot_be_reached_is_none_whose_handshake_failed() {
    let trusted = Identity::of(&["localhost"]);
    let refusing = Backend::refusing();
    let name = format!("https://{}", refusing.argument());
    let balancer = trusting(&trusted.file, &[&name]);
    assert_eq!(balancer.get("/").status(), 503);
    balancer.stderr.wait_for("down: connection refused");
    let hole = BlackHole::new();
    let name = format!("https://{}", hole.argument());
    let balancer = trusting(&trusted.file, &[&name, "--connect-timeout", "200ms"]);
    assert_eq!(balancer.get("/").status(), 503);
    balancer.stderr.wait_for("down: connecting timed out");
}

#[test]
fn the_name_that_is_verified_is_the_host_the_address_or_what_sni_says() {
    let identity = Identity::of(&["127.0.0.1", "inner.example"]);
    for (host, words, name) in [
        ("127.0.0.1", "", None),
        ("localhost", " sni=inner.example", Some("inner.example")),
        ("127.0.0.1", " sni=inner.example", Some("inner.example")),
        ("localhost", " insecure", Some("localhost")),
    ] {
        let server = Server::new(&identity, Backend::named("one"));
        let ca = match words.contains("insecure") {
            true => String::new(),
            false => format!(" ca={}", identity.file),
        };
        let line = format!("{}{ca}{words}", server.at(host));
        let balancer =
            listed(&identity.directory, std::slice::from_ref(&line), &["--health", "off"]);
        assert_eq!(balancer.get("/").text(), "one", "{line}");
        assert_eq!(server.seen()[0].name.as_deref(), name, "{line}");
    }
}

#[test]
fn a_server_that_is_not_verified_is_said_in_capitals() {
    let identity = Identity::of(&["other.example"]);
    let server = Server::new(&identity, Backend::named("one"));
    let line = format!("{} insecure", server.at("localhost"));
    let balancer = listed(&identity.directory, &[line], &["--health", "off"]);
    let expected =
        format!("backend {}: INSECURE, ITS CERTIFICATE IS NOT VERIFIED", server.at("localhost"));
    balancer.stderr.wait_for(&expected);
    assert_eq!(balancer.get("/").text(), "one");
}

#[test]
fn every_address_of_a_name_is_verified_by_the_name() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, Backend::named("one"));
    let line = format!("{} each ca={}", server.at("localhost"), identity.file);
    let balancer = listed(&identity.directory, &[line], &["--health", "off"]);
    let name = format!("https://127.0.0.1:{} (localhost)", server.port());
    assert!(balancer.start_line.contains(&name), "{}", balancer.start_line);
    // Nobody listens at other addresses of the name, if there are any.
    wait_until("an answer", || balancer.get("/").status() == 200);
    assert_eq!(server.seen()[0].name.as_deref(), Some("localhost"));
}

#[test]
fn a_check_says_what_is_wrong_with_a_certificate() {
    let identity = Identity::of(&["b.example"]);
    let server = Server::new(&identity, Backend::named("one"));
    let name = server.at("localhost");
    let mut command = binary();
    command.env("SSL_CERT_FILE", &identity.file).args(["127.0.0.1:0", &name, "--check"]);
    let Output { stdout, status, .. } = command.output().expect("running it");
    let text = String::from_utf8_lossy(&stdout);
    let expected = format!("backend {name}: certificate is for b.example, not for localhost, ");
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn clients_are_redirected_to_servers_in_tls() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, Backend::named("one"));
    let name = server.at("localhost");
    let balancer = trusting(&identity.file, &[&name, "-m", "redirect"]);
    assert_eq!(balancer.get("/a?b").field("location"), Some(&*format!("{name}/a?b")));
}
