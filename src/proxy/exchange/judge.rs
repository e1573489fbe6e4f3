//! Stepping a pair, and carrying out what `verdict` decides about it.

use super::pair::{Heard, Pair, Standing};
use super::verdict::{self, Fault, Phase, Verdict};
use super::{Client, Exchanges};
use crate::base::backend_id::BackendId;
use crate::base::connect_fault::{ConnectFault, HandshakeFault};
use crate::base::time::Instant;
use crate::net::Net;
use crate::observe::ProxyError;
use crate::proxy::client::answer::Answer;
use crate::proxy::client::request::RequestState;
use crate::proxy::client::slow_clients::Holds;
use crate::proxy::kinds::{ClientKey, Next, PairKey};
use crate::proxy::retry::RetryState;
use crate::proxy::upstream::acquire::{Reuse, Wanted};
use crate::proxy::upstream::{Origin, PooledClose};
use std::io::ErrorKind;
use std::time::Duration;

/// Rounds of a step before others get their turn: at one buffer a round and direction.
const ROUNDS_MAX: usize = 4;

/// Bytes of a step after which others get their turn: a piece that went through a pipe has
/// [`PIPE_BYTES`] at most, which takes about 0.1 ms.
///
/// [`PIPE_BYTES`]: crate::net::pipe::PIPE_BYTES
const STEP_BYTES_MAX: u64 = 256 * 1024;

/// How soon requests are looked at again when no other backend would be quicker.
const REROUTE_INTERVAL: Duration = Duration::from_millis(500);

/// What became of a request that waits for a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reroute {
    /// It was sent elsewhere.
    Done,
    /// It may be sent elsewhere from then on.
    At(Instant),
    /// It stays where it is.
    Never,
}

impl<N: Net> Exchanges<N> {
    /// Moves what can move, then does what the verdict says.
    #[inline(never)]
    pub(super) fn step_pair(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        pair: PairKey,
    ) -> Next {
        let mut exchange = self.exchange(client, pair);
        let upstream = &exchange.upstream;
        let goes_on_with_handshake = upstream.is_in_handshake() && upstream.conn.is_readable();
        if goes_on_with_handshake && !exchange.handshake_steps.has_one() {
            return Next::Defer;
        }
        let (mut heard, mut rounds) = (Heard::Nothing, 0);
        let bytes_before = exchange.pair.record.body_bytes();
        let round = loop {
            let round = exchange.round();
            (heard, rounds) = (heard.max(round.heard), rounds + 1);
            if round.standing != Standing::Waiting || !round.again || rounds == ROUNDS_MAX {
                break round;
            }
            if exchange.pair.record.body_bytes() - bytes_before >= STEP_BYTES_MAX {
                break round;
            }
        };
        let (backend, sent) = (exchange.pair.backend, exchange.pair.record.begun);
        let origin = exchange.upstream.origin();
        if round.standing == Standing::Faulty {
            let judged = exchange.judge_fault();
            self.take_in(heard, backend, origin, sent);
            return match judged {
                Some((verdict, fault)) => self.carry_out(key, client, pair, verdict, Some(fault)),
                None => Next::Park,
            };
        }
        self.take_in(heard, backend, origin, sent);
        match round.standing {
            Standing::Waiting if round.again => Next::Yield,
            Standing::Waiting | Standing::Faulty => Next::Park,
            Standing::Finished => self.finish(client, pair),
            Standing::FinishedEarly => self.finish_early(client, pair),
        }
    }

    /// What was heard of a server in a step says something about it.
    #[inline]
    fn take_in(&mut self, heard: Heard, backend: BackendId, origin: Origin, sent: Instant) {
        if heard == Heard::Nothing {
            return;
        }
        self.upstreams.heard(&mut self.context, backend);
        if heard == Heard::Response {
            self.upstreams.request_answered(&mut self.context, backend, origin, sent);
        }
    }

    /// The deadline of a pair's wait has passed.
    #[cold]
    pub(super) fn expire_pair(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        pair_key: PairKey,
    ) -> Next {
        let pair = self.pairs.get_mut(pair_key).expect("a paired client's pair is there");
        let connecting = self.upstreams.get(pair.upstream).is_some_and(|it| it.is_connecting());
        if connecting {
            let waiting = (pair.intent.session(), pair.record.begun);
            let (backend, tried) = (pair.backend, &mut pair.tried);
            let cx = &mut self.context;
            if let Some(deadline) = self.upstreams.extend_connect(cx, backend, tried, waiting) {
                client.request.deadline = deadline;
                return Next::Again;
            }
        }
        let facts = self.exchange(client, pair_key).facts(Fault::Expired);
        let verdict = verdict::verdict(&facts, Fault::Expired);
        self.carry_out(key, client, pair_key, verdict, Some(Fault::Expired))
    }

