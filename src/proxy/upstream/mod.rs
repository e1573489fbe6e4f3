//! The server side: connections to backends, opened, lent to a pair, pooled while idle, closed when
//! anything moves on an idle one. The state of a backend changes here, and nowhere else;
//! what follows for requests is decided above, from [`Upstreams::take_effect`].

mod account;
pub mod acquire;
mod addresses;
mod backend;
mod by_hand;
mod closes;
pub mod cluster;
mod connection;
mod due;
mod evidence;
pub mod lookup;
mod pool;
mod probe;
mod probing;
mod recorder;
pub mod reload;
mod reuse;
mod rotation;
mod session_choice;
pub mod sessions;
mod silence;
mod snapshot;
mod starvation;

use backend::Backend;
pub use backend::{Member, ProbeResult};
pub use cluster::Served;
pub use connection::{HeaderWrite, Upstream, UpstreamState};
pub use reuse::PooledClose;
pub use starvation::Origin;

use crate::base::backend_id::BackendId;
use crate::base::table::Table;
use crate::base::time::Instant;
use crate::config::Config;
use crate::health::{Check, InWords, Observation, Transition};
use crate::http::head::ResponseHead;
use crate::net::{Net, Ready, Socket};
use crate::observe::counters::BackendCounters;
use crate::proxy::conn::Input;
use crate::proxy::conn::pipes::Pipes;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{
    ClientKey, OwnUpstream, PairKey, ProbeKey, ProbeKind, UpstreamKey, UpstreamKind,
};
use crate::proxy::standing::{Counts, Standing};
use cluster::Cluster;
use probe::Probe;
pub use recorder::Recorder;
use reuse::IdleSince;
use std::collections::VecDeque;

/// All connections to backends, and what is known about the backends.
#[derive(Debug)]
pub struct Upstreams<N: Net> {
    table: Table<UpstreamKind, Upstream<N::Socket>>,
    cluster: Cluster,
    probes: Table<ProbeKind, Probe<N::Socket>>,
    /// Storage for the heads of responses to probes.
    probe_head: ResponseHead,
    pipes: Pipes<<N::Socket as Socket>::Pipe>,
    /// What the loop has not acted on.
    effects: VecDeque<Effect>,
    /// How often a backend became a suspect.
    suspicions: u64,
    /// How often something changed that [`Upstreams::counts`] tells.
    revision: u64,
    /// The event log says that a backend lacks the default health check.
    missing_page_reported: bool,
}

/// What concerns requests at other connections than the one that was stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A backend is in another state.
    StateChanged(BackendId, Transition),
    /// Requests have waited for long at this backend.
    RerouteDue(BackendId),
}

/// An upstream with what its pair's exchange needs of the others.
#[derive(Debug)]
pub struct Lease<'a, S: Socket> {
    pub upstream: &'a mut Upstream<S>,
    pub pipes: &'a mut Pipes<S::Pipe>,
    /// `host:port` of the backend.
    pub authority: &'a str,
}

impl<N: Net> Upstreams<N> {
    /// No connection yet; `cluster` is whom to connect to.
    pub fn new(cluster: Cluster, pipes_max: usize) -> Upstreams<N> {
        Upstreams {
            table: Table::new(),
            cluster,
            probes: Table::new(),
            probe_head: ResponseHead::default(),
            pipes: Pipes::new(pipes_max),
            effects: VecDeque::new(),
            suspicions: 0,
            revision: 0,
            missing_page_reported: false,
        }
    }

    /// How many backends there are, by what requests can expect of them.
    pub fn counts(&self) -> Counts {
        self.cluster.counts()
    }

    /// Another number than before if [`Upstreams::counts`] may be different.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether every backend that is probed has had a probe end.
    pub fn are_all_probed(&self) -> bool {
        self.cluster.check() == Check::Off || self.cluster.are_all_probed()
    }

    /// The backends, to look at.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The record of choices, to add to it or to take from it.
    pub fn record(&mut self) -> &mut Recorder {
        self.cluster.record()
    }

