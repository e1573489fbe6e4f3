//! What holds between turns, swept over all tables: O(entries), so for the simulation only.

use super::Proxy;
use super::client::admission::Line;
use super::client::connection::Connection;
use super::client::listener::Service;
use super::client::per_client::Quota;
use super::client::request::RequestState;
use super::client::slow_clients::Holds;
use super::conn::Output;
use super::exchange::verdict::Phase;
use super::exchange::{Direction, Pair, Place};
use super::kinds::{ClientKey, UpstreamKey};
use super::upstream::{Upstream, UpstreamState};
use crate::balance::AdminState;
use crate::base::backend_id::BackendId;
use crate::base::buffer::LARGE_BYTES;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::EDIT_BYTES_MAX;
use crate::health::Check;
use crate::http::forward::GROWTH_BYTES_MAX;
use crate::net::Net;
use crate::observe::causes::ConnectKind;
use crate::observe::counters::Counters;
use std::time::Duration;

/// The wheel's tick: a node fires this much after its deadline at most.
const TICK: Duration = Duration::from_micros(1 << 10);

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

    /// Panics when the tables contradict one another or an owner waits that could move on. To be
    /// called between two turns.
    pub fn check_invariants(&self) {
        let (exchanges, upstreams) = (&self.exchanges, &self.exchanges.upstreams);
        assert!(exchanges.context.schedule.turn_is_over(), "a scheduled owner was not stepped");
        self.check_counts();
        self.check_storages();
        for (key, client) in self.clients.iter() {
            self.check_client(key, client);
        }
        self.admin_clients().for_each(|client| self.check_admin(client));
        for (_, pair) in exchanges.pairs().iter() {
            self.check_pair(pair);
        }
        for (key, upstream) in upstreams.iter() {
            match upstream.pair() {
                Some(pair) => {
                    let pair = exchanges.pairs().get(pair).expect("an upstream's pair is there");
                    assert!(pair.upstream == key, "a pair names its upstream back");
                }
                None => self.check_idle(key, upstream),
            }
        }
        for (_, probe) in upstreams.probes().filter(|(_, probe)| !probe.is_scheduled()) {
            self.check_timer(probe.timer(), probe.deadline(), "a probe");
        }
        for backend in upstreams.cluster().ids() {
            self.check_backend(backend);
        }
    }

    fn check_counts(&self) {
        let (exchanges, upstreams) = (&self.exchanges, &self.exchanges.upstreams);
        let (admission, cluster) = (&exchanges.admission, upstreams.cluster());
        let count = |is: fn(RequestState) -> bool| {
            self.clients.iter().filter(|(_, client)| is(client.request.state)).count()
        };
        let admitted = count(|state| state == RequestState::Admitted);
        let (pairs, used) = (exchanges.pairs().len(), admission.used());
        assert!(used <= admission.slots_max(), "no more slots are used than there are");
        let tunnels = exchanges.pairs().iter().filter(|(_, pair)| pair.place == Place::Tunnel);
        assert_eq!(admission.tunnels(), tunnels.count(), "what is counted is a tunnel");
        assert!(admission.tunnels() <= admission.tunnels_max(), "no more tunnels than allowed");
        let requests = pairs - admission.tunnels();
        assert_eq!(used, requests + admitted, "a slot is used by a pair or an admitted request");
        let waiting = count(|state| matches!(state, RequestState::WaitingForSlot(_)));
        assert_eq!(admission.waiting(), waiting, "what is counted waits in the queue");
        assert!(admission.waits_with_reason(), "no request waits for a free slot");
        let has_slot = used < admission.slots_max();
        for backend in admission.sessions().backends().filter(|_| has_slot) {
            let waits = |line| {
                let state = RequestState::WaitingForSlot(line);
                self.clients.iter().any(|(_, client)| client.request.state == state)
            };
            let is_behind_others = admission.waiting_open() > 0 || waits(Line::Session(backend));
            let waits = waits(Line::Session(backend))
                || (waits(Line::HalfClosedSession(backend)) && !is_behind_others);
            assert!(!waits || cluster.keeps_waiting(backend), "a session waits with a reason");
        }
        let is_awaited = |ticket| {
            let state = RequestState::AwaitingFile(ticket);
            self.clients.iter().any(|(_, client)| client.request.state == state)
        };
        assert!(exchanges.challenges.tickets().all(is_awaited), "a client waits for each file");
        let counted = self.clients.iter().filter(|(_, it)| it.quota == Quota::Taken).count();
        assert_eq!(exchanges.counted_connections(), counted, "what counts for its client is here");
        let clients_max = exchanges.context.limits.clients_max;
        assert!(self.clients.len() <= clients_max, "no more clients than allowed");
        let admin = self.admin_clients().filter(|it| it.timer().is_armed()).count();
        let control = self.control.iter().flat_map(|it| it.clients());
        let control = control.filter(|it| it.timer.is_armed()).count();
        let armed = admin
            + control
            + self.clients.iter().filter(|(_, it)| it.timer().is_armed()).count()
            + upstreams.iter().filter(|(_, it)| it.timer().is_armed()).count()
            + upstreams.probes().filter(|(_, it)| it.timer().is_armed()).count()
            + cluster.ids().filter(|&it| cluster.timer_of(it).is_armed()).count()
            + usize::from(self.list.is_planned())
            + usize::from(self.lookup.is_planned())
            + usize::from(self.slow_clients.timer().is_armed())
            + usize::from(exchanges.context.trim.is_planned());
        assert_eq!(exchanges.context.wheel.len(), armed, "each node in the wheel has its owner");
        let is_idle = |it: &Upstream<N::Socket>| matches!(it.state(), UpstreamState::Idle { .. });
        let idle = upstreams.iter().filter(|(_, it)| is_idle(it)).count();
        let pooled = cluster.ids().flat_map(|backend| cluster.pooled(backend));
        let pooled = pooled.filter(|&&key| upstreams.get(key).is_some()).count();
        assert_eq!(idle, pooled, "an idle upstream is in one pool, and only idle ones are");
    }

    fn check_storages(&self) {
        let upstreams = &self.exchanges.upstreams;
        let control = self.control.iter().flat_map(|it| it.clients());
        let held = self.admin_clients().map(|it| it.conn.storages()).sum::<usize>()
            + control.map(|it| it.conn.storages()).sum::<usize>()
            + self.clients.iter().map(|(_, it)| it.conn.storages()).sum::<usize>()
            + upstreams.iter().map(|(_, it)| it.conn.storages()).sum::<usize>()
            + upstreams.probes().map(|(_, it)| it.conn().storages()).sum::<usize>();
        assert_eq!(self.exchanges.context.pool.in_use(), held, "every storage has its buffer");
        let pipes = upstreams.iter().flat_map(|(_, it)| [&it.pipe_up, &it.pipe_down]).flatten();
        let at_work =
            pipes.inspect(|piped| assert!(piped.bytes > 0, "an empty pipe is given back"));
        assert_eq!(upstreams.pipes_lent(), at_work.count(), "every pipe has its upstream");
    }

    fn check_client(&self, key: ClientKey, client: &Connection<N::Socket>) {
        let (conn, request) = (&client.conn, &client.request);
        if let RequestState::Paired(pair) = request.state {
            let pair = self.exchanges.pairs().get(pair).expect("a paired client's pair is there");
            assert!(pair.client == key, "a pair names its client back");
        }
        if client.is_scheduled() {
            return;
        }
        self.check_timer(client.timer(), request.deadline, "a client");
        let waits = matches!(request.state, RequestState::WaitingForSlot(_));
        assert!(request.retry.is_none() || waits, "an attempt's state is with its pair");
        assert!(conn.is_registered(), "a client that waits hears of its socket");
        let is_session = client.settings().service == Service::Tcp;
        match request.state {
            RequestState::Admitted => panic!("an admitted request has its pair by now"),
            RequestState::Preamble => {
                assert!(!conn.could_read(), "a PROXY header is read as it comes");
            }
            RequestState::Handshake => {
                assert!(!conn.has_storage(), "what comes in a handshake stays with the socket");
                assert!(
                    !(conn.is_readable() && conn.is_writable()),
                    "a handshake goes on as it can"
                );
            }
            RequestState::Idle => {
                assert!(!conn.has_storage(), "an idle client holds no storage");
                assert!(!conn.could_read(), "an idle client has nothing to read");
                assert!(!is_session, "a TCP session needs no head");
            }
            RequestState::Head => {
                assert!(!conn.could_read(), "a head is read as it comes");
                assert!(!is_session, "a TCP session needs no head");
            }
            RequestState::CollectingBody => {
                assert!(!conn.could_read(), "a body is collected as it comes");
                assert!(!conn.could_write(), "leave to send is written as it can");
                assert!(!is_session, "a TCP session has no body");
            }
            RequestState::FlushingResponse(_) => {
                assert!(!conn.could_write(), "a response is written as it can");
                let is_ending = conn.buffers.output == Output::Ending && conn.is_encrypted();
                assert!(
                    !conn.buffers.outbox.is_empty() || is_ending,
                    "a response that is out is over, in TLS with its end"
                );
            }
            RequestState::Lingering { .. } => assert!(!conn.could_read(), "lingering reads on"),
            RequestState::AwaitingFile(_) => assert!(!is_session, "a TCP session names no file"),
            RequestState::WaitingForSlot(_) | RequestState::Paired(_) => {}
        }
    }

    /// Connections to the admin listener.
    fn admin_clients(&self) -> impl Iterator<Item = &Connection<N::Socket>> {
        self.admin.iter().flat_map(|admin| admin.connections())
    }

    fn check_admin(&self, client: &Connection<N::Socket>) {
        if client.is_scheduled() {
            return;
        }
        let (conn, request) = (&client.conn, &client.request);
        self.check_timer(client.timer(), request.deadline, "an admin connection");
        assert!(conn.is_registered(), "an admin connection that waits hears of its socket");
        assert!(!conn.could_write(), "a response is written as it can");
        match request.state {
            RequestState::Idle => {
                assert!(!conn.has_storage(), "an idle admin connection holds no storage");
                assert!(!conn.could_read(), "an idle admin connection has nothing to read");
            }
            RequestState::Head | RequestState::Lingering { .. } => {
                assert!(!conn.could_read(), "what comes is read");
            }
            RequestState::FlushingResponse(_) => {
                assert!(!conn.buffers.outbox.is_empty(), "a response that is out is over");
            }
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::CollectingBody
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::Paired(_) => {
                panic!("an admin request needs no slot and no handshake")
            }
        }
    }

    /// A parked pair has nothing to move.
    fn check_pair(&self, pair: &Pair) {
        let client = self.clients.get(pair.client).expect("a pair's client is there");
        let upstream = self.exchanges.upstreams.get(pair.upstream);
        let upstream = upstream.expect("a pair's upstream is there");
        if client.is_scheduled() || upstream.is_scheduled() {
            return;
        }
        let (down, up) = (&client.conn, &upstream.conn);
        assert!(!down.could_write(), "what a client can take goes out");
        if upstream.is_connecting() {
            let waits_for_peer = upstream.is_in_handshake() && !up.is_readable();
            assert!(waits_for_peer || !up.is_writable(), "a connect is followed up");
            return;
        }
        assert!(!up.could_write(), "what a server can take goes out");
        assert!(!pair.request.is(Phase::Head), "a head goes to an established server at once");
        if matches!(pair.request, Direction::Body(_) | Direction::Tunnel) {
            let piped = upstream.pipe_up.is_some();
            let waits = !pair.request.reads_on(up);
            assert!(piped || waits || !down.could_read(), "a request is forwarded as it comes");
            assert!(!(piped && up.is_writable()), "what a server can take from a pipe goes out");
            let starved = pair.request.is_starved(down.buffers.inbox.data());
            let stuck = !starved && up.buffers.outbox.is_empty();
            assert!(!stuck, "request bytes move where there is room");
        }
        if !pair.response.is(Phase::Done) {
            let piped = upstream.pipe_down.is_some();
            let waits = !pair.response.reads_on(down);
            assert!(piped || waits || !up.could_read(), "a response is forwarded as it comes");
            assert!(!(piped && down.is_writable()), "what a client can take from a pipe goes out");
        }
        if matches!(pair.response, Direction::Body(_) | Direction::Tunnel) {
            let starved = pair.response.is_starved(up.buffers.inbox.data());
            let stuck = !starved && down.buffers.outbox.is_empty();
            assert!(!stuck, "response bytes move where there is room");
            let unsent = up.buffers.inbox.data().len();
            let unsent = unsent + down.buffers.outbox.data().len();
            let most = LARGE_BYTES + GROWTH_BYTES_MAX + EDIT_BYTES_MAX;
            assert!(unsent <= most, "a slow reader has one buffer filled: {unsent} bytes are here");
        }
    }

    fn check_idle(&self, key: UpstreamKey, upstream: &Upstream<N::Socket>) {
        let deadline = match upstream.state() {
            UpstreamState::Idle { deadline, .. } => Some(deadline),
            UpstreamState::Owned { client, .. } => {
                let own = self.clients.get(client).and_then(Connection::own_upstream);
                let is_own = own.is_some_and(|own| own.upstream == key);
                assert!(is_own, "an upstream's owner names it back");
                None
            }
            UpstreamState::Connecting(_)
            | UpstreamState::Handshake(_)
            | UpstreamState::Busy { .. } => {
                panic!("only an idle upstream has no pair")
            }
        };
        if !upstream.is_scheduled() {
            assert!(!upstream.conn.has_storage(), "an idle upstream holds no storage");
            assert!(upstream.conn.is_idle(), "an idle upstream on which bytes come is closed");
            if let Some(deadline) = deadline {
                self.check_timer(upstream.timer(), deadline, "an idle upstream");
            }
        }
    }

    fn check_backend(&self, backend: BackendId) {
        let upstreams = &self.exchanges.upstreams;
        let cluster = upstreams.cluster();
        let pairs = self.exchanges.pairs().iter().filter(|(_, pair)| pair.backend == backend);
        let in_flight = cluster.in_flight(backend) as usize;
        assert_eq!(in_flight, pairs.count(), "pairs of backend {backend}");
        if let Some(probe) = cluster.probe_of(backend) {
            assert!(upstreams.has_probe(probe), "a backend's probe is there");
        } else if !cluster.is_probed(backend) {
            let timer = cluster.timer_of(backend);
            assert!(!timer.is_armed(), "a backend that is removed or set to down is not probed");
        } else if cluster.check() != Check::Off || !cluster.is_up(backend) {
            let timer = cluster.timer_of(backend);
            self.check_timer(timer, cluster.probe_due(backend), "a backend");
        }
        if !cluster.is_in_rotation(backend) {
            assert!(cluster.pooled(backend).is_empty(), "a backend out of rotation has no pool");
        }
        if let Some((due, _)) = upstreams.silence_next(backend) {
            let timer = cluster.timer_of(backend);
            self.check_timer(timer, due, "a backend with outstanding requests");
        }
    }

    /// An owner that waits is woken at its deadline.
    fn check_timer(&self, timer: &Timer, deadline: Instant, whose: &str) {
        let cx = &self.exchanges.context;
        let fires = cx.wheel.fires_at(timer);
        let fires = fires.unwrap_or_else(|| panic!("{whose} waits without a timer"));
        // A deadline that passed while it was set fires with the next tick.
        let latest = deadline.max(cx.now.instant) + TICK;
        assert!(fires <= latest, "{whose} is woken at {fires:?}, due {deadline:?}");
    }
}
