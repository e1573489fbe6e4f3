//! Leaving the listening sockets to another process of this program: they are passed on, and once it
//! uses them, this one accepts nothing any more, serves the connections it has, and ends.

use super::control::Taker;
use super::kinds::ControlKey;
use super::{Proxy, Stop};
use crate::base::reason::reason;
use crate::net::Net;
use crate::proxy::context::Phase;
use crate::proxy::exchange::Exchanges;
use crate::wire::handover::{Handover, Role};
use std::fmt;
use std::time::Duration;

/// How long idle connections stay after a takeover at least. Each response ends its connection, so
/// that a client in use goes over to the next process with its next request; closing at once would
/// lose the request that is on its way.
const IDLE_SPAN: Duration = Duration::from_secs(5);

/// The process that takes over.
pub(super) struct By(pub(super) Taker);

impl fmt::Display for By {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(process) => write!(out, "process {process}"),
            None => out.write_str("another process"),
        }
    }
}

impl<N: Net> Proxy<N> {
    /// Passes the listening sockets on.
    pub(super) fn hand_over(&mut self, key: ControlKey) {
        let Some(control) = &mut self.control else { return };
        let context = &mut self.exchanges.context;
        let refusal = match (context.phase, control.taker()) {
            (Phase::LameDuck | Phase::Draining, _) => "it is stopping".to_owned(),
            (Phase::Serving, Some(taker)) => format!("{} is taking over already", By(taker)),
            (Phase::Serving, None) => {
                let admin = self.admin.iter_mut().flat_map(|admin| admin.acceptor().listeners());
                let listeners: Vec<&N::Listener> = self.acceptor.listeners().chain(admin).collect();
                let others = listeners.iter().map(|listener| context.net.role(listener));
                let roles = std::iter::once(Role::Control).chain(others).collect();
                let by_hand = self.exchanges.upstreams.cluster().all_by_hand();
                let watchdog = context.net.service_manager().and_then(|it| it.watchdog);
                let process = std::process::id();
                let config = &context.config;
                let sticky_key = config.sticky.as_ref().map(|_| config.sticky_key.to_bytes());
                let ticket_keys = context.net.ticket_keys();
                let handover =
                    Handover { process, roles, by_hand, watchdog, sticky_key, ticket_keys };
                let message = handover.write();
                match control.hand_over(context, key, &listeners, message) {
                    Ok(()) => return self.each_listener(N::lend),
                    Err(error) => format!("the sockets cannot be passed on: {}", reason(&error)),
                }
            }
        };
        self.answer(key, &Err(refusal));
    }

    fn each_listener(&mut self, act: impl Fn(&mut N, &mut N::Listener)) {
        let net = &mut self.exchanges.context.net;
        self.acceptor.each_listener(|listener| act(net, listener));
        if let Some(admin) = &mut self.admin {
            admin.acceptor().each_listener(|listener| act(net, listener));
        }
    }

    /// This process goes on with its listeners, alone.
    pub fn reclaim_listeners(&mut self) {
        self.each_listener(N::reclaim);
    }

    /// The next process has said that it uses the sockets.
    pub(super) fn handed_over(&mut self, key: ControlKey, taker: Taker) {
        let Exchanges { context, .. } = &mut self.exchanges;
        self.acceptor.close(&mut context.net);
        if let Some(admin) = &mut self.admin {
            admin.acceptor().close(&mut context.net);
        }
        context.net.step_aside();
        if let Some(report) = self.manager.take() {
            report.end(context);
        }
        if self.stop == Stop::No {
            let span = context.config.timeouts.lame_duck.max(IDLE_SPAN);
            self.stop = Stop::HandedOver(context.now.instant + span);
            context.phase = Phase::LameDuck;
        }
        context.logs.event(format_args!(
            "{} has taken over: every response ends its connection, and this process ends with the \
             last one",
            By(taker)
        ));
        self.confirm(key, &Ok("handed over".to_owned()));
    }

    pub(super) fn not_handed_over(&mut self, taker: Taker) {
        self.reclaim_listeners();
        self.exchanges.context.logs.event(format_args!(
            "{} was about to take over and has gone away; this one serves on",
            By(taker)
        ));
    }
}
