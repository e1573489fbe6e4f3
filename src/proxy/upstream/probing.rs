//! Health checks: when they run, and what follows from their outcome.

use super::Upstreams;
use super::addresses::ConnectFailure;
use super::backend::ProbeResult;
use super::probe::{Probe, ProbeStage};
use crate::base::address::Address;
use crate::base::backend_id::BackendId;
use crate::base::connect_fault::{ConnectFault, HandshakeFault};
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::health::{Check, Observation, Pace, Page, ProbeFault};
use crate::net::{self, HandshakeError, Net, Ready};
use crate::proxy::conn::Conn;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{BackendKind, ProbeKey};
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Probes that start at once because of the number of requests, and how soon as many more do.
const PROBES_PER_STEP: usize = 16;
const PROBE_STEP: Duration = Duration::from_millis(1);

impl<N: Net> Upstreams<N> {
    /// Remembers what the kernel reported of a probe, and has it stepped.
    pub fn mark_probe(&mut self, cx: &mut LoopContext<N>, key: ProbeKey, ready: &Ready) {
        if let Some(probe) = self.probes.get_mut(key) {
            probe.conn.mark(ready);
            cx.schedule.this_turn(key.into(), &mut probe.scheduled);
        }
    }

    /// The timer's node has fired.
    pub fn probe_timer_fired(&mut self, cx: &mut LoopContext<N>, key: ProbeKey) {
        if let Some(probe) = self.probes.get_mut(key) {
            probe.timer.fired();
            cx.schedule.this_turn(key.into(), &mut probe.scheduled);
        }
    }

    /// The timer of a backend has fired: it is stepped behind every connection whose bytes have
    /// come, as they may end its silence.
    pub fn backend_timer_fired(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        self.cluster.timer(backend).fired();
        cx.schedule.backend(Id::numbered::<BackendKind>(backend.index() as u32));
    }

    /// Plans the first probe of every backend.
    pub fn schedule_first_probes(&mut self, cx: &mut LoopContext<N>) {
        for backend in self.cluster.ids() {
            self.schedule_first_probe(cx, backend);
        }
    }

    /// Plans the first probe of a backend.
    pub(super) fn schedule_first_probe(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if self.cluster.check() != Check::Off && self.cluster.is_probed(backend) {
            let due = self.cluster.schedule_first(backend, cx.now.instant);
            self.arm_probe(cx, backend, due);
        }
    }

    /// Probes every backend that is up because of the number of requests: the first ones now, the
    /// others soon, so that a long list is not connected to in one turn. Those that are down keep
    /// to their schedule.
    pub(super) fn probe_all(&mut self, cx: &mut LoopContext<N>) {
        let is_due = |id: &BackendId| self.cluster.is_probed(*id) && self.cluster.is_up(*id);
        let up: Vec<_> = self.cluster.ids().filter(is_due).collect();
        for (step, group) in (0..).zip(up.chunks(PROBES_PER_STEP)) {
            for &backend in group {
                if step == 0 {
                    self.start_probe(cx, backend);
                } else if self.cluster.probe_of(backend).is_none() {
                    let due = cx.now.instant + PROBE_STEP * step;
                    let due = self.cluster.bring_forward(backend, due);
                    self.arm_probe(cx, backend, due);
                }
            }
        }
    }

    /// The timer of a backend has fired: it was silent for long enough, or its next probe is due.
    pub fn step_backend(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        self.judge_silence(cx, backend);
        if self.cluster.probe(backend).is_none() {
            let due = self.cluster.probe_due(backend);
            let due = match due <= cx.now.instant {
                true => self.cluster.put_off(backend, cx.now.instant).unwrap_or(due),
                false => due,
            };
            if due <= cx.now.instant {
                self.start_probe(cx, backend);
            } else {
                self.arm_probe(cx, backend, due);
            }
        }
        self.watch_silence(cx, backend);
    }

