//! The backends of the command line and of the list file, with the addresses of their names, now
//! and after each change.
//!
//! A change takes effect as soon as it is known: addresses and removals at once, new names when
//! they are resolved. Until a known name is resolved again its previous addresses are used.

use super::authorities::insecure_lines;
use super::failure::{Failure, RunError, say};
use super::list_file::{ListFile, Look, Verdict};
use super::lists::Lists;
use super::members::{self, members_of};
use super::names::{Names, Recorded, name_of};
use super::watched::Outcome;
use crate::base::address::Address;
use crate::base::reason::reason;
use crate::config::list::Listed;
use crate::config::{BACKENDS_MAX, BackendSpec, Config, Endpoint, OwnAddresses, quote};
use crate::net::Waker;
use crate::net::interfaces;
use crate::net::kernel::Kernel;
use crate::net::resolver::Resolver;
use crate::net::tls::Authorities;
use crate::proxy::{Member, Proxy};
use std::collections::HashSet;
use std::time::Duration;

/// How long the start waits for names. Those that are resolved later are used from then on.
const START_WAIT: Duration = Duration::from_secs(2);

/// Looks (one per second) until names that could not be resolved are looked up again.
const LOOKS_PER_RETRY: u32 = 5;

/// The backends that are configured now.
#[derive(Debug)]
pub struct Backends {
    lists: Lists,
    names: Names,
    resolver: Resolver,
    /// Where this program listens itself: no such address is used.
    own: OwnAddresses,
    /// Those in use.
    applied: Vec<BackendSpec>,
    looks_until_retry: u32,
    /// SIGHUP came and was not answered by a line yet.
    is_asked: bool,
    /// What came of the last reload, for the one who asked for it.
    outcome: Outcome,
}

impl Backends {
    /// Looks every name up, waiting for [`START_WAIT`] at most.
    pub fn look_up(lists: Lists, waker: Waker, own: OwnAddresses) -> Backends {
        let mut backends = Backends::new(lists, Resolver::new(waker), own);
        backends.look_at_machine();
        backends.look_up_names();
        for answer in backends.resolver.wait_for_answers(START_WAIT) {
            backends.names.record(answer);
        }
        backends
    }

    /// Resolves every name; the members to start with.
    ///
    /// Errors: a name of the command line is not known, or a backend there is this program itself.
    pub fn resolve(
        lists: Lists,
        waker: Waker,
        own: OwnAddresses,
        config: &Config,
    ) -> Result<(Backends, Vec<Member>), RunError> {
        let mut backends = Backends::look_up(lists, waker, own);
        for spec in &backends.lists.given {
            if let Some(failure) =
                name_of(&spec.endpoint).and_then(|host| backends.names.failure(host))
            {
                let text = format!("backend {}: {failure}; check the name", spec.endpoint);
                return Err(RunError::System(Failure(text)));
            }
            if let Some(own) = backends.own_addresses(spec).first() {
                let endpoint = quote(&spec.endpoint.to_string());
                let text = format!(
                    "the backend {endpoint} is the balancer itself, which listens on {own}: change \
                     one of the ports"
                );
                return Err(RunError::Usage(Failure(text)));
            }
        }
        for line in backends.unresolved(|_| true).into_iter().chain(backends.unused(|_| true)) {
            say(config.events, format_args!("{line}"));
        }
        let (members, surplus) = backends.members();
        if surplus > 0 {
            say(
                config.events,
                format_args!(
                    "{surplus} addresses are not used, as there are more than {BACKENDS_MAX} \
                     backends"
                ),
            );
        }
        backends.applied = specs(&members);
        if members.is_empty() {
            let status = config.all_down_status;
            say(config.events, format_args!("no backend yet: every request is answered {status}"));
        }
        Ok((backends, members))
    }

    fn new(lists: Lists, resolver: Resolver, own: OwnAddresses) -> Backends {
        Backends {
            lists,
            names: Names::default(),
            resolver,
            own,
            applied: Vec::new(),
            looks_until_retry: LOOKS_PER_RETRY,
            is_asked: false,
            outcome: Ok(String::new()),
        }
    }

