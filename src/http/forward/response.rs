//! The response head for a client.

use super::lines::{copy_all, copy_fields, write_framing, write_upgrade};
use crate::http::body::Body;
use crate::http::date::DATE_BYTES;
use crate::http::field::{Coding, Name};
use crate::http::framing;
use crate::http::head::{RequestHead, ResponseHead, Version};
use crate::http::writer::{Overflow, Writer};

/// How the framing of a body changes when it is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyTransform {
    /// Unchanged.
    Keep,
    /// Without its trailer fields: `Connection` may have named them (RFC 9110 §7.6.1).
    StripTrailers,
    /// Received chunked, forwarded close-delimited, as the client speaks HTTP/1.0.
    Unchunk,
    /// Received close-delimited, forwarded chunked, so that the client can detect truncation.
    Chunk,
}

impl BodyTransform {
    /// How the body of the request with this `head` is forwarded. Its trailer fields are forwarded
    /// only if the client announced some (RFC 9110 §6.5.1) and `Connection` cannot have named them.
    pub fn of_request(head: &RequestHead) -> BodyTransform {
        let fields = &head.fields;
        match fields.has_trailer && fields.connection.listed_fields == 0 {
            true => BodyTransform::Keep,
            false => BodyTransform::StripTrailers,
        }
    }

    /// The same for a message whose fields are edited: a recipient that merges trailers into the
    /// head would get those that were removed there.
    pub fn without_trailers(self) -> BodyTransform {
        match self {
            BodyTransform::Keep | BodyTransform::StripTrailers => BodyTransform::StripTrailers,
            BodyTransform::Unchunk | BodyTransform::Chunk => self,
        }
    }

    /// How the `body` of the response with this `head` is forwarded to a client that speaks
    /// `version`.
    pub fn of_response(head: &ResponseHead, body: &Body, version: Version) -> BodyTransform {
        match (body, version) {
            (Body::UntilClose, Version::Http11) => BodyTransform::Chunk,
            // Without a body too: HTTP/1.0 has no transfer coding (RFC 9112 §6.1).
            (Body::Chunked(_) | Body::Empty, Version::Http10) => BodyTransform::Unchunk,
            (Body::Chunked(_), Version::Http11) if head.fields.connection.listed_fields > 0 => {
                BodyTransform::StripTrailers
            }
            (Body::Empty | Body::Length(_) | Body::Chunked(_) | Body::UntilClose, _) => {
                BodyTransform::Keep
            }
        }
    }
}

/// 426 Upgrade Required must name protocols without switching to one (RFC 9110 §15.5.22).
const UPGRADE_REQUIRED: u16 = 426;

/// The `Connection` field of a forwarded response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// None: the default of the version applies, or the response is interim.
    Default,
    /// `Connection: close`.
    Close,
    /// `Connection: keep-alive`, for HTTP/1.0 clients that asked for it.
    KeepAlive,
    /// `Connection: upgrade` and the server's `Upgrade`.
    Upgrade,
}

/// What a final response says unless its server has said it.
#[derive(Clone, Copy, Debug)]
pub struct Additions<'a> {
    /// `Date` (RFC 9110 §6.6.1).
    pub date: &'a [u8; DATE_BYTES],
    /// `max-age` in seconds of `Strict-Transport-Security` (RFC 6797 §6.1).
    pub hsts: Option<u64>,
}

