//! How many requests each server gets by strategies that look at times.

use super::stage::{Link, Stage};
use super::{GET, config};
use loadbalancer::balance::Strategy;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::Mode;
use std::time::Duration;

const PORTS: [u16; 3] = [1, 2, 3];

/// What each server got of `rounds` requests of each of so many clients. It answers with a status
/// after a time, both of which follow from its port.
fn shares(
    strategy: Strategy,
    (clients, rounds): (usize, usize),
    mut answer: impl FnMut(u16) -> (&'static str, Duration),
) -> [usize; 3] {
    let mut config = config(&PORTS, Mode::Http);
    config.strategy = strategy;
    let mut stage = Stage::new(config, 10);
    let clients: Vec<Link> = (0..clients).map(|_| stage.client()).collect();
    let mut counts = [0; 3];
    for _ in 0..rounds {
        clients.iter().for_each(|&client| stage.say(client, GET));
        let mut due = Vec::new();
        for (place, port) in PORTS.into_iter().enumerate() {
            for server in stage.connections(port) {
                if !stage.received_since(server).is_empty() {
                    counts[place] += 1;
                    let (status, span) = answer(port);
                    due.push((span, server, status));
                }
            }
        }
        assert_eq!(due.len(), clients.len(), "each request is at a server");
        due.sort_unstable();
        let mut passed = Duration::ZERO;
        for (span, server, status) in due {
            stage.pass(span - passed);
            passed = span;
            stage.say(server, format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    }
    counts
}

#[test]
fn equally_fast_servers_share_under_least_time_with_one_client() {
    let mut rng = Rng::new(1);
    let nearly = |_| ("200 OK", Duration::from_micros(2_900 + rng.below(200)));
    let counts = shares(Strategy::LeastTime, (1, 400), nearly);
    assert!(
        counts.iter().all(|count| (80..=190).contains(count)),
        "{counts:?}, an even share is 133"
    );
}

#[test]
fn a_server_that_fails_fast_draws_no_traffic() {
    for strategy in [Strategy::LeastTime, Strategy::LeastConn, Strategy::PowerOfTwo] {
        let counts = shares(strategy, (4, 60), |port| match port {
            2 => ("500 Error", Duration::from_micros(100)),
            _ => ("200 OK", Duration::from_millis(10)),
        });
        assert!(counts[1] < 240 * 45 / 100, "{strategy:?}: {counts:?}, the second one fails");
    }
}
