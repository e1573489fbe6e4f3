//! A pair's life: begun, stepped, and ended as its verdict says.

use crate::base::backend_id::BackendId;
use crate::config::Mode;
use crate::health::Observation;
use crate::http::body::Body;
use crate::http::forward::BodyTransform;
use crate::net::{Net, Socket};
use crate::observe::{Outcome, Record};
use crate::proxy::client::{ClientState, RetryState};
use crate::proxy::exchange::plan::Plan;
use crate::proxy::exchange::verdict::{self, Fault, Phase, Verdict};
use crate::proxy::exchange::{After, Direction, Exchange, Pair};
use crate::proxy::upstream::cluster::ConnectFailure;
use crate::proxy::upstream::{Acquired, Tried, Unavailable};
use crate::proxy::{ClientKey, Next, PairKey, Proxy};
use std::io;

/// Rounds of a step before others get their turn: at one buffer a round and direction.
const ROUNDS_MAX: usize = 4;

impl<N: Net> Proxy<N> {
    /// Joins an admitted client to a backend of the policy's choice.
    pub(in crate::proxy) fn begin(&mut self, key: ClientKey, plan: Plan) -> Next {
        let RetryState { mut tried, mut record } = self.retry_state(key);
        // A pooled connection may close under a request that cannot be repeated, by its nature or
        // its size: such a request gets a connection of its own (RFC 9112 §9.3.1).
        let pooled = plan.method.is_idempotent() && plan.can_be_held() && record.retries == 0;
        let acquired = match self.acquire(&mut tried, plan.hash, pooled, &mut record.notes) {
            Ok(acquired) => acquired,
            Err(unavailable) if self.comes_free(unavailable) => {
                return self.wait_for_room(key, RetryState { tried, record });
            }
            Err(unavailable) => {
                self.give_back_slot(key);
                return self.answer(key, Some(&plan), self.unavailable_answer(unavailable), record);
            }
        };
        let half = if self.config.mode == Mode::Tcp { Direction::Tunnel } else { Direction::Head };
        // Where one was served who had to wait for more than a slot, the next one may be as well.
        self.admit_next();
        self.join(
            Pair {
                client: key,
                upstream: acquired.upstream,
                backend: acquired.backend,
                plan,
                request: half,
                response: half,
                transform: BodyTransform::Keep,
                after: After::Close,
                upstream_stays: false,
                interim: false,
                tried,
                record,
            },
            &acquired,
        )
    }

    /// What an admitted client's request has been through: nothing, as a rule.
    pub(in crate::proxy) fn retry_state(&mut self, key: ClientKey) -> RetryState {
        let now = self.now.instant;
        let state = self.clients.get_mut(key).and_then(|client| client.retry_state.take());
        let Some(mut state) = state else {
            let record = Record { notes: self.note(key), ..self.record(key) };
            return RetryState { tried: Tried::default(), record };
        };
        state.record.begun = now;
        if state.record.retries == 0 {
            state.record.admitted = now;
        }
        *state
    }

    /// Whether the end of a pair gives what is lacking: room at a backend, or the descriptor of its
    /// idle connection.
    fn comes_free(&self, lacking: Unavailable) -> bool {
        match lacking {
            Unavailable::NoBackend => false,
            Unavailable::AllFull => true,
            Unavailable::NoDescriptor => !self.pairs.is_empty(),
        }
    }

    /// Enters a pair, so that client, upstream and pair name one another.
    fn join(&mut self, pair: Pair, acquired: &Acquired) -> Next {
        let key = pair.client;
        let pair = self.pairs.insert(pair);
        let limit = match acquired.connecting {
            true => self.connect_patience(acquired.backend),
            false => self.config.timeouts.response,
        };
        if let Some(client) = self.clients.get_mut(key) {
            client.state = ClientState::Paired(pair);
            client.deadline = self.now.instant + limit;
        }
        if let Some(upstream) = self.upstreams.get_mut(acquired.upstream) {
            upstream.pair = Some(pair);
        }
        Next::Again
    }

