//! The chunked transfer coding, decoded incrementally and strictly (RFC 9112 §7.1).

use super::fields::FIELDS_MAX;
use crate::base::token::is_token_byte;

/// Most bytes of one chunk-size line, extensions included. No recipient uses extensions, so
/// long ones are only ever an attack (RFC 9112 §7.1.1).
pub const LINE_BYTES_MAX: u16 = 4096;

/// Most bytes of the whole trailer section, line ends not counted.
pub const TRAILER_BYTES_MAX: u16 = 4096;

/// Largest chunk: 2^60 - 1 bytes. More digits are refused before they could overflow.
const SIZE_MAX: u64 = (1 << 60) - 1;

/// The position in the grammar before the next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a chunk size.
    SizeStart,
    /// After at least one digit.
    Size {
        size: u64,
        line_bytes: u16,
    },
    /// In white space after the size: only an extension may follow.
    Space {
        size: u64,
        line_bytes: u16,
    },
    /// In extensions.
    Extension {
        size: u64,
        line_bytes: u16,
    },
    /// CR of the size line was read.
    SizeLf {
        size: u64,
    },
    /// Inside chunk data.
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart {
        section_bytes: u16,
    },
    TrailerName {
        section_bytes: u16,
    },
    TrailerValue {
        section_bytes: u16,
    },
    TrailerLf {
        section_bytes: u16,
    },
    /// CR of the final empty line was read.
    EndLf,
    Ended,
}

/// A decoder for one chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunked {
    state: State,
    /// Number of field lines that the trailer section may still have.
    trailer_fields_left: u16,
}

/// Why a body is not accepted. Where it ends cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedFault {
    /// It breaks the grammar, or a chunk is too large.
    Malformed,
    /// A chunk-size line is longer than [`LINE_BYTES_MAX`].
    LongLine,
    /// The trailer section is longer than [`TRAILER_BYTES_MAX`].
    LongTrailer,
    /// The trailer section has more fields than there may be.
    ManyTrailerFields,
}

/// A prefix of the input whose bytes are all of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Content: this many bytes.
    Data(usize),
    /// Sizes, line ends, trailers: this many bytes.
    Framing(usize),
    /// Chunk extensions and the white space before them: this many bytes. They are hop-by-hop,
    /// and implementations parse them differently (RFC 9112 §7.1.1).
    Extension(usize),
}

impl Default for Chunked {
    fn default() -> Chunked {
        Chunked::new()
    }
}

impl Chunked {
    /// A decoder before the first chunk size, for a trailer section of at most [`FIELDS_MAX`]
    /// fields.
    pub const fn new() -> Chunked {
        Chunked::with_trailer_fields(FIELDS_MAX as u16)
    }

    /// A decoder that accepts at most `fields` trailer fields.
    pub const fn with_trailer_fields(fields: u16) -> Chunked {
        Chunked { state: State::SizeStart, trailer_fields_left: fields }
    }

    /// The empty line after the trailer section was read.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// The next byte begins a trailer line, or the empty line after the last one.
    pub fn is_at_trailer(&self) -> bool {
        matches!(self.state, State::TrailerStart { .. })
    }

    /// The first piece of `input`; it has 0 bytes only when `input` is empty or the body has ended.
    ///
    /// Errors: a byte that the grammar does not allow, or one past a limit.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, ChunkedFault> {
        if let State::Data { left } = self.state {
            let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
            let left = left - taken as u64;
            self.state = if left == 0 { State::DataCr } else { State::Data { left } };
            return Ok(Piece::Data(taken));
        }
        let (mut taken, mut kind) = (0, false);
        while taken < input.len() && !matches!(self.state, State::Data { .. } | State::Ended) {
            let next = next_state(self.state, input[taken])?;
            let is_extension = matches!(next, State::Space { .. } | State::Extension { .. });
            if taken > 0 && (is_extension != kind || self.is_at_trailer()) {
                break;
            }
            if self.is_at_trailer() && matches!(next, State::TrailerName { .. }) {
                let left = self.trailer_fields_left.checked_sub(1);
                self.trailer_fields_left = left.ok_or(ChunkedFault::ManyTrailerFields)?;
            }
            (self.state, kind) = (next, is_extension);
            taken += 1;
        }
        Ok(if kind { Piece::Extension(taken) } else { Piece::Framing(taken) })
    }
}

