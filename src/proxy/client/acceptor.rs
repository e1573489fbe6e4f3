//! Accepting connections: from which listener, how many in a turn, and when not.

use super::listener::{Listener, ListenerSettings};
use crate::base::address::Address;
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
    /// None of a unix socket's client.
    pub peer: Option<SocketAddr>,
    pub settings: ListenerSettings,
}

/// Whether one more connection has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Left,
    /// Every place is taken.
    None,
}

impl Room {
    /// The room beside `taken` of so many places.
    pub fn beside(taken: usize, places: usize) -> Room {
        if taken < places { Room::Left } else { Room::None }
    }
}

/// The outcome of an [`Acceptor::next`].
#[derive(Debug)]
pub enum Arrival<S> {
    /// It has a place.
    Admitted(Accepted<S>),
    /// Ask again: the next one may be there.
    Again,
    /// None waits, or accepting is paused.
    Nothing,
}

/// What a pause is reported with.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    /// The machine has no descriptor or memory left.
    pub shortage: &'static str,
    /// The system refused for another reason.
    pub failure: &'static str,
}

impl Hints {
    /// For the listeners of clients.
    pub const CLIENTS: Hints = Hints {
        shortage: "raise the open-file limit (ulimit -n) or lower -N; waiting for connections to end",
        failure: "trying again every 0.1 s",
    };

    /// For the admin listener.
    pub const ADMIN: Hints = Hints {
        shortage: "the admin listener tries again every 0.1 s",
        failure: "the admin listener tries again every 0.1 s",
    };
}

/// What the kernel had at the listeners.
#[derive(Debug)]
enum Accept<S> {
    Connection(Accepted<S>),
    /// That connection was gone already; the next one may be there.
    TryAgain,
    Nothing,
    Shortage(io::Error),
    Failed(io::Error),
}

/// The accepting side of the listeners of one kind.
#[derive(Debug)]
pub struct Acceptor<N: Net, K: Kind = ListenerKind> {
    /// Empty once the program is ending.
    listeners: Table<K, Listener<N::Listener>>,
    /// A connection may be waiting at one of them.
    is_readable: bool,
    /// Not before this: no descriptor was left, or no client could make room.
    paused_until: Option<Instant>,
    reported_at: Option<Instant>,
    /// Accepted while every place was taken: the proof that a client waits, which the readiness of
    /// a listener is not.
    pending: Option<Accepted<N::Socket>>,
    hints: Hints,
}

impl<N: Net, K: Kind> Acceptor<N, K> {
    /// Accepts from nowhere yet.
    pub fn new(hints: Hints) -> Acceptor<N, K> {
        Acceptor {
            listeners: Table::new(),
            is_readable: false,
            paused_until: None,
            reported_at: None,
            pending: None,
            hints,
        }
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
        let address = net.address(&socket);
        let key = self.listeners.insert(Listener { socket, address, settings, readable: true });
        self.is_readable = true;
        let listener = self.listeners.get_mut(key).expect("it was inserted just now");
        net.listen(&mut listener.socket, key.into())
    }

    /// Connections may be waiting at this listener.
    pub fn mark(&mut self, key: Key<K>) {
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.readable = true;
            self.is_readable = true;
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

    /// A client may be waiting, in the kernel or accepted without a place.
    #[inline]
    pub fn is_approached(&self) -> bool {
        self.is_readable || self.has_pending_accept()
    }

    /// Whether [`Acceptor::next`] could bring a connection.
    pub fn can_accept(&self, room: Room, now: Instant) -> bool {
        match self.pending {
            Some(_) => room == Room::Left,
            None => self.is_readable() && !self.is_paused(now),
        }
    }

    /// The next connection. One that has no place is held, as the proof that a client waits. When
    /// the machine has no descriptor left, `free_one` may close a connection worth less than a new
    /// one; if it does not, accepting pauses.
    pub fn next(
        &mut self,
        cx: &mut LoopContext<N>,
        room: Room,
        free_one: impl FnOnce(&mut LoopContext<N>) -> bool,
    ) -> Arrival<N::Socket> {
        if !self.can_accept(room, cx.now.instant) {
            return Arrival::Nothing;
        }
        if let Some(accepted) = self.pending.take() {
            return Arrival::Admitted(accepted);
        }
        self.resume();
        match (self.accept(&mut cx.net), room) {
            (Accept::Connection(accepted), Room::Left) => return Arrival::Admitted(accepted),
            (Accept::Connection(accepted), Room::None) => self.pending = Some(accepted),
            (Accept::Nothing, _) => return Arrival::Nothing,
            (Accept::TryAgain, _) => {}
            (Accept::Shortage(error), _) => {
                if !free_one(cx) {
                    self.pause_for(cx, &error, self.hints.shortage);
                }
            }
            (Accept::Failed(error), _) => self.pause_for(cx, &error, self.hints.failure),
        }
        Arrival::Again
    }

    /// Whether a connection may be waiting in the kernel.
    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// Where it accepts from.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().filter_map(|(_, listener)| listener.address.as_ref())
    }

    /// The listening sockets.
    pub fn listeners(&self) -> impl Iterator<Item = &N::Listener> {
        self.listeners.iter().map(|(_, listener)| &listener.socket)
    }

    /// Has `act` done with each listening socket.
    pub fn each_listener(&mut self, mut act: impl FnMut(&mut N::Listener)) {
        for key in self.listeners.keys() {
            if let Some(listener) = self.listeners.get_mut(key) {
                act(&mut listener.socket);
            }
        }
    }

    /// Closes every listener: connections from here on are refused by the kernel, unless another
    /// process has the socket as well.
    pub fn close(&mut self, net: &mut N) {
        for key in self.listeners.keys() {
            if let Some(mut listener) = self.listeners.remove(key) {
                net.ignore(&mut listener.socket);
            }
        }
        self.is_readable = false;
    }

    /// One connection from the first listener that may have one.
    fn accept(&mut self, net: &mut N) -> Accept<N::Socket> {
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
                    self.is_readable = self.listeners.iter().any(|(_, it)| it.readable);
                    Accept::TryAgain
                }
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => Accept::TryAgain,
                _ if net::is_shortage(&error) => Accept::Shortage(error),
                _ => Accept::Failed(error),
            },
        }
    }

    /// Pauses because of `error`, and reports it once, then every [`REPORT_INTERVAL`].
    fn pause_for(&mut self, cx: &mut LoopContext<N>, error: &io::Error, hint: &'static str) {
        let now = cx.now.instant;
        self.pause(now);
        if self.reported_at.is_none_or(|at| now.since(at) >= REPORT_INTERVAL) {
            self.reported_at = Some(now);
            cx.logs.event(format_args!("cannot accept connections ({}); {hint}", reason(error)));
        }
    }
}
