//! The way of a request through an exchange: from the client's inbox to the server's outbox.

use super::pair::{Direction, Exchange};
use super::pump;
use super::verdict::{Fault, Phase};
use crate::base::buffer::Pool;
use crate::config::EDIT_BYTES_MAX;
use crate::http::body::Body;
use crate::http::chunked::ChunkedFault;
use crate::http::cookie;
use crate::http::forward::{self, RequestContext};
use crate::http::framing;
use crate::http::head;
use crate::net::{SUBJECT_BYTES_MAX, Socket};
use crate::proxy::client::listener::Scheme;
use crate::proxy::conn::{Conn, Filled, Flushed, Input};
use crate::proxy::upstream::HeaderWrite;

/// A request that could no longer be held whole with less room than this is not held any longer.
const HOLD_ROOM_MIN: usize = 1024;

impl<S: Socket> Exchange<'_, S> {
    /// Reads from the client while its message or tunnel goes on. Else its bytes (the next
    /// request, perhaps) stay in the kernel, which is all the back-pressure there is.
    pub(super) fn read_client(&mut self) -> Result<bool, Fault> {
        if self.client.has_failed() {
            return Err(Fault::ClientGone);
        }
        let wanted = match self.pair.request {
            Direction::Body(body) => {
                self.release_if_too_long(body);
                true
            }
            Direction::Tunnel => true,
            Direction::Head | Direction::Done => false,
        };
        let wanted = wanted && self.pair.request.reads_on(&self.upstream.conn);
        let moved = match self.relay_request() {
            Some(moved) => moved,
            None if wanted => match self.client.fill(self.pool) {
                Filled::Failed => return Err(Fault::ClientGone),
                filled => filled == Filled::Something,
            },
            None => false,
        };
        let end = &self.client.buffers;
        let ended = end.input != Input::Open && self.pair.request.is_starved(end.inbox.data());
        if ended && matches!(self.pair.request, Direction::Body(_)) {
            return Err(Fault::ClientGone);
        }
        Ok(moved)
    }

    /// A request that cannot be held whole is not held at all: its storage may then change hands.
    fn release_if_too_long(&mut self, body: Body) {
        let inbox = &mut self.client.buffers.inbox;
        let coming = match body {
            Body::Length(left) => left.saturating_sub(inbox.data().len() as u64),
            Body::Empty => 0,
            Body::Chunked(_) | Body::UntilClose => HOLD_ROOM_MIN as u64,
        };
        if inbox.is_held() && coming > inbox.room() as u64 {
            inbox.release();
        }
    }

    /// Whether the connection to the server is established by now.
    #[inline(never)]
    pub(super) fn connected(&mut self) -> Result<bool, Fault> {
        let established = self.upstream.finish_connect(self.pool, self.handshake_steps);
        let established = established.map_err(Fault::ConnectFailed)?;
        if established {
            self.pair.record.connected = Some(self.now);
        }
        Ok(established)
    }

    /// A server that sends HTTP before a request, or has ended by then, gets no request: what it
    /// sends is no response to this one.
    pub(super) fn reject_unsolicited_response(&mut self) -> Result<(), Fault> {
        let speaks_first = self.pair.response.is(Phase::Head)
            && self.upstream.conn.fill(self.pool) != Filled::Nothing;
        if speaks_first {
            self.send_response()?;
        }
        Ok(())
    }

    /// Client → server, as far as it goes.
    pub(super) fn send_request(&mut self) -> Result<bool, Fault> {
        let moved = match self.pair.request {
            Direction::Head => self.forward_request()?,
            Direction::Body(_) => self.send_body_up()?,
            Direction::Tunnel => match self.tunnel_up()? {
                Some(moved) => moved,
                None => return Ok(false),
            },
            Direction::Done => false,
        };
        match self.upstream.conn.flush(self.pool) {
            Flushed::Nothing => Ok(moved),
            Flushed::Something => {
                self.upstream.mark_sent();
                Ok(true)
            }
            // The response is complete, but the rest of the request is lost: that must show.
            Flushed::Failed if self.pair.response.is(Phase::Done) => Err(Fault::UpstreamClosed),
            // The server may have answered before it closed: reading shows it.
            Flushed::Failed => {
                self.upstream.conn.read_again();
                Ok(true)
            }
        }
    }

    #[inline(never)]
    fn send_body_up(&mut self) -> Result<bool, Fault> {
        let transform = self.pair.plan().transform;
        let Direction::Body(body) = &mut self.pair.request else { return Ok(false) };
        let from = &mut self.client.buffers.inbox;
        let to = &mut self.upstream.conn.buffers.outbox;
        let count = pump::pump(body, transform, from, to, self.pool).map_err(malformed)?;
        if body.is_ended() {
            self.pair.request = Direction::Done;
        }
        self.pair.record.request_bytes += count as u64;
        Ok(count > 0)
    }

    /// Bytes of a tunnel; none as long as the header that goes first is not out.
    #[inline(never)]
    fn tunnel_up(&mut self) -> Result<Option<bool>, Fault> {
        if self.client.buffers.input == Input::Failed {
            return Err(Fault::ClientGone);
        }
        let header = self.upstream.finish_header(self.pool);
        let header = header.map_err(|kind| match self.has_heard_server() {
            true => Fault::UpstreamClosed,
            // A connect that fails: neither side has seen a byte of the other.
            false => Fault::ConnectFailed(kind.into()),
        })?;
        if header == HeaderWrite::Unfinished {
            return Ok(None);
        }
        let count = tunnel(self.client, &mut self.upstream.conn, self.pool);
        self.pair.record.request_bytes += count as u64;
        Ok(Some(count > 0 || header == HeaderWrite::Finished))
    }

    /// Something of the server's has come, which its client may have got.
    #[cold]
    fn has_heard_server(&self) -> bool {
        let buffers = &self.upstream.conn.buffers;
        let waits = !buffers.inbox.is_empty() || self.upstream.pipe_down.is_some();
        self.pair.record.response_bytes > 0 || waits || buffers.input == Input::Eof
    }

    /// The head goes into an empty outbox, where it always fits; what is forwarded stays in the
    /// inbox until the response begins, so that it can be sent again.
    #[inline(never)]
    fn forward_request(&mut self) -> Result<bool, Fault> {
        let (buffers, client_subject) = self.client.buffers_and_subject();
        let inbox = &mut buffers.inbox;
        let plan = self.pair.plan();
        let head = self.heads.recall(self.pair.client, inbox.data());
        let trust_forwarded = self.config.trust_forwarded.contains(self.client_info.ip());
        let context = RequestContext {
            client: self.client_info.peer(),
            default_host: self.authority,
            trust_forwarded,
            keep_subject: trust_forwarded && self.config.client_ca.is_none(),
            is_https: self.client_info.settings().scheme == Scheme::Https,
            client_subject,
            upgrade: plan.upgrade,
            expect: plan.expects_continue,
            max_forwards: plan.forwards.map(|left| left.saturating_sub(1)),
        };
        let outbox = &mut self.upstream.conn.buffers.outbox;
        let out = outbox.space(self.pool);
        let mut written = forward::request(inbox.data(), head, &plan.target, &context, out);
        if let (Some(name), Ok(length)) = (&self.config.sticky, written) {
            written = Ok(cookie::cut(out, length, name));
        }
        if let (Some(edits), Ok(length)) = (&self.edits.up, written) {
            written = edits.apply(out, length);
        }
        // Cannot be (see the assertion below); if it were, one request would fail, not the program.
        outbox.filled(written.map_err(|_| malformed(ChunkedFault::Malformed))?);
        inbox.hold();
        inbox.consume(head.bytes);
        self.pair.request = Direction::after_head(plan.body);
        if matches!(self.pair.request, Direction::Body(_)) {
            self.send_body_up()?;
        }
        Ok(true)
    }
}

/// Moves what there is from one connection's inbox to the other's outbox, then the end; how many
/// bytes moved.
#[inline(never)]
pub(super) fn tunnel<S: Socket>(from: &mut Conn<S>, to: &mut Conn<S>, pool: &mut Pool) -> usize {
    let count = from.buffers.inbox.data().len().min(to.buffers.outbox.room());
    let moved = to.buffers.outbox.take_from(&mut from.buffers.inbox, count, pool);
    if from.is_spent() {
        to.finish_output();
    }
    moved
}

const _: () = assert!(SUBJECT_BYTES_MAX <= forward::SUBJECT_BYTES_MAX, "a subject fits");

const _: () = assert!(
    head::HEAD_BYTES_MAX + forward::GROWTH_BYTES_MAX + EDIT_BYTES_MAX + cookie::SET_BYTES_MAX
        <= crate::base::buffer::LARGE_BYTES,
    "a forwarded head fits into an empty buffer"
);

/// The client's body ends the exchange.
fn malformed(fault: ChunkedFault) -> Fault {
    Fault::ClientMalformed(framing::request_body(fault))
}
