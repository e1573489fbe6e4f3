//! Requests: segmentation does not matter, the strict reader accepts what the program accepts, and
//! reads in what is forwarded of a connection the same requests, targets and bodies, and nothing
//! else.

use super::reader::{self, Framing, Head, Read};
use super::{empty_lines, end_to_end, hop_by_hop, pumped, splits};
use loadbalancer::balance::Strategy;
use loadbalancer::config::{Config, TrustedProxies};
use loadbalancer::http::body::Body;
use loadbalancer::http::forward::{self, GROWTH_BYTES_MAX, RequestContext};
use loadbalancer::http::head::{self, Parse, RequestHead, Version};
use loadbalancer::proxy::Scheme;
use loadbalancer::proxy::plan::{self, Intent, Plan, PlanContext};
use std::net::SocketAddr;

/// Most requests read from one input.
const REQUESTS_MAX: usize = 8;

const CLIENT: &str = "10.1.2.3";
const DEFAULT_HOST: &str = "backend:81";

/// A request as the strict reader sees it.
type Message = (Head, Vec<u8>);

pub fn run(data: &[u8]) {
    comes_in_parts(data);
    for trust_forwarded in [false, true] {
        let (mut sent, mut forwarded, mut rest) = (Vec::new(), Vec::new(), data);
        while sent.len() < REQUESTS_MAX
            && let Some((message, length)) = forward(rest, trust_forwarded, &mut forwarded)
        {
            rest = &rest[length..];
            sent.push(message);
        }
        let received = all(&forwarded);
        assert_eq!(received.len(), sent.len(), "{:?}", String::from_utf8_lossy(&forwarded));
        for (sent, received) in sent.iter().zip(&received) {
            compare(sent, received, trust_forwarded);
        }
    }
}

/// In one or two parts: the same head; and what was refused stays refused with more bytes.
fn comes_in_parts(data: &[u8]) {
    let mut head = RequestHead::default();
    let whole = head::request(data, &mut head);
    let end = if whole == Parse::Complete { head.bytes } else { data.len() };
    assert!(end <= data.len());
    for cut in splits(end) {
        let part = head::request(&data[..cut], &mut head);
        match whole {
            Parse::Complete | Parse::Partial => assert_eq!(part, Parse::Partial, "cut at {cut}"),
            Parse::Refused(_) => assert_ne!(part, Parse::Complete, "cut at {cut}"),
        }
        if let Parse::Refused(refusal) = part {
            let whole = head::request(data, &mut head);
            assert_eq!(whole, Parse::Refused(refusal), "refused when cut at {cut}");
        }
    }
}

fn client() -> SocketAddr {
    SocketAddr::new(CLIENT.parse().expect("an address"), 9)
}

fn config(trust_forwarded: bool) -> Config {
    let trusted = if trust_forwarded { TrustedProxies::All } else { TrustedProxies::None };
    Config {
        strategy: Strategy::Uri,
        stream_requests: true,
        trust_forwarded: trusted,
        ..Config::default()
    }
}

/// Forwards the request at the start of `data`, if it is complete and accepted; returns it and its
/// length. The strict reader must agree on every part of it.
fn forward(data: &[u8], trust_forwarded: bool, out: &mut Vec<u8>) -> Option<(Message, usize)> {
    let mut head = RequestHead::default();
    if head::request(data, &mut head) != Parse::Complete {
        return None;
    }
    let client = client();
    let config = config(trust_forwarded);
    let scheme = Scheme::Http;
    let context =
        PlanContext { config: &config, client: Some(&client), scheme, edits_fields: false };
    let Ok(Intent::Message(plan)) = plan::intent(data, &head, &context) else { return None };
    if plan.forwards == Some(0) {
        return None;
    }
    let mut body = plan.body;

    let lead = empty_lines(data);
    let Read::Whole(strict, length) = reader::request(&data[lead..]) else {
        panic!("only the program accepts {:?}", String::from_utf8_lossy(data));
    };
    assert_eq!(lead + length, head.bytes);
    assert_eq!(strict.start[0], head.method_text.of(data));
    assert_eq!(strict.start[1], head.target.of(data));
    assert_eq!(strict.start[2] == b"HTTP/1.0", head.version == Version::Http10);
    let framing = strict.request_framing().expect("the program accepts the framing");
    let same_framing = match body {
        Body::Empty => matches!(framing, Framing::Nothing | Framing::Length(0)),
        Body::Length(bytes) => framing == Framing::Length(bytes),
        Body::Chunked(_) => framing == Framing::Chunked,
        Body::UntilClose => false,
    };
    assert!(same_framing, "{body:?} is {framing:?}");

    let rest = &data[head.bytes..];
    let (body_bytes, moved) = pumped(&mut body, plan.transform, rest, false)?;
    let Read::Whole(content, covered) = reader::body(framing, rest) else {
        assert!(!body.is_ended(), "only the program sees the end of the body");
        return None;
    };
    assert!(body.is_ended(), "only the strict reader sees the end of the body");
    assert_eq!(moved, covered);
    out.extend_from_slice(&written(data, &head, &plan, trust_forwarded));
    out.extend_from_slice(&body_bytes);
    Some(((strict, content), head.bytes + covered))
}

