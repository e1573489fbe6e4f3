//! Watching backends with outstanding requests: a silent one is probed, then avoided, then requests
//! that wait for it go elsewhere. How long that takes is decided by `health`.

use super::addresses::ConnectFailure;
use super::probe::Probe;
use super::{Effect, Upstreams};
use crate::base::address::Address;
use crate::base::backend_id::BackendId;
use crate::base::connect_fault::ConnectFault;
use crate::base::time::Instant;
use crate::health::{Action, Check, Observation};
use crate::net::Net;
use crate::proxy::context::LoopContext;
use crate::proxy::retry::Tried;
use std::num::NonZeroU64;
use std::time::Duration;

/// A request whose connect gets no answer goes elsewhere after this part of the connect time-out at
/// the latest,
const CONNECT_PART: u32 = 4;
/// though not before this.
const CONNECT_THRESHOLD_MIN: Duration = Duration::from_millis(100);

impl<N: Net> Upstreams<N> {
    /// What to do next if a backend sends nothing, and when.
    pub fn silence_next(&self, backend: BackendId) -> Option<(Instant, Action)> {
        let probe = self.cluster.probe_of(backend).and_then(|key| self.probes.get(key));
        self.cluster.silence_next(backend, probe.map(Probe::moved))
    }

    /// Makes sure that a backend's silence is looked at once it has lasted long enough.
    pub(super) fn watch_silence(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if let Some((due, _)) = self.silence_next(backend) {
            self.arm_probe(cx, backend, due);
        }
    }

    /// Does what a silence that has lasted long enough leads to.
    pub(super) fn judge_silence(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        let due = self.silence_next(backend).filter(|(due, _)| *due <= cx.now.instant);
        let Some((_, action)) = due else { return };
        match action {
            Action::Probe => self.probe_silent(cx, backend),
            Action::CloseIdle => {
                self.close_idle(cx, backend);
                self.observe(cx, backend, Observation::ProbeSlow);
            }
            Action::Avoid => {
                self.close_idle(cx, backend);
                self.observe(cx, backend, Observation::ProbeLate);
            }
            Action::Reroute => self.effects.push_back(Effect::RerouteDue(backend)),
        }
    }

    /// Has a silent backend probed at once; a probe that is under way will do.
    fn probe_silent(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        self.observe(cx, backend, Observation::Late);
        self.start_probe(cx, backend);
    }

    /// Our idle connections may hold the threads that would answer the probe.
    fn close_idle(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        let in_flight = self.cluster.in_flight(backend) as usize;
        let idle = self.cluster.idle(backend).take();
        let closed: Vec<_> = idle.into_iter().filter(|&key| self.get(key).is_some()).collect();
        if !closed.is_empty() {
            self.cluster.idle(backend).starvation.closed(in_flight + closed.len());
        }
        for key in closed {
            self.close(cx, key);
        }
    }

    /// Requests that waited for a suspect were looked at: `count` were sent elsewhere, the next is
    /// to be looked at at `next`.
    pub fn rerouted(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        count: u16,
        next: Option<Instant>,
    ) {
        self.cluster.rerouted(backend, count, next);
        self.watch_silence(cx, backend);
    }

    /// A byte of a backend came.
    pub fn heard(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if self.cluster.heard(backend, cx.now.instant) {
            self.watch_silence(cx, backend);
        }
    }

    /// How long a connect may take before another backend is tried, if there is one.
    pub fn connect_threshold(&self, cx: &LoopContext<N>, backend: BackendId) -> Duration {
        let whole = cx.config.timeouts.connect;
        let most = (whole / CONNECT_PART).max(CONNECT_THRESHOLD_MIN).min(whole);
        self.cluster.late_after(backend).min(most)
    }

    /// Until when a request that began to connect at `begun` waits on for the late connection: up
    /// to the full time-out when no other backend is left to try, but not a second time, and when
    /// it is of a `session` that the backend keeps. None when it does not wait any longer.
    pub fn extend_connect(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        tried: &mut Tried,
        (session, begun): (Option<NonZeroU64>, Instant),
    ) -> Option<Instant> {
        let (now, deadline) = (cx.now.instant, begun + cx.config.timeouts.connect);
        if deadline <= now {
            return None;
        }
        if !self.cluster.has_other(&tried.backends, backend) {
            let extends = !tried.connect_extended;
            tried.connect_extended = true;
            return extends.then_some(deadline);
        }
        if !session.is_some_and(|session| self.cluster.keeps_session(backend, session)) {
            return None;
        }
        // In pieces: once the probe has shown that the backend is down, the session goes elsewhere.
        if self.cluster.check() != Check::Off {
            self.probe_silent(cx, backend);
        }
        Some(deadline.min(now + self.connect_threshold(cx, backend)))
    }

    /// An attempt that began to connect at `begun` does not wait for the connection any longer;
    /// true when that speaks against the backend, false when another of its addresses is to be
    /// tried. Before the full time-out has passed it is no evidence yet if a probe can bring some.
    pub fn attempt_connect_expired(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: &Address,
        (begun, fault): (Instant, ConnectFault),
    ) -> bool {
        let whole = begun + cx.config.timeouts.connect <= cx.now.instant;
        if whole || self.cluster.check() == Check::Off {
            return self.attempt_not_connected(cx, backend, address, fault);
        }
        if let Some(counters) = self.cluster.account(backend).counters() {
            counters.connect_failed(fault.into());
        }
        let failure = self.cluster.address_failed(backend, address, fault);
        let counts = failure != ConnectFailure::TryNextAddress;
        if counts {
            self.probe_silent(cx, backend);
        }
        counts
    }
}