    /// Pairs in flight at a backend, with their clients.
    pub fn pairs_at(&self, backend: BackendId) -> Vec<(PairKey, ClientKey)> {
        let pairs = self.pairs.iter().filter(|(_, pair)| pair.backend == backend);
        pairs.map(|(key, pair)| (key, pair.client)).collect()
    }

    /// A request waits for a suspect: it is sent to another backend, once, if it has waited for
    /// `limit`, that cannot do harm, and another one would be quicker.
    pub fn reroute(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        pair_key: PairKey,
        limit: Duration,
    ) -> Reroute {
        let now = self.context.now.instant;
        let pair = self.pairs.get(pair_key).expect("a pair that was listed just now");
        if !pair.is_outstanding() || pair.tried.rerouted {
            return Reroute::Never;
        }
        let (due, backend) = (pair.record.begun + limit, pair.backend);
        if due > now {
            return Reroute::At(due);
        }
        if !self.upstreams.cluster().can_do_better(backend) {
            return Reroute::At(now + REROUTE_INTERVAL);
        }
        let verdict = self.exchange(client, pair_key).judge_stalled();
        if verdict == Verdict::Retry {
            self.carry_out(key, client, pair_key, Verdict::Retry, Some(Fault::ServerHangs));
        }
        client.wake(&mut self.context, key);
        if verdict == Verdict::Retry { Reroute::Done } else { Reroute::Never }
    }

    /// What a client holds while it is waited for; none if it is not.
    pub fn waits_for_client(&mut self, client: Client<'_, N>) -> Option<Holds> {
        match client.request.state {
            RequestState::Paired(pair) => {
                self.exchange(client, pair).waits_for_client().then_some(Holds::Slot)
            }
            RequestState::CollectingBody | RequestState::FlushingResponse(_) => Some(Holds::Place),
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::Idle
            | RequestState::Head
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::Lingering { .. } => None,
        }
    }

    /// A client that others wait for was too slow for too long, at `rate` bytes per second.
    pub fn end_slow(&mut self, key: ClientKey, client: Client<'_, N>, rate: u64) -> Next {
        let cx = &mut self.context;
        cx.logs.slow_client(client.ip(), (rate, cx.config.rate_min), cx.now.instant);
        let pair = match client.request.state {
            RequestState::Paired(pair) => pair,
            RequestState::CollectingBody => return self.expire_body(key, client),
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::Idle
            | RequestState::Head
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::FlushingResponse(_)
            | RequestState::Lingering { .. } => {
                // The rest of the response is lost: an orderly end could pass for its end.
                client.conn.reset_on_drop();
                return Next::Gone;
            }
        };
        let facts = self.exchange(client, pair).facts(Fault::ClientSlow);
        let verdict = verdict::verdict(&facts, Fault::ClientSlow);
        self.carry_out(key, client, pair, verdict, Some(Fault::ClientSlow))
    }

    /// One match carries out every verdict.
    #[cold]
    fn carry_out(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        pair: PairKey,
        verdict: Verdict,
        fault: Option<Fault>,
    ) -> Next {
        if let Some(fault) = fault {
            self.record_failure(client, pair, fault);
        }
        let verdict = match (verdict, fault) {
            // Without another server the client gets the error, not the same garbage again.
            (Verdict::Retry, Some(Fault::NotHttp(reason))) if !self.has_another_server(pair) => {
                Verdict::Reply(Answer::local(502, reason, ProxyError::Protocol))
            }
            (verdict, _) => verdict,
        };
        match verdict {
            Verdict::Park => Next::Park,
            Verdict::Finish => self.finish(client, pair),
            Verdict::FinishEarly => self.finish_early(client, pair),
            Verdict::Retry => self.retry(key, client, pair, fault),
            Verdict::Reply(answer) => {
                let ended = self.end_attempt(client, pair, false);
                self.answer(client, ended.intent.message(), answer, ended.record)
            }
            Verdict::Abort => self.abort(client, pair, fault),
        }
    }

    /// Whether a pair's request could go to a server that has not failed it.
    fn has_another_server(&self, key: PairKey) -> bool {
        let pair = self.pairs.get(key).expect("a paired client's pair is there");
        self.upstreams.cluster().has_other(&pair.tried.backends, pair.backend)
    }

