//! A client joined to an upstream for one exchange, and how its bytes advance. Decides nothing
//! about faults: it reports them as [`Fault`] for `verdict`.

use super::budget::Budget;
use super::verdict::{self, Facts, Fault, Phase, Rest, Verdict};
use crate::base::backend_id::BackendId;
use crate::base::buffer::Pool;
use crate::base::time::Instant;
use crate::config::{Config, Timeouts};
use crate::http::body::Body;
use crate::http::date::DATE_BYTES;
use crate::http::forward::BodyTransform;
use crate::http::head::ResponseHead;
use crate::net::Socket;
use crate::observe::Record;
use crate::proxy::client::admission::Admission;
use crate::proxy::client::connection::ClientInfo;
use crate::proxy::client::heads::Heads;
use crate::proxy::client::plan::{Intent, Plan};
use crate::proxy::client::request::After;
use crate::proxy::conn::handshakes::HandshakeSteps;
use crate::proxy::conn::pipes::Pipes;
use crate::proxy::conn::{Conn, Filled, Flushed, Input};
use crate::proxy::head_edits::HeadEdits;
use crate::proxy::kinds::{ClientKey, UpstreamKey};
use crate::proxy::retry::{RetryState, Tried};
use crate::proxy::upstream::Upstream;
use crate::proxy::upstream::acquire::Acquired;
use std::num::NonZeroU64;
use std::time::Duration;

/// One direction of an exchange. In TCP mode both start as `Tunnel`.
///
/// With a byte of its own for the variant, as that is asked for a dozen times per request; inside
/// the body's it would take five instructions each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// The head has not been forwarded.
    Head,
    /// The head has been forwarded, this is left.
    Body(Body),
    /// Bytes as they come, until the end.
    Tunnel,
    /// All has been forwarded.
    Done,
}

impl Direction {
    /// How far it is.
    pub fn phase(self) -> Phase {
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

    /// Nothing of `input` can be forwarded before more of it comes.
    pub fn is_starved(self, input: &[u8]) -> bool {
        match self {
            Direction::Body(body) => body.is_starved(input),
            Direction::Head | Direction::Tunnel | Direction::Done => input.is_empty(),
        }
    }

    /// Whether more is read for `to`: not before what was read has been written, so that a slow
    /// receiver has one buffer filled and not two. Heads are taken in at once.
    pub fn reads_on<S: Socket>(self, to: &Conn<S>) -> bool {
        match self {
            Direction::Body(_) | Direction::Tunnel => to.buffers.outbox.is_empty(),
            Direction::Head | Direction::Done => true,
        }
    }

    /// What is left after the head.
    pub fn after_head(body: Body) -> Direction {
        if body.is_ended() { Direction::Done } else { Direction::Body(body) }
    }
}

/// Which limit a pair counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One of the N slots: a request, or a session of TCP mode.
    Slot,
    /// One of the tunnels: a request whose server has switched protocols.
    Tunnel,
}

/// A client joined to an upstream.
#[derive(Debug)]
pub struct Pair {
    pub client: ClientKey,
    pub upstream: UpstreamKey,
    /// The backend the upstream leads to.
    pub backend: BackendId,
    pub intent: Intent,
    pub request: Direction,
    pub response: Direction,
    pub place: Place,
    /// What happens to the framing of the response's body.
    pub transform: BodyTransform,
    /// What the forwarded response promised the client.
    pub after: After,
    /// The server would take another request on this connection.
    pub upstream_stays: bool,
    /// An interim response has come: the server has begun to act.
    pub interim: bool,
    /// It was 100: the client may send its content (RFC 9110 §10.1.1).
    pub continued: bool,
    /// What the response sets in the cookie of `--sticky`.
    pub cookie: Option<NonZeroU64>,
    pub tried: Tried,
    pub record: Record,
}

impl Pair {
    /// A pair at its beginning, for the attempt that goes on from `state`.
    pub fn new(client: ClientKey, acquired: Acquired, intent: &Intent, state: RetryState) -> Pair {
        let beginning = match intent {
            Intent::Message(_) => Direction::Head,
            Intent::Session { .. } => Direction::Tunnel,
        };
        Pair {
            client,
            upstream: acquired.upstream,
            backend: acquired.backend,
            intent: *intent,
            request: beginning,
            response: beginning,
            place: Place::Slot,
            transform: BodyTransform::Keep,
            after: After::Close,
            upstream_stays: false,
            interim: false,
            continued: false,
            cookie: None,
            tried: state.tried,
            record: state.record,
        }
    }

    /// The request, which a pair in [`Direction::Head`] or `Body` has.
    pub fn plan(&self) -> &Plan {
        self.intent.message().expect("only messages have heads and bodies")
    }

    /// A response is due from the server. None is for a session or a tunnel.
    pub fn is_outstanding(&self) -> bool {
        self.response.is(Phase::Head)
    }

