//! What clients' requests say about a backend.

use super::Upstreams;
use super::addresses::ConnectFailure;
use super::cluster::Served;
use super::starvation::Origin;
use crate::base::address::Address;
use crate::base::backend_id::BackendId;
use crate::base::connect_fault::ConnectFault;
use crate::base::time::Instant;
use crate::health::Observation;
use crate::net::{HandshakeError, Net};
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::UpstreamKey;

impl<N: Net> Upstreams<N> {
    /// A request could not connect to this address.
    pub(super) fn connect_failed(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: &Address,
        fault: ConnectFault,
    ) -> ConnectFailure {
        if let Some(counters) = self.cluster.account(backend).counters() {
            counters.connect_failed(fault.into());
        }
        let failure = self.cluster.address_failed(backend, address, fault);
        if let ConnectFailure::AllAddressesFailed(fault) = failure {
            self.cluster.failed(backend, cx.now.instant);
            self.observe(cx, backend, Observation::ConnectFailed(fault));
        }
        failure
    }

    /// The words of a handshake that an attempt's upstream has failed in, if it has, are those of
    /// its backend from here on.
    pub fn note_handshake_failure(&mut self, key: UpstreamKey, backend: BackendId) {
        let failure = self.table.get_mut(key).and_then(|upstream| upstream.failure.take());
        let words = failure.map(|HandshakeError { words, .. }| words);
        self.cluster.at(backend).handshake_words = words;
    }

    /// A client's attempt could not connect; true when that speaks against the backend, false when
    /// another of its addresses is to be tried.
    pub fn attempt_not_connected(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: &Address,
        fault: ConnectFault,
    ) -> bool {
        self.connect_failed(cx, backend, address, fault) != ConnectFailure::TryNextAddress
    }

    /// A client's attempt failed after it had connected. `unanswered`: no byte of a response came.
    pub fn attempt_failed(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        unanswered: bool,
    ) {
        self.cluster.failed(backend, cx.now.instant);
        if unanswered {
            self.observe(cx, backend, Observation::Unanswered);
        }
    }

    /// A request was sent.
    pub fn request_sent(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        origin: Origin,
        sent: Instant,
    ) {
        if self.cluster.request_sent(backend, origin, sent) {
            self.watch_silence(cx, backend);
        }
    }

    /// The response to a request has begun.
    pub fn request_answered(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        origin: Origin,
        sent: Instant,
    ) {
        let now = cx.now.instant;
        if origin == Origin::New {
            self.note_concurrency(backend);
        }
        let may_be_due_sooner = self.cluster.may_be_due_sooner(backend);
        if let Some(transition) = self.cluster.request_answered(backend, origin, sent, now) {
            self.state_changed(cx, backend, transition);
        } else if may_be_due_sooner {
            self.watch_silence(cx, backend);
        }
        if self.cluster.sets_timer_back(backend, now) && self.cluster.is_probed(backend) {
            cx.wheel.cancel(self.cluster.timer(backend));
            self.arm_probe(cx, backend, self.cluster.probe_due(backend));
            // A suspect may have to be looked at before that.
            self.watch_silence(cx, backend);
        }
    }

    /// Something was answered on a new connection. If another one is open and idle, the backend did
    /// not have to close it first: it serves several at a time.
    pub(super) fn note_concurrency(&mut self, backend: BackendId) {
        if !self.cluster.may_be_sequential(backend) {
            return;
        }
        let is_open = |key: &UpstreamKey| self.get(*key).is_some_and(|it| it.conn.is_idle());
        if self.cluster.pooled(backend).iter().any(is_open) {
            self.cluster.served_beside(backend);
        }
    }

    /// A request ended without a response.
    pub fn request_abandoned(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        origin: Origin,
        sent: Instant,
    ) {
        self.cluster.request_abandoned(backend, origin, sent);
        if self.cluster.may_be_due_sooner(backend) {
            self.watch_silence(cx, backend);
        }
    }

    /// A response has ended, or as much of it as will come.
    pub fn attempt_answered(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        served: &Served<'_>,
    ) {
        self.cluster.address_works(backend);
        if let Some(transition) = self.cluster.served(backend, served, cx.now.instant) {
            self.state_changed(cx, backend, transition);
        }
    }
}
