//! How many of the bytes at hand belong to a body and may go on (RFC 9112 §6).

use super::chunked::{Chunked, Malformed, Piece};

/// The rest of a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing is left.
    Empty,
    /// This many bytes are left; never 0.
    Length(u64),
    /// Chunked, up to and with the empty line behind the trailer section.
    Chunked(Chunked),
    /// All there is until the sender closes (responses only).
    UntilClose,
}

impl Body {
    /// Nothing is left to admit; an `UntilClose` body ends with its connection instead.
    pub fn is_ended(&self) -> bool {
        matches!(self, Body::Empty)
    }

    /// The first run of `input` that belongs to this body, of one kind, and advances past it.
    /// Covers 0 bytes only when `input` is empty or the body has ended.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, Malformed> {
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

    /// How many bytes at the start of `input` belong to this body, framing included, and advances
    /// past them.
    pub fn admit(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        let mut taken = 0;
        while taken < input.len() && !self.is_ended() {
            taken += match self.next(&input[taken..])? {
                Piece::Data(bytes) | Piece::Framing(bytes) => bytes,
            };
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_framing_admits_its_own_bytes_under_every_split() {
        for (body, input, expected) in [
            (Body::Empty, &b"next"[..], 0),
            (Body::Length(3), b"abcnext", 3),
            (Body::Chunked(Chunked::new()), b"1\r\na\r\n0\r\n\r\nnext", 11),
            (Body::UntilClose, b"abc", 3),
        ] {
            for cut in 0..=input.len() {
                let mut body = body;
                let first = body.admit(&input[..cut]).expect("well-formed");
                let second = body.admit(&input[first..]).expect("well-formed");
                assert_eq!(first + second, expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_length_body_ends_exactly() {
        let mut body = Body::Length(2);
        assert_eq!(body.admit(b"a"), Ok(1));
        assert_eq!(body, Body::Length(1));
        assert_eq!(body.admit(b"bc"), Ok(1));
        assert!(body.is_ended());
    }
}
