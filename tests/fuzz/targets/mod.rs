//! Properties that hold for any input, one target per parser. The fuzzer (`stress/fuzz.sh`)
//! searches for counterexamples; `cargo test` runs the corpus.

mod argv;
mod chunked;
mod control;
mod list;
mod proxy;
mod reader;
#[cfg(feature = "tls")]
mod records;
mod request;
mod response;

use loadbalancer::base::buffer::{Buffer, Pool};
use loadbalancer::http::body::Body;
use loadbalancer::http::forward::BodyTransform;
use loadbalancer::proxy::pump;
use reader::Head;

/// Panics when the bytes violate a property.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("request", request::run),
    ("response", response::run),
    ("chunked", chunked::run),
    ("list", list::run),
    ("argv", argv::run),
    ("proxy", proxy::run),
    ("control", control::run),
    #[cfg(feature = "tls")]
    ("records", records::run),
];

/// Places to cut an input of `length` bytes at: all of them while it is short.
fn splits(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(1 + length / 256)
}

/// Length of the empty lines before a message, which are no part of it: some clients send one after
/// the body of a POST (RFC 9112 §2.2), and some servers after theirs.
fn empty_lines(data: &[u8]) -> usize {
    data.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(data.len())
}

/// Whether the text is one line without control characters.
fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// Fields that are hop-by-hop, or that a gateway replaces (RFC 9110 §7.6).
const OWN: [&str; 11] = [
    "close",
    "connection",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "via",
];

/// Further fields whose names with `_` are dropped.
const WITHOUT_ALIAS: [&str; 5] =
    ["proxy-authenticate", "proxy-authorization", "user-agent", "www-authenticate", "x-real-ip"];

/// Framing fields.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

fn is_own(name: &str) -> bool {
    OWN.contains(&name) || FRAMING.contains(&name) || name.starts_with("x-forwarded-")
}

/// Whether this is a name with `_` that a CGI server takes for a field checked here.
fn is_lookalike(name: &str) -> bool {
    // What follows this prefix may have a `_`.
    let plain = name.replace('_', "-");
    !name.starts_with("x-forwarded-")
        && plain != name
        && (is_own(&plain) || WITHOUT_ALIAS.contains(&plain.as_str()))
}

/// The field lines of `head` that a gateway forwards unchanged, without the framing. `sent` is the
/// received head: the fields its `Connection` lists are hop-by-hop.
fn end_to_end<'a>(head: &'a Head, sent: &Head) -> Vec<&'a (String, Vec<u8>)> {
    let is_forwarded = |(name, _): &&(String, Vec<u8>)| {
        !(is_own(name) || is_lookalike(name) || sent.lists("connection", name))
    };
    head.fields.iter().filter(is_forwarded).collect()
}

/// A length in its canonical form.
fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros.min(digits.len().saturating_sub(1))..]
}

/// Hop-by-hop fields and their aliases are gone, and so are the fields that `Connection` listed
/// unless it may not remove them; the framing is canonical.
fn hop_by_hop(sent: &Head, received: &Head) {
    for name in ["keep-alive", "proxy-connection"] {
        assert_eq!(received.all(name), [b""; 0], "{received:?}");
    }
    assert!(!received.fields.iter().any(|(name, _)| is_lookalike(name)), "{received:?}");
    for length in received.all("content-length") {
        assert_eq!(length, without_zeros(length), "{received:?}");
    }
    let codings = received.all("transfer-encoding");
    assert!(matches!(codings[..], [] | [b"chunked"]), "{received:?}");
    let is_foreign = |name: &str| !is_own(name) && name != "date";
    for (name, _) in sent.fields.iter().filter(|(name, _)| is_foreign(name)) {
        let is_listed = sent.lists("connection", name);
        assert!(!is_listed || received.all(name).is_empty(), "{name} in {received:?}");
    }
    if sent.lists("connection", "date") && !sent.all("date").is_empty() {
        assert_eq!(received.all("date"), sent.all("date"), "{received:?}");
    }
}

/// Pumps `body` from the front of `data`, which arrives in parts; returns the forwarded bytes and
/// how many bytes of `data` were read; none if it is malformed. `ends`: the sender closes after
/// `data`.
fn pumped(
    body: &mut Body,
    transform: BodyTransform,
    data: &[u8],
    ends: bool,
) -> Option<(Vec<u8>, usize)> {
    let mut pool = Pool::new();
    let (mut from, mut to) = (Buffer::new(), Buffer::new());
    let (mut out, mut used) = (Vec::new(), 0);
    let mut rest = data;
    loop {
        let part = rest.len().min(1 + data.len() / 3);
        let taken = from.append(&rest[..part], &mut pool);
        rest = &rest[taken..];
        let moved = pump::pump(body, transform, &mut from, &mut to, &mut pool).ok()?;
        used += moved;
        out.extend_from_slice(to.data());
        to.consume(to.data().len());
        if moved == 0 && taken == 0 {
            break;
        }
    }
    if *body == Body::UntilClose && ends {
        assert!(pump::finish(transform, &mut to, &mut pool));
        out.extend_from_slice(to.data());
    }
    Some((out, used))
}
