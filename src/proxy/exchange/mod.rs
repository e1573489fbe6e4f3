//! Where both sides meet: requests get an upstream, their bytes are moved, and they end. Everything
//! here works on one client's connection at a time, which the caller holds.

pub mod budget;
mod challenge;
mod collect;
mod conclude;
mod handshake;
pub mod judge;
mod pair;
mod per_client;
mod preamble;
pub mod pump;
mod queue;
mod redirects;
mod request_way;
mod response_way;
mod session;
mod splice;
pub mod verdict;

pub use pair::{Direction, Pair, Place};

use crate::base::table::Table;
use crate::http::head::{Method, Refusal, ResponseHead, TLS_HELLO};
use crate::net::Net;
use crate::observe::{ProxyError, Record};
use crate::proxy::client::admission::{Admission, Line};
use crate::proxy::client::answer::Answer;
use crate::proxy::client::challenges::Challenges;
use crate::proxy::client::connection::{Connection, HeadRead};
use crate::proxy::client::heads::Heads;
use crate::proxy::client::listener::Service;
use crate::proxy::client::per_client::PerClient;
use crate::proxy::client::plan::{Intent, Plan};
use crate::proxy::client::queue_speed::QueueSpeed;
use crate::proxy::client::request::RequestState;
use crate::proxy::context::{LoopContext, Phase};
use crate::proxy::kinds::{ClientKey, Next, PairKey, PairKind};
use crate::proxy::retry::{RetryState, Tried};
use crate::proxy::upstream::Upstreams;
use crate::proxy::upstream::acquire::{Acquired, Reuse, Wanted};
use budget::Budget;
use pair::Exchange;
use std::collections::HashMap;
use verdict::TUNNELS_FULL;

/// Changes of state one client may go through in one turn.
const STEPS_MAX: usize = 16;

/// Everything but the clients' connections: the surroundings, the server side, the pairs, and the
/// slots for them.
#[derive(Debug)]
pub struct Exchanges<N: Net> {
    pub context: LoopContext<N>,
    pub upstreams: Upstreams<N>,
    pub admission: Admission,
    pub queue_speed: QueueSpeed,
    pub challenges: Challenges,
    per_client: PerClient,
    pairs: Table<PairKind, Pair>,
    budget: Budget,
    heads: Heads,
    /// Storage for the heads of responses.
    response_head: ResponseHead,
    /// Pages for local answers, by status.
    error_pages: HashMap<u16, Vec<u8>>,
}

/// A client's connection with its key, for the time of a step.
pub type Client<'a, N> = &'a mut Connection<<N as Net>::Socket>;

impl<N: Net> Exchanges<N> {
    /// No pair yet.
    pub fn new(
        context: LoopContext<N>,
        upstreams: Upstreams<N>,
        error_pages: HashMap<u16, Vec<u8>>,
        seed: u64,
    ) -> Exchanges<N> {
        Exchanges {
            admission: Admission::new(context.limits.pairs_max, context.limits.tunnels_max)
                .limit_queue(context.config.queue_max),
            queue_speed: QueueSpeed::default(),
            challenges: Challenges::default(),
            per_client: PerClient::new(&context.config, seed),
            budget: Budget::new(context.config.retry_budget),
            heads: Heads::new(context.config.head),
            context,
            upstreams,
            pairs: Table::new(),
            response_head: ResponseHead::default(),
            error_pages,
        }
    }

    /// All pairs in flight, to look at.
    pub fn pairs(&self) -> &Table<PairKind, Pair> {
        &self.pairs
    }

    /// It is `now`: repeats that are no longer recent are forgotten.
    pub fn read_clock(&mut self) {
        self.context.read_clock();
        self.budget.advance(self.context.now.instant);
    }

    /// Frees what a peak has left. The surroundings come last: they give it to the system.
    pub fn trim(&mut self) {
        self.pairs.shrink();
        self.admission.shrink();
        self.upstreams.trim();
        self.context.trim();
    }

