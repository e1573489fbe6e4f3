//! Slow start under the virtual clock: what a server that was added gets, and that nothing wakes the
//! loop for it.

use super::stage::{Link, Stage};
use super::{GET, config};
use loadbalancer::config::{BackendSpec, HostPort, Mode};
use std::time::Duration;

const SPAN: Duration = Duration::from_secs(50);

fn backend(port: u16) -> BackendSpec {
    BackendSpec::new(HostPort::on("10.0.0.1", port))
}

/// Two servers, to which a third one can be added.
fn stage(span: Duration) -> Stage {
    let mut config = config(&[1, 2], Mode::Redirect);
    config.slow_start = span;
    Stage::new(config, 10)
}

/// Of so many requests of a client, those that are sent to port 3.
fn to_the_third(stage: &mut Stage, client: Link, count: usize) -> usize {
    stage.received_since(client);
    (0..count).for_each(|_| stage.say(client, GET));
    stage.received(client).matches("Location: http://10.0.0.1:3/").count()
}

#[test]
fn a_server_that_was_added_gets_a_tenth_of_its_share_and_then_more() {
    let mut stage = stage(SPAN);
    let client = stage.client();
    assert_eq!(to_the_third(&mut stage, client, 10), 0);
    stage.list(&[backend(1), backend(2), backend(3)]);
    let early = to_the_third(&mut stage, client, 300);
    assert!((5..=15).contains(&early), "{early} of 300, not about 10");
    stage.pass(SPAN / 2);
    let half = to_the_third(&mut stage, client, 300);
    assert!((50..=60).contains(&half), "{half} of 300, not about 55");
    stage.pass(SPAN / 2);
    let whole = to_the_third(&mut stage, client, 300);
    assert!((99..=101).contains(&whole), "{whole} of 300, not a third");
}

#[test]
fn there_is_none_at_the_start_and_none_where_all_servers_are_new() {
    let mut stage = stage(SPAN);
    let client = stage.client();
    stage.list(&[backend(3)]);
    assert_eq!(to_the_third(&mut stage, client, 10), 10, "it is the only one");
    stage.list(&[]);
    stage.list(&[backend(3), backend(4)]);
    let third = to_the_third(&mut stage, client, 10);
    assert_eq!(third, 5, "they come together");
}

#[test]
fn nothing_wakes_an_idle_loop_for_it() {
    let waits = [Duration::ZERO, SPAN].map(|span| {
        let mut stage = stage(span);
        stage.list(&[backend(1), backend(2), backend(3)]);
        let before = stage.waits();
        stage.pass(2 * SPAN);
        stage.waits() - before
    });
    assert_eq!(waits[0], waits[1]);
}