    /// The client waits for leave to send its content (RFC 9110 §10.1.1), which the server has not
    /// given: the wait is for the server.
    #[inline]
    pub fn awaits_continue(&self) -> bool {
        self.intent.message().is_some_and(|plan| {
            let has_no_content = || self.request == Direction::Body(plan.body);
            plan.expects_continue && !self.continued && has_no_content()
        })
    }
}

/// Where a round of an exchange has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for more.
    Waiting,
    /// Both messages are complete.
    Finished,
    /// The response is complete, the request will not be.
    FinishedEarly,
    /// See [`Exchange::judge_fault`].
    Faulty,
}

/// What a round of an exchange came to.
#[derive(Debug)]
pub struct Round {
    pub standing: Standing,
    /// Another round could move more.
    pub again: bool,
    pub heard: Heard,
}

/// What came from the server in a round; the more it says about the server, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heard {
    Nothing,
    Bytes,
    /// The head of the response that the client gets.
    Response,
}

/// A pair with both its connections at hand.
#[derive(Debug)]
pub struct Exchange<'a, S: Socket> {
    pub pair: &'a mut Pair,
    pub client: &'a mut Conn<S>,
    pub client_info: &'a ClientInfo,
    pub upstream: &'a mut Upstream<S>,
    /// The backend as written, for requests without `Host`.
    pub authority: &'a str,
    /// Clients' connections close after their next response, whatever the clients ask for.
    pub ends_connections: bool,
    pub heads: &'a mut Heads,
    pub response_head: &'a mut ResponseHead,
    pub pool: &'a mut Pool,
    pub handshake_steps: &'a mut HandshakeSteps,
    pub pipes: &'a mut Pipes<S::Pipe>,
    pub admission: &'a mut Admission,
    pub config: &'a Config,
    pub edits: &'a HeadEdits,
    pub date: &'a [u8; DATE_BYTES],
    /// When nothing has moved for too long.
    pub deadline: &'a mut Instant,
    pub budget: &'a Budget,
    /// Pairs in all.
    pub in_flight: usize,
    pub now: Instant,
    /// The server has sent something, or ended.
    pub heard: bool,
    /// What went wrong in the last round. Not in [`Round`], where room for it would be moved about
    /// with every step.
    pub fault: Option<Fault>,
}

