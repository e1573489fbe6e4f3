//! Connections to backends: opened, lent to a pair, pooled while idle, dropped when they stir.

pub mod cluster;
mod pool;
pub mod probe;
pub mod reload;
mod silence;

use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::net::{Net, Socket};
use crate::observe::access::RequestNotes;
use crate::proxy::conn::Conn;
use crate::proxy::exchange::Pair;
use crate::proxy::exchange::splice::Lent;
use crate::proxy::upstream::cluster::ConnectFailure;
use crate::proxy::{PairKey, Proxy, UpstreamKey};
use std::io;

/// A connection to a backend.
#[derive(Debug)]
pub struct Upstream<S: Socket> {
    pub conn: Conn<S>,
    /// From the client's socket to this one.
    pub pipe_up: Lent<S::Pipe>,
    /// From this socket to the client's.
    pub pipe_down: Lent<S::Pipe>,
    /// Which of the backend's addresses it leads to.
    pub at: usize,
    /// The pair it works for; idle without one.
    pub pair: Option<PairKey>,
    pub is_connecting: bool,
    /// A byte of its pair's request was written.
    pub sent: bool,
    /// It has served an exchange before this one.
    pub reused: bool,
    /// When an idle one is closed.
    deadline: Instant,
    timer: Timer,
    /// It is in the run queue already.
    pub scheduled: bool,
}

impl<S: Socket> Upstream<S> {
    /// When an idle one is closed.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What wakes it then.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }
}

/// An upstream for a request, counted as in flight with its backend.
#[derive(Clone, Copy, Debug)]
pub struct Acquired {
    pub upstream: UpstreamKey,
    pub backend: BackendId,
    pub connecting: bool,
}

/// Why there is no upstream for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No backend is left to try.
    NoBackend,
    /// Those that are up have as many requests as their own limits allow.
    AllFull,
    /// This machine has no descriptor or port left.
    NoDescriptor,
}

/// Backends one request has tried.
#[derive(Debug, Default)]
pub struct Tried {
    /// Those that failed it.
    pub backends: Vec<BackendId>,
    /// So many that are believed down were tried because no other was left.
    pub last_resorts: u8,
    /// It was taken from a server that hung: that is done once.
    pub rerouted: bool,
    /// It waited for a connection as long as may be: that is done once.
    pub waited: bool,
    /// Further attempts after a server may have seen it.
    pub seen: u8,
}

impl<N: Net> Proxy<N> {
    /// An upstream to the backend the policy picks, from the pool if `pooled` and there is one.
    /// Tries one backend after the other as long as connecting fails at once.
    pub(in crate::proxy) fn acquire(
        &mut self,
        tried: &mut Tried,
        hash: u64,
        pooled: bool,
        notes: &mut Option<Box<RequestNotes>>,
    ) -> Result<Acquired, Unavailable> {
        let mut made_room = false;
        loop {
            let Some(backend) = self.choose(tried, hash, notes) else {
                let full = self.cluster.has_full();
                return Err(if full { Unavailable::AllFull } else { Unavailable::NoBackend });
            };
            if pooled && let Some(upstream) = self.checkout(backend) {
                self.count_begun(backend);
                return Ok(Acquired { upstream, backend, connecting: false });
            }
            match self.connect(backend) {
                Ok(upstream) => {
                    self.count_begun(backend);
                    return Ok(Acquired { upstream, backend, connecting: true });
                }
                Err(error) if crate::net::is_shortage(&error) => {
                    if made_room || !self.drop_an_idle_upstream() {
                        return Err(Unavailable::NoDescriptor);
                    }
                    made_room = true;
                }
                Err(error) => {
                    let (_, at) = self.cluster.address(backend);
                    match self.connect_failed(backend, at, error.kind()) {
                        ConnectFailure::TryNextAddress => {}
                        ConnectFailure::AllAddressesFailed(_) => tried.backends.push(backend),
                        // An idle connection that may close is better than none.
                        ConnectFailure::NoLocalPort => {
                            let upstream = self.checkout(backend);
                            let upstream = upstream.ok_or(Unavailable::NoDescriptor)?;
                            self.count_begun(backend);
                            return Ok(Acquired { upstream, backend, connecting: false });
                        }
                    }
                }
            }
        }
    }

    /// The backend to try next: never one again while another is eligible; one believed down only
    /// when none is believed up.
    fn choose(
        &mut self,
        tried: &mut Tried,
        hash: u64,
        notes: &mut Option<Box<RequestNotes>>,
    ) -> Option<BackendId> {
        let now = self.now.instant;
        let mut avoided = &tried.backends[..];
        let mut picked = self.cluster.pick(avoided, hash, now);
        // Not for ever: with backends that come and go it would never be told that all have failed.
        let patience = self.cluster.len() + usize::from(self.config.attempts_max);
        if picked.is_none() && !avoided.is_empty() && avoided.len() < patience {
            avoided = &[];
            picked = self.cluster.pick(avoided, hash, now);
        }
        if let (Some(picked), Some(notes)) = (picked, notes.as_mut()) {
            self.note_choice(notes, picked, avoided, hash);
        }
        let resorts_left = tried.last_resorts < self.config.attempts_max;
        if picked.is_none() && resorts_left && !self.cluster.has_full() {
            tried.last_resorts += 1;
            picked = self.cluster.last_resort(&tried.backends);
            if let (Some(picked), Some(notes)) = (picked, notes.as_mut()) {
                self.note_last_resort(notes, picked);
            }
        }
        picked
    }

