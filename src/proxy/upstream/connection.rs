//! One connection to a backend: what it is doing, and for which pair.

use super::starvation::Origin;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::net::Socket;
use crate::proxy::conn::Conn;
use crate::proxy::conn::pipes::Lent;
use crate::proxy::kinds::{ClientKey, PairKey};
use std::io;
use std::net::SocketAddr;

/// What a connection to a backend is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamState {
    /// Being established for this pair.
    Connecting(PairKey),
    /// Established, and lent to a pair.
    Busy {
        pair: PairKey,
        /// It has served an exchange before this one: the server may close it at any time.
        reused: bool,
        /// A byte of the pair's request was written.
        request_sent: bool,
    },
    /// In the pool of its backend.
    Idle {
        /// When it is closed.
        deadline: Instant,
    },
    /// Waits for the next request of the client it belongs to, and is closed with that client.
    Owned { client: ClientKey, backend: BackendId },
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
    pub(super) address: SocketAddr,
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
            UpstreamState::Connecting(pair) | UpstreamState::Busy { pair, .. } => Some(pair),
            UpstreamState::Idle { .. } | UpstreamState::Owned { .. } => None,
        }
    }

    /// The server takes all further requests on it for the user's who has just authenticated.
    pub fn mark_authenticated(&mut self) {
        self.is_authenticated = true;
    }

    /// Where it leads to: one of the backend's addresses, unless its name has changed since.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What wakes an idle one at its deadline.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// It is in the run queue.
    pub fn is_scheduled(&self) -> bool {
        self.scheduled
    }

    /// It is not established yet.
    pub fn is_connecting(&self) -> bool {
        matches!(self.state, UpstreamState::Connecting(_))
    }

    /// It has served an exchange before this one.
    pub fn is_reused(&self) -> bool {
        matches!(self.state, UpstreamState::Busy { reused: true, .. })
    }

    /// The same, as it matters to the server's threads.
    pub fn origin(&self) -> Origin {
        if self.is_reused() { Origin::Pooled } else { Origin::New }
    }

    /// A byte of the pair's request was written.
    pub fn has_sent(&self) -> bool {
        matches!(self.state, UpstreamState::Busy { request_sent: true, .. })
    }

    /// A byte of the pair's request was written now.
    pub fn mark_sent(&mut self) {
        match &mut self.state {
            UpstreamState::Busy { request_sent, .. } => *request_sent = true,
            UpstreamState::Connecting(_)
            | UpstreamState::Idle { .. }
            | UpstreamState::Owned { .. } => {
                panic!("a request is written to an established connection of its pair")
            }
        }
    }

    /// Whether the connect is done by now; false: not yet.
    ///
    /// Errors: why it failed.
    pub fn finish_connect(&mut self) -> io::Result<bool> {
        let UpstreamState::Connecting(pair) = self.state else { return Ok(true) };
        let established = self.conn.finish_connect()?;
        if established {
            self.state = UpstreamState::Busy { pair, reused: false, request_sent: false };
        }
        Ok(established)
    }
}
