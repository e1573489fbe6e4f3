//! One socket and the bytes in flight through it: the same for clients, upstreams and probes.
//! `mark` alone sets the readiness bits; `fill` and `flush` alone clear them.

pub mod handshakes;
pub mod pipes;

use crate::base::buffer::{Buffer, LARGE_BYTES, Pool};
use crate::base::table::Id;
use crate::http::forward::GROWTH_BYTES_MAX;
use crate::net::pipe::PIPE_BYTES;
use crate::net::{Handshake, Net, Ready, Secured, Socket};
use handshakes::HandshakeSteps;
use pipes::Piped;
use std::io;
use std::net::SocketAddr;

/// What a read must bring at least for the next one to be worth a pipe: it fills an inbox that is
/// empty, or almost, as the bytes that a longer head has displaced may be in it. (With less,
/// messages of 16 KiB in TCP mode went through pipes: one system call more for each of them.)
const BULK_BYTES_MIN: usize = LARGE_BYTES - GROWTH_BYTES_MAX;

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
    /// A write saw the peer's reset. The kernel reports it once: the next read looks like an
    /// orderly end and is none.
    Reset,
}

impl Output {
    /// Nothing more can be written.
    pub fn is_over(self) -> bool {
        matches!(self, Output::Ended | Output::Reset)
    }
}

/// Both buffers and both directions of a connection: the part an exchange works on.
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
    /// The connection is broken; what was in the outbox is lost.
    Failed,
}

/// What the kernel has reported and no call has settled yet.
#[derive(Clone, Copy, Debug, Default)]
struct Readiness {
    /// A read may get something.
    readable: bool,
    /// A write may take something.
    writable: bool,
    /// The peer's end was reported: reads go on until they meet it.
    eof: bool,
    /// A fault was reported: a read will say which.
    fault: bool,
}

/// A socket, its readiness and its buffers.
#[derive(Debug)]
pub struct Conn<S> {
    socket: S,
    readiness: Readiness,
    /// The last read brought so much that the next bytes are worth a pipe.
    is_bulk: bool,
    /// The kernel reports its readiness.
    is_registered: bool,
    pub buffers: Buffers,
}

impl<S: Socket> Conn<S> {
    /// A connection that is worth a first read and a first write at once.
    pub fn established(socket: S) -> Conn<S> {
        let mut conn = Conn::connecting(socket);
        (conn.readiness.readable, conn.readiness.writable) = (true, true);
        conn
    }

    /// A connection that reports `writable` when it is established.
    pub fn connecting(socket: S) -> Conn<S> {
        let buffers = Buffers {
            inbox: Buffer::new(),
            outbox: Buffer::new(),
            input: Input::Open,
            output: Output::Open,
        };
        let readiness = Readiness::default();
        Conn { socket, readiness, is_bulk: false, is_registered: false, buffers }
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Has the kernel report its readiness under `id`, once in its life.
    ///
    /// Errors: the system's, such as no room for another watch.
    #[inline]
    pub fn register<N: Net<Socket = S>>(&mut self, net: &mut N, id: Id) -> io::Result<()> {
        if self.is_registered {
            return Ok(());
        }
        self.is_registered = true;
        net.register(&mut self.socket, id)
    }

    /// Has the kernel probe the peer while nothing moves: for tunnels, which may be idle for long.
    pub fn enable_keep_alive(&mut self) {
        self.socket.enable_keep_alive();
    }

    /// Remembers what the kernel reported.
    pub fn mark(&mut self, ready: &Ready) {
        let readiness = &mut self.readiness;
        readiness.readable |= ready.readable;
        readiness.writable |= ready.writable;
        readiness.eof |= ready.ended;
        readiness.fault |= ready.broken;
    }

    /// A read may get something.
    #[inline]
    pub fn is_readable(&self) -> bool {
        self.readiness.readable
    }

    /// A write may take something.
    #[inline]
    pub fn is_writable(&self) -> bool {
        self.readiness.writable
    }

    /// The peer's end was reported, though bytes before it may be unread.
    pub fn has_reported_eof(&self) -> bool {
        self.readiness.eof
    }

    /// The kernel reports its readiness.
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// The last read brought so much that the next bytes are worth a pipe.
    #[inline]
    pub fn is_bulk(&self) -> bool {
        self.is_bulk
    }

    /// Has the next `fill` read, whatever was reported: a failed write leaves it to a read to say
    /// why, and the peer may have answered before it closed.
    pub fn read_again(&mut self) {
        self.readiness.readable = true;
    }

    /// Whether the connect is done; false: not yet.
    ///
    /// Errors: why it failed.
    pub fn finish_connect(&mut self) -> io::Result<bool> {
        if self.readiness.writable {
            self.readiness.writable = self.socket.connected()?;
        }
        Ok(self.readiness.writable)
    }

    /// Whether it carries TLS.
    pub fn is_secured(&self) -> bool {
        self.socket.is_secured()
    }

    /// Connected: the handshake with a server can begin, whatever was reported.
    pub fn begin_handshake(&mut self) {
        self.readiness.readable = true;
    }

    /// From here on the client's socket carries TLS. What was read of it belongs to the handshake.
    ///
    /// Errors: this program has no certificates.
    pub fn secure<N: Net<Socket = S>>(&mut self, net: &mut N, pool: &mut Pool) -> io::Result<()> {
        let outcome = net.secure(&mut self.socket, self.buffers.inbox.data());
        self.buffers.inbox.clear(pool);
        // Also if the kernel reports nothing more.
        self.readiness.readable = true;
        outcome
    }

    /// Goes on with the handshake of a secured socket; `Complete` or `NotTls` when it is over. What
    /// has read something is one of `steps`.
    ///
    /// Errors: it failed, or the peer is gone.
    pub fn handshake(&mut self, steps: &mut HandshakeSteps) -> io::Result<Handshake> {
        let before = self.socket.handshake_bytes();
        let outcome = uninterrupted(|| self.socket.handshake());
        steps.count(self.socket.handshake_bytes() - before);
        let handshake = outcome?;
        match handshake {
            Handshake::WantsRead => self.readiness.readable = false,
            Handshake::WantsWrite => self.readiness.writable = false,
            // What came behind it may be read already.
            Handshake::Complete | Handshake::NotTls => self.readiness.readable = true,
        }
        Ok(handshake)
    }

    /// What the handshake of a secured socket came to.
    pub fn secured(&self) -> Option<Secured<'_>> {
        self.socket.secured()
    }

