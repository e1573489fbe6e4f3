//! Connections to the control socket, as many as a local user can make, take no time from clients.

use super::stage::Caller;
use super::{GET, stage};
use loadbalancer::config::Mode;

/// Accepts in a turn of the loop.
const ACCEPTS_MAX: usize = 16;

/// Connections that wait.
const CALLS: usize = 1_000;

/// Turns from the arrival of a request to the connection for it.
const TURNS: usize = 3;

#[test]
fn a_turn_accepts_few_connections_to_the_control_socket_and_serves_clients() {
    for caller in [Caller::Stranger, Caller::OwnUser] {
        let mut stage = stage(Mode::Http, 10);
        stage.listen_control();
        let client = stage.client();
        stage.call(caller, CALLS);
        stage.begin_to_say(client, GET);
        let turns = (1..).take_while(|_| {
            stage.turn();
            stage.connections(1).is_empty()
        });
        let turns = turns.count() + 1;
        assert!(turns <= TURNS, "{turns} turns until the request goes on, {caller:?}");
        assert!(stage.calls_left() > 0, "the connections are not over, {caller:?}");
        (0..CALLS).for_each(|_| stage.turn());
        assert_eq!(stage.calls_left(), 0, "{caller:?}");
        let most = stage.accepted_calls().into_iter().max().unwrap_or_default();
        match caller {
            // They take no place.
            Caller::Stranger => assert_eq!(most, ACCEPTS_MAX),
            Caller::OwnUser => assert!((1..=ACCEPTS_MAX).contains(&most), "{most}"),
        }
    }
}
