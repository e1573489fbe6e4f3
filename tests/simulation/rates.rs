//! The rate of each client (`--rate`): who may be refused, and how many may be served.

use super::kernel::LinkId;
use loadbalancer::config::RateLimit;
use std::collections::HashMap;

/// The rates of a run. Each connection comes from an address of its own.
#[derive(Debug, Default)]
pub struct Rates {
    limit: Option<RateLimit>,
    /// For each connection, when its first response was read, and how many requests of it were
    /// admitted.
    served: HashMap<LinkId, (u64, u64)>,
    /// Requests that were refused.
    pub refused: u64,
}

impl Rates {
    pub fn new(limit: Option<RateLimit>) -> Rates {
        Rates { limit, ..Rates::default() }
    }

    /// Whether a request that came after `before` others on its connection may get a 429.
    pub fn may_refuse(&self, before: usize) -> bool {
        self.limit.is_some_and(|limit| before >= limit.burst as usize)
    }

    /// A request that began at `begun` was admitted, and answered by `now`: not more than the burst
    /// and the rate since the first one allow.
    pub fn admitted(&mut self, link: Option<LinkId>, begun: u64, now: u64) {
        let (Some(limit), Some(link)) = (self.limit, link) else { return };
        let (first, count) = self.served.entry(link).or_insert((begun, 0));
        *count += 1;
        let filled = (now - *first) * u64::from(limit.per_second) / 1_000_000;
        let most = u64::from(limit.burst) + filled + 1;
        assert!(*count <= most, "{count} requests of {link}, {most} are allowed: {limit}");
    }
}
