//! The heads of the admin listener's responses, and the framing of their contents. Pure.

use crate::http::date::DATE_BYTES;
use crate::http::reply;
use crate::http::writer::{Overflow, Writer};
use crate::observe::page;

/// How the end of the content shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length.
    Length(usize),
    /// By an empty chunk: the content is produced piece by piece.
    Chunked,
    /// By the end of the connection, for HTTP/1.0.
    UntilClose,
}

/// What the content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Text,
    /// The text format of Prometheus.
    Prometheus,
    Json,
    Html,
}

impl Content {
    fn media_type(self) -> &'static [u8] {
        match self {
            Content::Text => b"text/plain; charset=utf-8",
            Content::Prometheus => b"text/plain; version=0.0.4; charset=utf-8",
            Content::Json => b"application/json",
            Content::Html => b"text/html; charset=utf-8",
        }
    }
}

/// A response head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub status: u16,
    pub date: &'a [u8; DATE_BYTES],
    pub content: Content,
    pub framing: Framing,
    pub persistence: Persistence,
}

/// What follows on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays, as is usual in HTTP/1.1.
    Default,
    /// It stays, which a response to HTTP/1.0 must announce.
    KeepAlive,
    Close,
}

/// Writes the head. No field allows another origin to read the response.
pub fn write(head: &Head<'_>, out: &mut Writer<'_>) {
    out.append(b"HTTP/1.1 ");
    out.append_decimal(u64::from(head.status));
    out.append_all(&[b" ", reply::reason(head.status).as_bytes(), b"\r\nDate: ", head.date]);
    out.append_all(&[b"\r\nContent-Type: ", head.content.media_type()]);
    out.append(b"\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if head.content == Content::Html {
        out.append_all(&[b"Content-Security-Policy: ", page::POLICY.as_bytes(), b"\r\n"]);
        out.append(b"Referrer-Policy: no-referrer\r\n");
    }
    if head.status == super::route::NOT_ALLOWED {
        out.append(b"Allow: GET, HEAD\r\n");
    }
    match head.framing {
        Framing::Length(length) => {
            out.append(b"Content-Length: ");
            out.append_decimal(length as u64);
            out.append(b"\r\n");
        }
        Framing::Chunked => out.append(b"Transfer-Encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
    match head.persistence {
        Persistence::Default => {}
        Persistence::KeepAlive => out.append(b"Connection: keep-alive\r\n"),
        Persistence::Close => out.append(b"Connection: close\r\n"),
    }
    out.append(b"\r\n");
}

/// Before the content of a chunk: four digits of its size.
const CHUNK_START: usize = b"0000\r\n".len();
/// After it.
const CHUNK_END: &[u8] = b"\r\n";
/// After the last one (RFC 9112 §7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes what `content` appends as a chunk to the start of `space`, and the end of the body if it
/// returns true; how many bytes that are.
///
/// Errors: those of `content`, and a `space` too small for any chunk.
pub fn write_chunk(
    space: &mut [u8],
    content: impl FnOnce(&mut Writer<'_>) -> Result<bool, Overflow>,
) -> Result<usize, Overflow> {
    let end = space.len().min(0xffff).checked_sub(CHUNK_END.len() + LAST_CHUNK.len());
    let room = end.and_then(|end| space.get_mut(CHUNK_START..end)).ok_or(Overflow)?;
    let mut out = Writer::new(room);
    let is_last = content(&mut out)?;
    let length = out.finish()?;
    let mut out = Writer::new(space);
    if length > 0 {
        let digit = |at: usize| b"0123456789abcdef"[length >> (12 - 4 * at) & 15];
        out.append(&std::array::from_fn::<u8, 4, _>(digit));
        out.append(b"\r\n");
        out.skip(length);
        out.append(CHUNK_END);
    }
    if is_last {
        out.append(LAST_CHUNK);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date;

    #[test]
    fn the_head_says_what_follows_and_is_not_for_others() {
        let date = date::imf_fixdate(0);
        for (status, content, framing, persistence, expected) in [
            (
                200,
                Content::Text,
                Framing::Length(3),
                Persistence::Default,
                "text/plain; charset=utf-8\r\n|Content-Length: 3\r\n\r\n",
            ),
            (
                200,
                Content::Prometheus,
                Framing::Chunked,
                Persistence::Close,
                "text/plain; version=0.0.4; charset=utf-8\r\n|\
                 Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            ),
            (
                405,
                Content::Text,
                Framing::UntilClose,
                Persistence::KeepAlive,
                "text/plain; charset=utf-8\r\n|\
                 Allow: GET, HEAD\r\nConnection: keep-alive\r\n\r\n",
            ),
        ] {
            let mut out = [0; 1024];
            let mut writer = Writer::new(&mut out);
            write(&Head { status, date: &date, content, framing, persistence }, &mut writer);
            let length = writer.finish().expect("it fits");
            let text = String::from_utf8_lossy(&out[..length]).into_owned();
            let fixed = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
            let expected = expected.replace('|', fixed);
            let reason = reply::reason(status);
            let start = format!(
                "HTTP/1.1 {status} {reason}\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                 Content-Type: "
            );
            assert_eq!(text, start + &expected);
        }
    }

    #[test]
    fn a_chunk_has_its_size_before_it_and_the_last_one_an_end_after_it() {
        let written = |content: &'static [u8], is_last, room| {
            let mut space = vec![b'_'; room];
            let outcome = write_chunk(&mut space, |out| {
                out.append(content);
                Ok(is_last)
            });
            outcome.map(|length| String::from_utf8_lossy(&space[..length]).into_owned())
        };
        for (content, is_last, expected) in [
            (&b"abc"[..], false, "0003\r\nabc\r\n"),
            (b"abc", true, "0003\r\nabc\r\n0\r\n\r\n"),
            (b"", true, "0\r\n\r\n"),
            (b"", false, ""),
            (&[b'x'; 0x1234], false, &format!("1234\r\n{}\r\n", "x".repeat(0x1234))),
        ] {
            assert_eq!(written(content, is_last, 0x2000), Ok(expected.to_owned()));
        }
        assert_eq!(written(b"abc", true, 16), Ok("0003\r\nabc\r\n0\r\n\r\n".to_owned()));
        assert_eq!(written(b"abc", true, 15), Err(Overflow), "one byte less");
        assert_eq!(written(b"", true, 3), Err(Overflow));
    }
}
