//! What must hold for any bytes at all, by the part that reads them. The fuzzer (`stress/fuzz.sh`)
//! looks for bytes that break it; `cargo test` runs the bytes it has kept.

mod argv;
mod chunked;
mod list;
mod reader;
mod request;
mod response;

use loadbalancer::base::buffer::{Buffer, Pool};
use loadbalancer::http::body::Body;
use loadbalancer::http::forward::BodyTransform;
use loadbalancer::proxy::exchange::pump;
use reader::Head;

/// Panics when the bytes break what must hold.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("request", request::run),
    ("response", response::run),
    ("chunked", chunked::run),
    ("list", list::run),
    ("argv", argv::run),
];

/// Places to cut an input of `length` bytes at: all of them while it is short.
fn splits(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(1 + length / 256)
}

/// Bytes of the empty lines before a message, which are no part of it: some clients send one behind
/// the body of a POST (RFC 9112 §2.2), and some servers behind theirs.
fn empty_lines(data: &[u8]) -> usize {
    data.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(data.len())
}

/// Whether a person at a terminal would see one line and nothing else happen.
fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// Fields that are for one connection, or that a gateway writes anew (RFC 9110 §7.6).
const OWN: [&str; 14] = [
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
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Fields that say where a message ends.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

fn is_own(name: &str) -> bool {
    OWN.contains(&name) || FRAMING.contains(&name)
}

/// Whether this is a name that matters here to a server that cannot tell `_` from `-`.
fn is_lookalike(name: &str) -> bool {
    let plain = name.replace('_', "-");
    plain != name && (is_own(&plain) || plain == "user-agent")
}

/// The field lines of `head` that every gateway leaves alone, but for the framing. `sent` is the
/// head that came: what its `Connection` lists is between the sender and the program.
fn end_to_end<'a>(head: &'a Head, sent: &Head) -> Vec<&'a (String, Vec<u8>)> {
    let goes_on = |(name, _): &&(String, Vec<u8>)| {
        !(is_own(name) || is_lookalike(name) || sent.lists("connection", name))
    };
    head.fields.iter().filter(goes_on).collect()
}

/// A length in the one spelling it goes on in.
fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros.min(digits.len().saturating_sub(1))..]
}

/// What concerned one connection has not gone on, nor what looks like it; framing has in its one
/// spelling; what `Connection` listed is gone, unless a sender may not take it away.
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

/// Moves what belongs to `body` from the front of `data`, which comes in parts: what went on and
/// how many bytes of `data` that were; none if it is malformed. `ends`: the sender closes behind
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
