//! Bytes read from a peer and not yet used, and a body read through them. The download client uses
//! it too. Decides nothing about what a message means.

use crate::http::body::Body;
use crate::http::chunked::{Malformed, Piece};
use crate::http::head::HEAD_BYTES_MAX;
use std::io::{self, ErrorKind, Read};

/// Bytes of memory per peer: a whole head always fits, and a body moves in good pieces.
const INBOX_BYTES: usize = 32 * 1024;

const _: () = assert!(INBOX_BYTES > HEAD_BYTES_MAX);

/// A fixed buffer with the bytes between its two cursors unread.
#[derive(Debug)]
pub struct Inbox {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox { bytes: vec![0; INBOX_BYTES].into_boxed_slice(), start: 0, end: 0 }
    }
}

impl Inbox {
    /// What was read and not consumed.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes the first `count` unread bytes away; at most all of them.
    pub fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start.saturating_add(count));
    }

    /// One read behind the unread bytes; how many came. 0 when the source has ended, or when the
    /// buffer is full, which a reader that refuses heads past [`HEAD_BYTES_MAX`] never meets.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        loop {
            match source.read(&mut self.bytes[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Why a body did not come to its end.
#[derive(Debug)]
pub enum BodyError {
    /// The peer closed before the end.
    Truncated,
    /// The chunked coding is broken.
    Malformed,
    /// Reading failed; a time-out is told by [`is_timeout`].
    Read(io::Error),
}

impl From<Malformed> for BodyError {
    fn from(_: Malformed) -> BodyError {
        BodyError::Malformed
    }
}

/// A body on its way in: what frames it, what is already there, where the rest comes from.
#[derive(Debug)]
pub struct Incoming<'a, S> {
    pub body: &'a mut Body,
    pub inbox: &'a mut Inbox,
    pub source: &'a mut S,
}

impl<S: Read> Incoming<'_, S> {
    /// The next run of content, framing left out; empty when the body has ended.
    pub fn next(&mut self) -> Result<&[u8], BodyError> {
        while !self.body.is_ended() {
            if self.inbox.unread().is_empty() && self.read()? == 0 {
                *self.body = Body::Empty;
                break;
            }
            match self.body.next(self.inbox.unread())? {
                Piece::Framing(count) | Piece::Extension(count) => self.inbox.consume(count),
                Piece::Data(count) => {
                    let start = self.inbox.start;
                    self.inbox.consume(count);
                    return Ok(&self.inbox.bytes[start..start + count]);
                }
            }
        }
        Ok(&[])
    }

    /// One read; 0 only when that ends the body well.
    fn read(&mut self) -> Result<usize, BodyError> {
        match self.inbox.fill(self.source) {
            Ok(0) if *self.body == Body::UntilClose => Ok(0),
            Ok(0) => Err(BodyError::Truncated),
            Ok(count) => Ok(count),
            Err(error) => Err(BodyError::Read(error)),
        }
    }
}

/// Whether a read or write gave up because the socket's time-out passed. Unix reports the first.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunked::Chunked;

    /// Gives its bytes `step` at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(out.len());
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn content(mut body: Body, wire: &[u8], step: usize) -> Result<(Vec<u8>, usize), BodyError> {
        let (mut inbox, mut source) = (Inbox::default(), Dripping(wire, step));
        let mut incoming = Incoming { body: &mut body, inbox: &mut inbox, source: &mut source };
        let mut all = Vec::new();
        loop {
            let run = incoming.next()?;
            if run.is_empty() {
                break;
            }
            all.extend_from_slice(run);
        }
        Ok((all, inbox.unread().len() + source.0.len()))
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
        assert!(matches!(content(chunked, b"x", 2), Err(BodyError::Malformed)));
    }
}
