//! One socket and the bytes in flight through it: the same for clients, upstreams and probes.
//! `mark` alone sets the readiness bits; `fill` and `flush` alone clear them.

use crate::base::buffer::{Buffer, Pool};
use crate::net::{Ready, Socket};
use std::io;

/// Whether more can come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Open,
    /// The peer's end was read.
    Ended,
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
pub struct End {
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
    cut: bool,
    /// The kernel reports its readiness.
    pub registered: bool,
    pub end: End,
}

impl<S: Socket> Conn<S> {
    /// A connection that is worth a first read and a first write at once.
    pub fn established(socket: S) -> Conn<S> {
        Conn { readable: true, writable: true, ..Conn::connecting(socket) }
    }

    /// A connection that reports `writable` when it is established.
    pub fn connecting(socket: S) -> Conn<S> {
        let end = End {
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
            cut: false,
            registered: false,
            end,
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
            self.end.input = Input::Failed;
        }
        self.broken = false;
        self.end.input == Input::Failed
    }

    /// Nothing is in flight, and neither an end nor a fault was reported: fit to be used again.
    pub fn is_calm(&self) -> bool {
        let open = self.end.input == Input::Open && self.end.output == Output::Open;
        let empty = self.end.inbox.is_vacant() && self.end.outbox.is_vacant();
        open && empty && !self.ended && !self.broken
    }

    /// Calm, and nothing may be waiting to be read.
    pub fn is_quiet(&self) -> bool {
        self.is_calm() && !self.readable
    }

    /// Socket → inbox, one read.
    #[inline]
    pub fn fill(&mut self, pool: &mut Pool) -> Filled {
        if !self.readable || self.end.input != Input::Open || self.end.inbox.room() == 0 {
            return Filled::Nothing;
        }
        self.read(pool)
    }

    fn read(&mut self, pool: &mut Pool) -> Filled {
        let space = self.end.inbox.space(pool);
        let whole = space.len();
        loop {
            match self.socket.read(space) {
                Ok(0) if self.cut => {
                    self.readable = false;
                    self.end.input = Input::Failed;
                    return Filled::Failed;
                }
                Ok(0) => {
                    self.readable = false;
                    self.end.input = Input::Ended;
                    return Filled::Something;
                }
                Ok(count) => {
                    self.end.inbox.filled(count);
                    // Later bytes are a new edge; only a reported end would not be (see `net`).
                    if count < whole && !self.ended && !self.broken {
                        self.readable = false;
                    }
                    return Filled::Something;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        self.readable = false;
                        return Filled::Nothing;
                    }
                    _ => {
                        self.readable = false;
                        self.end.input = Input::Failed;
                        return Filled::Failed;
                    }
                },
            }
        }
    }

    /// Outbox → socket, until one of them takes no more; then the end, if it was asked for.
    #[inline]
    pub fn flush(&mut self, pool: &mut Pool) -> Flushed {
        if self.end.outbox.is_empty() && self.end.output != Output::Ending {
            return Flushed::Nothing;
        }
        self.write(pool)
    }

    fn write(&mut self, pool: &mut Pool) -> Flushed {
        let mut flushed = Flushed::Nothing;
        while self.writable && !self.end.outbox.is_empty() {
            let data = self.end.outbox.data();
            let whole = data.len();
            match self.socket.write(data) {
                Ok(count) => {
                    self.end.outbox.consume(count);
                    // A short write met a full socket; room is a new edge.
                    self.writable = count == whole;
                    flushed = Flushed::Something;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => self.writable = false,
                    kind => {
                        // A broken pipe, in contrast, comes behind an end that was one.
                        self.cut |= kind == io::ErrorKind::ConnectionReset;
                        self.end.output = Output::Ended;
                        self.end.outbox.clear(pool);
                        return Flushed::Failed;
                    }
                },
            }
        }
        if self.end.output == Output::Ending && self.end.outbox.is_empty() {
            self.end.output = Output::Ended;
            // A failure means the peer is gone already, which the next read will tell.
            let _ = self.socket.end_output();
        }
        flushed
    }

    /// Asks for our end to go once the outbox is empty.
    pub fn finish_output(&mut self) {
        if self.end.output == Output::Open {
            self.end.output = Output::Ending;
        }
    }

    /// Keeps only what must be kept while nothing moves.
    pub fn settle(&mut self, pool: &mut Pool) {
        self.end.inbox.settle(pool);
        self.end.outbox.settle(pool);
    }

    /// Gives the storage back and closes the socket.
    pub fn close(mut self, pool: &mut Pool) {
        self.end.inbox.clear(pool);
        self.end.outbox.clear(pool);
    }
}
