//! `PORT`, `HOST:PORT` and `[IPv6]:PORT` as values, and why a text is not an address.
//! Resolves no name: that is for the code that connects or listens.

use super::network::Network;
use super::quote::quote;
use crate::base::address::{UNIX, UNIX_BYTES_MAX};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest host name (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// What an address may look like.
const FORMS: &str = "PORT, HOST:PORT or [IPv6]:PORT";

/// A port on a host, as written. No host: all interfaces for a listener, localhost for a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Host name or address without brackets; none for a bare port.
    pub host: Option<String>,
    /// Port; 0 asks for a free one and is allowed for listeners only.
    pub port: u16,
}

/// Why a text is not an address. Each displays as one line with the value and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// No text at all.
    Empty,
    /// White space inside or around.
    Space(String),
    /// Several addresses joined by commas.
    Comma(String),
    /// A URL; the second is the address in it, when there is one to use.
    Url(String, Option<String>),
    /// Neither a port nor a host with a port.
    Neither(String),
    /// A network, such as those that `--trust-forwarded` takes.
    IsNetwork(String),
    /// The address is followed by something else; the second is the address alone.
    Garbage(String, String),
    /// A host without a port; the second is the host.
    NoPort(String, String),
    /// The port is not a number.
    PortNotNumber(String),
    /// The port is above 65535.
    PortTooBig(String),
    /// Port 0, which no backend can listen on.
    PortZero(String),
    /// An IPv6 address without brackets; the second is the likely meaning.
    Brackets(String, String),
    /// More colons than one, and not an IPv6 address.
    Colons(String),
    /// `[` without `]`.
    BracketOpen(String),
    /// The text between the brackets, the second, is not an IPv6 address.
    NotIpv6(String, String),
    /// Digits and dots that are not an IPv4 address.
    NotIpv4(String),
    /// `*` for all interfaces; the second is the port.
    Star(String, String),
    /// Characters or a length no host name has.
    NotHost(String),
    /// A path without the word before it.
    IsPath(String),
    /// `unix:` without a path or name.
    NotUnix(String),
    /// A name that is too long for a unix socket; the second is its length.
    LongUnix(String, usize),
    /// A unix socket where there can be none.
    UnixHere(String),
    /// `https://` in a program without TLS.
    NoTls(String),
    /// A URL of more than a server; the second is what is meant.
    BeyondHost(String, String),
    /// `https://` before a bare port; the second is what is meant.
    NoHost(String, String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use AddressError::*;
        let fixed = str::to_owned;
        let (value, reason) = match self {
            Empty => return write!(f, "the address is empty: write {FORMS}"),
            Space(text) => (text, fixed("has a space in it: write HOST:PORT without")),
            Comma(text) => (text, fixed("has a comma in it: put a space between addresses")),
            Url(text, Some(hint)) => (text, format!("is a URL: write {}", quote(hint))),
            Url(text, None) => (text, fixed("is a URL: write HOST:PORT of a plain HTTP server")),
            Neither(text) => (text, format!("is not an address: write {FORMS}")),
            IsNetwork(text) => {
                let hint = "write HOST:PORT; proxies to trust follow a =, as in";
                (text, format!("is a network and no server: {hint} --trust-forwarded={text}"))
            }
            Garbage(text, hint) => (text, format!("goes on after the port: write {}", quote(hint))),
            NoPort(text, host) => {
                (text, format!("has no port: write {}", quote(&format!("{host}:PORT"))))
            }
            PortNotNumber(text) => (text, fixed("has no number for a port: write 1 to 65535")),
            PortTooBig(text) => (text, fixed("has too big a port: write 1 to 65535")),
            PortZero(text) => {
                (text, fixed("is no backend, port 0 is not in use: write 1 to 65535"))
            }
            Brackets(text, hint) => {
                let hint = quote(hint);
                (text, format!("is an IPv6 address without brackets: write {hint}"))
            }
            Colons(text) => (text, fixed("has too many colons: write HOST:PORT")),
            BracketOpen(text) => (text, fixed("lacks the `]`: write [IPv6]:PORT")),
            NotIpv6(text, inner) => {
                let inner = quote(inner);
                (text, format!("has {inner} in brackets, which is not an IPv6 address"))
            }
            NotIpv4(host) => (host, fixed("is not an IPv4 address: write four numbers up to 255")),
            Star(text, port) => {
                let [all, ipv4] = ["[::]", "0.0.0.0"].map(|host| quote(&format!("{host}:{port}")));
                (text, format!("means all interfaces: write {all}, or {ipv4} for IPv4 only"))
            }
            IsPath(text) => (text, format!("is a path: write {}", quote(&format!("{UNIX}{text}")))),
            NotUnix(text) => (text, fixed("is not a unix socket: write unix:/PATH or unix:@NAME")),
            LongUnix(text, bytes) => {
                let reason = format!(
                    "is too long for a unix socket: its name has {bytes} bytes, {UNIX_BYTES_MAX} \
                     are allowed"
                );
                (text, reason)
            }
            NoTls(text) => {
                let hint = "build it with the feature `tls`, or write HOST:PORT";
                (text, format!("needs TLS, which this program was built without: {hint}"))
            }
            BeyondHost(text, hint) => {
                (text, format!("is more than a server: write {}", quote(hint)))
            }
            NoHost(text, hint) => (text, format!("has no host to verify: write {}", quote(hint))),
            UnixHere(text) => (text, format!("is a unix socket: write {FORMS}")),
            NotHost(host) => {
                (host, fixed("cannot be a host name: use letters, digits, `-`, `_`, single dots"))
            }
        };
        write!(f, "{} {reason}", quote(value))
    }
}

