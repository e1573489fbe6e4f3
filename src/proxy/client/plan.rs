//! What to do with a request, from its head alone: forward it, or refuse it. Pure.

use super::listener::Scheme;
use crate::balance::{self, Strategy};
use crate::base::buffer::LARGE_BYTES;
use crate::config::{Config, HeadLimits};
use crate::http::body::Body;
use crate::http::cookie;
use crate::http::field::{Expect, Name};
use crate::http::forward::{self, BodyTransform};
use crate::http::framing;
use crate::http::head::{self, Method, Parse, Refusal, RequestHead, Version};
use crate::http::target::{self, Target};
use crate::http::via;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;

/// What is remembered of a request while it is served.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes of its head.
    pub head_bytes: usize,
    pub method: Method,
    pub version: Version,
    /// Where it is for; its spans are good as long as the head is in the inbox.
    pub target: Target,
    /// How its body is framed.
    pub body: Body,
    /// The client would send another request on this connection.
    pub keep_alive: bool,
    /// The connection may become a tunnel.
    pub upgrade: bool,
    /// Its credentials authenticate the connection to the server, and all requests after it.
    pub authenticates_connection: bool,
    /// The client may wait for leave to send its content, which the server gives. HTTP/1.0 does not
    /// know that, and without content there is nothing to wait with (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// What becomes of the body's framing on its way to the server.
    pub transform: BodyTransform,
    /// How often the request may still be forwarded, if it says so and that is to be heeded.
    pub forwards: Option<u32>,
    /// What the hash strategies choose by; 0 for the others.
    pub hash: u64,
    /// What its cookie of `--sticky` says.
    pub session: Option<NonZeroU64>,
}

/// What a plan depends on besides the request. What few requests need is not copied here.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext<'a> {
    pub config: &'a Config,
    /// None of a unix socket's client.
    pub client: Option<&'a SocketAddr>,
    /// The listener's.
    pub scheme: Scheme,
    /// Fields of the request are edited (`--header-up`).
    pub edits_fields: bool,
}

impl PlanContext<'_> {
    /// The connection is secured, or may be: by a trusted proxy in front of this one.
    fn is_secured(&self) -> bool {
        let ip = self.client.map(SocketAddr::ip);
        self.scheme == Scheme::Https || self.config.trust_forwarded.contains(ip)
    }
}

/// What the `bytes` of a request amount to under `limits`, given what they are to the parser, whose
/// own limits are the widest there can be.
#[inline]
pub fn within(limits: &HeadLimits, parse: Parse, bytes: &[u8], head: &RequestHead) -> Parse {
    let (size, fields, target) = match parse {
        Parse::Refused(_) => return parse,
        Parse::Complete => (head.bytes, head.fields.lines().len(), head.target.len()),
        // What is not complete with as many bytes as allowed needs more.
        Parse::Partial => (bytes.len() + 1, 0, head::target_so_far(bytes).unwrap_or(0)),
    };
    let exceeds = |count: usize, limit: u32| count > limit as usize;
    if exceeds(target, limits.target) {
        return Parse::Refused(head::LONG_TARGET);
    }
    match exceeds(size, limits.bytes) || exceeds(fields, limits.fields) {
        true => Parse::Refused(head::TOO_LARGE),
        false => parse,
    }
}

const _: () = assert!(HeadLimits::MOST.bytes as usize <= head::HEAD_BYTES_MAX);
const _: () = assert!(HeadLimits::MOST.fields as usize <= head::FIELDS_MAX);
const _: () = assert!(HeadLimits::MOST.target as usize <= head::TARGET_BYTES_MAX);

/// Reads the request's intent off its head.
///
/// Errors: what the head says cannot be served, with the status for it.
pub fn intent(
    bytes: &[u8],
    head: &RequestHead,
    context: &PlanContext<'_>,
) -> Result<Intent, Refusal> {
    let target = target::target(bytes, head)?;
    if target.is_https && !context.is_secured() {
        let reason = "https was asked for over a connection that is not secured";
        return Err(Refusal { status: 421, reason });
    }
    if head.fields.own_via > via::OWN_MEMBERS_MAX {
        return Err(Refusal {
            status: 508,
            reason: "the request came back: the servers form a loop",
        });
    }
    let body = framing::request(head, context.config.head.fields)?;
    if head.method == Method::Trace && !body.is_ended() {
        return Err(Refusal { status: 400, reason: "a TRACE request cannot have content" });
    }
    if head.fields.expect == Expect::Unknown {
        return Err(Refusal { status: 417, reason: "only 100-continue can be expected here" });
    }
    // The offer is looked up when the server accepts it, so it must still be held by then.
    let upgrade = can_be_held(body, head.bytes) && forward::offers_upgrade(bytes, head);
    // Built as what is returned: it is too large to be moved.
    Ok(Intent::Message(Plan {
        head_bytes: head.bytes,
        method: head.method,
        version: head.version,
        target,
        body,
        keep_alive: head.keeps_alive(),
        // A body that is collected first is asked for by this program, and the server has no part in
        // that.
        expects_continue: context.config.stream_requests
            && expects_continue(head)
            && !body.is_ended(),
        upgrade,
        authenticates_connection: head.fields.authenticates_connection,
        transform: match context.edits_fields {
            true => BodyTransform::of_request(head).without_trailers(),
            false => BodyTransform::of_request(head),
        },
        forwards: if matches!(head.method, Method::Options | Method::Trace) {
            forwards(bytes, head)?
        } else {
            None
        },
        hash: hash(bytes, head, context),
        session: match &context.config.sticky {
            Some(name) => cookie::value(bytes, &head.fields, name),
            None => None,
        },
    }))
}

