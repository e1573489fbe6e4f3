//! Which backend gets the next request: pure decisions over figures that the caller keeps current.
//!
//! [`Balancer`] is what the proxy owns. It knows which backends are eligible and passes every
//! change to its policy, so that a pick costs O(log n) and allocates nothing. The hash strategies
//! may cost more: a pick walks the ring past backends that are down or over their share, at worst
//! O(n), and the first pick after the backends have changed builds the ring. It opens no socket,
//! reads no clock and draws no random seed of its own: time and seed are arguments.
//!
//! Imports go one way: candidate, strategy, figures, explain, policy ← one file per policy ←
//! balancer.

mod balancer;
mod candidate;
mod explain;
mod figures;
mod first;
mod hashed;
mod heap;
mod holds;
mod least_conn;
mod least_load;
mod least_time;
mod policy;
mod random;
mod rank;
pub mod record;
mod round_robin;
mod slot;
mod slow_start;
mod strategy;
#[cfg(test)]
mod tests;
mod turns;
mod weights;

pub use balancer::Balancer;
pub use candidate::{AdminState, Candidate, Membership, Spec};
pub use explain::{Explanation, Named, Passed, Reason, Skip};
pub use figures::{Level, Load, ResponseTime, Score};
pub use policy::Hint;
pub use strategy::{NAMES, Name, Strategy};

use crate::base::rng::Rng;

/// The hash the consistent-hash strategies expect in [`Hint::hash`] and [`Spec::id`]: FNV-1a over
/// the bytes, then one SplitMix64 step, because FNV alone leaves the high bits of short keys
/// (which place a key on the ring) poorly mixed. Not keyed: no defence against chosen keys, which
/// the bounded load makes harmless anyway.
pub fn hash(bytes: &[u8]) -> u64 {
    let step = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    Rng::new(bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)).bits()
}
