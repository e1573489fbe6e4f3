//! Probes of TCP mode that send a text and wait for another.

mod common;

use common::{Backend, Balancer, Peer, wait_until};

/// A server that does this with each connection.
fn probing(
    script: impl Fn(&mut Peer) + Send + Sync + 'static,
    options: &[&str],
) -> (Backend, Balancer) {
    let backend = Backend::raw(script);
    let fixed = ["-m", "tcp", "-c", "20ms"];
    let balancer = Balancer::probing(&[&backend], &[&fixed[..], options].concat());
    (backend, balancer)
}

#[test]
fn a_server_that_answers_as_expected_is_up() {
    let redis = |peer: &mut Peer| {
        if peer.exactly(6) == b"PING\r\n" {
            peer.send("+PONG\r\n");
        }
    };
    let options = ["--health-send", "PING\\r\\n", "--health-expect-text", "PONG"];
    let (backend, balancer) = probing(redis, &options);
    wait_until("several probes", || backend.connections() >= 4);
    assert_eq!(balancer.stderr.with(" down"), Vec::<String>::new());
}

#[test]
fn a_banner_is_read_in_parts() {
    let banner = |peer: &mut Peer| {
        for part in ["22", "0 mail", ".test\r\n"] {
            if peer.try_send(part).is_err() {
                return;
            }
        }
        let _ = peer.try_rest();
    };
    let (backend, balancer) = probing(banner, &["--health-expect-text", "220 mail.test\\x0d"]);
    wait_until("several probes", || backend.connections() >= 4);
    assert_eq!(balancer.stderr.with(" down"), Vec::<String>::new());
}

#[test]
fn a_server_that_answers_otherwise_is_down_and_it_is_said_why() {
    let loading = |peer: &mut Peer| peer.send("-LOADING\r\n");
    let (_backend, balancer) = probing(loading, &["--health-expect-text", "PONG"]);
    let line = balancer.stderr.wait_for(" down: ");
    assert!(line.contains("health check got another answer than expected"), "{line}");

    let endless = |peer: &mut Peer| while peer.try_send("x".repeat(1_000)).is_ok() {};
    let (_backend, balancer) = probing(endless, &["--health-expect-text", "PONG"]);
    let line = balancer.stderr.wait_for(" down: ");
    assert!(line.contains("health check got another answer than expected"), "{line}");
}

#[test]
fn texts_that_are_of_no_use_are_refused() {
    for (options, part) in [
        (&["--health-send", "PING"][..], "add --health-expect-text TEXT"),
        (&["--health-send", "a\\q"], "begins no escape: write \\r, \\n, \\t, \\\\ or \\xHH"),
        (&["--health-expect-text", ""], "the text is empty"),
        (
            &["--health", "http", "--health-expect-text", "a"],
            "are for TCP probes: add --health tcp",
        ),
    ] {
        let output = common::binary().args(["8080", "1", "-m", "tcp"]).args(options).output();
        let said = String::from_utf8(output.expect("it runs").stderr).expect("UTF-8");
        assert!(said.contains(part), "{options:?}: {said}");
    }
}