/// Writes the response head for the client to the start of `out`; returns its length. An interim
/// response gets no `additions`.
///
/// Errors: it does not fit into `out`.
pub fn response(
    bytes: &[u8],
    head: &ResponseHead,
    transform: BodyTransform,
    persistence: Persistence,
    additions: Option<Additions<'_>>,
    out: &mut [u8],
) -> Result<usize, Overflow> {
    let mut to = Writer::new(out);
    let line = head.line();
    if line.is_none() {
        to.append(b"HTTP/1.1 ");
        to.append_decimal(u64::from(head.status));
        to.append_all(&[b" ", head.reason.of(bytes), b"\r\n"]);
    }
    // A status without content has no framing fields either (RFC 9112 §6.1, §6.2).
    let framed = head.status >= 200 && head.status != 204;
    if head.fields.are_always_forwarded() && framed {
        copy_all(bytes, line, &head.fields, &mut to);
    } else {
        copy_fields(bytes, line, &head.fields, &mut to, |line| match line.name {
            Name::ContentLength => framed && !head.fields.length_needs_rewrite,
            _ => true,
        });
    }
    let chunked = match transform {
        BodyTransform::Keep | BodyTransform::StripTrailers => {
            head.fields.coding == Coding::Chunked
                && !framing::claims_content_without_having_any(head)
        }
        BodyTransform::Unchunk => false,
        BodyTransform::Chunk => true,
    };
    if let Some(additions) = additions {
        if !head.fields.has_date {
            to.append_all(&[b"Date: ", additions.date, b"\r\n"]);
        }
        if let Some(seconds) = additions.hsts
            && head.fields.find_text(bytes, b"strict-transport-security").is_none()
        {
            write_hsts(seconds, &mut to);
        }
    }
    if framed {
        write_framing(&head.fields, chunked, &mut to);
    }
    match persistence {
        Persistence::Default => {}
        Persistence::Close => to.append(b"Connection: close\r\n"),
        Persistence::KeepAlive => to.append(b"Connection: keep-alive\r\n"),
        Persistence::Upgrade => {}
    }
    if persistence == Persistence::Upgrade || head.status == UPGRADE_REQUIRED {
        write_upgrade(bytes, head.fields.upgrade, &mut to);
    }
    to.append(b"\r\n");
    to.finish()
}

/// `Strict-Transport-Security` (RFC 6797 §6.1).
pub fn write_hsts(seconds: u64, to: &mut Writer<'_>) {
    to.append(b"Strict-Transport-Security: max-age=");
    to.append_decimal(seconds);
    to.append(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date::imf_fixdate;
    use crate::http::head::{self, Parse};

    #[test]
    fn a_response_without_content_has_no_framing_fields() {
        for (status, has_length, has_coding) in
            [(103, false, false), (204, false, false), (200, true, true), (304, true, false)]
        {
            for (line, framed) in
                [("Content-Length: 3", has_length), ("Transfer-Encoding: chunked", has_coding)]
            {
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
    fn bare_lfs_and_repeated_lengths_are_repaired() {
        for (text, expected) in [
            (
                "HTTP/1.1 200 OK\nA:b\nConnection: x-c\nX-C: d\nContent-Length: 3\n\n",
                "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\n",
            ),
            (
                "HTTP/1.1 404 Not Found\r\nA: b\nE:\r\nContent-Length: 3\r\n\n",
                "HTTP/1.1 404 Not Found\r\nA: b\r\nE: \r\nContent-Length: 3\r\n\r\n",
            ),
            ("HTTP/1.1 204 No\n\n", "HTTP/1.1 204 No\r\n\r\n"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\nContent-Length: 3\r\n\r\n",
                "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 03, 3\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            ),
        ] {
            let mut head = ResponseHead::default();
            assert_eq!(head::response(text.as_bytes(), &mut head), Parse::Complete, "{text:?}");
            assert_eq!(head.bytes, text.len());
            let mut out = [0; 512];
            let (transform, persistence) = (BodyTransform::Keep, Persistence::Default);
            let length = response(text.as_bytes(), &head, transform, persistence, None, &mut out);
            let out = String::from_utf8_lossy(&out[..length.expect("fits")]).into_owned();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn response_heads_state_the_framing_and_persistence_towards_the_client() {
        let text = b"HTTP/1.0 200 OK\r\nServer: s\r\nConnection: close\r\nX: y\r\n\r\n";
        let mut head = ResponseHead::default();
        assert_eq!(head::response(text, &mut head), Parse::Complete);
        let date = imf_fixdate(0);
        let mut out = [0; 512];
        let mut write = |transform, persistence, additions| {
            let length =
                response(text, &head, transform, persistence, additions, &mut out).expect("fits");
            String::from_utf8_lossy(&out[..length]).into_owned()
        };
        assert_eq!(
            write(
                BodyTransform::Chunk,
                Persistence::Default,
                Some(Additions { date: &date, hsts: Some(60) })
            ),
            "HTTP/1.1 200 OK\r\nServer: s\r\nX: y\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Strict-Transport-Security: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        assert_eq!(
            write(BodyTransform::Keep, Persistence::Close, None),
            "HTTP/1.1 200 OK\r\nServer: s\r\nX: y\r\nConnection: close\r\n\r\n"
        );
    }
}
