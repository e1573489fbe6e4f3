//! The request head for a server.

use super::lines::{copy_all, copy_fields, write_framing};
use crate::http::field::{Coding, Name, members};
use crate::http::head::{RequestHead, Version};
use crate::http::target::Target;
use crate::http::writer::{Overflow, Writer};
use std::net::SocketAddr;

/// What goes into a forwarded request besides what the client sent.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// Address of the client, for `X-Forwarded-For`; none of a unix socket's client.
    pub client: Option<&'a SocketAddr>,
    /// The client reached this program, or a proxy in front of it, by `https`.
    pub is_https: bool,
    /// `Host` for an HTTP/1.0 request without one.
    pub default_host: &'a str,
    /// The client is a trusted proxy (`--trust-forwarded`): its `X-Forwarded-*` are kept and
    /// extended. Otherwise they are replaced.
    pub trust_forwarded: bool,
    /// The client's own `X-Client-Cert-Subject` is kept: it is trusted, and no certificate is asked
    /// for here, so that the field is about one that it has verified itself.
    pub keep_subject: bool,
    /// Whose certificate the client has shown, for `X-Client-Cert-Subject`.
    pub client_subject: Option<&'a str>,
    /// `Upgrade` is forwarded, and the connection may become a tunnel.
    pub upgrade: bool,
    /// `Expect` is forwarded: the request has content (RFC 9110 §10.1.1).
    pub expect: bool,
    /// New value of `Max-Forwards`; none if the method ignores it (RFC 9110 §7.6.2).
    pub max_forwards: Option<u32>,
}

