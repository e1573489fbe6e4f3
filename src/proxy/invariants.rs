//! What holds between turns, swept over all tables: O(entries), so for the simulation only.

use super::client::{Client, ClientState};
use super::conn::{Conn, Input};
use super::exchange::verdict::Phase;
use super::exchange::{Direction, Pair};
use super::upstream::Upstream;
use super::{ClientKey, Proxy};
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::Mode;
use crate::health::Check;
use crate::net::{Net, Socket};
use std::time::Duration;

/// The wheel's tick: a node fires this much behind its deadline at most.
const TICK: Duration = Duration::from_micros(1 << 10);

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub struct Census {
    pub clients: usize,
    pub upstreams: usize,
    pub pairs: usize,
    pub probes: usize,
    /// Clients in the queue.
    pub waiting: usize,
    pub slots_used: usize,
    pub storages_lent: usize,
    pub pipes_lent: usize,
    pub timers: usize,
}

/// One backend, as it is believed to be.
#[derive(Clone, Debug)]
pub struct BackendCensus {
    /// `host:port`, with `localhost` for a bare port.
    pub name: String,
    /// It takes new requests; false for one that was removed and still has requests in flight.
    pub serving: bool,
    pub up: bool,
    pub in_flight: usize,
}

impl<N: Net> Proxy<N> {
    /// The backends that are listed, and those removed ones with requests in flight.
    pub fn backend_census(&self) -> Vec<BackendCensus> {
        let backends = self.cluster.ids().map(|backend| BackendCensus {
            name: self.cluster.name(backend).to_string(),
            serving: self.cluster.is_serving(backend),
            up: self.cluster.is_up(backend),
            in_flight: self.cluster.in_flight(backend) as usize,
        });
        backends.filter(|backend| backend.serving || backend.in_flight > 0).collect()
    }

    /// How much there is of everything.
    pub fn census(&self) -> Census {
        Census {
            clients: self.clients.len(),
            upstreams: self.upstreams.len(),
            pairs: self.pairs.len(),
            probes: self.probes.len(),
            waiting: self.admission.waiting(),
            slots_used: self.admission.used(),
            storages_lent: self.pool.in_use(),
            pipes_lent: self.pipes.lent(),
            timers: self.wheel.len(),
        }
    }

    /// Panics when the tables contradict one another or somebody waits who could move on. To be
    /// called between two turns.
    pub fn check_invariants(&self) {
        assert!(self.run.is_empty(), "everybody who was woken was stepped");
        self.check_counts();
        self.check_storages();
        for (key, client) in self.clients.iter() {
            self.check_client(key, client);
        }
        for (_, pair) in self.pairs.iter() {
            self.check_pair(pair);
        }
        for (key, upstream) in self.upstreams.iter() {
            match upstream.pair {
                Some(pair) => {
                    let pair = self.pairs.get(pair).expect("a paired upstream's pair is there");
                    assert!(pair.upstream == key, "a pair names its upstream back");
                }
                None => self.check_idle(upstream),
            }
        }
        for (_, probe) in self.probes.iter().filter(|(_, probe)| !probe.scheduled) {
            self.check_timer(&probe.timer, probe.deadline(), "a probe");
        }
        for backend in self.cluster.ids() {
            self.check_backend(backend);
        }
    }

    fn check_counts(&self) {
        let in_state = |state| self.clients.iter().filter(|(_, it)| it.state == state).count();
        let admitted = in_state(ClientState::Admitted);
        let (pairs, used) = (self.pairs.len(), self.admission.used());
        assert!(used <= self.admission.slots_max(), "no more slots are used than there are");
        assert_eq!(used, pairs + admitted, "a slot is used by a pair or an admitted client");
        let waiting = self.admission.waiting();
        assert_eq!(
            waiting,
            in_state(ClientState::WaitingForSlot),
            "who is counted waits in the queue"
        );
        assert!(self.admission.waits_with_reason(), "nobody waits for a free slot");
        assert!(self.clients.len() <= self.limits.clients_max, "no more clients than allowed");
        let armed = self.clients.iter().filter(|(_, it)| it.timer.is_armed()).count()
            + self.upstreams.iter().filter(|(_, it)| it.timer().is_armed()).count()
            + self.probes.iter().filter(|(_, it)| it.timer.is_armed()).count()
            + self.cluster.ids().filter(|&it| self.cluster.timer_of(it).is_armed()).count()
            + usize::from(self.list.is_planned());
        assert_eq!(self.wheel.len(), armed, "each node in the wheel is some owner's");
        let idle = self.upstreams.iter().filter(|(_, it)| it.pair.is_none()).count();
        let pooled = self.cluster.ids().flat_map(|backend| self.cluster.pooled(backend));
        let pooled = pooled.filter(|&&key| self.upstreams.get(key).is_some()).count();
        assert_eq!(idle, pooled, "an idle upstream is in one pool, and only idle ones are");
    }

    fn check_storages(&self) {
        let lent = |conn: &Conn<N::Socket>| {
            usize::from(conn.buffers.inbox.has_storage())
                + usize::from(conn.buffers.outbox.has_storage())
        };
        let clients: usize = self.clients.iter().map(|(_, it)| lent(&it.conn)).sum();
        let upstreams: usize = self.upstreams.iter().map(|(_, it)| lent(&it.conn)).sum();
        let probes: usize = self.probes.iter().map(|(_, it)| lent(&it.conn)).sum();
        assert_eq!(
            self.pool.in_use(),
            clients + upstreams + probes,
            "every storage has its buffer"
        );
        let pipes =
            self.upstreams.iter().flat_map(|(_, it)| [&it.pipe_up, &it.pipe_down]).flatten();
        let at_work =
            pipes.inspect(|piped| assert!(piped.bytes > 0, "an empty pipe is given back"));
        assert_eq!(self.pipes.lent(), at_work.count(), "every pipe has its upstream");
    }

