//! Health checks: when they run, and their connections. What they send and how they are judged is
//! decided by `health::check`.

use crate::base::backend_id::BackendId;
use crate::base::buffer::Pool;
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::health::check;
use crate::health::{Check, Observation, ProbeFault, Settings, Transition};
use crate::http::body::Body;
use crate::http::chunked::Piece;
use crate::http::framing;
use crate::http::head::{self, Method, Parse, ResponseHead};
use crate::net::{self, Net, Socket};
use crate::proxy::conn::{Conn, Filled, Flushed, Input};
use crate::proxy::upstream::cluster::ConnectFailure;
use crate::proxy::{BackendKind, ProbeKey, Proxy};
use std::io;

/// Bytes of an answer's body that are looked at: a load report is two numbers.
const BODY_BYTES_MAX: usize = 64;

/// Reads of a probe before others get their turn.
const READS_MAX: usize = 4;

/// A health check's connection.
#[derive(Debug)]
pub struct Probe<S> {
    pub conn: Conn<S>,
    backend: BackendId,
    /// Which of the backend's addresses it leads to.
    at: usize,
    is_connecting: bool,
    /// Status and the rest of the body, once the head has come.
    answer: Option<(u16, Body)>,
    body: Vec<u8>,
    started: Instant,
    /// When it got on: started, or connected.
    moved: Instant,
    deadline: Instant,
    pub timer: Timer,
    /// It is in the run queue already.
    pub scheduled: bool,
}

impl<S> Probe<S> {
    /// When it has taken too long.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When it last got on.
    pub fn moved(&self) -> Instant {
        self.moved
    }
}

impl<S: Socket> Probe<S> {
    /// Moves what can move; the outcome, once there is one.
    fn advance(
        &mut self,
        settings: &Settings,
        host: &str,
        head: &mut ResponseHead,
        pool: &mut Pool,
    ) -> Option<Result<(), ProbeFault>> {
        if self.is_connecting {
            match self.connect(settings, host, pool) {
                Ok(false) => return None,
                Ok(true) if settings.check == Check::Tcp => return Some(Ok(())),
                Ok(true) => {}
                Err(error) => return Some(Err(ProbeFault::Connect(error.kind()))),
            }
        }
        if self.conn.flush(pool) == Flushed::Failed {
            return Some(Err(ProbeFault::Broken));
        }
        for _ in 0..READS_MAX {
            let filled = self.conn.fill(pool);
            if let Some(outcome) = self.read(settings, head) {
                return Some(outcome);
            }
            if filled != Filled::Something {
                break;
            }
        }
        None
    }

    /// True once connected, the request then being in the outbox.
    fn connect(&mut self, settings: &Settings, host: &str, pool: &mut Pool) -> io::Result<bool> {
        if !self.conn.writable {
            return Ok(false);
        }
        self.conn.writable = self.conn.socket.connected()?;
        self.is_connecting = !self.conn.writable;
        if !self.is_connecting && settings.check == Check::Http {
            let mut request = Vec::new();
            check::request(&settings.path, host, &mut request);
            self.conn.buffers.outbox.append(&request, pool);
        }
        Ok(!self.is_connecting)
    }

    /// Judges what has come so far.
    fn read(
        &mut self,
        settings: &Settings,
        head: &mut ResponseHead,
    ) -> Option<Result<(), ProbeFault>> {
        let broken = Some(Err(ProbeFault::Broken));
        let end = &mut self.conn.buffers;
        while self.answer.is_none() {
            match head::response(end.inbox.data(), head) {
                Parse::Partial if end.input == Input::Open => return None,
                Parse::Partial | Parse::Refused(_) => return broken,
                Parse::Complete => end.inbox.consume(head.bytes),
            }
            if head.status >= 200 {
                let Ok(body) = framing::response(head, Method::Get) else { return broken };
                self.answer = Some((head.status, body));
            }
        }
        let (status, body) = self.answer.as_mut()?;
        while !end.inbox.is_empty() && !body.is_ended() {
            let data = end.inbox.data();
            let count = match body.next(data) {
                Ok(Piece::Data(count)) => {
                    let wanted = count.min(BODY_BYTES_MAX.saturating_sub(self.body.len()));
                    self.body.extend_from_slice(&data[..wanted]);
                    count
                }
                Ok(Piece::Framing(count) | Piece::Extension(count)) => count,
                Err(_) => return broken,
            };
            end.inbox.consume(count);
        }
        let complete = body.is_ended() || (*body == Body::UntilClose && end.input == Input::Eof);
        if complete {
            return Some(check::judge(*status, settings.expect));
        }
        if end.input == Input::Open { None } else { broken }
    }
}

