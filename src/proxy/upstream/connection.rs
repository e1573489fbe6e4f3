//! One connection to a backend: what it is doing, and for which pair.

use super::reuse::IdleSince;
use super::starvation::Origin;
use crate::base::address::Address;
use crate::base::backend_id::BackendId;
use crate::base::buffer::Pool;
use crate::base::connect_fault::{ConnectFault, HandshakeFault};
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::TlsServer;
use crate::http::keep_alive::KeepAlive;
use crate::net::{self, Handshake, HandshakeError, Socket};
use crate::proxy::conn::handshakes::HandshakeSteps;
use crate::proxy::conn::pipes::Lent;
use crate::proxy::conn::{Conn, Flushed};
use crate::proxy::kinds::{ClientKey, PairKey};
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// What was written to a connection for its pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Nothing,
    /// Not all of the PROXY header that goes first; the rest is in the outbox.
    PartOfHeader,
    /// A byte of the pair's request.
    Request,
}

/// What became of the PROXY header on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderWrite {
    /// It was written before, or there is none.
    WasOut,
    /// The last of it was written now.
    Finished,
    /// The socket took no more of it.
    Unfinished,
}

/// What a connection to a backend is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamState {
    /// Being established for this pair.
    Connecting(PairKey),
    /// Established for this pair, and the TLS handshake is not complete.
    Handshake(PairKey),
    /// Established, and lent to a pair.
    Busy {
        pair: PairKey,
        /// Until this exchange; none for a new one. The server may close one that was idle at any
        /// time.
        idle: Option<IdleSince>,
        sent: Sent,
    },
    /// In the pool of its backend.
    Idle {
        backend: BackendId,
        since: IdleSince,
        /// When it is closed.
        deadline: Instant,
    },
    /// Waits for the next request of the client it belongs to, and is closed with that client.
    Owned { client: ClientKey, backend: BackendId, since: IdleSince },
}

/// A connection to a backend.
#[derive(Debug)]
pub struct Upstream<S: Socket> {
    pub conn: Conn<S>,
    /// From the client's socket to this one.
    pub pipe_up: Lent<S::Pipe>,
    /// From this socket to the client's.
    pub pipe_down: Lent<S::Pipe>,
    pub(super) state: UpstreamState,
    /// The server takes all requests on it for one user's (NTLM, Negotiate): it serves the client
    /// it served so far, and no other.
    pub(super) is_authenticated: bool,
    /// Where it leads to.
    pub(super) address: Address,
    /// How its server is verified; none in the clear.
    pub(super) tls: Option<Rc<TlsServer>>,
    /// Why the handshake has failed.
    pub(super) failure: Option<HandshakeError>,
    /// When its server's end was reported first.
    pub(super) ended_at: Option<Instant>,
    /// Responses that came whole.
    pub(super) served: u32,
    /// What the server said with the last one about how long it keeps the connection.
    pub(super) keep_alive: KeepAlive,
    pub(super) timer: Timer,
    pub(super) scheduled: bool,
}

impl<S: Socket> Upstream<S> {
    /// What it is doing.
    pub fn state(&self) -> UpstreamState {
        self.state
    }

    /// The pair it works for; none while idle.
    pub fn pair(&self) -> Option<PairKey> {
        match self.state {
            UpstreamState::Connecting(pair)
            | UpstreamState::Handshake(pair)
            | UpstreamState::Busy { pair, .. } => Some(pair),
            UpstreamState::Idle { .. } | UpstreamState::Owned { .. } => None,
        }
    }

    /// The server takes all further requests on it for the user's who has just authenticated.
    pub fn mark_authenticated(&mut self) {
        self.is_authenticated = true;
    }

    /// Where it leads to: one of the backend's addresses, unless its name has changed since.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the server says about how long it keeps the connection. Of servers that repeat how many
    /// requests they take on it, and of those that count down, the smaller number counts.
    pub fn note_keep_alive(&mut self, said: KeepAlive) {
        let left = self.keep_alive.max.map(|left| left.saturating_sub(1));
        self.keep_alive = KeepAlive { max: left.into_iter().chain(said.max).min(), ..said };
    }

    /// Since when it is idle.
    pub(super) fn idle_since(&self) -> IdleSince {
        match self.state {
            UpstreamState::Idle { since, .. } | UpstreamState::Owned { since, .. } => since,
            UpstreamState::Connecting(_)
            | UpstreamState::Handshake(_)
            | UpstreamState::Busy { .. } => {
                panic!("a connection that has a pair is not idle")
            }
        }
    }

    /// An idle one is lent to this pair.
    pub(super) fn begin(&mut self, pair: PairKey) {
        let idle = Some(self.idle_since());
        self.state = UpstreamState::Busy { pair, idle, sent: Sent::Nothing };
    }

    /// Whether what has come on an idle one is nothing: in TLS, tickets and the like come without
    /// being asked for.
    #[cold]
    pub(super) fn is_still_idle(&mut self, pool: &mut Pool) -> bool {
        if self.conn.is_secured() {
            self.conn.fill(pool);
            self.conn.settle(pool);
        }
        self.conn.is_idle()
    }

