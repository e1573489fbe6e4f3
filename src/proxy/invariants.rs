//! What holds between turns, swept over all tables: O(entries), so for the simulation only.

use super::Proxy;
use super::client::admission::Line;
use super::client::connection::Connection;
use super::client::listener::Service;
use super::client::per_client::Quota;
use super::client::request::RequestState;
use super::conn::Output;
use super::exchange::verdict::Phase;
use super::exchange::{Direction, Pair, Place};
use super::kinds::{ClientKey, UpstreamKey};
use super::upstream::{Upstream, UpstreamState};
use crate::base::backend_id::BackendId;
use crate::base::buffer::LARGE_BYTES;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::EDIT_BYTES_MAX;
use crate::health::Check;
use crate::http::forward::GROWTH_BYTES_MAX;
use crate::net::Net;
use std::time::Duration;

/// The wheel's tick: a node fires this much after its deadline at most.
const TICK: Duration = Duration::from_micros(1 << 10);

impl<N: Net> Proxy<N> {
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
        assert!(admission.held() <= admission.held_max(), "no more requests are held than allowed");
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
    pub(super) fn admin_clients(&self) -> impl Iterator<Item = &Connection<N::Socket>> {
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
