//! What `Retry-After` says follows from how fast the queue moves, and `--queue-max` refuses at once.

use super::stage::Stage;
use super::{GET, asked, config, is_answered};
use loadbalancer::config::Mode;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn retry_after(stage: &Stage, client: usize) -> String {
    let received = stage.received(client);
    let value = received.split("Retry-After: ").nth(1).and_then(|rest| rest.split('\r').next());
    value.unwrap_or_else(|| panic!("no Retry-After: {received}")).to_owned()
}

/// One slot, and at most `queue_max` that wait.
fn narrow(queue_max: u32, mode: Mode) -> Stage {
    let mut config = config(&[1], mode);
    config.queue_max = Some(queue_max);
    config.timeouts.queue = Duration::from_secs(600);
    Stage::new(config, 1)
}

#[test]
fn the_client_that_is_one_too_many_is_refused_at_once() {
    let mut stage = narrow(2, Mode::Http);
    let (first, server) = asked(&mut stage, GET);
    let waiting = [stage.client(), stage.client()];
    waiting.iter().for_each(|&client| stage.say(client, GET));
    let surplus = stage.client();
    stage.say(surplus, GET);
    assert!(is_answered(&stage, surplus, 503), "{}", stage.received(surplus));
    assert_eq!(retry_after(&stage, surplus), "1");
    // It keeps its connection, and the others their places.
    stage.say(server, OK);
    assert!(is_answered(&stage, first, 200));
    stage.received_since(surplus);
    stage.say(surplus, GET);
    assert_eq!(stage.received(surplus), "", "there is a place again");
    for client in waiting {
        stage.say(server, OK);
        assert!(is_answered(&stage, client, 200));
    }
    stage.say(server, OK);
    assert!(is_answered(&stage, surplus, 200));
}

#[test]
fn without_a_place_in_the_queue_no_request_waits() {
    let mut stage = narrow(0, Mode::Http);
    asked(&mut stage, GET);
    let surplus = stage.client();
    stage.say(surplus, GET);
    assert!(is_answered(&stage, surplus, 503));
}

#[test]
fn a_session_for_which_there_is_no_place_is_closed() {
    let mut stage = narrow(1, Mode::Tcp);
    let [_, waiting, surplus] = [stage.client(), stage.client(), stage.client()];
    assert!(stage.is_closed(surplus));
    assert!(!stage.is_closed(waiting));
}

#[test]
fn a_request_that_every_server_is_too_full_for_needs_a_place_as_well() {
    let mut config = config(&[1], Mode::Http);
    config.queue_max = Some(1);
    config.backends[0].pairs_max = Some(1);
    let mut stage = Stage::new(config, 10);
    let (first, server) = asked(&mut stage, GET);
    let [waiting, surplus] = [stage.client(), stage.client()];
    stage.say(waiting, GET);
    stage.say(surplus, GET);
    assert!(is_answered(&stage, surplus, 503), "{}", stage.received(surplus));
    stage.say(server, OK);
    assert!(is_answered(&stage, first, 200));
    stage.say(server, OK);
    assert!(is_answered(&stage, waiting, 200), "{}", stage.received(waiting));
}

#[test]
fn a_request_that_has_waited_keeps_its_place_though_the_queue_is_full_again() {
    let mut config = config(&[1, 2], Mode::Http);
    config.queue_max = Some(1);
    config.backends.iter_mut().for_each(|backend| backend.pairs_max = Some(1));
    let rest = [config.backends[0].clone()];
    let mut stage = Stage::new(config, 10);
    let clients = [stage.client(), stage.client()];
    clients.iter().for_each(|&client| stage.say(client, GET));
    let [waiting, later] = [stage.client(), stage.client()];
    stage.say(waiting, GET);
    stage.pass(SECOND);
    stage.list(&rest);
    // The end at the server that leaves lets the first look for room, of which there is none. In
    // the same turn another request takes the place in the queue.
    let [staying, leaving] = [1, 2].map(|port| stage.connections(port)[0]);
    stage.begin_to_say(leaving, OK);
    stage.say(later, GET);
    assert_eq!(stage.received(waiting), "", "it waits on");
    stage.say(staying, OK);
    assert!(clients.iter().all(|&client| is_answered(&stage, client, 200)));
    for client in [waiting, later] {
        stage.say(staying, OK);
        assert!(is_answered(&stage, client, 200), "{}", stage.received(client));
    }
}

#[test]
fn retry_after_is_the_time_that_the_queue_takes() {
    let mut stage = narrow(10, Mode::Http);
    let (_, server) = asked(&mut stage, GET);
    let clients: Vec<_> = (0..10).map(|_| stage.client()).collect();
    clients.iter().for_each(|&client| stage.say(client, GET));
    // One every two seconds; a new one for each that was served.
    for _ in 0..10 {
        stage.pass(2 * SECOND);
        stage.say(server, OK);
        let next = stage.client();
        stage.say(next, GET);
    }
    let surplus = stage.client();
    stage.say(surplus, GET);
    assert!(is_answered(&stage, surplus, 503));
    let seconds: u32 = retry_after(&stage, surplus).parse().expect("a number");
    assert!((19..=21).contains(&seconds), "ten before it, one every 2 s: {seconds}");
}
