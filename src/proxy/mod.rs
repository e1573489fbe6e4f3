//! The machine: one [`Proxy`] owns every table, and a turn moves whatever can move.
//!
//! A turn waits, reads the clock, marks what became ready or expired (touching nothing else),
//! accepts, then runs each affected owner once, and writes the log lines. What an owner does
//! depends on its state alone, never on what woke it: calling a step once too often costs nothing.

mod client;
mod conn;
pub mod exchange;
mod invariants;
mod log;
mod upstream;

pub use invariants::{BackendCensus, Census};
pub use upstream::cluster::Member;
pub use upstream::reload::Reload;

use crate::balance;
use crate::base::backend_id::BackendId;
use crate::base::buffer::Pool;
use crate::base::table::{Id, Key, Kind, Table};
use crate::base::time::Instant;
use crate::base::wheel::Wheel;
use crate::config::Config;
use crate::http::date;
use crate::net::{self, Net, Now, Ready, Signal, Socket};
use crate::observe::log_buffer::LogBuffer;
use client::acceptor::Acceptor;
use client::admission::Admission;
use client::{Client, ClientState};
use exchange::budget::Budget;
use exchange::splice::Pipes;
use exchange::{Heads, LoopContext, Pair};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;
use upstream::Upstream;
use upstream::cluster::Cluster;
use upstream::probe::Probe;
use upstream::reload::ListWatch;

/// Changes of state one client may go through in one turn.
const STEPS_MAX: usize = 16;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $key:ident = $number:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $kind;
        impl Kind for $kind {
            const NUMBER: u8 = $number;
        }
        #[allow(missing_docs)]
        pub type $key = Key<$kind>;
    )*};
}

kinds! {
    /// Accepted connections.
    ClientKind, ClientKey = 1;
    /// Connections to backends.
    UpstreamKind, UpstreamKey = 2;
    /// Clients joined to upstreams.
    PairKind, PairKey = 3;
    /// Health checks under way.
    ProbeKind, ProbeKey = 4;
}

/// Timers of the backends' next probes or ends of patience; numbered, not in a table.
#[derive(Debug)]
pub struct BackendKind;

impl Kind for BackendKind {
    const NUMBER: u8 = 5;
}

/// The timer of the next look at the list file; there is one.
#[derive(Debug)]
struct ListKind;

impl Kind for ListKind {
    const NUMBER: u8 = 6;
}

/// What a step ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The state changed: step once more.
    Again,
    /// Nothing can move: wait.
    Park,
    /// More could move, but others are waiting.
    Yield,
    /// The entry has left its table.
    Gone,
}

/// Limits that depend on the machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most pairs in flight, at least 1.
    pub pairs_max: usize,
    /// Most clients connected, at least 1.
    pub clients_max: usize,
    /// Most pipes for large bodies at work, two descriptors each.
    pub pipes_max: usize,
}

/// Whether to call [`Proxy::turn`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    /// A stop was asked for and nothing is in flight any more.
    Ended,
}

/// When the program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Not asked for.
    No,
    /// Once nothing is in flight, at this time at the latest.
    By(Instant),
    /// Asked for twice.
    Now,
}

/// The load balancer over some [`Net`].
#[derive(Debug)]
pub struct Proxy<N: Net> {
    net: N,
    config: Config,
    limits: Limits,
    error_pages: HashMap<u16, Vec<u8>>,
    acceptor: Acceptor<N::Listener, N::Socket>,
    clients: Table<ClientKind, Client<N::Socket>>,
    upstreams: Table<UpstreamKind, Upstream<N::Socket>>,
    pairs: Table<PairKind, Pair>,
    probes: Table<ProbeKind, Probe<N::Socket>>,
    cluster: Cluster,
    admission: Admission,
    budget: Budget,
    pool: Pool,
    pipes: Pipes<<N::Socket as Socket>::Pipe>,
    wheel: Wheel,
    heads: Heads,
    context: LoopContext,
    now: Now,
    stop: Stop,
    /// A signal has come and was not looked at yet.
    signalled: bool,
    list: ListWatch,
    /// What the last wait reported; kept for its memory.
    ready: Vec<Ready>,
    /// Who is to be stepped in this turn.
    run: VecDeque<Id>,
    /// Who yielded: stepped in the next turn, which does not wait.
    later: VecDeque<Id>,
    events: LogBuffer,
    access: LogBuffer,
    /// When lost lines were told last.
    lost_reported_at: Instant,
    /// When a log that cannot be written was told last.
    failure_reported_at: Option<Instant>,
    /// The number of the next request that is told about; starts at random.
    next_id: u64,
}

