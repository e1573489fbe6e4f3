//! Times in the log: from which moment they count, whatever the connection did before.

use super::{GET, LATE, asked, config, limits};
use crate::stage::Stage;
use loadbalancer::config::{LogFormat, LogTarget, Mode};
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(2);

/// A proxy over one server that logs in JSON.
fn logging(mode: Mode, pairs_max: usize) -> Stage {
    let mut config = config(&[1], mode);
    config.access_log = Some(LogTarget::Stdout);
    config.log_format = LogFormat::Json;
    Stage::new(config, pairs_max)
}

/// The span of this name in the last line of the log.
fn span(stage: &Stage, name: &str) -> Duration {
    let line = stage.logged();
    let value = line.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest);
    let digits = value.and_then(|rest| rest.split(',').next()).unwrap_or_default();
    Duration::from_micros(digits.parse().unwrap_or_else(|_| panic!("no {name} in {line:?}")))
}

/// The wait for a slot, and the total.
fn spans(stage: &Stage) -> (Duration, Duration) {
    (span(stage, "queue_us"), span(stage, "total_us"))
}

#[test]
fn a_local_response_is_timed_from_its_own_request() {
    let malformed = "bad\r\n\r\n";
    let refused = "GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n";
    for (name, mode, request, status) in [
        ("a redirect", Mode::Redirect, GET, 301),
        ("a head that is none", Mode::Redirect, malformed, 400),
        ("a head that is none, with slots", Mode::Http, malformed, 400),
        ("a request that cannot be met", Mode::Http, refused, 417),
    ] {
        let mut stage = logging(mode, 10);
        let client = stage.client();
        stage.pass(PAUSE);
        stage.say(client, request);
        assert!(stage.logged().contains(&format!("\"status\":{status},")), "{}", stage.logged());
        assert_eq!(spans(&stage), (Duration::ZERO, Duration::ZERO), "{name}");
    }
}

#[test]
fn a_request_on_a_kept_connection_is_timed_from_its_own_start() {
    let mut stage = logging(Mode::Redirect, 10);
    let client = stage.client();
    for request in [GET, GET, "bad\r\n\r\n"] {
        stage.say(client, request);
        assert_eq!(spans(&stage), (Duration::ZERO, Duration::ZERO), "{request}");
        stage.pass(PAUSE);
    }
}

#[test]
fn a_head_that_comes_slowly_counts_from_its_end_or_without_one_from_its_first_byte() {
    let mut stage = logging(Mode::Redirect, 10);
    let client = stage.client();
    for (end, total) in [("\r\n", Duration::ZERO), ("bad\r\n\r\n", PAUSE)] {
        stage.pass(PAUSE);
        stage.say(client, "GET / HTTP/1.1\r\nHost: x\r\n");
        stage.pass(PAUSE);
        stage.say(client, end);
        assert_eq!(spans(&stage), (Duration::ZERO, total), "{end:?}");
    }
}

#[test]
fn a_head_that_times_out_has_a_total_time_but_no_queue_time() {
    let mut stage = logging(Mode::Http, 10);
    let client = stage.client();
    stage.pass(PAUSE);
    stage.say(client, "GET / HTTP/1.1\r\n");
    stage.pass(limits().head + LATE);
    let (queue, total) = spans(&stage);
    assert_eq!(queue, Duration::ZERO);
    assert!((limits().head..limits().head + LATE).contains(&total), "{total:?}");
}

#[test]
fn the_wait_for_a_slot_is_logged_whether_or_not_one_came() {
    let mut stage = logging(Mode::Http, 1);
    let (_, server) = asked(&mut stage, GET);
    let second = stage.client();
    stage.say(second, GET);
    stage.pass(PAUSE);
    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(spans(&stage), (PAUSE, PAUSE));
    let mut stage = logging(Mode::Http, 1);
    asked(&mut stage, GET);
    let second = stage.client();
    stage.say(second, GET);
    stage.pass(limits().queue + LATE);
    let (queue, total) = spans(&stage);
    assert!(stage.logged().contains("\"status\":503,"), "{}", stage.logged());
    assert!(queue >= limits().queue && queue == total, "{queue:?} {total:?}");
}

#[test]
fn the_time_of_an_upload_is_no_wait_for_a_slot() {
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n";
    let mut stage = logging(Mode::Http, 1);
    let uploading = stage.client();
    stage.say(uploading, post);
    stage.pass(PAUSE);
    stage.say(uploading, "x");
    let (_, server) = asked(&mut stage, GET);
    stage.say(uploading, "x");
    stage.pass(PAUSE / 2);
    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    let servers = stage.connections(1);
    stage.say(servers[servers.len() - 1], "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(stage.logged().contains("\"POST / HTTP/1.1\""), "{}", stage.logged());
    assert_eq!(span(&stage, "body_us"), PAUSE);
    assert_eq!(spans(&stage), (PAUSE / 2, PAUSE + PAUSE / 2));
}

#[test]
fn an_upload_that_times_out_was_no_wait_for_a_slot() {
    let mut stage = logging(Mode::Http, 1);
    let client = stage.client();
    stage.say(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx");
    stage.pass(limits().idle + LATE);
    assert!(stage.logged().contains("\"status\":408,"), "{}", stage.logged());
    let (queue, total) = spans(&stage);
    assert_eq!((queue, span(&stage, "body_us")), (Duration::ZERO, total));
}

/// How long a line of the access log waits for more at most.
const CHUNK_AFTER: Duration = Duration::from_millis(100);

#[test]
fn a_line_that_nobody_watches_is_handed_over_a_tenth_of_a_second_later_and_wakes_nothing_after() {
    let mut stage = logging(Mode::Redirect, 10);
    stage.unwatch_log();
    let client = stage.client();
    for _ in 0..2 {
        let before = stage.logged_bytes();
        stage.say(client, GET);
        stage.pass(CHUNK_AFTER / 2);
        stage.say(client, GET);
        stage.pass(CHUNK_AFTER / 2 - Duration::from_micros(1));
        assert_eq!(stage.logged_bytes(), before, "too early");
        stage.pass(Duration::from_micros(1));
        assert!(stage.logged_bytes() > before, "due with the first of them");
        let waits = stage.waits();
        stage.pass(PAUSE);
        assert_eq!(stage.waits(), waits + 1, "nothing is left to hand over");
    }
}

#[test]
fn a_chunk_of_the_log_is_handed_over_at_once() {
    let mut stage = logging(Mode::Redirect, 10);
    stage.unwatch_log();
    let client = stage.client();
    let mut requests = 0;
    while stage.logged_bytes() == 0 {
        stage.say(client, GET);
        requests += 1;
        assert!(requests < 2_000, "never");
    }
    assert!((64 * 1024..65 * 1024).contains(&stage.logged_bytes()), "{}", stage.logged_bytes());
}
