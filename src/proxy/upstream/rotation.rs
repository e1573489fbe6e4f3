//! Which backends take part, and which of them take requests.

use super::account::Account;
use super::backend::{self, Backend, Member};
use super::cluster::{Cluster, balance_spec};
use crate::balance::{AdminState, Membership};
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::config::BackendSpec;
use crate::health::State;
use crate::proxy::standing::Counts;
use crate::wire::by_hand::ByHand;
use std::rc::Rc;

impl Cluster {
    /// Whether this backend exists and takes part.
    pub fn is_serving(&self, backend: BackendId) -> bool {
        backend.index() < self.backends.len()
            && self.balancer.candidate(backend).membership == Membership::Serving
    }

    /// Whether requests may go to this backend when it is up.
    pub fn is_in_rotation(&self, backend: BackendId) -> bool {
        backend.index() < self.backends.len() && self.balancer.candidate(backend).is_in_rotation()
    }

    /// Whether any backend in rotation is up and no suspect.
    pub fn has_any_up(&self) -> bool {
        self.up > 0
    }

    /// Whether any backend may get requests when it has room: one that is up, or else a suspect.
    pub fn has_usable(&self) -> bool {
        self.ids().any(|id| self.candidate(id).is_usable())
    }

    /// Whether this backend takes part and is to be probed.
    pub fn is_probed(&self, backend: BackendId) -> bool {
        self.is_serving(backend) && self.backends[backend.index()].spec.admin != AdminState::Down
    }

    /// Whether every backend that is probed has had a probe end.
    pub fn are_all_probed(&self) -> bool {
        let mut probed = self.ids().filter(|&backend| self.is_probed(backend));
        probed.all(|backend| self.backends[backend.index()].last_probe.is_some())
    }

    /// Adds a backend; its id may be that of one that was removed.
    pub fn add(&mut self, member: &Member, now: Instant) -> BackendId {
        let added = Backend::new(member, Account::new(self.counting, now));
        let name = backend::recorded_name(&added.spec);
        let backend = self.balancer.add(&name, balance_spec(&added.spec));
        self.sessions.add(backend, &added.name);
        match self.backends.get_mut(backend.index()) {
            Some(vacant) => *vacant = added,
            None => self.backends.push(added),
        }
        self.count_up(backend, State::Down, self.usable_state(backend));
        backend
    }

    /// A backend came back or was added: where there is a slow start, its share rises.
    pub fn warm(&mut self, backend: BackendId, now: Instant) {
        if self.warms {
            self.balancer.warm(backend, now);
        }
    }

    /// Applies what the list says of a backend now; returns what was in force before.
    pub fn reconfigure(&mut self, backend: BackendId, spec: &BackendSpec) -> BackendSpec {
        self.at(backend).listed = spec.clone();
        self.put_in_force(backend)
    }

    /// Applies what was set by hand of a backend; returns what was in force before.
    pub fn set_by_hand(&mut self, backend: BackendId, by_hand: ByHand) -> BackendSpec {
        self.at(backend).by_hand = by_hand;
        self.put_in_force(backend)
    }

    fn put_in_force(&mut self, backend: BackendId) -> BackendSpec {
        let before = self.usable_state(backend);
        let entry = self.at(backend);
        let spec = entry.by_hand.over(&entry.listed);
        let old = std::mem::replace(&mut entry.spec, spec.clone());
        let server = spec.tls_server();
        if old.tls_server() != server {
            entry.tls = server.map(Rc::new);
        }
        if old != spec {
            self.balancer.reconfigure(backend, balance_spec(&spec));
            self.count_up(backend, before, self.usable_state(backend));
        }
        old
    }

    /// A backend gets no new request from here on, and leaves with its last pair. What was set by
    /// hand of it is forgotten.
    pub fn retire(&mut self, backend: BackendId) {
        self.at(backend).by_hand = ByHand::default();
        let before = self.usable_state(backend);
        self.balancer.set_leaving(backend, true);
        self.count_up(backend, before, State::Down);
        self.leave_if_idle(backend);
    }

    /// The backend of this identity that was removed and has requests in flight.
    pub fn leaving(&self, spec: &BackendSpec) -> Option<BackendId> {
        let is_leaving = |&backend: &BackendId| {
            self.balancer.candidate(backend).membership == Membership::Leaving
                && self.backends[backend.index()].spec.identity() == spec.identity()
        };
        self.ids().find(is_leaving)
    }

    /// A backend that was removed and has not left takes part again: its limit goes on to count
    /// what is in flight, and it is as healthy as it was.
    pub fn readmit(&mut self, backend: BackendId) {
        self.balancer.set_leaving(backend, false);
        self.count_up(backend, State::Down, self.usable_state(backend));
    }

    /// A backend that was removed leaves with its last pair.
    fn leave_if_idle(&mut self, backend: BackendId) {
        let candidate = self.balancer.candidate(backend);
        if candidate.membership == Membership::Leaving && candidate.in_flight == 0 {
            self.balancer.remove(backend);
        }
    }

    /// The backends that take part, each with what it was made from.
    pub fn serving(&self) -> impl Iterator<Item = (BackendId, &BackendSpec)> {
        let serving = self.ids().filter(|&backend| self.is_serving(backend));
        serving.map(|backend| (backend, &self.backends[backend.index()].spec))
    }

    /// What the list says of it.
    pub fn listed(&self, backend: BackendId) -> &BackendSpec {
        &self.backends[backend.index()].listed
    }

    /// What is in force.
    pub fn spec(&self, backend: BackendId) -> &BackendSpec {
        &self.backends[backend.index()].spec
    }

    /// A pair ended; true if it was the last one of a backend that gets no other.
    pub fn ended(&mut self, backend: BackendId) -> bool {
        self.balancer.ended(backend);
        let is_last = self.in_flight(backend) == 0 && !self.is_in_rotation(backend);
        self.leave_if_idle(backend);
        is_last
    }

    /// How many backends there are, by what requests can expect of them.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (backend, spec) in self.serving() {
            counts.total += 1;
            match spec.admin {
                AdminState::Ready => counts.up += usize::from(self.is_up(backend)),
                AdminState::Drain => counts.draining += 1,
                AdminState::Down => counts.disabled += 1,
            }
        }
        counts
    }

    /// What is believed of a backend, as far as requests may go to it.
    pub(super) fn usable_state(&self, backend: BackendId) -> State {
        match self.is_in_rotation(backend) {
            true => self.health(backend).state(),
            false => State::Down,
        }
    }

    /// A backend in rotation is in another state. The policy sees the suspects only while no other
    /// backend is up.
    pub(super) fn count_up(&mut self, backend: BackendId, before: State, after: State) {
        let had_some = self.up > 0;
        self.up -= usize::from(before == State::Up);
        self.up += usize::from(after == State::Up);
        if had_some == (self.up > 0) {
            return self.balancer.set_up(backend, self.is_usable(backend));
        }
        for backend in self.ids().filter(|&id| self.is_serving(id)).collect::<Vec<_>>() {
            self.balancer.set_up(backend, self.is_usable(backend));
        }
    }

    fn is_usable(&self, backend: BackendId) -> bool {
        match self.health(backend).state() {
            State::Up => true,
            State::Suspect => self.up == 0,
            State::Down => false,
        }
    }
}
