//! Which instance of this program has an address.

use super::places::Places;
use crate::config::{Config, OwnAddresses};
use crate::net::control;
use crate::net::listen::{Place, TcpPlace};
use crate::net::privileges::{self, Identity};
use crate::observe::event_time::Utc;
use crate::observe::snapshot::Stage;
use crate::wire::command::Command;
use crate::wire::info::Info;
use crate::wire::name::{Name, listen_of};
use std::time::Duration;

/// Longest wait for what it says of itself.
const LIMIT: Duration = Duration::from_secs(2);

/// The instance at the address of `config`, if this process may replace it: one that runs as this
/// user, or as the user that root will run as.
pub fn replaceable(config: &Config, places: &Places) -> Option<Name> {
    let mut names = those_at(&places.clients);
    names.retain(|name| may_be_replaced(name.user, config) && !control::is_squatted(name));
    the_one(names, |name| is_running(info(name).as_ref()))
}

fn those_at(place: &Place) -> Vec<Name> {
    let mut names = control::names();
    names.retain(|name| match place {
        Place::Tcp(place) => name.listen.parse().is_ok_and(|at| place.has(at)),
        Place::Unix(socket) => name.listen == listen_of(&socket.clone().into()),
    });
    names
}

fn may_be_replaced(user: u32, config: &Config) -> bool {
    let own = control::user();
    let later = || Identity::find(config.user.as_deref()?).ok();
    user == own || own == 0 && later().is_some_and(|identity| identity.user() == user)
}

/// Of those at one address, the one without a process in its name: one with it is about to end or
/// shares the address. Without such a one, the only one that runs.
fn the_one(mut names: Vec<Name>, is_running: impl Fn(&Name) -> bool) -> Option<Name> {
    if let Some(name) = names.iter().find(|name| name.process.is_none()) {
        return Some(name.clone());
    }
    names.retain(is_running);
    (names.len() == 1).then(|| names.remove(0))
}

fn info(name: &Name) -> Option<Info> {
    match control::ask(name, &Command::Info.to_string(), LIMIT) {
        Ok(control::Answer::Done(text)) => Info::read(&text),
        Ok(control::Answer::Refused(_)) | Err(_) => None,
    }
}

/// Whether it is not about to end, as far as it says.
fn is_running(info: Option<&Info>) -> bool {
    info.is_none_or(|info| info.state == Stage::Running.name())
}

/// Who has the address, as the rest of a sentence: for one that is in use.
pub fn holder(config: &Config, place: &Place) -> Option<String> {
    let mut names = those_at(place);
    names.retain(|name| !control::is_squatted(name) && is_running(info(name).as_ref()));
    let count = names.len();
    let Some(name) = the_one(names, |_| true) else {
        return (count > 0).then(|| {
            format!(
                "{count} processes of loadbalancer that share it (--reuse-port), which --takeover \
                 does not replace"
            )
        });
    };
    let user = privileges::user_name(name.user).unwrap_or_else(|| name.user.to_string());
    Some(match (info(&name), may_be_replaced(name.user, config)) {
        (Some(Info { process, started, .. }), true) => format!(
            "loadbalancer, process {process} of the user {user} since {}; add --takeover to \
             replace it",
            Utc(started)
        ),
        (Some(Info { process, started, .. }), false) => format!(
            "loadbalancer, process {process} of the user {user} since {}; add --takeover and \
             --user {user} to replace it",
            Utc(started)
        ),
        (None, true) => format!("loadbalancer of the user {user}, which does not answer"),
        (None, false) => format!(
            "loadbalancer of the user {user}; start as that user with --takeover to replace it"
        ),
    })
}

/// Where a process listens that replaces the instance of this name.
pub fn future_addresses(places: &Places, name: &Name) -> OwnAddresses {
    let others = places.admin.iter().chain(&places.redirect).flat_map(TcpPlace::addresses);
    let own = OwnAddresses::new(name.listen.parse().into_iter().chain(others).collect());
    match &places.clients {
        Place::Tcp(_) => own,
        Place::Unix(socket) => own.with_socket(&socket.clone().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::address::{Address, UnixName};

    #[test]
    fn the_one_to_replace_is_the_one_that_goes_on() {
        let name = |process| Name { user: 0, listen: "127.0.0.1:80".to_owned(), process };
        let (plain, seven, eight) = (name(None), name(Some(7)), name(Some(8)));
        for (case, names, running, expected) in [
            ("none", vec![], vec![], None),
            ("one", vec![&plain], vec![], Some(&plain)),
            ("beside one that ends", vec![&seven, &plain], vec![], Some(&plain)),
            ("one that ends", vec![&seven], vec![], None),
            ("its name was taken", vec![&seven], vec![&seven], Some(&seven)),
            ("so it was, beside one that ends", vec![&seven, &eight], vec![&eight], Some(&eight)),
            ("several that share it", vec![&seven, &eight], vec![&seven, &eight], None),
        ] {
            let names = names.into_iter().cloned().collect();
            let found = the_one(names, |name| running.contains(&name));
            assert_eq!(found.as_ref(), expected, "{case}");
        }
    }

    #[test]
    fn every_listener_of_the_next_process_is_its_own() {
        let at = |host, port| TcpPlace::look_up(host, port).expect("an address");
        let mut places = Places {
            clients: Place::Tcp(at(Some("127.0.0.1"), 80)),
            admin: Some(at(None, 9000)),
            redirect: Some(at(Some("127.0.0.1"), 81)),
        };
        let name = |listen: &str| Name { user: 0, listen: listen.to_owned(), process: None };
        let own = future_addresses(&places, &name("127.0.0.1:80"));
        let socket = UnixName::Path("/run/lb.sock".to_owned());
        places.clients = Place::Unix(socket.clone());
        let on_socket = future_addresses(&places, &name("unix:,run,lb.sock"));
        let socket = Address::from(socket);
        let at = |text: &str| Address::Ip(text.parse().expect("an address"));
        for (address, is_own, is_own_on_socket) in [
            (at("127.0.0.1:80"), true, false),
            (at("127.0.0.1:9000"), true, true),
            (at("127.0.0.1:81"), true, true),
            (at("127.0.0.1:82"), false, false),
            (socket, false, true),
        ] {
            let found = (own.has(&address), on_socket.has(&address));
            assert_eq!(found, (is_own, is_own_on_socket), "{address}");
        }
    }
}
