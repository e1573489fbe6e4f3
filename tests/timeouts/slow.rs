//! Clients that hold what others wait for: which of them are ended for their slowness.

use super::{GET, config};
use crate::stage::{Link, Stage};
use loadbalancer::config::{Config, Mode};
use std::time::Duration;

/// The wait over which a client's rate is averaged, and the time until it is looked at.
const ENDED_WITHIN: Duration = Duration::from_secs(12);

/// Longer than that.
const QUEUE: Duration = Duration::from_secs(15);

/// Chunked, so that it is not known how much is to come.
const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

const SECOND: Duration = Duration::from_secs(1);

fn config_of(mode: Mode) -> Config {
    let mut config = config(&[1], mode);
    config.timeouts.queue = QUEUE;
    config
}

/// Clients whose uploads take all slots, and one more that waits for a slot.
fn uploads(config: Config, count: usize) -> (Stage, Vec<Link>, Link) {
    let mut stage = Stage::new(config, count);
    let clients: Vec<Link> = (0..count).map(|_| stage.client()).collect();
    clients.iter().for_each(|&client| stage.say(client, UPLOAD));
    // They are no conversations that have not begun any more.
    stage.pass(2 * SECOND);
    assert_eq!(stage.connections(1).len(), count);
    let waiting = stage.client();
    stage.say(waiting, GET);
    (stage, clients, waiting)
}

/// Each of the clients sends a chunk of so many bytes per second.
fn drip(stage: &mut Stage, clients: &[Link], bytes: usize, span: Duration) {
    let chunk = format!("{bytes:x}\r\n{}\r\n", "x".repeat(bytes));
    for _ in 0..span.as_secs() {
        clients.iter().for_each(|&client| stage.say(client, &chunk));
        stage.pass(SECOND);
    }
}

#[test]
fn a_client_below_the_rate_loses_its_slot_to_one_that_waits() {
    let (mut stage, clients, waiting) = uploads(config_of(Mode::Http), 2);
    drip(&mut stage, &clients, 1, ENDED_WITHIN);
    assert!(stage.received(clients[0]).starts_with("HTTP/1.1 408 "));
    let servers = stage.connections(1);
    assert!(servers.iter().any(|&server| stage.received(server).starts_with("GET ")));
    assert_eq!(stage.received(waiting), "", "its server has not answered");
}

#[test]
fn a_client_at_a_fair_rate_keeps_its_slot() {
    let (mut stage, clients, waiting) = uploads(config_of(Mode::Http), 2);
    // One byte less than 1 KiB would be too slow; what is around the bytes of a chunk counts too.
    drip(&mut stage, &clients, 1_024, QUEUE + SECOND);
    assert!(stage.received(waiting).starts_with("HTTP/1.1 503 "), "nobody's slot came free");
    assert!(clients.iter().all(|&client| stage.received(client).is_empty()));
}

#[test]
fn with_a_rate_of_zero_nobody_is_ended() {
    let config = Config { rate_min: 0, ..config_of(Mode::Http) };
    let (mut stage, clients, waiting) = uploads(config, 1);
    drip(&mut stage, &clients, 1, QUEUE + SECOND);
    assert!(stage.received(waiting).starts_with("HTTP/1.1 503 "));
    assert_eq!(stage.received(clients[0]), "");
}

#[test]
fn a_slow_client_of_a_slow_server_keeps_its_slot() {
    let mut stage = Stage::new(config_of(Mode::Http), 1);
    let (first, second) = (stage.client(), stage.client());
    stage.say(first, GET);
    stage.say(second, GET);
    stage.pass(QUEUE + SECOND);
    assert!(stage.received(second).starts_with("HTTP/1.1 503 "));
    stage.say(stage.connections(1)[0], "HTTP/1.1 204 No Content\r\n\r\n");
    let response = stage.received(first);
    assert!(response.starts_with("HTTP/1.1 204 "), "it was the server that was waited for");
}

#[test]
fn tcp_sessions_count_as_pairs_and_have_no_least_rate() {
    let mut stage = Stage::new(config_of(Mode::Tcp), 1);
    let (first, second) = (stage.client(), stage.client());
    stage.pass(ENDED_WITHIN);
    assert_eq!(stage.connections(1).len(), 1, "the second waits for the first");
    assert!(!stage.is_closed(first) && !stage.is_closed(second));
    stage.say(first, "hello");
    assert_eq!(stage.received(stage.connections(1)[0]), "hello");
}
