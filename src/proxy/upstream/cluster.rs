//! The backends of the service: addresses, health, counters, idle connections, and the policy.

use super::account::{Account, Counting};
use super::addresses::ConnectFailure;
use super::backend::{self, Backend, Member};
use super::pool::Idle;
use super::recorder::Recorder;
use super::sessions::Sessions;
use super::starvation::Origin;
use crate::balance::{self, AdminState, Candidate, Hint, Spec};
use crate::base::address::Address;
use crate::base::backend_id::BackendId;
use crate::base::connect_fault::ConnectFault;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::config::{BackendSpec, Config, TlsServer};
use crate::health::{
    self, Action, Check, Health, Observation, Others, Settings, State, Transition, outlier,
};
use crate::proxy::kinds::UpstreamKey;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// All backends.
pub struct Cluster {
    pub(super) backends: Vec<Backend>,
    pub(super) balancer: Recorder,
    pub(super) settings: Settings,
    pub(super) counting: Counting,
    /// How many serve and are no suspects. While there is none, suspects are used as well.
    pub(super) up: usize,
    /// Requests since all backends were probed because of their number.
    since_probes: u32,
    pub(super) rng: Rng,
    /// There is a slow start.
    pub(super) warms: bool,
    /// What cookies call the backends.
    pub(super) sessions: Sessions,
}