    fn check_client(&self, key: ClientKey, client: &Client<N::Socket>) {
        if let ClientState::Paired(pair) = client.state {
            let pair = self.pairs.get(pair).expect("a paired client's pair is there");
            assert!(pair.client == key, "a pair names its client back");
        }
        if client.scheduled {
            return;
        }
        self.check_timer(&client.timer, client.deadline, "a client");
        let waits_for_room = client.state == ClientState::WaitingForSlot;
        assert!(
            client.retry_state.is_none() || waits_for_room,
            "who is served has no past beside its pair"
        );
        let conn = &client.conn;
        assert!(conn.registered, "who waits hears of its socket");
        match client.state {
            ClientState::Admitted => panic!("an admitted client has its pair by now"),
            ClientState::Idle => {
                assert!(!has_storage(conn), "an idle client holds no storage");
                assert!(!could_read(conn), "an idle client has nothing to read");
                assert!(self.config.mode != Mode::Tcp, "a TCP session needs no head");
            }
            ClientState::Head => assert!(!could_read(conn), "a head goes on as it comes"),
            ClientState::FlushingResponse(_) => {
                assert!(!could_write(conn), "an answer goes out as it can");
                assert!(!conn.buffers.outbox.is_empty(), "an answer that is out is over");
            }
            ClientState::Lingering { .. } => assert!(!could_read(conn), "lingering reads on"),
            ClientState::WaitingForSlot | ClientState::Paired(_) => {}
        }
    }

    /// A parked pair has nothing to move.
    fn check_pair(&self, pair: &Pair) {
        let client = self.clients.get(pair.client).expect("a pair's client is there");
        let upstream = self.upstreams.get(pair.upstream).expect("a pair's upstream is there");
        if client.scheduled {
            return;
        }
        let (down, up) = (&client.conn, &upstream.conn);
        assert!(!could_write(down), "what a client can take goes out");
        if upstream.is_connecting {
            assert!(!up.writable, "a connect is followed up");
            return;
        }
        assert!(!could_write(up), "what a server can take goes out");
        assert!(!pair.request.is(Phase::Head), "a head goes to an established server at once");
        if matches!(pair.request, Direction::Body(_) | Direction::Tunnel) {
            let piped = upstream.pipe_up.is_some();
            assert!(piped || !could_read(down), "a request goes on as it comes");
            assert!(!(piped && up.writable), "what a server can take from a pipe goes out");
            let starved = pair.request.is_starved(down.buffers.inbox.data());
            let stuck = !starved && up.buffers.outbox.is_empty();
            assert!(!stuck, "request bytes move where there is room");
        }
        if !pair.response.is(Phase::Done) {
            let piped = upstream.pipe_down.is_some();
            assert!(piped || !could_read(up), "a response goes on as it comes");
            assert!(!(piped && down.writable), "what a client can take from a pipe goes out");
        }
        if matches!(pair.response, Direction::Body(_) | Direction::Tunnel) {
            let starved = pair.response.is_starved(up.buffers.inbox.data());
            let stuck = !starved && down.buffers.outbox.is_empty();
            assert!(!stuck, "response bytes move where there is room");
        }
    }

    fn check_idle(&self, upstream: &Upstream<N::Socket>) {
        assert!(!upstream.is_connecting, "only a pair connects");
        if !upstream.scheduled {
            assert!(!has_storage(&upstream.conn), "an idle upstream holds no storage");
            assert!(upstream.conn.is_idle(), "an idle upstream that stirs is closed");
            self.check_timer(upstream.timer(), upstream.deadline(), "an idle upstream");
        }
    }

    fn check_backend(&self, backend: BackendId) {
        let pairs = self.pairs.iter().filter(|(_, pair)| pair.backend == backend).count();
        assert_eq!(self.cluster.in_flight(backend) as usize, pairs, "pairs of backend {backend}");
        if let Some(probe) = self.cluster.probe_of(backend) {
            assert!(self.probes.get(probe).is_some(), "a backend's probe is there");
        } else if !self.cluster.is_serving(backend) {
            assert!(!self.cluster.timer_of(backend).is_armed(), "a removed backend is not probed");
            assert!(self.cluster.pooled(backend).is_empty(), "a removed backend has no pool");
        } else if self.cluster.check() != Check::Off || !self.cluster.is_up(backend) {
            let timer = self.cluster.timer_of(backend);
            self.check_timer(timer, self.cluster.probe_due(backend), "a backend");
        }
        if let Some((due, _)) = self.silence_next(backend) {
            self.check_timer(self.cluster.timer_of(backend), due, "a backend that owes");
        }
    }

    /// Whoever waits is woken at its deadline.
    fn check_timer(&self, timer: &Timer, deadline: Instant, whose: &str) {
        let fires = self.wheel.fires_at(timer);
        let fires = fires.unwrap_or_else(|| panic!("{whose} waits without a timer"));
        // A deadline that passed while it was set fires with the next tick.
        let latest = deadline.max(self.now.instant) + TICK;
        assert!(fires <= latest, "{whose} is woken at {fires:?}, due {deadline:?}");
    }
}

fn has_storage<S: Socket>(conn: &Conn<S>) -> bool {
    conn.buffers.inbox.has_storage() || conn.buffers.outbox.has_storage()
}

fn could_read<S: Socket>(conn: &Conn<S>) -> bool {
    conn.readable && conn.buffers.input == Input::Open && conn.buffers.inbox.room() > 0
}

fn could_write<S: Socket>(conn: &Conn<S>) -> bool {
    conn.writable && !conn.buffers.outbox.is_empty()
}
