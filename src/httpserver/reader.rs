//! A blocking stream with the bytes read ahead of their use, and a message body read through it.
//! `get` uses it too. Knows nothing of heads.

use crate::base::buffer::{Buffer, LARGE_BYTES, Pool};
use crate::http::body::Body;
use crate::http::chunked::{ChunkedFault, Piece};
use crate::http::head::HEAD_BYTES_MAX;
use std::io::{self, ErrorKind, Read};

// A whole head always fits, so a reader that refuses longer ones never finds the buffer full.
const _: () = assert!(LARGE_BYTES > HEAD_BYTES_MAX);

/// A stream and what was read from it and not yet consumed, at most [`LARGE_BYTES`].
#[derive(Debug)]
pub struct Reader<S> {
    stream: S,
    buffer: Buffer,
    pool: Pool,
}

/// Why a body did not come to its end.
#[derive(Debug)]
pub enum BodyError {
    /// The peer closed before the end.
    Truncated,
    /// The chunked coding breaks the grammar or a limit.
    Malformed(ChunkedFault),
    /// Reading failed; see [`is_timeout`].
    Read(io::Error),
}

impl From<ChunkedFault> for BodyError {
    fn from(fault: ChunkedFault) -> BodyError {
        BodyError::Malformed(fault)
    }
}

impl<S> Reader<S> {
    /// Allocates with the first read.
    pub fn new(stream: S) -> Reader<S> {
        Reader { stream, buffer: Buffer::new(), pool: Pool::new() }
    }

    /// What was read and not consumed.
    pub fn unread(&self) -> &[u8] {
        self.buffer.data()
    }

    /// Drops the first `count` unread bytes, which must be there.
    pub fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
    }

    /// Drops all unread bytes.
    pub fn discard(&mut self) {
        self.buffer.consume(self.buffer.data().len());
    }
}

impl<S: Read> Reader<S> {
    /// One read, appended to the unread bytes; the number of bytes. 0 when the stream has ended or
    /// the buffer is full.
    pub fn fill(&mut self) -> io::Result<usize> {
        loop {
            match self.stream.read(self.buffer.space(&mut self.pool)) {
                Ok(count) => {
                    self.buffer.filled(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many of the unread bytes are the next content of `body`, read if there are none; 0 when
    /// the body has ended. The caller consumes all of them before the next call.
    pub fn content(&mut self, body: &mut Body) -> Result<usize, BodyError> {
        while !body.is_ended() {
            if self.unread().is_empty() && self.fill().map_err(BodyError::Read)? == 0 {
                match *body {
                    Body::UntilClose => *body = Body::Empty,
                    Body::Empty | Body::Length(_) | Body::Chunked(_) => {
                        return Err(BodyError::Truncated);
                    }
                }
                break;
            }
            match body.next(self.unread())? {
                Piece::Framing(count) | Piece::Extension(count) => self.consume(count),
                Piece::Data(count) => return Ok(count),
            }
        }
        Ok(0)
    }
}

/// Whether a read or write gave up after the socket's time-out. Unix reports the first kind.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunked::Chunked;

    /// Gives its bytes `step` at a time.
    struct Steps<'a>(&'a [u8], usize);

    impl Read for Steps<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(out.len());
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    /// All content, and the number of bytes left after it.
    fn content(mut body: Body, wire: &[u8], step: usize) -> Result<(Vec<u8>, usize), BodyError> {
        let mut reader = Reader::new(Steps(wire, step));
        let mut all = Vec::new();
        loop {
            let count = reader.content(&mut body)?;
            if count == 0 {
                break;
            }
            all.extend_from_slice(&reader.unread()[..count]);
            reader.consume(count);
        }
        Ok((all, reader.unread().len() + reader.stream.0.len()))
    }

    #[test]
    fn a_body_of_any_framing_arrives_in_any_steps_and_leaves_what_follows() {
        let chunked = Body::Chunked(Chunked::new());
        for step in 1..30 {
            let (all, left) = content(Body::Length(3), b"abcGET", step).unwrap();
            assert_eq!((all.as_slice(), left), (&b"abc"[..], 3));
            let (all, left) =
                content(chunked, b"1\r\na\r\n2;x\r\nbc\r\n0\r\n\r\nGET", step).unwrap();
            assert_eq!((all.as_slice(), left), (&b"abc"[..], 3));
            let (all, left) = content(Body::UntilClose, b"abc", step).unwrap();
            assert_eq!((all.as_slice(), left), (&b"abc"[..], 0));
        }
    }

    #[test]
    fn an_early_end_is_truncation_unless_the_end_is_the_framing() {
        assert!(matches!(content(Body::Length(4), b"abc", 2), Err(BodyError::Truncated)));
        let chunked = Body::Chunked(Chunked::new());
        assert!(matches!(content(chunked, b"3\r\nabc\r\n0\r\n", 2), Err(BodyError::Truncated)));
        assert!(matches!(content(chunked, b"x", 2), Err(BodyError::Malformed(_))));
    }
}
