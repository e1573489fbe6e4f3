//! Requests whose body is collected before they take a slot and a server.

use super::verdict::BODY_LATE;
use super::{Client, Exchanges};
use crate::http::framing;
use crate::net::Net;
use crate::observe::{ProxyError, Record};
use crate::proxy::client::answer::Answer;
use crate::proxy::client::awaited::{Awaited, Collected};
use crate::proxy::client::collect::BodyRead;
use crate::proxy::client::connection::Connection;
use crate::proxy::client::listener::Service;
use crate::proxy::client::plan::{self, Intent};
use crate::proxy::kinds::{ClientKey, Next};

const LATE: Answer = Answer::local(408, BODY_LATE, ProxyError::Request);

impl<N: Net> Exchanges<N> {
    /// Whether the request whose head was just read may have a body to collect.
    #[inline]
    pub(super) fn collects(&self, client: &Connection<N::Socket>) -> bool {
        self.heads.last_frames_body()
            && !self.context.config.stream_requests
            && client.settings().service == Service::Http
    }

    /// The head of a request that may have a body is complete: on to a slot if enough of the body
    /// has come with it, which costs no system call.
    #[inline(never)]
    pub(super) fn begin_collecting(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        let inbox = client.conn.buffers.inbox.data();
        let head = self.heads.recall(key, inbox);
        let body = framing::request(head, self.context.config.head.fields);
        let Some(awaited) = body.ok().and_then(|body| Awaited::of(head.bytes, body)) else {
            return self.seek_slot(key, client);
        };
        // One that has sent some content waits for no leave.
        let expects_leave = plan::expects_continue(head) && inbox.len() == head.bytes;
        match awaited.look(inbox) {
            Ok(Collected::Enough) => self.seek_slot(key, client),
            _ if self.needs_no_server(key, client) => self.seek_slot(key, client),
            Err(fault) => self.refuse_body(key, client, framing::request_body(fault).into()),
            Ok(Collected::More(awaited)) => {
                let cx = &mut self.context;
                if expects_leave {
                    client.give_leave(cx);
                }
                client.begin_collecting(cx, awaited);
                Next::Again
            }
        }
    }

    /// The request is refused or answered here, so that its body is not waited for.
    fn needs_no_server(&mut self, key: ClientKey, client: Client<'_, N>) -> bool {
        match client.intent(&self.context, &mut self.heads, key) {
            Ok(Intent::Message(plan)) => {
                let is_refused = plan.upgrade && !self.admission.has_room_for_tunnel();
                is_refused || plan.max_forwards_exhausted()
            }
            Ok(Intent::Session { .. }) => false,
            Err(_) => true,
        }
    }

    /// Reads what has come of the body; on to a slot when it is enough.
    #[inline(never)]
    pub(super) fn read_body(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        match client.read_body(&mut self.context) {
            BodyRead::Incomplete(next) => next,
            BodyRead::Enough => self.seek_slot(key, client),
            BodyRead::Gone => self.abandon(key, client),
            BodyRead::Malformed(fault) => {
                self.refuse_body(key, client, framing::request_body(fault).into())
            }
        }
    }

    /// The wait for the body has lasted too long. One of unknown length may be a conversation: it
    /// goes to a server as it is.
    pub(super) fn expire_body(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        match client.request.awaited {
            Awaited::Bytes(_) => self.refuse_body(key, client, LATE),
            Awaited::End { .. } => match self.seek_slot(key, client) {
                // Not parked yet, as its timer is spent.
                Next::Park => Next::Again,
                next => next,
            },
        }
    }

    fn refuse_body(&mut self, key: ClientKey, client: Client<'_, N>, answer: Answer) -> Next {
        let record = self.record_of_body(key, client);
        self.answer(client, None, answer, record)
    }

    /// The record of a request that ends while its body is collected: it has not waited for a slot.
    pub(super) fn record_of_body(&mut self, key: ClientKey, client: Client<'_, N>) -> Record {
        let record = client.record(&mut self.context, &mut self.heads, key);
        Record { ready: record.admitted, ..record }
    }
}
