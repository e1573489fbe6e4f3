//! The backends change while requests are served: what is new is added, what is gone finishes its
//! pairs and leaves, what stays keeps its counters, health and connections.
//!
//! Reading the list and looking up names may take long, so it is not done in the loop: the proxy
//! only says when it is due ([`ListWatch::take_wish`]) and is given the result
//! ([`Upstreams::apply`]).

use super::by_hand::{Kept, Left};
use super::probe::Probe;
use super::{Member, Upstream, UpstreamState, Upstreams};
use crate::balance::AdminState;
use crate::base::address::Address;
use crate::base::backend_id::BackendId;
use crate::base::table::Id;
use crate::base::wheel::Timer;
use crate::config::{BackendSpec, Endpoint};
use crate::net::Net;
use crate::net::files::SETTLE_TIME;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{ListKind, UpstreamKey};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// How often to look whether the list file, a certificate or an authority has changed: one `stat`
/// each.
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

/// What the operator wants of a backend, in words.
pub(super) struct AdminWords<'a> {
    name: &'a str,
    admin: AdminState,
    left: Left,
    more: &'a str,
}

impl fmt::Display for AdminWords<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AdminWords { name, admin, left, more } = self;
        match admin {
            AdminState::Ready => write!(out, "{name} is in rotation{more}"),
            AdminState::Drain => write!(out, "{name} is draining{more} ({left})"),
            AdminState::Down => write!(out, "{name} is set to down{more} ({left})"),
        }
    }
}

/// What a new list has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    added: usize,
    gone: usize,
    kept: usize,
    /// Of those that were kept.
    changed: usize,
    by_hand: Kept,
}

impl Applied {
    /// The list is as it was.
    pub fn is_nothing(&self) -> bool {
        (self.added, self.gone, self.changed) == (0, 0, 0)
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Applied { added, gone, kept, changed, by_hand } = self;
        if self.is_nothing() {
            let plural = if *kept == 1 { "" } else { "s" };
            return write!(out, "nothing has changed, {kept} backend{plural}{by_hand}");
        }
        write!(out, "backends reloaded: {added} added, {gone} removed, {kept} kept")?;
        match changed {
            0 => {}
            changed => write!(out, " ({changed} changed)")?,
        }
        write!(out, "{by_hand}")
    }
}

/// When to look at the list file again.
#[derive(Debug, Default)]
pub struct ListWatch {
    timer: Timer,
    wish: Option<Reload>,
}

/// The difference between the backends there are and those that are wanted. Identity is the
/// endpoint, and whether it is spoken to in TLS; everything else about a backend can change while it
/// stays.
#[derive(Debug, Default)]
struct Changes<'a> {
    /// Each with what it is to be now, and its addresses unless its name is unknown for the moment.
    kept: Vec<(BackendId, &'a BackendSpec, Option<&'a [Address]>)>,
    gone: Vec<BackendId>,
    /// In the order of the list, which decides turns and the policy `first`.
    added: Vec<&'a Member>,
}

impl<'a> Changes<'a> {
    fn between<'b>(
        serving: impl Iterator<Item = (BackendId, &'b BackendSpec)>,
        members: &'a [Member],
        unknown: &'a [BackendSpec],
    ) -> Changes<'a> {
        type Wanted<'a> = (&'a BackendSpec, Option<&'a [Address]>);
        let known = members.iter().map(|member| (&member.spec, Some(&member.addresses[..])));
        let all = known.chain(unknown.iter().map(|spec| (spec, None)));
        let mut wanted: HashMap<(&Endpoint, bool), Wanted<'_>> =
            all.map(|wanted| (wanted.0.identity(), wanted)).collect();
        let mut changes = Changes::default();
        for (backend, old) in serving {
            match wanted.remove(&old.identity()) {
                Some((spec, addresses)) => changes.kept.push((backend, spec, addresses)),
                None => changes.gone.push(backend),
            }
        }
        let is_new = |member: &&Member| wanted.contains_key(&member.spec.identity());
        changes.added = members.iter().filter(is_new).collect();
        changes
    }
}

