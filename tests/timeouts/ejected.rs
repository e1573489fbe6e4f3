//! How long a server is out that `--fall-on-5xx` ejects.

use super::stage::Stage;
use super::{GET, config, to_the_first};
use loadbalancer::config::Mode;
use std::time::Duration;

#[test]
fn a_server_is_ejected_from_the_end_of_the_response_on() {
    let second = Duration::from_secs(1);
    let mut config = config(&[1, 2], Mode::Http);
    config.health.interval = second;
    config.health.fall_on_5xx = Some(1);
    let ejection = 5 * config.health.interval;
    let mut stage = Stage::new(config, 10);
    let client = stage.client();
    stage.say(client, GET);
    let [server] = stage.connections(1)[..] else { panic!("one connection") };
    stage.received_since(server);
    stage.say(server, "HTTP/1.1 500 Wrong\r\nContent-Length: 5\r\n\r\n1234");
    stage.pass(ejection);
    stage.say(server, "5");
    assert!(stage.received(client).ends_with("12345"), "{}", stage.received(client));
    let other = stage.client();
    stage.pass(ejection - second / 10);
    assert_eq!(to_the_first(&mut stage, other, 10), 0, "it is out");
    // It comes back with the next look at it.
    stage.pass(2 * second);
    assert_eq!(to_the_first(&mut stage, other, 10), 5, "it is back");
}
