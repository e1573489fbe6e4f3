//! The backends of the service: addresses, health, counters, idle connections, and the policy.

use super::pool::Idle;
use crate::balance::{self, AdminState, Balancer, Hint, Spec};
use crate::base::backend_id::BackendId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::{BackendSpec, Config};
use crate::health::{self, Action, Check, Health, Observation, Settings, Transition, outlier};
use crate::proxy::kinds::{ProbeKey, UpstreamKey};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

/// A configured backend with the addresses its name stands for.
#[derive(Clone, Debug)]
pub struct Member {
    pub spec: BackendSpec,
    /// In the order they are tried; at least one.
    pub addresses: Vec<SocketAddr>,
}

/// One backend.
#[derive(Debug)]
struct Backend {
    member: Member,
    /// As written, with `localhost` for a bare port.
    name: String,
    /// Which of the addresses is used now.
    at: usize,
    /// Addresses in a row that could not be connected to.
    misses: usize,
    /// What they failed with, taken together.
    fault: AddressFault,
    health: Health,
    idle: Idle,
    /// The probe under way.
    probe: Option<ProbeKey>,
    /// When the next probe is due.
    probe_due: Instant,
    timer: Timer,
}

impl Backend {
    fn new(member: &Member) -> Backend {
        assert!(!member.addresses.is_empty(), "a name that is not known makes no member");
        Backend {
            member: member.clone(),
            name: authority(&member.spec),
            at: 0,
            misses: 0,
            fault: AddressFault::None,
            health: Health::new(),
            idle: Idle::default(),
            probe: None,
            probe_due: Instant::START,
            timer: Timer::new(),
        }
    }
}

/// What the addresses of a backend that failed in a row say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressFault {
    None,
    /// None of those tried could be connected to.
    Failed(ErrorKind),
    /// This machine had no port left for one of them, so that nothing is known of the backend:
    /// the others may refuse because it listens on that one only.
    NoLocalPort,
}

/// What follows from an address that could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// Another address of the backend is to be tried.
    TryNextAddress,
    /// All have failed: evidence against the backend.
    AllAddressesFailed(ErrorKind),
    /// This machine had no port left for one of them: no evidence.
    NoLocalPort,
}

/// All backends.
pub struct Cluster {
    backends: Vec<Backend>,
    balancer: Balancer,
    settings: Settings,
    /// Requests since all backends were probed because of their number.
    since_probes: u32,
    rng: Rng,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cluster").field("backends", &self.backends).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster of `members`, all believed up; same seed, same choices.
    pub fn new(config: &Config, members: &[Member], seed: u64) -> Cluster {
        let specs: Vec<Spec> = members.iter().map(|member| balance_spec(&member.spec)).collect();
        Cluster {
            balancer: Balancer::new(config.strategy, &specs, seed),
            backends: members.iter().map(Backend::new).collect(),
            settings: config.health.clone(),
            since_probes: 0,
            rng: Rng::new(seed),
        }
    }

    /// Whether this backend exists and takes part.
    pub fn is_serving(&self, backend: BackendId) -> bool {
        backend.index() < self.backends.len()
            && self.balancer.candidate(backend).admin == AdminState::Ready
    }

    /// Adds a backend; its id may be that of one that was removed.
    pub fn add(&mut self, member: &Member) -> BackendId {
        let backend = self.balancer.add(balance_spec(&member.spec));
        match self.backends.get_mut(backend.index()) {
            Some(vacant) => *vacant = Backend::new(member),
            None => self.backends.push(Backend::new(member)),
        }
        backend
    }

    /// A backend gets no new request from here on, and leaves with its last pair. Returns its
    /// idle connections, to be closed.
    pub fn retire(&mut self, backend: BackendId) -> Vec<UpstreamKey> {
        self.balancer.set_draining(backend, true);
        self.leave_if_idle(backend);
        self.backends[backend.index()].idle.take()
    }

    /// Whether a backend that was removed has left by this.
    fn leave_if_idle(&mut self, backend: BackendId) -> bool {
        let candidate = self.balancer.candidate(backend);
        let leaves = candidate.admin == AdminState::Draining && candidate.in_flight == 0;
        if leaves {
            self.balancer.remove(backend);
        }
        leaves
    }

    /// The backends that take part, each with what it was made from.
    pub fn serving(&self) -> impl Iterator<Item = (BackendId, &Member)> {
        let serving = self.ids().filter(|&backend| self.is_serving(backend));
        serving.map(|backend| (backend, &self.backends[backend.index()].member))
    }

