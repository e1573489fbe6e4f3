//! A client joined to an upstream for one exchange, and how its bytes advance. Decides nothing
//! about faults: it reports them as [`Fault`] for `verdict`.

pub mod budget;
mod pair;
pub mod plan;
pub mod pump;
mod response;
pub mod splice;
pub mod verdict;

use crate::base::backend_id::BackendId;
use crate::base::buffer::Pool;
use crate::base::time::Instant;
use crate::config::HeadLimits;
use crate::config::Timeouts;
use crate::http::body::Body;
use crate::http::date::DATE_BYTES;
use crate::http::forward::{self, BodyTransform, RequestContext};
use crate::http::head::{self, Parse, RequestHead, ResponseHead};
use crate::net::Socket;
use crate::observe::Record;
use crate::proxy::conn::{Conn, Filled, Flushed, Input, Output};
use crate::proxy::exchange::budget::Budget;
use crate::proxy::exchange::plan::Plan;
use crate::proxy::exchange::splice::Pipes;
use crate::proxy::exchange::verdict::{Facts, Fault, Phase, Verdict};
use crate::proxy::upstream::{Tried, Upstream};
use crate::proxy::{ClientKey, UpstreamKey};
use std::net::IpAddr;
use std::time::Duration;

/// A request that could no longer be held whole with less room than this is let go of.
const HOLD_ROOM_MIN: usize = 1024;

/// One direction of an exchange. In TCP mode both start as `Tunnel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The head has not gone on.
    Head,
    /// The head has gone on, this is left.
    Body(Body),
    /// Bytes as they come, until the end.
    Tunnel,
    /// All has gone on.
    Done,
}

impl Direction {
    fn phase(self) -> Phase {
        match self {
            Direction::Head => Phase::Head,
            Direction::Body(_) => Phase::Body,
            Direction::Tunnel => Phase::Tunnel,
            Direction::Done => Phase::Done,
        }
    }

    /// Whether it is this far; cheaper than comparing halves, whose bodies would be compared too.
    pub fn is(self, phase: Phase) -> bool {
        self.phase() == phase
    }

    /// Nothing of `input` can go on before more of it comes.
    pub fn is_starved(self, input: &[u8]) -> bool {
        match self {
            Direction::Body(body) => body.is_starved(input),
            Direction::Head | Direction::Tunnel | Direction::Done => input.is_empty(),
        }
    }

    pub(in crate::proxy) fn after_head(body: Body) -> Direction {
        if body.is_ended() { Direction::Done } else { Direction::Body(body) }
    }
}

/// What follows for the client behind a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    NextRequest,
    /// The connection ends, its request having been read whole.
    Close,
    /// The connection ends while the client may still be sending.
    Linger,
}

/// A client joined to an upstream.
#[derive(Debug)]
pub struct Pair {
    pub client: ClientKey,
    pub upstream: UpstreamKey,
    /// Number of the backend the upstream leads to.
    pub backend: BackendId,
    pub plan: Plan,
    pub request: Direction,
    pub response: Direction,
    pub transform: BodyTransform,
    /// What the forwarded response promised the client.
    pub after: After,
    /// The server would take another request on this connection.
    pub upstream_stays: bool,
    /// An interim response has come: the server has begun to act.
    pub interim: bool,
    /// Backends that failed this request.
    pub tried: Tried,
    pub record: Record,
}

/// Head storage that all exchanges share. A request is mostly forwarded in the step that parsed
/// it; one that had to wait is parsed again, which is cheaper than keeping its fields' places.
#[derive(Debug, Default)]
pub struct Heads {
    pub request: RequestHead,
    /// Whose head `request` is.
    request_of: Option<ClientKey>,
    pub response: ResponseHead,
    limits: HeadLimits,
}

impl Heads {
    /// Storage for heads; requests are held to `limits`.
    pub fn new(limits: HeadLimits) -> Heads {
        Heads { limits, ..Heads::default() }
    }

    /// Parses the head at the start of `bytes`, what `client` has sent.
    pub fn read_request(&mut self, client: ClientKey, bytes: &[u8]) -> Parse {
        let parse = head::request(bytes, &mut self.request);
        let parse = plan::within(&self.limits, parse, bytes, &self.request);
        self.request_of = (parse == Parse::Complete).then_some(client);
        parse
    }