impl std::error::Error for AddressError {}

impl HostPort {
    /// A port alone.
    pub fn bare(port: u16) -> HostPort {
        HostPort { host: None, port }
    }

    /// A port on `host`, which is without brackets.
    pub fn on(host: &str, port: u16) -> HostPort {
        HostPort { host: Some(host.to_owned()), port }
    }

    /// Reads an address to listen on: no host means all interfaces, port 0 a free port.
    pub fn listener(text: &str) -> Result<HostPort, AddressError> {
        if text.starts_with(UNIX) {
            return Err(AddressError::UnixHere(text.to_owned()));
        }
        refuse_other(text)?;
        match text.strip_prefix('[') {
            Some(rest) => bracketed(text, rest),
            None => plain(text),
        }
    }

    /// Reads a backend's address: no host means this machine, port 0 is refused.
    pub fn backend(text: &str) -> Result<HostPort, AddressError> {
        let endpoint = HostPort::listener(text)?;
        match endpoint.port {
            0 => Err(AddressError::PortZero(text.to_owned())),
            _ => Ok(endpoint),
        }
    }

    /// The host name in it, which may stand for several addresses; none of what needs no lookup.
    pub fn host_name(&self) -> Option<&str> {
        self.host.as_deref().filter(|host| host.parse::<IpAddr>().is_err())
    }

