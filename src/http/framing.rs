//! Where a message ends, according to its head (RFC 9112 §6.3). Refuses ambiguous framing, the base
//! of request smuggling (§6.1, §11.2). Reads no body: see `body`.

use super::body::Body;
use super::chunked::{Chunked, ChunkedFault};
use super::field::{Coding, Length};
use super::head::{Method, Refusal, RequestHead, ResponseHead, Version};

/// Framing of the body of the request with this `head`. Its head and its trailer section together
/// may have `fields_max` field lines.
///
/// Errors: 400 for ambiguous framing, 501 for a transfer coding other than `chunked`.
pub fn request(head: &RequestHead, fields_max: u32) -> Result<Body, Refusal> {
    match (head.fields.coding, head.fields.length) {
        (Coding::Absent, Length::Absent) => Ok(Body::Empty),
        (Coding::Absent, Length::Bytes(0)) => Ok(Body::Empty),
        (Coding::Absent, Length::Bytes(bytes)) => Ok(Body::Length(bytes)),
        (Coding::Absent, Length::Invalid) => Err(Refusal::bad("the Content-Length is malformed")),
        (Coding::Absent, Length::Repeated(_)) => {
            Err(Refusal::bad("the request has more than one Content-Length"))
        }
        (_, Length::Bytes(_) | Length::Repeated(_) | Length::Invalid) => {
            Err(Refusal::bad("the request has both Transfer-Encoding and Content-Length"))
        }
        (_, Length::Absent) if head.version == Version::Http10 => {
            Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding"))
        }
        (Coding::Chunked, Length::Absent) => {
            let fields = fields_max.saturating_sub(head.fields.lines().len() as u32);
            let fields = u16::try_from(fields).unwrap_or(u16::MAX);
            Ok(Body::Chunked(Chunked::with_trailer_fields(fields)))
        }
        (Coding::Unknown, Length::Absent) => {
            Err(Refusal { status: 501, reason: "the only supported transfer coding is chunked" })
        }
        (Coding::NoFinalChunked | Coding::Invalid, Length::Absent) => {
            Err(Refusal::bad("the Transfer-Encoding does not end in exactly one chunked"))
        }
    }
}

/// Framing of the body of the final response with this `head` to a `method` request. Not for 1xx
/// responses, which have no body.
///
/// A `Content-Length` that is repeated with the same value counts once (RFC 9110 §8.6).
///
/// Errors: always 502, as the end of the message is ambiguous.
pub fn response(head: &ResponseHead, method: Method) -> Result<Body, Refusal> {
    const fn broken(reason: &'static str) -> Refusal {
        Refusal { status: 502, reason }
    }
    let ambiguous = match (head.fields.coding, head.fields.length) {
        (_, Length::Invalid) => Some("the server's Content-Length is malformed"),
        (
            Coding::Chunked | Coding::Unknown | Coding::NoFinalChunked | Coding::Invalid,
            Length::Bytes(_) | Length::Repeated(_),
        ) => Some("the server sent both Transfer-Encoding and Content-Length"),
        (Coding::Unknown | Coding::NoFinalChunked | Coding::Invalid, Length::Absent) => {
            Some("the server used an unsupported transfer coding")
        }
        (Coding::Chunked, Length::Absent) if head.version == Version::Http10 => {
            Some("the server sent Transfer-Encoding in HTTP/1.0")
        }
        (Coding::Chunked, Length::Absent)
        | (Coding::Absent, Length::Absent | Length::Bytes(_) | Length::Repeated(_)) => None,
    };
    if let Some(reason) = ambiguous {
        return Err(broken(reason));
    }
    if method == Method::Head || head.status == 204 || head.status == 304 {
        return Ok(Body::Empty);
    }
    match (head.fields.coding, head.fields.length) {
        (Coding::Absent, Length::Bytes(0) | Length::Repeated(0)) => Ok(Body::Empty),
        (Coding::Absent, Length::Bytes(bytes) | Length::Repeated(bytes)) => Ok(Body::Length(bytes)),
        (Coding::Absent, Length::Absent | Length::Invalid) => Ok(Body::UntilClose),
        (Coding::Chunked | Coding::Unknown | Coding::NoFinalChunked | Coding::Invalid, _) => {
            Ok(Body::Chunked(Chunked::new()))
        }
    }
}

/// The refusal of a request with such a body: a trailer section that is too large is answered like
/// such a head (RFC 6585 §5).
pub const fn request_body(fault: ChunkedFault) -> Refusal {
    match fault {
        ChunkedFault::Malformed => Refusal::bad("the request body's chunked framing is malformed"),
        ChunkedFault::LongLine => Refusal::bad("a chunk-size line of the request is too long"),
        ChunkedFault::LongTrailer => {
            Refusal { status: 431, reason: "the request's trailer section is too large" }
        }
        ChunkedFault::ManyTrailerFields => {
            Refusal { status: 431, reason: "the request has too many trailer fields" }
        }
    }
}

/// Why a response with such a body is refused, or cut off.
pub const fn response_body(fault: ChunkedFault) -> &'static str {
    match fault {
        ChunkedFault::Malformed => "the server's chunked framing is malformed",
        ChunkedFault::LongLine => "a chunk-size line of the server is too long",
        ChunkedFault::LongTrailer => "the server's trailer section is too large",
        ChunkedFault::ManyTrailerFields => "the server sent too many trailer fields",
    }
}