impl<S: Socket> Exchange<'_, S> {
    /// Whether anything moved.
    fn advance(&mut self) -> Result<bool, Fault> {
        let mut moved = self.read_client()?;
        if self.upstream.is_connecting() {
            if !self.connected()? {
                // The leave to send content may still be on its way to the client.
                return Ok(moved | self.flush_client()?);
            }
            moved = true;
        }
        if !self.upstream.has_sent() {
            self.reject_unsolicited_response()?;
        }
        moved |= self.send_request()?;
        if !self.pair.response.is(Phase::Done) {
            self.heard |= match self.relay_response()? {
                Some(moved) => moved,
                None if !self.pair.response.reads_on(self.client) => false,
                None => self.upstream.conn.fill(self.pool) == Filled::Something,
            };
            moved |= self.heard;
        } else if self.pair.request.is(Phase::Body) || self.has_unsent() {
            // Its end, or bytes that belong to no response: see `rest`.
            self.upstream.conn.fill(self.pool);
        } else if self.upstream.conn.has_failed() && self.pair.request.is(Phase::Tunnel) {
            return Err(Fault::UpstreamClosed);
        }
        moved |= self.send_response()?;
        moved |= self.flush_client()?;
        self.end_tunnels();
        Ok(moved)
    }

    #[inline]
    fn flush_client(&mut self) -> Result<bool, Fault> {
        match self.client.flush(self.pool) {
            Flushed::Failed => Err(Fault::ClientGone),
            flushed => Ok(flushed == Flushed::Something),
        }
    }

    /// Moves what can move, once in every place, and judges the outcome.
    pub fn round(&mut self) -> Round {
        let was_outstanding = self.pair.is_outstanding();
        self.heard = false;
        let moved = match self.advance() {
            Ok(moved) => moved,
            Err(fault) => {
                self.fault = Some(fault);
                false
            }
        };
        // Something moved: the wait starts again, for what the exchange waits for now.
        if moved && !self.upstream.is_connecting() {
            let limit = wait_limit(&self.config.timeouts, self.pair.request, self.pair.response);
            *self.deadline = self.now + limit;
        }
        let again = moved && self.could_move();
        if !again {
            // What waits must not hold more than it needs; the client's side waits with the client.
            self.upstream.conn.settle(self.pool);
        }
        let (request, response) = (self.pair.request.phase(), self.pair.response.phase());
        Round {
            standing: match self.fault {
                Some(_) => Standing::Faulty,
                None if self.has_unsent() => Standing::Waiting,
                None => match verdict::settled(request, response, self.rest()) {
                    Verdict::Finish => Standing::Finished,
                    Verdict::FinishEarly => Standing::FinishedEarly,
                    Verdict::Park | Verdict::Retry | Verdict::Reply(_) | Verdict::Abort => {
                        Standing::Waiting
                    }
                },
            },
            again,
            heard: match (was_outstanding && !self.pair.is_outstanding(), self.heard) {
                (true, _) => Heard::Response,
                (false, true) => Heard::Bytes,
                (false, false) => Heard::Nothing,
            },
        }
    }

    /// Both messages have come whole, and the end of the request has not gone to a server that reads
    /// on: closing its connection would lose that.
    fn has_unsent(&self) -> bool {
        let both_came = self.pair.response.is(Phase::Done) && self.pair.request.is(Phase::Done);
        both_came && !self.upstream.conn.buffers.outbox.is_empty() && self.server_reads_on()
    }

    /// The server has neither closed nor sent what belongs to no response.
    fn server_reads_on(&self) -> bool {
        let buffers = &self.upstream.conn.buffers;
        let is_silent = buffers.input == Input::Open && buffers.inbox.is_empty();
        is_silent && !buffers.output.is_over()
    }

    /// What becomes of the rest of a request that is answered: it goes to a server that reads on. A
    /// client that knows that its connection ends may not send it any more.
    fn rest(&self) -> Rest {
        let goes_on = self.pair.after == After::NextRequest;
        match goes_on && self.server_reads_on() {
            true => Rest::Taken,
            false => Rest::Refused,
        }
    }

    /// Whether a further round could move something: not when all there is waits for a socket,
    /// which will report.
    fn could_move(&self) -> bool {
        let has_more = |half: Direction, from: &Conn<S>, to: &Conn<S>| {
            let comes = from.is_readable() && half.reads_on(to);
            let comes = comes || from.buffers.input != Input::Open;
            !half.is(Phase::Done) && (comes || !half.is_starved(from.buffers.inbox.data()))
        };
        // The request's head is all that is read ahead of the client's turn.
        let request_flows = !self.pair.request.is(Phase::Head);
        let (client, upstream) = (&*self.client, &self.upstream.conn);
        (request_flows && has_more(self.pair.request, client, upstream))
            || has_more(self.pair.response, upstream, client)
    }

    /// A direction of a tunnel is done once the end, and all before it, was written: when both are,
    /// the connections are closed.
    fn end_tunnels(&mut self) {
        let (client, upstream) = (&*self.client, &self.upstream.conn);
        let is_done = |from: &Conn<S>, to: &Conn<S>| from.is_spent() && to.buffers.output.is_over();
        if self.pair.request.is(Phase::Tunnel) && is_done(client, upstream) {
            self.pair.request = Direction::Done;
        }
        if self.pair.response.is(Phase::Tunnel) && is_done(upstream, client) {
            self.pair.response = Direction::Done;
        }
    }

    /// What a verdict about `fault` is made from.
    #[cold]
    pub fn facts(&self, fault: Fault) -> Facts {
        let request = self.pair.request.phase();
        let client_inbox = &self.client.buffers.inbox;
        let request_outstanding = request == Phase::Body
            && self.pair.request.is_starved(client_inbox.data())
            && self.upstream.conn.buffers.outbox.is_empty()
            && self.upstream.pipe_up.is_none()
            && !self.pair.awaits_continue();
        let is_not_reading =
            !self.client.buffers.outbox.is_empty() || self.upstream.pipe_down.is_some();
        Facts {
            request,
            response: self.pair.response.phase(),
            connecting: self.upstream.is_connecting(),
            sent: self.upstream.has_sent(),
            answered: self.pair.interim || !self.upstream.conn.buffers.inbox.is_empty(),
            held: request == Phase::Head || client_inbox.is_held(),
            idempotent: self.pair.intent.is_idempotent(),
            waiting_on_client: request_outstanding || is_not_reading,
            attempts_left: self.pair.tried.seen.saturating_add(1) < self.config.attempts_max
                && (fault.is_usual(self.upstream.origin()) || self.budget.allows(self.in_flight)),
        }
    }

    /// The decision about what went wrong in the last round, and what that was.
    #[cold]
    pub fn judge_fault(&self) -> Option<(Verdict, Fault)> {
        let fault = self.fault?;
        Some((verdict::verdict(&self.facts(fault), fault), fault))
    }

    /// It waits for its client, to send or to read. A tunnel waits for neither side.
    pub fn waits_for_client(&self) -> bool {
        let is_tunnel = self.pair.request.is(Phase::Tunnel) || self.pair.response.is(Phase::Tunnel);
        let facts = self.facts(Fault::ClientSlow);
        facts.waiting_on_client && !facts.connecting && !is_tunnel
    }

    /// The decision about a request whose server hangs. What has come by now is a response after
    /// all, unless the connection is not established yet: it may be part of a TLS handshake. One
    /// that has begun is not read from here: it may go through a pipe, and bytes would overtake one
    /// another.
    pub fn judge_stalled(&mut self) -> Verdict {
        if self.pair.response.is(Phase::Head) && !self.upstream.is_connecting() {
            self.upstream.conn.fill(self.pool);
        }
        verdict::verdict(&self.facts(Fault::ServerHangs), Fault::ServerHangs)
    }
}

/// The longest pause of the exchange, by what it waits for.
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