    /// Lets one client do what its request's state allows. Each turn of the loop is a change of
    /// state; a burst of pipelined requests yields rather than hold up the others.
    pub fn step(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        for _ in 0..STEPS_MAX {
            let next = match client.request.state {
                RequestState::Handshake => self.shake_hands(key, client),
                RequestState::Idle | RequestState::Head => self.read_head(key, client),
                RequestState::Preamble => self.read_proxy_header(key, client),
                RequestState::CollectingBody => self.read_body(key, client),
                RequestState::AwaitingFile(_) => self.await_file(key, client),
                RequestState::WaitingForSlot(line) => self.wait_in_queue(key, client, line),
                RequestState::Admitted => {
                    self.admission.begins(key);
                    self.serve(key, client)
                }
                RequestState::Paired(pair) => self.step_pair(key, client, pair),
                RequestState::FlushingResponse(after) => {
                    match client.flush_response(&mut self.context, after) {
                        // What its exchange held goes to those that wait for it, not to the next
                        // request of this client: the queue sees to that, the lines beside it do not.
                        Next::Again if self.admission.has_sessions() => Next::Yield,
                        next => next,
                    }
                }
                RequestState::Lingering { until } => client.linger(&mut self.context, until),
            };
            let next = if next == Next::Park { self.park(key, client) } else { next };
            match next {
                Next::Again => {}
                Next::Yield => break,
                Next::Defer | Next::Park | Next::Gone => return next,
            }
        }
        Next::Yield
    }

    /// Nothing moves: waits, or acts when the wait is over.
    fn park(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        if client.request.deadline <= self.context.now.instant {
            return self.expire(key, client);
        }
        match client.park(&mut self.context, key) {
            Ok(()) => Next::Park,
            Err(_) => self.abandon(key, client),
        }
    }

    /// The wait of the request's state has lasted too long.
    #[cold]
    fn expire(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        match client.request.state {
            RequestState::Head if !client.has_begun_request() => Next::Gone,
            RequestState::Head => {
                let reason = "the request did not come in time";
                self.refuse_head(key, client, Answer::local(408, reason, ProxyError::Request))
            }
            RequestState::CollectingBody => self.expire_body(key, client),
            RequestState::AwaitingFile(ticket) => self.expire_challenge(key, client, ticket),
            RequestState::WaitingForSlot(Line::Session(_) | Line::HalfClosedSession(_)) => {
                self.end_session_wait(key, client)
            }
            RequestState::WaitingForSlot(Line::Open | Line::HalfClosed) => {
                let RetryState { record, .. } = self.retry_state(key, client);
                let reason = "all servers are busy; the wait for one was too long";
                self.answer(client, None, Answer::local(503, reason, ProxyError::Limit), record)
            }
            RequestState::Paired(pair) => self.expire_pair(key, client, pair),
            RequestState::FlushingResponse(_) => {
                // The rest of the response is lost: an orderly end could pass for its end.
                client.conn.reset_on_drop();
                Next::Gone
            }
            RequestState::Preamble => self.expire_proxy_header(client),
            RequestState::Handshake | RequestState::Idle | RequestState::Lingering { .. } => {
                Next::Gone
            }
            RequestState::Admitted => self.abandon(key, client),
        }
    }

    #[inline(never)]
    fn read_head(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        match client.read_head(&mut self.context, &mut self.heads, key) {
            HeadRead::Incomplete(next) => next,
            HeadRead::Complete if client.speaks_plainly_where_tls_is() => {
                let reason = "this port speaks TLS: write https:// in place of http://";
                self.refuse_head(key, client, Answer::local(400, reason, ProxyError::Request))
            }
            HeadRead::Complete if self.asks_for_challenge(key, client) => {
                self.begin_challenge(key, client)
            }
            HeadRead::Complete if let Service::ToHttps { port } = client.settings().service => {
                self.redirect_to_https(key, client, port)
            }
            HeadRead::Complete if self.asks_for_life(key, client) => {
                self.answer_live_path(key, client)
            }
            HeadRead::Complete => self.take_request(key, client),
            HeadRead::Refused(refusal) => {
                if refusal == TLS_HELLO {
                    self.context.logs.tls_client(client.ip(), self.context.now.instant);
                }
                self.refuse_head(key, client, refusal.into())
            }
        }
    }

    /// Whether a request is for `--live-path`.
    #[inline]
    fn asks_for_life(&mut self, key: ClientKey, client: Client<'_, N>) -> bool {
        let Some(path) = &self.context.config.live_path else { return false };
        let bytes = client.conn.buffers.inbox.data();
        let head = self.heads.recall(key, bytes);
        let target = head.target.of(bytes);
        let asked = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        asked == path.as_bytes() && head.method.is_get_or_head()
    }