    pub(super) fn arm_probe(&mut self, cx: &mut LoopContext<N>, backend: BackendId, due: Instant) {
        let id = Id::numbered::<BackendKind>(backend.index() as u32);
        cx.wheel.arm(self.cluster.timer(backend), due, id);
    }

    pub(super) fn start_probe(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if self.cluster.probe(backend).is_some() || !self.cluster.is_probed(backend) {
            return;
        }
        if self.cluster.check() == Check::Off {
            self.observe(cx, backend, Observation::TrialDue);
            // It may have been too early.
            return self.plan_next_probe(cx, backend);
        }
        let address = self.cluster.address(backend).clone();
        match cx.net.connect(&address, self.cluster.tls(backend).map(Rc::as_ref)) {
            Ok(socket) => self.enter_probe(cx, backend, address, socket),
            // Nothing to hold against the backend; the next probe comes at its time.
            Err(error) if net::is_shortage(&error) => self.plan_next_probe(cx, backend),
            Err(error) => {
                self.missed_probe(cx, backend, &address, error.kind().into(), cx.now.instant);
            }
        }
    }

    fn enter_probe(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: Address,
        socket: N::Socket,
    ) {
        let now = cx.now.instant;
        let mut conn = Conn::connecting(socket);
        let key = self.probes.vacant_key();
        if conn.register(&mut cx.net, key.into()).is_err() {
            conn.close(&mut cx.pool);
            return self.plan_next_probe(cx, backend);
        }
        let deadline = now + cx.config.health.timeout;
        let header = self.cluster.spec(backend).send_proxy;
        let mut probe = Probe::new(conn, backend, (address, header), now, deadline);
        cx.wheel.arm(&mut probe.timer, probe.deadline, key.into());
        assert!(self.probes.insert(probe) == key, "the key that was registered is the entry's");
        *self.cluster.probe(backend) = Some(key);
        self.watch_silence(cx, backend);
    }

    /// Lets one probe do what it can.
    pub fn step_probe(&mut self, cx: &mut LoopContext<N>, key: ProbeKey) {
        let Some(probe) = self.probes.get_mut(key) else { return };
        probe.scheduled = false;
        if probe.waits_with_handshake() && !cx.handshake_steps.has_one() {
            return cx.schedule.handshake(key.into(), &mut probe.scheduled);
        }
        let host = self.cluster.host(probe.backend);
        let settings = self.cluster.settings();
        let head = &mut self.probe_head;
        let was = probe.stage;
        let advanced = probe.advance(settings, host, head, (&mut cx.pool, &mut cx.handshake_steps));
        let outcome = match advanced {
            Some(outcome) => outcome,
            None if probe.deadline <= cx.now.instant => Err(ProbeFault::TimedOut),
            None => {
                if was != probe.stage {
                    probe.moved = cx.now.instant;
                }
                if probe.conn.is_readable() && probe.reads(settings) {
                    cx.schedule.next_turn(key.into(), &mut probe.scheduled);
                }
                probe.conn.settle(&mut cx.pool);
                return cx.wheel.arm(&mut probe.timer, probe.deadline, key.into());
            }
        };
        let (backend, started, address) = (probe.backend, probe.started, probe.address().clone());
        let stage = probe.stage;
        if let Some(HandshakeError { words, .. }) = probe.failure.take() {
            self.cluster.at(backend).handshake_words = Some(words);
        }
        let body = std::mem::take(&mut probe.body);
        self.remove_probe(cx, key);
        *self.cluster.probe(backend) = None;
        match outcome {
            Err(ProbeFault::Connect(fault)) => {
                self.missed_probe(cx, backend, &address, fault, started)
            }
            Err(ProbeFault::TimedOut) if stage == ProbeStage::Connecting => {
                self.missed_probe(cx, backend, &address, io::ErrorKind::TimedOut.into(), started);
            }
            Err(ProbeFault::TimedOut) if stage == ProbeStage::Handshake => {
                let fault = HandshakeFault::TimedOut;
                self.cluster.at(backend).handshake_words = None;
                let fault = ConnectFault::Handshake(fault);
                self.missed_probe(cx, backend, &address, fault, started);
            }
            outcome => self.judge_probe(cx, backend, started, outcome, &body),
        }
    }