    /// What wakes an idle one at its deadline.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// It is in the run queue.
    pub fn is_scheduled(&self) -> bool {
        self.scheduled
    }

    /// It is not established yet, the TLS handshake included.
    pub fn is_connecting(&self) -> bool {
        matches!(self.state, UpstreamState::Connecting(_) | UpstreamState::Handshake(_))
    }

    /// It is connected, and the TLS handshake is not complete.
    pub fn is_in_handshake(&self) -> bool {
        matches!(self.state, UpstreamState::Handshake(_))
    }

    /// It has served an exchange before this one.
    pub fn is_reused(&self) -> bool {
        matches!(self.state, UpstreamState::Busy { idle: Some(_), .. })
    }

    /// The same, as it matters to the server's threads.
    pub fn origin(&self) -> Origin {
        if self.is_reused() { Origin::Pooled } else { Origin::New }
    }

    /// A byte of the pair's request was written.
    pub fn has_sent(&self) -> bool {
        matches!(self.state, UpstreamState::Busy { sent: Sent::Request, .. })
    }

    /// Writes what is left of the PROXY header, if anything is.
    ///
    /// Errors: why the connection took no more. No byte of the request was on it.
    pub fn finish_header(&mut self, pool: &mut Pool) -> Result<HeaderWrite, ErrorKind> {
        let UpstreamState::Busy { sent: sent @ Sent::PartOfHeader, .. } = &mut self.state else {
            return Ok(HeaderWrite::WasOut);
        };
        if self.conn.flush(pool) == Flushed::Failed {
            return Err(ErrorKind::ConnectionReset);
        }
        if !self.conn.buffers.outbox.is_empty() {
            return Ok(HeaderWrite::Unfinished);
        }
        *sent = Sent::Nothing;
        Ok(HeaderWrite::Finished)
    }

    /// A byte of the pair's request was written now.
    pub fn mark_sent(&mut self) {
        match &mut self.state {
            UpstreamState::Busy { sent, .. } => *sent = Sent::Request,
            UpstreamState::Connecting(_)
            | UpstreamState::Handshake(_)
            | UpstreamState::Idle { .. }
            | UpstreamState::Owned { .. } => {
                panic!("a request is written to an established connection of its pair")
            }
        }
    }

    /// Whether the connection is established by now, the TLS handshake included; false: not yet.
    ///
    /// Errors: why it failed.
    pub fn finish_connect(
        &mut self,
        pool: &mut Pool,
        steps: &mut HandshakeSteps,
    ) -> Result<bool, ConnectFault> {
        if let UpstreamState::Connecting(pair) = self.state {
            let connected = self.conn.finish_connect();
            if !connected.map_err(|error| ConnectFault::System(error.kind()))? {
                return Ok(false);
            }
            if !self.conn.is_secured() {
                // Nothing but a header goes into the outbox before.
                let sent = match self.conn.buffers.outbox.is_empty() {
                    true => Sent::Nothing,
                    false => Sent::PartOfHeader,
                };
                self.state = UpstreamState::Busy { pair, idle: None, sent };
                return Ok(true);
            }
            self.conn.begin_handshake();
            self.state = UpstreamState::Handshake(pair);
        }
        match self.state {
            UpstreamState::Handshake(pair) => self.shake_hands(pair, pool, steps),
            UpstreamState::Connecting(_)
            | UpstreamState::Busy { .. }
            | UpstreamState::Idle { .. }
            | UpstreamState::Owned { .. } => Ok(true),
        }
    }

    /// Writes the header that goes first, and goes on with the handshake.
    fn shake_hands(
        &mut self,
        pair: PairKey,
        pool: &mut Pool,
        steps: &mut HandshakeSteps,
    ) -> Result<bool, ConnectFault> {
        let outcome = secure(&mut self.conn, pool, steps);
        if let Err(error) = &outcome {
            self.failure = HandshakeError::find(error).cloned();
        }
        let is_complete = outcome.map_err(|error| net::connect_fault(&error))?;
        if is_complete {
            self.state = UpstreamState::Busy { pair, idle: None, sent: Sent::Nothing };
        }
        Ok(is_complete)
    }
}

/// Goes on with what comes before the first byte in TLS on a connection to a server: what is in the
/// outbox, in the clear, and then the handshake. Whether it is complete.
///
/// Errors: why it failed, a [`HandshakeError`].
pub(super) fn secure<S: Socket>(
    conn: &mut Conn<S>,
    pool: &mut Pool,
    steps: &mut HandshakeSteps,
) -> io::Result<bool> {
    if conn.has_failed() || conn.flush_clear(pool) == Flushed::Failed {
        return Err(HandshakeError::of(HandshakeFault::Closed).into());
    }
    let waits = !conn.is_readable() || !conn.is_writable();
    if waits || !conn.buffers.outbox.is_empty() {
        return Ok(false);
    }
    match conn.handshake(steps).map_err(|error| HandshakeError::of_step(&error))? {
        Handshake::Complete => Ok(true),
        Handshake::WantsRead | Handshake::WantsWrite => Ok(false),
        Handshake::NotTls => Err(HandshakeError::of(HandshakeFault::NotTls).into()),
    }
}