impl<N: Net> Proxy<N> {
    /// A balancer that accepts from `listener`, which `net` reports as [`net::LISTENER`]. `seed`
    /// decides jitter and random choices.
    pub fn new(
        mut net: N,
        listener: N::Listener,
        config: Config,
        members: Vec<Member>,
        limits: Limits,
        error_pages: HashMap<u16, Vec<u8>>,
        seed: u64,
    ) -> Proxy<N> {
        let now = net.now();
        let context = LoopContext {
            trust_forwarded: config.trust_forwarded,
            draining: false,
            at_capacity: false,
            date: date::imf_fixdate(now.unix_seconds),
        };
        let heads = Heads::new(config.head);
        let mut proxy = Proxy {
            cluster: Cluster::new(&config, &members, seed),
            admission: Admission::new(limits.pairs_max),
            budget: Budget::new(config.retry_budget),
            net,
            config,
            limits,
            error_pages,
            acceptor: Acceptor::new(listener),
            clients: Table::new(),
            upstreams: Table::new(),
            pairs: Table::new(),
            probes: Table::new(),
            pool: Pool::new(),
            pipes: Pipes::new(limits.pipes_max),
            wheel: Wheel::new(),
            heads,
            context,
            now,
            stop: Stop::No,
            signalled: false,
            list: ListWatch::default(),
            ready: Vec::new(),
            run: VecDeque::new(),
            later: VecDeque::new(),
            events: LogBuffer::default(),
            access: LogBuffer::default(),
            lost_reported_at: Instant::START,
            failure_reported_at: None,
            next_id: balance::hash(&seed.to_le_bytes()),
        };
        proxy.schedule_first_probes();
        proxy.watch_list();
        proxy
    }

    /// One turn of the loop.
    ///
    /// Errors: the wait itself failed, which nothing here can mend.
    pub fn turn(&mut self) -> io::Result<Status> {
        let timeout = self.timeout();
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.net.wait(timeout, &mut ready);
        self.read_clock();
        for ready in ready.drain(..) {
            self.mark(&ready);
        }
        self.ready = ready;
        waited?;
        self.expire();
        if std::mem::take(&mut self.signalled) {
            self.take_signals();
        }
        self.accept();
        std::mem::swap(&mut self.run, &mut self.later);
        self.run.append(&mut self.later);
        while let Some(id) = self.run.pop_front() {
            self.step(id);
        }
        self.write_lines();
        Ok(self.status())
    }

    /// How long the next wait may last; none: until something happens.
    fn timeout(&self) -> Option<Duration> {
        if !self.run.is_empty() || !self.later.is_empty() || self.can_accept() {
            return Some(Duration::ZERO);
        }
        let drain = match self.stop {
            Stop::By(deadline) => Some(deadline),
            Stop::No | Stop::Now => None,
        };
        let deadlines = [self.wheel.next_deadline(), self.acceptor.paused_until(), drain];
        let earliest = deadlines.into_iter().flatten().min()?;
        Some(earliest.since(self.now.instant))
    }

    /// The turn's only reading of the clock.
    fn read_clock(&mut self) {
        let before = self.now.unix_seconds;
        self.now = self.net.now();
        self.budget.advance(self.now.instant);
        if self.now.unix_seconds != before {
            self.context.date = date::imf_fixdate(self.now.unix_seconds);
        }
    }

    /// Remembers one report and who it concerns; nothing else, so that no slot is freed or used
    /// again while reports are still being read.
    fn mark(&mut self, ready: &Ready) {
        let id = ready.id;
        match id {
            net::LISTENER => self.acceptor.readable = true,
            net::STOP | net::RELOAD => self.signalled = true,
            _ => {}
        }
        if let Some(client) = id.key().and_then(|key: ClientKey| self.clients.get_mut(key)) {
            client.conn.mark(ready);
        } else if let Some(upstream) =
            id.key().and_then(|key: UpstreamKey| self.upstreams.get_mut(key))
        {
            upstream.conn.mark(ready);
        } else if let Some(probe) = id.key().and_then(|key: ProbeKey| self.probes.get_mut(key)) {
            probe.conn.mark(ready);
        }
        self.wake(id);
    }

