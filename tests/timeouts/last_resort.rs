//! A server that is down gets requests only while none is up.

use super::{GET, LATE, Stage, config, limits};
use loadbalancer::balance::Strategy;
use loadbalancer::config::{Config, Mode};

/// Requests that a server may fail before it is down, and more.
const FAILURES: usize = 10;

/// More requests that end than a request may be tried at servers that are down.
const WAKES: usize = 6;

fn in_order() -> Config {
    Config { strategy: Strategy::First, ..config(&[1, 2], Mode::Http) }
}

/// The first of two servers is down, as both failed every request. It would be used if it were not,
/// and would answer now.
fn first_goes_down(stage: &mut Stage) {
    stage.are_rude(&[1, 2]);
    for _ in 0..FAILURES {
        ask(stage);
    }
    stage.are_rude(&[2]);
}

/// What a client gets.
fn ask(stage: &mut Stage) -> String {
    let client = stage.client();
    stage.say(client, GET);
    stage.received(client)
}

fn connections(stage: &Stage) -> [usize; 2] {
    [1, 2].map(|port| stage.connections(port).len())
}

#[test]
fn a_request_that_the_server_that_is_up_keeps_failing_goes_to_none_that_is_down() {
    let mut stage = Stage::new(in_order(), 10);
    first_goes_down(&mut stage);
    let before = connections(&stage);
    let answer = ask(&mut stage);
    let after = connections(&stage);
    assert_eq!(after[0], before[0], "connections to the server that is down");
    assert!(after[1] > before[1] + 1, "it was tried again: {before:?}, {after:?}");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn a_request_that_the_server_that_is_up_keeps_failing_waits_for_none_that_is_down() {
    let config = in_order();
    let mut listed = config.backends.clone();
    let mut stage = Stage::new(config, 10);
    assert_eq!(ask(&mut stage), "", "a request that is not answered");
    first_goes_down(&mut stage);
    listed[0].pairs_max = Some(1);
    stage.list(&listed);
    let answer = ask(&mut stage);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
}

/// It is woken by each request that ends there, though there is no room yet.
#[test]
fn a_request_that_waits_for_room_at_a_server_that_is_down_uses_up_no_try() {
    let config = config(&[1], Mode::Http);
    let mut listed = config.backends.clone();
    let mut stage = Stage::new(config, 10);
    for _ in 0..WAKES {
        assert_eq!(ask(&mut stage), "", "a request that is not answered");
    }
    let busy = stage.connections(1);
    stage.is_unreachable(1);
    let client = stage.client();
    stage.say(client, GET);
    stage.pass(limits().connect + LATE);
    assert!(stage.received(client).starts_with("HTTP/1.1 503 "), "the server goes down");
    stage.all_are_reachable();
    listed[0].pairs_max = Some(1);
    stage.list(&listed);
    let waiting = stage.client();
    stage.say(waiting, GET);
    let before = stage.connections(1).len();
    for server in busy {
        assert_eq!(stage.received(waiting), "");
        assert_eq!(stage.connections(1).len(), before, "there is no room yet");
        stage.say(server, "what?");
    }
    assert_eq!(stage.connections(1).len(), before + 1, "it has the place of the last one");
}
