//! Which backend gets the next request: pure decisions over the figures the caller keeps current.
//!
//! [`Balancer`] is what the proxy owns. It knows who may be picked and tells its policy of every
//! change, so that a pick costs O(log n) and allocates nothing. By hash it may cost more: it
//! walks the ring past backends that are down or hold more than their share, at worst O(n), and the
//! first pick after the backends have changed builds the ring. It opens no socket, reads no clock
//! and rolls no dice of its own: time and seed are arguments.

mod balancer;
mod draw;
mod explain;
mod first;
mod hashed;
mod heap;
mod least_conn;
mod least_load;
mod least_time;
mod p2c;
mod policy;
mod random;
mod rank;
mod round_robin;
#[cfg(test)]
mod tests;
mod turns;

pub use balancer::{Balancer, Candidate, Spec, Standing};
pub use explain::{Explanation, Named, Passed, Reason, Skip};
pub use least_conn::Level;
pub use least_load::Load;
pub use least_time::{Pace, Score};
pub use policy::Hint;

use crate::base::rng::Rng;

/// The strategies by which a backend can be chosen (`-s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Always the first eligible one, in the given order.
    First,
    /// In turn, by weight (smooth).
    RoundRobin,
    /// Uniformly at random, by weight.
    Random,
    /// Fewest in-flight pairs per weight.
    LeastConn,
    /// Lowest average response time.
    LeastTime,
    /// Fewest requests as reported by the health check.
    LeastLoad,
    /// At random, weighted by the rank of the last probe's time.
    Rank,
    /// The better of two random ones by in-flight pairs.
    PowerOfTwo,
    /// Consistent hash of the client's address, bounded load.
    Source,
    /// Consistent hash of the request target, bounded load.
    Uri,
    /// Consistent hash of a request field, bounded load.
    Header,
}

/// How one strategy is called on the command line.
#[derive(Debug)]
pub struct Name {
    /// The strategy meant.
    pub strategy: Strategy,
    /// Its canonical name, as shown by `--help` and in decision records.
    pub name: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [&'static str],
    /// What it picks, in one line.
    pub about: &'static str,
}

const fn row(
    strategy: Strategy,
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
) -> Name {
    Name { strategy, name, aliases, about }
}

/// Every strategy, in the order `--help` lists them; one row each.
pub const NAMES: [Name; 11] = [
    row(Strategy::First, "first", &["n2one"], "the first healthy one, in the given order"),
    row(Strategy::RoundRobin, "rr", &["round-robin"], "in turn, by weight"),
    row(Strategy::Random, "rand", &["random"], "at random, by weight"),
    row(Strategy::LeastConn, "least-conn", &["lc"], "fewest in-flight pairs per weight"),
    row(Strategy::LeastTime, "least-time", &["lrt"], "lowest average response time per weight"),
    row(Strategy::LeastLoad, "least-load", &["load"], "fewest requests by its own health report"),
    row(Strategy::Rank, "rank", &[], "at random, the faster its last probe the likelier"),
    row(Strategy::PowerOfTwo, "p2c", &[], "the less busy of two random ones"),
    row(Strategy::Source, "source", &[], "by hash of the client's address, bounded load"),
    row(Strategy::Uri, "uri", &[], "by hash of the request target, bounded load"),
    row(Strategy::Header, "header", &[], "by hash of a request field, bounded load"),
];

impl Strategy {
    /// The strategy with this name or alias, written exactly so.
    pub fn from_name(name: &str) -> Option<Strategy> {
        let named = |row: &&Name| row.name == name || row.aliases.contains(&name);
        NAMES.iter().find(named).map(|row| row.strategy)
    }

    /// The canonical name.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].name
    }
}

/// The hash the consistent-hash strategies expect in [`Hint::hash`] and [`Spec::id`]: FNV-1a over
/// the bytes, then one SplitMix64 step, because FNV alone leaves the high bits of short keys
/// (which place a key on the ring) poorly mixed. Not keyed: no defence against chosen keys, which
/// the bounded load makes harmless anyway.
pub fn hash(bytes: &[u8]) -> u64 {
    let step = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    Rng::new(bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)).bits()
}
