//! Slow start under the virtual clock: what a server that was added gets, and that nothing wakes the
//! loop for it.

use super::stage::{Link, Stage};
use super::{GET, config, limits, to_the_first};
use loadbalancer::config::{BackendSpec, HostPort, Mode};
use loadbalancer::replay::print_choices;
use std::path::PathBuf;
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

#[test]
fn a_server_that_a_response_brings_back_warms_up_from_the_end_of_the_response() {
    let span = limits().idle / 2;
    let mut config = config(&[1], Mode::Http);
    config.slow_start = span;
    config.record = Some(PathBuf::from("record"));
    config.health.interval = 100 * span;
    let mut stage = Stage::new(config, 10);
    stage.is_unreachable(1);
    let client = stage.client();
    stage.say(client, GET);
    stage.pass(limits().connect);
    stage.all_are_reachable();
    // The last resort gets it.
    stage.say(client, GET);
    let server = stage.connections(1)[1];
    stage.received_since(server);
    stage.say(server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234");
    stage.list(&[backend(1), backend(3)]);
    stage.pass(span);
    let other = stage.client();
    assert_eq!(to_the_first(&mut stage, other, 10), 0, "it is down");
    stage.say(server, "5");
    assert!(stage.received(client).ends_with("12345"), "{}", stage.received(client));
    let early = to_the_first(&mut stage, other, 40);
    assert!((1..=3).contains(&early), "{early} of 40, not a twentieth");
    stage.pass(span);
    let whole = to_the_first(&mut stage, other, 40);
    assert!((19..=21).contains(&whole), "{whole} of 40, not a half");
    let mut choices = Vec::new();
    let end = print_choices(&stage.recorded()[..], &mut choices).expect_err("it goes on");
    assert!(end.text.starts_with("the record ends here"), "{end}");
    let choices = String::from_utf8(choices).expect("text");
    let counts = [1, 3].map(|port| choices.matches(&format!(" 10.0.0.1:{port}\n")).count());
    assert_eq!(counts, [1 + early + whole, 10 + 80 - early - whole], "{choices}");
}