    /// Plans the first look, if it has to do with more than the list file.
    pub fn begin(&self, proxy: &mut Proxy<Kernel>) {
        if !self.names.failed().is_empty() {
            proxy.look_at_list_later();
        }
        proxy.plan_lookup(self.has_names());
    }

    /// `--resolve-interval` has passed: looks every name up.
    pub fn look_up_again(&mut self, proxy: &mut Proxy<Kernel>) {
        self.look_up_names();
        proxy.plan_lookup(self.has_names());
    }

    fn has_names(&self) -> bool {
        self.specs().any(|(spec, _)| name_of(&spec.endpoint).is_some())
    }

    /// SIGHUP: reads the list and resolves the names again, and answers with a line.
    pub fn reload(&mut self, has_more: bool, proxy: &mut Proxy<Kernel>) {
        self.look_at_machine();
        self.look_up_names();
        self.outcome = Ok("the names are as they were".to_owned());
        let has_names = self.has_names();
        match &mut self.lists.file {
            Some(file) if file.is_regular() => {
                file.request();
                self.is_asked = true;
                self.look_at_file(proxy);
            }
            Some(file) => {
                let name = file.name();
                let line = format!(
                    "the list file {name} is no regular file: it was read once, at the start"
                );
                proxy.log_event(format_args!("{line}"));
                self.outcome = Err(line);
            }
            None if has_more => {}
            None if has_names => {
                proxy.log_event(format_args!("SIGHUP: names are looked up again"));
            }
            None => proxy.log_event(format_args!(
                "SIGHUP: no list file (-f) and no access log (-l) to read or open again"
            )),
        }
        if self.lists.file.is_none() && !self.resolver.is_waiting() {
            self.outcome = match has_more {
                true => Ok("the backends are as they were".to_owned()),
                false => {
                    Err("there is no list file (-f) to read and no name to look up".to_owned())
                }
            };
        }
    }

    /// What the last reload has come to.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// SIGHUP was not carried out yet.
    pub fn is_reloading(&self) -> bool {
        self.is_asked || self.resolver.is_waiting()
    }

    /// The regular look: whether the list file has changed, and whether names that could not be
    /// resolved are known now.
    pub fn look(&mut self, proxy: &mut Proxy<Kernel>) {
        self.look_at_file(proxy);
        let failed = self.names.failed();
        if failed.is_empty() {
            return;
        }
        self.looks_until_retry -= 1;
        if self.looks_until_retry == 0 {
            self.looks_until_retry = LOOKS_PER_RETRY;
            failed.iter().for_each(|host| self.resolver.look_up(host));
        }
        proxy.look_at_list_later();
    }

    fn look_at_file(&mut self, proxy: &mut Proxy<Kernel>) {
        let Some(file) = &mut self.lists.file else { return };
        match file.look(&self.lists.given, proxy.net_mut().waker()) {
            Ok(Look::Unchanged | Look::Reading) => {}
            Ok(Look::Unsettled) => proxy.look_at_list_soon(),
            Err(error) => {
                proxy.log_event(format_args!("cannot read the list file now: {}", reason(&error)))
            }
        }
    }

    /// Applies what was read and resolved since the last turn.
    pub fn advance(&mut self, proxy: &mut Proxy<Kernel>) {
        if self.resolver.is_waiting() {
            self.take_answers(proxy);
        }
        let Some(file) = &mut self.lists.file else { return };
        match file.finish() {
            None => return,
            // Not at once, as it may go on changing.
            Some(Verdict::Unstable) => return proxy.look_at_list_soon(),
            Some(Verdict::Rejected(lines)) => {
                self.is_asked = false;
                let ends = [lines.first(), lines.last()].into_iter().flatten();
                let ends: Vec<&str> = ends.map(String::as_str).collect();
                self.outcome = Err(ends.join("; "));
                lines.iter().for_each(|line| proxy.log_event(format_args!("{line}")));
            }
            Some(Verdict::Accepted(listed, authorities)) => {
                self.put_in_use(listed, authorities, proxy);
                self.look_at_machine();
                self.look_up_names();
                self.unused(|_| true)
                    .iter()
                    .for_each(|line| proxy.log_event(format_args!("{line}")));
                let is_same = !self.apply(proxy);
                if self.lists.file.as_ref().is_some_and(ListFile::is_requested) {
                    // It was asked for again meanwhile: the next reading answers.
                } else if std::mem::take(&mut self.is_asked) && is_same {
                    let name = self.file_name();
                    let count = self.applied.len();
                    proxy.log_event(format_args!(
                        "the list file {name} was read again: nothing has changed, \
                         {count} backend{}",
                        if count == 1 { "" } else { "s" }
                    ));
                }
            }
        }
        if self.lists.file.as_ref().is_some_and(ListFile::is_requested) {
            self.look_at_file(proxy);
        }
    }

