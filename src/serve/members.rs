//! What the configured backends are once their names are resolved: one member each, or one for each
//! address of a name (`each`). Pure.

use crate::base::address::Address;
use crate::config::{BACKENDS_MAX, BackendSpec, Endpoint, Naming};
use crate::proxy::Member;
use std::collections::HashSet;

/// The members that one backend with these addresses stands for. Those `seen` before are left out:
/// two names may have the same address.
pub fn members_of(
    spec: &BackendSpec,
    addresses: Vec<Address>,
    seen: &mut HashSet<Endpoint>,
) -> Vec<Member> {
    let host = match (&spec.naming, spec.endpoint.host_name()) {
        (Naming::Each, Some(host)) => host,
        (Naming::Each | Naming::AsWritten | Naming::Of(_), _) => {
            let is_new = seen.insert(spec.endpoint.clone());
            let member = Member { spec: spec.clone(), addresses };
            return is_new.then_some(member).into_iter().collect();
        }
    };
    let member = |address: Address| {
        let Address::Ip(at) = &address else { return None };
        let endpoint = Endpoint::from(*at);
        let naming = Naming::Of(host.to_owned());
        let spec = BackendSpec { endpoint, naming, ..spec.clone() };
        seen.insert(spec.endpoint.clone()).then(|| Member { spec, addresses: vec![address] })
    };
    addresses.into_iter().filter_map(member).collect()
}

/// All members in the order of the backends, [`BACKENDS_MAX`] at most, and how many more there
/// would be.
pub fn members<'a>(
    backends: impl Iterator<Item = (&'a BackendSpec, Vec<Address>)>,
) -> (Vec<Member>, usize) {
    let mut seen = HashSet::new();
    let mut all: Vec<Member> =
        backends.flat_map(|(spec, addresses)| members_of(spec, addresses, &mut seen)).collect();
    let surplus = all.len().saturating_sub(BACKENDS_MAX);
    all.truncate(BACKENDS_MAX);
    (all, surplus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;
    use std::net::{Ipv4Addr, SocketAddr};

    fn addresses(count: u32) -> Vec<Address> {
        let at = |number: u32| SocketAddr::from((Ipv4Addr::from(0x0A00_0000 + number), 80));
        (1..=count).map(|number| at(number).into()).collect()
    }

    fn spec(host: &str, naming: Naming) -> BackendSpec {
        BackendSpec { naming, weight: 3, ..BackendSpec::new(HostPort::on(host, 80)) }
    }

    fn shown(members: &[Member]) -> Vec<String> {
        members.iter().map(|member| member.spec.to_string()).collect()
    }

    #[test]
    fn a_name_is_one_backend_or_one_for_each_address() {
        let given = spec("web", Naming::AsWritten);
        let (all, _) = members([(&given, addresses(3))].into_iter());
        assert_eq!(shown(&all), ["web:80"]);
        assert_eq!(all[0].addresses.len(), 3);
        let given = spec("web", Naming::Each);
        let (all, _) = members([(&given, addresses(3))].into_iter());
        assert_eq!(shown(&all), ["10.0.0.1:80 (web)", "10.0.0.2:80 (web)", "10.0.0.3:80 (web)"]);
        assert!(all.iter().all(|one| one.addresses.len() == 1 && one.spec.weight == 3));
    }

    #[test]
    fn an_address_of_two_names_is_one_backend() {
        let given = [spec("10.0.0.2", Naming::AsWritten), spec("web", Naming::Each)];
        let known = [(&given[0], addresses(2).split_off(1)), (&given[1], addresses(2))];
        let (all, _) = members(known.into_iter());
        assert_eq!(shown(&all), ["10.0.0.2:80", "10.0.0.1:80 (web)"]);
    }

    #[test]
    fn backends_stop_at_the_maximum() {
        for (count, kept, more) in [(1_000, 1_000, 0), (1_001, 1_000, 1)] {
            let given = spec("web", Naming::Each);
            let (all, surplus) = members([(&given, addresses(count))].into_iter());
            assert_eq!((all.len(), surplus), (kept, more));
        }
    }
}
