//! Networks as values, `10.0.0.0/8` or a single address, and which clients are trusted proxies.

use super::quote::quote;
use std::fmt;
use std::net::IpAddr;

/// The addresses that share their first `prefix` bits with `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Number of bits compared: 0 to 32 for IPv4, 0 to 128 for IPv6.
    prefix: u8,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`.
    ///
    /// Errors: one sentence with the value and a hint.
    pub fn parse(text: &str) -> Result<Network, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            format!("{} is not an address or network: write 10.0.0.1 or 10.0.0.0/8", quote(text))
        })?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let Some(bits) = bits else { return Ok(Network { address, prefix: most }) };
        match bits.parse::<u8>() {
            Ok(prefix) if prefix <= most && bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Network { address, prefix })
            }
            Ok(_) | Err(_) => {
                Err(format!("{} has no prefix length from 0 to {most} after the /", quote(text)))
            }
        }
    }

    /// Whether `ip` is one of its addresses. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = u32::from(self.prefix);
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let differ = u32::from(network) ^ u32::from(ip);
                differ.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let differ = u128::from(network) ^ u128::from(ip);
                differ.checked_shr(128 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Clients that are proxies: those whose `X-Forwarded-*`, `Forwarded` and `X-Real-IP` are kept
/// (`--trust-forwarded`), those that send a PROXY header (`--proxy-protocol`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustedProxies {
    #[default]
    None,
    All,
    /// At least one network.
    From(Vec<Network>),
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for TrustedProxies {
    /// As it is written on the command line; `none` and `all` for the others.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustedProxies::None => out.write_str("none"),
            TrustedProxies::All => out.write_str("all"),
            TrustedProxies::From(networks) => {
                for (at, network) in networks.iter().enumerate() {
                    write!(out, "{}{network}", if at == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

#[inline(never)]
fn is_in(networks: &[Network], client: Option<IpAddr>) -> bool {
    client.is_some_and(|client| networks.iter().any(|it| it.contains(client)))
}

impl TrustedProxies {
    /// Reads a list of networks separated by commas.
    ///
    /// Errors: one sentence with the first value that is no network, and a hint.
    pub fn parse(text: &str) -> Result<TrustedProxies, String> {
        let networks = text.split(',').map(|part| Network::parse(part.trim()));
        Ok(TrustedProxies::From(networks.collect::<Result<_, _>>()?))
    }

    /// Whether a client with this address is one of them. One of a unix socket, which has none, is
    /// where all are.
    #[inline]
    pub fn contains(&self, client: Option<IpAddr>) -> bool {
        match self {
            TrustedProxies::None => false,
            TrustedProxies::All => true,
            TrustedProxies::From(networks) => is_in(networks, client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        for (network, ip, expected) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/31", "10.1.2.2", true),
            ("10.1.2.3/31", "10.1.2.4", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::1", "::1", true),
            ("::1/128", "::2", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let ip = ip.parse().expect("an address");
            let network = Network::parse(network).expect(network);
            assert_eq!(network.contains(ip), expected, "{ip} in {network:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_a_hint() {
        const NEITHER: &str = "is not an address or network: write 10.0.0.1 or 10.0.0.0/8";
        for (text, expected) in [
            ("", format!("`` {NEITHER}")),
            ("localhost", format!("`localhost` {NEITHER}")),
            ("10.0.0", format!("`10.0.0` {NEITHER}")),
            ("[::1]", format!("`[::1]` {NEITHER}")),
            (
                "10.0.0.0/33",
                String::from("`10.0.0.0/33` has no prefix length from 0 to 32 after the /"),
            ),
            (
                "10.0.0.0/",
                String::from("`10.0.0.0/` has no prefix length from 0 to 32 after the /"),
            ),
            (
                "10.0.0.0/+8",
                String::from("`10.0.0.0/+8` has no prefix length from 0 to 32 after the /"),
            ),
            ("::/129", String::from("`::/129` has no prefix length from 0 to 128 after the /")),
        ] {
            assert_eq!(Network::parse(text), Err(expected));
        }
    }

    #[test]
    fn trusted_proxies_are_all_none_or_those_of_a_list() {
        let list = TrustedProxies::parse("10.0.0.0/8, ::1").expect("a list");
        for (proxies, ip, expected) in [
            (&TrustedProxies::None, "10.0.0.1", false),
            (&TrustedProxies::All, "203.0.113.1", true),
            (&list, "10.0.0.1", true),
            (&list, "::1", true),
            (&list, "11.0.0.1", false),
        ] {
            assert_eq!(proxies.contains(ip.parse().ok()), expected, "{ip}");
        }
        for (proxies, expected) in [(TrustedProxies::All, true), (list, false)] {
            assert_eq!(proxies.contains(None), expected, "a unix socket's client");
        }
        assert!(TrustedProxies::parse("10.0.0.1,").is_err());
    }
}
