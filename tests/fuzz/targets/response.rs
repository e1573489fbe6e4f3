//! Responses: segmentation does not matter, the strict reader accepts what the program accepts, and
//! reads in what is forwarded the same interim heads, status and content. A truncated body looks
//! truncated.

use super::reader::{self, Framing, Head, Read};
use super::{empty_lines, end_to_end, hop_by_hop, pumped, splits, without_zeros};
use loadbalancer::http::body::Body;
use loadbalancer::http::date::imf_fixdate;
use loadbalancer::http::forward::{self, BodyTransform, GROWTH_BYTES_MAX, Persistence};
use loadbalancer::http::framing;
use loadbalancer::http::head::{self, Method, Parse, ResponseHead, Version};

/// Most heads read from one input.
const HEADS_MAX: usize = 8;

pub fn run(data: &[u8]) {
    comes_in_parts(data);
    for method in [Method::Get, Method::Head] {
        for version in [Version::Http10, Version::Http11] {
            let mut rest = data;
            for _ in 0..HEADS_MAX {
                match forward(rest, method, version) {
                    Some(length) => rest = &rest[length..],
                    None => break,
                }
            }
        }
    }
}

/// In one or two parts: the same head; and what was refused stays refused with more bytes.
fn comes_in_parts(data: &[u8]) {
    let mut head = ResponseHead::default();
    let whole = head::response(data, &mut head);
    let end = if whole == Parse::Complete { head.bytes } else { data.len() };
    assert!(end <= data.len());
    for cut in splits(end) {
        let part = head::response(&data[..cut], &mut head);
        match whole {
            Parse::Complete | Parse::Partial => assert_eq!(part, Parse::Partial, "cut at {cut}"),
            Parse::Refused(_) => assert_ne!(part, Parse::Complete, "cut at {cut}"),
        }
    }
}

/// Forwards the head at the start of `data` and, if it is a final one, its body. Returns the length
/// of an interim head, which another one follows.
fn forward(data: &[u8], method: Method, version: Version) -> Option<usize> {
    let mut head = ResponseHead::default();
    if head::response(data, &mut head) != Parse::Complete {
        return None;
    }
    let lead = empty_lines(data);
    let repaired = repaired(&data[lead..head.bytes]);
    let Read::Whole(sent, length) = reader::response(&repaired) else {
        panic!("only the program accepts {:?}", String::from_utf8_lossy(data));
    };
    assert_eq!(length, repaired.len());
    assert_eq!(sent.start[1], head.status.to_string().as_bytes());
    assert_eq!(sent.start[0] == b"HTTP/1.0", head.version == Version::Http10);
    if head.status < 200 {
        let persistence =
            if head.status == 101 { Persistence::Upgrade } else { Persistence::Default };
        let received = strictly(&written(data, &head, BodyTransform::Keep, persistence));
        compare(&sent, &received, persistence);
        return (head.status != 101).then_some(head.bytes);
    }
    let body = framing::response(&head, method).ok()?;
    let framing = sent.response_framing(method == Method::Head);
    let framing = framing.expect("the program accepts the framing");
    let same_framing = match body {
        Body::Empty => matches!(framing, Framing::Nothing | Framing::Length(0)),
        Body::Length(bytes) => framing == Framing::Length(bytes),
        Body::Chunked(_) => framing == Framing::Chunked,
        Body::UntilClose => framing == Framing::UntilClose,
    };
    assert!(same_framing, "{body:?} is {framing:?}");

    let transform = BodyTransform::of_response(&head, &body, version);
    for persistence in [Persistence::Default, Persistence::Close, Persistence::KeepAlive] {
        let received = strictly(&written(data, &head, transform, persistence));
        compare(&sent, &received, persistence);
        if version == Version::Http10 {
            assert_eq!(received.all("transfer-encoding"), [b""; 0], "{received:?}");
        }
        let read_as = received.response_framing(method == Method::Head);
        arrives(
            &data[head.bytes..],
            body,
            transform,
            framing,
            read_as.expect("what was forwarded"),
        );
    }
    None
}