impl<N: Net> Proxy<N> {
    /// Plans the first probe of every backend.
    pub(in crate::proxy) fn schedule_first_probes(&mut self) {
        for backend in self.cluster.ids() {
            self.schedule_first_probe(backend);
        }
    }

    /// Plans the first probe of a backend.
    pub(in crate::proxy) fn schedule_first_probe(&mut self, backend: BackendId) {
        if self.cluster.check() != Check::Off {
            let due = self.cluster.schedule_first(backend, self.now.instant);
            self.arm_probe(backend, due);
        }
    }

    /// Probes every backend now, because of the number of requests.
    pub(in crate::proxy) fn probe_all(&mut self) {
        for backend in self.cluster.ids() {
            self.start_probe(backend);
        }
    }

    /// The timer of a backend has fired: it was silent for long enough, or its next probe is due.
    pub(in crate::proxy) fn step_backend(&mut self, backend: BackendId) {
        self.judge_silence(backend);
        if self.cluster.probe(backend).is_none() {
            let due = self.cluster.probe_due(backend);
            if due <= self.now.instant {
                self.start_probe(backend);
            } else {
                self.arm_probe(backend, due);
            }
        }
        self.watch_silence(backend);
    }

    pub(in crate::proxy) fn arm_probe(&mut self, backend: BackendId, due: Instant) {
        let id = Id::numbered::<BackendKind>(backend.index() as u32);
        self.wheel.arm(self.cluster.timer(backend), due, id);
    }

    pub(in crate::proxy) fn start_probe(&mut self, backend: BackendId) {
        if self.cluster.probe(backend).is_some() || !self.cluster.is_serving(backend) {
            return;
        }
        if self.cluster.check() == Check::Off {
            self.observe(backend, Observation::TrialDue);
            // It may have been too early.
            return self.plan_next_probe(backend);
        }
        let (address, at) = self.cluster.address(backend);
        match self.net.connect(address) {
            Ok(socket) => self.enter_probe(backend, at, socket),
            // Nothing to hold against the backend; the next probe comes at its time.
            Err(error) if net::is_shortage(&error) => self.plan_next_probe(backend),
            Err(error) => {
                self.missed_probe(backend, at, error.kind(), self.now.instant);
            }
        }
    }

    fn enter_probe(&mut self, backend: BackendId, at: usize, socket: N::Socket) {
        let now = self.now.instant;
        let key = self.probes.insert(Probe {
            conn: Conn::connecting(socket),
            backend,
            at,
            is_connecting: true,
            answer: None,
            body: Vec::new(),
            started: now,
            moved: now,
            deadline: now + self.config.health.timeout,
            timer: Timer::new(),
            scheduled: false,
        });
        let Some(probe) = self.probes.get_mut(key) else { return };
        if self.net.register(&mut probe.conn.socket, key.into()).is_err() {
            self.remove_probe(key);
            return self.plan_next_probe(backend);
        }
        self.wheel.arm(&mut probe.timer, probe.deadline, key.into());
        *self.cluster.probe(backend) = Some(key);
        self.watch_silence(backend);
    }

