//! Limits of each client address: how many requests it sends (`--rate`), and how many connections it
//! has (`--max-connections-per-client`). Pure book-keeping.

use super::buckets::{Admission, Buckets, client_of};
use crate::base::time::Instant;
use crate::config::Config;
use std::collections::HashMap;
use std::net::IpAddr;

/// The limits, and what clients have of them now.
#[derive(Debug)]
pub struct PerClient {
    buckets: Option<Buckets>,
    connections_max: Option<u32>,
    /// Connections by client, of those that have any: no more than clients are connected.
    connections: HashMap<u64, u32>,
}

/// What a connection has of the connections that its client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Nothing: it is not limited, or one too many.
    Free,
    /// One of them.
    Taken,
}

impl PerClient {
    /// As configured; `salt` decides how clients are spread in the table.
    pub fn new(config: &Config, salt: u64) -> PerClient {
        PerClient {
            buckets: config.rate.map(|limit| Buckets::new(limit, salt)),
            connections_max: config.connections_per_client,
            connections: HashMap::new(),
        }
    }

    /// Whether requests are limited.
    #[inline]
    pub fn limits_requests(&self) -> bool {
        self.buckets.is_some()
    }

    /// Whether connections are limited.
    pub fn limits_connections(&self) -> bool {
        self.connections_max.is_some()
    }

    /// A client sends a request, or a session begins.
    pub fn request(&mut self, ip: IpAddr, now: Instant) -> Admission {
        match &mut self.buckets {
            Some(buckets) => buckets.take(client_of(ip), now),
            None => Admission::Admitted,
        }
    }

    /// A client has one more connection; whether it may.
    pub fn connected(&mut self, ip: IpAddr) -> bool {
        let Some(most) = self.connections_max else { return true };
        let count = self.connections.entry(client_of(ip)).or_default();
        let may = *count < most;
        *count += u32::from(may);
        may
    }

    /// A connection that was counted has ended.
    pub fn disconnected(&mut self, ip: IpAddr) {
        let client = client_of(ip);
        let count = self.connections.get_mut(&client).expect("what ends was counted");
        *count -= 1;
        if *count == 0 {
            self.connections.remove(&client);
        }
    }

    /// Connections that are counted, for the invariants.
    pub fn connections(&self) -> usize {
        self.connections.values().map(|&count| count as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let config = Config { connections_per_client: Some(2), ..Config::default() };
        let mut clients = PerClient::new(&config, 1);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().expect("an address"));
        assert!(clients.connected(one) && clients.connected(one) && !clients.connected(one));
        assert!(clients.connected(other));
        clients.disconnected(one);
        assert!(clients.connected(one) && !clients.connected(one));
        assert_eq!(clients.connections(), 3);
        for ip in [one, one, other] {
            clients.disconnected(ip);
        }
        assert!(clients.connections.is_empty(), "nothing is kept of those that are gone");
    }
}
