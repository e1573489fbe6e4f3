//! The backends change while requests are served: what is new is added, what is gone finishes its
//! pairs and leaves, what stays keeps its counters, health and connections.
//!
//! Reading the list and looking up names may take long, so it is not done in the loop: the proxy
//! only says when it wishes for it ([`Proxy::take_reload`]) and is given the result
//! ([`Proxy::apply`]).

use super::cluster::Member;
use super::{ListKind, Proxy};
use crate::base::table::Id;
use crate::base::wheel::Timer;
use crate::config::BackendSpec;
use crate::net::Net;
use std::collections::HashMap;

/// How a reload came to be wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is time to look whether the file has changed.
    IfChanged,
    /// Somebody asked for it (SIGHUP).
    Now,
}

/// When to look at the list file again.
#[derive(Debug, Default)]
pub struct ListWatch {
    timer: Timer,
    pub(super) wish: Option<Reload>,
}

impl<N: Net> Proxy<N> {
    /// Plans the next look at the list file, one probe interval from now.
    pub(super) fn watch_list(&mut self) {
        if self.config.list_file.is_some() {
            let due = self.now.instant + self.config.health.interval;
            self.wheel.arm(&mut self.list.timer, due, Id::numbered::<ListKind>(0));
        }
    }

    pub(super) fn list_timer_fired(&mut self) {
        self.list.timer.fired();
        self.list.wish = self.list.wish.or(Some(Reload::IfChanged));
        self.watch_list();
    }

    /// What was wished for since it was asked last.
    pub fn take_reload(&mut self) -> Option<Reload> {
        self.list.wish.take()
    }

    /// The kernel below, to give it another access log.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }

    /// One line for the log of events.
    pub fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.events.add(format_args!("loadbalancer: {line}"));
        self.write_lines();
    }

    /// Makes `members` the backends from here on, those whose name is not known left out.
    pub fn apply(&mut self, members: &[Member]) {
        let mut wanted: HashMap<&BackendSpec, &Member> =
            members.iter().map(|member| (&member.spec, member)).collect();
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for (backend, member) in self.cluster.serving() {
            match wanted.remove(&member.spec) {
                Some(wanted) => kept.push((backend, wanted.addresses.clone())),
                None => gone.push(backend),
            }
        }
        let (kept_count, gone_count) = (kept.len(), gone.len());
        for (backend, addresses) in kept {
            // A name that is not known for the moment: what it stood for may still be there.
            if !addresses.is_empty() {
                self.cluster.set_addresses(backend, addresses);
            }
        }
        for backend in gone {
            self.retire(backend);
        }
        // In the order of the list, which decides turns and the policy `first`.
        let mut added = 0;
        let is_new =
            |member: &&Member| wanted.contains_key(&member.spec) && !member.addresses.is_empty();
        for member in members.iter().filter(is_new) {
            let backend = self.cluster.add(member);
            self.schedule_first_probe(backend);
            added += 1;
        }
        self.admit_next();
        if added + gone_count > 0 {
            self.say(format_args!(
                "backends reloaded: {added} added, {gone_count} removed, {kept_count} kept"
            ));
        }
    }

    fn retire(&mut self, backend: usize) {
        if let Some(probe) = self.cluster.probe(backend).take() {
            self.remove_probe(probe);
        }
        self.wheel.cancel(self.cluster.timer(backend));
        for upstream in self.cluster.retire(backend) {
            self.close_upstream(upstream);
        }
    }
}
