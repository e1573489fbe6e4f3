//! Servers that answer with errors are ejected if asked for, for a while, and never all of them.

mod common;

use common::{Backend, Balancer, Message, Peer, ok, reply, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

/// A server that answers with its name and a status that the test sets.
fn with_status(name: &'static str) -> (Backend, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let copy = status.clone();
    let backend = Backend::start(move |_: &Message| match copy.load(SeqCst) {
        200 => ok(name),
        status => reply(&format!("{status} Error"), "", name),
    });
    (backend, status)
}

/// A `GET` from one of three clients, by turns.
fn get_by_turns(balancer: &Balancer, turn: &mut u8) -> Message {
    *turn = *turn % 3 + 1;
    Peer::connect_from(*turn, balancer.address()).get("/")
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_with_errors_in_a_row_is_ejected_and_comes_back() {
    let ((bad, status), (good, _)) = (with_status("bad"), with_status("good"));
    let balancer = Balancer::probing(&[&bad, &good], &["-c", "200ms", "--fall-on-5xx", "3"]);
    status.store(500, SeqCst);
    let (mut errors, mut turn) = (0, 0);
    wait_until("the bad server to be out", || {
        errors += usize::from(get_by_turns(&balancer, &mut turn).status() == 500);
        !balancer.stderr.with(" down").is_empty()
    });
    assert_eq!(errors, 3, "its last answers");
    let logged = balancer.stderr.wait_for(" down");
    let expected = format!(
        "loadbalancer: backend {} down: answered 5xx 3 times in a row; out for 1s; 1 of 2 up",
        bad.argument()
    );
    assert!(logged.ends_with(&expected), "{logged}");
    status.store(200, SeqCst);
    wait_until("the server to be back", || balancer.get("/").text() == "bad");
    let back = format!("backend {} up: health check passed", bad.argument());
    assert_eq!(balancer.stderr.with(&back).len(), 1);
}

#[test]
fn a_page_that_fails_for_one_client_ejects_no_server() {
    let ((bad, status), (good, _)) = (with_status("bad"), with_status("good"));
    status.store(500, SeqCst);
    let balancer = Balancer::probing(&[&bad, &good], &["-c", "1h", "--fall-on-5xx", "3"]);
    let errors = (0..20).filter(|_| balancer.get("/").status() == 500).count();
    assert_eq!(errors, 10);
    assert_eq!(balancer.stderr.with(" down"), Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_keeps_failing_is_ejected_for_longer_each_time() {
    let ((bad, status), (good, _)) = (with_status("bad"), with_status("good"));
    status.store(503, SeqCst);
    let balancer = Balancer::probing(&[&bad, &good], &["-c", "20ms", "--fall-on-5xx", "3"]);
    let mut turn = 0;
    for expected in ["out for 100ms", "out for 200ms", "out for 400ms"] {
        wait_until(expected, || {
            get_by_turns(&balancer, &mut turn);
            !balancer.stderr.with(expected).is_empty()
        });
    }
}

#[test]
fn the_last_server_stays_whatever_it_answers() {
    let servers: Vec<_> = ["a", "b", "c"].map(with_status).into();
    let backends: Vec<&Backend> = servers.iter().map(|(backend, _)| backend).collect();
    // Ejected for longer than this test takes.
    let options = ["-c", "1h", "--fall-on-5xx", "1"];
    let balancer = Balancer::probing(&backends, &options);
    for (_, status) in &servers {
        status.store(500, SeqCst);
    }
    for _ in 0..30 {
        let answer = balancer.get("/");
        assert!(
            ["a", "b", "c"].contains(&answer.text().as_str()),
            "answered here: {}",
            answer.head
        );
    }
    balancer.stderr.wait_for_count("down: answered 5xx; out for 30s", 2);
    let last = servers.iter().max_by_key(|(backend, _)| backend.requests().len());
    assert_eq!(last.map(|(backend, _)| backend.requests().len()), Some(28));
}

#[test]
fn errors_eject_no_server_unless_enabled_and_never_for_a_bad_request() {
    for (status, options) in [(500, &["-c", "1h"][..]), (501, &["-c", "1h", "--fall-on-5xx", "1"])]
    {
        let ((bad, its_status), (good, _)) = (with_status("bad"), with_status("good"));
        its_status.store(status, SeqCst);
        let balancer = Balancer::probing(&[&bad, &good], options);
        for _ in 0..20 {
            balancer.get("/");
        }
        assert_eq!(bad.requests().len(), 10, "{status}: it has its share");
        assert_eq!(balancer.stderr.with(" down"), Vec::<String>::new());
    }
}
