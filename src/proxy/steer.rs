//! The commands of the control socket, carried out, and its part in a turn of the loop.

use super::control::{Answer, Awaited, Control, Event};
use super::exchange::Exchanges;
use super::kinds::ControlKey;
use super::takeover::By;
use super::{Proxy, Reload, Stop};
use crate::base::time::Instant;
use crate::net::Net;
use crate::observe::event_time::Utc;
use crate::wire::by_hand::ByHand;
use crate::wire::command::Command;
use crate::wire::info::Info;
use std::fmt::Write;

impl<N: Net> Proxy<N> {
    /// Accepts connections to the control socket that the kernel below has.
    pub fn listen_control(&mut self) {
        self.control = Some(Box::new(Control::new()));
    }

    #[inline]
    pub(super) fn accept_control(&mut self) {
        if let Some(control) = self.control.as_mut().filter(|control| control.is_approached()) {
            control.accept(&mut self.exchanges.context);
        }
    }

    /// When to look at the control socket again: now, if a connection may wait there.
    #[inline]
    pub(super) fn control_due(&self) -> Option<Instant> {
        let control = self.control.as_ref().filter(|control| control.is_approached())?;
        control.due(self.exchanges.context.now.instant)
    }

    pub(super) fn step_control(&mut self, key: ControlKey) {
        let Some(control) = &mut self.control else { return };
        match control.step(&mut self.exchanges.context, key) {
            Some(Event::Line(Ok(command))) => self.carry_out(key, command),
            Some(Event::Line(Err(error))) => self.answer(key, &Err(error.to_string())),
            Some(Event::TakerReady(taker)) => self.handed_over(key, taker),
            Some(Event::TakerGone(taker)) => {
                self.not_handed_over(taker);
                self.answer(key, &Err("write `ready` next time".to_owned()));
            }
            None => {}
        }
    }

    /// Answers at once: what was asked for may end the program with this turn.
    pub(super) fn answer(&mut self, key: ControlKey, answer: &Answer) {
        let Some(control) = &mut self.control else { return };
        control.answer(&mut self.exchanges.context, key, answer);
        self.write_answer(key);
    }

    /// As [`Proxy::answer`], for the process that took over. This one does not end before the other
    /// has ended the connection: a service manager may have to hear of its main process first.
    pub(super) fn confirm(&mut self, key: ControlKey, answer: &Answer) {
        let Some(control) = &mut self.control else { return };
        control.confirm(&mut self.exchanges.context, key, answer);
        self.write_answer(key);
    }

    fn write_answer(&mut self, key: ControlKey) {
        let Some(control) = &mut self.control else { return };
        let event = control.step(&mut self.exchanges.context, key);
        debug_assert!(event.is_none(), "a connection that is answered asks for nothing");
    }

    /// Sets what `change` has of a server, unless another process has a copy of what is set by hand.
    fn set_by_command(&mut self, server: &str, change: ByHand) -> Answer {
        match self.control.as_ref().and_then(|control| control.taker()) {
            Some(taker) => Err(format!("{} is taking over: try again", By(taker))),
            None => self.set_by_hand(server, change),
        }
    }

    fn carry_out(&mut self, key: ControlKey, command: Command) {
        let answer = match command {
            Command::Info => Ok(self.info().to_string()),
            Command::Status => Ok(self.status_lines()),
            Command::Set(server, wish) => {
                self.set_by_command(&server, ByHand { wish: Some(wish), weight: None })
            }
            Command::Weight(server, weight) => {
                self.set_by_command(&server, ByHand { wish: None, weight: Some(weight) })
            }
            Command::Reload => return self.later(key, Awaited::Reload, Reload::Now),
            Command::Reopen => return self.later(key, Awaited::Reopen, Reload::Logs),
            Command::Stop => Ok(self.stop_by_command()),
            Command::Takeover(_) => return self.hand_over(key),
            Command::Ready => Err("no takeover is under way on this connection".to_owned()),
        };
        self.answer(key, &answer);
    }

