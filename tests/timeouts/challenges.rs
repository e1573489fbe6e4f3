//! The files of `--acme-webroot`, which may be slow to read.

use super::stage::Stage;
use super::{config, is_answered, is_over_after};
use loadbalancer::config::Mode;
use std::path::PathBuf;
use std::time::Duration;

const READ_MAX: Duration = Duration::from_secs(10);

fn over_webroot() -> Stage {
    let mut config = config(&[1], Mode::Http);
    config.acme_webroot = Some(PathBuf::from("webroot"));
    Stage::new(config, 10)
}

const CHALLENGE: &str = "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_file_may_take_as_long_to_read_when_the_program_is_to_stop() {
    for stops in [false, true] {
        let mut stage = over_webroot();
        let client = stage.client();
        stage.say(client, CHALLENGE);
        if stops {
            stage.stop();
        }
        is_over_after(READ_MAX, &mut stage, |stage| is_answered(stage, client, 503));
    }
}
