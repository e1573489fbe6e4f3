//! A server that stops answering: how many of the requests that wait for it are sent elsewhere.

use super::{GET, config};
use crate::stage::{Link, Stage};
use loadbalancer::config::Mode;
use loadbalancer::health::Check;
use std::time::Duration;

/// Requests at each of the two servers: more than the retry budget allows to be sent again.
const EACH: usize = 150;

/// What the budget allows when its share is 0 percent.
const BUDGET: usize = 100;

/// Answers what has come to the server of `port`, probes as well; how many requests that were.
fn answer(stage: &mut Stage, port: u16) -> usize {
    let mut requests = 0;
    for server in stage.connections(port) {
        let received = stage.received_since(server);
        requests += received.matches("GET / HTTP").count();
        for _ in 0..received.matches("GET ").count() {
            stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
        }
    }
    requests
}

fn ask(stage: &mut Stage, clients: &[Link]) {
    clients.iter().for_each(|&client| stage.say(client, GET));
}

#[test]
fn what_waits_on_pooled_connections_leaves_a_stalled_server_within_the_retry_budget() {
    let mut config = config(&[1, 2], Mode::Http);
    config.health.check = Check::Http;
    config.retry_budget = 0;
    let mut stage = Stage::new(config, 1_000);
    let clients: Vec<Link> = (0..2 * EACH).map(|_| stage.client()).collect();
    // Both servers answer quickly, and many requests at a time.
    ask(&mut stage, &clients);
    stage.pass(Duration::from_millis(10));
    assert_eq!([1, 2].map(|port| answer(&mut stage, port)), [EACH, EACH]);
    ask(&mut stage, &clients);
    let mut at_second = 0;
    for _ in 0..150 {
        stage.pass(Duration::from_millis(100));
        at_second += answer(&mut stage, 2);
    }
    assert_eq!(at_second - EACH, BUDGET, "requests that were sent again");
}
