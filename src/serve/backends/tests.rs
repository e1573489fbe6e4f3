//! What becomes of the addresses that lookups bring.

use super::*;
use crate::config::HostPort;
use crate::net::resolver::Answer;
use std::net::SocketAddr;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().expect("a socket address")).collect()
}

/// Over one line of a list, in a program that listens on 10.0.0.1:80.
fn over(host: &str) -> Backends {
    let endpoint = HostPort::on(host, 80);
    let listed = vec![Listed { line: 7, spec: BackendSpec::new(endpoint) }];
    let lists = Lists { given: Vec::new(), file: None, listed, skipped: 0 };
    let waker = Kernel::new().expect("a poll").waker();
    let own = OwnAddresses::new(addresses(&["10.0.0.1:80"]));
    Backends::new(lists, Resolver::by(waker, |_| Ok(Vec::new())), own)
}

#[test]
fn whatever_a_lookup_brings_own_addresses_are_not_used() {
    let mut backends = over("a");
    for (name, answer, used, part) in [
        ("another", &["10.0.0.2:0"][..], &["10.0.0.2:80"][..], None),
        ("moves here", &["10.0.0.1:0"], &[], Some("so this server is not used")),
        (
            "is here and elsewhere",
            &["10.0.0.1:0", "10.0.0.3:0"],
            &["10.0.0.3:80"],
            Some("so that address is not used"),
        ),
        ("moves away", &["10.0.0.3:0"], &["10.0.0.3:80"], None),
    ] {
        let outcome = Ok(addresses(answer));
        backends.names.record(Answer { host: "a".to_owned(), outcome });
        let members: Vec<String> = backends
            .members()
            .0
            .into_iter()
            .flat_map(|member| member.addresses)
            .map(|it| it.to_string())
            .collect();
        assert_eq!(members, used, "{name}");
        let lines = backends.unused(|_| true);
        assert_eq!(lines.len(), usize::from(part.is_some()), "{name}: {lines:?}");
        let said = lines.first().map_or("", String::as_str);
        assert!(part.is_none_or(|part| said.contains(part)), "{name}: {said}");
    }
}

#[test]
fn a_written_address_of_another_port_or_machine_is_used() {
    for (host, is_used) in [("10.0.0.1", false), ("10.0.0.2", true)] {
        assert_eq!(over(host).members().0.len(), usize::from(is_used), "{host}");
    }
}