/// Whether a response whose status has no content claims some. Nothing of it is forwarded; content
/// may follow on the connection, which is therefore not reused. The `Content-Length` of a 304 is
/// that of the content a 200 would have (RFC 9110 §8.6).
pub fn claims_content_without_having_any(head: &ResponseHead) -> bool {
    let has_length = !matches!(head.fields.length, Length::Absent | Length::Bytes(0));
    let has_coding = head.fields.coding != Coding::Absent;
    match head.status {
        204 => has_coding || has_length,
        304 => has_coding,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::*;

    fn of_request(fields: &str, version: &str) -> Result<Body, u16> {
        let text = format!("POST / HTTP/{version}\r\nHost: x\r\n{fields}\r\n");
        let mut parsed = RequestHead::default();
        assert_eq!(head::request(text.as_bytes(), &mut parsed), head::Parse::Complete, "{text:?}");
        request(&parsed, 100).map_err(|refusal| refusal.status)
    }

    fn of_response(status: u16, fields: &str, method: Method) -> Result<Body, u16> {
        let text = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
        let mut parsed = ResponseHead::default();
        assert_eq!(head::response(text.as_bytes(), &mut parsed), head::Parse::Complete);
        response(&parsed, method).map_err(|refusal| refusal.status)
    }

    #[test]
    fn every_request_framing() {
        // All but Host and Transfer-Encoding.
        let chunked = || Ok(Body::Chunked(Chunked::with_trailer_fields(98)));
        for (fields, expected) in [
            ("", Ok(Body::Empty)),
            ("Content-Length: 0\r\n", Ok(Body::Empty)),
            ("Content-Length: 42\r\n", Ok(Body::Length(42))),
            ("Content-Length: 042\r\n", Ok(Body::Length(42))),
            ("Content-Length: 9223372036854775807\r\n", Ok(Body::Length(i64::MAX as u64))),
            ("Content-Length: 9223372036854775808\r\n", Err(400)),
            ("Content-Length: 99999999999999999999\r\n", Err(400)),
            ("Content-Length: +1\r\n", Err(400)),
            ("Content-Length: -1\r\n", Err(400)),
            ("Content-Length: 0x1\r\n", Err(400)),
            ("Content-Length: 1 2\r\n", Err(400)),
            ("Content-Length: 5, 5\r\n", Err(400)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(400)),
            ("Content-Length:\r\n", Err(400)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(400)),
            ("Transfer-Encoding: chunked\r\n", chunked()),
            ("Transfer-Encoding: Chunked\r\n", chunked()),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(400)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(501)),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Err(501)),
            ("Transfer-Encoding: gzip, , chunked\r\n", Err(501)),
            ("Transfer-Encoding: gzip\r\n", Err(400)),
            ("Transfer-Encoding: identity\r\n", Err(400)),
            ("Transfer-Encoding: xchunked\r\n", Err(400)),
            ("Transfer-Encoding: gzip, chunked, gzip\r\n", Err(400)),
            ("Transfer-Encoding: gzip, chunked, chunked\r\n", Err(400)),
            ("Transfer-Encoding: chunked, gzip\r\n", Err(400)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(400)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Transfer-Encoding:\r\n", Err(400)),
            ("Transfer-Encoding: chunked;a=b\r\n", Err(400)),
        ] {
            assert_eq!(of_request(fields, "1.1"), expected, "{fields:?}");
        }
        assert_eq!(of_request("Transfer-Encoding: chunked\r\n", "1.0"), Err(400));
    }

    #[test]
    fn every_response_framing() {
        let chunked = || Ok(Body::Chunked(Chunked::new()));
        for (status, fields, method, expected) in [
            (200, "", Method::Get, Ok(Body::UntilClose)),
            (200, "Content-Length: 3\r\n", Method::Get, Ok(Body::Length(3))),
            (200, "Content-Length: 3\r\n", Method::Head, Ok(Body::Empty)),
            (204, "", Method::Get, Ok(Body::Empty)),
            (304, "Content-Length: 3\r\n", Method::Get, Ok(Body::Empty)),
            (200, "Transfer-Encoding: chunked\r\n", Method::Get, chunked()),
            (200, "Transfer-Encoding: chunked\r\n", Method::Head, Ok(Body::Empty)),
            (200, "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Method::Get, Err(502)),
            (200, "Transfer-Encoding: gzip\r\n", Method::Get, Err(502)),
            (200, "Content-Length: 1\r\nContent-Length: 2\r\n", Method::Get, Err(502)),
            (200, "Content-Length: 3\r\nContent-Length: 3\r\n", Method::Get, Ok(Body::Length(3))),
            (200, "Content-Length: 3, 03\r\n", Method::Get, Ok(Body::Length(3))),
            (200, "Content-Length: 0\r\nContent-Length: 0\r\n", Method::Get, Ok(Body::Empty)),
            (200, "Content-Length: 3, 4\r\n", Method::Get, Err(502)),
            (200, "Content-Length: 3,\r\n", Method::Get, Err(502)),
            (200, "Content-Length: a, a\r\n", Method::Get, Err(502)),
            (204, "Content-Length: a\r\n", Method::Get, Err(502)),
        ] {
            assert_eq!(of_response(status, fields, method), expected, "{status} {fields:?}");
        }
    }

    #[test]
    fn a_claim_of_content_is_recognised() {
        for (status, fields, expected) in [
            (204, "", false),
            (204, "Content-Length: 0\r\n", false),
            (204, "Content-Length: 3\r\n", true),
            (204, "Transfer-Encoding: chunked\r\n", true),
            (304, "Content-Length: 3\r\n", false),
            (304, "Transfer-Encoding: chunked\r\n", true),
            (200, "Transfer-Encoding: chunked\r\n", false),
        ] {
            let text = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
            let mut parsed = ResponseHead::default();
            assert_eq!(head::response(text.as_bytes(), &mut parsed), head::Parse::Complete);
            let found = claims_content_without_having_any(&parsed);
            assert_eq!(found, expected, "{status} {fields:?}");
        }
    }
}
