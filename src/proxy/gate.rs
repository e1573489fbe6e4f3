//! The listener: how many connections are accepted, and when not.

use super::client::{Client, ClientState};
use super::conn::Conn;
use super::{ClientKey, Proxy};
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::net::{self, Net};
use std::io::ErrorKind;
use std::time::Duration;

/// Connections accepted per turn, so that a burst of them does not hold up those that are here.
const ACCEPTS_MAX: usize = 64;

/// Clients looked at, per accept, for one to dismiss when every place is taken.
const SWEEP: usize = 4096;

/// How long accepting pauses when the machine has no descriptor left and none comes free here.
const PAUSE: Duration = Duration::from_millis(100);

/// A failed accept after which the next one may succeed at once.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

/// How often the pause is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The accepting side.
#[derive(Debug)]
pub struct Gate<L> {
    /// None once the program is ending.
    listener: Option<L>,
    /// A connection may be waiting.
    pub readable: bool,
    /// No descriptor was left: not before this.
    paused_until: Option<Instant>,
    told_at: Option<Instant>,
    /// Where the search for a client to dismiss goes on.
    hand: usize,
}

impl<L> Gate<L> {
    /// An open gate.
    pub fn new(listener: L) -> Gate<L> {
        Gate {
            listener: Some(listener),
            readable: true,
            paused_until: None,
            told_at: None,
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

    /// Closes it: whoever connects from here on is refused by the kernel.
    pub fn close(&mut self) {
        self.listener = None;
    }
}

impl<N: Net> Proxy<N> {
    /// Whether accepting now could bring a client.
    pub(super) fn can_accept(&self) -> bool {
        let gate = &self.gate;
        let paused = gate.paused_until.is_some_and(|until| until > self.now.instant);
        gate.listener.is_some() && gate.readable && !paused && !self.is_full()
    }

    /// Every place is taken and somebody waits to come in.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_full() && self.gate.readable && self.gate.listener.is_some()
    }

    fn is_full(&self) -> bool {
        self.clients.len() >= self.limits.clients_max
    }

    /// Accepts what waits, up to the limits.
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            if self.is_crowded() {
                self.dismiss_an_idle_client();
            }
            if !self.can_accept() {
                return;
            }
            self.gate.paused_until = None;
            let Some(listener) = &mut self.gate.listener else { return };
            match self.net.accept(listener) {
                Ok((socket, peer)) => {
                    let key = self.clients.insert(Client {
                        conn: Conn::established(socket),
                        state: ClientState::Idle,
                        deadline: self.now.instant + self.config.timeouts.keep_alive,
                        timer: Timer::new(),
                        arrived: self.now.instant,
                        ip: peer.ip(),
                        queued: false,
                    });
                    self.wake(key.into());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.gate.readable = false;
                }
                // That one connection was gone already: on to the next.
                Err(error) if is_passing(error.kind()) => {}
                // Without a descriptor an idle connection to a backend is worth less than a client.
                Err(error) if net::is_shortage(&error) && self.drop_an_idle_upstream() => {}
                Err(error) => self.pause(&error),
            }
        }
    }

    /// Somebody waits to come in where every place is taken: a client between two requests gives its
    /// place up, as it may at any time (RFC 9112 §9.5). None does while all are being served.
    fn dismiss_an_idle_client(&mut self) {
        let (some, hand) = self.clients.sweep(self.gate.hand, SWEEP);
        self.gate.hand = hand;
        let is_idle = |key: &ClientKey| {
            self.clients.get(*key).is_some_and(|client| client.state == ClientState::Idle)
        };
        if let Some(key) = some.into_iter().find(is_idle) {
            self.remove_client(key);
        }
    }

    fn pause(&mut self, error: &std::io::Error) {
        let now = self.now.instant;
        self.gate.paused_until = Some(now + PAUSE);
        if self.gate.told_at.is_none_or(|told| now.since(told) >= TELL_EVERY) {
            self.gate.told_at = Some(now);
            self.events.add(format_args!(
                "loadbalancer: cannot accept ({error}); raise the open-file limit (ulimit -n) \
                 or lower -N; waiting for connections to end"
            ));
        }
    }
}
