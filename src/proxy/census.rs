//! How much there is of everything, and what was counted: what tests compare with what they know.

use super::Proxy;
use super::client::slow_clients::Holds;
use super::kinds::ClientKey;
use crate::balance::AdminState;
use crate::net::Net;
use crate::observe::causes::ConnectKind;
use crate::observe::counters::Counters;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub struct Census {
    pub clients: usize,
    pub upstreams: usize,
    pub pairs: usize,
    pub probes: usize,
    /// Connections to the admin listener.
    pub admin_clients: usize,
    /// Requests in the queue.
    pub waiting: usize,
    pub slots_used: usize,
    /// Pairs that hold no slot.
    pub tunnels: usize,
    pub storages_lent: usize,
    /// What connections in TLS keep between two steps, in bytes.
    pub kept_bytes: usize,
    /// Size of the storages kept for reuse.
    pub spare_bytes: usize,
    pub pipes_lent: usize,
    pub timers: usize,
    /// How often a backend became a suspect because of its silence.
    pub suspicions: u64,
}

/// One backend, as it is believed to be.
#[derive(Clone, Debug)]
pub struct BackendCensus {
    /// `host:port`, with `localhost` for a bare port.
    pub name: String,
    /// It takes new requests; false for one that was removed and still has requests in flight.
    pub serving: bool,
    pub up: bool,
    /// It may get a request now: it is up, in rotation, and below its limit.
    pub is_eligible: bool,
    /// What is in force, by the list and by hand.
    pub admin: AdminState,
    pub weight: u32,
    pub in_flight: usize,
    /// Requests that were lost because it closed their pooled connection, where that is counted.
    pub races_lost: Option<u64>,
}

/// What was counted since the start, of the backends that are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Clients accepted.
    pub accepted: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Answers of this program.
    pub local: u64,
    /// Responses of backends, sessions included.
    pub responses: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// TLS handshakes for requests that failed, and health checks that did.
    pub handshake_failures: u64,
    pub probe_failures: u64,
}

impl<N: Net> Proxy<N> {
    /// What was counted; none without an admin listener.
    pub fn counted(&self) -> Option<Counted> {
        let exchanges = &self.exchanges;
        exchanges.context.config.admin.as_ref()?;
        let counters = exchanges.context.counted();
        let cluster = exchanges.upstreams.cluster();
        let local = counters.local().map(|(_, count)| count).sum();
        let Counters { accepted, requests, .. } = *counters;
        let mut counted = Counted { accepted, requests, local, ..Counted::default() };
        let backends =
            cluster.ids().filter_map(|id| cluster.snapshot(id, 0, exchanges.context.now));
        for counters in backends.map(|backend| backend.counters) {
            let failures =
                counters.connect_failures().filter(|(kind, _)| *kind == ConnectKind::Tls.name());
            counted.responses += counters.first_byte.count();
            counted.attempts += counters.attempts(0);
            counted.handshake_failures += failures.map(|(_, count)| count).sum::<u64>();
            counted.probe_failures += counters.probes_failed;
        }
        Some(counted)
    }

    /// The backends that are listed, and those removed ones with requests in flight.
    pub fn backend_census(&self) -> Vec<BackendCensus> {
        let cluster = self.exchanges.upstreams.cluster();
        let backends = cluster.ids().map(|backend| BackendCensus {
            name: cluster.name(backend).to_string(),
            serving: cluster.is_serving(backend),
            up: cluster.is_up(backend),
            is_eligible: cluster.is_eligible(backend),
            admin: cluster.spec(backend).admin,
            weight: cluster.spec(backend).weight,
            in_flight: cluster.in_flight(backend) as usize,
            races_lost: cluster.races_lost(backend),
        });
        backends.filter(|backend| backend.serving || backend.in_flight > 0).collect()
    }

    /// How much there is of everything.
    pub fn census(&self) -> Census {
        let (exchanges, context) = (&self.exchanges, &self.exchanges.context);
        Census {
            clients: self.clients.len(),
            upstreams: exchanges.upstreams.iter().count(),
            pairs: exchanges.pairs().len(),
            probes: exchanges.upstreams.probes().count(),
            admin_clients: self.admin_clients().count(),
            waiting: exchanges.admission.waiting(),
            slots_used: exchanges.admission.used(),
            tunnels: exchanges.admission.tunnels(),
            storages_lent: context.pool.in_use(),
            kept_bytes: context.net.kept_bytes(),
            spare_bytes: context.pool.spare_bytes(),
            pipes_lent: exchanges.upstreams.pipes_lent(),
            timers: context.wheel.len(),
            suspicions: exchanges.upstreams.suspicions(),
        }
    }

    /// The clients that hold a slot and that their requests wait for.
    pub fn waited_for(&mut self) -> Vec<ClientKey> {
        let mut keys = self.clients.keys();
        keys.retain(|&key| {
            let client = self.clients.get_mut(key).expect("a key of the table");
            self.exchanges.waits_for_client(client) == Some(Holds::Slot)
        });
        keys
    }
}
