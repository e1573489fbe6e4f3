//! The rows of the option table about the admin listener.

use super::modes::{EVERY, HEADS};
use super::option::{Group, Opt, Take};
use super::value::{host_name, target};
use crate::config::{AdminAddress, Config, HostPort};

pub const ADMIN: Opt<Config> = Opt {
    long: "admin",
    short: None,
    value: "ADDR",
    group: Group::Admin,
    help: "Answer /metrics, /status, /live, /ready and a live page here; a port alone listens on \
           127.0.0.1",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| {
            let mut at = HostPort::listener(v).map_err(|error| error.to_string())?;
            at.host.get_or_insert_with(|| "127.0.0.1".to_owned());
            c.admin = Some(AdminAddress::Given(at));
            Ok(())
        },
        default: |c| c.admin.as_ref().map_or("off".to_owned(), |admin| admin.at().to_string()),
    },
};

pub const ADMIN_HOST: Opt<Config> = Opt {
    long: "admin-host",
    short: None,
    value: "NAME",
    group: Group::Admin,
    help: "Answer there when this is the Host, too, not only to addresses and localhost; may be \
           repeated",
    modes: EVERY,
    take: Take::Each {
        add: |c, v| host_name(v).map(|name| c.admin_hosts.push(name)),
        shown: |c| c.admin_hosts.clone(),
    },
};

pub const ADMIN_PUBLIC: Opt<Config> = Opt {
    long: "admin-public",
    short: None,
    value: "",
    group: Group::Admin,
    help: "Let --admin listen where other machines can reach it",
    modes: EVERY,
    take: Take::Flag { set: |c| c.admin_public = true, is_set: |c| c.admin_public },
};

pub const LIVE_PATH: Opt<Config> = Opt {
    long: "live-path",
    short: None,
    value: "PATH",
    group: Group::Admin,
    help: "Answer this path on the clients' port with 200 instead of forwarding it, for a balancer \
           in front",
    modes: HEADS,
    take: Take::Text {
        set: |c, v| target(v).map(|path| c.live_path = Some(path)),
        default: |c| c.live_path.clone().unwrap_or_else(|| "none".to_owned()),
    },
};
