//! Which instance of this program has an address.

use crate::config::{Config, Endpoint};
use crate::net::control;
use crate::net::{listen, privileges};
use crate::observe::event_time::Utc;
use crate::wire::command::Command;
use crate::wire::info::Info;
use crate::wire::name::Name;
use std::net::SocketAddr;
use std::time::Duration;

/// Longest wait for what it says of itself.
const LIMIT: Duration = Duration::from_secs(2);

/// The instance that listens at `at`, if this process may ask it.
pub fn instance_at(at: &Endpoint) -> Option<Name> {
    let user = control::user();
    let mut names = control::names();
    names.retain(|name| (user == 0 || name.user == user) && is_at(name, at));
    // One that has its process in its name is about to end, or shares the address.
    names.sort_by_key(|name| name.process);
    names.into_iter().next()
}

fn is_at(name: &Name, at: &Endpoint) -> bool {
    let Ok(listen) = name.listen.parse::<SocketAddr>() else { return false };
    match at.host.as_deref() {
        _ if listen.port() != at.port => false,
        None => listen.ip().is_unspecified(),
        Some(host) => listen::resolve(host, at.port).is_ok_and(|them| them.contains(&listen)),
    }
}

/// Who has the address, as the rest of a sentence: for one that is in use.
pub fn holder(at: &Endpoint) -> Option<String> {
    let name = control::names().into_iter().find(|name| is_at(name, at))?;
    let user = privileges::user_name(name.user).unwrap_or_else(|| name.user.to_string());
    let info = match control::ask(&name, &Command::Info.to_string(), LIMIT) {
        Ok(control::Answer::Done(text)) => Info::read(&text),
        Ok(control::Answer::Refused(_)) | Err(_) => None,
    };
    Some(match info {
        Some(Info { process, started, .. }) => format!(
            "loadbalancer, process {process} of the user {user} since {}; add --takeover to \
             replace it",
            Utc(started)
        ),
        None => format!(
            "loadbalancer of the user {user}; start as that user with --takeover to replace it"
        ),
    })
}

/// Where a process listens that replaces the instance of this name.
pub fn future_addresses(config: &Config, name: &Name) -> Vec<SocketAddr> {
    let admin = config.admin.iter().flat_map(|admin| {
        let Endpoint { host, port } = admin.at();
        host.as_deref().and_then(|host| listen::resolve(host, *port).ok()).unwrap_or_default()
    });
    name.listen.parse().into_iter().chain(admin).collect()
}
