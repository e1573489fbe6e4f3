//! One socket and the bytes in flight through it: the same for clients, upstreams and probes.
//! `mark` alone sets the readiness bits; `fill` and `flush` alone clear them.

use crate::base::buffer::{Buffer, LARGE_BYTES, Pool};
use crate::net::pipe::PIPE_BYTES;
use crate::net::{Ready, Socket};
use crate::proxy::exchange::splice::Piped;
use std::io;

/// What a read must bring at least to be one of many: as much as it could, so that more is there.
/// (With less, messages of 16 KiB in TCP mode went through pipes, a call more for each of them.)
const BULK_BYTES_MIN: usize = LARGE_BYTES;

/// Whether more can come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Open,
    /// The peer's end was read.
    Eof,
    /// Reading failed: what came before may be cut short.
    Failed,
}

/// Whether more can go to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Open,
    /// The end goes once the outbox is empty.
    Ending,
    /// The end was sent, or writing failed.
    Ended,
}

/// The part of a connection a pair may touch.
#[derive(Debug)]
pub struct Buffers {
    /// Read from the peer, not yet used.
    pub inbox: Buffer,
    /// To be written to the peer.
    pub outbox: Buffer,
    pub input: Input,
    pub output: Output,
}

/// What a [`Conn::fill`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// No byte, now.
    Nothing,
    /// At least one byte, or the peer's end.
    Something,
    /// The connection is broken.
    Failed,
}

/// What a [`Conn::flush`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing was written.
    Nothing,
    /// At least one byte.
    Something,
    /// The connection is broken; what was in the outbox is gone.
    Failed,
}

/// A socket, its readiness and its ends.
#[derive(Debug)]
pub struct Conn<S> {
    pub socket: S,
    /// A read may get something.
    pub readable: bool,
    /// A write may take something.
    pub writable: bool,
    /// The peer's end was reported: reads go on until they meet it.
    ended: bool,
    /// A fault was reported: a read will tell which.
    broken: bool,
    /// A write was told of the reset. The kernel tells it once: what reads as an end is none.
    write_saw_reset: bool,
    /// The last read brought so much that more of the kind can be expected.
    pub bulk: bool,
    /// The kernel reports its readiness.
    pub registered: bool,
    pub buffers: Buffers,
}

impl<S: Socket> Conn<S> {
    /// A connection that is worth a first read and a first write at once.
    pub fn established(socket: S) -> Conn<S> {
        Conn { readable: true, writable: true, ..Conn::connecting(socket) }
    }

    /// A connection that reports `writable` when it is established.
    pub fn connecting(socket: S) -> Conn<S> {
        let buffers = Buffers {
            inbox: Buffer::new(),
            outbox: Buffer::new(),
            input: Input::Open,
            output: Output::Open,
        };
        Conn {
            socket,
            readable: false,
            writable: false,
            ended: false,
            broken: false,
            write_saw_reset: false,
            bulk: false,
            registered: false,
            buffers,
        }
    }

    /// Remembers what the kernel reported.
    pub fn mark(&mut self, ready: &Ready) {
        self.readable |= ready.readable;
        self.writable |= ready.writable;
        self.ended |= ready.ended;
        self.broken |= ready.broken;
    }

    /// Asks the socket about a reported fault. A true one ends the input, whatever is unread.
    pub fn has_failed(&mut self) -> bool {
        if self.broken && self.socket.fault().is_some() {
            self.readable = false;
            self.buffers.input = Input::Failed;
        }
        self.broken = false;
        self.buffers.input == Input::Failed
    }

    /// Nothing is in flight, and neither an end nor a fault was reported: fit to be used again.
    pub fn is_reusable(&self) -> bool {
        let open = self.buffers.input == Input::Open && self.buffers.output == Output::Open;
        let empty = self.buffers.inbox.is_vacant() && self.buffers.outbox.is_vacant();
        open && empty && !self.ended && !self.broken
    }

    /// Calm, and nothing may be waiting to be read.
    pub fn is_idle(&self) -> bool {
        self.is_reusable() && !self.readable
    }

    /// Socket → inbox, one read.
    #[inline]
    pub fn fill(&mut self, pool: &mut Pool) -> Filled {
        if !self.readable || self.buffers.input != Input::Open || self.buffers.inbox.room() == 0 {
            return Filled::Nothing;
        }
        self.read(pool)
    }

