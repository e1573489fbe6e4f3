//! What clients' requests say about a backend.

use super::Upstreams;
use super::cluster::ConnectFailure;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::health::Observation;
use crate::net::Net;
use crate::proxy::context::LoopContext;
use std::io;

impl<N: Net> Upstreams<N> {
    /// A request could not connect to the address numbered `address`.
    pub(super) fn connect_failed(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: usize,
        kind: io::ErrorKind,
    ) -> ConnectFailure {
        let failure = self.cluster.address_failed(backend, address, kind);
        if let ConnectFailure::AllAddressesFailed(kind) = failure {
            self.cluster.failed(backend, cx.now.instant);
            self.observe(cx, backend, Observation::ConnectFailed(kind));
        }
        failure
    }

    /// A client's attempt could not connect; true when that speaks against the backend, false when
    /// another of its addresses is to be tried.
    pub fn attempt_not_connected(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: usize,
        kind: io::ErrorKind,
    ) -> bool {
        self.connect_failed(cx, backend, address, kind) != ConnectFailure::TryNextAddress
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

    /// A request sent at `sent` was answered with this status at `answered`.
    pub fn attempt_answered(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        status: u16,
        (sent, answered): (Instant, Instant),
    ) {
        self.cluster.address_works(backend);
        let observation = self.cluster.served(backend, status, sent, answered);
        if let Some(transition) = self.cluster.observe(backend, observation, answered) {
            self.belief_changed(cx, backend, transition);
        }
    }
}