    /// The list is another one from here on; it is applied next.
    fn put_in_use(
        &mut self,
        listed: Vec<Listed>,
        authorities: Option<Authorities>,
        proxy: &mut Proxy<Kernel>,
    ) {
        if authorities.is_some_and(|authorities| proxy.net_mut().trust(authorities)) {
            proxy.log_event(format_args!("the authorities of servers were read again"));
        }
        let before = std::mem::replace(&mut self.lists.listed, listed);
        let specs = self.lists.listed.iter().map(|listed| &listed.spec);
        for line in insecure_lines(specs, &before) {
            proxy.log_event(format_args!("{line}"));
        }
    }

    fn take_answers(&mut self, proxy: &mut Proxy<Kernel>) {
        let mut has_changed = false;
        while let Some(answer) = self.resolver.take_answer() {
            let host = answer.host.clone();
            let before = self.names.shown(&host);
            match self.names.record(answer) {
                Recorded::Same => {}
                Recorded::Addresses => {
                    has_changed = true;
                    self.look_at_machine();
                    let lines = self.unused(|endpoint| name_of(endpoint) == Some(&host));
                    lines.iter().for_each(|line| proxy.log_event(format_args!("{line}")));
                    let now = self.names.shown(&host);
                    if !before.is_empty() && before != now {
                        proxy.log_event(format_args!("{host} is now {now}, was {before}"));
                    }
                }
                Recorded::Failure => {
                    let lines = self.unresolved(|name| name == host);
                    lines.iter().for_each(|line| proxy.log_event(format_args!("{line}")));
                    proxy.look_at_list_later();
                }
            }
        }
        if has_changed {
            self.apply(proxy);
        }
    }

    /// Makes the members of now those of the proxy; whether others are in use than before.
    fn apply(&mut self, proxy: &mut Proxy<Kernel>) -> bool {
        let (members, surplus) = self.members();
        if surplus > 0 {
            proxy.log_event(format_args!(
                "{surplus} addresses are not used, as there are more than {BACKENDS_MAX} backends"
            ));
        }
        proxy.plan_lookup(self.has_names());
        self.outcome = Ok(proxy.apply(&members, &[]).to_string());
        let specs = specs(&members);
        let has_changed = specs != self.applied;
        self.applied = specs;
        has_changed
    }

    fn file_name(&self) -> String {
        self.lists.file.as_ref().map(ListFile::name).unwrap_or_default()
    }

    /// Every backend, those of the command line first, each with where it stands.
    fn specs(&self) -> impl Iterator<Item = (&BackendSpec, Option<usize>)> {
        let given = self.lists.given.iter().map(|spec| (spec, None));
        given.chain(self.lists.listed.iter().map(|listed| (&listed.spec, Some(listed.line))))
    }