    fn read(&mut self, pool: &mut Pool) -> Filled {
        let space = self.buffers.inbox.space(pool);
        let whole = space.len();
        let outcome = uninterrupted(|| self.socket.read(space));
        if let Ok(count @ 1..) = outcome {
            self.buffers.inbox.filled(count);
            // Later bytes are a new edge; only a reported end would not be (see `net`).
            if count < whole && !self.ended && !self.broken {
                self.readable = false;
            }
        }
        self.judge_read(outcome)
    }

    /// Socket → empty pipe, one move of at most `max` bytes.
    pub fn fill_pipe(&mut self, piped: &mut Piped<S::Pipe>, max: u64) -> Filled {
        if !self.readable || self.buffers.input != Input::Open {
            return Filled::Nothing;
        }
        // A short move tells nothing of what is left: pipes count in pieces, not in bytes.
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(PIPE_BYTES);
        let outcome = uninterrupted(|| self.socket.read_into(&mut piped.pipe, max));
        piped.bytes += *outcome.as_ref().unwrap_or(&0);
        self.judge_read(outcome)
    }

    fn judge_read(&mut self, outcome: io::Result<usize>) -> Filled {
        if let Ok(count @ 1..) = outcome {
            self.bulk = count >= BULK_BYTES_MIN;
            return Filled::Something;
        }
        self.readable = false;
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Filled::Nothing,
            Ok(_) if !self.write_saw_reset => {
                self.buffers.input = Input::Eof;
                Filled::Something
            }
            Ok(_) | Err(_) => {
                self.buffers.input = Input::Failed;
                Filled::Failed
            }
        }
    }

    /// Outbox → socket, until one of them takes no more; then the end, if it was asked for.
    #[inline]
    pub fn flush(&mut self, pool: &mut Pool) -> Flushed {
        if self.buffers.outbox.is_empty() && self.buffers.output != Output::Ending {
            return Flushed::Nothing;
        }
        self.write(pool)
    }

    fn write(&mut self, pool: &mut Pool) -> Flushed {
        let mut flushed = Flushed::Nothing;
        while self.writable && !self.buffers.outbox.is_empty() {
            let data = self.buffers.outbox.data();
            let whole = data.len();
            match uninterrupted(|| self.socket.write(data)) {
                Ok(count) => {
                    self.buffers.outbox.consume(count);
                    // A short write met a full socket; room is a new edge.
                    self.writable = count == whole;
                    flushed = Flushed::Something;
                }
                Err(error) if self.write_failed(&error) => {
                    self.buffers.outbox.clear(pool);
                    return Flushed::Failed;
                }
                Err(_) => {}
            }
        }
        if self.buffers.output == Output::Ending && self.buffers.outbox.is_empty() {
            self.buffers.output = Output::Ended;
            // A failure means the peer is gone already, which the next read will tell.
            let _ = self.socket.end_output();
        }
        flushed
    }

    /// Pipe → socket, until one of them has or takes no more.
    pub fn flush_pipe(&mut self, piped: &mut Piped<S::Pipe>) -> Flushed {
        let mut flushed = Flushed::Nothing;
        while self.writable && piped.bytes > 0 {
            match uninterrupted(|| self.socket.write_from(&mut piped.pipe, piped.bytes)) {
                Ok(count) => {
                    piped.bytes = piped.bytes.saturating_sub(count);
                    flushed = Flushed::Something;
                }
                Err(error) if self.write_failed(&error) => return Flushed::Failed,
                Err(_) => {}
            }
        }
        flushed
    }

    /// Whether a failed write is the end of the output, and not just of the socket's room.
    fn write_failed(&mut self, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.writable = false;
            return false;
        }
        // A broken pipe, in contrast, comes behind an end that was one.
        self.write_saw_reset |= error.kind() == io::ErrorKind::ConnectionReset;
        self.buffers.output = Output::Ended;
        true
    }

    /// Asks for our end to go once the outbox is empty.
    pub fn finish_output(&mut self) {
        if self.buffers.output == Output::Open {
            self.buffers.output = Output::Ending;
        }
    }

    /// Keeps only what must be kept while nothing moves.
    pub fn settle(&mut self, pool: &mut Pool) {
        self.buffers.inbox.settle(pool);
        self.buffers.outbox.settle(pool);
    }

    /// Gives the storage back and closes the socket.
    pub fn close(mut self, pool: &mut Pool) {
        self.buffers.inbox.clear(pool);
        self.buffers.outbox.clear(pool);
    }
}

/// The outcome of `call`, made again while a signal interrupts it.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