/// The state after one framing byte.
fn next_state(state: State, byte: u8) -> Result<State, ChunkedFault> {
    Ok(match (state, byte) {
        (State::SizeStart, _) => State::Size { size: digit(0, byte)?, line_bytes: 1 },
        (
            State::Size { size, .. } | State::Space { size, .. } | State::Extension { size, .. },
            b'\r',
        ) => State::SizeLf { size },
        (State::Size { size, line_bytes } | State::Space { size, line_bytes }, b';') => {
            State::Extension { size, line_bytes: line_byte(line_bytes)? }
        }
        (State::Size { size, line_bytes } | State::Space { size, line_bytes }, b' ' | b'\t') => {
            State::Space { size, line_bytes: line_byte(line_bytes)? }
        }
        (State::Size { size, line_bytes }, _) => {
            State::Size { size: digit(size, byte)?, line_bytes: line_byte(line_bytes)? }
        }
        (State::Extension { size, line_bytes }, _) if is_text(byte) => {
            State::Extension { size, line_bytes: line_byte(line_bytes)? }
        }
        (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart { section_bytes: 0 },
        (State::SizeLf { size }, b'\n') => State::Data { left: size },
        (State::DataCr, b'\r') => State::DataLf,
        (State::DataLf, b'\n') => State::SizeStart,
        (State::TrailerStart { .. }, b'\r') => State::EndLf,
        (State::TrailerStart { section_bytes } | State::TrailerName { section_bytes }, _)
            if is_token_byte(byte) =>
        {
            State::TrailerName { section_bytes: trailer_byte(section_bytes)? }
        }
        (State::TrailerName { section_bytes }, b':') => {
            State::TrailerValue { section_bytes: trailer_byte(section_bytes)? }
        }
        (State::TrailerValue { section_bytes }, b'\r') => State::TrailerLf { section_bytes },
        (State::TrailerValue { section_bytes }, _) if is_text(byte) => {
            State::TrailerValue { section_bytes: trailer_byte(section_bytes)? }
        }
        (State::TrailerLf { section_bytes }, b'\n') => State::TrailerStart { section_bytes },
        (State::EndLf, b'\n') => State::Ended,
        (
            State::Space { .. }
            | State::Extension { .. }
            | State::SizeLf { .. }
            | State::Data { .. }
            | State::DataCr
            | State::DataLf
            | State::TrailerStart { .. }
            | State::TrailerName { .. }
            | State::TrailerValue { .. }
            | State::TrailerLf { .. }
            | State::EndLf
            | State::Ended,
            _,
        ) => return Err(ChunkedFault::Malformed),
    })
}

fn digit(size: u64, byte: u8) -> Result<u64, ChunkedFault> {
    let value = char::from(byte).to_digit(16).ok_or(ChunkedFault::Malformed)?;
    if size > SIZE_MAX >> 4 {
        return Err(ChunkedFault::Malformed);
    }
    Ok(size << 4 | u64::from(value))
}

/// One more byte of a chunk-size line that has `bytes`.
fn line_byte(bytes: u16) -> Result<u16, ChunkedFault> {
    if bytes < LINE_BYTES_MAX { Ok(bytes + 1) } else { Err(ChunkedFault::LongLine) }
}

/// One more byte of a trailer section that has `bytes`.
fn trailer_byte(bytes: u16) -> Result<u16, ChunkedFault> {
    if bytes < TRAILER_BYTES_MAX { Ok(bytes + 1) } else { Err(ChunkedFault::LongTrailer) }
}

/// Field content: visible ASCII, obs-text, space, tab (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` cut at `cut`; the content, the bytes consumed and whether it ended.
    fn decode(input: &[u8], cut: usize) -> Result<(Vec<u8>, usize, bool), ChunkedFault> {
        let mut decoder = Chunked::new();
        let (mut content, mut used) = (Vec::new(), 0);
        for end in [cut, input.len()] {
            while used < end && !decoder.is_ended() {
                match decoder.next(&input[used..end])? {
                    Piece::Data(bytes) => {
                        content.extend_from_slice(&input[used..used + bytes]);
                        used += bytes;
                    }
                    Piece::Framing(bytes) | Piece::Extension(bytes) => used += bytes,
                }
            }
        }
        Ok((content, used, decoder.is_ended()))
    }

    #[test]
    fn whole_bodies_under_every_split() {
        for (input, content, used) in [
            (&b"0\r\n\r\n"[..], &b""[..], 5),
            (b"3\r\nabc\r\n0\r\n\r\nNEXT", b"abc", 13),
            (b"A;x=\"y\"\r\n0123456789\r\n00\r\nT: v\r\nU:\r\n\r\n", b"0123456789", 37),
            (b"1 \r\na\r\n2\r\nbc\r\n0;end\r\n\r\n", b"abc", 23),
        ] {
            for cut in 0..=input.len() {
                let found = decode(input, cut);
                assert_eq!(found, Ok((content.to_vec(), used, true)), "cut at {cut}");
            }
        }
    }

    #[test]
    fn malformed_bodies_under_every_split() {
        for input in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b" 1\r\na\r\n",
            b"1\na\r\n",
            b"1\r\nab\r\n",
            b"1\r\na\n0\r\n",
            b"1\r\na\r0\r\n",
            b"3 3\r\nabc\r\n",
            b"3\tx\r\nabc\r\n",
            b"1;\n\r\n",
            b"1;\x00\r\n",
            b"1000000000000000\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\n: no name\r\n\r\n",
            b"0\r\nT: a\nU: b\r\n\r\n",
            b"0\r\nT: a\r\n\n",
            b"0\r\n\n",
        ] {
            for cut in 0..=input.len() {
                let text = String::from_utf8_lossy(input);
                assert_eq!(
                    decode(input, cut),
                    Err(ChunkedFault::Malformed),
                    "{text:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn limits_at_and_one_past() {
        let line = |bytes: usize| {
            let mut text = b"0;".to_vec();
            text.resize(bytes, b'x');
            text.extend_from_slice(b"\r\n\r\n");
            decode(&text, 0)
        };
        assert!(line(usize::from(LINE_BYTES_MAX)).is_ok());
        assert_eq!(line(usize::from(LINE_BYTES_MAX) + 1), Err(ChunkedFault::LongLine));
        let trailer = |bytes: usize| {
            let mut text = b"0\r\nT:".to_vec();
            text.resize(3 + bytes, b'x');
            text.extend_from_slice(b"\r\n\r\n");
            decode(&text, 0)
        };
        assert!(trailer(usize::from(TRAILER_BYTES_MAX)).is_ok());
        assert_eq!(trailer(usize::from(TRAILER_BYTES_MAX) + 1), Err(ChunkedFault::LongTrailer));
        // The limit is for the whole section: each of these lines alone is far below it.
        let lines = |count: usize| {
            let line = format!("T:{}\r\n", "x".repeat(1022));
            let text = format!("0\r\n{}\r\n", line.repeat(count));
            decode(text.as_bytes(), 0)
        };
        assert!(lines(4).is_ok());
        assert_eq!(lines(5), Err(ChunkedFault::LongTrailer));
        for (fields, allowed) in [(0, 0), (1, 1), (2, 1), (3, 2), (FIELDS_MAX, FIELDS_MAX as u16)] {
            let text = format!("0\r\n{}\r\n", "T: u\r\n".repeat(fields));
            let mut decoder = Chunked::with_trailer_fields(allowed);
            let (mut rest, mut result) = (text.as_bytes(), Ok(()));
            while result.is_ok() && !decoder.is_ended() {
                result = decoder.next(rest).map(|piece| match piece {
                    Piece::Data(bytes) | Piece::Framing(bytes) | Piece::Extension(bytes) => {
                        rest = &rest[bytes..];
                    }
                });
            }
            let expected = match fields <= usize::from(allowed) {
                true => Ok(()),
                false => Err(ChunkedFault::ManyTrailerFields),
            };
            assert_eq!(result, expected, "{fields} of {allowed}");
        }
        assert!(Chunked::new().next(b"fffffffffffffff\r\n").is_ok());
        assert_eq!(Chunked::new().next(b"0fffffffffffffff0\r\n"), Err(ChunkedFault::Malformed));
    }
}