    /// The upstream of `key`, with what an exchange needs beside it. `backend` is the pair's.
    pub fn lease(&mut self, key: UpstreamKey, backend: BackendId) -> Lease<'_, N::Socket> {
        let upstream =
            self.table.get_mut(key).expect("a pair's upstream stays as long as the pair");
        Lease { upstream, pipes: &mut self.pipes, authority: self.cluster.host(backend) }
    }

    /// What goes first on a new connection to a backend.
    pub fn announce(&mut self, cx: &mut LoopContext<N>, key: UpstreamKey, header: &[u8]) {
        let upstream = self.table.get_mut(key).expect("it was acquired just now");
        upstream.conn.buffers.outbox.append(header, &mut cx.pool);
    }

    /// See [`Cluster::use_sticky_key`].
    pub fn use_sticky_key(&mut self, config: &Config) {
        self.cluster.use_sticky_key(config);
    }

    /// The counters of a backend; none where nothing asks for them.
    #[inline]
    pub fn counters(&mut self, backend: BackendId) -> Option<&mut BackendCounters> {
        self.cluster.account(backend).counters()
    }

    /// All of them with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (UpstreamKey, &Upstream<N::Socket>)> {
        self.table.iter()
    }

    /// All health checks under way.
    pub fn probes(&self) -> impl Iterator<Item = (ProbeKey, &Probe<N::Socket>)> {
        self.probes.iter()
    }

    /// Whether the health check of `key` is under way.
    pub fn has_probe(&self, key: ProbeKey) -> bool {
        self.probes.get(key).is_some()
    }

    /// How often a backend became a suspect.
    pub fn suspicions(&self) -> u64 {
        self.suspicions
    }

    /// Pipes at work.
    pub fn pipes_lent(&self) -> usize {
        self.pipes.lent()
    }

    /// Connections to backends.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Frees what a peak has left: places in the tables, pipes.
    pub fn trim(&mut self) {
        self.table.shrink();
        self.pipes.trim();
        for backend in self.cluster.ids() {
            self.cluster.idle(backend).shrink();
        }
    }

    /// The upstream of `key`, to look at; none when it is closed.
    pub fn get(&self, key: UpstreamKey) -> Option<&Upstream<N::Socket>> {
        self.table.get(key)
    }

    /// Whether something was not acted on.
    #[inline]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The next effect on requests that was not acted on, oldest first.
    pub fn take_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// An upstream leaves its pair: if it can serve again, to the pool, or to the `client` that has
    /// authenticated on it, which gets its key; else it is closed. `answered`: when its response
    /// began, if the server would take another request.
    pub fn release(
        &mut self,
        cx: &mut LoopContext<N>,
        (key, backend): (UpstreamKey, BackendId),
        client: ClientKey,
        answered: Option<Instant>,
    ) -> Option<OwnUpstream> {
        if self.cluster.ended(backend) {
            let name = self.cluster.name(backend);
            cx.logs.event(format_args!("{name} is idle, it may be stopped"));
        }
        let in_rotation = self.cluster.is_in_rotation(backend);
        let upstreams = &mut self.table;
        let upstream = upstreams.get_mut(key).expect("a pair's upstream stays as long as the pair");
        let (now, period) = (cx.now.instant, cx.config.timeouts.pool);
        let since = IdleSince { released: now, answered: answered.unwrap_or(now) };
        upstream.served = upstream.served.saturating_add(1);
        let clean = answered.is_some() && upstream.conn.is_reusable() && !cx.is_draining();
        let stays = in_rotation
            && self.cluster.has_address(backend, &upstream.address)
            && self.cluster.is_verified_as(backend, upstream.tls.as_ref());
        if clean && stays && upstream.is_authenticated {
            upstream.state = UpstreamState::Owned { client, backend, since };
            if upstream.conn.is_readable() {
                cx.schedule.this_turn(key.into(), &mut upstream.scheduled);
            }
            return Some(OwnUpstream { upstream: key, backend });
        }
        let clean = clean && !upstream.is_authenticated;
        let is_open = |key| upstreams.get(key).is_some();
        let wanted = clean && stays && self.cluster.wants_idle(backend, (now, period), is_open);
        let upstream = upstreams.get_mut(key).expect("it was there a moment ago");
        let has_ended =
            upstream.conn.has_reported_eof() || upstream.conn.buffers.input == Input::Eof;
        if answered.is_some() && has_ended {
            // It came with a response that does not announce it, and that a slow client may have
            // got long after.
            let (served, at) = (upstream.served, upstream.ended_at.unwrap_or(now));
            self.learn_from_end(cx, backend, (since, served), at);
            self.close(cx, key);
            return None;
        }
        if !wanted {
            if clean {
                // Nothing is in flight, so nothing is lost, and the port is free again at once:
                // closed by us in order it would be kept for a minute.
                upstream.conn.reset_on_drop();
            }
            self.close(cx, key);
            return None;
        }
        let deadline = now + period;
        upstream.state = UpstreamState::Idle { backend, since, deadline };
        cx.wheel.arm(&mut upstream.timer, deadline, key.into());
        if upstream.conn.is_readable() {
            cx.schedule.this_turn(key.into(), &mut upstream.scheduled);
        }
        self.cluster.idle(backend).push(key);
        None
    }

    /// The client that owned this upstream is gone.
    pub fn close_own(&mut self, cx: &mut LoopContext<N>, own: OwnUpstream) {
        self.close(cx, own.upstream);
    }

    /// Remembers what the kernel reported of an upstream, and has its owner stepped.
    pub fn mark(&mut self, cx: &mut LoopContext<N>, key: UpstreamKey, ready: &Ready) {
        if let Some(upstream) = self.table.get_mut(key) {
            upstream.conn.mark(ready);
            if ready.ended {
                upstream.ended_at.get_or_insert(cx.now.instant);
            }
            cx.schedule.this_turn(key.into(), &mut upstream.scheduled);
        }
    }

    /// Begins the step of an upstream that was scheduled: the pair to step in its place. An idle
    /// one is stepped here: anything that moves on it ends it, and so does its deadline.
    pub fn step(&mut self, cx: &mut LoopContext<N>, key: UpstreamKey) -> Option<PairKey> {
        let upstream = self.table.get_mut(key)?;
        upstream.scheduled = false;
        let deadline = match upstream.state {
            UpstreamState::Connecting(pair)
            | UpstreamState::Handshake(pair)
            | UpstreamState::Busy { pair, .. } => return Some(pair),
            UpstreamState::Idle { deadline, .. } => Some(deadline),
            UpstreamState::Owned { .. } => None,
        };
        upstream.conn.fill(&mut cx.pool);
        upstream.conn.settle(&mut cx.pool);
        if !upstream.conn.is_idle() {
            // Its key stays in the pool or with the client, where it finds nothing.
            self.learn_from_idle(cx, key);
            self.close(cx, key);
        } else if deadline.is_some_and(|it| it <= cx.now.instant) {
            if let UpstreamState::Idle { backend, since, .. } = upstream.state {
                self.cluster.idle(backend).reuse.kept(since, cx.now.instant);
            }
            self.close(cx, key);
        } else if let Some(deadline) = deadline {
            cx.wheel.arm(&mut upstream.timer, deadline, key.into());
        }
        None
    }

    /// The timer's node has fired.
    pub fn timer_fired(&mut self, cx: &mut LoopContext<N>, key: UpstreamKey) {
        if let Some(upstream) = self.table.get_mut(key) {
            upstream.timer.fired();
            // One at work arms again when it comes back to the pool.
            if upstream.pair().is_none() {
                cx.schedule.this_turn(key.into(), &mut upstream.scheduled);
            }
        }
    }

    /// Closes a connection to a backend, whatever it was doing.
    fn close(&mut self, cx: &mut LoopContext<N>, key: UpstreamKey) {
        if let Some(mut upstream) = self.table.remove(key) {
            cx.wheel.cancel(&mut upstream.timer);
            self.pipes.take_back(&mut upstream.pipe_up);
            self.pipes.take_back(&mut upstream.pipe_down);
            upstream.conn.close(&mut cx.pool);
        }
    }

    /// Closes everything, at the end of the program.
    pub fn close_all(&mut self) {
        (self.table, self.probes) = (Table::new(), Table::new());
    }

    /// Makes room for a new connection; false when no idle one is left.
    pub fn drop_idle(&mut self, cx: &mut LoopContext<N>) -> bool {
        for backend in self.cluster.ids() {
            while let Some(key) = self.cluster.idle(backend).pop() {
                if self.table.get(key).is_some() {
                    self.close(cx, key);
                    return true;
                }
            }
        }
        false
    }

    /// Takes in evidence about a backend.
    fn observe(&mut self, cx: &mut LoopContext<N>, backend: BackendId, observation: Observation) {
        match self.cluster.observe(backend, observation, cx.now.instant) {
            Some(transition) => self.state_changed(cx, backend, transition),
            None => self.plan_after_evidence(cx, backend, false),
        }
    }

    /// A backend is in another state: it is logged, the next probe is planned again, and
    /// the loop will see to the requests.
    fn state_changed(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        transition: Transition,
    ) {
        let Backend { account, handshake_words, .. } = self.cluster.at(backend);
        account.changed(&transition, handshake_words.as_deref(), cx.now.instant);
        self.revision += 1;
        if transition == Transition::Suspected {
            self.suspicions += 1;
            self.cluster.idle(backend).starvation.refuted();
        }
        if transition.is_reported() {
            let left = self.standing(cx);
            let (name, words) = (self.cluster.name(backend), self.cluster.handshake_words(backend));
            cx.logs.backend_changed(name, &InWords { what: &transition, words }, &left);
        }
        self.effects.push_back(Effect::StateChanged(backend, transition));
        self.plan_after_evidence(cx, backend, true);
    }

    /// What is left of the backends.
    pub(super) fn standing(&self, cx: &LoopContext<N>) -> Standing {
        let Config { mode, all_down_status, .. } = cx.config;
        Standing { counts: self.cluster.counts(), mode, all_down_status }
    }

    /// Plans the next probe and the next look at the silence after evidence.
    fn plan_after_evidence(&mut self, cx: &mut LoopContext<N>, backend: BackendId, changed: bool) {
        self.probe_sooner(cx, backend, changed);
        self.watch_silence(cx, backend);
    }
}
