//! Health checks that cannot go on.

use super::{MOMENT, config};
use crate::stage::Stage;
use loadbalancer::config::Mode;
use loadbalancer::health::Check;
use loadbalancer::wire::proxy_protocol::Version;

#[test]
fn a_probe_whose_proxy_header_has_no_room_is_not_stepped_until_it_has() {
    let mut config = config(&[1], Mode::Tcp);
    config.health.check = Check::Tcp;
    config.backends[0].send_proxy = Some(Version::V2);
    let mut stage = Stage::new(config, 10);
    stage.servers_take(5);
    while stage.connections(1).is_empty() {
        stage.pass(MOMENT);
    }
    let [probe] = stage.connections(1)[..] else { panic!("one probe") };
    stage.begin_to_say(probe, "hello");
    let before = stage.looks();
    (0..20).for_each(|_| stage.turn());
    let looks = stage.looks() - before;
    assert!(looks <= 1, "{looks} turns without a wait");
}
