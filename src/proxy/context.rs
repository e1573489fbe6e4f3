//! What every state machine of the loop works with: the kernel, the settings, the turn's time,
//! timers, buffers, the run queue and the logs. It owns no connection.

use super::conn::handshakes::HandshakeSteps;
use super::head_edits::HeadEdits;
use super::log::Logs;
use super::schedule::Schedule;
use super::trim::Trim;
use crate::base::buffer::Pool;
use crate::base::table::Id;
use crate::base::wheel::Wheel;
use crate::config::Config;
use crate::http::date::{self, DATE_BYTES};
use crate::net::{Net, Now};
use crate::observe::counters::{Counters, Time};
use crate::observe::snapshot::Stage;

/// How far the program is on the way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// Serves on, so that balancers in front of it can notice that it is about to end: it is not
    /// ready, and every response ends its connection.
    LameDuck,
    /// Finishes what is in flight.
    Draining,
}

impl Phase {
    /// As people see it.
    pub fn stage(self) -> Stage {
        match self {
            Phase::Serving => Stage::Running,
            Phase::LameDuck => Stage::LameDuck,
            Phase::Draining => Stage::Draining,
        }
    }
}

/// Limits that depend on the machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most pairs in flight, at least 1.
    pub pairs_max: usize,
    /// Most tunnels that were requests once, counted apart from the pairs.
    pub tunnels_max: usize,
    /// Most clients connected, at least 1.
    pub clients_max: usize,
    /// Most pipes for large bodies at work, two descriptors each.
    pub pipes_max: usize,
    /// How many bytes less must be in use than at a peak for memory to go back to the system.
    pub trim_bytes: usize,
}

/// The surroundings of a step. Its fields are open, so that a machine can borrow several at once.
#[derive(Debug)]
pub struct LoopContext<N: Net> {
    pub net: N,
    pub config: Config,
    /// What is changed in the heads of messages.
    pub edits: HeadEdits,
    pub limits: Limits,
    /// Read once per turn.
    pub now: Now,
    /// The same for the counters.
    pub time: Time,
    /// `Date` for responses that have none; renewed with each second of `now`.
    pub date: [u8; DATE_BYTES],
    pub phase: Phase,
    /// A connection waits to be accepted while every place is taken.
    pub at_capacity: bool,
    pub wheel: Wheel,
    pub pool: Pool,
    pub trim: Trim,
    pub schedule: Schedule,
    /// Steps of handshakes that this turn may still do.
    pub handshake_steps: HandshakeSteps,
    pub logs: Logs,
    /// What was counted, for `/metrics` and `/status`.
    counters: Counters,
    /// Milliseconds since 1970.
    pub started_unix_ms: u64,
}

impl<N: Net> LoopContext<N> {
    /// The surroundings at the start; `seed` makes request ids differ between runs.
    pub fn new(mut net: N, config: Config, limits: Limits, seed: u64) -> LoopContext<N> {
        let now = net.now();
        let mut logs = Logs::new(config.events, seed);
        if net.times_events() || logs.has_time() {
            logs.set_time(now.unix_ms);
        }
        LoopContext {
            net,
            edits: HeadEdits::new(&config.header_up, &config.header_down),
            config,
            limits,
            now,
            time: Time::at(now.instant),
            date: date::imf_fixdate(now.unix_seconds()),
            phase: Phase::Serving,
            at_capacity: false,
            wheel: Wheel::new(),
            pool: Pool::new(),
            trim: Trim::default(),
            schedule: Schedule::default(),
            handshake_steps: HandshakeSteps::none(),
            logs,
            counters: Counters::default(),
            started_unix_ms: now.unix_ms,
        }
    }

    /// The counters of the program, to add to; none where nothing asks for them (no `--admin`).
    #[inline]
    pub fn counters(&mut self) -> Option<&mut Counters> {
        self.config.admin.is_some().then_some(&mut self.counters)
    }

    /// What was counted.
    pub fn counted(&self) -> &Counters {
        &self.counters
    }

    /// The turn's only reading of the clock.
    pub fn read_clock(&mut self) {
        let before = self.now.unix_seconds();
        self.now = self.net.now();
        self.time = Time::at(self.now.instant);
        if self.now.unix_seconds() != before {
            self.date = date::imf_fixdate(self.now.unix_seconds());
        }
        if self.net.times_events() || self.logs.has_time() {
            self.logs.set_time(self.now.unix_ms);
        }
    }

    /// The steps of a turn begin.
    pub fn begin_steps(&mut self) {
        self.schedule.begin_turn();
        self.handshake_steps = HandshakeSteps::none();
    }

    /// What is stepped next in this turn: handshakes after all others, as many as there is room for.
    pub fn next_step(&mut self) -> Option<Id> {
        if let Some(id) = self.schedule.pop() {
            return Some(id);
        }
        if !self.handshake_steps.have_begun() && self.schedule.has_handshakes() {
            self.handshake_steps = HandshakeSteps::after(self.schedule.others());
        }
        if self.handshake_steps.has_one() { self.schedule.pop_handshake() } else { None }
    }

    /// Gives back memory that a peak has left unused, after everybody else has.
    pub fn trim(&mut self) {
        self.pool.trim();
        self.wheel.shrink();
        self.schedule.shrink();
        self.net.return_free_memory();
    }

    /// Clients' connections close after their next response, whatever the clients ask for.
    pub fn ends_connections(&self) -> bool {
        self.phase != Phase::Serving || self.at_capacity
    }

    /// Nothing is accepted any more: what is not in flight ends now.
    pub fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }
}
