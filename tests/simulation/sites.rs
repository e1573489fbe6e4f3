//! Sites: the addresses that the names of servers stand for.

use super::kernel::Dice;
use loadbalancer::base::address::{Address, UnixName};
use loadbalancer::base::rng::Rng;
use std::net::SocketAddr;

/// Addresses a name may stand for; each belongs to one name. A site is an address.
pub const SITES_PER_NAME: usize = 3;

/// Some of a name's addresses, at least one, in any order.
pub fn draw(name: usize, rng: &mut Rng) -> Vec<usize> {
    let mut sites: Vec<usize> = (0..SITES_PER_NAME).map(|at| name * SITES_PER_NAME + at).collect();
    let count = rng.between(1, SITES_PER_NAME as u64) as usize;
    for at in 0..count {
        sites.swap(at, rng.between(at as u64, SITES_PER_NAME as u64 - 1) as usize);
    }
    sites.truncate(count);
    sites
}

/// Every other site is a unix socket.
pub fn address(site: usize) -> Address {
    match site % 2 {
        0 => SocketAddr::from(([127, 0, 0, 1], site as u16 + 1)).into(),
        _ => UnixName::Path(format!("/{site}")).into(),
    }
}

/// The site that has this address.
pub fn at(address: &Address) -> usize {
    match address {
        Address::Ip(address) => usize::from(address.port()) - 1,
        Address::Unix(name) => {
            let text = name.to_string();
            let number = text.strip_prefix("unix:/").and_then(|number| number.parse().ok());
            number.unwrap_or_else(|| panic!("no site is at {text}"))
        }
    }
}
