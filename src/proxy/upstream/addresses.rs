//! The addresses a backend's name stands for, and which of them is used. Pure.

use crate::base::address::Address;
use crate::base::connect_fault::ConnectFault;
use std::io::ErrorKind;

/// What follows from an address that could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// Another address of the backend is to be tried.
    TryNextAddress,
    /// All have failed: evidence against the backend.
    AllAddressesFailed(ConnectFault),
    /// This machine had no port left for one of them: no evidence.
    NoLocalPort,
}

/// What the addresses that failed in a row say about the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// They could not be connected to.
    Failed(ConnectFault),
    /// This machine had no port left for one of them. The others say nothing then: they may refuse
    /// because the backend listens on that one only.
    NoLocalPort,
}

/// Addresses in the order they are tried, at least one.
#[derive(Debug)]
pub struct Addresses {
    all: Vec<Address>,
    /// Index of the one in use.
    current: usize,
    /// Addresses in a row that could not be connected to.
    misses: usize,
    /// What they failed with, taken together.
    fault: Fault,
    /// The name has stood for another address.
    has_lost_some: bool,
}

impl Addresses {
    /// The first is tried first.
    pub fn new(all: &[Address]) -> Addresses {
        assert!(!all.is_empty(), "a name that is not known makes no member");
        Addresses {
            all: all.to_vec(),
            current: 0,
            misses: 0,
            fault: Fault::None,
            has_lost_some: false,
        }
    }

    /// Where to connect to now.
    pub fn current(&self) -> &Address {
        &self.all[self.current]
    }

    /// Whether the name stands for this one, for which it has stood before.
    #[inline]
    pub fn contains(&self, address: &Address) -> bool {
        !self.has_lost_some || self.all.contains(address)
    }

    /// The name stands for these now; whether an address is gone. The one in use stays in use if it
    /// is among them.
    pub fn replace(&mut self, all: &[Address]) -> bool {
        let used = self.current().clone();
        let is_gone = self.all.iter().any(|old| !all.contains(old));
        let has_lost_some = self.has_lost_some || is_gone;
        if self.all != all {
            *self = Addresses::new(all);
            self.current = all.iter().position(|one| *one == used).unwrap_or(0);
            self.has_lost_some = has_lost_some;
        }
        is_gone
    }

    /// This address could not be connected to, so the next one is used. Once all have failed in a
    /// row the backend itself has.
    pub fn failed(&mut self, address: &Address, fault: ConnectFault) -> ConnectFailure {
        if address != self.current() {
            // Another attempt has found that out before, or the name has changed.
            return ConnectFailure::TryNextAddress;
        }
        self.current = (self.current + 1) % self.all.len();
        self.misses += 1;
        const NO_PORT: ConnectFault = ConnectFault::System(ErrorKind::AddrNotAvailable);
        self.fault = match (self.fault, fault) {
            (Fault::NoLocalPort, _) | (_, NO_PORT) => Fault::NoLocalPort,
            (Fault::None | Fault::Failed(_), fault) => Fault::Failed(fault),
        };
        if self.misses < self.all.len() {
            return ConnectFailure::TryNextAddress;
        }
        self.misses = 0;
        match std::mem::replace(&mut self.fault, Fault::None) {
            Fault::Failed(fault) => ConnectFailure::AllAddressesFailed(fault),
            Fault::None | Fault::NoLocalPort => ConnectFailure::NoLocalPort,
        }
    }

    /// The current address was connected to.
    pub fn works(&mut self) {
        (self.misses, self.fault) = (0, Fault::None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const REFUSED: ConnectFault = ConnectFault::System(ErrorKind::ConnectionRefused);

    fn addresses(ports: &[u16]) -> Vec<Address> {
        let address = |&port| SocketAddr::from(([127, 0, 0, 1], port)).into();
        ports.iter().map(address).collect()
    }

    #[test]
    fn only_when_all_fail_in_a_row_the_backend_has() {
        use ConnectFailure::{AllAddressesFailed, NoLocalPort, TryNextAddress};
        let all = addresses(&[1, 2]);
        let mut two = Addresses::new(&all);
        assert_eq!(two.failed(&all[0], REFUSED), TryNextAddress);
        assert_eq!(two.failed(&all[0], REFUSED), TryNextAddress, "known already");
        assert_eq!(two.current(), &all[1]);
        two.works();
        assert_eq!(two.failed(&all[1], REFUSED), TryNextAddress, "counted from zero");
        assert_eq!(
            two.failed(&all[0], ErrorKind::TimedOut.into()),
            AllAddressesFailed(ErrorKind::TimedOut.into())
        );
        let no_port = ConnectFault::System(ErrorKind::AddrNotAvailable);
        assert_eq!(two.failed(&all[1], REFUSED), TryNextAddress);
        assert_eq!(two.failed(&all[0], no_port), NoLocalPort, "it may listen there only");
        assert_eq!(two.failed(&all[1], no_port), TryNextAddress);
        assert_eq!(two.failed(&all[0], no_port), NoLocalPort);
    }

    #[test]
    fn a_changed_name_keeps_the_address_in_use_if_it_still_stands_for_it() {
        for (name, new, current, is_gone) in [
            ("the same", &[1, 2, 3][..], 2, false),
            ("another order", &[3, 2, 1], 2, false),
            ("one more", &[4, 1, 2, 3], 2, false),
            ("one less", &[2, 3], 2, true),
            ("the one in use is gone", &[3, 1], 3, true),
            ("all others", &[7, 8], 7, true),
        ] {
            let all = addresses(&[1, 2, 3]);
            let mut addresses_now = Addresses::new(&all);
            addresses_now.failed(&all[0], REFUSED);
            assert_eq!(addresses_now.replace(&addresses(new)), is_gone, "{name}");
            assert_eq!(*addresses_now.current(), addresses(&[current])[0], "{name}");
            assert_eq!(addresses_now.contains(&all[0]), new.contains(&1), "{name}");
        }
    }

    #[test]
    fn a_failure_at_an_address_that_is_gone_counts_for_none() {
        let all = addresses(&[1, 2]);
        let mut moved = Addresses::new(&all[..1]);
        moved.replace(&all[1..]);
        assert_eq!(moved.failed(&all[0], REFUSED), ConnectFailure::TryNextAddress);
        assert_eq!(moved.current(), &all[1]);
    }
}