    /// Whether a backend at this address is certainly what listens at `listener`: this program
    /// itself. Names other than `localhost`, which is tried as 127.0.0.1 first, are not resolved
    /// here; what is not certain is false.
    pub fn reaches(&self, listener: &HostPort) -> bool {
        let to = self.host.as_deref().unwrap_or("localhost");
        let to_ip = local_ip(to);
        let is_local = to_ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified());
        let is_same = match listener.host.as_deref().map(|at| (at, local_ip(at))) {
            None => is_local,
            Some((_, Some(at))) if at.is_unspecified() => is_local,
            Some((at, at_ip)) => at.eq_ignore_ascii_case(to) || (at_ip.is_some() && at_ip == to_ip),
        };
        listener.port == self.port && is_same
    }

    /// Whether only this machine can connect to what listens here. Names other than `localhost` are
    /// not resolved: what is not certain is false.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.as_deref();
        host.and_then(local_ip).is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for HostPort {
    /// As it would be written: what this prints reads back as the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, "{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// The address that `host` is, or `localhost` stands for first.
fn local_ip(host: &str) -> Option<IpAddr> {
    match host.eq_ignore_ascii_case("localhost") {
        true => Some(Ipv4Addr::LOCALHOST.into()),
        false => host.parse().ok(),
    }
}

/// Refuses what is clearly something else than an address: a URL, a list, several words.
fn refuse_other(text: &str) -> Result<(), AddressError> {
    if text.is_empty() {
        Err(AddressError::Empty)
    } else if let Some((scheme, rest)) = text.split_once("://") {
        Err(AddressError::Url(text.to_owned(), authority(scheme, rest)))
    } else if text.contains(char::is_whitespace) {
        Err(AddressError::Space(text.to_owned()))
    } else if text.contains(',') {
        Err(AddressError::Comma(text.to_owned()))
    } else if text.contains('/') && Network::parse(text).is_ok() {
        Err(AddressError::IsNetwork(text.to_owned()))
    } else {
        Ok(())
    }
}

/// `HOST:PORT` out of a plain HTTP URL, when it has one that reads as an address.
fn authority(scheme: &str, rest: &str) -> Option<String> {
    if !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let address = match has_port {
        true => authority.to_owned(),
        false => format!("{authority}:80"),
    };
    let endpoint = HostPort::listener(&address).ok()?;
    endpoint.host.is_some().then(|| endpoint.to_string())
}

/// `[IPv6]:PORT`, the first bracket taken off in `rest`.
fn bracketed(text: &str, rest: &str) -> Result<HostPort, AddressError> {
    let Some((inner, after)) = rest.split_once(']') else {
        return Err(AddressError::BracketOpen(text.to_owned()));
    };
    if !is_ipv6(inner) {
        return Err(AddressError::NotIpv6(text.to_owned(), inner.to_owned()));
    }
    let host = format!("[{inner}]");
    match after.strip_prefix(':') {
        Some("") | None => Err(AddressError::NoPort(text.to_owned(), host)),
        Some(digits) => {
            Ok(HostPort { host: Some(inner.to_owned()), port: port(text, &host, digits)? })
        }
    }
}

/// `PORT` or `HOST:PORT`.
fn plain(text: &str) -> Result<HostPort, AddressError> {
    let Some((host, digits)) = text.split_once(':') else {
        return bare(text);
    };
    if digits.contains(':') {
        return Err(many_colons(text));
    }
    // As other programs write a port of all interfaces.
    if host.is_empty() && !digits.is_empty() {
        return Ok(HostPort { host: None, port: port(text, host, digits)? });
    }
    if host == "*" {
        return Err(AddressError::Star(text.to_owned(), digits.to_owned()));
    }
    host_name(host).map_err(|error| match host {
        "" => AddressError::Neither(text.to_owned()),
        _ => error,
    })?;
    if digits.is_empty() {
        return Err(AddressError::NoPort(text.to_owned(), host.to_owned()));
    }
    Ok(HostPort { host: Some(host.to_owned()), port: port(text, host, digits)? })
}

/// A text without a colon: a port, or something that lacks one.
fn bare(text: &str) -> Result<HostPort, AddressError> {
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<Ipv4Addr>().is_err() {
        return Ok(HostPort { host: None, port: port(text, "", text)? });
    }
    match host_name(text) {
        Ok(()) => Err(AddressError::NoPort(text.to_owned(), text.to_owned())),
        Err(_) => Err(AddressError::Neither(text.to_owned())),
    }
}

/// The number of a port; `text` and `host` are for the messages.
fn port(text: &str, host: &str, digits: &str) -> Result<u16, AddressError> {
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match end {
        0 => Err(AddressError::PortNotNumber(text.to_owned())),
        _ if end < digits.len() => {
            let colon = if host.is_empty() { "" } else { ":" };
            let hint = format!("{host}{colon}{}", &digits[..end]);
            Err(AddressError::Garbage(text.to_owned(), hint))
        }
        // Only digits: what does not parse is too big.
        _ => digits.parse().map_err(|_| AddressError::PortTooBig(text.to_owned())),
    }
}

/// Names an IPv6 address that lacks its brackets, with the likeliest reading of its last group.
fn many_colons(text: &str) -> AddressError {
    if let Some((left, right)) = text.rsplit_once(':')
        && is_ipv6(left)
        && right.parse::<u16>().is_ok()
    {
        return AddressError::Brackets(text.to_owned(), format!("[{left}]:{right}"));
    }
    match is_ipv6(text) {
        true => AddressError::Brackets(text.to_owned(), format!("[{text}]:PORT")),
        false => AddressError::Colons(text.to_owned()),
    }
}

/// An IPv6 address, with or without a zone (`fe80::1%eth0`, RFC 4007 §11).
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "lo"));
    let is_zone = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(is_zone)
}

/// Accepts a host name or an IPv4 address. Looser than RFC 1123 §2.1 (names with `_` are in use).
fn host_name(host: &str) -> Result<(), AddressError> {
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !host.is_empty() {
        let is_ipv4 = host.parse::<Ipv4Addr>().is_ok();
        return if is_ipv4 { Ok(()) } else { Err(AddressError::NotIpv4(host.to_owned())) };
    }
    let is_label = |label: &str| {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let has_ends = !label.starts_with('-') && !label.ends_with('-');
        !label.is_empty() && has_ends && label.bytes().all(is_letter)
    };
    let labels = host.strip_suffix('.').unwrap_or(host);
    if host.len() <= HOST_BYTES_MAX && labels.split('.').all(is_label) {
        return Ok(());
    }
    Err(AddressError::NotHost(host.to_owned()))
}

#[cfg(test)]
mod tests;
