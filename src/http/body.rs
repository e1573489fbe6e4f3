//! How many of the bytes at hand belong to a message body, and which of them are forwarded
//! (RFC 9112 §6).

use super::chunked::{Chunked, ChunkedFault, Piece};
use super::trailer;

/// The rest of a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// No byte is left to read.
    Empty,
    /// This many bytes are left; never 0.
    Length(u64),
    /// Chunked, up to and including the empty line after the trailer section.
    Chunked(Chunked),
    /// Everything until the sender closes (responses only, RFC 9112 §6.3 item 8).
    UntilClose,
}

/// What [`Body::filter`] decided about the bytes at the start of its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Bytes to forward unchanged; they come first.
    pub forwarded: usize,
    /// Bytes after those to discard.
    pub dropped: usize,
}

impl Body {
    /// The body has been read whole. An `UntilClose` body never is: it ends with its connection.
    pub fn is_ended(&self) -> bool {
        matches!(self, Body::Empty)
    }

    /// Advances past the longest prefix of `input` that is of one kind and belongs to this body.
    /// The prefix has 0 bytes only when `input` is empty or the body has ended.
    ///
    /// Errors: the chunked coding breaks the grammar or a limit.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, ChunkedFault> {
        let piece = match self {
            Body::Empty => Piece::Framing(0),
            Body::UntilClose => Piece::Data(input.len()),
            Body::Length(left) => {
                let whole = input.len() as u64;
                let taken = whole.min(*left);
                *left -= taken;
                Piece::Data(taken as usize)
            }
            Body::Chunked(decoder) => decoder.next(input)?,
        };
        let ended = match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(decoder) => decoder.is_ended(),
            Body::Empty | Body::UntilClose => false,
        };
        if ended {
            *self = Body::Empty;
        }
        Ok(piece)
    }

    /// Advances past `count` bytes of content whatever they are.
    #[inline]
    pub fn pass(&mut self, count: u64) {
        if let Body::Length(left) = self {
            *left = left.saturating_sub(count);
            if *left == 0 {
                *self = Body::Empty;
            }
        }
    }

    /// Decides about the bytes at the start of `input`, and advances past them. Dropped are chunk
    /// extensions and trailer fields that are not forwarded; all trailer fields unless `trailers`.
    /// If bytes were dropped, call again: more may follow. Otherwise this body takes no more of
    /// `input`.
    ///
    /// Errors: the chunked coding breaks the grammar or a limit.
    #[inline]
    pub fn filter(&mut self, input: &[u8], trailers: bool) -> Result<Filtered, ChunkedFault> {
        // The usual body, of which nothing is ever dropped.
        if let Body::Length(left) = *self {
            let forwarded = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.pass(forwarded as u64);
            return Ok(Filtered { forwarded, dropped: 0 });
        }
        self.filter_pieces(input, trailers)
    }

    fn filter_pieces(&mut self, input: &[u8], trailers: bool) -> Result<Filtered, ChunkedFault> {
        let mut forwarded = 0;
        while !self.is_ended() && !self.is_starved(&input[forwarded..]) {
            let (bytes, is_forwarded) = self.advance(&input[forwarded..], trailers)?;
            if !is_forwarded {
                return Ok(Filtered { forwarded, dropped: bytes });
            }
            forwarded += bytes;
        }
        Ok(Filtered { forwarded, dropped: 0 })
    }

    /// Length of the first piece, a trailer line counting as one, and whether it is forwarded.
    fn advance(&mut self, input: &[u8], trailers: bool) -> Result<(usize, bool), ChunkedFault> {
        if self.is_at_trailer()
            && let Some(bytes) = trailer::line(input)
        {
            let line = &input[..bytes];
            self.next(line)?;
            return Ok((bytes, trailer::is_forwarded(line, trailers)));
        }
        Ok(match self.next(input)? {
            Piece::Data(bytes) | Piece::Framing(bytes) => (bytes, true),
            Piece::Extension(bytes) => (bytes, false),
        })
    }

    /// No byte of `input` can be forwarded before more input arrives. Whether a trailer field is
    /// forwarded is known only when its line is complete.
    #[inline]
    pub fn is_starved(&self, input: &[u8]) -> bool {
        if self.is_at_trailer() { trailer::line(input).is_none() } else { input.is_empty() }
    }

    #[inline]
    fn is_at_trailer(&self) -> bool {
        matches!(self, Body::Chunked(decoder) if decoder.is_at_trailer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_framing_takes_its_own_bytes_under_every_split() {
        for (body, input, expected) in [
            (Body::Empty, &b"next"[..], 0),
            (Body::Length(3), b"abcnext", 3),
            (Body::Chunked(Chunked::new()), b"1\r\na\r\n0\r\n\r\nnext", 11),
            (Body::UntilClose, b"abc", 3),
        ] {
            for cut in 0..=input.len() {
                let mut body = body;
                let first = body.filter(&input[..cut], true).expect("well-formed").forwarded;
                let second = body.filter(&input[first..], true).expect("well-formed").forwarded;
                assert_eq!(first + second, expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn dropped_bytes_are_separated_from_forwarded_bytes() {
        let run = |forwarded, dropped| Ok(Filtered { forwarded, dropped });
        let mut body = Body::Chunked(Chunked::new());
        let input = b"1 ;x=y\r\na\r\n0;z\r\nHost: h\r\nA: b\r\n\r\nnext";
        let mut rest = &input[..];
        for (forwarded, dropped) in [(1, 5), (6, 2), (2, 9), (8, 0)] {
            assert_eq!(body.filter(rest, true), run(forwarded, dropped));
            rest = &rest[forwarded + dropped..];
        }
        assert!(body.is_ended() && rest == b"next");
        let mut body = Body::Chunked(Chunked::new());
        assert_eq!(body.filter(b"0\r\nA: b\r\n\r\n", false), run(3, 6));
    }

    #[test]
    fn a_trailer_line_waits_until_it_is_complete() {
        let mut body = Body::Chunked(Chunked::new());
        assert_eq!(body.filter(b"0\r\nA: b", true), Ok(Filtered { forwarded: 3, dropped: 0 }));
        for part in [&b""[..], b"A", b"A: b", b"A: b\r"] {
            assert!(body.is_starved(part) && !body.is_ended());
            assert_eq!(body.filter(part, true), Ok(Filtered::default()));
        }
        assert!(!body.is_starved(b"A: b\r\n"));
        let endless = vec![b'x'; 5000];
        assert!(!body.is_starved(&endless) && body.filter(&endless, true).is_err());
    }

    #[test]
    fn a_length_body_ends_exactly() {
        let mut body = Body::Length(2);
        let one = Ok(Filtered { forwarded: 1, dropped: 0 });
        assert_eq!(body.filter(b"a", true), one);
        assert_eq!(body, Body::Length(1));
        assert_eq!(body.filter(b"bc", true), one);
        assert!(body.is_ended());
    }
}
