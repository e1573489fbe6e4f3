//! What the black-box tests share: the built binary as a process, servers that follow a script,
//! and a client that sends and reads bytes.
//!
//! Every wait has a condition and [`DEADLINE`]; no test sleeps for long enough. What depends on how
//! fast this machine is runs in [`timed()`]. No port is fixed.
//! What a test starts ends when its value is dropped.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, unused_imports)]

mod backend;
mod balancer;
pub mod in_process;
mod message;
mod once;
mod peer;
mod process;
#[cfg(target_os = "linux")]
mod terminal;
mod timed;

pub use backend::{Backend, BlackHole, Gate, ok, reply};
pub use balancer::{AtMax, Balancer, InFlight, without_time};
pub use message::Message;
pub use once::{got, refused, refused_by, seen};
pub use peer::Peer;
pub use process::{Finished, Running, TempDir, binary, datagram, run, with_socket};
#[cfg(target_os = "linux")]
pub use terminal::{set_size, settings, terminal};
pub use timed::timed;

use std::time::{Duration, Instant};

/// Longest wait before a test fails. Far longer than anything takes on an idle machine, so that
/// tests pass on a busy one too.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Interval for checks of a condition that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "timed out waiting for: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// `count` bytes in which any two places look different, so that a shift or a gap shows.
pub fn pattern(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Fails with the first place where two long byte strings differ.
pub fn assert_same_bytes(what: &str, actual: &[u8], expected: &[u8]) {
    let differs = actual.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{what}: first difference");
    assert_eq!(actual.len(), expected.len(), "{what}: length");
}