    /// Every backend in its order, as a member, or why its name has no address yet.
    pub fn resolved(&self) -> Vec<(String, Result<Member, String>)> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for (spec, _) in self.specs() {
            let problem = match self.usable(spec) {
                Some(addresses) if !addresses.is_empty() => {
                    let members = members_of(spec, addresses, &mut seen).into_iter();
                    all.extend(members.map(|member| (member.spec.to_string(), Ok(member))));
                    continue;
                }
                Some(_) => String::from("the balancer itself listens there"),
                None => self.not_resolved(spec),
            };
            all.push((spec.to_string(), Err(problem)));
        }
        all
    }

    fn not_resolved(&self, spec: &BackendSpec) -> String {
        match name_of(&spec.endpoint).and_then(|it| self.names.failure(it)) {
            Some(failure) => format!("unknown name: {failure}"),
            None => format!("unknown name: no answer from DNS in {START_WAIT:?}"),
        }
    }

    /// Those whose addresses are known, and how many more there would be.
    fn members(&self) -> (Vec<Member>, usize) {
        let known = |(spec, _)| {
            let addresses = self.usable(spec).filter(|addresses| !addresses.is_empty())?;
            Some((spec, addresses))
        };
        members::members(self.specs().filter_map(known))
    }

    /// Where this backend may be, without this program's own addresses; none if its name is not
    /// known yet.
    fn usable(&self, spec: &BackendSpec) -> Option<Vec<Address>> {
        let mut addresses = self.names.addresses(&spec.endpoint)?;
        addresses.retain(|address| !self.own.has(address));
        Some(addresses)
    }

    /// The addresses of this backend that are this program's own.
    fn own_addresses(&self, spec: &BackendSpec) -> Vec<Address> {
        let mut addresses = self.names.addresses(&spec.endpoint).unwrap_or_default();
        addresses.retain(|address| self.own.has(address));
        addresses
    }

    /// Asks for the machine's addresses, which may have changed, where they decide what is a loop.
    fn look_at_machine(&mut self) {
        let ports = self.specs().filter_map(|(spec, _)| spec.endpoint.port());
        if self.own.needs_machine(ports)
            && let Ok(addresses) = interfaces::addresses()
        {
            self.own.set_machine(addresses);
        }
    }

    fn look_up_names(&mut self) {
        let names = self.specs().filter_map(|(spec, _)| name_of(&spec.endpoint));
        let names: HashSet<String> = names.map(str::to_owned).collect();
        self.names.retain(&names.iter().map(String::as_str).collect());
        names.iter().for_each(|name| self.resolver.look_up(name));
    }

    /// One line for each of these backends that has addresses of this program.
    fn unused(&self, is_wanted: impl Fn(&Endpoint) -> bool) -> Vec<String> {
        let line = |(spec, line): (&BackendSpec, Option<usize>)| {
            let endpoint = Some(&spec.endpoint).filter(|endpoint| is_wanted(endpoint))?;
            let own = self.own_addresses(spec).into_iter().next()?;
            let place = self.place(line);
            Some(match self.usable(spec)?.is_empty() {
                true => format!(
                    "{place} {endpoint}: the balancer itself listens on {own}, so this server is \
                     not used; change one of the ports"
                ),
                false => format!(
                    "{place} {endpoint}: the balancer itself listens on {own}, so that address is \
                     not used"
                ),
            })
        };
        self.specs().filter_map(line).collect()
    }

    /// Where a backend is named, for a message: a line of the file, or none for the command line.
    fn place(&self, line: Option<usize>) -> String {
        match (line, &self.lists.file) {
            (Some(line), Some(file)) => format!("{}:{line}:", file.path().display()),
            (Some(_), None) | (None, _) => "backend".to_owned(),
        }
    }

    /// One line for each backend whose name is among these and could not be resolved.
    fn unresolved(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let line = |(spec, line): (&BackendSpec, Option<usize>)| {
            let host = name_of(&spec.endpoint).filter(|host| is_wanted(host))?;
            let place = self.place(line);
            let endpoint = &spec.endpoint;
            match self.names.failure(host) {
                Some(failure) => {
                    Some(format!("{place} {endpoint}: {failure}; it is looked up again"))
                }
                None if self.resolver.is_pending(host) => Some(format!(
                    "{place} {endpoint}: no answer from DNS yet; it is used once there is one"
                )),
                None => None,
            }
        };
        self.specs().filter_map(line).collect()
    }
}

fn specs(members: &[Member]) -> Vec<BackendSpec> {
    members.iter().map(|member| member.spec.clone()).collect()
}

#[cfg(test)]
mod tests;
