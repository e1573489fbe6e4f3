//! SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash whose values nobody without the key can
//! make or foresee. The one of the standard library does not promise which variant it is.

/// A key of 128 bits.
pub type Key = [u8; 16];

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Its four words of state.
struct State([u64; 4]);

impl State {
    fn new(key: &Key) -> State {
        let (low, high) = key.split_at(8);
        let (low, high) = (word(low), word(high));
        State([
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ])
    }

    fn rounds(&mut self, count: usize) {
        let [a, b, c, d] = &mut self.0;
        for _ in 0..count {
            *a = a.wrapping_add(*b);
            *c = c.wrapping_add(*d);
            *b = b.rotate_left(13) ^ *a;
            *d = d.rotate_left(16) ^ *c;
            *a = a.rotate_left(32).wrapping_add(*d);
            *c = c.wrapping_add(*b);
            *d = d.rotate_left(21) ^ *a;
            *b = b.rotate_left(17) ^ *c;
            *c = c.rotate_left(32);
        }
    }

    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.rounds(2);
        self.0[0] ^= word;
    }
}

/// The hash of `bytes` under `key`.
pub fn siphash(key: &Key, bytes: &[u8]) -> u64 {
    let mut state = State::new(key);
    let words = bytes.chunks_exact(8);
    let rest = word(words.remainder());
    words.for_each(|bytes| state.absorb(word(bytes)));
    state.absorb((bytes.len() as u64) << 56 | rest);
    state.0[2] ^= 0xff;
    state.rounds(4);
    state.0.iter().fold(0, |hash, word| hash ^ word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the messages of the reference: 0, 1, 2, ...
    fn counting<const LENGTH: usize>() -> [u8; LENGTH] {
        std::array::from_fn(|at| at as u8)
    }

    #[test]
    fn the_example_of_the_paper_and_the_first_reference_vector() {
        let key = counting::<16>();
        assert_eq!(siphash(&key, &counting::<15>()), 0xa129_ca61_49be_45e5);
        assert_eq!(siphash(&key, b""), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    #[allow(deprecated)]
    fn it_agrees_with_the_standard_library_for_every_length() {
        use std::hash::{Hasher, SipHasher};
        let bytes = counting::<64>();
        for length in 0..=bytes.len() {
            for (low, high) in [(0, 0), (1, 0), (0, 1), (0x0706_0504_0302_0100, u64::MAX)] {
                let mut hasher = SipHasher::new_with_keys(low, high);
                hasher.write(&bytes[..length]);
                let mut key = [0; 16];
                key[..8].copy_from_slice(&low.to_le_bytes());
                key[8..].copy_from_slice(&high.to_le_bytes());
                assert_eq!(siphash(&key, &bytes[..length]), hasher.finish(), "{length} bytes");
            }
        }
    }
}