    /// Moves what can move, then does what the verdict says.
    pub(in crate::proxy) fn step_pair(&mut self, key: ClientKey, pair: PairKey) -> Next {
        for _ in 0..ROUNDS_MAX {
            let round = self.with_exchange(pair, |exchange| exchange.round());
            let Some(round) = round else { return self.dismiss(key) };
            if let Some(backend) = round.heard {
                self.heard(backend);
            }
            match round.verdict {
                Verdict::Park if round.again => {}
                verdict => return self.carry_out(key, pair, verdict, round.fault),
            }
        }
        Next::Yield
    }

    /// The deadline of a pair's wait has passed.
    pub(in crate::proxy) fn expire_pair(&mut self, key: ClientKey, pair: PairKey) -> Next {
        if self.extend_connect_deadline(key, pair) {
            return Next::Again;
        }
        let fault = Fault::Expired;
        let judge = |exchange: &mut Exchange<'_, _>| verdict::verdict(&exchange.facts(), fault);
        match self.with_exchange(pair, judge) {
            Some(verdict) => self.carry_out(key, pair, verdict, Some(fault)),
            None => self.dismiss(key),
        }
    }

    /// Health checks of a backend go unanswered: requests that wait for it are asked elsewhere,
    /// once, where that cannot do harm and somebody else is there. Without this they would wait
    /// for the whole of their time. (A server that works on one request at a time hangs its own
    /// checks and may well answer: so a request never leaves it for nothing, and never twice.)
    pub(in crate::proxy) fn reroute_stalled(&mut self, backend: BackendId) {
        let fault = Fault::ServerHangs;
        let waiting = self.pairs.iter().filter(|(_, pair)| pair.backend == backend);
        let waiting: Vec<_> = waiting.map(|(key, pair)| (key, pair.client)).collect();
        for (pair, client) in waiting {
            let verdict = self.with_exchange(pair, |exchange| {
                // What has come by now is an answer after all. One that has begun is not read from
                // here: it may go another way, and bytes would overtake one another.
                if exchange.pair.response.is(Phase::Head) {
                    exchange.upstream.conn.fill(exchange.pool);
                }
                verdict::verdict(&exchange.facts(), fault)
            });
            let Some(tried) = self.pairs.get(pair).map(|pair| &pair.tried) else { continue };
            // One that failed the request before may be back meanwhile.
            let elsewhere = self.cluster.has_other(&[], backend);
            if verdict == Some(Verdict::Retry) && elsewhere && !tried.rerouted {
                self.carry_out(client, pair, Verdict::Retry, Some(fault));
            }
            self.wake(client.into());
        }
    }

    /// Somebody is up again: who waits in vain has a place to go.
    pub(in crate::proxy) fn reroute_all_stalled(&mut self) {
        for backend in self.cluster.hanging().collect::<Vec<_>>() {
            self.reroute_stalled(backend);
        }
    }