/// A head as the strict reader wants it: each line ends in CRLF, and a length is said once.
fn repaired(head: &[u8]) -> Vec<u8> {
    let (mut repaired, mut has_length) = (Vec::new(), false);
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut line = line.strip_suffix(b"\r").unwrap_or(line);
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length") {
            line = line.split(|&byte| byte == b',').next().unwrap_or_default();
            if std::mem::replace(&mut has_length, true) {
                continue;
            }
        }
        repaired.extend_from_slice(line);
        repaired.extend_from_slice(b"\r\n");
    }
    repaired
}

/// The forwarded body, `read_as` the client does, is the content that was sent as `framing`.
fn arrives(
    data: &[u8],
    mut body: Body,
    transform: BodyTransform,
    framing: Framing,
    read_as: Framing,
) {
    let Some((out, moved)) = pumped(&mut body, transform, data, true) else { return };
    match reader::body(framing, data) {
        Read::Whole(content, covered) => {
            assert!(body.is_ended() || body == Body::UntilClose, "{body:?} has not ended");
            assert_eq!(moved, covered);
            assert_eq!(reader::body(read_as, &out), Read::Whole(content, out.len()));
        }
        Read::Unfinished | Read::Refused(_) => {
            assert!(!body.is_ended(), "only the program sees the end of the body");
            // An HTTP/1.0 client sees a reset, as the framing cannot show it.
            assert!(
                transform == BodyTransform::Unchunk
                    || reader::body(read_as, &out) == Read::Unfinished
            );
        }
    }
}

/// The forwarded head, written to a buffer of the size that the program uses.
fn written(
    data: &[u8],
    head: &ResponseHead,
    transform: BodyTransform,
    persistence: Persistence,
) -> Vec<u8> {
    let date = imf_fixdate(0);
    let additions =
        (head.status >= 200).then_some(forward::Additions { date: &date, hsts: Some(60) });
    let mut out = vec![0; head.bytes + GROWTH_BYTES_MAX];
    let length = forward::response(data, head, transform, persistence, additions, &mut out);
    out.truncate(length.expect("it fits"));
    out
}

/// `forwarded`, which is one whole head and no byte more.
fn strictly(forwarded: &[u8]) -> Head {
    match reader::response(forwarded) {
        Read::Whole(head, length) if length == forwarded.len() => head,
        other => panic!("{other:?}: {:?}", String::from_utf8_lossy(forwarded)),
    }
}

fn compare(sent: &Head, received: &Head, persistence: Persistence) {
    assert_eq!(received.start[0], b"HTTP/1.1");
    assert_eq!(received.start[1], sent.start[1]);
    // The program may leave out a reason that is not ASCII.
    assert!(received.start[2] == sent.start[2] || !sent.start[2].is_ascii(), "{received:?}");
    let mut lines = end_to_end(received, sent);
    // What is added to a final response unless its server has said it.
    for added in ["date", "strict-transport-security"] {
        if sent.all(added).is_empty() {
            lines.retain(|(name, _)| name != added);
            assert_eq!(received.all(added).len(), usize::from(sent.start[1][0] != b'1'));
        }
    }
    assert_eq!(lines, end_to_end(sent, sent));
    hop_by_hop(sent, received);
    let mut connection: Vec<&[u8]> = match persistence {
        Persistence::Default | Persistence::Upgrade => Vec::new(),
        Persistence::Close => vec![b"close"],
        Persistence::KeepAlive => vec![b"keep-alive"],
    };
    // Protocols are named when switching, and in a 426.
    let names_protocols = persistence == Persistence::Upgrade || sent.start[1] == b"426";
    if names_protocols && !sent.all("upgrade").is_empty() {
        connection.push(b"upgrade");
    }
    assert_eq!(received.all("connection"), connection);
    // RFC 9110 §8.6, RFC 9112 §6.1: neither may be sent in a response that cannot have a body.
    let is_bare = sent.start[1][0] == b'1' || sent.start[1] == b"204";
    let lengths = if is_bare { Vec::new() } else { sent.all("content-length") };
    let lengths: Vec<&[u8]> = lengths.into_iter().map(without_zeros).collect();
    assert_eq!(received.all("content-length"), lengths, "{received:?}");
    assert!(!is_bare || received.all("transfer-encoding").is_empty(), "{received:?}");
}
