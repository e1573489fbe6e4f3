//! Answering clients from here: redirects, and what they are told when they cannot be served.

use crate::config::Mode;
use crate::http::head::{self, Method, Version};
use crate::http::reply::{self, Reply};
use crate::net::Net;
use crate::observe::{Outcome, ProxyError, Record};
use crate::proxy::client::ClientState;
use crate::proxy::client::answer::Answer;
use crate::proxy::exchange::After;
use crate::proxy::exchange::plan::Plan;
use crate::proxy::upstream::Unavailable;
use crate::proxy::{ClientKey, Next, Proxy};

/// What `Retry-After` says: about the time a server that came back needs to be noticed.
const RETRY_AFTER_SECONDS: u32 = 1;

impl<N: Net> Proxy<N> {
    /// Answers with the chosen server's address: nothing is proxied, no slot is taken.
    pub(in crate::proxy) fn redirect(&mut self, key: ClientKey, plan: &Plan) -> Next {
        let mut record = Record { notes: self.note(key), ..self.record(key) };
        let Some(backend) = self.cluster.pick(&[], plan.hash, self.now.instant) else {
            let full = self.cluster.has_full();
            let none = if full { Unavailable::AllFull } else { Unavailable::NoBackend };
            return self.answer(key, Some(plan), self.unavailable_answer(none), record);
        };
        if let Some(notes) = &mut record.notes {
            self.note_choice(notes, backend, &[], plan.hash);
        }
        // Nothing stays in flight, but turns and requests are counted.
        let probes_are_due = self.cluster.began(backend, self.now.instant);
        self.cluster.ended(backend);
        if probes_are_due {
            self.probe_all();
        }
        let usual = match plan.method {
            Method::Get | Method::Head => 301,
            Method::Post
            | Method::Put
            | Method::Delete
            | Method::Connect
            | Method::Options
            | Method::Trace
            | Method::Other => 308,
        };
        let answer = Answer {
            status: self.config.redirect_status.unwrap_or(usual),
            reason: "another server has what was asked for; its address is in Location",
            cause: ProxyError::InternalResponse,
            location: Some(backend),
        };
        self.answer(key, Some(plan), answer, record)
    }

    /// Answers an OPTIONS or TRACE request that has been forwarded as often as it may. A TRACE is
    /// not reflected: what it would show is what clients must not see, such as cookies.
    pub(in crate::proxy) fn answer_max_forwards(&mut self, key: ClientKey, plan: &Plan) -> Next {
        let record = Record { notes: self.note(key), ..self.record(key) };
        let answer = if plan.method == Method::Trace {
            Answer::local(501, "TRACE is not answered here, only forwarded", ProxyError::Request)
        } else {
            Answer::local(
                200,
                "the request ends here: its Max-Forwards is 0",
                ProxyError::InternalResponse,
            )
        };
        self.answer(key, Some(plan), answer, record)
    }

    /// What is said when there is no upstream for a request.
    pub(in crate::proxy) fn unavailable_answer(&self, unavailable: Unavailable) -> Answer {
        match unavailable {
            Unavailable::NoBackend => {
                let reason = "no server is up to take the request; trying again soon may help";
                Answer::local(self.config.all_down_status, reason, ProxyError::Unavailable)
            }
            Unavailable::AllFull => {
                let reason = "every server has as many requests as it may; trying again may help";
                Answer::local(503, reason, ProxyError::Limit)
            }
            Unavailable::NoDescriptor => {
                let reason =
                    "the load balancer has no free descriptor or port; trying again may help";
                Answer::local(503, reason, ProxyError::Internal)
            }
        }
    }

    /// Answers in the server's stead; the connection stays when the request can be skipped.
    pub(in crate::proxy) fn answer(
        &mut self,
        key: ClientKey,
        plan: Option<&Plan>,
        answer: Answer,
        mut record: Record,
    ) -> Next {
        if self.config.mode == Mode::Tcp {
            return self.dismiss(key);
        }
        let request_id = record.notes.as_ref().map_or_else(|| self.request_id(), |notes| notes.id);
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        let last = client.is_at_its_last(self.config.keep_alive_requests, &self.context);
        let inbox = &mut client.conn.buffers.inbox;
        if inbox.is_held() {
            inbox.rewind();
            inbox.release();
        }
        let skippable = plan.filter(|plan| {
            plan.body.is_ended() && plan.keep_alive && inbox.data().len() >= plan.head_bytes
        });
        let stays = skippable.is_some() && !last;
        let location = answer.location.zip(plan).map(|(backend, Plan { target, .. })| {
            let authority = self.cluster.name(backend).as_bytes();
            let [lead, path] = target.after_authority(inbox.data());
            [authority, lead, path]
        });
        let again = answer.status == 503 || answer.cause == ProxyError::Unavailable;
        let reply = Reply {
            status: answer.status,
            sentence: answer.reason,
            date: &self.context.date,
            error: answer.cause.name(),
            request_id,
            retry_after: again.then_some(RETRY_AFTER_SECONDS),
            location,
            close: !stays,
            keep_alive: stays && plan.is_some_and(|plan| plan.version == Version::Http10),
            // Without a plan what came is all there is to go by.
            head_only: plan.map_or_else(
                || head::is_head_request(inbox.data()),
                |plan| plan.method == Method::Head,
            ),
            page: self.error_pages.get(&answer.status).map(Vec::as_slice),
        };
        let out = client.conn.buffers.outbox.space(&mut self.pool);
        let Ok(written) = reply::write(&reply, out) else { return self.dismiss(key) };
        client.conn.buffers.outbox.filled(written.bytes);
        if let Some(plan) = skippable {
            client.conn.buffers.inbox.consume(plan.head_bytes);
        }
        client.state =
            ClientState::FlushingResponse(if stays { After::NextRequest } else { After::Linger });
        client.deadline = self.now.instant + self.config.timeouts.idle;
        let ip = client.ip;
        record.status = answer.status;
        record.response_bytes = written.page_bytes as u64;
        record.outcome = Outcome::Local(answer.cause);
        // What is no error needs no excuse: each redirect would give the same.
        if let Some(notes) =
            record.notes.as_mut().filter(|_| answer.cause != ProxyError::InternalResponse)
        {
            notes.reason = answer.reason;
        }
        self.log(ip, &record);
        Next::Again
    }

    /// The same where the rest of the client's bytes cannot be trusted or used.
    pub(in crate::proxy) fn refuse(&mut self, key: ClientKey, answer: Answer) -> Next {
        let record = Record { notes: self.note(key), ..self.record(key) };
        self.answer(key, None, answer, record)
    }

    /// The same for what never became a request, so that it has not waited for a slot.
    pub(in crate::proxy) fn refuse_head(&mut self, key: ClientKey, answer: Answer) -> Next {
        let record = self.record(key);
        let record = Record { notes: self.note(key), admitted: record.arrived, ..record };
        self.answer(key, None, answer, record)
    }
}