    /// One more pair with this backend; every so many requests all backends are probed (`-R`).
    fn count_begun(&mut self, backend: BackendId) {
        let is_first = self.cluster.in_flight(backend) == 0;
        if self.cluster.began(backend, self.now.instant) {
            self.probe_all();
        }
        if is_first {
            self.watch_silence(backend);
        }
    }

    /// The most recently used idle connection of this backend that has not stirred since.
    fn checkout(&mut self, backend: BackendId) -> Option<UpstreamKey> {
        while let Some(key) = self.cluster.idle(backend).pop() {
            let Some(upstream) = self.upstreams.get_mut(key) else { continue };
            if upstream.conn.is_idle() {
                upstream.reused = true;
                upstream.sent = false;
                return Some(key);
            }
            // Bytes or an end nobody asked for: it is not fit for a request any more.
            self.close_upstream(key);
        }
        None
    }

    fn connect(&mut self, backend: BackendId) -> io::Result<UpstreamKey> {
        let (address, at) = self.cluster.address(backend);
        let socket = self.net.connect(address)?;
        let key = self.upstreams.insert(Upstream {
            conn: Conn::connecting(socket),
            pipe_up: None,
            pipe_down: None,
            at,
            pair: None,
            is_connecting: true,
            sent: false,
            reused: false,
            deadline: Instant::NEVER,
            timer: Timer::new(),
            scheduled: false,
        });
        if let Some(upstream) = self.upstreams.get_mut(key) {
            upstream.conn.registered = true;
            if let Err(error) = self.net.register(&mut upstream.conn.socket, key.into()) {
                self.close_upstream(key);
                return Err(error);
            }
        }
        Ok(key)
    }

    /// An upstream leaves its pair: to the pool if it can serve again, else closed.
    pub(in crate::proxy) fn release_upstream(&mut self, pair: &Pair, reusable: bool) {
        self.cluster.ended(pair.backend);
        let Some(upstream) = self.upstreams.get(pair.upstream) else { return };
        let clean = reusable && upstream.conn.is_reusable() && !self.context.draining;
        let upstreams = &self.upstreams;
        let is_open = |key| upstreams.get(key).is_some();
        let (now, period) = (self.now.instant, self.config.timeouts.pool);
        let wanted = clean && self.cluster.wants_idle(pair.backend, now, period, is_open);
        if !wanted {
            if clean && let Some(upstream) = self.upstreams.get_mut(pair.upstream) {
                // Nothing is in flight, so nothing is lost, and the port is free again at once:
                // closed by us in order it would be kept for a minute.
                upstream.conn.socket.reset_on_drop();
            }
            return self.close_upstream(pair.upstream);
        }
        let Some(upstream) = self.upstreams.get_mut(pair.upstream) else { return };
        upstream.pair = None;
        upstream.deadline = self.now.instant + self.config.timeouts.pool;
        let deadline = upstream.deadline;
        self.wheel.arm(&mut upstream.timer, deadline, pair.upstream.into());
        let stirs = upstream.conn.readable;
        self.cluster.idle(pair.backend).push(pair.upstream);
        if stirs {
            self.wake(pair.upstream.into());
        }
    }

    /// An event or the timer of an upstream without a pair: anything but silence ends it.
    pub(in crate::proxy) fn step_idle_upstream(&mut self, key: UpstreamKey) {
        let Some(upstream) = self.upstreams.get_mut(key) else { return };
        // Lent to a pair since it was woken: its pair moves it, and its wait is over.
        if upstream.pair.is_some() {
            return;
        }
        upstream.conn.fill(&mut self.pool);
        upstream.conn.settle(&mut self.pool);
        let stirred = !upstream.conn.is_reusable() || upstream.conn.readable;
        if stirred || upstream.deadline <= self.now.instant {
            // Its key stays in the pool, where it finds nothing.
            return self.close_upstream(key);
        }
        let deadline = upstream.deadline;
        self.wheel.arm(&mut upstream.timer, deadline, key.into());
    }

    /// The timer's node has fired.
    pub(in crate::proxy) fn upstream_timer_fired(&mut self, key: UpstreamKey) {
        if let Some(upstream) = self.upstreams.get_mut(key) {
            upstream.timer.fired();
            // One at work arms again when it comes back to the pool.
            if upstream.pair.is_none() {
                self.wake(key.into());
            }
        }
    }

    /// Closes a connection to a backend, whatever it was doing.
    pub(in crate::proxy) fn close_upstream(&mut self, key: UpstreamKey) {
        if let Some(mut upstream) = self.upstreams.remove(key) {
            self.wheel.cancel(&mut upstream.timer);
            self.pipes.take_back(&mut upstream.pipe_up);
            self.pipes.take_back(&mut upstream.pipe_down);
            upstream.conn.close(&mut self.pool);
        }
    }

    /// Makes room for a new connection; false when no idle one is left.
    pub(in crate::proxy) fn drop_an_idle_upstream(&mut self) -> bool {
        for backend in self.cluster.ids() {
            while let Some(key) = self.cluster.idle(backend).pop() {
                if self.upstreams.get(key).is_some() {
                    self.close_upstream(key);
                    return true;
                }
            }
        }
        false
    }
}