    /// Lets one probe do what it can.
    pub(in crate::proxy) fn step_probe(&mut self, key: ProbeKey) {
        let Some(probe) = self.probes.get_mut(key) else { return };
        let host = self.cluster.name(probe.backend);
        let settings = self.cluster.settings();
        let head = &mut self.heads.response;
        let was_connecting = probe.is_connecting;
        let outcome = match probe.advance(settings, host, head, &mut self.pool) {
            Some(outcome) => outcome,
            None if probe.deadline <= self.now.instant => Err(ProbeFault::TimedOut),
            None => {
                if was_connecting && !probe.is_connecting {
                    probe.moved = self.now.instant;
                }
                if probe.conn.readable && !probe.is_connecting {
                    self.later.push_back(key.into());
                    probe.scheduled = true;
                }
                probe.conn.settle(&mut self.pool);
                return self.wheel.arm(&mut probe.timer, probe.deadline, key.into());
            }
        };
        let (backend, started, at) = (probe.backend, probe.started, probe.at);
        let connecting = probe.is_connecting;
        let body = std::mem::take(&mut probe.body);
        self.remove_probe(key);
        *self.cluster.probe(backend) = None;
        match outcome {
            Err(ProbeFault::Connect(kind)) => self.missed_probe(backend, at, kind, started),
            Err(ProbeFault::TimedOut) if connecting => {
                self.missed_probe(backend, at, io::ErrorKind::TimedOut, started);
            }
            outcome => self.judge_probe(backend, started, outcome, &body),
        }
    }

    /// A probe could not connect: another address of the same name is tried before anything is
    /// held against the backend.
    fn missed_probe(
        &mut self,
        backend: BackendId,
        at: usize,
        kind: io::ErrorKind,
        started: Instant,
    ) {
        match self.cluster.address_failed(backend, at, kind) {
            ConnectFailure::TryNextAddress => self.start_probe(backend),
            ConnectFailure::NoLocalPort => self.plan_next_probe(backend),
            ConnectFailure::AllAddressesFailed(io::ErrorKind::TimedOut) => {
                self.judge_probe(backend, started, Err(ProbeFault::TimedOut), &[]);
            }
            ConnectFailure::AllAddressesFailed(kind) => {
                self.judge_probe(backend, started, Err(ProbeFault::Connect(kind)), &[]);
            }
        }
    }

    pub(in crate::proxy) fn remove_probe(&mut self, key: ProbeKey) {
        if let Some(mut probe) = self.probes.remove(key) {
            self.wheel.cancel(&mut probe.timer);
            probe.conn.close(&mut self.pool);
        }
    }

    fn judge_probe(
        &mut self,
        backend: BackendId,
        started: Instant,
        outcome: Result<(), ProbeFault>,
        body: &[u8],
    ) {
        let observation = match outcome {
            Ok(()) => {
                self.cluster.address_works(backend);
                self.cluster.probed(backend, self.now.instant.since(started), body);
                Observation::ProbePassed { started }
            }
            Err(fault) => Observation::ProbeFailed { started, fault },
        };
        self.plan_next_probe(backend);
        self.observe(backend, observation);
        // By what is believed now, which may be another interval than before.
        self.plan_next_probe(backend);
    }

    /// With checks off there is something to do only for a backend that is down: trusting it again.
    fn plan_next_probe(&mut self, backend: BackendId) {
        let idle = self.cluster.check() == Check::Off && self.cluster.is_up(backend);
        if idle || !self.cluster.is_serving(backend) {
            return;
        }
        let due = self.cluster.schedule(backend, self.now.instant);
        self.arm_probe(backend, due);
    }

    /// Takes in evidence about a backend. When the belief changes, or could soon, it is told and
    /// the next probe is planned anew.
    pub(in crate::proxy) fn observe(&mut self, backend: BackendId, observation: Observation) {
        let transition = self.cluster.observe(backend, observation, self.now.instant);
        if let Some(transition) = transition {
            self.tell(backend, &transition);
            match transition {
                Transition::Down(_) if !transition.is_hang() => {}
                Transition::Down(_) => self.reroute_stalled(backend),
                Transition::Up(_) => self.reroute_all_stalled(),
            }
            // Whoever waited for room may find it.
            self.admit_next();
        }
        self.probe_sooner(backend, transition.is_some());
        self.watch_silence(backend);
    }

    /// Plans the next probe anew after evidence, which may have changed what is believed.
    pub(in crate::proxy) fn probe_sooner(&mut self, backend: BackendId, changed: bool) {
        let idle = self.cluster.probe(backend).is_none();
        if !idle || !self.cluster.is_serving(backend) {
            return;
        }
        if self.cluster.check() != Check::Off {
            let due = self.cluster.hasten(backend, self.now.instant);
            self.arm_probe(backend, due);
        } else if changed {
            self.plan_next_probe(backend);
        }
    }
}
