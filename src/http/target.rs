//! The four forms of the request target, and the authority (RFC 9112 §3.2, RFC 9110 §7.2).

use super::head::{Method, Refusal, RequestHead, Span, Version};
use super::percent::is_unreserved;
use std::net::Ipv6Addr;

/// Longest `Host` value or authority in bytes: 255 for a DNS name, plus a port.
pub const AUTHORITY_BYTES_MAX: usize = 262;

/// The checked target and `Host` of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Path and query to forward, after [`Target::path_prefix`].
    pub path: Span,
    /// What an absolute form without a path implies: `/`, or `*` for OPTIONS (RFC 9112 §3.2.4).
    pub path_prefix: Option<u8>,
    /// Value of the forwarded `Host`; none for an HTTP/1.0 request without one.
    pub authority: Option<Span>,
    /// Absolute form: its authority replaces `Host` (RFC 9112 §3.2.2).
    pub is_absolute: bool,
    /// The scheme of the target is `https`.
    pub is_https: bool,
}

impl Target {
    /// The part after the authority when the target is written in absolute form, in two pieces;
    /// empty for `*` (RFC 9112 §3.2.4). `bytes` are those of the head.
    pub fn after_authority<'a>(&'a self, bytes: &'a [u8]) -> [&'a [u8]; 2] {
        match [self.path_prefix.as_slice(), self.path.of(bytes)] {
            [b"*", b""] | [b"", b"*"] => [b"", b""],
            parts => parts,
        }
    }
}

/// The host of an authority, without the port and the brackets of an IPv6 address.
pub fn host_of(authority: &[u8]) -> &[u8] {
    let host = without_port(authority);
    host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host)
}

/// An authority without its port.
pub fn without_port(authority: &[u8]) -> &[u8] {
    let end = match authority.strip_prefix(b"[") {
        Some(rest) => rest.iter().position(|&byte| byte == b']').map_or(0, |at| at + 1),
        None => 0,
    };
    let port = authority[end..].iter().position(|&byte| byte == b':');
    &authority[..port.map_or(authority.len(), |at| end + at)]
}

/// Reads the target of `head`, whose bytes are `bytes`, and checks it and `Host`.
///
/// Errors: 400 for a malformed target or `Host`, 501 for CONNECT.
#[inline]
pub fn target(bytes: &[u8], head: &RequestHead) -> Result<Target, Refusal> {
    let host = host(bytes, head)?;
    let text = head.target.of(bytes);
    if head.method == Method::Connect {
        return Err(Refusal { status: 501, reason: "CONNECT is not supported" });
    }
    // The head parser has refused the other bytes that a URI cannot have: spaces and controls.
    let is_refused = |&byte: &u8| (byte == b'#') | !byte.is_ascii();
    if text.iter().fold(false, |any, byte| any | is_refused(byte)) {
        return Err(Refusal::bad("the request target has a fragment or a byte outside ASCII"));
    }
    if text.starts_with(b"/") || (text == b"*" && head.method == Method::Options) {
        let path = head.target;
        return Ok(Target { path, authority: host, ..Target::default() });
    }
    absolute(bytes, head.target, head.method)
}

/// The value of `Host`: exactly one in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112 §3.2).
fn host(bytes: &[u8], head: &RequestHead) -> Result<Option<Span>, Refusal> {
    if head.fields.hosts > 1 {
        return Err(Refusal::bad("the request has more than one Host field"));
    }
    match head.fields.host {
        None if head.version == Version::Http11 => {
            Err(Refusal::bad("the request has no Host field"))
        }
        Some(host) if !is_authority(host.of(bytes)) => {
            Err(Refusal::bad("the Host field is malformed"))
        }
        host => Ok(host),
    }
}

/// `http://authority/path?query` (RFC 9112 §3.2.2).
#[inline(never)]
fn absolute(bytes: &[u8], target: Span, method: Method) -> Result<Target, Refusal> {
    const MALFORMED: Refusal = Refusal::bad("the request target is malformed");
    let text = target.of(bytes);
    let colon = text.iter().position(|&byte| byte == b':').ok_or(MALFORMED)?;
    let (scheme, rest) = text.split_at(colon);
    let is_https = scheme.eq_ignore_ascii_case(b"https");
    if !is_https && !scheme.eq_ignore_ascii_case(b"http") {
        return Err(MALFORMED);
    }
    let rest = rest.strip_prefix(b"://").ok_or(MALFORMED)?;
    let start = target.end() - rest.len();
    let length = rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
    // A target must have a host (RFC 9110 §4.2.1), though `Host` may be empty.
    if length == 0 || rest.starts_with(b":") || !is_authority(&rest[..length]) {
        return Err(MALFORMED);
    }
    let authority = Span::new(start, start + length);
    let path = Span::new(start + length, target.end());
    let path_prefix = match rest.get(length) {
        Some(b'/') => None,
        None if method == Method::Options => Some(b'*'),
        Some(_) | None => Some(b'/'),
    };
    Ok(Target { path, path_prefix, authority: Some(authority), is_absolute: true, is_https })
}

/// Bytes of a host that is a name or an IPv4 address (RFC 3986 §3.2.2), as a table because each
/// byte of each `Host` is looked up. `%` is missing: it takes the slow path.
const HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"-._~!$&'()*+,;=0123456789\
        ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
};

/// `uri-host [":" port]` without user information (RFC 9110 §4.2.4, §7.2); empty is allowed.
#[inline]
fn is_authority(text: &[u8]) -> bool {
    // A name without a port, as most are.
    if text.len() <= AUTHORITY_BYTES_MAX && is_plain_name(text) {
        return true;
    }
    is_unusual_authority(text)
}

