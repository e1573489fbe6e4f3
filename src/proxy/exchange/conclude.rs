//! How requests end. An attempt ends in [`Exchanges::end_attempt`], which gives the health evidence
//! and the upstream back; a request ends in [`Exchanges::conclude`], which frees its slot or its
//! place in the queue and writes its log line. There is no other end.

use super::pair::{Direction, Pair, Place};
use super::verdict::Fault;
use super::{Client, Exchanges};
use crate::base::backend_id::BackendId;
use crate::http::body::Body;
use crate::http::forward::BodyTransform;
use crate::http::reply::Content;
use crate::net::Net;
use crate::observe::{Outcome, ProxyError, Record};
use crate::proxy::client::admission::Admission;
use crate::proxy::client::answer::Answer;
use crate::proxy::client::listener::Service;
use crate::proxy::client::plan::Plan;
use crate::proxy::client::request::{After, RequestState};
use crate::proxy::client::{LocalAnswer, Origin};
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{ClientKey, Next, PairKey};
use crate::proxy::upstream::Served;
use crate::proxy::upstream::acquire::Unavailable;

/// Where else a client is to ask.
#[derive(Clone, Copy, Debug)]
pub(super) enum Location {
    Backend(BackendId),
    /// The same host, in TLS on this port.
    Tls {
        port: u16,
    },
}

/// What an answer has beside its status and its page.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extra<'a> {
    Nothing,
    Location(Location),
    /// A file in place of the page.
    File(&'a [u8]),
}

impl<N: Net> Exchanges<N> {
    /// The end of an attempt, which leaves its client with only the slot, if it has one.
    pub(super) fn end_attempt(
        &mut self,
        client: Client<'_, N>,
        key: PairKey,
        reusable: bool,
    ) -> Pair {
        self.settle_attempt(client, key, reusable);
        self.pairs.remove(key).expect("it was settled just now")
    }

    /// What an attempt says about the backend is taken in, and its upstream is released.
    fn settle_attempt(&mut self, client: Client<'_, N>, key: PairKey, reusable: bool) {
        let pair = self.pairs.get(key).expect("a paired client's pair is there");
        let cx = &mut self.context;
        if pair.is_outstanding() {
            let upstream = self.upstreams.get(pair.upstream);
            let origin = upstream.expect("a pair's upstream is there").origin();
            let sent = pair.record.begun;
            self.upstreams.request_abandoned(cx, pair.backend, origin, sent);
        }
        if let Some(answered) = pair.record.answered {
            let (status, sent) = (pair.record.status, pair.record.begun);
            let served = Served { status, client: client.info.peer(), sent, answered };
            self.upstreams.attempt_answered(cx, pair.backend, &served);
        }
        if let Some(counters) = self.upstreams.counters(pair.backend) {
            counters.attempt_ended(&pair.record, cx.time);
        }
        let upstream = (pair.upstream, pair.backend);
        // After an interim response the client may have held up the head of the final one.
        let answered = match pair.interim {
            true => pair.record.answered.map(|_| pair.record.begun),
            false => pair.record.answered,
        };
        let answered = answered.filter(|_| reusable);
        client.keep_upstream(self.upstreams.release(cx, upstream, pair.client, answered));
        client.request.state = match pair.place {
            Place::Slot => RequestState::Admitted,
            Place::Tunnel => {
                self.admission.leave_tunnel();
                RequestState::FlushingResponse(After::Close)
            }
        };
    }

    /// The one end of every request, answered here or by a server: its slot or its place in the
    /// queue comes free, it is logged, and the client goes on in state `then`.
    fn conclude(&mut self, client: Client<'_, N>, record: &mut Record, then: RequestState) {
        let (cx, admission) = (&mut self.context, &mut self.admission);
        Self::conclude_record(cx, admission, client, record, then);
    }

    /// The same for a record that is still in its table.
    fn conclude_record(
        cx: &mut LoopContext<N>,
        admission: &mut Admission,
        client: Client<'_, N>,
        record: &mut Record,
        then: RequestState,
    ) {
        match client.request.state {
            RequestState::WaitingForSlot(line) => admission.leave(line),
            RequestState::Admitted => admission.release(),
            RequestState::Paired(_) => panic!("the attempt ends before its request"),
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::Idle
            | RequestState::Head
            | RequestState::CollectingBody
            | RequestState::AwaitingFile(_)
            | RequestState::FlushingResponse(_)
            | RequestState::Lingering { .. } => {}
        }
        client.request.state = then;
        let second = cx.time.second;
        if let Some(counters) = cx.counters() {
            counters.request_ended(record, second);
        }
        cx.logs.request(&cx.config, cx.now, client.ip(), record);
    }

