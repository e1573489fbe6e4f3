//! What becomes of a client that has more requests or connections than it may.

use super::{Client, Exchanges};
use crate::net::Net;
use crate::observe::causes::ClientLimit;
use crate::observe::{ProxyError, Record};
use crate::proxy::client::answer::Answer;
use crate::proxy::client::buckets::Admission;
use crate::proxy::client::listener::Service;
use crate::proxy::client::per_client::Quota;
use crate::proxy::client::plan::Intent;
use crate::proxy::kinds::{ClientKey, Next};

const TOO_FAST: Answer = Answer::local(
    429,
    "this client sends more requests than it may; please try again later",
    ProxyError::Denied,
);

const TOO_MANY: Answer = Answer::local(
    429,
    "this client has more connections than it may; please close one",
    ProxyError::Denied,
);

impl<N: Net> Exchanges<N> {
    /// The head of a request is complete: it is served, if its client may send one more.
    #[inline]
    pub(super) fn take_request(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        if self.per_client.limits_requests()
            && let Some(next) = self.refuse_for_rate(key, client)
        {
            return next;
        }
        match self.collects(client) {
            true => self.begin_collecting(key, client),
            false => self.seek_slot(key, client),
        }
    }

    /// A request is complete, or a session begins: the answer to a client that has sent too many.
    #[inline(never)]
    pub(super) fn refuse_for_rate(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
    ) -> Option<Next> {
        let now = self.context.now.instant;
        // One without an address has no limit of its own.
        let Admission::Refused { retry_after } = self.per_client.request(client.ip()?, now) else {
            return None;
        };
        self.count_limited(ClientLimit::Rate);
        let answer = Answer { retry_after: Some(retry_after), ..TOO_FAST };
        Some(match client.intent(&self.context, &mut self.heads, key) {
            Ok(intent) => self.refuse_client(key, client, Some(&intent), answer),
            Err(refusal) => self.refuse(key, client, refusal),
        })
    }

    /// A connection whose client is known: it counts, and a session of TCP mode, which has no head
    /// to wait for, begins.
    pub fn begin_connection(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        if let Some(next) = self.count_connection(key, client) {
            return next;
        }
        match client.settings().service {
            Service::Tcp if self.per_client.limits_requests() => {
                let refused = self.refuse_for_rate(key, client);
                refused.unwrap_or_else(|| self.seek_slot(key, client))
            }
            Service::Tcp => self.seek_slot(key, client),
            Service::Http | Service::Redirect | Service::ToHttps { .. } | Service::Admin => {
                Next::Again
            }
        }
    }

    /// Counts a connection for its client, whose address is known by now. One that is too many is
    /// answered at once, without a request.
    fn count_connection(&mut self, key: ClientKey, client: Client<'_, N>) -> Option<Next> {
        if !self.per_client.limits_connections() {
            return None;
        }
        if self.per_client.connected(client.ip()?) {
            client.quota = Quota::Taken;
            return None;
        }
        self.count_limited(ClientLimit::Connections);
        Some(self.refuse_client(key, client, None, Answer { retry_after: Some(1), ..TOO_MANY }))
    }

    /// A client's connection has ended.
    pub fn uncount_connection(&mut self, client: Client<'_, N>) {
        if let (Quota::Taken, Some(ip)) = (client.quota, client.ip()) {
            client.quota = Quota::Free;
            self.per_client.disconnected(ip);
        }
    }

    /// Connections that count for their clients.
    pub fn counted_connections(&self) -> usize {
        self.per_client.connections()
    }

    /// It never waited for a slot.
    fn refuse_client(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        intent: Option<&Intent>,
        answer: Answer,
    ) -> Next {
        let record = client.record(&mut self.context, &mut self.heads, key);
        let Record { arrived, .. } = record;
        let record = Record { ready: arrived, admitted: arrived, ..record };
        self.answer(client, intent.and_then(Intent::message), answer, record)
    }

    fn count_limited(&mut self, limit: ClientLimit) {
        if let Some(counters) = self.context.counters() {
            counters.client_limited(limit);
        }
    }
}
