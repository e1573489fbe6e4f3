//! Accepting clients, up to the limits, and making room for them.

use super::Proxy;
use super::client::acceptor::{Accepted, Arrival, Room};
use super::client::connection::Connection;
use super::client::listener::Security;
use super::client::request::RequestState;
use super::exchange::Exchanges;
use super::kinds::Next;
use crate::net::Net;
use std::time::Duration;

/// Connections accepted per turn, so that a burst of them does not hold up those that are here.
pub(super) const ACCEPTS_MAX: usize = 64;

/// How long a client has been silent at least before it gives its place to another.
const GRACE: Duration = Duration::from_secs(1);

/// Clients looked at, per accept, for one to close when every place is taken.
const SWEEP: usize = 4096;

impl<N: Net> Proxy<N> {
    /// Whether accepting now could bring a client.
    pub(super) fn can_accept(&self) -> bool {
        self.acceptor.can_accept(self.room(), self.exchanges.context.now.instant)
    }

    fn room(&self) -> Room {
        Room::beside(self.clients.len(), self.exchanges.context.limits.clients_max)
    }

    /// Accepts what waits, up to the limits.
    #[inline]
    pub(super) fn accept(&mut self) {
        if self.acceptor.is_approached() {
            self.accept_some();
        }
        self.exchanges.context.at_capacity = self.acceptor.has_pending_accept();
    }

    #[inline(never)]
    fn accept_some(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            if self.room() == Room::None && self.acceptor.has_pending_accept() {
                self.close_an_idle_client();
            }
            let room = self.room();
            let Exchanges { context, upstreams, .. } = &mut self.exchanges;
            // Without a descriptor an idle connection to a backend is worth less than a client.
            match self.acceptor.next(context, room, |cx| upstreams.drop_idle(cx)) {
                Arrival::Admitted(accepted) => self.admit_client(accepted),
                Arrival::Again => {}
                Arrival::Nothing => return,
            }
        }
    }

    fn admit_client(&mut self, accepted: Accepted<N::Socket>) {
        let security = accepted.settings.security;
        let cx = &mut self.exchanges.context;
        if let Some(counters) = cx.counters() {
            counters.accepted += 1;
        }
        let must_name_client =
            cx.config.proxy_protocol.contains(accepted.peer.map(|peer| peer.ip()));
        let key = self.clients.insert(Connection::accepted(cx, accepted));
        let client = self.clients.get_mut(key).expect("it was inserted just now");
        client.wake(cx, key);
        if must_name_client {
            client.await_proxy_header(cx);
        } else if security == Security::Tls {
            if client.begin_handshake(cx).is_err() {
                self.close_client(key);
            }
        } else if self.exchanges.begin_connection(key, client) == Next::Gone {
            self.close_client(key);
        }
    }

    /// A client waits to come in where every place is taken: one that has sent nothing for a while, or
    /// has had its final response, gives its place up, as it may have to at any time (RFC 9112 §9.5). None does while all are
    /// being served; then the next responses announce a close.
    fn close_an_idle_client(&mut self) {
        let now = self.exchanges.context.now.instant;
        if self.acceptor.is_paused(now) {
            return;
        }
        let timeouts = &self.exchanges.context.config.timeouts;
        let (idle_until, linger_until) = (now + timeouts.keep_alive, now + timeouts.linger);
        let is_silent = |client: &Connection<N::Socket>| match client.request.state {
            // One that is scheduled may have sent its request.
            RequestState::Idle => {
                !client.is_scheduled() && client.request.deadline + GRACE <= idle_until
            }
            RequestState::Preamble => {
                !client.is_scheduled() && client.lacks_header_since(now, GRACE)
            }
            // It may be we who are behind.
            RequestState::Handshake => {
                !client.is_scheduled() && client.request.ready + GRACE <= now
            }
            RequestState::Lingering { until } => until + GRACE <= linger_until,
            RequestState::Head
            | RequestState::CollectingBody
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::Paired(_)
            | RequestState::FlushingResponse(_) => false,
        };
        let (mut silent, mut next) = self.clients.sweep(self.sweep_from, SWEEP, is_silent);
        if silent.is_none() && next == 0 {
            // Once round: nothing else would wake us for those before the start.
            (silent, next) = self.clients.sweep(0, SWEEP, is_silent);
        }
        // Past the one that goes: its slot is the next newcomer's.
        self.sweep_from = next;
        match silent {
            Some(key) => self.close_client(key),
            None => self.acceptor.pause(now),
        }
    }
}