    /// Counts an attempt's failure against its backend, if it is the server's, and remembers which
    /// backend failed this request.
    #[cold]
    fn record_failure(&mut self, client: Client<'_, N>, key: PairKey, fault: Fault) {
        let facts = self.exchange(client, key).facts(fault);
        let pair = self.pairs.get_mut(key).expect("a paired client's pair is there");
        let upstream = self.upstreams.get(pair.upstream).expect("a pair's upstream is there");
        let (backend, address, begun) =
            (pair.backend, upstream.address().clone(), pair.record.begun);
        let (reused, in_handshake) = (upstream.is_reused(), upstream.is_in_handshake());
        let cx = &mut self.context;
        let is_race = fault == Fault::UpstreamClosed
            && reused
            && !facts.answered
            && self.upstreams.learn_from_close(cx, (pair.upstream, backend), begun)
                != PooledClose::AtWork;
        let failed = match fault {
            Fault::ConnectFailed(fault) => {
                self.upstreams.note_handshake_failure(pair.upstream, backend);
                self.upstreams.attempt_not_connected(cx, backend, &address, fault)
            }
            Fault::Expired if facts.connecting => {
                let fault = match in_handshake {
                    true => ConnectFault::Handshake(HandshakeFault::TimedOut),
                    false => ConnectFault::System(ErrorKind::TimedOut),
                };
                self.upstreams.note_handshake_failure(pair.upstream, backend);
                self.upstreams.attempt_connect_expired(cx, backend, &address, (begun, fault))
            }
            Fault::Expired if facts.is_waiting_for_server() => {
                self.upstreams.attempt_failed(cx, backend, false);
                true
            }
            // A pooled connection may close at any time: that says nothing about the health of the
            // server, but another one is the better choice. Not for a session, which would be lost.
            Fault::UpstreamClosed if is_race => pair.intent.session().is_none(),
            Fault::UpstreamClosed | Fault::UpstreamMalformed(_) | Fault::NotHttp(_) => {
                let unanswered = pair.response.is(Phase::Head) && !pair.interim;
                self.upstreams.attempt_failed(cx, backend, unanswered);
                true
            }
            Fault::ServerHangs => true,
            Fault::Expired
            | Fault::ClientGone
            | Fault::ClientMalformed(_)
            | Fault::ClientSlow
            | Fault::TunnelsFull => false,
        };
        pair.tried.seen = pair.tried.seen.saturating_add(u8::from(facts.sent));
        pair.tried.rerouted |= fault == Fault::ServerHangs;
        if failed {
            pair.tried.backends.push(backend);
        }
        let second = self.context.time.second;
        if failed
            && !is_race
            && fault != Fault::ServerHangs
            && let Some(counters) = self.upstreams.counters(backend)
        {
            counters.attempt_failed(second);
        }
    }

    /// Another connection gets the same request, from its first byte.
    #[cold]
    fn retry(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        pair: PairKey,
        fault: Option<Fault>,
    ) -> Next {
        let current = self.pairs.get(pair).expect("a paired client's pair is there");
        let upstream = self.upstreams.get(current.upstream).expect("a pair's upstream is there");
        let is_usual = fault.is_some_and(|fault| fault.is_usual(upstream.origin()));
        if upstream.has_sent() && !is_usual {
            self.budget.repeat();
        }
        let (backend, second) = (current.backend, self.context.time.second);
        let connecting = upstream.is_connecting();
        if let (Some(counters), Some(fault)) = (self.upstreams.counters(backend), fault) {
            counters.retried(fault.retry_reason(connecting), second);
        }
        let Pair { intent, tried, record, .. } = self.end_attempt(client, pair, false);
        let mut state = RetryState { tried, record };
        let inbox = &mut client.conn.buffers.inbox;
        if inbox.is_held() {
            inbox.rewind();
        }
        state.record.begun = self.context.now.instant;
        state.record.connected = None;
        state.record.request_bytes = 0;
        let retries = state.record.retries.saturating_add(1);
        let acquired = self.upstreams.acquire(
            &mut self.context,
            self.pairs.vacant_key(),
            &mut state.tried,
            Wanted { hash: intent.hash(), reuse: Reuse::Never, session: intent.session() },
            &mut state.record.notes,
        );
        match acquired {
            Ok(acquired) => {
                state.record.retries = retries;
                self.join(key, client, acquired, &intent, state)
            }
            Err(unavailable) if self.comes_free(unavailable) => {
                state.record.retries = retries;
                self.wait_for_room(key, client, unavailable, state)
            }
            Err(unavailable) => {
                let answer = self.unavailable_answer(unavailable);
                self.answer(client, intent.message(), answer, state.record)
            }
        }
    }
}