    /// The name of a backend that stays stands for these addresses now.
    pub fn set_addresses(&mut self, backend: BackendId, addresses: &[SocketAddr]) {
        assert!(!addresses.is_empty(), "a name that is not known changes nothing");
        let backend = &mut self.backends[backend.index()];
        if backend.member.addresses != addresses {
            backend.member.addresses = addresses.to_vec();
            (backend.at, backend.misses, backend.fault) = (0, 0, AddressFault::None);
        }
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

    /// Where to connect to now, and which of the backend's addresses that is.
    pub fn address(&self, backend: BackendId) -> (SocketAddr, usize) {
        let backend = &self.backends[backend.index()];
        (backend.member.addresses[backend.at], backend.at)
    }

    /// Whether it is believed up.
    pub fn is_up(&self, backend: BackendId) -> bool {
        self.backends[backend.index()].health.is_up()
    }

    /// Pairs in flight with it.
    pub fn in_flight(&self, backend: BackendId) -> u32 {
        self.balancer.in_flight(backend)
    }

    /// Its idle connections.
    pub fn idle(&mut self, backend: BackendId) -> &mut Idle {
        &mut self.backends[backend.index()].idle
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
        let name = |id| self.name(id).to_string();
        self.balancer.explain(backend, &Hint { tried, hash, now }).named(&name).to_string()
    }

    /// The least suspicious of those believed down, to be tried before giving up.
    pub fn last_resort(&self, tried: &[BackendId]) -> Option<BackendId> {
        let may = |id| self.is_serving(id) && !self.balancer.candidate(id).is_full();
        let untried = self.ids().filter(|id| !tried.contains(id) && may(*id));
        untried
            .filter_map(|id| Some((self.backends[id.index()].health.last_resort()?, id)))
            .min()
            .map(|(_, id)| id)
    }

    /// Whether a backend would take the request had it not as many already as it may.
    pub fn has_full(&self) -> bool {
        let serving = self.ids().filter(|&id| self.is_serving(id));
        serving.map(|id| self.balancer.candidate(id)).any(|one| one.up && one.is_full())
    }

    /// Whether another backend than these could be picked now.
    pub fn has_other(&self, tried: &[BackendId], than: BackendId) -> bool {
        self.ids().any(|id| {
            id != than && !tried.contains(&id) && self.balancer.candidate(id).is_eligible()
        })
    }

    /// A pair was made at `now`; true when it is time to probe all backends (`-R`).
    #[must_use]
    pub fn began(&mut self, backend: BackendId, now: Instant) -> bool {
        if self.balancer.in_flight(backend) == 0 {
            self.backends[backend.index()].health.owes(now);
        }
        self.balancer.began(backend);
        self.since_probes = self.since_probes.saturating_add(1);
        let due = self.settings.per_requests.is_some_and(|limit| self.since_probes >= limit);
        if due {
            self.since_probes = 0;
        }
        due
    }

    /// A pair ended; true if it was the last one of a backend that was removed.
    pub fn ended(&mut self, backend: BackendId) -> bool {
        self.balancer.ended(backend);
        self.leave_if_idle(backend)
    }

    /// The backends that are believed up, and all that take part.
    pub fn up_and_total(&self) -> (usize, usize) {
        let serving = self.ids().filter(|&backend| self.is_serving(backend));
        serving
            .fold((0, 0), |(up, total), backend| (up + usize::from(self.is_up(backend)), total + 1))
    }

    /// A request failed on it without a response.
    pub fn failed(&mut self, backend: BackendId, now: Instant) {
        self.balancer.failed(backend, None, now);
    }

    /// It answered a request sent at `sent` with this status: evidence for [`Cluster::observe`].
    pub fn served(
        &mut self,
        backend: BackendId,
        status: u16,
        sent: Instant,
        answered: Instant,
    ) -> Observation {
        let micros = answered.since(sent).as_micros() as u64;
        if outlier::is_error(status) {
            self.balancer.failed(backend, Some(micros), answered);
            Observation::Erred { sent, alone: self.is_alone(backend) }
        } else {
            self.balancer.served(backend, micros, answered);
            Observation::Served { sent }
        }
    }

    /// Whether no other backend is up.
    fn is_alone(&self, backend: BackendId) -> bool {
        let is_there = |&other: &BackendId| other != backend && self.is_serving(other);
        !self.ids().filter(is_there).any(|other| self.is_up(other))
    }

    /// A byte of it came; whether that is evidence worth an [`Observation::Heard`].
    pub fn heard(&mut self, backend: BackendId, now: Instant) -> bool {
        self.backends[backend.index()].health.heard(now)
    }

    /// How long a connect to it may take before it is late.
    pub fn late_after(&self, backend: BackendId) -> Duration {
        self.backends[backend.index()].health.late_after()
    }

    /// What comes next if nothing is heard of it, and when; `probe`: when the probe under way last
    /// got on. Without probes nobody could tell a slow backend from one that is stuck.
    pub fn silence_next(
        &self,
        backend: BackendId,
        probe: Option<Instant>,
    ) -> Option<(Instant, Action)> {
        let watched = self.settings.check != Check::Off && self.is_serving(backend);
        let owes = self.balancer.in_flight(backend) > 0;
        watched.then(|| self.backends[backend.index()].health.silence_next(owes, probe)).flatten()
    }

    /// Backends that answer no probes: what waits for them may wait in vain.
    pub fn hanging(&self) -> impl Iterator<Item = BackendId> + use<'_> {
        self.ids().filter(|id| self.backends[id.index()].health.hangs())
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
        let health = &mut self.backends[backend.index()].health;
        let transition = health.observe(observation, &self.settings, now)?;
        let up = health.is_up();
        self.balancer.set_up(backend, up);
        Some(transition)
    }

