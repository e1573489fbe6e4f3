//! One turn of the loop: wait, read the clock, mark what became ready or expired (touching nothing
//! else), accept, step each affected owner once, write the log lines.
//!
//! What an owner does depends on its state alone, never on what woke it: calling a step once too
//! often costs nothing.

use super::accept::ACCEPTS_MAX;
use super::client::request::RequestState;
use super::context::Phase;
use super::exchange::Exchanges;
use super::exchange::judge::Reroute;
use super::kinds::{
    BackendKind, ClientKey, ClientKind, ListKind, ManagerKind, NamesKind, Next, PaceKind, TrimKind,
};
use super::upstream::Effect;
use super::{Proxy, Reload, Status, Stop};
use crate::base::backend_id::BackendId;
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::config::{Mode, OnDown};
use crate::health::Transition;
use crate::net::{self, Net, Ready, Signal};
use std::io;
use std::time::Duration;

/// Connections accepted at most after a stop was asked for: what the kernel had queued by then.
const BACKLOG_MAX: usize = 4096;

impl<N: Net> Proxy<N> {
    /// One turn of the loop.
    ///
    /// Errors: the wait itself failed, for which there is no remedy here.
    pub fn turn(&mut self) -> io::Result<Status> {
        let timeout = self.timeout();
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.exchanges.context.net.wait(timeout, &mut ready);
        self.exchanges.read_clock();
        for ready in &ready {
            self.mark(ready);
        }
        ready.clear();
        self.ready = ready;
        waited?;
        self.expire();
        if std::mem::take(&mut self.signalled) {
            self.take_signals();
        }
        if let Stop::DrainAt(due) | Stop::HandedOver(due) = self.stop
            && due <= self.exchanges.context.now.instant
        {
            self.drain();
        }
        self.accept();
        self.accept_admin();
        self.accept_control();
        self.look_at_slow_clients();
        self.exchanges.context.begin_steps();
        while let Some(id) = self.exchanges.context.next_step() {
            self.step(id);
        }
        if let Some(report) = &mut self.manager {
            report.update(&mut self.exchanges.context, &self.exchanges.upstreams);
        }
        self.plan_look();
        self.write_logs();
        self.note_memory();
        Ok(self.status())
    }

    /// How long the next wait may last; none: until something happens.
    fn timeout(&self) -> Option<Duration> {
        let cx = &self.exchanges.context;
        if !cx.schedule.is_empty() || self.can_accept() {
            return Some(Duration::ZERO);
        }
        let drain = match self.stop {
            Stop::DrainAt(due) | Stop::HandedOver(due) => Some(due),
            Stop::By(deadline) => Some(deadline),
            Stop::No | Stop::Now => None,
        };
        let or_never = |deadline: Option<Instant>| deadline.unwrap_or(Instant::NEVER);
        let earliest = or_never(cx.wheel.next_deadline())
            .min(or_never(self.acceptor.paused_until()))
            .min(or_never(self.admin_due()))
            .min(or_never(self.control_due()))
            .min(or_never(cx.logs.due()))
            .min(or_never(drain));
        (earliest != Instant::NEVER).then(|| earliest.since(cx.now.instant))
    }

    /// Remembers one report and whom it concerns; nothing else, so that no slot is freed or used
    /// again while reports are still being read.
    fn mark(&mut self, ready: &Ready) {
        let id = ready.id;
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        if let Some(key) = id.key::<ClientKind>() {
            if let Some(client) = self.clients.get_mut(key) {
                client.mark(context, key, ready);
            }
        } else if let Some(key) = id.key() {
            upstreams.mark(context, key, ready);
        } else if let Some(key) = id.key() {
            upstreams.mark_probe(context, key, ready);
        } else if let Some(key) = id.key() {
            self.acceptor.mark(key);
        } else if let (Some(admin), Some(key)) = (&mut self.admin, id.key()) {
            admin.mark(context, key, ready);
        } else if let (Some(admin), Some(key)) = (&mut self.admin, id.key()) {
            admin.mark_listener(key);
        } else if let (Some(control), Some(key)) = (&mut self.control, id.key()) {
            control.mark(context, key, ready);
        } else if let (Some(control), net::CONTROL) = (&mut self.control, id) {
            control.approach();
        } else if id == net::STOP || id == net::RELOAD || id == net::REOPEN {
            self.signalled = true;
        }
    }