    /// The same, unless that head was the last one parsed; whether it is complete.
    pub fn recall_request(&mut self, client: ClientKey, bytes: &[u8]) -> bool {
        self.request_of == Some(client) || self.read_request(client, bytes) == Parse::Complete
    }
}

/// What every exchange is told alike.
#[derive(Clone, Copy, Debug)]
pub struct LoopContext {
    pub trust_forwarded: bool,
    /// The program is about to end.
    pub draining: bool,
    /// Somebody waits for a place.
    pub at_capacity: bool,
    /// `Date` for responses that have none.
    pub date: [u8; DATE_BYTES],
}

impl LoopContext {
    /// Clients' connections end behind the next response, whatever they say.
    pub fn end_connections(&self) -> bool {
        self.draining || self.at_capacity
    }
}

/// What a round of an exchange came to.
#[derive(Debug)]
pub struct Round {
    pub verdict: Verdict,
    pub fault: Option<Fault>,
    /// Another round could move more.
    pub again: bool,
    /// The backend of which something was heard.
    pub heard: Option<BackendId>,
}

/// A pair with both its connections at hand.
#[derive(Debug)]
pub struct Exchange<'a, S: Socket> {
    pub pair: &'a mut Pair,
    pub client: &'a mut Conn<S>,
    pub client_ip: IpAddr,
    pub upstream: &'a mut Upstream<S>,
    /// The backend as written, for requests without `Host`.
    pub host: &'a str,
    pub context: &'a LoopContext,
    /// The client's connection ends behind this exchange, whatever the client says.
    pub last: bool,
    pub heads: &'a mut Heads,
    pub pool: &'a mut Pool,
    pub pipes: &'a mut Pipes<S::Pipe>,
    pub timeouts: &'a Timeouts,
    /// When the exchange has stood still for too long.
    pub deadline: &'a mut Instant,
    /// How often a request may go to a server, and how many may be repeated.
    pub attempts_max: u8,
    pub budget: &'a Budget,
    /// Pairs in all.
    pub in_flight: usize,
    pub now: Instant,
    /// The server has said something, or ended.
    pub heard: bool,
}

