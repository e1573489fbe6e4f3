//! The probes of each backend: the one under way, the last one, and when the next is due.

use super::backend::ProbeResult;
use super::cluster::Cluster;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::health::{self, Check};
use crate::proxy::kinds::ProbeKey;
use std::time::Duration;

/// How often a backend's timer is set back at most.
const SET_BACK_INTERVAL: Duration = Duration::from_millis(100);

impl Cluster {
    /// Nothing is outstanding any more: whether the timer is to be set back to the next probe, as it
    /// would wake the program for nothing. Under load that would cost more than it saves.
    pub fn sets_timer_back(&mut self, backend: BackendId, now: Instant) -> bool {
        let has_checks = self.settings.check != Check::Off;
        let backend = self.at(backend);
        let sets_back = has_checks
            && backend.health.silence().outstanding() == 0
            && backend.probe.is_none()
            && now.since(backend.set_back_at) >= SET_BACK_INTERVAL;
        if sets_back {
            backend.set_back_at = now;
        }
        sets_back
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

    /// A probe is due: when it is due instead, if a response makes it unnecessary.
    pub fn put_off(&mut self, backend: BackendId, now: Instant) -> Option<Instant> {
        let until = self.health(backend).probe_put_off(&self.settings)?;
        if until <= now {
            return None;
        }
        self.at(backend).probe_due = until;
        Some(until)
    }

    /// Because of the number of requests: sooner than planned perhaps.
    pub fn bring_forward(&mut self, backend: BackendId, due: Instant) -> Instant {
        let backend = self.at(backend);
        backend.probe_due = backend.probe_due.min(due);
        backend.probe_due
    }

    /// Sets when the first probe is due.
    pub fn schedule_first(&mut self, backend: BackendId, now: Instant) -> Instant {
        let due = now + health::check::first_probe_in(&self.settings, &mut self.rng);
        self.backends[backend.index()].probe_due = due;
        due
    }

    /// The probe under way, to set or to read.
    pub fn probe(&mut self, backend: BackendId) -> &mut Option<ProbeKey> {
        &mut self.backends[backend.index()].probe
    }

    /// The probe under way.
    pub fn probe_of(&self, backend: BackendId) -> Option<ProbeKey> {
        self.backends[backend.index()].probe
    }

    /// What its last probe came to; none before the first one has ended.
    pub fn last_probe(&self, backend: BackendId) -> Option<&ProbeResult> {
        self.backends[backend.index()].last_probe.as_ref()
    }

    /// The timer of the next probe, to look at.
    pub fn timer_of(&self, backend: BackendId) -> &Timer {
        &self.backends[backend.index()].timer
    }

    /// The timer of the next probe, to arm or to mark as fired.
    pub fn timer(&mut self, backend: BackendId) -> &mut Timer {
        &mut self.backends[backend.index()].timer
    }
}
