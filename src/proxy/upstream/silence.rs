//! Watching backends with outstanding requests: a silent one is probed, and one that stays silent
//! is not waited for. How long that takes is decided by `health`.

use super::Upstreams;
use super::cluster::ConnectFailure;
use super::probe::Probe;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::health::{Action, Check, Observation};
use crate::net::Net;
use crate::proxy::context::LoopContext;
use crate::proxy::retry::Tried;
use std::io;
use std::time::Duration;

/// A request whose connect gets no answer goes elsewhere after this part of the connect time-out at
/// the latest,
const CONNECT_PART: u32 = 4;
/// though not before this.
const CONNECT_THRESHOLD_MIN: Duration = Duration::from_millis(100);

impl<N: Net> Upstreams<N> {
    /// What comes next if nothing is heard of a backend, and when.
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
        match self.silence_next(backend) {
            Some((due, Action::Probe)) if due <= cx.now.instant => self.suspect(cx, backend),
            Some((due, Action::GiveUp)) if due <= cx.now.instant => {
                self.observe(cx, backend, Observation::Silent);
            }
            Some(_) | None => {}
        }
    }

    /// Has a doubtful backend probed at once; a probe that is under way will do.
    fn suspect(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        self.observe(cx, backend, Observation::Doubtful);
        self.start_probe(cx, backend);
    }

    /// A byte of a backend came.
    pub fn heard(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if self.cluster.heard(backend, cx.now.instant) {
            self.observe(cx, backend, Observation::Heard);
        }
    }

    /// How long a connect may take before another backend is tried, if there is one.
    pub fn connect_threshold(&self, cx: &LoopContext<N>, backend: BackendId) -> Duration {
        let whole = cx.config.timeouts.connect;
        let most = (whole / CONNECT_PART).max(CONNECT_THRESHOLD_MIN).min(whole);
        self.cluster.late_after(backend).min(most)
    }

    /// Until when a request that began to connect at `begun` waits on for the late connection: up
    /// to the full time-out when no other backend is left to try, but not a second time. None when
    /// it does not wait any longer.
    pub fn extend_connect(
        &self,
        cx: &LoopContext<N>,
        backend: BackendId,
        tried: &mut Tried,
        begun: Instant,
    ) -> Option<Instant> {
        let deadline = begun + cx.config.timeouts.connect;
        let is_last = !self.cluster.has_other(&tried.backends, backend);
        let extends = is_last && !tried.connect_extended && deadline > cx.now.instant;
        tried.connect_extended |= extends;
        extends.then_some(deadline)
    }

    /// An attempt that began to connect at `begun` does not wait for the connection any longer;
    /// true when that speaks against the backend, false when another of its addresses is to be
    /// tried. Before the full time-out has passed it is no evidence yet if a probe can bring some.
    pub fn attempt_connect_expired(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: usize,
        begun: Instant,
    ) -> bool {
        let whole = begun + cx.config.timeouts.connect <= cx.now.instant;
        if whole || self.cluster.check() == Check::Off {
            return self.attempt_not_connected(cx, backend, address, io::ErrorKind::TimedOut);
        }
        let failure = self.cluster.address_failed(backend, address, io::ErrorKind::TimedOut);
        let counts = failure != ConnectFailure::TryNextAddress;
        if counts {
            self.suspect(cx, backend);
        }
        counts
    }
}