    /// Answers for this program, in every state of the queue and of the servers: 200 until it is to
    /// stop, then 503, so that a balancer in front sends new clients elsewhere.
    #[cold]
    fn answer_live_path(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        let intent = client.intent(&self.context, &mut self.heads, key);
        let Ok(Intent::Message(plan)) = intent else { return self.serve(key, client) };
        let record = client.record(&mut self.context, &mut self.heads, key);
        let Record { arrived, .. } = record;
        let record = Record { ready: arrived, admitted: arrived, ..record };
        let (status, reason) = match self.context.phase {
            Phase::Serving => (200, "the load balancer works"),
            Phase::LameDuck | Phase::Draining => (503, "the load balancer is about to stop"),
        };
        let answer = Answer::local(status, reason, ProxyError::InternalResponse);
        self.answer(client, Some(&plan), answer, record)
    }

    /// A request is ready to be served, or a TCP session begins: on to a slot, or into the queue.
    pub fn seek_slot(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        client.request.ready = self.context.now.instant;
        if client.settings().service == Service::Redirect {
            return self.serve(key, client);
        }
        self.budget.request();
        if self.admission.admit() {
            client.request.state = RequestState::Admitted;
            return self.serve(key, client);
        }
        if self.admission.is_queue_full() {
            return self.refuse_for_queue(key, client);
        }
        self.note_queue_begins();
        let line = client.line(Line::Open);
        let deadline = self.context.now.instant + self.context.config.timeouts.queue;
        client.request.wait(RequestState::WaitingForSlot(line), deadline);
        self.admission.enqueue(key, line);
        Next::Park
    }

    /// In the queue only the client's end is listened for; the step after admission is `serve`. A
    /// reset ends the request. A client that has ended its side may be gone as well, or be waiting
    /// for the response: it is served after those that are there for certain.
    #[inline(never)]
    fn wait_in_queue(&mut self, key: ClientKey, client: Client<'_, N>, line: Line) -> Next {
        if client.conn.has_failed() {
            return self.abandon(key, client);
        }
        if client.line(line) != line {
            let line = self.admission.half_close(line, client.request.ready, key);
            client.request.state = RequestState::WaitingForSlot(line);
        }
        Next::Park
    }

    /// Decides what the request is for, and begins it.
    fn serve(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        match &client.intent(&self.context, &mut self.heads, key) {
            Ok(Intent::Message(plan)) if plan.max_forwards_exhausted() => {
                self.answer_max_forwards(key, client, plan)
            }
            Ok(Intent::Message(plan)) if client.settings().service == Service::Redirect => {
                self.redirect(key, client, plan)
            }
            Ok(Intent::Message(plan)) if plan.upgrade && !self.admission.has_room_for_tunnel() => {
                let RetryState { record, .. } = self.retry_state(key, client);
                self.answer(client, Some(plan), TUNNELS_FULL, record)
            }
            Ok(intent) => self.begin(key, client, intent),
            Err(refusal) => self.refuse(key, client, *refusal),
        }
    }

    #[cold]
    fn refuse(&mut self, key: ClientKey, client: Client<'_, N>, refusal: Refusal) -> Next {
        let record = client.record(&mut self.context, &mut self.heads, key);
        self.answer(client, None, refusal.into(), record)
    }

    /// The same for what never became a request, so that it has not waited for a slot.
    #[cold]
    fn refuse_head(&mut self, key: ClientKey, client: Client<'_, N>, answer: Answer) -> Next {
        let record = client.record(&mut self.context, &mut self.heads, key);
        let Record { arrived, .. } = record;
        let record = Record { ready: arrived, admitted: arrived, ..record };
        self.answer(client, None, answer, record)
    }

    /// Answers an OPTIONS or TRACE request that has been forwarded as often as it may. A TRACE is
    /// not reflected: what it would show is what clients must not see, such as cookies.
    #[cold]
    fn answer_max_forwards(&mut self, key: ClientKey, client: Client<'_, N>, plan: &Plan) -> Next {
        let record = client.record(&mut self.context, &mut self.heads, key);
        let answer = if plan.method == Method::Trace {
            Answer::local(501, "TRACE is not answered here, only forwarded", ProxyError::Request)
        } else {
            Answer::local(
                200,
                "the request ends here: its Max-Forwards is 0",
                ProxyError::InternalResponse,
            )
        };
        self.answer(client, Some(plan), answer, record)
    }

