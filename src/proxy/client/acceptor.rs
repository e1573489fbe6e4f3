//! The listener: how many connections are accepted, and when not.

use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::net::{self, Net};
use crate::proxy::Proxy;
use crate::proxy::client::{Client, ClientState};
use crate::proxy::conn::Conn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

/// Connections accepted per turn, so that a burst of them does not hold up those that are here.
const ACCEPTS_MAX: usize = 64;

/// How long a client has been silent at least before it gives its place to another.
const GRACE: Duration = Duration::from_secs(1);

/// Clients looked at, per accept, for one to dismiss when every place is taken.
const SWEEP: usize = 4096;

/// How long accepting pauses when the machine has no descriptor left and none comes free here.
const PAUSE: Duration = Duration::from_millis(100);

/// A failed accept after which the next one may succeed at once.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// How often the pause is told.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The accepting side.
#[derive(Debug)]
pub struct Acceptor<L, S> {
    /// None once the program is ending.
    listener: Option<L>,
    /// A connection may be waiting.
    pub readable: bool,
    /// No descriptor was left: not before this.
    paused_until: Option<Instant>,
    reported_at: Option<Instant>,
    /// Accepted, but every place is taken: the proof that somebody waits, which the readiness of
    /// the listener is not.
    pending_accept: Option<(S, SocketAddr)>,
    /// Where the search for a client to dismiss goes on.
    hand: usize,
}

impl<L, S> Acceptor<L, S> {
    /// Accepts from `listener`.
    pub fn new(listener: L) -> Acceptor<L, S> {
        Acceptor {
            listener: Some(listener),
            readable: true,
            paused_until: None,
            reported_at: None,
            pending_accept: None,
            hand: 0,
        }
    }

    /// A descriptor has come free.
    pub fn resume(&mut self) {
        self.paused_until = None;
    }

    /// When to look again, if it is paused.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until.filter(|_| self.listener.is_some())
    }

    /// Somebody waits to come in.
    pub fn has_pending_accept(&self) -> bool {
        self.pending_accept.is_some()
    }

    /// Closes it: whoever connects from here on is refused by the kernel.
    pub fn close(&mut self) {
        self.listener = None;
    }
}

impl<N: Net> Proxy<N> {
    /// Whether accepting now could bring a client.
    pub(in crate::proxy) fn can_accept(&self) -> bool {
        let acceptor = &self.acceptor;
        if acceptor.has_pending_accept() {
            return !self.is_full();
        }
        let paused = acceptor.paused_until.is_some_and(|until| until > self.now.instant);
        acceptor.listener.is_some() && acceptor.readable && !paused
    }

    fn is_full(&self) -> bool {
        self.clients.len() >= self.limits.clients_max
    }

    /// Accepts what waits, up to the limits.
    pub(in crate::proxy) fn accept(&mut self) {
        self.accept_some();
        self.context.at_capacity = self.acceptor.has_pending_accept();
    }

    fn accept_some(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            if self.is_full() && self.acceptor.has_pending_accept() {
                self.dismiss_an_idle_client();
            }
            if !self.can_accept() {
                return;
            }
            if let Some((socket, peer)) = self.acceptor.pending_accept.take() {
                self.admit_client(socket, peer);
                continue;
            }
            self.acceptor.paused_until = None;
            let Some(listener) = &mut self.acceptor.listener else { return };
            match self.net.accept(listener) {
                Ok((socket, peer)) if !self.is_full() => self.admit_client(socket, peer),
                Ok(accepted) => self.acceptor.pending_accept = Some(accepted),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.acceptor.readable = false;
                }
                // That one connection was gone already: on to the next.
                Err(error) if is_passing(error.kind()) => {}
                // Without a descriptor an idle connection to a backend is worth less than a client.
                Err(error) if net::is_shortage(&error) && self.drop_an_idle_upstream() => {}
                Err(error) => self.pause(&error),
            }
        }
    }

    fn admit_client(&mut self, socket: N::Socket, peer: SocketAddr) {
        let key = self.clients.insert(Client {
            conn: Conn::established(socket),
            state: ClientState::Idle,
            deadline: self.now.instant + self.config.timeouts.keep_alive,
            timer: Timer::new(),
            arrived: self.now.instant,
            ip: peer.ip(),
            requests: 0,
            retry_state: None,
            scheduled: false,
        });
        self.wake(key.into());
    }

    /// Somebody waits to come in where every place is taken: a client that has said nothing for a
    /// while gives its place up, as it may have to at any time (RFC 9112 §9.5). None does while all
    /// are being served; then the next answers announce a close.
    fn dismiss_an_idle_client(&mut self) {
        let now = self.now.instant;
        let silent_until = now + self.config.timeouts.keep_alive;
        let is_silent = |client: &Client<N::Socket>| {
            client.state == ClientState::Idle && client.deadline + GRACE <= silent_until
        };
        let (mut silent, mut hand) = self.clients.sweep(self.acceptor.hand, SWEEP, is_silent);
        if silent.is_none() && hand == 0 {
            // Once round: nothing else would wake us for those before the hand.
            (silent, hand) = self.clients.sweep(0, SWEEP, is_silent);
        }
        // Past the one that goes: its slot is the next newcomer's.
        self.acceptor.hand = hand;
        match silent {
            Some(key) => self.remove_client(key),
            None => self.acceptor.paused_until = Some(now + PAUSE),
        }
    }

    fn pause(&mut self, error: &std::io::Error) {
        let now = self.now.instant;
        self.acceptor.paused_until = Some(now + PAUSE);
        if self.acceptor.reported_at.is_none_or(|told| now.since(told) >= REPORT_INTERVAL) {
            self.acceptor.reported_at = Some(now);
            self.events.add(format_args!(
                "loadbalancer: cannot accept ({error}); raise the open-file limit (ulimit -n) \
                 or lower -N; waiting for connections to end"
            ));
        }
    }
}