    /// Fires the timers that are due.
    fn expire(&mut self) {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        let mut peak_is_over = false;
        while let Some(id) = context.wheel.pop_expired(context.now.instant) {
            if let Some(key) = id.key::<ClientKind>() {
                if let Some(client) = self.clients.get_mut(key) {
                    client.timer_fired(context, key);
                }
            } else if let Some(key) = id.key() {
                upstreams.timer_fired(context, key);
            } else if let Some(key) = id.key() {
                upstreams.probe_timer_fired(context, key);
            } else if let Some(backend) = id.number::<BackendKind>().map(BackendId::new) {
                upstreams.backend_timer_fired(context, backend);
            } else if id.number::<ListKind>().is_some() {
                self.list.timer_fired(context);
            } else if id.number::<NamesKind>().is_some() {
                self.lookup.timer_fired();
            } else if id.number::<ManagerKind>().is_some() {
                if let Some(report) = &mut self.manager {
                    report.timer_fired();
                }
            } else if id.number::<PaceKind>().is_some() {
                self.slow_clients.timer_fired();
            } else if let (Some(admin), Some(key)) = (&mut self.admin, id.key()) {
                admin.timer_fired(context, key);
            } else if let (Some(control), Some(key)) = (&mut self.control, id.key()) {
                control.timer_fired(context, key);
            } else if id.number::<TrimKind>().is_some() {
                peak_is_over = context.trim.timer_fired(context.limits.trim_bytes);
            }
        }
        if peak_is_over {
            self.trim();
        }
    }

    /// Steps the owner of `id`: of an upstream at work that is its client. Then does what follows
    /// for others.
    fn step(&mut self, id: Id) {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        if let Some(key) = id.key() {
            self.step_client(key);
        } else if let Some(key) = id.key() {
            if let Some(pair) = upstreams.step(context, key) {
                let pair = self.exchanges.pairs().get(pair);
                let client = pair.expect("an upstream at work has its pair").client;
                self.step_client(client);
            }
        } else if let Some(key) = id.key() {
            upstreams.step_probe(context, key);
        } else if let Some(backend) = id.number::<BackendKind>().map(BackendId::new) {
            upstreams.step_backend(context, backend);
        } else if let Some(key) = id.key() {
            self.step_admin(key);
        } else if let Some(key) = id.key() {
            self.step_control(key);
        }
        self.after_step();
    }