/// A response, as evidence about the backend that gave it.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    pub status: u16,
    /// None of a unix socket.
    pub client: Option<&'a SocketAddr>,
    /// When the request was sent.
    pub sent: Instant,
    /// When the response began.
    pub answered: Instant,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cluster").field("backends", &self.backends).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster of `members`, all believed up, with `places` for requests in flight; same seed,
    /// same choices.
    pub fn new(config: &Config, members: &[Member], places: usize, seed: u64) -> Cluster {
        let counting = if config.admin.is_some() { Counting::On } else { Counting::Off };
        let account = || Account::new(counting, Instant::START);
        let backends: Vec<Backend> =
            members.iter().map(|member| Backend::new(member, account())).collect();
        let sessions = Sessions::new(config, backends.iter().map(|it| it.name.as_str()));
        let names: Vec<String> =
            backends.iter().map(|it| backend::recorded_name(&it.spec)).collect();
        let specs = backends.iter().map(|it| balance_spec(&it.spec));
        let named: Vec<(&str, Spec)> = names.iter().map(String::as_str).zip(specs).collect();
        Cluster {
            balancer: Recorder::new(config, &named, places, seed),
            backends,
            settings: config.health.clone(),
            counting,
            up: members.iter().filter(|it| it.spec.admin == AdminState::Ready).count(),
            since_probes: 0,
            rng: Rng::new(seed),
            warms: !config.slow_start.is_zero(),
            sessions,
        }
    }

    pub(super) fn at(&mut self, backend: BackendId) -> &mut Backend {
        &mut self.backends[backend.index()]
    }

    /// What is kept of it for people.
    #[inline]
    pub fn account(&mut self, backend: BackendId) -> &mut Account {
        &mut self.at(backend).account
    }

    pub(super) fn candidate(&self, backend: BackendId) -> &Candidate {
        self.balancer.candidate(backend)
    }

    pub(super) fn health(&self, backend: BackendId) -> &Health {
        &self.backends[backend.index()].health
    }

    /// The name of a backend stands for these addresses now; whether an address is gone.
    pub fn set_addresses(&mut self, backend: BackendId, addresses: &[Address]) -> bool {
        self.at(backend).addresses.replace(addresses)
    }

    /// Whether the backend's name stands for this address.
    pub fn has_address(&self, backend: BackendId, address: &Address) -> bool {
        self.backends[backend.index()].addresses.contains(address)
    }

    /// Number of backends, removed ones included.
    pub fn len(&self) -> usize {
        self.backends.len()
    }

    /// The ids of all backends, removed ones included.
    pub fn ids(&self) -> impl Iterator<Item = BackendId> + use<> {
        (0..self.backends.len()).map(BackendId::new)
    }

    /// The backend as written, `host:port`.
    pub fn name(&self, backend: BackendId) -> &str {
        self.backends.get(backend.index()).map_or("", |backend| &backend.name)
    }

    /// `http://host:port` for `Location`.
    pub fn origin(&self, backend: BackendId) -> &str {
        &self.backends[backend.index()].origin
    }

    /// The `Host` of requests to it that have none.
    pub fn host(&self, backend: BackendId) -> &str {
        &self.backends[backend.index()].host
    }

    /// Where to connect to now.
    pub fn address(&self, backend: BackendId) -> &Address {
        self.backends[backend.index()].addresses.current()
    }

    /// How it is spoken to in TLS; none in the clear.
    pub fn tls(&self, backend: BackendId) -> Option<&Rc<TlsServer>> {
        self.backends[backend.index()].tls.as_ref()
    }

    /// Whether a connection that was verified like this would be verified so now.
    #[inline]
    pub fn is_verified_as(&self, backend: BackendId, tls: Option<&Rc<TlsServer>>) -> bool {
        match (self.tls(backend), tls) {
            (None, None) => true,
            (Some(now), Some(then)) => Rc::ptr_eq(now, then),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// What the last TLS handshake with it that failed has failed with.
    pub fn handshake_words(&self, backend: BackendId) -> Option<&str> {
        self.backends[backend.index()].handshake_words.as_deref()
    }

    /// Whether it is up, or a suspect.
    pub fn is_up(&self, backend: BackendId) -> bool {
        self.health(backend).state() != State::Down
    }

    /// Pairs in flight with it.
    pub fn in_flight(&self, backend: BackendId) -> u32 {
        self.balancer.in_flight(backend)
    }

    /// Its idle connections.
    pub fn idle(&mut self, backend: BackendId) -> &mut Idle {
        &mut self.at(backend).idle
    }

    /// Requests that were lost because it closed their pooled connection; none where nothing counts.
    pub fn races_lost(&self, backend: BackendId) -> Option<u64> {
        self.backends[backend.index()].account.counted().map(|counters| counters.races_lost)
    }

    /// The backend for a request; none when no eligible one is left beside `tried`.
    pub fn pick(&mut self, tried: &[BackendId], hash: u64, now: Instant) -> Option<BackendId> {
        self.balancer.pick(&Hint { tried, hash, now })
    }

    /// Why the last pick was `backend`, in one clause.
    pub fn explain(
        &self,
        backend: BackendId,
        tried: &[BackendId],
        hash: u64,
        now: Instant,
    ) -> String {
        let name = |id| match self.by_hand(id) {
            by_hand if by_hand.is_none() => self.name(id).to_owned(),
            by_hand => format!("{} ({by_hand} by hand)", self.name(id)),
        };
        self.balancer.explain(backend, &Hint { tried, hash, now }).named(&name).to_string()
    }

    /// The least suspicious of those believed down, to be tried before giving up.
    pub fn last_resort(&self, tried: &[BackendId]) -> Option<BackendId> {
        let may = |id| self.is_in_rotation(id) && !self.balancer.candidate(id).is_full();
        let untried = self.ids().filter(|id| !tried.contains(id) && may(*id));
        untried
            .filter_map(|id| Some((self.backends[id.index()].health.last_resort()?, id)))
            .min()
            .map(|(_, id)| id)
    }

    /// Whether it may get a request now, suspect or not.
    pub fn is_eligible(&self, backend: BackendId) -> bool {
        self.balancer.candidate(backend).is_eligible()
    }

    /// Whether this backend is at its own limit.
    pub fn is_full(&self, backend: BackendId) -> bool {
        self.balancer.candidate(backend).is_full()
    }

    /// Whether a backend beside `avoided` would take the request were it not at its own limit.
    pub fn has_full(&self, avoided: &[BackendId]) -> bool {
        let others = self.ids().filter(|id| !avoided.contains(id));
        others.map(|id| self.balancer.candidate(id)).any(|one| one.is_usable() && one.is_full())
    }

    /// Whether one would be tried as the last resort were it not at its own limit.
    pub fn has_full_last_resort(&self, tried: &[BackendId]) -> bool {
        self.ids().any(|id| {
            !tried.contains(&id)
                && self.is_in_rotation(id)
                && self.is_full(id)
                && self.health(id).last_resort().is_some()
        })
    }

    /// A suspect for a request that all others have failed.
    pub fn suspect(&self, tried: &[BackendId]) -> Option<BackendId> {
        let may = |id| self.is_in_rotation(id) && !self.balancer.candidate(id).is_full();
        let suspects = self.ids().filter(|&id| self.health(id).state() == State::Suspect);
        let untried = suspects.filter(|id| !tried.contains(id) && may(*id));
        untried.min_by_key(|&id| self.health(id).silence().since())
    }

    /// Whether a request that waits for a suspect would be answered sooner by another backend: one
    /// that is up and idle, or known to work on several requests at a time.
    pub fn can_do_better(&self, than: BackendId) -> bool {
        self.ids().any(|id| {
            let silence = self.health(id).silence();
            id != than
                && self.balancer.candidate(id).is_eligible()
                && !silence.is_suspect()
                && (silence.outstanding() == 0 || silence.is_concurrent())
        })
    }

    /// Whether another backend than these could be picked now.
    pub fn has_other(&self, tried: &[BackendId], than: BackendId) -> bool {
        self.ids().any(|id| {
            id != than && !tried.contains(&id) && self.balancer.candidate(id).is_eligible()
        })
    }

    /// A pair was made; true when it is time to probe all backends (`-R`).
    #[must_use]
    pub fn began(&mut self, backend: BackendId) -> bool {
        self.balancer.began(backend);
        self.since_probes = self.since_probes.saturating_add(1);
        let due = self.settings.per_requests.is_some_and(|limit| self.since_probes >= limit);
        if due {
            self.since_probes = 0;
        }
        due
    }

    /// A request was sent; whether that may change [`Cluster::silence_next`].
    pub fn request_sent(&mut self, backend: BackendId, origin: Origin, sent: Instant) -> bool {
        let backend = self.at(backend);
        backend.idle.starvation.sent(origin, sent);
        backend.health.silence_mut().sent(sent)
    }

    /// The response to a request has begun; the change of belief, if any, is in force when this
    /// returns.
    pub fn request_answered(
        &mut self,
        backend: BackendId,
        origin: Origin,
        sent: Instant,
        now: Instant,
    ) -> Option<Transition> {
        let Backend { idle, health, .. } = self.at(backend);
        idle.starvation.answered(origin, now);
        if !health.answered(sent, now) {
            return None;
        }
        self.put_belief_in_force(backend, State::Suspect, &Transition::Cleared, now);
        Some(Transition::Cleared)
    }

    /// A request ended without a response.
    pub fn request_abandoned(&mut self, backend: BackendId, origin: Origin, sent: Instant) {
        let backend = self.at(backend);
        backend.health.silence_mut().abandoned(sent);
        backend.idle.starvation.abandoned(origin);
    }

    /// A request failed on it without a response.
    pub fn failed(&mut self, backend: BackendId, now: Instant) {
        self.balancer.failed(backend, None, now);
    }

    /// It has answered a request of a client, and the response ends `now`; the change of belief, if
    /// any, is in force when this returns.
    pub fn served(
        &mut self,
        backend: BackendId,
        served: &Served<'_>,
        now: Instant,
    ) -> Option<Transition> {
        let Served { status, sent, answered, .. } = *served;
        let micros = answered.micros_since(sent);
        if outlier::is_error(status) {
            return self.erred(backend, served, now);
        }
        self.balancer.served(backend, micros, answered);
        match self.at(backend).health.served_while_up() {
            true => None,
            // Not since it was answered, which may be long ago: a slow start begins with the first
            // request that it can get.
            false => self.observe(backend, Observation::Served { sent }, now),
        }
    }

    #[cold]
    fn erred(
        &mut self,
        backend: BackendId,
        served: &Served<'_>,
        now: Instant,
    ) -> Option<Transition> {
        let Served { client, sent, answered, .. } = *served;
        self.balancer.failed(backend, Some(answered.micros_since(sent)), answered);
        // The clients of unix sockets count as one.
        let client = client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip);
        self.observe(backend, Observation::Erred { sent, client }, now)
    }

    /// Whether it may work on one request at a time, see [`Silence::served_beside`].
    ///
    /// [`Silence::served_beside`]: health::Silence::served_beside
    pub fn may_be_sequential(&self, backend: BackendId) -> bool {
        !self.health(backend).silence().is_concurrent()
    }

    /// It served a new connection while an older one was open.
    pub fn served_beside(&mut self, backend: BackendId) {
        self.at(backend).health.silence_mut().served_beside();
    }

    /// A byte of it came; whether [`Cluster::silence_next`] may be due sooner than before.
    pub fn heard(&mut self, backend: BackendId, now: Instant) -> bool {
        self.at(backend).health.silence_mut().heard(now)
    }

    /// Whether a response, or its absence, may make [`Cluster::silence_next`] due sooner.
    pub fn may_be_due_sooner(&self, backend: BackendId) -> bool {
        let backend = &self.backends[backend.index()];
        backend.probe.is_some() || backend.health.silence().is_threshold_raised()
    }

    /// Requests that waited for a suspect were looked at; see [`Silence::rerouted`].
    ///
    /// [`Silence::rerouted`]: health::Silence::rerouted
    pub fn rerouted(&mut self, backend: BackendId, count: u16, next: Option<Instant>) {
        self.at(backend).health.silence_mut().rerouted(count, next);
    }

    /// How long a request waits for a suspect before it is sent elsewhere.
    pub fn reroute_after(&self, backend: BackendId) -> Duration {
        self.health(backend).silence().reroute_after()
    }

    /// How long a connect to it may take before it is late.
    pub fn late_after(&self, backend: BackendId) -> Duration {
        self.health(backend).silence().late_after()
    }

    /// What to do next if it sends nothing, and when; `probe`: when the probe under way last made
    /// progress. Without probes a slow backend looks like one that is stuck.
    pub fn silence_next(
        &self,
        backend: BackendId,
        probe: Option<Instant>,
    ) -> Option<(Instant, Action)> {
        let watched = self.settings.check != Check::Off && self.is_probed(backend);
        watched.then(|| self.health(backend).silence_next(probe)).flatten()
    }

    /// Suspects with requests that wait for them.
    pub fn stalled(&self) -> impl Iterator<Item = BackendId> + use<'_> {
        self.ids().filter(|&id| {
            let silence = self.health(id).silence();
            silence.is_suspect() && silence.outstanding() > 0
        })
    }

    /// A probe passed: for the policies that go by its time or its report.
    pub fn probed(&mut self, backend: BackendId, took: Duration, body: &[u8]) {
        self.balancer.probed(backend, took.as_micros() as u64);
        if let Some(report) = health::check::load_report(body) {
            self.balancer.report(backend, report.requests, report.errors);
        }
    }

    /// Evidence about a backend; the change of belief, if any, is in force when this returns.
    pub fn observe(
        &mut self,
        backend: BackendId,
        observation: Observation,
        now: Instant,
    ) -> Option<Transition> {
        let in_rotation = self.is_in_rotation(backend);
        let health = &mut self.backends[backend.index()].health;
        let before = health.state();
        // Whether requests could go to another backend than this one.
        let itself = in_rotation && before == State::Up;
        let others = if self.up > usize::from(itself) { Others::SomeUp } else { Others::NoneUp };
        let transition = health.observe(observation, others, &self.settings, now)?;
        self.put_belief_in_force(backend, before, &transition, now);
        Some(transition)
    }

    #[cold]
    fn put_belief_in_force(
        &mut self,
        backend: BackendId,
        before: State,
        transition: &Transition,
        now: Instant,
    ) {
        if self.is_in_rotation(backend) {
            self.count_up(backend, before, self.health(backend).state());
        }
        if let Transition::Up(_) = transition {
            self.warm(backend, now);
        }
    }

    /// This address could not be connected to; see [`Addresses::failed`].
    ///
    /// [`Addresses::failed`]: super::addresses::Addresses::failed
    pub fn address_failed(
        &mut self,
        backend: BackendId,
        address: &Address,
        fault: ConnectFault,
    ) -> ConnectFailure {
        self.at(backend).addresses.failed(address, fault)
    }

    /// The current address was connected to.
    pub fn address_works(&mut self, backend: BackendId) {
        self.at(backend).addresses.works();
    }

    /// Whether a connection to a backend in rotation that just became idle is worth keeping; see
    /// [`Idle::has_room`].
    pub fn wants_idle(
        &mut self,
        backend: BackendId,
        (now, period): (Instant, Duration),
        is_open: impl Fn(UpstreamKey) -> bool,
    ) -> bool {
        let in_use = self.balancer.in_flight(backend) as usize;
        let Backend { health, idle, .. } = self.at(backend);
        // A suspect may have a thread for each connection, and answer once they are closed.
        health.state() != State::Suspect && idle.has_room(in_use, now, period, is_open)
    }

    /// The keys of its idle connections; those that were closed find nothing.
    pub fn pooled(&self, backend: BackendId) -> &[UpstreamKey] {
        self.backends[backend.index()].idle.keys()
    }

    /// The record of choices, to add to it or to take from it.
    pub fn record(&mut self) -> &mut Recorder {
        &mut self.balancer
    }

    /// Whether there is one.
    pub fn is_recording(&self) -> bool {
        self.balancer.is_recording()
    }

    /// Whether there are probes at all; without, a backend is trusted again after its interval.
    pub fn check(&self) -> Check {
        self.settings.check
    }

    /// How it is probed and judged.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

pub(super) fn balance_spec(spec: &BackendSpec) -> Spec {
    Spec {
        weight: spec.weight,
        backup: spec.backup,
        pairs_max: spec.pairs_max,
        admin: spec.admin,
        // The replay of a record knows nothing else.
        id: balance::hash(backend::recorded_name(spec).as_bytes()),
    }
}
