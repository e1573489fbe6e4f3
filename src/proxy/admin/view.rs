//! The loop as the admin listener shows it.

use crate::base::backend_id::BackendId;
use crate::net::Net;
use crate::net::process::ProcessFigures;
use crate::observe::recent::Quantiles;
use crate::observe::snapshot::{Backend, BackendState, Process, Program, Readiness};
use crate::observe::status;
use crate::proxy::client::acceptor::Acceptor;
use crate::proxy::exchange::Exchanges;

/// Descriptors that are open all the time, see `serve::limits`.
const DESCRIPTORS_FIXED: usize = 13;

/// What the loop owns beside [`Exchanges`].
#[derive(Debug)]
pub struct Surroundings<'a, N: Net> {
    pub clients: usize,
    pub acceptor: &'a Acceptor<N>,
}

/// Everything there is to show, at one moment.
#[derive(Debug)]
pub struct View<'a, N: Net> {
    pub exchanges: &'a Exchanges<N>,
    pub surroundings: &'a Surroundings<'a, N>,
    pub process: ProcessFigures,
}

impl<N: Net> View<'_, N> {
    /// Everything but the backends, without what takes memory or time: where it listens, and the
    /// durations of the last minute. Each piece of a report asks for this.
    pub fn program(&self) -> Program<'_> {
        let (context, admission) = (&self.exchanges.context, &self.exchanges.admission);
        let in_flight = self.exchanges.pairs().len();
        let clients = self.surroundings.clients;
        let waiting = admission.waiting();
        Program {
            version: env!("CARGO_PKG_VERSION"),
            mode: context.config.mode.name(),
            strategy: context.config.strategy.name(),
            listen: Vec::new(),
            stage: context.phase.stage(),
            started_unix_ms: context.started_unix_ms,
            now_unix_ms: context.now.unix_ms,
            second: context.time.second,
            process: self.process(),
            backends: self.states(),
            in_flight: in_flight as u64,
            in_flight_max: admission.slots_max() as u64,
            queued: waiting as u64,
            clients: clients as u64,
            clients_idle: clients.saturating_sub(in_flight + waiting) as u64,
            log_lines_lost: context.logs.lost(),
            recent: Quantiles::default(),
            counters: context.counted(),
        }
    }

    fn process(&self) -> Process {
        let ProcessFigures { pid, cpu, resident_bytes, descriptors_max, .. } = self.process;
        let upstreams = &self.exchanges.upstreams;
        let sockets = || {
            DESCRIPTORS_FIXED
                + self.surroundings.clients
                + upstreams.iter().count()
                + upstreams.probes().count()
                + 2 * upstreams.pipes_lent()
        };
        let descriptors_open = self.process.descriptors_open.unwrap_or_else(|| sockets() as u64);
        Process { pid, cpu, resident_bytes, descriptors_open, descriptors_max }
    }

    /// The same with all of it; and the requests of the last minute at all backends.
    pub fn whole_program(&self) -> (Program<'_>, u64) {
        let (picks, recent) = self.last_minute();
        let listen = self.surroundings.acceptor.addresses().cloned().collect();
        (Program { recent, listen, ..self.program() }, picks)
    }

    /// How many backends are in which state.
    fn states(&self) -> [u64; BackendState::ALL.len()] {
        let cluster = self.exchanges.upstreams.cluster();
        let mut counts = [0; BackendState::ALL.len()];
        for state in cluster.ids().filter_map(|id| cluster.state_of(id)) {
            counts[state as usize] += 1;
        }
        counts
    }

    /// Whether it would serve.
    pub fn readiness(&self) -> Readiness {
        self.program().readiness()
    }

    /// The backend of this index; none of a removed one.
    pub fn backend(&self, index: usize) -> Option<Backend<'_>> {
        let cluster = self.exchanges.upstreams.cluster();
        let (backend, admission) = (BackendId::new(index), &self.exchanges.admission);
        let waiting = admission.waiting_for_room() + admission.sessions().waiting_for(backend);
        cluster.snapshot(backend, waiting, self.exchanges.context.now)
    }

    /// Backends, removed ones included.
    pub fn len(&self) -> usize {
        self.exchanges.upstreams.cluster().len()
    }

    /// Requests of the last minute at all backends, and how long they waited for responses.
    fn last_minute(&self) -> (u64, Quantiles) {
        let second = self.exchanges.context.time.second;
        let mut recent = Quantiles::default();
        let mut picks = 0;
        for backend in (0..self.len()).filter_map(|index| self.backend(index)) {
            picks += status::picks(&backend, second);
            backend.counters.add_recent(&mut recent, second);
        }
        (picks, recent)
    }
}