    /// The exchange is complete: the upstream to the pool, the client to what follows.
    pub(super) fn finish(&mut self, client: Client<'_, N>, key: PairKey) -> Next {
        let pair = self.pairs.get(key).expect("a paired client's pair is there");
        self.settle_attempt(client, key, pair.upstream_stays);
        let pair = self.pairs.get_mut(key).expect("it was settled just now");
        let then = RequestState::FlushingResponse(pair.after);
        let (cx, admission) = (&mut self.context, &mut self.admission);
        Self::conclude_record(cx, admission, client, &mut pair.record, then);
        self.pairs.discard(key);
        Next::Again
    }

    /// The response is complete and the request is not: the client gets the response, and neither
    /// connection is used again.
    #[cold]
    pub(super) fn finish_early(&mut self, client: Client<'_, N>, key: PairKey) -> Next {
        let mut ended = self.end_attempt(client, key, false);
        self.conclude(client, &mut ended.record, RequestState::FlushingResponse(After::Linger));
        Next::Again
    }

    /// Cuts the exchange off. Where the framing shows the client that something is missing it gets
    /// what has come and an orderly end; where it does not, or the client is gone, a reset.
    #[cold]
    pub(super) fn abort(
        &mut self,
        client: Client<'_, N>,
        key: PairKey,
        fault: Option<Fault>,
    ) -> Next {
        let aborted = self.pairs.get(key).expect("a paired client's pair is there");
        if aborted.request == Direction::Tunnel {
            // Without framing only a reset shows the server that its client did not end.
            let lease = self.upstreams.lease(aborted.upstream, aborted.backend);
            lease.upstream.conn.reset_on_drop();
        }
        if let Some(counters) = self.upstreams.counters(aborted.backend) {
            let count = match fault {
                Some(
                    Fault::ClientGone
                    | Fault::ClientMalformed(_)
                    | Fault::ClientSlow
                    | Fault::TunnelsFull,
                )
                | None => &mut counters.client_aborts,
                Some(
                    Fault::UpstreamClosed
                    | Fault::UpstreamMalformed(_)
                    | Fault::NotHttp(_)
                    | Fault::ConnectFailed(_)
                    | Fault::ServerHangs
                    | Fault::Expired,
                ) => &mut counters.server_aborts,
            };
            *count += 1;
        }
        let mut ended = self.end_attempt(client, key, false);
        let by_server = matches!(
            fault,
            Some(Fault::UpstreamClosed | Fault::UpstreamMalformed(_) | Fault::NotHttp(_))
        );
        let shows = match ended.response {
            Direction::Body(Body::UntilClose) => ended.transform == BodyTransform::Chunk,
            Direction::Body(_) => ended.transform != BodyTransform::Unchunk,
            Direction::Head | Direction::Tunnel | Direction::Done => false,
        };
        ended.record.outcome = fault.map_or(Outcome::ClientGone, Fault::outcome);
        if let (Some(notes), Some(fault)) = (&mut ended.record.notes, fault) {
            notes.reason = fault.reason();
        }
        let then = RequestState::FlushingResponse(After::Linger);
        self.conclude(client, &mut ended.record, then);
        if by_server && shows {
            client.conn.mark_cut_off();
            return Next::Again;
        }
        client.conn.reset_on_drop();
        Next::Gone
    }

    /// Ends an established TCP session, whose server went down, by a reset in both directions.
    pub fn end_session(&mut self, client: Client<'_, N>, key: PairKey) -> Next {
        let pair = self.pairs.get(key).expect("a pair that was listed just now");
        match self.upstreams.get(pair.upstream).is_some_and(|upstream| !upstream.is_connecting()) {
            true => self.abort(client, key, Some(Fault::UpstreamClosed)),
            false => Next::Park,
        }
    }

    /// The client is gone, or cannot be watched: whatever its request holds is given back.
    pub fn abandon(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        self.give_up(key, client, Outcome::ClientGone);
        Next::Gone
    }

    /// The program ends: the client's request is cut off, by a reset where it could pass for whole.
    /// False if the client had none, or none that is not answered.
    pub fn cut_off(&mut self, key: ClientKey, client: Client<'_, N>) -> bool {
        let is_cut = match client.request.state {
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::Idle
            | RequestState::Lingering { .. } => false,
            RequestState::Head
            | RequestState::CollectingBody
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::Paired(_)
            | RequestState::FlushingResponse(_) => true,
        };
        if is_cut {
            client.conn.reset_on_drop();
        }
        self.give_up(key, client, Outcome::Stopped);
        is_cut
    }