impl ListWatch {
    /// Plans the next look at the list file, certificates and authorities, if there are any.
    pub fn watch<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        if cx.config.watches_files() {
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
    pub fn apply(
        &mut self,
        cx: &mut LoopContext<N>,
        members: &[Member],
        unknown: &[BackendSpec],
    ) -> Applied {
        let before = self.cluster.counts();
        self.revision += 1;
        let changes = Changes::between(self.cluster.serving(), members, unknown);
        let mut changed = 0;
        for &(backend, spec, addresses) in &changes.kept {
            changed += usize::from(self.reconfigure(cx, backend, spec));
            if addresses.is_some_and(|now| self.cluster.set_addresses(backend, now)) {
                self.leave_old_addresses(cx, backend);
            }
        }
        let names_by_hand = changes.kept.iter().map(|(backend, ..)| *backend);
        let applied = Applied {
            added: changes.added.len(),
            gone: changes.gone.len(),
            kept: changes.kept.len(),
            changed,
            by_hand: self.cluster.kept_of(names_by_hand),
        };
        if !applied.is_nothing() {
            cx.logs.event(format_args!("{applied}"));
        }
        for &backend in &changes.gone {
            let left = Left(self.cluster.in_flight(backend));
            let name = self.cluster.name(backend);
            match self.cluster.by_hand(backend) {
                by_hand if by_hand.is_none() => {
                    cx.logs.event(format_args!("removed {name} ({left})"))
                }
                by_hand => cx.logs.event(format_args!(
                    "removed {name} ({left}); {by_hand}, set by hand, is forgotten"
                )),
            }
            self.retire(cx, backend);
            self.cluster.account(backend).moved(cx.now.instant);
        }
        // Those that are added together share from the start where no other is there.
        let has_others = self.cluster.has_any_up();
        for member in &changes.added {
            let backend = self.add(cx, member);
            cx.logs.event(format_args!("added {}", self.cluster.name(backend)));
            if has_others {
                self.cluster.warm(backend, cx.now.instant);
            }
        }
        let standing = self.standing(cx);
        if (before.total > 0 && standing.counts.total == 0)
            || (before.up > 0 && standing.counts.up == 0)
        {
            cx.logs.event(format_args!("{standing}"));
        }
        applied
    }

    /// Adds a backend, or readmits it if it was removed and has requests in flight.
    fn add(&mut self, cx: &mut LoopContext<N>, member: &Member) -> BackendId {
        let Some(backend) = self.cluster.leaving(&member.spec) else {
            let backend = self.cluster.add(member, cx.now.instant);
            self.schedule_first_probe(cx, backend);
            return backend;
        };
        self.cluster.readmit(backend);
        self.cluster.account(backend).moved(cx.now.instant);
        self.reconfigure(cx, backend, &member.spec);
        self.cluster.set_addresses(backend, &member.addresses);
        self.plan_next_probe(cx, backend);
        self.schedule_first_probe(cx, backend);
        self.watch_silence(cx, backend);
        backend
    }

    /// Makes a backend what the list says of it now; whether that is something else than before.
    fn reconfigure(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        spec: &BackendSpec,
    ) -> bool {
        let is_new = self.cluster.listed(backend) != spec;
        let old = self.cluster.reconfigure(backend, spec);
        if old.tls_server() != spec.tls_server() {
            // They were verified in another way.
            self.close_waiting(cx, backend);
        }
        if old.admin != self.cluster.spec(backend).admin {
            self.admin_state_changed(cx, backend, old.admin, "");
        }
        is_new
    }

    /// What the operator wants of a backend, in words with `more` among them.
    pub(super) fn admin_state<'a>(&'a self, backend: BackendId, more: &'a str) -> AdminWords<'a> {
        AdminWords {
            name: self.cluster.name(backend),
            admin: self.cluster.spec(backend).admin,
            left: Left(self.cluster.in_flight(backend)),
            more,
        }
    }

    /// The operator has taken a backend out of rotation or put it back, `how`: connections that would
    /// wait for a next request are closed, and probes stop or begin again. What happened, in words.
    pub(super) fn admin_state_changed(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        before: AdminState,
        how: &str,
    ) -> String {
        let now = self.cluster.spec(backend).admin;
        let more = if now == AdminState::Ready { " again" } else { "" };
        let text = self.admin_state(backend, more).to_string();
        cx.logs.event(format_args!("{text}{how}"));
        if now == AdminState::Ready {
            self.cluster.warm(backend, cx.now.instant);
        }
        self.cluster.account(backend).moved(cx.now.instant);
        if now != AdminState::Ready {
            self.close_waiting(cx, backend);
        }
        match (before, now) {
            (_, AdminState::Down) => self.stop_probing(cx, backend),
            (AdminState::Down, AdminState::Ready | AdminState::Drain) => {
                self.plan_next_probe(cx, backend);
                self.schedule_first_probe(cx, backend);
                self.watch_silence(cx, backend);
            }
            (AdminState::Ready | AdminState::Drain, AdminState::Ready | AdminState::Drain) => {}
        }
        text
    }

    /// The backend's name no longer stands for some addresses: idle connections to them are closed,
    /// those at work when they become idle, and a probe under way starts again. Not here: a connect
    /// that fails at once would change what is believed while the list is being applied.
    fn leave_old_addresses(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        for key in self.cluster.idle(backend).take() {
            match self.table.get(key) {
                Some(upstream) if self.cluster.has_address(backend, &upstream.address) => {
                    self.cluster.idle(backend).push(key);
                }
                Some(_) => self.close(cx, key),
                None => {}
            }
        }
        for key in self.owned(backend) {
            let address = self.table.get(key).map(Upstream::address);
            if address.is_some_and(|address| !self.cluster.has_address(backend, address)) {
                self.close(cx, key);
            }
        }
        let probe = self.cluster.probe_of(backend);
        let address = probe.and_then(|key| self.probes.get(key)).map(Probe::address);
        if address.is_some_and(|address| !self.cluster.has_address(backend, address)) {
            if let Some(probe) = self.cluster.probe(backend).take() {
                self.remove_probe(cx, probe);
            }
            let due = self.cluster.bring_forward(backend, cx.now.instant);
            self.arm_probe(cx, backend, due);
        }
    }

    fn retire(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        self.stop_probing(cx, backend);
        self.cluster.retire(backend);
        self.close_waiting(cx, backend);
    }

    fn stop_probing(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        if let Some(probe) = self.cluster.probe(backend).take() {
            self.remove_probe(cx, probe);
        }
        cx.wheel.cancel(self.cluster.timer(backend));
    }

    /// Closes the connections to a backend that wait for a next request.
    fn close_waiting(&mut self, cx: &mut LoopContext<N>, backend: BackendId) {
        for upstream in self.cluster.idle(backend).take().into_iter().chain(self.owned(backend)) {
            self.close(cx, upstream);
        }
    }

    /// Connections to a backend that wait for the next request of the client they belong to.
    fn owned(&self, backend: BackendId) -> Vec<UpstreamKey> {
        let is_owned = |upstream: &Upstream<N::Socket>| match upstream.state {
            UpstreamState::Owned { backend: of, .. } => of == backend,
            UpstreamState::Connecting(_)
            | UpstreamState::Handshake(_)
            | UpstreamState::Busy { .. }
            | UpstreamState::Idle { .. } => false,
        };
        let owned = self.table.iter().filter(|(_, upstream)| is_owned(upstream));
        owned.map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;
    use std::net::SocketAddr;

    fn member(port: u16) -> Member {
        let spec = BackendSpec::new(HostPort::on("a", port));
        Member { spec, addresses: vec![SocketAddr::from(([127, 0, 0, 1], port)).into()] }
    }

    #[test]
    fn a_backend_is_identified_by_its_endpoint() {
        let serving = [member(1), member(2), member(3)];
        let serving = (0..).map(BackendId::new).zip(serving.iter().map(|member| &member.spec));
        let mut heavier = member(3);
        heavier.spec.weight = 7;
        let (members, unknown) = ([member(4), heavier], [member(2).spec, member(5).spec]);
        let changes = Changes::between(serving, &members, &unknown);
        let kept = changes.kept.iter().map(|(id, spec, known)| (*id, spec.weight, known.is_some()));
        assert_eq!(
            kept.collect::<Vec<_>>(),
            [(BackendId::new(1), 1, false), (BackendId::new(2), 7, true)]
        );
        assert_eq!(changes.gone, [BackendId::new(0)]);
        let added: Vec<u16> =
            changes.added.iter().map(|one| one.spec.endpoint.port().expect("a port")).collect();
        assert_eq!(added, [4], "a name that is not known is not added");
    }
}