    /// Whether what is read and written is encrypted; false before the end of the handshake.
    pub fn is_encrypted(&self) -> bool {
        self.socket.is_encrypted()
    }

    /// The buffers, and whose certificate the peer has shown.
    pub fn buffers_and_subject(&mut self) -> (&mut Buffers, Option<&str>) {
        (&mut self.buffers, self.socket.subject())
    }

    /// Whether the certificate that the peer was shown is for `host`.
    pub fn covers(&self, host: &[u8]) -> bool {
        self.socket.covers(host)
    }

    /// Whether bytes may go from this socket or to it through a pipe.
    pub fn can_splice(&self) -> bool {
        self.socket.can_splice()
    }

    /// Something is missing at the end of the output, and the peer is to see that if it can.
    pub fn mark_cut_off(&mut self) {
        self.socket.mark_cut_off();
    }

    /// Closing resets the connection from here on: the peer must not take it for an orderly end.
    pub fn reset_on_drop(&mut self) {
        self.socket.reset_on_drop();
    }

    /// Asks the socket about a reported fault. A true one ends the input, whatever is unread.
    pub fn has_failed(&mut self) -> bool {
        if self.readiness.fault && self.socket.fault().is_some() {
            self.readiness.readable = false;
            self.buffers.input = Input::Failed;
        }
        self.readiness.fault = false;
        self.buffers.input == Input::Failed
    }

    /// Nothing is in flight, and neither an end nor a fault was reported: fit to be used again.
    pub fn is_reusable(&self) -> bool {
        let buffers = &self.buffers;
        let open = buffers.input == Input::Open && buffers.output == Output::Open;
        let empty = buffers.inbox.is_vacant() && buffers.outbox.is_vacant();
        open && empty && !self.readiness.eof && !self.readiness.fault
    }

    /// Reusable, and nothing may be waiting to be read.
    pub fn is_idle(&self) -> bool {
        self.is_reusable() && !self.readiness.readable
    }