    /// The address numbered `at` could not be connected to, so the next one's turn comes. Once all
    /// have failed in a row the backend itself has.
    pub fn address_failed(
        &mut self,
        backend: BackendId,
        at: usize,
        kind: ErrorKind,
    ) -> ConnectFailure {
        let backend = &mut self.backends[backend.index()];
        if at != backend.at {
            // Somebody else has found that out before; the next attempt goes elsewhere.
            return ConnectFailure::TryNextAddress;
        }
        let count = backend.member.addresses.len();
        backend.at = (backend.at + 1) % count;
        backend.misses += 1;
        backend.fault = match (backend.fault, kind) {
            (AddressFault::NoLocalPort, _) | (_, ErrorKind::AddrNotAvailable) => {
                AddressFault::NoLocalPort
            }
            (AddressFault::None | AddressFault::Failed(_), kind) => AddressFault::Failed(kind),
        };
        if backend.misses < count {
            return ConnectFailure::TryNextAddress;
        }
        backend.misses = 0;
        match std::mem::replace(&mut backend.fault, AddressFault::None) {
            AddressFault::Failed(kind) => ConnectFailure::AllAddressesFailed(kind),
            AddressFault::None | AddressFault::NoLocalPort => ConnectFailure::NoLocalPort,
        }
    }

    /// The current address was connected to.
    pub fn address_works(&mut self, backend: BackendId) {
        let backend = &mut self.backends[backend.index()];
        (backend.misses, backend.fault) = (0, AddressFault::None);
    }

    /// Whether a connection that just became idle is worth keeping; see [`Idle::has_room`].
    pub fn wants_idle(
        &mut self,
        backend: BackendId,
        now: Instant,
        period: Duration,
        is_open: impl Fn(UpstreamKey) -> bool,
    ) -> bool {
        let in_use = self.balancer.in_flight(backend) as usize;
        self.is_serving(backend)
            && self.backends[backend.index()].idle.has_room(in_use, now, period, is_open)
    }

    /// The probe under way, to set or to read.
    pub fn probe(&mut self, backend: BackendId) -> &mut Option<ProbeKey> {
        &mut self.backends[backend.index()].probe
    }

    /// The same, to look at.
    pub fn probe_of(&self, backend: BackendId) -> Option<ProbeKey> {
        self.backends[backend.index()].probe
    }

    /// The keys of its idle connections; those that were closed find nothing.
    pub fn pooled(&self, backend: BackendId) -> &[UpstreamKey] {
        self.backends[backend.index()].idle.keys()
    }

    /// The timer of the next probe, to look at.
    pub fn timer_of(&self, backend: BackendId) -> &Timer {
        &self.backends[backend.index()].timer
    }

    /// The timer of the next probe, to arm or to mark as fired.
    pub fn timer(&mut self, backend: BackendId) -> &mut Timer {
        &mut self.backends[backend.index()].timer
    }

    /// When the next probe is due.
    pub fn probe_due(&self, backend: BackendId) -> Instant {
        self.backends[backend.index()].probe_due
    }

    /// Sets when the next probe is due, by what is believed now.
    pub fn schedule(&mut self, backend: BackendId, now: Instant) -> Instant {
        let span = self.backends[backend.index()].health.next_probe_in(&self.settings);
        let due = now + health::check::jitter(span, &mut self.rng);
        self.backends[backend.index()].probe_due = due;
        due
    }

    /// After evidence from a client's request: sooner than planned perhaps, never later, or
    /// requests that keep failing would put the probe off for ever.
    pub fn hasten(&mut self, backend: BackendId, now: Instant) -> Instant {
        let planned = self.backends[backend.index()].probe_due;
        let due = self.schedule(backend, now).min(planned.max(now));
        self.backends[backend.index()].probe_due = due;
        due
    }

    /// Sets when the first probe is due.
    pub fn schedule_first(&mut self, backend: BackendId, now: Instant) -> Instant {
        let due = now + health::check::first_probe_in(&self.settings, &mut self.rng);
        self.backends[backend.index()].probe_due = due;
        due
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

fn balance_spec(spec: &BackendSpec) -> Spec {
    Spec {
        weight: spec.weight,
        backup: spec.backup,
        pairs_max: spec.pairs_max,
        id: balance::hash(authority(spec).as_bytes()),
    }
}

/// `host:port` as it goes into `Host` and `Location`; a bare port is on this machine.
fn authority(spec: &BackendSpec) -> String {
    match spec.endpoint.host {
        Some(_) => spec.endpoint.to_string(),
        None => format!("localhost:{}", spec.endpoint.port),
    }
}
