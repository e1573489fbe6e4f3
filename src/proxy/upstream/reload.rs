//! The backends change while requests are served: what is new is added, what is gone finishes its
//! pairs and leaves, what stays keeps its counters, health and connections.
//!
//! Reading the list and looking up names may take long, so it is not done in the loop: the proxy
//! only says when it is due ([`ListWatch::take_wish`]) and is given the result
//! ([`Upstreams::apply`]).

use super::Upstreams;
use super::cluster::Member;
use crate::base::backend_id::BackendId;
use crate::base::table::Id;
use crate::base::wheel::Timer;
use crate::config::BackendSpec;
use crate::net::Net;
use crate::net::files::SETTLE_TIME;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::ListKind;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// How often to look whether the list file has changed: one `stat` each time.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is to be read or opened again; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reload {
    /// The list file, if it has changed.
    IfChanged,
    /// The access log (SIGUSR1).
    Logs,
    /// The list file, changed or not, and the access log (SIGHUP).
    Now,
}

/// The requests or sessions that a removed backend still has.
struct Left(u32);

impl fmt::Display for Left {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => out.write_str("idle, it may be stopped"),
            1 => out.write_str("1 request left"),
            count => write!(out, "{count} requests left"),
        }
    }
}

/// When to look at the list file again.
#[derive(Debug, Default)]
pub struct ListWatch {
    timer: Timer,
    wish: Option<Reload>,
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

impl ListWatch {
    /// Plans the next look at the list file, if there is one.
    pub fn watch<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        if cx.config.list_file.is_some() {
            self.look_later(cx);
        }
    }

    /// Plans another look in [`LOOK_INTERVAL`].
    pub fn look_later<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        self.look_after(cx, LOOK_INTERVAL);
    }

    /// Plans a look for when a file that was just written to may be settled.
    pub fn look_soon<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        self.look_after(cx, SETTLE_TIME);
    }

    fn look_after<N: Net>(&mut self, cx: &mut LoopContext<N>, span: Duration) {
        let due = cx.now.instant + span;
        cx.wheel.arm(&mut self.timer, due, Id::numbered::<ListKind>(0));
    }

    /// The timer's node has fired.
    pub fn timer_fired<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        self.timer.fired();
        self.ask(Reload::IfChanged);
        self.watch(cx);
    }

    /// A look at the list file is planned.
    pub fn is_planned(&self) -> bool {
        self.timer.is_armed()
    }

    /// Asks for a reload, unless more is asked for already.
    pub fn ask(&mut self, reload: Reload) {
        self.wish = self.wish.max(Some(reload));
    }

    /// What was asked for since this was called last.
    pub fn take_wish(&mut self) -> Option<Reload> {
        self.wish.take()
    }
}

impl<N: Net> Upstreams<N> {
    /// Makes `members` the backends from here on. Those of `unknown`, whose names are not known for
    /// the moment, stay if they take part: what the names stood for may still be there.
    pub fn apply(&mut self, cx: &mut LoopContext<N>, members: &[Member], unknown: &[BackendSpec]) {
        let changes = Changes::between(self.cluster.serving(), members, unknown);
        for (backend, wanted) in &changes.kept {
            if let Some(wanted) = wanted {
                self.cluster.set_addresses(*backend, &wanted.addresses);
            }
        }
        let [added, gone, kept] = [changes.added.len(), changes.gone.len(), changes.kept.len()];
        if added + gone > 0 {
            cx.logs.event(format_args!(
                "backends reloaded: {added} added, {gone} removed, {kept} kept"
            ));
        }
        for &backend in &changes.gone {
            let left = Left(self.cluster.in_flight(backend));
            cx.logs.event(format_args!("removed {} ({left})", self.cluster.name(backend)));
            self.retire(cx, backend);
        }
        for member in &changes.added {
            let backend = self.cluster.add(member);
            cx.logs.event(format_args!("added {}", self.cluster.name(backend)));
            self.schedule_first_probe(cx, backend);
        }
        let standing = self.standing(cx);
        if gone > 0 && standing.total == 0 {
            cx.logs.event(format_args!("{standing}"));
        }
    }

    fn retire(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if let Some(probe) = self.cluster.probe(backend).take() {
            self.remove_probe(cx, probe);
        }
        cx.wheel.cancel(self.cluster.timer(backend));
        for upstream in self.cluster.retire(backend) {
            self.close(cx, upstream);
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
        let changes = Changes::between((0..).map(BackendId::new).zip(&serving), &members, &unknown);
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