    /// Joins an admitted client to a backend of the policy's choice.
    fn begin(&mut self, key: ClientKey, client: Client<'_, N>, intent: &Intent) -> Next {
        let mut state = self.retry_state(key, client);
        let RetryState { tried, record } = &mut state;
        // A pooled connection may close under a request that cannot be repeated, by its nature or
        // its size: such a request gets one that is as safe as a new one (RFC 9112 §9.3.1).
        let reuse = match intent.message().filter(|_| record.retries == 0) {
            Some(plan) if plan.method.is_idempotent() && plan.can_be_held() => Reuse::Pooled,
            Some(_) => Reuse::IfSafe,
            None => Reuse::Never,
        };
        let pair = self.pairs.vacant_key();
        let (cx, notes) = (&mut self.context, &mut record.notes);
        let own = client.own_upstream().map(|own| self.upstreams.resume(cx, pair, own, notes));
        let acquired = match own.transpose() {
            Ok(Some(Some(acquired))) => Ok(acquired),
            Ok(None | Some(None)) => {
                let (hash, session) = (intent.hash(), intent.session());
                let wanted = Wanted { hash, reuse, session };
                self.upstreams.acquire(cx, pair, tried, wanted, notes)
            }
            Err(unavailable) => Err(unavailable),
        };
        match acquired {
            Ok(acquired) => {
                // Where one was served that had to wait for more than a slot, the next may be too.
                self.admission.open_one();
                client.keep_upstream(None);
                self.join(key, client, acquired, intent, state)
            }
            Err(unavailable) if self.comes_free(unavailable) && self.may_wait(&state.record) => {
                self.wait_for_room(key, client, unavailable, state)
            }
            Err(unavailable) => {
                let answer = self.unavailable_answer(unavailable);
                self.answer(client, intent.message(), answer, state.record)
            }
        }
    }

    /// What a request has been through before this attempt: nothing, as a rule.
    fn retry_state(&mut self, key: ClientKey, client: Client<'_, N>) -> RetryState {
        let Some(mut state) = client.request.retry.take() else {
            let record = client.record(&mut self.context, &mut self.heads, key);
            return RetryState { tried: Tried::default(), record };
        };
        state.record.begun = self.context.now.instant;
        if state.record.retries == 0 {
            state.record.admitted = state.record.begun;
        }
        *state
    }

    /// Enters a pair, so that client, upstream and pair name one another.
    fn join(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        acquired: Acquired,
        intent: &Intent,
        state: RetryState,
    ) -> Next {
        let backend = acquired.backend;
        let upstream = self.upstreams.get(acquired.upstream).expect("it was acquired just now");
        let (connecting, origin) = (upstream.is_connecting(), upstream.origin());
        match intent {
            Intent::Message(_) => {
                let sent = state.record.begun;
                self.upstreams.request_sent(&mut self.context, backend, origin, sent);
            }
            Intent::Session { .. } => self.announce(client, acquired),
        }
        let limit = match connecting {
            true => self.upstreams.connect_threshold(&self.context, backend),
            false => self.context.config.timeouts.response,
        };
        let pair = self.pairs.insert(Pair::new(key, acquired, intent, state));
        if self.context.config.sticky.is_some() {
            self.note_cookie(pair);
        }
        client.request.wait(RequestState::Paired(pair), self.context.now.instant + limit);
        Next::Again
    }

    /// A pair with both its connections at hand.
    fn exchange<'a>(
        &'a mut self,
        client: &'a mut Connection<N::Socket>,
        key: PairKey,
    ) -> Exchange<'a, N::Socket> {
        let in_flight = self.pairs.len();
        let pair = self.pairs.get_mut(key).expect("a paired client's pair is there");
        let lease = self.upstreams.lease(pair.upstream, pair.backend);
        // A response to the wrong client would be worse than a crash.
        let state = client.request.state;
        assert!(state == RequestState::Paired(key), "a pair's client names the pair");
        assert!(lease.upstream.pair() == Some(key), "a pair's upstream names the pair");
        let context = &mut self.context;
        Exchange {
            fault: None,
            ends_connections: context.ends_connections(),
            client: &mut client.conn,
            client_info: &client.info,
            deadline: &mut client.request.deadline,
            upstream: lease.upstream,
            authority: lease.authority,
            pipes: lease.pipes,
            pair,
            heads: &mut self.heads,
            response_head: &mut self.response_head,
            pool: &mut context.pool,
            handshake_steps: &mut context.handshake_steps,
            admission: &mut self.admission,
            config: &context.config,
            edits: &context.edits,
            date: &context.date,
            budget: &self.budget,
            in_flight,
            now: context.now.instant,
            heard: false,
        }
    }
}