    #[cold]
    fn give_up(&mut self, key: ClientKey, client: Client<'_, N>, outcome: Outcome) {
        let mut record = match client.request.state {
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::Idle
            | RequestState::Head => return,
            RequestState::FlushingResponse(_) | RequestState::Lingering { .. } => return,
            RequestState::CollectingBody => self.record_of_body(key, client),
            RequestState::AwaitingFile(ticket) => {
                self.challenges.leave(ticket);
                self.record_of_challenge(key, client)
            }
            RequestState::WaitingForSlot(_) | RequestState::Admitted => {
                self.retry_state(key, client).record
            }
            RequestState::Paired(pair) => self.end_attempt(client, pair, false).record,
        };
        record.outcome = outcome;
        self.conclude(client, &mut record, RequestState::FlushingResponse(After::Close));
    }

    /// What is answered when there is no upstream for a request.
    pub(super) fn unavailable_answer(&self, unavailable: Unavailable) -> Answer {
        match unavailable {
            Unavailable::NoBackend => {
                let status = self.context.config.all_down_status;
                let reason = "no server is available; please try again in a moment";
                Answer::local(status, reason, ProxyError::Unavailable)
            }
            Unavailable::AllFull | Unavailable::SessionFull(_) => {
                let reason =
                    "every server is at its connection limit; please try again in a moment";
                Answer::local(503, reason, ProxyError::Limit)
            }
            Unavailable::NoDescriptor => {
                let reason = "the load balancer has no free descriptor or port; please try again";
                Answer::local(503, reason, ProxyError::Internal)
            }
        }
    }

    /// Answers in the server's stead.
    #[cold]
    pub(super) fn answer(
        &mut self,
        client: Client<'_, N>,
        plan: Option<&Plan>,
        answer: Answer,
        record: Record,
    ) -> Next {
        self.answer_local(client, plan, answer, Extra::Nothing, record)
    }

    /// Answers with more than a page, such as where else to ask.
    pub(super) fn answer_with(
        &mut self,
        client: Client<'_, N>,
        plan: &Plan,
        answer: Answer,
        extra: Extra<'_>,
        record: Record,
    ) -> Next {
        self.answer_local(client, Some(plan), answer, extra, record)
    }

    fn answer_local(
        &mut self,
        client: Client<'_, N>,
        plan: Option<&Plan>,
        answer: Answer,
        extra: Extra<'_>,
        mut record: Record,
    ) -> Next {
        record.status = answer.status;
        record.outcome = Outcome::Local(answer.cause);
        let second = self.context.time.second;
        if let Some(counters) = self.context.counters() {
            counters.answered(answer.cause, second);
        }
        // A redirect is no error and needs no reason: each would give the same.
        if let Some(notes) =
            record.notes.as_mut().filter(|_| answer.cause != ProxyError::InternalResponse)
        {
            notes.reason = answer.reason;
        }
        let cx = &mut self.context;
        let written = match client.settings().service {
            // A session that is not HTTP has no place for an answer.
            Service::Tcp => None,
            Service::Http | Service::Redirect | Service::ToHttps { .. } | Service::Admin => {
                let id = record.notes.as_ref().map(|notes| notes.id);
                let local = LocalAnswer {
                    answer,
                    plan,
                    retry_after: self
                        .queue_speed
                        .wait_seconds(self.admission.waiting(), cx.now.instant),
                    origin: match extra {
                        Extra::Location(Location::Backend(backend)) => {
                            Some(Origin::Backend(self.upstreams.cluster().origin(backend)))
                        }
                        Extra::Location(Location::Tls { port }) => Some(Origin::Tls { port }),
                        Extra::Nothing | Extra::File(_) => None,
                    },
                    request_id: id.unwrap_or_else(|| cx.logs.request_id()),
                    content: match (extra, self.error_pages.get(&answer.status)) {
                        (Extra::File(bytes), _) => Content::File(bytes),
                        (Extra::Nothing | Extra::Location(_), Some(page)) => Content::Page(page),
                        (Extra::Nothing | Extra::Location(_), None) => Content::BuiltIn,
                    },
                };
                client.write_answer(cx, &local)
            }
        };
        let Some((after, written)) = written else {
            self.conclude(client, &mut record, RequestState::FlushingResponse(After::Close));
            return Next::Gone;
        };
        record.response_bytes = written.page_bytes as u64;
        self.conclude(client, &mut record, RequestState::FlushingResponse(after));
        client.request.deadline = self.context.now.instant + self.context.config.timeouts.idle;
        Next::Again
    }
}