    /// Runs `act` on a pair with both its connections at hand.
    fn with_exchange<T>(
        &mut self,
        key: PairKey,
        act: impl FnOnce(&mut Exchange<'_, N::Socket>) -> T,
    ) -> Option<T> {
        let in_flight = self.pairs.len();
        let pair = self.pairs.get_mut(key)?;
        let client = self.clients.get_mut(pair.client)?;
        let upstream = self.upstreams.get_mut(pair.upstream)?;
        // A response to the wrong client would be worse than a crash.
        assert!(client.state == ClientState::Paired(key), "a pair's client names the pair");
        assert!(upstream.pair == Some(key), "a pair's upstream names the pair");
        let mut exchange = Exchange {
            last: client.is_at_its_last(self.config.keep_alive_requests, &self.context),
            client_ip: client.ip,
            client: &mut client.conn,
            host: self.cluster.name(pair.backend),
            upstream,
            pair,
            context: &self.context,
            heads: &mut self.heads,
            pool: &mut self.pool,
            pipes: &mut self.pipes,
            timeouts: &self.config.timeouts,
            deadline: &mut client.deadline,
            attempts_max: self.config.attempts_max,
            budget: &self.budget,
            in_flight,
            now: self.now.instant,
            heard: false,
        };
        Some(act(&mut exchange))
    }

    /// One match carries out every verdict.
    fn carry_out(
        &mut self,
        key: ClientKey,
        pair: PairKey,
        verdict: Verdict,
        fault: Option<Fault>,
    ) -> Next {
        // Who is too slow to send the rest of a request is no failure of the server.
        let by_client = matches!(verdict, Verdict::Reply(answer) if answer.status == 408);
        if let Some(fault) = fault.filter(|_| !by_client) {
            self.record_failure(pair, fault);
        }
        match verdict {
            Verdict::Park => Next::Park,
            Verdict::Finish => self.finish(key, pair, None),
            Verdict::FinishEarly => self.finish(key, pair, Some(After::Linger)),
            Verdict::Retry => self.retry(key, pair),
            Verdict::Reply(answer) => {
                let Some(ended) = self.detach(key, pair, false) else { return self.dismiss(key) };
                self.give_back_slot(key);
                self.answer(key, Some(&ended.plan), answer, ended.record)
            }
            Verdict::Abort => self.abort(key, pair, fault),
        }
    }

    /// Tells the cluster whose fault it was, and remembers who failed this request.
    fn record_failure(&mut self, key: PairKey, fault: Fault) {
        let Some(pair) = self.pairs.get(key) else { return };
        let Some(upstream) = self.upstreams.get(pair.upstream) else { return };
        let (backend, unanswered) = (pair.backend, pair.response.is(Phase::Head) && !pair.interim);
        let (connecting, reused, at) = (upstream.is_connecting, upstream.reused, upstream.at);
        let begun = pair.record.begun;
        let (seen, hangs) = (upstream.sent, fault == Fault::ServerHangs);
        let failed = match fault {
            Fault::ConnectFailed(kind) => {
                self.connect_failed(backend, at, kind) != ConnectFailure::TryNextAddress
            }
            Fault::Expired if connecting => {
                self.connect_expired(backend, at, begun) != ConnectFailure::TryNextAddress
            }
            // A pooled connection may close at any time: that says nothing about the server, but
            // another one is the better choice.
            Fault::UpstreamClosed if reused => true,
            Fault::UpstreamClosed | Fault::UpstreamMalformed(_) if unanswered => {
                self.cluster.failed(backend);
                self.observe(backend, Observation::Unanswered);
                true
            }
            Fault::UpstreamClosed | Fault::UpstreamMalformed(_) | Fault::Expired => {
                self.cluster.failed(backend);
                true
            }
            Fault::ServerHangs => true,
            Fault::ClientGone | Fault::ClientMalformed => false,
        };
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.tried.seen = pair.tried.seen.saturating_add(u8::from(seen));
        pair.tried.rerouted |= hangs;
        if failed {
            pair.tried.backends.push(backend);
        }
    }

    /// A client's request could not connect to the address numbered `at`.
    pub(in crate::proxy) fn connect_failed(
        &mut self,
        backend: BackendId,
        at: usize,
        kind: io::ErrorKind,
    ) -> ConnectFailure {
        let missed = self.cluster.address_failed(backend, at, kind);
        if let ConnectFailure::AllAddressesFailed(kind) = missed {
            self.cluster.failed(backend);
            self.observe(backend, Observation::ConnectFailed(kind));
        }
        missed
    }

    /// Takes a pair apart: its upstream is released, its client holds only the slot. Inlined, as a
    /// pair that is returned is copied twice.
    #[inline(always)]
    fn detach(&mut self, key: ClientKey, pair: PairKey, reusable: bool) -> Option<Pair> {
        let pair = self.pairs.remove(pair)?;
        self.record_outcome(&pair);
        self.release_upstream(&pair, reusable);
        self.clients.get_mut(key)?.state = ClientState::Admitted;
        Some(pair)
    }

    /// Tells the cluster what it learnt from an exchange that is over.
    fn record_outcome(&mut self, pair: &Pair) {
        let Some(answered) = pair.record.answered else { return };
        self.cluster.address_works(pair.backend);
        if pair.record.status >= 500 {
            self.cluster.failed(pair.backend);
        }
        let (status, begun) = (pair.record.status, pair.record.begun);
        if let Some(transition) = self.cluster.served(pair.backend, status, begun, answered) {
            self.tell(pair.backend, &transition);
            self.probe_sooner(pair.backend, true);
            self.watch_silence(pair.backend);
        }
    }

    /// The exchange is complete: the upstream to the pool, the client to what follows.
    fn finish(&mut self, key: ClientKey, pair: PairKey, instead: Option<After>) -> Next {
        let stays = self.pairs.get(pair).is_some_and(|pair| pair.upstream_stays);
        let reusable = stays && instead.is_none();
        let Some(ended) = self.detach(key, pair, reusable) else { return self.dismiss(key) };
        self.give_back_slot(key);
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        client.state = ClientState::FlushingResponse(instead.unwrap_or(ended.after));
        let ip = client.ip;
        self.log(ip, &ended.record);
        Next::Again
    }

    /// Another connection gets the same request, from its first byte.
    fn retry(&mut self, key: ClientKey, pair: PairKey) -> Next {
        let upstream = self.pairs.get(pair).and_then(|pair| self.upstreams.get(pair.upstream));
        if upstream.is_some_and(|upstream| upstream.sent && !upstream.reused) {
            self.budget.repeat();
        }
        let Some(mut pair) = self.detach(key, pair, false) else { return self.dismiss(key) };
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        if client.conn.buffers.inbox.is_held() {
            client.conn.buffers.inbox.rewind();
        }
        let record = &mut pair.record;
        record.begun = self.now.instant;
        record.connected = None;
        let retries = record.retries.saturating_add(1);
        match self.acquire(&mut pair.tried, pair.plan.hash, false, &mut record.notes) {
            Ok(acquired) => {
                pair.upstream = acquired.upstream;
                pair.backend = acquired.backend;
                pair.record.retries = retries;
                // Nothing of an answer has come, so that half is at its beginning, head or tunnel.
                pair.request = pair.response;
                self.join(pair, &acquired)
            }
            Err(unavailable) if self.comes_free(unavailable) => {
                let record = Record { retries, ..pair.record };
                self.wait_for_room(key, RetryState { tried: pair.tried, record })
            }
            Err(unavailable) => {
                self.give_back_slot(key);
                self.answer(
                    key,
                    Some(&pair.plan),
                    self.unavailable_answer(unavailable),
                    pair.record,
                )
            }
        }
    }

    /// Cuts the exchange off. Where the framing shows the client that something is missing it
    /// gets what has come and an end; where it does not, or nobody is there, a reset.
    fn abort(&mut self, key: ClientKey, pair: PairKey, fault: Option<Fault>) -> Next {
        // Without framing only a reset tells the server that its client did not end.
        if let Some(aborted) = self.pairs.get(pair).filter(|pair| pair.request.is(Phase::Tunnel))
            && let Some(upstream) = self.upstreams.get_mut(aborted.upstream)
        {
            upstream.conn.socket.reset_on_drop();
        }
        let Some(mut ended) = self.detach(key, pair, false) else { return self.dismiss(key) };
        self.give_back_slot(key);
        let by_server = matches!(fault, Some(Fault::UpstreamClosed | Fault::UpstreamMalformed(_)));
        let shows = match ended.response {
            Direction::Body(Body::UntilClose) => ended.transform == BodyTransform::Chunk,
            Direction::Body(_) => ended.transform != BodyTransform::Unchunk,
            Direction::Head | Direction::Tunnel | Direction::Done => false,
        };
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        let ip = client.ip;
        if by_server && shows {
            client.state = ClientState::FlushingResponse(After::Linger);
        } else {
            client.conn.socket.reset_on_drop();
        }
        ended.record.outcome = match fault {
            Some(Fault::UpstreamClosed) => Outcome::ServerClosed,
            Some(Fault::UpstreamMalformed(_)) => Outcome::ServerMalformed,
            Some(Fault::Expired) => Outcome::TimedOut,
            Some(
                Fault::ClientGone
                | Fault::ClientMalformed
                | Fault::ConnectFailed(_)
                | Fault::ServerHangs,
            )
            | None => Outcome::ClientGone,
        };
        if let (Some(notes), Some(fault)) = (&mut ended.record.notes, fault) {
            notes.reason = fault.reason();
        }
        self.log(ip, &ended.record);
        if by_server && shows { Next::Again } else { self.dismiss(key) }
    }

    /// The client of this pair is gone, table entry and all.
    pub(in crate::proxy) fn drop_pair(&mut self, pair: PairKey) {
        if let Some(pair) = self.pairs.remove(pair) {
            self.record_outcome(&pair);
            self.release_upstream(&pair, false);
            self.free_slot();
        }
    }
}
