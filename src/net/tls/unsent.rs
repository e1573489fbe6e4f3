//! Ciphertext that the socket had no room for, and the content that it stands for.

use super::engine::Queue;
use std::io::{self, ErrorKind, Write};

/// What waits until the socket has room.
#[derive(Debug, Default)]
pub struct Unsent {
    records: Queue,
    /// Bytes of content whose ciphertext is in `records`: not counted as written until all of it is.
    promised: usize,
}

impl Unsent {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether content waits, and not only messages of the library.
    pub fn has_content(&self) -> bool {
        self.promised > 0
    }

    /// Memory that it holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.records.capacity()
    }

    /// Where messages of the library go.
    pub fn messages(&mut self) -> &mut Queue {
        &mut self.records
    }

    /// Of `records`, in which so many bytes of content are sealed, only `sent` bytes have gone: how
    /// many bytes of content that counts for. Sealed once, the others must go out: the next ones
    /// have later numbers.
    pub fn keep(&mut self, records: &[u8], sent: usize, content: usize) -> usize {
        self.records.push(&records[sent..]);
        self.promised = content;
        self.count(sent)
    }

    /// Writes some of it; for how many bytes of content that counts.
    pub fn write(&mut self, wire: &mut impl Write) -> io::Result<usize> {
        let sent = wire.write(self.records.data())?;
        self.records.consume(sent);
        Ok(self.count(sent))
    }

    fn count(&mut self, sent: usize) -> usize {
        let most = match self.records.is_empty() {
            true => self.promised,
            false => self.promised.saturating_sub(1).min(sent),
        };
        self.promised -= most;
        most
    }

    /// Writes messages of the library.
    ///
    /// Errors: `WouldBlock` if something is left; content is, until the next write counts it.
    pub fn flush(&mut self, wire: &mut impl Write) -> io::Result<()> {
        while !self.is_empty() && !self.has_content() {
            match wire.write(self.records.data()) {
                Ok(0) => return Err(ErrorKind::WouldBlock.into()),
                Ok(count) => self.records.consume(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.has_content() {
            false => Ok(()),
            true => Err(ErrorKind::WouldBlock.into()),
        }
    }
}
