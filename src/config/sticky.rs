//! What names a server in the cookie of `--sticky`: a keyed hash of its address, so that a client
//! can neither read addresses from it nor make up one for a server of its choice.
//!
//! 64 bits are enough: what a guess would win is to be served by a server that serves everybody,
//! and two of a thousand servers are the same with a probability of 1 in 10^13.

use super::quote::quote;
use crate::base::siphash::{Key, siphash};
use crate::base::token::is_token_byte;
use std::fmt;
use std::num::NonZeroU64;

/// Longest name of a cookie: it goes into each response that sets it.
pub const COOKIE_NAME_BYTES_MAX: usize = 64;

/// Bytes of a secret.
pub const SECRET_BYTES_MIN: usize = 16;
pub const SECRET_BYTES_MAX: usize = 4096;

/// The key of the hash. Two balancers with one key agree on what every cookie names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StickyKey(Key);

impl fmt::Debug for StickyKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("StickyKey(..)")
    }
}

impl StickyKey {
    /// The key as it is handed over to a process that takes over.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// A key that was handed over, or random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> StickyKey {
        StickyKey(bytes)
    }

    /// The key that a secret of any length stands for. White space at its end does not count.
    ///
    /// Errors: it is too short to be one, or too long.
    pub fn of_secret(secret: &[u8]) -> Result<StickyKey, String> {
        let secret = secret.trim_ascii_end();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
            return Err(format!(
                "has {} bytes, {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} make a key: write one \
                 with openssl rand -hex 32",
                secret.len()
            ));
        }
        let half = |number| siphash(&[number; 16], secret).to_le_bytes();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&half(1));
        key[8..].copy_from_slice(&half(2));
        Ok(StickyKey(key))
    }

    /// What names the server of this address, as configured.
    pub fn tag(self, address: &str) -> NonZeroU64 {
        NonZeroU64::new(siphash(&self.0, address.as_bytes())).unwrap_or(NonZeroU64::MIN)
    }
}

/// The name of a cookie (RFC 6265 §4.1.1).
pub fn cookie_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(is_token_byte);
    match is_name && text.len() <= COOKIE_NAME_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{} is not the name of a cookie: write one like srv, at most {COOKIE_NAME_BYTES_MAX} bytes",
            quote(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_makes_the_same_key_everywhere_and_another_one_another() {
        let secret = b"0123456789abcdef";
        let key = StickyKey::of_secret(secret).expect("long enough");
        assert_eq!(StickyKey::of_secret(b"0123456789abcdef\r\n"), Ok(key));
        assert_ne!(StickyKey::of_secret(b"0123456789abcdeF"), Ok(key));
        assert_eq!(StickyKey::from_bytes(key.to_bytes()), key);
        assert_eq!(key.tag("a:80"), key.tag("a:80"));
        assert_ne!(key.tag("a:80"), key.tag("a:81"));
        assert_ne!(key.tag("a:80"), StickyKey::from_bytes([0; 16]).tag("a:80"));
        assert_eq!(format!("{key:?}"), "StickyKey(..)");
    }

    #[test]
    fn a_secret_has_16_to_4096_bytes() {
        let hint = "make a key: write one with openssl rand -hex 32";
        for length in [0, 1, 15, 4_097] {
            let expected = format!("has {length} bytes, 16 to 4096 {hint}");
            assert_eq!(StickyKey::of_secret(&vec![b'x'; length]), Err(expected));
        }
        assert!(StickyKey::of_secret(&[b'x'; 16]).is_ok());
        assert!(StickyKey::of_secret(&[b'x'; 4_096]).is_ok());
        assert!(StickyKey::of_secret(b"               \n").is_err());
    }

    #[test]
    fn names_are_tokens_of_at_most_64_bytes() {
        assert_eq!(cookie_name("srv"), Ok("srv".to_owned()));
        assert!(cookie_name(&"x".repeat(64)).is_ok());
        for text in ["", "a b", "a=b", "a;b", "é", &"x".repeat(65)] {
            let form = "is not the name of a cookie: write one like srv, at most 64 bytes";
            assert_eq!(cookie_name(text), Err(format!("{} {form}", quote(text))));
        }
    }
}
