//! The admin listener: requests about this program, answered from memory. Its connections are like
//! those of clients, with places of their own: no slot, no queue, no drain, so that it answers when
//! everything else is full or stopping. Their contents are produced as their sockets take them.

mod client;
mod report;
mod response;
mod route;
mod view;

pub use view::Surroundings;

use crate::base::table::{Key, Table};
use crate::base::time::Instant;
use crate::config::HeadLimits;
use crate::net::{Net, Ready};
use crate::proxy::client::acceptor::{Accepted, Acceptor, Arrival, Hints, Room};
use crate::proxy::client::connection::Connection;
use crate::proxy::client::heads::Heads;
use crate::proxy::client::request::RequestState;
use crate::proxy::context::LoopContext;
use crate::proxy::exchange::Exchanges;
use crate::proxy::kinds::{AdminKey, AdminKind, AdminListenerKind, Next};
use client::{AdminClient, Step};
use std::time::Duration;

/// Connections at a time. One more takes the place of one that waits, see [`Admin::make_room`].
pub const PLACES: usize = 16;

/// A connection on which a request or a response has not moved for so long gives its place to one
/// more.
const STALLED: Duration = Duration::from_secs(1);

/// The admin listener and its connections.
#[derive(Debug)]
pub struct Admin<N: Net> {
    acceptor: Acceptor<N, AdminListenerKind>,
    /// A connection may be waiting. Kept apart, as each turn of the loop asks for it.
    is_approached: bool,
    clients: Table<AdminKind, AdminClient<N::Socket>>,
    heads: Heads,
}

impl<N: Net> Admin<N> {
    /// Listens nowhere yet.
    pub fn new() -> Admin<N> {
        let heads = Heads::new(HeadLimits::default());
        let acceptor = Acceptor::new(Hints::ADMIN);
        Admin { acceptor, is_approached: true, clients: Table::new(), heads }
    }

    /// The accepting side.
    pub fn acceptor(&mut self) -> &mut Acceptor<N, AdminListenerKind> {
        &mut self.acceptor
    }

    /// Connections may be waiting at the listener.
    pub fn mark_listener(&mut self, key: Key<AdminListenerKind>) {
        self.is_approached = true;
        self.acceptor.mark(key);
    }

    /// Remembers what the kernel reported of a connection, and has it stepped.
    pub fn mark(&mut self, cx: &mut LoopContext<N>, key: AdminKey, ready: &Ready) {
        if let Some(client) = self.clients.get_mut(key) {
            client.moved = cx.now.instant;
            client.connection.mark(cx, key, ready);
        }
    }

    /// The timer's node has fired.
    pub fn timer_fired(&mut self, cx: &mut LoopContext<N>, key: AdminKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.connection.timer_fired(cx, key);
        }
    }

    /// Its connections, to look at.
    pub fn connections(&self) -> impl Iterator<Item = &Connection<N::Socket>> {
        self.clients.iter().map(|(_, client)| &client.connection)
    }

    /// When to look again for connections, if that has to wait.
    pub fn paused_until(&self) -> Option<Instant> {
        self.acceptor.paused_until()
    }

    /// Whether accepting now could bring a connection.
    pub fn can_accept(&self, now: Instant) -> bool {
        self.acceptor.can_accept(self.room(), now)
    }

    fn room(&self) -> Room {
        Room::beside(self.clients.len(), PLACES)
    }

    /// Whether a connection may be waiting.
    #[inline]
    pub fn is_approached(&self) -> bool {
        self.is_approached
    }

    /// Accepts what waits, up to the number of places.
    pub fn accept(&mut self, exchanges: &mut Exchanges<N>) {
        self.accept_some(exchanges);
        self.is_approached = self.acceptor.is_approached();
    }

    fn accept_some(&mut self, exchanges: &mut Exchanges<N>) {
        for _ in 0..PLACES {
            if self.room() == Room::None && self.acceptor.has_pending_accept() {
                self.make_room(exchanges);
            }
            let room = self.room();
            let Exchanges { context, upstreams, .. } = exchanges;
            match self.acceptor.next(context, room, |cx| upstreams.drop_idle(cx)) {
                Arrival::Admitted(accepted) => self.admit(exchanges, accepted),
                Arrival::Again => {}
                Arrival::Nothing => return,
            }
        }
    }

    fn admit(&mut self, exchanges: &mut Exchanges<N>, accepted: Accepted<N::Socket>) {
        let cx = &mut exchanges.context;
        let key = self.clients.insert(AdminClient::accepted(cx, accepted));
        let client = self.clients.get_mut(key).expect("it was inserted just now");
        client.connection.wake(cx, key);
    }

    /// One more connection waits: the one that has waited longest for a request gives up its place,
    /// else the one on which nothing has moved for the longest time, [`STALLED`] at least. A client
    /// that does not read its response, or does not end its request, so cannot keep others out.
    fn make_room(&mut self, exchanges: &mut Exchanges<N>) {
        let now = exchanges.context.now.instant;
        if self.acceptor.is_paused(now) {
            return;
        }
        let waits = |client: &AdminClient<N::Socket>| match client.connection.request.state {
            RequestState::Idle | RequestState::Lingering { .. } => true,
            RequestState::Head | RequestState::FlushingResponse(_) => client.moved + STALLED <= now,
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::CollectingBody
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::Paired(_) => false,
        };
        let is_idle =
            |client: &AdminClient<N::Socket>| client.connection.request.state == RequestState::Idle;
        let candidates = self.clients.iter().filter(|(_, client)| {
            // One that is scheduled may have sent its request.
            !client.connection.is_scheduled() && waits(client)
        });
        let longest = candidates.min_by_key(|(_, client)| (!is_idle(client), client.moved));
        match longest.map(|(key, _)| key) {
            Some(key) => self.close(exchanges, key),
            None => self.acceptor.pause(now),
        }
    }

    fn close(&mut self, exchanges: &mut Exchanges<N>, key: AdminKey) {
        if let Some(mut client) = self.clients.remove(key) {
            client.connection.end(&mut exchanges.context);
            self.acceptor.resume();
        }
    }

    /// Lets one connection do what it can.
    pub fn step(
        &mut self,
        exchanges: &mut Exchanges<N>,
        surroundings: &Surroundings<'_, N>,
        key: AdminKey,
    ) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.connection.begin_step();
        let heads = &mut self.heads;
        match (Step { client, exchanges, surroundings, heads, key }).run() {
            Next::Again | Next::Yield | Next::Defer => {
                client.connection.wake_later(&mut exchanges.context, key);
            }
            Next::Park => {}
            Next::Gone => self.close(exchanges, key),
        }
    }
}
