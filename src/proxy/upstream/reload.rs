//! The backends change while requests are served: what is new is added, what is gone finishes its
//! pairs and leaves, what stays keeps its counters, health and connections.
//!
//! Reading the list and looking up names may take long, so it is not done in the loop: the proxy
//! only says when it wishes for it ([`Proxy::take_reload`]) and is given the result
//! ([`Proxy::apply`]).

use crate::base::backend_id::BackendId;
use crate::base::table::Id;
use crate::base::wheel::Timer;
use crate::config::BackendSpec;
use crate::net::Net;
use crate::net::files::SETTLE_TIME;
use crate::proxy::upstream::cluster::Member;
use crate::proxy::{ListKind, Proxy};
use std::collections::HashMap;
use std::time::Duration;

/// How often to look whether the list file has changed: one `stat` each time.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

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
    pub(in crate::proxy) wish: Option<Reload>,
}

impl ListWatch {
    /// A look at the list file is planned.
    pub(in crate::proxy) fn is_planned(&self) -> bool {
        self.timer.is_armed()
    }
}

/// What tells the backends there are from those that are wanted.
#[derive(Debug, Default)]
struct Changes<'a> {
    /// Each with what it is to be now; none where its name is not known for the moment.
    kept: Vec<(BackendId, Option<&'a Member>)>,
    gone: Vec<BackendId>,
    /// In the order of the list, which decides turns and the policy `first`.
    added: Vec<&'a Member>,
}

impl<'a> Changes<'a> {
    fn between<'b>(
        serving: impl Iterator<Item = (BackendId, &'b Member)>,
        members: &'a [Member],
        unknown: &'a [BackendSpec],
    ) -> Changes<'a> {
        let known = members.iter().map(|member| (&member.spec, Some(member)));
        let mut wanted: HashMap<&BackendSpec, Option<&Member>> =
            known.chain(unknown.iter().map(|spec| (spec, None))).collect();
        let mut changes = Changes::default();
        for (backend, member) in serving {
            match wanted.remove(&member.spec) {
                Some(wanted) => changes.kept.push((backend, wanted)),
                None => changes.gone.push(backend),
            }
        }
        let is_new = |member: &&Member| wanted.contains_key(&member.spec);
        changes.added = members.iter().filter(is_new).collect();
        changes
    }
}

impl<N: Net> Proxy<N> {
    /// Plans the next look at the list file, if there is one.
    pub(in crate::proxy) fn watch_list(&mut self) {
        if self.config.list_file.is_some() {
            self.look_at_list_later();
        }
    }

    /// Plans another look in [`LOOK_INTERVAL`].
    pub fn look_at_list_later(&mut self) {
        let due = self.now.instant + LOOK_INTERVAL;
        self.wheel.arm(&mut self.list.timer, due, Id::numbered::<ListKind>(0));
    }

    /// Plans another look for when a file that was just written to may be settled.
    pub fn look_at_list_soon(&mut self) {
        let due = self.now.instant + SETTLE_TIME;
        self.wheel.arm(&mut self.list.timer, due, Id::numbered::<ListKind>(0));
    }

    pub(in crate::proxy) fn list_timer_fired(&mut self) {
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

    /// Makes `members` the backends from here on. Those of `unknown`, whose names are not known for
    /// the moment, stay if they take part: what the names stood for may still be there.
    pub fn apply(&mut self, members: &[Member], unknown: &[BackendSpec]) {
        let changes = Changes::between(self.cluster.serving(), members, unknown);
        for (backend, wanted) in &changes.kept {
            if let Some(wanted) = wanted {
                self.cluster.set_addresses(*backend, &wanted.addresses);
            }
        }
        for &backend in &changes.gone {
            self.retire(backend);
        }
        for member in &changes.added {
            let backend = self.cluster.add(member);
            self.schedule_first_probe(backend);
        }
        self.admit_next();
        let [added, gone, kept] = [changes.added.len(), changes.gone.len(), changes.kept.len()];
        if added + gone > 0 {
            self.say(format_args!("backends reloaded: {added} added, {gone} removed, {kept} kept"));
        }
    }

    fn retire(&mut self, backend: BackendId) {
        if let Some(probe) = self.cluster.probe(backend).take() {
            self.remove_probe(probe);
        }
        self.wheel.cancel(self.cluster.timer(backend));
        for upstream in self.cluster.retire(backend) {
            self.close_upstream(upstream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;
    use std::net::SocketAddr;

    fn member(port: u16) -> Member {
        let spec = BackendSpec::new(Endpoint { host: Some("a".to_owned()), port });
        Member { spec, addresses: vec![SocketAddr::from(([127, 0, 0, 1], port))] }
    }

    #[test]
    fn what_is_no_longer_known_stays_and_is_not_begun() {
        let serving = [member(1), member(2), member(3)];
        let (members, unknown) = ([member(4), member(3)], [member(2).spec, member(5).spec]);
        let ids = (0..).map(BackendId::new);
        let changes = Changes::between(ids.zip(&serving), &members, &unknown);
        let kept = changes.kept.iter().map(|(backend, wanted)| (*backend, wanted.is_some()));
        assert_eq!(
            kept.collect::<Vec<_>>(),
            [(BackendId::new(1), false), (BackendId::new(2), true)]
        );
        assert_eq!(changes.gone, [BackendId::new(0)]);
        let added: Vec<u16> = changes.added.iter().map(|one| one.spec.endpoint.port).collect();
        assert_eq!(added, [4]);
    }
}