/// The forwarded head, written to a buffer of the size that the program uses.
fn written(data: &[u8], head: &RequestHead, plan: &Plan, trust_forwarded: bool) -> Vec<u8> {
    let client = client();
    let context = RequestContext {
        is_https: false,
        keep_subject: trust_forwarded,
        client_subject: None,
        client: Some(&client),
        default_host: DEFAULT_HOST,
        trust_forwarded,
        upgrade: plan.upgrade,
        expect: plan.expects_continue,
        max_forwards: plan.forwards.map(|left| left - 1),
    };
    let mut out = vec![0; head.bytes + GROWTH_BYTES_MAX];
    let length = forward::request(data, head, &plan.target, &context, &mut out).expect("it fits");
    out.truncate(length);
    out
}

/// All requests in `forwarded`, to the last byte.
fn all(mut forwarded: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    while !forwarded.is_empty() {
        let text = || String::from_utf8_lossy(forwarded).into_owned();
        let Read::Whole(head, length) = reader::request(forwarded) else {
            panic!("a head that was forwarded: {:?}", text());
        };
        let framing = head.request_framing().unwrap_or_else(|why| panic!("{why}: {:?}", text()));
        let Read::Whole(content, covered) = reader::body(framing, &forwarded[length..]) else {
            panic!("a body that was forwarded: {:?}", text());
        };
        forwarded = &forwarded[length + covered..];
        found.push((head, content));
    }
    found
}

fn compare((sent, content): &Message, (received, body): &Message, trust_forwarded: bool) {
    assert_eq!(received.start[0], sent.start[0]);
    assert_eq!(received.start[2], b"HTTP/1.1");
    assert_eq!(body, content);
    let (authority, path) = destination(sent);
    assert_eq!(received.start[1], path, "{sent:?}");
    let host = authority.unwrap_or(DEFAULT_HOST.as_bytes().to_vec());
    assert_eq!(received.all("host"), [&host], "{sent:?}");
    assert_eq!(end_to_end(received, sent), end_to_end(sent, sent));
    assert_eq!(received.request_framing(), sent.request_framing());
    hop_by_hop(sent, received);

    let chain = received.all("x-forwarded-for");
    let [chain] = chain[..] else { panic!("{chain:?}") };
    assert!(chain.ends_with(CLIENT.as_bytes()), "{received:?}");
    if !trust_forwarded {
        assert_eq!(chain, CLIENT.as_bytes());
        assert_eq!(received.all("x-forwarded-proto"), [b"http"]);
        assert!(received.all("x-forwarded-host").iter().all(|shown| *shown == host));
        let further = |name: &str| {
            let suffix = name.strip_prefix("x-forwarded-");
            suffix.is_some_and(|suffix| !["for", "proto", "host"].contains(&suffix))
        };
        assert!(!received.fields.iter().any(|(name, _)| further(name)), "{received:?}");
    }
    for name in ["connection", "upgrade"] {
        let values = received.all(name);
        assert!(values.is_empty() || sent.lists("connection", "upgrade"), "{received:?}");
    }
}

/// Authority and path of a request (RFC 9112 §3.2, §3.3).
fn destination(head: &Head) -> (Option<Vec<u8>>, Vec<u8>) {
    let target = &head.start[1];
    if target.starts_with(b"/") || target == b"*" {
        return (head.all("host").first().map(|host| host.to_vec()), target.clone());
    }
    let scheme = target.windows(3).position(|three| three == b"://").expect("an absolute form");
    let rest = &target[scheme + 3..];
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = match (path.first(), &head.start[0][..]) {
        (Some(b'/'), _) => path.to_vec(),
        (None, b"OPTIONS") => b"*".to_vec(),
        (Some(_) | None, _) => [b"/", path].concat(),
    };
    (Some(authority.to_vec()), path)
}
