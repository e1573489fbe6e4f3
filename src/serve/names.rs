//! The addresses of host names, as far as they are known.

use crate::base::address::Address;
use crate::base::reason::reason;
use crate::config::{Endpoint, HostPort};
use crate::net::resolver::Answer;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Host names with their last answers.
#[derive(Debug, Default)]
pub struct Names(HashMap<String, Name>);

#[derive(Debug, Default)]
struct Name {
    /// Of the last answer that had any, the port being 0; empty before it.
    addresses: Vec<SocketAddr>,
    /// Why the last lookup failed; none if it did not.
    failure: Option<String>,
}

/// What an answer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Nothing, not even what is reported.
    Same,
    /// The addresses.
    Addresses,
    /// The lookup fails, or for another reason than before; known addresses stay.
    Failure,
}

/// The name to look up for this endpoint; none where the address is written there.
pub fn name_of(endpoint: &Endpoint) -> Option<&str> {
    endpoint.host_name()
}

impl Names {
    /// Where this endpoint may be, in the order to try; none if its name is not known yet. A bare
    /// port is on this machine.
    pub fn addresses(&self, endpoint: &Endpoint) -> Option<Vec<Address>> {
        let HostPort { host, port } = match endpoint {
            Endpoint::Tcp(at) => at,
            Endpoint::Unix(name) => return Some(vec![name.clone().into()]),
        };
        let at = |ip: &IpAddr| Address::Ip(SocketAddr::from((*ip, *port)));
        let ips = |ips: &[IpAddr]| ips.iter().map(at).collect();
        let Some(host) = host else {
            return Some(ips(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
        };
        if let Ok(ip) = host.parse() {
            return Some(ips(&[ip]));
        }
        let name = self.0.get(host).filter(|name| !name.addresses.is_empty())?;
        Some(name.addresses.iter().map(|address| at(&address.ip())).collect())
    }

    /// Remembers an answer.
    pub fn record(&mut self, answer: Answer) -> Recorded {
        let name = self.0.entry(answer.host).or_default();
        match answer.outcome {
            Ok(addresses) => {
                let has_failed = name.failure.take().is_some();
                // DNS servers answer in another order each time.
                let is_known = |one: &SocketAddr| name.addresses.contains(one);
                let is_new =
                    name.addresses.len() != addresses.len() || !addresses.iter().all(is_known);
                if is_new {
                    name.addresses = addresses;
                }
                if is_new || has_failed { Recorded::Addresses } else { Recorded::Same }
            }
            Err(error) => {
                let failure = Some(reason(&error));
                let is_new = name.failure != failure;
                name.failure = failure;
                if is_new { Recorded::Failure } else { Recorded::Same }
            }
        }
    }

    /// Its addresses, for people; empty if none is known.
    pub fn shown(&self, host: &str) -> String {
        let addresses = self.0.get(host).map(|name| &name.addresses[..]).unwrap_or_default();
        let mut shown: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
        shown.sort();
        shown.join(", ")
    }

    /// Why the last lookup of this name failed; none if it did not.
    pub fn failure(&self, host: &str) -> Option<&str> {
        self.0.get(host)?.failure.as_deref()
    }

    /// The names whose last lookup failed.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.0.iter().filter(|(_, name)| name.failure.is_some());
        failed.map(|(host, _)| host.clone()).collect()
    }

    /// Forgets the names that are not among these.
    pub fn retain(&mut self, hosts: &HashSet<&str>) {
        self.0.retain(|host, _| hosts.contains(host.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn answer(outcome: Result<u8, &str>) -> Answer {
        let address = |last| vec![SocketAddr::from(([10, 0, 0, last], 0))];
        let outcome = outcome.map(address).map_err(io::Error::other);
        Answer { host: "a".to_owned(), outcome }
    }

    #[test]
    fn an_address_needs_no_answer() {
        let names = Names::default();
        for (text, expected) in [
            ("80", Some(vec!["127.0.0.1:80", "[::1]:80"])),
            ("10.0.0.1:80", Some(vec!["10.0.0.1:80"])),
            ("[2001:db8::1]:80", Some(vec!["[2001:db8::1]:80"])),
            ("a:80", None),
            ("unix:/a", Some(vec!["unix:/a"])),
            ("unix:@a", Some(vec!["unix:@a"])),
        ] {
            let endpoint = Endpoint::backend(text).expect(text);
            let addresses = names.addresses(&endpoint);
            let shown = addresses.map(|all| all.iter().map(ToString::to_string).collect());
            let expected: Option<Vec<String>> =
                expected.map(|all| all.iter().map(ToString::to_string).collect());
            assert_eq!(shown, expected, "{text}");
            assert_eq!(name_of(&endpoint).is_some(), text == "a:80", "{text}");
        }
    }

    #[test]
    fn a_name_that_fails_keeps_the_addresses_it_had() {
        let mut names = Names::default();
        let endpoint = Endpoint::from(HostPort::on("a", 80));
        for (name, outcome, recorded, last) in [
            ("fails at first", Err("dead"), Recorded::Failure, None),
            ("fails again", Err("dead"), Recorded::Same, None),
            ("is known", Ok(1), Recorded::Addresses, Some(1)),
            ("is the same", Ok(1), Recorded::Same, Some(1)),
            ("fails", Err("dead"), Recorded::Failure, Some(1)),
            ("fails otherwise", Err("unknown"), Recorded::Failure, Some(1)),
            ("is the same again", Ok(1), Recorded::Addresses, Some(1)),
            ("has moved", Ok(2), Recorded::Addresses, Some(2)),
        ] {
            assert_eq!(names.record(answer(outcome)), recorded, "{name}");
            let expected =
                last.map(|last| vec![Address::Ip(SocketAddr::from(([10, 0, 0, last], 80)))]);
            assert_eq!(names.addresses(&endpoint), expected, "{name}");
            assert_eq!(names.failure("a").is_some(), outcome.is_err(), "{name}");
        }
        names.retain(&HashSet::new());
        assert_eq!(names.addresses(&endpoint), None);
    }
}