    /// This end's address; none where it is no IP address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_address()
    }

    /// Bytes that the peer has acknowledged or sent; none where the system does not count them.
    pub fn bytes_moved(&self) -> Option<u64> {
        self.socket.bytes_moved()
    }

    /// Whether it holds storage of the buffer pool.
    pub fn has_storage(&self) -> bool {
        self.storages() > 0
    }

    /// Storages of the buffer pool it holds, 0 to 2.
    pub fn storages(&self) -> usize {
        usize::from(self.buffers.inbox.has_storage())
            + usize::from(self.buffers.outbox.has_storage())
    }

    /// The peer has ended, and everything it sent has been taken from the inbox.
    pub fn is_spent(&self) -> bool {
        self.buffers.input == Input::Eof && self.buffers.inbox.is_empty()
    }

    /// Whether a `fill` would read.
    pub fn could_read(&self) -> bool {
        self.readiness.readable
            && self.buffers.input == Input::Open
            && self.buffers.inbox.room() > 0
    }

    /// Whether a `flush` would write.
    pub fn could_write(&self) -> bool {
        self.readiness.writable && !self.buffers.outbox.is_empty()
    }

    /// Socket → inbox, one read.
    #[inline]
    pub fn fill(&mut self, pool: &mut Pool) -> Filled {
        if !self.could_read() {
            return Filled::Nothing;
        }
        self.read(pool)
    }

    fn read(&mut self, pool: &mut Pool) -> Filled {
        let space = self.buffers.inbox.space(pool);
        let whole = space.len();
        let outcome = uninterrupted(|| self.socket.read(space));
        let Ok(count @ 1..) = outcome else { return self.judge_read(outcome) };
        self.buffers.inbox.filled(count);
        // Later bytes are a new edge; only a reported end would not be (see `net`).
        let has_ended = self.readiness.eof | self.readiness.fault;
        if count < whole && !has_ended && self.socket.is_drained() {
            self.readiness.readable = false;
        }
        self.is_bulk = count >= BULK_BYTES_MIN;
        Filled::Something
    }

    /// How much may go into a pipe for this socket: about what it takes now, but at least one buffer,
    /// as only a write that meets a full socket has the kernel report room again.
    pub fn send_room(&self) -> u64 {
        self.socket.send_room().max(LARGE_BYTES) as u64
    }

    /// Socket → empty pipe, one move of at most `max` bytes.
    pub fn fill_pipe(&mut self, piped: &mut Piped<S::Pipe>, max: u64) -> Filled {
        if !self.readiness.readable || self.buffers.input != Input::Open {
            return Filled::Nothing;
        }
        // A short move says nothing of what is left: pipes count in pages, not in bytes.
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(PIPE_BYTES);
        let outcome = uninterrupted(|| self.socket.read_into(&mut piped.pipe, max));
        piped.bytes += *outcome.as_ref().unwrap_or(&0);
        self.judge_read(outcome)
    }

    #[inline(never)]
    fn judge_read(&mut self, outcome: io::Result<usize>) -> Filled {
        if let Ok(count @ 1..) = outcome {
            self.is_bulk = count >= BULK_BYTES_MIN;
            return Filled::Something;
        }
        self.readiness.readable = false;
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Filled::Nothing,
            Ok(_) if self.buffers.output != Output::Reset => {
                self.buffers.input = Input::Eof;
                Filled::Something
            }
            Ok(_) | Err(_) => {
                self.buffers.input = Input::Failed;
                Filled::Failed
            }
        }
    }

    /// Outbox → socket, one write; then the end, if it was asked for.
    #[inline]
    pub fn flush(&mut self, pool: &mut Pool) -> Flushed {
        if self.buffers.outbox.is_empty() && self.buffers.output != Output::Ending {
            return Flushed::Nothing;
        }
        self.write(pool)
    }

    /// What goes before the handshake: outbox → socket, one write, in the clear.
    pub fn flush_clear(&mut self, pool: &mut Pool) -> Flushed {
        self.write_by(S::write_clear, pool)
    }

    /// Not inlined, so that a flush of nothing, which is every other one, costs no call.
    #[inline(never)]
    fn write(&mut self, pool: &mut Pool) -> Flushed {
        self.write_by(S::write, pool)
    }

    #[inline(always)]
    fn write_by(
        &mut self,
        write: impl Fn(&mut S, &[u8]) -> io::Result<usize>,
        pool: &mut Pool,
    ) -> Flushed {
        let mut flushed = Flushed::Nothing;
        // One write is enough: it empties the outbox or meets a full socket.
        if self.could_write() {
            let data = self.buffers.outbox.data();
            let whole = data.len();
            match uninterrupted(|| write(&mut self.socket, data)) {
                Ok(count) => {
                    self.buffers.outbox.consume(count);
                    // A short write met a full socket; room is a new edge.
                    self.readiness.writable = count == whole;
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
            self.end_output();
        }
        flushed
    }

    #[inline(never)]
    fn end_output(&mut self) {
        match self.socket.end_output() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readiness.writable = false;
            }
            // A failure means that the peer is gone already, which the next read will say.
            Ok(()) | Err(_) => self.buffers.output = Output::Ended,
        }
    }

    /// Pipe → socket, until one of them has or takes no more.
    pub fn flush_pipe(&mut self, piped: &mut Piped<S::Pipe>) -> Flushed {
        let mut flushed = Flushed::Nothing;
        while self.readiness.writable && piped.bytes > 0 {
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
    #[inline(never)]
    fn write_failed(&mut self, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.readiness.writable = false;
            return false;
        }
        // A broken pipe, in contrast, follows an orderly end of the peer, or the reset of before.
        let saw_reset =
            error.kind() == io::ErrorKind::ConnectionReset || self.buffers.output == Output::Reset;
        self.buffers.output = if saw_reset { Output::Reset } else { Output::Ended };
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
        self.free_storage(pool);
    }

    /// Gives the storage back, as the connection is about to be dropped.
    pub fn free_storage(&mut self, pool: &mut Pool) {
        self.buffers.inbox.clear(pool);
        self.buffers.outbox.clear(pool);
    }
}

/// The outcome of `call`, made again while a signal interrupts it.
#[inline]
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match call() {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => repeat(call),
        outcome => outcome,
    }
}

#[cold]
#[inline(never)]
fn repeat<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
