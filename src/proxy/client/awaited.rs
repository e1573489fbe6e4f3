//! How much of a request's body is collected before the request takes a slot and a server, so that
//! a client that is slow to send, or stops, occupies neither. Pure.

use crate::base::buffer::LARGE_BYTES;
use crate::http::body::Body;
use crate::http::chunked::{Chunked, ChunkedFault, Piece};

/// What must be in the inbox first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// So many bytes of head and body: all of them, or as many as an inbox holds.
    Bytes(u32),
    /// The end of a chunked body, or a full inbox. So many bytes of the inbox were decoded.
    End { decoder: Chunked, decoded: u32 },
}

/// What the bytes in the inbox amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    Enough,
    More(Awaited),
}

impl Awaited {
    /// What is awaited of a request whose head has so many bytes; none of one without a body.
    pub fn of(head_bytes: usize, body: Body) -> Option<Awaited> {
        match body {
            Body::Empty => None,
            Body::Length(bytes) => {
                let whole = bytes.saturating_add(head_bytes as u64);
                Some(Awaited::Bytes(whole.min(LARGE_BYTES as u64) as u32))
            }
            Body::Chunked(decoder) => Some(Awaited::End { decoder, decoded: head_bytes as u32 }),
            // No request has such a body.
            Body::UntilClose => None,
        }
    }

    /// Looks at `inbox`, which has grown or not, and begins with the request's head.
    ///
    /// Errors: the chunked coding breaks the grammar or a limit.
    pub fn look(self, inbox: &[u8]) -> Result<Collected, ChunkedFault> {
        match self {
            Awaited::Bytes(bytes) if inbox.len() >= bytes as usize => Ok(Collected::Enough),
            Awaited::Bytes(_) => Ok(Collected::More(self)),
            Awaited::End { mut decoder, decoded } => {
                let mut at = decoded as usize;
                while at < inbox.len() && !decoder.is_ended() {
                    let (Piece::Data(bytes) | Piece::Framing(bytes) | Piece::Extension(bytes)) =
                        decoder.next(&inbox[at..])?;
                    at += bytes;
                }
                if decoder.is_ended() || inbox.len() >= LARGE_BYTES {
                    return Ok(Collected::Enough);
                }
                Ok(Collected::More(Awaited::End { decoder, decoded: at as u32 }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

    /// What `body` amounts to when so much of `content` has come, in two pieces cut at `cut`.
    fn look(body: Body, content: &[u8], cut: usize) -> Result<bool, ChunkedFault> {
        let whole = [HEAD, content].concat();
        let Some(awaited) = Awaited::of(HEAD.len(), body) else { return Ok(true) };
        let awaited = match awaited.look(&whole[..HEAD.len() + cut])? {
            Collected::Enough => return Ok(true),
            Collected::More(awaited) => awaited,
        };
        Ok(awaited.look(&whole)? == Collected::Enough)
    }

    fn chunked() -> Body {
        Body::Chunked(Chunked::new())
    }

    #[test]
    fn a_body_is_awaited_until_it_is_whole_under_every_split() {
        let next = b"GET / HTTP/1.1\r\n\r\n";
        for (name, body, content, expected) in [
            ("none", Body::Empty, &b""[..], Ok(true)),
            ("nothing of three", Body::Length(3), b"", Ok(false)),
            ("two of three", Body::Length(3), b"ab", Ok(false)),
            ("three of three", Body::Length(3), b"abc", Ok(true)),
            ("three and the next request", Body::Length(3), b"abcGET", Ok(true)),
            ("the most there can be", Body::Length(u64::MAX), b"abc", Ok(false)),
            ("a chunk and no end", chunked(), b"1\r\na\r\n", Ok(false)),
            ("no end of the last chunk", chunked(), b"1\r\na\r\n0\r\n", Ok(false)),
            ("the last chunk", chunked(), b"1\r\na\r\n0\r\n\r\n", Ok(true)),
            ("half a trailer", chunked(), b"0\r\nT: v\r\n", Ok(false)),
            ("a trailer", chunked(), b"0\r\nT: v\r\n\r\nGET", Ok(true)),
            ("an extension", chunked(), b"1;a=b\r\nx\r\n0;c\r\n\r\n", Ok(true)),
            ("no size", chunked(), b"x\r\n", Err(ChunkedFault::Malformed)),
            (
                "too much in a chunk",
                chunked(),
                b"1\r\nab\r\n0\r\n\r\n",
                Err(ChunkedFault::Malformed),
            ),
        ] {
            for cut in 0..=content.len() {
                assert_eq!(look(body, content, cut), expected, "{name}, cut at {cut}");
            }
            let ends = expected == Ok(true) && body != Body::Empty;
            let with_next = [content, next].concat();
            assert!(!ends || look(body, &with_next, 0) == Ok(true), "{name}, and the next request");
        }
    }

    #[test]
    fn a_full_inbox_is_enough_and_one_byte_less_is_not() {
        let room = LARGE_BYTES - HEAD.len();
        let content = vec![b'x'; room];
        let coded = [b"fffffff\r\n".as_slice(), &content].concat();
        for (name, body, content) in [
            ("of known length", Body::Length(room as u64 + 1), &content[..]),
            ("that just fits", Body::Length(room as u64), &content[..]),
            ("that has no end", Body::Length(u64::MAX), &content[..]),
            ("chunked", chunked(), &coded[..room]),
        ] {
            assert_eq!(look(body, content, 7), Ok(true), "{name}");
            assert_eq!(look(body, &content[..room - 1], 7), Ok(false), "{name}, a byte less");
        }
    }
}
