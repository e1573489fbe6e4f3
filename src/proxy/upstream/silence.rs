//! Watching backends that owe answers: who is silent is probed, who stays silent is not waited for.
//! How long that takes is decided by `health`.

use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::health::{Action, Check, Observation};
use crate::net::Net;
use crate::proxy::upstream::cluster::ConnectFailure;
use crate::proxy::upstream::probe::Probe;
use crate::proxy::{ClientKey, PairKey, Proxy};
use std::io;
use std::time::Duration;

/// A request whose connect stands still goes elsewhere after this part of the connect time-out at
/// the latest,
const CONNECT_PART: u32 = 4;
/// though not before this.
const CONNECT_PATIENCE_MIN: Duration = Duration::from_millis(100);

impl<N: Net> Proxy<N> {
    /// What comes next if nothing is heard of a backend, and when.
    pub(in crate::proxy) fn silence_next(&self, backend: BackendId) -> Option<(Instant, Action)> {
        let probe = self.cluster.probe_of(backend).and_then(|key| self.probes.get(key));
        self.cluster.silence_next(backend, probe.map(Probe::moved))
    }

    /// Makes sure that a backend's silence is looked at once it has lasted long enough.
    pub(in crate::proxy) fn watch_silence(&mut self, backend: BackendId) {
        if let Some((due, _)) = self.silence_next(backend) {
            self.arm_probe(backend, due);
        }
    }

    /// Does what a silence that has lasted long enough leads to.
    pub(in crate::proxy) fn judge_silence(&mut self, backend: BackendId) {
        match self.silence_next(backend) {
            Some((due, Action::Probe)) if due <= self.now.instant => self.suspect(backend),
            Some((due, Action::GiveUp)) if due <= self.now.instant => {
                self.observe(backend, Observation::Silent);
            }
            Some(_) | None => {}
        }
    }

    /// Has a doubtful backend probed at once; a probe that is under way will do.
    fn suspect(&mut self, backend: BackendId) {
        self.observe(backend, Observation::Doubtful);
        self.start_probe(backend);
    }

    /// A byte of a backend came.
    pub(in crate::proxy) fn heard(&mut self, backend: BackendId) {
        if self.cluster.heard(backend, self.now.instant) {
            self.observe(backend, Observation::Heard);
        }
    }

    /// How long a connect may take before somebody else is asked, if there is somebody.
    pub(in crate::proxy) fn connect_patience(&self, backend: BackendId) -> Duration {
        let whole = self.config.timeouts.connect;
        let most = (whole / CONNECT_PART).max(CONNECT_PATIENCE_MIN).min(whole);
        self.cluster.late_after(backend).min(most)
    }

    /// Whether a request waits on for a connection that is late: for the whole of the time, as
    /// nobody else is there to ask; but not a second time.
    pub(in crate::proxy) fn extend_connect_deadline(
        &mut self,
        key: ClientKey,
        pair: PairKey,
    ) -> bool {
        let (Some(pair), Some(client)) = (self.pairs.get_mut(pair), self.clients.get_mut(key))
        else {
            return false;
        };
        let connecting = self.upstreams.get(pair.upstream).is_some_and(|up| up.is_connecting);
        let deadline = pair.record.begun + self.config.timeouts.connect;
        let alone = !self.cluster.has_other(&pair.tried.backends, pair.backend);
        let bears = connecting && alone && !pair.tried.waited && deadline > self.now.instant;
        if bears {
            pair.tried.waited = true;
            client.deadline = deadline;
        }
        bears
    }

    /// A request that began to connect at `begun` does not wait for it any more. Before the whole
    /// of the time has passed that is no evidence yet if a probe can bring some.
    pub(in crate::proxy) fn connect_expired(
        &mut self,
        backend: BackendId,
        at: usize,
        begun: Instant,
    ) -> ConnectFailure {
        let whole = begun + self.config.timeouts.connect <= self.now.instant;
        if whole || self.cluster.check() == Check::Off {
            return self.connect_failed(backend, at, io::ErrorKind::TimedOut);
        }
        let missed = self.cluster.address_failed(backend, at, io::ErrorKind::TimedOut);
        if missed != ConnectFailure::TryNextAddress {
            self.suspect(backend);
        }
        missed
    }
}