    /// Sets what `change` has of the server that `wanted` means; what changed, as a sentence.
    ///
    /// Errors: it means none or several.
    pub fn set_by_hand(&mut self, wanted: &str, change: ByHand) -> Answer {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        let found = upstreams.cluster().find(wanted).map_err(|error| error.to_string())?;
        let text = upstreams.set_by_hand(context, found, change);
        self.exchanges.admission.open_one();
        self.admit_waiting();
        self.write_logs();
        Ok(text)
    }

    /// What was set by hand of the server of this name, at the process that this one replaces, is
    /// in force here; false if there is no such server.
    pub fn take_by_hand(&mut self, name: &str, by_hand: ByHand) -> bool {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        let cluster = upstreams.cluster();
        let found = cluster.serving().map(|(id, _)| id).find(|id| cluster.name(*id) == name);
        if let Some(backend) = found {
            upstreams.set_by_hand(context, backend, by_hand);
        }
        self.write_logs();
        found.is_some()
    }

    fn later(&mut self, key: ControlKey, awaited: Awaited, reload: Reload) {
        self.list.ask(reload);
        if let Some(control) = &mut self.control {
            control.wait_for(&mut self.exchanges.context, key, awaited);
        }
    }

    /// What came of the last [`Reload::Now`]: connections that asked for it are answered.
    pub fn answer_reload(&mut self, answer: &Answer) {
        self.answer_all(Awaited::Reload, answer);
    }

    /// What came of the last [`Reload::Logs`]: connections that asked for it are answered.
    pub fn answer_reopen(&mut self, answer: &Answer) {
        self.answer_all(Awaited::Reopen, answer);
    }

    fn answer_all(&mut self, awaited: Awaited, answer: &Answer) {
        if let Some(control) = &mut self.control {
            control.answer_all(&mut self.exchanges.context, awaited, answer);
        }
    }

    /// As SIGTERM.
    fn stop_by_command(&mut self) -> String {
        match self.stop {
            Stop::No => self.begin_stop(),
            Stop::HandedOver(_) => self.drain(),
            Stop::DrainAt(_) | Stop::By(_) | Stop::Now => self.stop = Stop::Now,
        }
        let in_flight = self.exchanges.pairs().len();
        let timeouts = &self.exchanges.context.config.timeouts;
        match self.stop {
            Stop::DrainAt(_) => format!(
                "stopping in {} s, not ready until then; a second stop ends it at once",
                timeouts.lame_duck.as_secs_f32()
            ),
            Stop::By(_) => format!(
                "stopping: {in_flight} in flight, {} waiting, {} s at most; a second stop ends it \
                 at once",
                self.exchanges.admission.waiting(),
                timeouts.drain.as_secs_f32()
            ),
            Stop::No | Stop::HandedOver(_) | Stop::Now => {
                format!("stopped at once: {in_flight} in flight are cut off")
            }
        }
    }

    fn info(&self) -> Info {
        let context = &self.exchanges.context;
        let counts = self.exchanges.upstreams.counts();
        Info {
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: context.started_unix_ms / 1000,
            state: context.phase.stage().name().to_owned(),
            up: counts.up,
            total: counts.total,
        }
    }

    /// The program in two lines, and a line for each backend.
    fn status_lines(&self) -> String {
        let context = &self.exchanges.context;
        let addresses = self.acceptor.addresses().map(|address| address.to_string());
        let addresses: Vec<String> = addresses.collect();
        let mut text = format!(
            "loadbalancer {}, pid {}, {} since {}\n{} by {}{}{}\n{}",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            context.phase.stage().name(),
            Utc(context.started_unix_ms / 1000),
            context.config.mode.name(),
            context.config.strategy.name(),
            if addresses.is_empty() { "" } else { " on " },
            addresses.join(", "),
            self.program_state()
        );
        let cluster = self.exchanges.upstreams.cluster();
        for id in cluster.ids() {
            cluster.with_state(id, self.exchanges.context.now.instant, |state| {
                // Writing to a string does not fail.
                let _ = write!(text, "\n{state}");
            });
        }
        text
    }
}