    /// Fires the timers that are due.
    fn expire(&mut self) {
        while let Some(id) = self.wheel.pop_expired(self.now.instant) {
            if let Some(client) = id.key().and_then(|key: ClientKey| self.clients.get_mut(key)) {
                client.timer.fired();
                self.wake(id);
            } else if let Some(key) = id.key() {
                self.upstream_timer_fired(key);
            } else if let Some(probe) = id.key().and_then(|key: ProbeKey| self.probes.get_mut(key))
            {
                probe.timer.fired();
                self.wake(id);
            } else if let Some(backend) = id.number::<BackendKind>().map(BackendId::new) {
                self.cluster.timer(backend).fired();
                // Behind everybody whose bytes have come: a silence may be over.
                self.run.push_back(id);
            } else if id.number::<ListKind>().is_some() {
                self.list_timer_fired();
            }
        }
    }

    /// Puts the owner of `id` into the run queue, once: for an upstream at work its client.
    fn wake(&mut self, id: Id) {
        let upstream = id.key().and_then(|key: UpstreamKey| self.upstreams.get(key));
        let pair = upstream.and_then(|upstream| upstream.pair);
        let owner =
            pair.and_then(|pair| self.pairs.get(pair)).map_or(id, |pair| pair.client.into());
        if self.set_scheduled(owner, true) == Some(false) {
            self.run.push_back(owner);
        }
    }

    /// Puts a client at the end of the next turn's queue.
    fn wake_later(&mut self, id: Id) {
        if self.set_scheduled(id, true) == Some(false) {
            self.later.push_back(id);
        }
    }

    /// Sets whether an owner is in the run queue; whether it was, none if it is gone.
    fn set_scheduled(&mut self, id: Id, scheduled: bool) -> Option<bool> {
        let flag = if let Some(key) = id.key() {
            &mut self.clients.get_mut(key)?.scheduled
        } else if let Some(key) = id.key::<UpstreamKind>() {
            &mut self.upstreams.get_mut(key)?.scheduled
        } else {
            &mut self.probes.get_mut(id.key()?)?.scheduled
        };
        Some(std::mem::replace(flag, scheduled))
    }

    fn step(&mut self, id: Id) {
        self.set_scheduled(id, false);
        if let Some(key) = id.key() {
            self.step_client(key);
        } else if let Some(key) = id.key() {
            self.step_idle_upstream(key);
        } else if let Some(key) = id.key() {
            self.step_probe(key);
        } else if let Some(backend) = id.number::<BackendKind>().map(BackendId::new) {
            self.step_backend(backend);
        }
    }

    fn take_signals(&mut self) {
        for signal in self.net.signals() {
            let reads = self.config.list_file.is_some() || self.config.access_log.is_some();
            match (signal, self.stop) {
                (Signal::HangUp, _) if reads => self.list.wish = Some(Reload::Now),
                (Signal::Reload, _) => self.list.wish = Some(Reload::Now),
                (Signal::Stop | Signal::HangUp, Stop::No) => self.drain(),
                (Signal::Stop | Signal::HangUp, Stop::By(_) | Stop::Now) => self.stop = Stop::Now,
            }
        }
    }

    /// Stops accepting, and lets what is in flight end.
    fn drain(&mut self) {
        let limit = self.config.timeouts.drain;
        self.stop = Stop::By(self.now.instant + limit);
        // Whoever is in the backlog was promised an answer by the kernel.
        while self.can_accept() {
            self.accept();
        }
        self.acceptor.close();
        self.context.draining = true;
        self.events.add(format_args!(
            "loadbalancer: stopping: {} in flight, {} waiting, {} s at most; \
             a second signal stops at once",
            self.pairs.len(),
            self.admission.waiting(),
            limit.as_secs_f32(),
        ));
        // Idle ones leave when stepped.
        for key in self.clients.keys() {
            self.wake(key.into());
        }
    }

    fn status(&self) -> Status {
        let over = match self.stop {
            Stop::No => false,
            Stop::By(deadline) => {
                let empty = self.clients.is_empty() && !self.acceptor.has_pending_accept();
                empty || deadline <= self.now.instant
            }
            Stop::Now => true,
        };
        if over { Status::Ended } else { Status::Running }
    }
}

/// Whether the client of `key` waits for a slot.
fn is_queued<S>(clients: &Table<ClientKind, Client<S>>, key: ClientKey) -> bool {
    clients.get(key).is_some_and(|client| client.state == ClientState::WaitingForSlot)
}
