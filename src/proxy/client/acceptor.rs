//! Accepting connections: from which listener, how many in a turn, and when not.

use super::listener::{Listener, ListenerSettings};
use crate::base::reason::reason;
use crate::base::table::{Key, Kind, Table};
use crate::base::time::Instant;
use crate::net::{self, Net};
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::ListenerKind;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// How long accepting pauses when the machine has no descriptor left and none comes free here.
const PAUSE: Duration = Duration::from_millis(100);

/// How often the pause is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted<S> {
    pub socket: S,
    pub peer: SocketAddr,
    pub settings: ListenerSettings,
}

/// The outcome of an [`Acceptor::accept`].
#[derive(Debug)]
pub enum Accept<S> {
    Connection(Accepted<S>),
    /// That connection was gone already; the next one may be there.
    TryAgain,
    /// No connection waits.
    Nothing,
    /// The machine has no descriptor or memory left.
    Shortage(io::Error),
    /// The system refused for another reason.
    Failed(io::Error),
}

/// The accepting side of the listeners of one kind.
#[derive(Debug)]
pub struct Acceptor<N: Net, K: Kind = ListenerKind> {
    /// Empty once the program is ending.
    listeners: Table<K, Listener<N::Listener>>,
    /// Not before this: no descriptor was left, or no client could make room.
    paused_until: Option<Instant>,
    reported_at: Option<Instant>,
    /// Accepted while every place was taken: the proof that a client waits, which the readiness of
    /// a listener is not.
    pending: Option<Accepted<N::Socket>>,
}

impl<N: Net, K: Kind> Acceptor<N, K> {
    /// Accepts from nowhere yet.
    pub fn new() -> Acceptor<N, K> {
        Acceptor { listeners: Table::new(), paused_until: None, reported_at: None, pending: None }
    }

    /// Adds a listener and has the kernel report its connections.
    ///
    /// Errors: the system's, such as no room for another watch.
    pub fn listen(
        &mut self,
        net: &mut N,
        socket: N::Listener,
        settings: ListenerSettings,
    ) -> io::Result<()> {
        let key = self.listeners.insert(Listener { socket, settings, readable: true });
        let listener = self.listeners.get_mut(key).expect("it was inserted just now");
        net.listen(&mut listener.socket, key.into())
    }

    /// Connections may be waiting at this listener.
    pub fn mark(&mut self, key: Key<K>) {
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.readable = true;
        }
    }

    /// A descriptor or a place has come free.
    pub fn resume(&mut self) {
        self.paused_until = None;
    }

    /// Nothing is accepted for a while.
    pub fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + PAUSE);
    }

    /// The pause is not over.
    pub fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    /// When to look again, if it is paused.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until.filter(|_| !self.listeners.is_empty())
    }

    /// A client was accepted and has no place yet.
    pub fn has_pending_accept(&self) -> bool {
        self.pending.is_some()
    }

    /// Keeps a client that has no place yet.
    pub fn hold(&mut self, accepted: Accepted<N::Socket>) {
        assert!(self.pending.is_none(), "nothing is accepted while a client waits for a place");
        self.pending = Some(accepted);
    }

    /// The client that waits for a place.
    pub fn take_pending(&mut self) -> Option<Accepted<N::Socket>> {
        self.pending.take()
    }

    /// Whether a connection may be waiting in the kernel.
    pub fn is_readable(&self) -> bool {
        self.listeners.iter().any(|(_, listener)| listener.readable)
    }

    /// Where it accepts from.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().map(|(_, listener)| listener.settings.address)
    }

    /// Closes every listener: connections from here on are refused by the kernel.
    pub fn close(&mut self) {
        self.listeners = Table::new();
    }

    /// One connection from the first listener that may have one.
    pub fn accept(&mut self, net: &mut N) -> Accept<N::Socket> {
        let readable = self.listeners.iter().find(|(_, listener)| listener.readable);
        let Some((key, _)) = readable else { return Accept::Nothing };
        let listener = self.listeners.get_mut(key).expect("it was found just now");
        match net.accept(&mut listener.socket) {
            Ok((socket, peer)) => {
                let settings = listener.settings;
                Accept::Connection(Accepted { socket, peer, settings })
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    listener.readable = false;
                    Accept::TryAgain
                }
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => Accept::TryAgain,
                _ if net::is_shortage(&error) => Accept::Shortage(error),
                _ => Accept::Failed(error),
            },
        }
    }

    /// Pauses because of `error`, and reports it once, then every [`REPORT_INTERVAL`].
    pub fn pause_for(&mut self, cx: &mut LoopContext<N>, error: &io::Error, hint: &str) {
        let now = cx.now.instant;
        self.pause(now);
        if self.reported_at.is_none_or(|at| now.since(at) >= REPORT_INTERVAL) {
            self.reported_at = Some(now);
            cx.logs.event(format_args!("cannot accept connections ({}); {hint}", reason(error)));
        }
    }
}
