//! Writes the head that goes on: hop-by-hop fields out, `Host`, `Via` and `X-Forwarded-*` in
//! (RFC 9110 §7.6). Lines that go on untouched are copied as they came, in runs as long as
//! possible.

use super::body::Body;
use super::date::DATE_BYTES;
use super::field::{Coding, Length, Name, lists};
use super::head::{FieldLine, Fields, RequestHead, ResponseHead, Span, Version};
use super::target::Target;
use super::writer::{Overflow, Writer};
use std::net::IpAddr;

/// Most bytes by which a forwarded head can be longer than the one that came: two copies of an
/// authority, two of an address, and constant text.
pub const GROWTH_BYTES_MAX: usize = 1024;

const _: () = assert!(GROWTH_BYTES_MAX > 2 * super::target::AUTHORITY_BYTES_MAX + 2 * 46 + 200);

/// What the forwarded request says beside what the client said.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// Who sent it.
    pub client: IpAddr,
    /// `Host` for a request that came without one.
    pub default_host: &'a str,
    /// Clients are proxies of ours: their `X-Forwarded-*` are kept and added to, else replaced.
    pub trust_forwarded: bool,
    /// The connection may become a tunnel: `Upgrade` goes on.
    pub upgrade: bool,
    /// The request has content to wait with: `Expect` goes on (RFC 9110 §10.1.1).
    pub expect: bool,
    /// What `Max-Forwards` says from here on, if it is to be heeded (RFC 9110 §7.6.2).
    pub max_forwards: Option<u32>,
}

/// Whether the request asks for an upgrade that can be passed on. `h2c` cannot: the server would
/// then speak HTTP/2 behind a proxy that does not read it.
pub fn asks_upgrade(bytes: &[u8], head: &RequestHead) -> bool {
    let fields = &head.fields;
    head.version == Version::Http11
        && fields.connection.upgrade
        && fields.upgrade.is_some_and(|value| !lists(value.of(bytes), b"h2c"))
}

/// Writes the request head for the server to the start of `out`; its length.
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
        to.put_all(&[head.method_text.of(bytes), b" ", target.lead.as_slice()]);
        to.put_all(&[target.path.of(bytes), b" HTTP/1.1\r\n"]);
    }
    let authority = target.authority.map(|span| span.of(bytes));
    if target.is_absolute || authority.is_none() {
        let host = authority.unwrap_or(context.default_host.as_bytes());
        to.put_all(&[b"Host: ", host, b"\r\n"]);
    }
    copy_lines(bytes, line, &head.fields, &mut to, |line| match line.name {
        Name::Host => !target.is_absolute,
        Name::XForwardedFor => false,
        Name::Forwarded | Name::XForwardedHost | Name::XForwardedProto | Name::XRealIp => {
            context.trust_forwarded
        }
        Name::Expect => context.expect,
        Name::MaxForwards => context.max_forwards.is_none(),
        Name::ContentLength => !head.fields.is_padded,
        _ => true,
    });
    put_framing(&head.fields, head.fields.coding == Coding::Chunked, &mut to);
    if let Some(left) = context.max_forwards {
        to.put(b"Max-Forwards: ");
        to.put_decimal(u64::from(left));
        to.put(b"\r\n");
    }
    to.put(match head.version {
        Version::Http11 => b"Via: 1.1 loadbalancer\r\n",
        Version::Http10 => b"Via: 1.0 loadbalancer\r\n",
    });
    put_forwarded(bytes, head, authority, context, &mut to);
    if context.upgrade {
        put_upgrade(bytes, head.fields.upgrade, &mut to);
    }
    to.put(b"\r\n");
    to.finish()
}

/// The framing in one plain line, where the one that came was dropped: a list with empty members,
/// odd letters, or a number with zeros before it may mean something else to the next reader.
fn put_framing(fields: &Fields, chunked: bool, to: &mut Writer<'_>) {
    if chunked {
        to.put(b"Transfer-Encoding: chunked\r\n");
    } else if let Length::Bytes(length) = fields.length
        && fields.is_padded
    {
        to.put(b"Content-Length: ");
        to.put_decimal(length);
        to.put(b"\r\n");
    }
}

/// `X-Forwarded-For`, `-Proto`, `-Host`: one line each, as servers read only one.
fn put_forwarded(
    bytes: &[u8],
    head: &RequestHead,
    authority: Option<&[u8]>,
    context: &RequestContext<'_>,
    to: &mut Writer<'_>,
) {
    let keep = context.trust_forwarded && head.fields.has_forwarded;
    to.put(b"X-Forwarded-For: ");
    if keep {
        let lines = head.fields.lines().iter();
        for line in lines.filter(|line| line.name == Name::XForwardedFor) {
            to.put_all(&[line.value.of(bytes), b", "]);
        }
    }
    to.put_ip(context.client);
    if !(keep && head.fields.find(Name::XForwardedProto).is_some()) {
        to.put(b"\r\nX-Forwarded-Proto: http");
    }
    if let Some(host) = authority
        && !(keep && head.fields.find(Name::XForwardedHost).is_some())
    {
        to.put_all(&[b"\r\nX-Forwarded-Host: ", host]);
    }
    to.put(b"\r\n");
}

