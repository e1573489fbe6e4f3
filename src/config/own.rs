//! Whether connecting to an address reaches this program itself: a backend there is a loop, each
//! round of which takes two descriptors. Pure.

use crate::base::address::Address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses this program listens on.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    /// As bound: with its port, and with the unspecified address for all interfaces.
    listeners: Vec<SocketAddr>,
    /// The addresses of this machine's interfaces.
    machine: Vec<IpAddr>,
    /// The unix socket that it listens on.
    socket: Option<Address>,
}

impl OwnAddresses {
    /// Those of these listeners. For one on all interfaces only loopback addresses are known to be
    /// own until [`OwnAddresses::set_machine`] says more.
    pub fn new(listeners: Vec<SocketAddr>) -> OwnAddresses {
        OwnAddresses { listeners, machine: Vec::new(), socket: None }
    }

    /// The same with this one, if it is a unix socket.
    pub fn with_socket(self, address: &Address) -> OwnAddresses {
        match address {
            Address::Ip(_) => self,
            Address::Unix(_) => OwnAddresses { socket: Some(address.clone()), ..self },
        }
    }

    /// Whether a connection to `to` is accepted by this program.
    pub fn has(&self, to: &Address) -> bool {
        match to {
            Address::Ip(to) => self.contains(*to),
            Address::Unix(_) => self.socket.as_ref() == Some(to),
        }
    }

    /// The interfaces have these addresses now.
    pub fn set_machine(&mut self, addresses: Vec<IpAddr>) {
        self.machine = addresses;
    }

    /// Whether it depends on the machine's addresses what a server on one of `ports` is.
    pub fn needs_machine(&self, ports: impl IntoIterator<Item = u16>) -> bool {
        let on_all = |port| {
            let mut listeners = self.listeners.iter();
            listeners.any(|at| at.ip().is_unspecified() && at.port() == port)
        };
        ports.into_iter().any(on_all)
    }

    /// The same of an IP address.
    pub fn contains(&self, to: SocketAddr) -> bool {
        let ip = destination(to.ip());
        self.listeners.iter().any(|at| at.port() == to.port() && self.accepts(at.ip(), ip))
    }

    fn accepts(&self, listener: IpAddr, ip: IpAddr) -> bool {
        match listener.to_canonical() {
            // The kernel accepts IPv4 there as well.
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => self.is_of_machine(ip),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4() && self.is_of_machine(ip),
            at => at == ip,
        }
    }

    fn is_of_machine(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.machine.iter().any(|own| own.to_canonical() == ip)
    }
}

/// Where a connection to `ip` goes: an unspecified address stands for this machine.
fn destination(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(listeners: &[&str]) -> OwnAddresses {
        let read = |text: &&str| text.parse().expect("a socket address");
        let mut own = OwnAddresses::new(listeners.iter().map(read).collect());
        let machine = ["127.0.0.1", "::1", "10.0.0.1", "fd00::1"];
        own.set_machine(machine.map(|ip| ip.parse().expect("an address")).to_vec());
        own
    }

    #[test]
    fn an_address_is_own_if_a_listener_accepts_what_is_sent_there() {
        let (all, all_v4) = (&["[::]:80"][..], &["0.0.0.0:80"][..]);
        for (name, listeners, to, expected) in [
            ("the address", &["10.0.0.1:80"][..], "10.0.0.1:80", true),
            ("another port", &["10.0.0.1:80"], "10.0.0.1:81", false),
            ("another address", &["10.0.0.1:80"], "10.0.0.2:80", false),
            ("another address of the machine", &["10.0.0.1:80"], "127.0.0.1:80", false),
            ("the second listener", &["10.0.0.1:80", "127.0.0.1:9"], "127.0.0.1:9", true),
            ("an interface", all, "10.0.0.1:80", true),
            ("an interface, IPv6", all, "[fd00::1]:80", true),
            ("loopback", all, "127.0.0.1:80", true),
            ("anywhere in loopback", all, "127.9.9.9:80", true),
            ("loopback, IPv6", all, "[::1]:80", true),
            ("another machine", all, "10.0.0.2:80", false),
            ("another port of an interface", all, "10.0.0.1:81", false),
            ("an interface, listening on IPv4", all_v4, "10.0.0.1:80", true),
            ("IPv6, listening on IPv4", all_v4, "[fd00::1]:80", false),
            ("loopback in IPv6, listening on IPv4", all_v4, "[::1]:80", false),
            ("unspecified", all_v4, "0.0.0.0:80", true),
            ("unspecified, listening on loopback", &["127.0.0.1:80"], "0.0.0.0:80", true),
            ("unspecified, listening elsewhere", &["10.0.0.1:80"], "0.0.0.0:80", false),
            ("unspecified, IPv6", &["[::1]:80"], "[::]:80", true),
            ("IPv4 written as IPv6", &["10.0.0.1:80"], "[::ffff:10.0.0.1]:80", true),
            ("no listener", &[], "10.0.0.1:80", false),
        ] {
            let to = to.parse().expect("a socket address");
            assert_eq!(own(listeners).contains(to), expected, "{name}");
        }
    }

    #[test]
    fn the_machine_is_asked_for_only_where_that_decides() {
        for (listeners, ports, expected) in [
            (&["[::]:80"][..], &[81, 80][..], true),
            (&["0.0.0.0:80"], &[80], true),
            (&["0.0.0.0:80"], &[81], false),
            (&["0.0.0.0:80"], &[], false),
            (&["10.0.0.1:80"], &[80], false),
        ] {
            let ports = ports.iter().copied();
            assert_eq!(own(listeners).needs_machine(ports), expected, "{listeners:?}");
        }
    }
}