#[inline(never)]
fn is_unusual_authority(text: &[u8]) -> bool {
    let host = if text.starts_with(b"[") { literal(text) } else { name(text) };
    text.len() <= AUTHORITY_BYTES_MAX && host.is_some_and(|bytes| is_port(&text[bytes..]))
}

/// Whether every byte is one of [`HOST_BYTES`]. All are looked up, as the usual answer is yes.
fn is_plain_name(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, &byte| plain & HOST_BYTES[usize::from(byte)])
}

/// Length of the bracketed literal that `text` starts with.
fn literal(text: &[u8]) -> Option<usize> {
    let close = text.iter().position(|&byte| byte == b']')?;
    is_literal(&text[1..close]).then_some(close + 1)
}

/// Length of the name or IPv4 address that `text` starts with.
fn name(text: &[u8]) -> Option<usize> {
    let is_plain = |&byte: &u8| HOST_BYTES[usize::from(byte)];
    let plain = text.iter().position(|byte| !is_plain(byte)).unwrap_or(text.len());
    if text.get(plain) != Some(&b'%') {
        return Some(plain);
    }
    let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
    is_escaped_name(&text[..end]).then_some(end)
}

fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// A name with percent-encoded bytes.
fn is_escaped_name(host: &[u8]) -> bool {
    let mut parts = host.split(|&byte| byte == b'%');
    parts.next().is_some_and(is_plain_name)
        && parts.all(|part| {
            is_plain_name(part) && part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit)
        })
}

/// The text between brackets: an IPv6 address, perhaps with a zone, or `IPvFuture` (RFC 3986
/// §3.2.2).
fn is_literal(text: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = text {
        let mut parts = rest.splitn(2, |&byte| byte == b'.');
        let (version, address) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(b""));
        let in_address = |&byte: &u8| byte == b':' || HOST_BYTES[usize::from(byte)];
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(in_address);
    }
    let (address, zone) = match text.iter().position(|&byte| byte == b'%') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    zone.is_none_or(is_zone) && std::str::from_utf8(address).is_ok_and(is_address)
}

/// The zone of a link-local address, such as `eth0`; in a URI its `%` is written `%25`
/// (RFC 6874 §2).
fn is_zone(text: &[u8]) -> bool {
    let zone = text.strip_prefix(b"25").filter(|zone| !zone.is_empty()).unwrap_or(text);
    !zone.is_empty() && zone.iter().all(|&byte| is_unreserved(byte))
}

#[cfg(test)]
mod tests {
    use super::super::head::{Parse, request};
    use super::*;

    fn read(text: &str) -> Result<(String, Option<String>), u16> {
        let mut head = RequestHead::default();
        assert_eq!(request(text.as_bytes(), &mut head), Parse::Complete, "{text:?}");
        let found = target(text.as_bytes(), &head).map_err(|refusal| refusal.status)?;
        let text_of = |span: Span| String::from_utf8_lossy(span.of(text.as_bytes())).into_owned();
        let path_prefix = found.path_prefix.map(char::from).into_iter();
        let path = path_prefix.chain(text_of(found.path).chars()).collect();
        Ok((path, found.authority.map(text_of)))
    }

    #[test]
    fn every_form_of_target_and_host() {
        let ok = |path: &str, host: &str| Ok((path.to_string(), Some(host.to_string())));
        for (text, expected) in [
            ("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", ok("/a?b", "x")),
            ("GET http://y:80/a HTTP/1.1\r\nHost: x\r\n\r\n", ok("/a", "y:80")),
            ("GET HTTP://y HTTP/1.1\r\nHost: x\r\n\r\n", ok("/", "y")),
            ("GET http://y?q HTTP/1.1\r\nHost: x\r\n\r\n", ok("/?q", "y")),
            ("OPTIONS http://y HTTP/1.1\r\nHost: x\r\n\r\n", ok("*", "y")),
            ("GET http://[::1]:8/ HTTP/1.1\r\nHost:\r\n\r\n", ok("/", "[::1]:8")),
            ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", ok("*", "x")),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", ok("/", "")),
            ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", ok("/", "[::1]:80")),
            ("GET / HTTP/1.0\r\n\r\n", Ok(("/".to_string(), None))),
            ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", Err(400)),
            ("GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: user@x\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: x:8a\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: x:123456\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [:::]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n\r\n", ok("/", "[fe80::1%25lo]")),
            ("GET / HTTP/1.1\r\nHost: [fe80::1%eth0.1]:8\r\n\r\n", ok("/", "[fe80::1%eth0.1]:8")),
            ("GET / HTTP/1.1\r\nHost: [fe80::1%2]\r\n\r\n", ok("/", "[fe80::1%2]")),
            ("GET / HTTP/1.1\r\nHost: [fe80::1%]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [fe80::1%a%b]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [fe80::1%a/b]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [%lo]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [1.2.3.4%lo]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]\r\n\r\n", ok("/", "[::ffff:1.2.3.4]")),
            ("GET / HTTP/1.1\r\nHost: [v1.a:b]:1\r\n\r\n", ok("/", "[v1.a:b]:1")),
            ("GET / HTTP/1.1\r\nHost: [v.a]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [v1]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a%2db\r\n\r\n", ok("/", "a%2db")),
            ("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", Err(400)),
            ("GET /caf\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("GET http://:80/ HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("GET a HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", Err(400)),
            ("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", Err(501)),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_authority_has_at_most_its_limit() {
        let host = "a".repeat(AUTHORITY_BYTES_MAX);
        assert!(read(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok());
        assert_eq!(read(&format!("GET / HTTP/1.1\r\nHost: {host}a\r\n\r\n")), Err(400));
    }
}
