//! The rows of the option table about what is in front of the balancer and around it.

use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use crate::config::{Config, TrustedProxies};

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