impl<S: Socket> Exchange<'_, S> {
    /// Whether anything moved.
    fn advance(&mut self) -> Result<bool, Fault> {
        let mut moved = self.read_client()?;
        if self.upstream.is_connecting {
            if !self.connected()? {
                return Ok(moved);
            }
            moved = true;
        }
        if !self.upstream.sent {
            self.reject_unsolicited_response()?;
        }
        moved |= self.send_request()?;
        if !self.pair.response.is(Phase::Done) {
            self.heard |= match self.relay_response()? {
                Some(moved) => moved,
                None => self.upstream.conn.fill(self.pool) == Filled::Something,
            };
            moved |= self.heard;
        } else if self.upstream.conn.has_failed() && self.pair.request.is(Phase::Tunnel) {
            return Err(Fault::UpstreamClosed);
        }
        moved |= self.send_response()?;
        match self.client.flush(self.pool) {
            Flushed::Failed => return Err(Fault::ClientGone),
            flushed => moved |= flushed == Flushed::Something,
        }
        self.end_tunnels();
        Ok(moved)
    }

    /// Moves what can move, once in every place, and judges what has come of it.
    pub fn round(&mut self) -> Round {
        let outcome = self.advance();
        let moved = outcome == Ok(true);
        // Something moved: the wait begins anew, for whatever the exchange now waits for.
        if moved && !self.upstream.is_connecting {
            let limit = wait_limit(self.timeouts, self.pair.request, self.pair.response);
            *self.deadline = self.now + limit;
        }
        let again = moved && self.could_move();
        if !again {
            // What waits must not hold more than it needs; the client's side waits with the client.
            self.upstream.conn.settle(self.pool);
        }
        let (request, response) = (self.pair.request.phase(), self.pair.response.phase());
        Round {
            verdict: match outcome {
                Ok(_) => verdict::settled(request, response),
                Err(fault) => verdict::verdict(&self.facts(), fault),
            },
            fault: outcome.err(),
            again,
            heard: self.heard.then_some(self.pair.backend),
        }
    }

    /// Whether a further round could move something: not when all there is waits for a socket,
    /// which will report.
    fn could_move(&self) -> bool {
        let has_more = |half: Direction, from: &Conn<S>| {
            let comes = from.readable || from.buffers.input != Input::Open;
            !half.is(Phase::Done) && (comes || !half.is_starved(from.buffers.inbox.data()))
        };
        // The request's head is all that is read ahead of the client's turn.
        let request_flows = !self.pair.request.is(Phase::Head);
        (request_flows && has_more(self.pair.request, self.client))
            || has_more(self.pair.response, &self.upstream.conn)
    }

    /// A direction of a tunnel is done once the end, and all before it, was written: when both are,
    /// the connections are closed.
    fn end_tunnels(&mut self) {
        let (client, upstream) = (&*self.client, &self.upstream.conn);
        let is_done =
            |from: &Conn<S>, to: &Conn<S>| is_spent(from) && to.buffers.output == Output::Ended;
        if self.pair.request.is(Phase::Tunnel) && is_done(client, upstream) {
            self.pair.request = Direction::Done;
        }
        if self.pair.response.is(Phase::Tunnel) && is_done(upstream, client) {
            self.pair.response = Direction::Done;
        }
    }

    /// What a verdict is made from.
    pub fn facts(&self) -> Facts {
        let request = self.pair.request.phase();
        let client_inbox = &self.client.buffers.inbox;
        let owes_request = request == Phase::Body
            && self.pair.request.is_starved(client_inbox.data())
            && self.upstream.conn.buffers.outbox.is_empty()
            && self.upstream.pipe_up.is_none();
        let owes_room = !self.client.buffers.outbox.is_empty() || self.upstream.pipe_down.is_some();
        Facts {
            response: self.pair.response.phase(),
            connecting: self.upstream.is_connecting,
            sent: self.upstream.sent,
            answered: self.pair.interim || !self.upstream.conn.buffers.inbox.is_empty(),
            held: request == Phase::Head || client_inbox.is_held(),
            idempotent: self.pair.plan.method.is_idempotent(),
            waiting_on_client: owes_request || owes_room,
            // A pooled connection that closes is not a sign of trouble that repeating would add to;
            // and there is at most one of them in the life of a request.
            attempts_left: self.pair.tried.seen.saturating_add(1) < self.attempts_max
                && (self.upstream.reused || self.budget.allows(self.in_flight)),
        }
    }

    /// Reads from the client while its message or tunnel goes on. Else its bytes (the next
    /// request, perhaps) stay in the kernel, which is all the back-pressure there is.
    fn read_client(&mut self) -> Result<bool, Fault> {
        if self.client.has_failed() {
            return Err(Fault::ClientGone);
        }
        let wanted = match self.pair.request {
            Direction::Body(body) => {
                self.let_go_if_too_long(body);
                true
            }
            Direction::Tunnel => true,
            Direction::Head | Direction::Done => false,
        };
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
    fn let_go_if_too_long(&mut self, body: Body) {
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

    fn connected(&mut self) -> Result<bool, Fault> {
        let conn = &mut self.upstream.conn;
        if !conn.writable {
            return Ok(false);
        }
        match conn.socket.connected() {
            Ok(established) => {
                conn.writable = established;
                self.upstream.is_connecting = !established;
                if established {
                    self.pair.record.connected = Some(self.now);
                }
                Ok(established)
            }
            Err(error) => Err(Fault::ConnectFailed(error.kind())),
        }
    }

    /// Who speaks HTTP before it was asked anything, or has ended by then, is not asked: what it
    /// says is no answer to this request.
    fn reject_unsolicited_response(&mut self) -> Result<(), Fault> {
        let speaks_first = self.pair.response.is(Phase::Head)
            && self.upstream.conn.fill(self.pool) != Filled::Nothing;
        if speaks_first {
            self.send_response()?;
        }
        Ok(())
    }

    /// Client → server, as far as it goes.
    fn send_request(&mut self) -> Result<bool, Fault> {
        let upstream = &mut self.upstream.conn;
        let moved = match &mut self.pair.request {
            Direction::Head => self.forward_request()?,
            Direction::Body(body) => {
                let from = &mut self.client.buffers.inbox;
                let to = &mut upstream.buffers.outbox;
                let count = pump::pump(body, self.pair.plan.transform, from, to, self.pool)
                    .map_err(|_| Fault::ClientMalformed)?;
                if body.is_ended() {
                    self.pair.request = Direction::Done;
                }
                count > 0
            }
            Direction::Tunnel => {
                if self.client.buffers.input == Input::Failed {
                    return Err(Fault::ClientGone);
                }
                tunnel(self.client, upstream, self.pool) > 0
            }
            Direction::Done => false,
        };
        match self.upstream.conn.flush(self.pool) {
            Flushed::Nothing => Ok(moved),
            Flushed::Something => {
                self.upstream.sent = true;
                Ok(true)
            }
            // It has said all it had to say, but what we had for it is lost: that shall show.
            Flushed::Failed if self.pair.response.is(Phase::Done) => Err(Fault::UpstreamClosed),
            // The server may have answered before it closed: reading tells.
            Flushed::Failed => {
                self.upstream.conn.readable = true;
                Ok(true)
            }
        }
    }

    /// The head goes into an empty outbox, where it always fits; what is forwarded stays in the
    /// inbox until the response begins, so that it can be sent again.
    fn forward_request(&mut self) -> Result<bool, Fault> {
        let inbox = &mut self.client.buffers.inbox;
        let complete = self.heads.recall_request(self.pair.client, inbox.data());
        assert!(complete, "a head that was accepted is still there");
        let context = RequestContext {
            client: self.client_ip,
            default_host: self.host,
            trust_forwarded: self.context.trust_forwarded,
            upgrade: self.pair.plan.upgrade,
            expect: self.pair.plan.expects(),
            max_forwards: self.pair.plan.forwards.map(|left| left.saturating_sub(1)),
        };
        let outbox = &mut self.upstream.conn.buffers.outbox;
        let head = &self.heads.request;
        let target = &self.pair.plan.target;
        let out = outbox.space(self.pool);
        let written = forward::request(inbox.data(), head, target, &context, out);
        // Cannot be (see the assertion below); if it were, the client would be told, not we die.
        outbox.filled(written.map_err(|_| Fault::ClientMalformed)?);
        inbox.hold();
        inbox.consume(head.bytes);
        self.pair.request = Direction::after_head(self.pair.plan.body);
        if let Direction::Body(body) = &mut self.pair.request {
            pump::pump(body, self.pair.plan.transform, inbox, outbox, self.pool)
                .map_err(|_| Fault::ClientMalformed)?;
            if body.is_ended() {
                self.pair.request = Direction::Done;
            }
        }
        Ok(true)
    }
}

/// Moves what there is from one connection's inbox to the other's outbox, then the end; how many
/// bytes moved.
pub(in crate::proxy) fn tunnel<S: Socket>(
    from: &mut Conn<S>,
    to: &mut Conn<S>,
    pool: &mut Pool,
) -> usize {
    let count = from.buffers.inbox.data().len().min(to.buffers.outbox.room());
    let moved = to.buffers.outbox.take_from(&mut from.buffers.inbox, count, pool);
    if is_spent(from) {
        to.finish_output();
    }
    moved
}

/// Everything the peer sent has gone on, its end included.
fn is_spent<S>(conn: &Conn<S>) -> bool {
    conn.buffers.input == Input::Eof && conn.buffers.inbox.is_empty()
}

/// How long the exchange may stand still, by what it waits for.
fn wait_limit(timeouts: &Timeouts, request: Direction, response: Direction) -> Duration {
    match (request, response) {
        (Direction::Tunnel, _) | (_, Direction::Tunnel) => timeouts.tunnel,
        (Direction::Done, Direction::Head) => timeouts.response,
        (
            Direction::Head | Direction::Body(_) | Direction::Done,
            Direction::Head | Direction::Body(_) | Direction::Done,
        ) => timeouts.idle,
    }
}

const _: () = assert!(
    head::HEAD_BYTES_MAX + forward::GROWTH_BYTES_MAX <= crate::base::buffer::LARGE_BYTES,
    "a forwarded head fits into an empty buffer"
);
