//! The files of `--acme-webroot`, and how long it takes to read one.

use super::kernel::{Dice, Kernel};
use loadbalancer::proxy::ChallengeFile;

/// What the challenge that is there says.
pub const FILE: &str = "there.LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX";

/// How long a file may take to be read, in microseconds, and what timers may be late or early by.
pub const FILE_MICROS: u64 = 10_000_000;
pub const FILE_LATE_MICROS: u64 = 300_000;

/// The file of this name.
pub fn file(token: &str) -> ChallengeFile {
    match token {
        "there" => ChallengeFile::Read(FILE.into()),
        "missing" => ChallengeFile::Missing,
        _ => ChallengeFile::Unreadable,
    }
}

/// How long it takes to read one: at times for so long that the program is asked to stop meanwhile,
/// hardly ever too long.
pub fn draw_reading(kernel: &mut Kernel) -> u64 {
    match kernel.rng.below(1_000) {
        0..30 => kernel.rng.between(FILE_MICROS - 1_000_000, FILE_MICROS + 1_000_000),
        30..200 => kernel.rng.below(FILE_MICROS - 1_000_000),
        _ => kernel.delay(),
    }
}
