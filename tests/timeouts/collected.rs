//! Request bodies that are collected before a server is taken: how long is waited for which of them.

use super::{
    GET, LATE, MOMENT, asked, goes_on, is_answered, is_over_after, limits, stage, stage_over,
};
use crate::stage::{Link, Stage};
use loadbalancer::config::Mode;
use std::time::Duration;

const END_WAIT: Duration = Duration::from_secs(1);
const SLOW_MAX: Duration = Duration::from_secs(2);

const SMALL: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
const LARGE: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A client that has sent `begin`, of which no server knows.
fn sent(stage: &mut Stage, begin: &str) -> Link {
    let client = stage.client();
    stage.say(client, begin);
    assert!(stage.connections(1).is_empty(), "a server has a part of {begin:?}");
    client
}

#[test]
fn a_body_that_is_collected_may_be_slow_but_not_stop() {
    for (name, head) in [("one that fits", SMALL), ("one of which a part is held", LARGE)] {
        let mut stage = stage(Mode::Http, 10);
        let client = sent(&mut stage, head);
        goes_on(limits().idle, &mut stage, |stage| stage.say(client, "x"));
        is_over_after(limits().idle, &mut stage, |stage| is_answered(stage, client, 408));
        assert!(stage.connections(1).is_empty(), "{name}: no server knows of it");
    }
}

#[test]
fn a_body_of_unknown_length_goes_on_after_a_second_whatever_moves() {
    let mut stage = stage(Mode::Http, 10);
    let client = sent(&mut stage, CHUNKED);
    for _ in 0..9 {
        stage.pass(END_WAIT / 10);
        stage.say(client, "1\r\nx\r\n");
    }
    let is_forwarded = |stage: &Stage| !stage.connections(1).is_empty();
    is_over_after(END_WAIT / 10, &mut stage, is_forwarded);
    let server = stage.connections(1)[0];
    assert!(stage.received(server).ends_with(&"1\r\nx\r\n".repeat(9)));
    // From then on it is a body that is forwarded.
    stage.say(client, "1\r\ny\r\n");
    goes_on(limits().idle, &mut stage, |stage| stage.say(client, "1\r\ny\r\n"));
    is_over_after(limits().idle, &mut stage, |stage| is_answered(stage, client, 408));
}

#[test]
fn a_body_of_unknown_length_that_ends_within_the_second_goes_on_at_its_end() {
    let mut stage = stage(Mode::Http, 10);
    let client = sent(&mut stage, &format!("{CHUNKED}1\r\nx\r\n"));
    stage.pass(END_WAIT / 2);
    stage.say(client, "0\r\n\r\n");
    let server = stage.connections(1)[0];
    assert!(stage.received(server).ends_with("\r\n\r\n1\r\nx\r\n0\r\n\r\n"));
}

#[test]
fn a_large_body_goes_on_when_as_much_is_here_as_is_held() {
    const HELD: usize = 32 * 1024;
    let mut stage = stage(Mode::Http, 10);
    let client = sent(&mut stage, LARGE);
    stage.say(client, vec![b'x'; HELD - LARGE.len() - 1]);
    assert!(stage.connections(1).is_empty(), "a byte is missing");
    stage.say(client, "x");
    assert_eq!(stage.connections(1).len(), 1);
}

#[test]
fn after_the_second_a_request_waits_for_a_slot_like_any_other() {
    let mut stage = stage(Mode::Http, 1);
    let client = sent(&mut stage, CHUNKED);
    let (_, server) = asked(&mut stage, GET);
    stage.pass(END_WAIT + LATE);
    assert_eq!(stage.connections(1).len(), 1, "there is one slot");
    is_over_after(limits().queue - LATE, &mut stage, |stage| is_answered(stage, client, 503));
    assert!(!stage.is_closed(server));
}

#[test]
fn a_request_waits_behind_those_that_came_whole_before_it() {
    let mut stage = stage_over(&[1], Mode::Http, 1);
    let client = sent(&mut stage, SMALL);
    let (_, first) = asked(&mut stage, GET);
    let second = stage.client();
    stage.say(second, "GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
    stage.say(client, [b'x'; 100]);
    stage.say(first, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(stage.received(first).contains("GET /second "), "{}", stage.received(first));
    stage.say(first, "HTTP/1.1 204 No Content\r\n\r\n");
    let posted = stage.connections(1).into_iter().filter(|&it| stage.received(it).contains("POST"));
    assert_eq!(posted.count(), 1);
}

#[test]
fn draining_waits_once_for_half_a_body() {
    for moves in [false, true] {
        let mut stage = stage(Mode::Http, 10);
        let client = sent(&mut stage, SMALL);
        stage.stop();
        if moves {
            stage.pass(MOMENT);
            stage.say(client, "x");
            stage.pass(SLOW_MAX - MOMENT - MOMENT);
            assert!(!stage.ended, "over before {SLOW_MAX:?}");
            stage.pass(LATE);
            assert!(stage.ended, "a byte gives no further time");
        } else {
            is_over_after(SLOW_MAX, &mut stage, |stage| stage.ended);
        }
        assert!(is_answered(&stage, client, 408));
    }
}

#[test]
fn a_body_that_comes_in_time_while_draining_is_served() {
    let mut stage = stage(Mode::Http, 10);
    let client = sent(&mut stage, SMALL);
    stage.stop();
    stage.pass(SLOW_MAX / 2);
    stage.say(client, [b'x'; 100]);
    let server = stage.connections(1)[0];
    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(is_answered(&stage, client, 204));
}

#[test]
fn leave_to_send_content_goes_out_while_the_server_is_connected_to() {
    let mut stage = stage(Mode::Http, 10);
    stage.is_unreachable(1);
    let client = stage.client();
    stage.take(client, 9);
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stage.say(client, head);
    assert_eq!(stage.received(client), "HTTP/1.1 ");
    // It sends content without having read all of that.
    stage.say(client, "abc");
    assert_eq!(stage.connections(1).len(), 1);
    stage.take(client, usize::MAX);
    stage.pass(MOMENT);
    assert_eq!(stage.received(client), "HTTP/1.1 100 Continue\r\n\r\n");
}