    fn step_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.begin_step();
        match self.exchanges.step(key, client) {
            Next::Again | Next::Yield => client.wake_later(&mut self.exchanges.context, key),
            Next::Defer => client.step_last(&mut self.exchanges.context, key),
            Next::Park => {}
            Next::Gone => self.close_client(key),
        }
    }

    /// What a step has brought about for others than its owner.
    #[inline]
    pub(super) fn after_step(&mut self) {
        if self.exchanges.upstreams.has_effects() {
            self.act_on_effects();
        }
        self.admit_waiting();
    }

    #[cold]
    fn act_on_effects(&mut self) {
        while let Some(effect) = self.exchanges.upstreams.take_effect() {
            match effect {
                Effect::StateChanged(backend, transition) => {
                    self.state_changed(backend, &transition);
                }
                Effect::RerouteDue(backend) => self.reroute_from(backend),
            }
        }
    }

    /// The loop's one reaction to another state of a backend: requests that wait for suspects may
    /// have a place to go, and those that wait for room may find it.
    fn state_changed(&mut self, backend: BackendId, transition: &Transition) {
        let config = &self.exchanges.context.config;
        let closes = config.mode == Mode::Tcp && config.on_down == OnDown::Close;
        match transition {
            Transition::Down(_) if closes => self.close_sessions(backend),
            Transition::Up(_) | Transition::Cleared => {
                let stalled: Vec<_> = self.exchanges.upstreams.cluster().stalled().collect();
                for backend in stalled {
                    self.reroute_from(backend);
                }
            }
            Transition::Down(_) | Transition::Suspected => {}
        }
        self.exchanges.admission.open_one();
    }

    /// Looks at the requests that wait for a suspect.
    fn reroute_from(&mut self, backend: BackendId) {
        let limit = self.exchanges.upstreams.cluster().reroute_after(backend);
        let (mut count, mut next) = (0, None::<Instant>);
        for (pair, key) in self.exchanges.pairs_at(backend) {
            let client = self.clients.get_mut(key).expect("a pair's client is there");
            // Rerouting one may have ended another's wait.
            if client.request.state != RequestState::Paired(pair) {
                continue;
            }
            match self.exchanges.reroute(key, client, pair, limit) {
                Reroute::Done => count += 1,
                Reroute::At(due) => next = Some(next.map_or(due, |next| next.min(due))),
                Reroute::Never => {}
            }
        }
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        upstreams.rerouted(context, backend, count, next);
    }

    /// Ends the TCP sessions at a server that went down (`--on-down close`). Those that are still
    /// connecting go elsewhere when that fails.
    fn close_sessions(&mut self, backend: BackendId) {
        for (pair, key) in self.exchanges.pairs_at(backend) {
            let client = self.clients.get_mut(key).expect("a pair's client is there");
            if self.exchanges.end_session(client, pair) == Next::Gone {
                self.close_client(key);
            }
        }
    }

    fn take_signals(&mut self) {
        let config = &self.exchanges.context.config;
        let rereads = config.watches_files() || config.access_log.is_some();
        for signal in self.exchanges.context.net.signals() {
            match (signal, self.stop) {
                (Signal::HangUp, _) if rereads => self.list.ask(Reload::Now),
                (Signal::Reload, _) => self.list.ask(Reload::Now),
                (Signal::ReopenLogs, _) => self.list.ask(Reload::Logs),
                (Signal::Stop | Signal::HangUp, Stop::No) => self.begin_stop(),
                (Signal::Stop | Signal::HangUp, Stop::HandedOver(_)) => self.drain(),
                (Signal::Stop | Signal::HangUp, Stop::DrainAt(_) | Stop::By(_) | Stop::Now) => {
                    self.stop = Stop::Now;
                }
            }
        }
    }

    /// A stop was asked for: drains, after serving on for `--lame-duck`.
    pub(super) fn begin_stop(&mut self) {
        let context = &mut self.exchanges.context;
        let span = context.config.timeouts.lame_duck;
        if span.is_zero() {
            return self.drain();
        }
        self.stop = Stop::DrainAt(context.now.instant + span);
        context.phase = Phase::LameDuck;
        context.logs.event(format_args!(
            "stopping in {} s: not ready, and every response ends its connection; a second signal \
             stops at once",
            span.as_secs_f32()
        ));
    }

    /// Stops accepting, and lets what is in flight end.
    pub(super) fn drain(&mut self) {
        // Connections in the backlog were promised an answer by the kernel.
        for _ in 0..BACKLOG_MAX / ACCEPTS_MAX {
            if !self.can_accept() {
                break;
            }
            self.accept();
        }
        self.acceptor.close(&mut self.exchanges.context.net);
        let in_flight = self.exchanges.pairs().len();
        let Exchanges { context, admission, .. } = &mut self.exchanges;
        let limit = context.config.timeouts.drain;
        self.stop = Stop::By(context.now.instant + limit);
        context.phase = Phase::Draining;
        context.net.step_aside();
        context.logs.event(format_args!(
            "stopping: {in_flight} in flight, {} waiting, {} s at most; \
             a second signal stops at once",
            admission.waiting(),
            limit.as_secs_f32(),
        ));
        // Idle ones leave when stepped.
        for key in self.clients.keys() {
            if let Some(client) = self.clients.get_mut(key) {
                client.begin_drain(&self.exchanges.context);
                client.wake(&mut self.exchanges.context, key);
            }
        }
    }

    fn status(&self) -> Status {
        let over = match self.stop {
            Stop::No | Stop::DrainAt(_) => false,
            Stop::HandedOver(_) => {
                let control = self.control.as_ref();
                self.has_no_client() && !control.is_some_and(|control| control.has_leaving())
            }
            Stop::By(deadline) => {
                self.has_no_client() || deadline <= self.exchanges.context.now.instant
            }
            Stop::Now => true,
        };
        if over { Status::Ended } else { Status::Running }
    }

    fn has_no_client(&self) -> bool {
        self.clients.is_empty() && !self.acceptor.has_pending_accept()
    }
}