fn put_upgrade(bytes: &[u8], protocol: Option<Span>, to: &mut Writer<'_>) {
    if let Some(protocol) = protocol {
        to.put_all(&[b"Connection: upgrade\r\nUpgrade: ", protocol.of(bytes), b"\r\n"]);
    }
}

/// What becomes of the response body's framing on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyTransform {
    /// Goes on as it came.
    Keep,
    /// Goes on without its trailer fields: `Connection` may have named them (RFC 9110 §7.6.1).
    StripTrailers,
    /// Chunked here, close-delimited there: the client speaks HTTP/1.0.
    Unchunk,
    /// Close-delimited here, chunked there, so that a truncation shows.
    Chunk,
}

impl BodyTransform {
    /// How the `body` of the response behind `head` goes on to a client that speaks `version`.
    pub fn of_response(head: &ResponseHead, body: &Body, version: Version) -> BodyTransform {
        match (body, version) {
            (Body::UntilClose, Version::Http11) => BodyTransform::Chunk,
            // Without a body too: HTTP/1.0 knows no transfer coding (RFC 9112 §6.1).
            (Body::Chunked(_) | Body::Empty, Version::Http10) => BodyTransform::Unchunk,
            (Body::Chunked(_), Version::Http11) if head.fields.connection.others > 0 => {
                BodyTransform::StripTrailers
            }
            (Body::Empty | Body::Length(_) | Body::Chunked(_) | Body::UntilClose, _) => {
                BodyTransform::Keep
            }
        }
    }
}

/// The status that has to name protocols, without switching to one (RFC 9110 §15.5.22).
const UPGRADE_REQUIRED: u16 = 426;

/// What the forwarded response says about the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: the version's default holds, or the response is interim.
    Default,
    /// `Connection: close`.
    Close,
    /// `Connection: keep-alive`, for HTTP/1.0 clients that asked for it.
    KeepAlive,
    /// `Connection: upgrade` and the server's `Upgrade`.
    Upgrade,
}

/// Writes the response head for the client to the start of `out`; its length. `date` is used when
/// the server sent none (RFC 9110 §6.6.1); none is added to an interim response.
pub fn response(
    bytes: &[u8],
    head: &ResponseHead,
    transform: BodyTransform,
    persistence: Persistence,
    date: Option<&[u8; DATE_BYTES]>,
    out: &mut [u8],
) -> Result<usize, Overflow> {
    let mut to = Writer::new(out);
    let line = head.line();
    if line.is_none() {
        to.put(b"HTTP/1.1 ");
        to.put_decimal(u64::from(head.status));
        to.put_all(&[b" ", head.reason.of(bytes), b"\r\n"]);
    }
    // Without content by its status, a response has no framing either (RFC 9112 §6.1, §6.2).
    let framed = head.status >= 200 && head.status != 204;
    copy_lines(bytes, line, &head.fields, &mut to, |line| match line.name {
        Name::ContentLength => framed && !head.fields.is_padded,
        _ => true,
    });
    let chunked = match transform {
        BodyTransform::Keep | BodyTransform::StripTrailers => head.fields.coding == Coding::Chunked,
        BodyTransform::Unchunk => false,
        BodyTransform::Chunk => true,
    };
    if let Some(date) = date.filter(|_| !head.fields.has_date) {
        to.put_all(&[b"Date: ", date, b"\r\n"]);
    }
    if framed {
        put_framing(&head.fields, chunked, &mut to);
    }
    match persistence {
        Persistence::Default => {}
        Persistence::Close => to.put(b"Connection: close\r\n"),
        Persistence::KeepAlive => to.put(b"Connection: keep-alive\r\n"),
        Persistence::Upgrade => {}
    }
    if persistence == Persistence::Upgrade || head.status == UPGRADE_REQUIRED {
        put_upgrade(bytes, head.fields.upgrade, &mut to);
    }
    to.put(b"\r\n");
    to.finish()
}

/// Copies `first`, if given, which stands before the field lines, and those of them that are not
/// hop-by-hop, not named by `Connection`, and that `keep` keeps.
fn copy_lines(
    bytes: &[u8],
    first: Option<Span>,
    fields: &Fields,
    to: &mut Writer<'_>,
    keep: impl Fn(&FieldLine) -> bool,
) {
    let mut run = Some(first.unwrap_or(fields.whole()).start());
    for line in fields.lines() {
        let dropped = line.name.is_hop_by_hop()
            || !keep(line)
            || (fields.connection.others > 0 && is_listed(bytes, fields, line));
        let start = line.name_text.start();
        if !dropped {
            run.get_or_insert(start);
        } else if let Some(run) = run.take() {
            to.put(bytes.get(run..start).unwrap_or_default());
        }
    }
    if let Some(run) = run {
        to.put(bytes.get(run..fields.whole().end()).unwrap_or_default());
    }
}

