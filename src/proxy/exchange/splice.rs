//! Large bodies stay in the kernel: socket → pipe → socket, as long as they come in large pieces.
//! What is in a pipe still counts as not having gone on, so that an exchange with bytes in one is
//! never over.

use super::pair::{Direction, Exchange};
use super::verdict::Fault;
use crate::base::buffer::LARGE_BYTES;
use crate::http::body::Body;
use crate::http::forward::BodyTransform;
use crate::net::Socket;
use crate::proxy::conn::pipes::{Lent, Piped, Pipes};
use crate::proxy::conn::{Conn, Filled, Flushed};

/// Bytes left of a body below which a pipe costs more calls than it saves copying: what one more
/// read could bring is read.
const RELAY_BYTES_MIN: u64 = LARGE_BYTES as u64;

/// What a [`relay`] achieved.
struct Relayed {
    /// Bytes that went on.
    bytes: usize,
    /// Bytes went on, or the sender's end was read.
    moved: bool,
    /// The receiver's connection is broken.
    failed: bool,
}

/// `from`'s socket → pipe → `to`'s socket: one piece of at most `max` bytes, as far as it goes, and
/// not much more than `to` takes now: the rest would stay in the pipe of a slow receiver. A piece
/// must have gone on whole before the next is taken, so that "no more for now" can only mean that
/// the socket has no more.
fn relay<S: Socket>(
    from: &mut Conn<S>,
    to: &mut Conn<S>,
    piped: &mut Piped<S::Pipe>,
    max: u64,
) -> Relayed {
    let takes = piped.bytes == 0 && to.is_writable();
    let taken = takes && from.fill_pipe(piped, max.min(to.send_room())) == Filled::Something;
    let before = piped.bytes;
    let failed = to.flush_pipe(piped) == Flushed::Failed;
    let bytes = before - piped.bytes;
    Relayed { bytes, moved: taken || bytes > 0, failed }
}

/// How many bytes of what goes through `half` may pass unread; none when they must be read.
fn unread(half: Direction, transform: BodyTransform) -> Option<u64> {
    match (half, transform) {
        (Direction::Body(Body::Length(left)), _) => Some(left),
        (Direction::Body(Body::UntilClose), BodyTransform::Keep) | (Direction::Tunnel, _) => {
            Some(u64::MAX)
        }
        (Direction::Head | Direction::Body(_) | Direction::Done, _) => None,
    }
}

/// The pipe for what may pass unread from `from` to `to`, with how much that is. None when reading
/// and writing does better, or when something that was read has to go first.
fn pipe_for<'a, S: Socket>(
    from: &Conn<S>,
    to: &Conn<S>,
    unread: Option<u64>,
    lent: &'a mut Lent<S::Pipe>,
    pipes: &mut Pipes<S::Pipe>,
) -> Option<(&'a mut Piped<S::Pipe>, u64)> {
    let max = unread?;
    let past = lent.is_some() && !from.buffers.inbox.is_vacant();
    assert!(!past, "nothing is read past what is in a pipe: it would overtake it");
    if lent.is_none() {
        let direct = from.buffers.inbox.is_vacant() && to.buffers.outbox.is_empty();
        let direct = direct && from.can_splice() && to.can_splice();
        if !(from.is_readable() && direct && max >= RELAY_BYTES_MIN) {
            return None;
        }
        *lent = pipes.lend(S::pipe);
    }
    lent.as_deref_mut().map(|piped| (piped, max))
}

impl<S: Socket> Exchange<'_, S> {
    /// Client → server; whether something moved, none when reading is the way.
    #[inline]
    pub(super) fn relay_request(&mut self) -> Option<bool> {
        if !self.client.is_bulk() && self.upstream.pipe_up.is_none() {
            return None;
        }
        self.pipe_request()
    }

    #[inline(never)]
    fn pipe_request(&mut self) -> Option<bool> {
        let upstream = &mut *self.upstream;
        let max = unread(self.pair.request, BodyTransform::Keep);
        let lent = &mut upstream.pipe_up;
        let (piped, max) = pipe_for(self.client, &upstream.conn, max, lent, self.pipes)?;
        let relayed = relay(self.client, &mut upstream.conn, piped, max);
        let is_empty = piped.bytes == 0;
        advance(&mut self.pair.request, relayed.bytes);
        self.pair.record.request_bytes += relayed.bytes as u64;
        if relayed.bytes > 0 {
            upstream.mark_sent();
        }
        // The server may have answered before it closed: reading tells.
        if relayed.failed {
            upstream.conn.read_again();
        }
        if relayed.failed || is_empty {
            self.pipes.take_back(&mut upstream.pipe_up);
        }
        Some(relayed.moved || relayed.failed)
    }

    /// Server → client; the same.
    #[inline]
    pub(super) fn relay_response(&mut self) -> Result<Option<bool>, Fault> {
        if !self.upstream.conn.is_bulk() && self.upstream.pipe_down.is_none() {
            return Ok(None);
        }
        self.pipe_response()
    }

    #[inline(never)]
    fn pipe_response(&mut self) -> Result<Option<bool>, Fault> {
        let upstream = &mut *self.upstream;
        let max = unread(self.pair.response, self.pair.transform);
        let lent = &mut upstream.pipe_down;
        let Some((piped, max)) = pipe_for(&upstream.conn, self.client, max, lent, self.pipes)
        else {
            return Ok(None);
        };
        let relayed = relay(&mut upstream.conn, self.client, piped, max);
        advance(&mut self.pair.response, relayed.bytes);
        self.pair.record.response_bytes += relayed.bytes as u64;
        if piped.bytes == 0 {
            self.pipes.take_back(&mut upstream.pipe_down);
        }
        if relayed.failed {
            return Err(Fault::ClientGone);
        }
        Ok(Some(relayed.moved))
    }
}

fn advance(half: &mut Direction, bytes: usize) {
    if let Direction::Body(body) = half {
        body.pass(bytes as u64);
        if body.is_ended() {
            *half = Direction::Done;
        }
    }
}
