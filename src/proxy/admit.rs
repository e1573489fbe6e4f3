//! Who of the requests that wait goes on: those of the queue in their order, those that wait for the
//! server of their session when that has room.

use super::Proxy;
use super::client::admission;
use super::client::connection::Connection;
use super::client::request::RequestState;
use super::exchange::Exchanges;
use super::kinds::{ClientKey, ClientKind};
use crate::balance::record::Line;
use crate::base::table::Table;
use crate::net::Net;

impl<N: Net> Proxy<N> {
    /// Room goes to the requests that have waited longest.
    #[inline]
    pub(super) fn admit_waiting(&mut self) {
        if self.exchanges.admission.has_queue() {
            self.admit_from_queue();
        }
    }

    // Not inlined, so that a step without a queue saves no registers for it.
    #[inline(never)]
    fn admit_from_queue(&mut self) {
        if self.exchanges.admission.has_sessions() {
            self.admit_sessions();
        }
        while self.exchanges.admission.take_opening() {
            let clients = &self.clients;
            let first = self.exchanges.admission.next(|key| line_of(clients, key));
            let Some(key) = first else { continue };
            let client = self.clients.get_mut(key).expect("a request that waits has its client");
            client.request.state = RequestState::Admitted;
            self.exchanges.queue_speed.served(self.exchanges.context.now.instant);
            let waited = self.exchanges.context.now.instant.since(client.request.arrived);
            self.exchanges.upstreams.record().note(|| Line::Waited(waited));
            client.wake(&mut self.exchanges.context, key);
        }
        let clients = &self.clients;
        self.exchanges.admission.forget_departed(|key| line_of(clients, key));
    }

    /// Requests that wait for the server of their session go on when it has room, or is down.
    #[cold]
    fn admit_sessions(&mut self) {
        let Exchanges { admission, upstreams, context, queue_speed, .. } = &mut self.exchanges;
        let (cluster, clients) = (upstreams.cluster(), &self.clients);
        let is_admitted = |key| {
            let client = clients.get(key);
            client.is_some_and(|client| client.request.state == RequestState::Admitted)
        };
        let mut granted = Vec::new();
        admission.next_sessions(
            |backend| !cluster.keeps_waiting(backend),
            |key| line_of(clients, key),
            is_admitted,
            |key| granted.push(key),
        );
        for key in granted {
            let client = self.clients.get_mut(key).expect("a request that waits has its client");
            client.request.state = RequestState::Admitted;
            queue_speed.served(context.now.instant);
            client.wake(context, key);
        }
    }
}

/// In which line the request of this client waits for a slot; none if it does not.
fn line_of<S>(
    clients: &Table<ClientKind, Connection<S>>,
    key: ClientKey,
) -> Option<admission::Line> {
    clients.get(key)?.request.state.line()
}
