//! Sticky sessions whose server does not accept their connections.

use super::stage::{Link, Stage};
use super::{MOMENT, config, is_answered, is_over_after, limits};
use loadbalancer::config::{Config, Mode, StickyKey};
use loadbalancer::health::Check;
use std::time::Duration;

fn sticky() -> Config {
    let mut config = config(&[1, 2], Mode::Http);
    config.sticky = Some("srv".to_owned());
    config.sticky_key = StickyKey::from_bytes([7; 16]);
    config
}

/// A request whose cookie names the server of this port; the first connection to it is not accepted.
fn asked_unreachable(stage: &mut Stage, port: u16) -> Link {
    let tag = StickyKey::from_bytes([7; 16]).tag(&format!("10.0.0.1:{port}"));
    stage.is_unreachable(port);
    let client = stage.client();
    stage.say(client, format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: srv={tag:016x}\r\n\r\n"));
    client
}

#[test]
fn a_session_waits_for_its_server_for_the_whole_connect_time_out() {
    for port in [1, 2] {
        let mut stage = Stage::new(sticky(), 10);
        let client = asked_unreachable(&mut stage, port);
        let is_elsewhere = |stage: &Stage| !stage.connections(3 - port).is_empty();
        is_over_after(limits().connect, &mut stage, is_elsewhere);
        let server = stage.connections(3 - port)[0];
        stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
        assert!(is_answered(&stage, client, 204), "{}", stage.received(client));
        assert!(stage.received(client).contains("Set-Cookie: srv="), "it is of another server now");
    }
}

#[test]
fn a_late_connection_is_used_by_its_session() {
    let mut stage = Stage::new(sticky(), 10);
    let client = asked_unreachable(&mut stage, 1);
    stage.pass(limits().connect - MOMENT);
    stage.all_are_reachable();
    let server = stage.connections(1)[0];
    stage.say(server, "");
    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(is_answered(&stage, client, 204), "{}", stage.received(client));
    assert!(!stage.received(client).contains("Set-Cookie"), "it is the same session");
    assert!(stage.connections(2).is_empty());
}

#[test]
fn a_session_leaves_a_server_that_is_found_down_while_it_connects() {
    let mut config = sticky();
    config.health.check = Check::Http;
    config.health.interval = Duration::from_secs(3600);
    config.timeouts.connect = Duration::from_secs(3600);
    let mut stage = Stage::new(config, 10);
    let client = asked_unreachable(&mut stage, 1);
    stage.pass(Duration::from_secs(10));
    let served =
        stage.connections(2).into_iter().filter(|&it| stage.received(it).contains("Host: x"));
    assert_eq!(served.count(), 1, "{}", stage.received(client));
}