/// Whether a `Connection` line names this line's field and may (RFC 9110 §7.6.1).
fn is_listed(bytes: &[u8], fields: &Fields, line: &FieldLine) -> bool {
    let name = line.name_text.of(bytes);
    let mut lines = fields.lines().iter().filter(|other| other.name == Name::Connection);
    !line.name.is_protected() && lines.any(|other| lists(other.value.of(bytes), name))
}

#[cfg(test)]
mod tests {
    use super::super::head::{self, Parse};
    use super::super::target;
    use super::*;

    fn forwarded(text: &str, trust_forwarded: bool, upgrade: bool) -> String {
        let bytes = text.as_bytes();
        let mut head = RequestHead::default();
        assert_eq!(head::request(bytes, &mut head), Parse::Complete, "{text:?}");
        let target = target::target(bytes, &head).expect("an accepted target");
        let client = "10.1.2.3".parse().expect("an address");
        let context = RequestContext {
            client,
            default_host: "backend:81",
            trust_forwarded,
            upgrade: upgrade && asks_upgrade(bytes, &head),
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
    fn request_heads_go_on_without_what_concerns_one_connection() {
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
                 Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\n",
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
    fn upgrade_goes_on_when_allowed() {
        let text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(
            forwarded(text, false, true).contains("Connection: upgrade\r\nUpgrade: websocket\r\n")
        );
        assert!(!forwarded(text, false, false).contains("pgrade"));
    }

    #[test]
    fn trusted_forwarded_fields_are_added_to() {
        let text = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1\r\n\
                    X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\n\
                    Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\n\r\n";
        let out = forwarded(text, true, false);
        assert!(out.contains("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.1.2.3\r\n"), "{out}");
        assert!(out.contains("X-Forwarded-Proto: https\r\n"), "{out}");
        assert!(out.contains("Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\n"), "{out}");
        assert!(!out.contains("Proto: http\r\n"), "{out}");
        assert!(out.contains("X-Forwarded-Host: x\r\n"), "{out}");
    }

    #[test]
    fn an_old_request_without_host_gets_the_servers() {
        let out = forwarded("GET / HTTP/1.0\r\n\r\n", false, false);
        assert!(out.starts_with("GET / HTTP/1.1\r\nHost: backend:81\r\nVia: 1.0 loadbalancer\r\n"));
        assert!(!out.contains("X-Forwarded-Host"));
    }

    #[test]
    fn a_length_is_said_without_zeros_before_it() {
        for (length, plain) in [("010", "10"), ("00", "0"), ("0", "0"), ("10", "10")] {
            let text = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            let line = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {plain}\r\n");
            assert_eq!(forwarded(&text, false, false), format!("{line}{ADDED}"));
        }
    }

    #[test]
    fn the_coding_is_said_in_one_plain_line() {
        let text = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: , Chunked\r\nA: b\r\n\r\n";
        let expected = "POST / HTTP/1.1\r\nHost: x\r\nA: b\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(forwarded(text, false, false), format!("{expected}{ADDED}"));
    }

    #[test]
    fn a_response_without_content_has_no_framing() {
        for (status, framed) in [(103, false), (204, false), (200, true), (304, true)] {
            for line in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
                let text = format!("HTTP/1.1 {status} x\r\n{line}\r\n\r\n");
                let mut head = ResponseHead::default();
                assert_eq!(head::response(text.as_bytes(), &mut head), Parse::Complete);
                let mut out = [0; 512];
                let (transform, persistence) = (BodyTransform::Keep, Persistence::Default);
                let length =
                    response(text.as_bytes(), &head, transform, persistence, None, &mut out);
                let out = String::from_utf8_lossy(&out[..length.expect("fits")]).into_owned();
                assert_eq!(out.contains(line), framed, "{status} {line}: {out}");
            }
        }
    }

    #[test]
    fn response_heads_say_what_holds_between_client_and_us() {
        let text = b"HTTP/1.0 200 OK\r\nServer: s\r\nConnection: close\r\nX: y\r\n\r\n";
        let mut head = ResponseHead::default();
        assert_eq!(head::response(text, &mut head), Parse::Complete);
        let date = super::super::date::imf_fixdate(0);
        let mut out = [0; 512];
        let mut write = |transform, persistence, date| {
            let length =
                response(text, &head, transform, persistence, date, &mut out).expect("fits");
            String::from_utf8_lossy(&out[..length]).into_owned()
        };
        assert_eq!(
            write(BodyTransform::Chunk, Persistence::Default, Some(&date)),
            "HTTP/1.1 200 OK\r\nServer: s\r\nX: y\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        assert_eq!(
            write(BodyTransform::Keep, Persistence::Close, None),
            "HTTP/1.1 200 OK\r\nServer: s\r\nX: y\r\nConnection: close\r\n\r\n"
        );
    }
}
