//! `Via`: the name of this program in it, and how loops are recognised (RFC 9110 §7.6.3).

use super::field::members;

/// The name of this program in `Via` and `Proxy-Status`.
pub const PSEUDONYM: &str = "loadbalancer";

/// Most times a received request may have been forwarded by this program: by one instance in front
/// of this one. More is a loop, or a chain of three.
pub const OWN_MEMBERS_MAX: u8 = 1;

/// Number of members of a `Via` line that this program has added.
#[inline(never)]
pub fn own_members(value: &[u8]) -> u8 {
    let is_own = |member: &&[u8]| {
        let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(PSEUDONYM.as_bytes()))
    };
    u8::try_from(members(value).filter(is_own).count()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_members_are_counted() {
        for (value, expected) in [
            (&b"1.1 loadbalancer"[..], 1),
            (b"1.0 loadbalancer, 1.1 cache (x), HTTP/1.1  LoadBalancer (comment)", 2),
            (b"1.1 loadbalancer2, 1.1 my-loadbalancer", 0),
            (b"loadbalancer", 0),
            (b"1.1 x (loadbalancer)", 0),
            (b"", 0),
        ] {
            assert_eq!(own_members(value), expected, "{}", String::from_utf8_lossy(value));
        }
    }
}