/// The protocols of an `Upgrade` that can be forwarded: all but `h2c`, as this proxy does not read
/// HTTP/2.
fn forwardable(offered: &[u8]) -> impl Iterator<Item = &[u8]> {
    members(offered).filter(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"))
}

/// Whether the request offers an upgrade that can be forwarded (RFC 9110 §7.8).
#[inline]
pub fn offers_upgrade(bytes: &[u8], head: &RequestHead) -> bool {
    let fields = &head.fields;
    head.version == Version::Http11
        && fields.connection.upgrade
        && fields.upgrade.is_some_and(|value| forwardable(value.of(bytes)).next().is_some())
}

/// Whether the protocols that a server has `chosen` in its 101 were `offered` and forwarded.
pub fn was_offered(offered: &[u8], chosen: &[u8]) -> bool {
    let mut chosen = members(chosen).peekable();
    let is_offered =
        |chosen: &[u8]| forwardable(offered).any(|offered| offered.eq_ignore_ascii_case(chosen));
    chosen.peek().is_some() && chosen.all(is_offered)
}

/// Writes the request head for the server to the start of `out`; returns its length.
///
/// Errors: it does not fit into `out`.
pub fn request(
    bytes: &[u8],
    head: &RequestHead,
    target: &Target,
    context: &RequestContext<'_>,
    out: &mut [u8],
) -> Result<usize, Overflow> {
    let mut to = Writer::new(out);
    let line = head.line().filter(|_| !target.is_absolute);
    if line.is_none() {
        to.append_all(&[head.method_text.of(bytes), b" ", target.path_prefix.as_slice()]);
        to.append_all(&[target.path.of(bytes), b" HTTP/1.1\r\n"]);
    }
    let authority = target.authority.map(|span| span.of(bytes));
    if target.is_absolute || authority.is_none() {
        let host = authority.unwrap_or(context.default_host.as_bytes());
        to.append_all(&[b"Host: ", host, b"\r\n"]);
    }
    if head.fields.are_always_forwarded() && !target.is_absolute {
        copy_all(bytes, line, &head.fields, &mut to);
    } else {
        copy_fields(bytes, line, &head.fields, &mut to, |line| match line.name {
            Name::Host => !target.is_absolute,
            Name::XForwardedFor => false,
            Name::Forwarded
            | Name::XForwardedHost
            | Name::XForwardedOther
            | Name::XForwardedProto
            | Name::XRealIp => context.trust_forwarded,
            Name::XClientCertSubject => context.keep_subject,
            Name::Expect => context.expect,
            Name::MaxForwards => context.max_forwards.is_none(),
            Name::ContentLength => !head.fields.length_needs_rewrite,
            _ => true,
        });
    }
    write_framing(&head.fields, head.fields.coding == Coding::Chunked, &mut to);
    if let Some(left) = context.max_forwards {
        to.append(b"Max-Forwards: ");
        to.append_decimal(u64::from(left));
        to.append(b"\r\n");
    }
    let keep = context.trust_forwarded && head.fields.has_forwarded;
    let names_client =
        context.client.is_some() || (keep && head.fields.find(Name::XForwardedFor).is_some());
    // Each is appended where its length is known: such a copy needs no call.
    match (head.version, names_client) {
        (Version::Http11, true) => to.append(b"Via: 1.1 loadbalancer\r\nX-Forwarded-For: "),
        (Version::Http10, true) => to.append(b"Via: 1.0 loadbalancer\r\nX-Forwarded-For: "),
        (Version::Http11, false) => to.append(b"Via: 1.1 loadbalancer"),
        (Version::Http10, false) => to.append(b"Via: 1.0 loadbalancer"),
    }
    write_forwarded_fields(bytes, head, authority, context, &mut to);
    if let Some(subject) = context.client_subject {
        to.append_all(&[b"X-Client-Cert-Subject: ", subject.as_bytes(), b"\r\n"]);
    }
    if let Some(offered) = head.fields.upgrade.filter(|_| context.upgrade) {
        write_offer(offered.of(bytes), &mut to);
    }
    to.append(b"\r\n");
    to.finish()
}

fn write_offer(offered: &[u8], to: &mut Writer<'_>) {
    to.append(b"Connection: upgrade\r\nUpgrade: ");
    for (at, protocol) in forwardable(offered).enumerate() {
        to.append_all(&[if at == 0 { b"" } else { b", " }, protocol]);
    }
    to.append(b"\r\n");
}

/// The value of `X-Forwarded-For`, if there is one, then `-Proto` and `-Host`: one line each, as many servers read
/// only the first.
fn write_forwarded_fields(
    bytes: &[u8],
    head: &RequestHead,
    authority: Option<&[u8]>,
    context: &RequestContext<'_>,
    to: &mut Writer<'_>,
) {
    let keep = context.trust_forwarded && head.fields.has_forwarded;
    if keep {
        let lines = head.fields.lines().iter();
        let mut values = lines.filter(|line| line.name == Name::XForwardedFor).peekable();
        while let Some(line) = values.next() {
            let goes_on = context.client.is_some() || values.peek().is_some();
            to.append_all(&[line.value.of(bytes), if goes_on { b", " } else { b"" }]);
        }
    }
    if let Some(client) = context.client {
        to.append_ip(client.ip());
    }
    let needs = |name| !(keep && head.fields.find(name).is_some());
    if needs(Name::XForwardedProto) {
        match context.is_https {
            true => to.append(b"\r\nX-Forwarded-Proto: https"),
            false => to.append(b"\r\nX-Forwarded-Proto: http"),
        }
    }
    if let Some(host) = authority
        && needs(Name::XForwardedHost)
    {
        to.append(b"\r\nX-Forwarded-Host: ");
        to.append(host);
    }
    to.append(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{self, Parse};
    use crate::http::target;
    use std::net::IpAddr;

    fn forwarded(text: &str, trust_forwarded: bool, upgrade: bool) -> String {
        forwarded_of("10.1.2.3".parse().ok(), text, trust_forwarded, upgrade)
    }

    fn forwarded_of(
        client: Option<IpAddr>,
        text: &str,
        trust_forwarded: bool,
        upgrade: bool,
    ) -> String {
        let bytes = text.as_bytes();
        let mut head = RequestHead::default();
        assert_eq!(head::request(bytes, &mut head), Parse::Complete, "{text:?}");
        let target = target::target(bytes, &head).expect("an accepted target");
        let client = client.map(|ip| SocketAddr::from((ip, 9)));
        let context = RequestContext {
            is_https: false,
            keep_subject: trust_forwarded,
            client_subject: None,
            client: client.as_ref(),
            default_host: "backend:81",
            trust_forwarded,
            upgrade: upgrade && offers_upgrade(bytes, &head),
            expect: false,
            max_forwards: None,
        };
        let mut out = [0; 2048];
        let length = request(bytes, &head, &target, &context, &mut out).expect("fits");
        String::from_utf8_lossy(&out[..length]).into_owned()
    }

    const ADDED: &str = "Via: 1.1 loadbalancer\r\nX-Forwarded-For: 10.1.2.3\r\n\
        X-Forwarded-Proto: http\r\nX-Forwarded-Host: x\r\n\r\n";

    #[test]
    fn request_heads_are_forwarded_without_hop_by_hop_fields() {
        for (text, expected) in [
            (
                "GET /a HTTP/1.1\r\nHost: x\r\nA:  b \r\n\r\n",
                "GET /a HTTP/1.1\r\nHost: x\r\nA:  b \r\n",
            ),
            (
                "GET / HTTP/1.1\r\nConnection: close, Host, X-Drop\r\nHost: x\r\nx-drop: 1\r\n\
                 Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: y\r\nB: c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nB: c\r\n",
            ),
            (
                "GET http://x HTTP/1.1\r\nHost: other\r\nB: c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nB: c\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\n\
                 X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n\
                 Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Port: 1\r\n\
                 X-Forwarded-Prefix: /a\r\nX-Forwarded-Ssl: on\r\nx-forwarded-scheme: s\r\n\
                 X-Forwarded_Server: s\r\nX-Forwarded-Protocol: p\r\nX-Forwarder: f\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarder: f\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: 6.6.6.6\r\nX_A: b\r\n\
                 Content_Length: 5\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nX_A: b\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, HTTP2-Settings\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\n",
            ),
        ] {
            assert_eq!(forwarded(text, false, true), format!("{expected}{ADDED}"));
        }
    }

    #[test]
    fn a_client_without_an_address_adds_none() {
        let proto = "X-Forwarded-Proto: http\r\nX-Forwarded-Host: x\r\n\r\n";
        for (lines, is_trusted, expected) in [
            ("", false, ""),
            ("", true, ""),
            ("X-Forwarded-For: 1.1.1.1\r\n", false, ""),
            ("X-Forwarded-For: 1.1.1.1\r\n", true, "X-Forwarded-For: 1.1.1.1\r\n"),
            (
                "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
                true,
                "X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n",
            ),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
            let start = "GET / HTTP/1.1\r\nHost: x\r\nVia: 1.1 loadbalancer\r\n";
            let read = forwarded_of(None, &text, is_trusted, false);
            assert_eq!(read, format!("{start}{expected}{proto}"), "{lines} {is_trusted}");
        }
    }

    #[test]
    fn upgrade_is_forwarded_when_allowed() {
        let text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(
            forwarded(text, false, true).contains("Connection: upgrade\r\nUpgrade: websocket\r\n")
        );
        assert!(!forwarded(text, false, false).contains("pgrade"));
    }

    #[test]
    fn h2c_is_removed_from_an_offer() {
        for (offered, expected) in [
            ("h2c, websocket", Some("Upgrade: websocket\r\n")),
            ("a/1, H2C ,,b", Some("Upgrade: a/1, b\r\n")),
            ("h2c", None),
            (",", None),
        ] {
            let text = format!(
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {offered}\r\n\r\n"
            );
            let out = forwarded(&text, false, true);
            match expected {
                Some(line) => assert!(out.contains(line), "{offered:?}: {out}"),
                None => assert!(!out.contains("pgrade"), "{offered:?}: {out}"),
            }
        }
    }

    #[test]
    fn only_forwarded_protocols_count_as_offered() {
        for (offered, chosen, expected) in [
            (&b"websocket, tcp"[..], &b"tcp"[..], true),
            (b"WebSocket", b"websocket", true),
            (b"a, b", b"b, a", true),
            (b"a, b", b"a, c", false),
            (b"a", b"", false),
            (b"h2c, a", b"h2c", false),
        ] {
            let text = String::from_utf8_lossy(chosen);
            assert_eq!(was_offered(offered, chosen), expected, "{text}");
        }
    }

    #[test]
    fn trusted_forwarded_fields_are_extended() {
        let text = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1\r\n\
                    X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\n\
                    Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nX-Forwarded-Port: 9\r\n\r\n";
        let out = forwarded(text, true, false);
        assert!(out.contains("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.1.2.3\r\n"), "{out}");
        assert!(out.contains("X-Forwarded-Proto: https\r\n"), "{out}");
        assert!(out.contains("Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\n"), "{out}");
        assert!(out.contains("X-Forwarded-Port: 9\r\n"), "{out}");
        assert!(!out.contains("Proto: http\r\n"), "{out}");
        assert!(out.contains("X-Forwarded-Host: x\r\n"), "{out}");
    }

    #[test]
    fn an_http_1_0_request_without_host_gets_the_address_of_the_server() {
        let out = forwarded("GET / HTTP/1.0\r\n\r\n", false, false);
        assert!(out.starts_with("GET / HTTP/1.1\r\nHost: backend:81\r\nVia: 1.0 loadbalancer\r\n"));
        assert!(!out.contains("X-Forwarded-Host"));
    }

    #[test]
    fn a_length_is_forwarded_without_leading_zeros() {
        for (length, plain) in [("010", "10"), ("00", "0"), ("0", "0"), ("10", "10")] {
            let text = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            let line = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {plain}\r\n");
            assert_eq!(forwarded(&text, false, false), format!("{line}{ADDED}"));
        }
    }

    #[test]
    fn the_transfer_coding_is_forwarded_as_one_canonical_line() {
        let text = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: , Chunked\r\nA: b\r\n\r\n";
        let expected = "POST / HTTP/1.1\r\nHost: x\r\nA: b\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(forwarded(text, false, false), format!("{expected}{ADDED}"));
    }
}