    /// A probe could not connect: another address of the same name is tried before anything is
    /// held against the backend.
    fn missed_probe(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        address: &Address,
        fault: ConnectFault,
        started: Instant,
    ) {
        match self.cluster.address_failed(backend, address, fault) {
            ConnectFailure::TryNextAddress => self.start_probe(cx, backend),
            ConnectFailure::NoLocalPort => self.plan_next_probe(cx, backend),
            ConnectFailure::AllAddressesFailed(fault) => {
                self.judge_probe(cx, backend, started, Err(ProbeFault::Connect(fault)), &[]);
            }
        }
    }

    pub(super) fn remove_probe(&mut self, cx: &mut LoopContext<N>, key: ProbeKey) {
        if let Some(mut probe) = self.probes.remove(key) {
            cx.wheel.cancel(&mut probe.timer);
            probe.conn.close(&mut cx.pool);
        }
    }

    fn judge_probe(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        started: Instant,
        outcome: Result<Page, ProbeFault>,
        body: &[u8],
    ) {
        let took = cx.now.instant.since(started);
        let entry = self.cluster.at(backend);
        let words = entry.handshake_words.clone();
        let words = words.filter(|_| outcome.is_err_and(ProbeFault::is_handshake));
        entry.last_probe = Some(ProbeResult { took, outcome, words });
        if let Some(counters) = self.cluster.account(backend).counters() {
            let count = match outcome {
                Ok(_) => &mut counters.probes_ok,
                Err(_) => &mut counters.probes_failed,
            };
            *count += 1;
        }
        let observation = match outcome {
            Ok(page) => {
                self.cluster.address_works(backend);
                self.note_concurrency(backend);
                self.cluster.probed(backend, took, body);
                self.report_missing_page(cx, backend, page);
                Observation::ProbePassed { started, page }
            }
            Err(fault) => Observation::ProbeFailed { started, fault },
        };
        self.plan_next_probe(cx, backend);
        self.observe(cx, backend, observation);
        // By what is believed now, which may be another interval than before.
        self.plan_next_probe(cx, backend);
    }

    /// The first backend without the default health check is reported, with what can be done.
    fn report_missing_page(&mut self, cx: &mut LoopContext<N>, backend: BackendId, page: Page) {
        let settings = self.cluster.settings();
        if page == Page::Missing && settings.pace == Pace::Default && !self.missing_page_reported {
            self.missing_page_reported = true;
            cx.logs.event(format_args!(
                "backend {} answers 404 to {} {}: where there is no health check, backends are \
                 probed after 10 s without a response; name one with --health-path PATH, or \
                 choose --health tcp",
                self.cluster.name(backend),
                settings.method.name(),
                settings.path,
            ));
        }
    }

    /// With checks off there is something to do only for a backend that is down: trusting it again.
    pub(super) fn plan_next_probe(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        let idle = self.cluster.check() == Check::Off && self.cluster.is_up(backend);
        if idle || !self.cluster.is_probed(backend) {
            return;
        }
        let due = self.cluster.schedule(backend, cx.now.instant);
        self.arm_probe(cx, backend, due);
    }

    /// Plans the next probe again after evidence, which may have changed what is believed.
    pub(super) fn probe_sooner(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        changed: bool,
    ) {
        let idle = self.cluster.probe(backend).is_none();
        if !idle || !self.cluster.is_probed(backend) {
            return;
        }
        if self.cluster.check() != Check::Off {
            let due = self.cluster.hasten(backend, cx.now.instant);
            self.arm_probe(cx, backend, due);
        } else if changed {
            self.plan_next_probe(cx, backend);
        }
    }
}
