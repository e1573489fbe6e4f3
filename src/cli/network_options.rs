//! The rows of the option table about what is in front of the balancer and around it.

use super::duration::LONGEST;
use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use crate::config::{Config, TrustedProxies, quote};
use std::time::Duration;

pub const SOCKET_MODE: Opt<Config> = Opt {
    long: "socket-mode",
    short: None,
    value: "MODE",
    group: Group::Where,
    help: "Mode of the file of a unix socket to listen on, in octal: who may write may connect",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| file_mode(v).map(|mode| c.socket_mode = Some(mode)),
        default: |c| {
            c.socket_mode.map_or_else(|| "by the umask".to_owned(), |mode| format!("{mode:03o}"))
        },
    },
};

/// Permissions in octal digits.
fn file_mode(text: &str) -> Result<u32, String> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|&mode| is_octal && mode <= 0o777)
        .ok_or_else(|| format!("{} is not a file mode: write one like 660", quote(text)))
}

/// Shortest time between two lookups of a name, so that DNS servers are not flooded.
const RESOLVE_MIN: Duration = Duration::from_millis(100);

pub const RESOLVE_INTERVAL: Opt<Config> = Opt {
    long: "resolve-interval",
    short: None,
    value: "TIME",
    group: Group::Where,
    help: "Look the names of backends up again after so long",
    modes: EVERY,
    take: Take::Duration { at: |c| &mut c.timeouts.resolve, least: RESOLVE_MIN, most: LONGEST },
};

/// Stands for every peer.
const ANY: &str = "any";

pub const PROXY_PROTOCOL: Opt<Config> = Opt {
    long: "proxy-protocol",
    short: None,
    value: "FROM,...",
    group: Group::Where,
    help: "Require a PROXY header (version 1 or 2) of these peers, addresses or networks \
           (10.0.0.0/8), or any: the client is the one it names",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| {
            c.proxy_protocol = match v {
                ANY => TrustedProxies::All,
                networks => TrustedProxies::parse(networks)
                    .map_err(|problem| format!("{problem}, or any"))?,
            };
            Ok(())
        },
        default: |c| match &c.proxy_protocol {
            TrustedProxies::All => ANY.to_owned(),
            proxies => proxies.to_string(),
        },
    },
};