/// Whether a request with this `body` is sure to fit into one buffer.
fn can_be_held(body: Body, head_bytes: usize) -> bool {
    match body {
        Body::Empty => true,
        Body::Length(bytes) => bytes <= (LARGE_BYTES - head_bytes) as u64,
        Body::Chunked(_) | Body::UntilClose => false,
    }
}

/// The client may wait for leave to send content, if it has any.
pub fn expects_continue(head: &RequestHead) -> bool {
    head.fields.expect == Expect::Continue && head.version == Version::Http11
}

/// What `Max-Forwards` says, which is for OPTIONS and TRACE only (RFC 9110 §7.6.2).
#[cold]
fn forwards(bytes: &[u8], head: &RequestHead) -> Result<Option<u32>, Refusal> {
    let lines = head.fields.lines().iter();
    let mut lines = lines.filter(|line| line.name == Name::MaxForwards);
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.value.of(bytes);
    if lines.next().is_some() || text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Refusal { status: 400, reason: "the Max-Forwards field is malformed" });
    }
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    Ok(Some(text.iter().fold(0, add)))
}

impl Plan {
    /// The request may not be forwarded any further: this program answers it (RFC 9110 §7.6.2).
    pub fn max_forwards_exhausted(&self) -> bool {
        self.forwards == Some(0)
    }

    /// Whether the whole request is sure to fit into one buffer, to be sent again if need be.
    pub fn can_be_held(&self) -> bool {
        can_be_held(self.body, self.head_bytes)
    }
}

/// What a client's connection asks for.
#[derive(Clone, Copy, Debug)]
pub enum Intent {
    /// An HTTP request.
    Message(Plan),
    /// A TCP session: no head, bytes both ways.
    Session {
        /// What the hash strategies choose by.
        hash: u64,
    },
}

impl Intent {
    /// What the hash strategies choose by.
    pub fn hash(&self) -> u64 {
        match self {
            Intent::Message(plan) => plan.hash,
            Intent::Session { hash } => *hash,
        }
    }

    /// What its cookie of `--sticky` says.
    pub fn session(&self) -> Option<NonZeroU64> {
        self.message().and_then(|plan| plan.session)
    }

    /// The request; none of a TCP session.
    pub fn message(&self) -> Option<&Plan> {
        match self {
            Intent::Message(plan) => Some(plan),
            Intent::Session { .. } => None,
        }
    }

    /// Doing it twice is the same as doing it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.message().is_some_and(|plan| plan.method.is_idempotent())
    }
}

#[inline]
fn hash(bytes: &[u8], head: &RequestHead, context: &PlanContext<'_>) -> u64 {
    match context.config.strategy {
        Strategy::Source => hash_of_address(context.client),
        Strategy::Uri => balance::hash(head.target.of(bytes)),
        Strategy::Header => hash_of_field(bytes, head, context),
        Strategy::First
        | Strategy::RoundRobin
        | Strategy::Random
        | Strategy::LeastConn
        | Strategy::LeastTime
        | Strategy::LeastLoad
        | Strategy::Rank
        | Strategy::PowerOfTwo => 0,
    }
}

#[inline(never)]
fn hash_of_field(bytes: &[u8], head: &RequestHead, context: &PlanContext<'_>) -> u64 {
    let field = context.config.hash_field.as_deref().unwrap_or_default();
    let line = head.fields.find_text(bytes, field.as_bytes());
    line.map_or_else(|| hash_of_address(context.client), |line| balance::hash(line.value.of(bytes)))
}

/// The hash of a client's address, also what TCP mode chooses by: the same for all clients of unix
/// sockets.
#[inline(never)]
pub fn hash_of_address(client: Option<&SocketAddr>) -> u64 {
    match client.map(|client| client.ip().to_canonical()) {
        Some(IpAddr::V4(v4)) => balance::hash(&v4.octets()),
        Some(IpAddr::V6(v6)) => balance::hash(&v6.octets()),
        None => balance::hash(&[]),
    }
}
