//! The load balancer over some [`Net`]: one [`Proxy`] owns the clients, everything else they meet,
//! and the turn that moves whatever can move.
//!
//! Six state machines, a folder each, and one direction of imports between them:
//!
//! - `conn`: one socket with its buffers and readiness. Imports none of the others.
//! - `upstream`: connections to backends, their pool, health checks and what is believed.
//! - `client`: listeners, accepted connections, the request on each, the queue for the N slots.
//! - `admin`: requests about this program, answered from memory. Imports the others.
//! - `control`: lines on the control socket; what they ask for is done above. Imports `conn`.
//! - `exchange`: requests joined to upstreams, their bytes, and how they end. Imports the others.
//!
//! Beside them, below all four: `kinds` (keys), `context` (what every step works with), `schedule`
//! (whose step is next), `trim` (when memory goes back to the system), `log`, `retry`. Above them:
//! this file, `turn`, `accept`, `steer`, `takeover`, `fairness` and `finish`.
//!
//! A lower machine never calls a higher one. What concerns a higher one is a value that is returned
//! ([`kinds::Next`]) or picked up after the step ([`upstream::Upstreams::take_effect`]).

mod accept;
mod admin;
mod admin_turn;
mod admit;
pub mod census;
mod client;
mod conn;
mod context;
mod control;
mod exchange;
mod fairness;
mod finish;
mod head_edits;
pub mod invariants;
mod kinds;
mod log;
mod manager;
mod memory;
mod record;
mod retry;
mod schedule;
mod standing;
mod steer;
mod takeover;
mod trim;
mod turn;
mod upstream;

pub use crate::http::challenge::FOLDER as CHALLENGE_FOLDER;
pub use admin::PLACES as ADMIN_PLACES;
pub use client::challenges::{ChallengeFile, WantedChallenge};
pub use client::listener::{ListenerSettings, Scheme, Security, Service};
pub use client::plan;
pub use context::Limits;
pub use exchange::pump;
pub use manager::FirstProbes;
pub use upstream::reload::{Applied, Reload};
pub use upstream::{Member, ProbeResult};

use crate::base::table::Table;
use crate::base::time::Instant;
use crate::config::{BackendSpec, Config, StickyKey};
use crate::net::{Net, Ready};
use crate::observe::state::ProgramState;
use admin::Admin;
use client::acceptor::{Acceptor, Hints};
use client::connection::Connection;
use client::request::RequestState;
use client::slow_clients::SlowClients;
use context::LoopContext;
use control::Control;
use exchange::Exchanges;
use kinds::{ClientKey, ClientKind, Next};
use manager::ManagerReport;
use record::RecordLog;
use standing::Counts;
use std::collections::HashMap;
use std::io;
use upstream::Upstreams;
use upstream::cluster::Cluster;
use upstream::lookup::LookupWatch;
use upstream::reload::ListWatch;

/// Whether to call [`Proxy::turn`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    /// A stop was asked for and nothing is in flight any more.
    Ended,
}

/// When the program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Not asked for.
    No,
    /// Serves on until this time.
    DrainAt(Instant),
    /// Another process has the listeners: serves the connections it has until this time, then
    /// drains.
    HandedOver(Instant),
    /// Once nothing is in flight, at this time at the latest.
    By(Instant),
    /// Asked for twice.
    Now,
}

/// The load balancer over some [`Net`].
#[derive(Debug)]
pub struct Proxy<N: Net> {
    /// Apart from `exchanges`, so that a step can hold one client and all the rest: each event
    /// looks its client up once to mark it and once to step it.
    clients: Table<ClientKind, Connection<N::Socket>>,
    exchanges: Exchanges<N>,
    acceptor: Acceptor<N>,
    /// None without an admin listener.
    admin: Option<Box<Admin<N>>>,
    /// None without a control socket.
    control: Option<Box<Control<N>>>,
    /// Where the search for an idle client to close goes on.
    sweep_from: usize,
    slow_clients: SlowClients,
    list: ListWatch,
    lookup: LookupWatch,
    /// The record of choices, as far as it is not written.
    record: RecordLog,
    /// None where no service manager wants to know.
    manager: Option<ManagerReport>,
    stop: Stop,
    /// A signal has come and was not looked at yet.
    signalled: bool,
    /// What the last wait reported; kept for its memory.
    ready: Vec<Ready>,
}

impl<N: Net> Proxy<N> {
    /// A balancer over `members`, without a listener. `seed` decides jitter and random choices.
    pub fn new(
        net: N,
        config: Config,
        members: Vec<Member>,
        limits: Limits,
        error_pages: HashMap<u16, Vec<u8>>,
        seed: u64,
    ) -> Proxy<N> {
        let cluster = Cluster::new(&config, &members, limits.pairs_max, seed);
        let context = LoopContext::new(net, config, limits, seed);
        let upstreams = Upstreams::new(cluster, limits.pipes_max);
        let mut proxy = Proxy {
            clients: Table::new(),
            exchanges: Exchanges::new(context, upstreams, error_pages, seed),
            acceptor: Acceptor::new(Hints::CLIENTS),
            admin: None,
            control: None,
            sweep_from: 0,
            slow_clients: SlowClients::new(),
            list: ListWatch::default(),
            lookup: LookupWatch::default(),
            record: RecordLog::default(),
            manager: None,
            stop: Stop::No,
            signalled: false,
            ready: Vec::new(),
        };
        let Exchanges { context, upstreams, .. } = &mut proxy.exchanges;
        upstreams.schedule_first_probes(context);
        proxy.list.watch(context);
        if proxy.exchanges.upstreams.cluster().is_recording() {
            // What comes later has a time.
            proxy.write_record();
        }
        proxy
    }

    /// Accepts from `listener` as well, with settings of its own.
    ///
    /// Errors: the system's, such as no room for another watch.
    pub fn listen(&mut self, listener: N::Listener, settings: ListenerSettings) -> io::Result<()> {
        match settings.service {
            Service::Http | Service::Tcp | Service::Redirect | Service::ToHttps { .. } => {
                self.acceptor.listen(&mut self.exchanges.context.net, listener, settings)
            }
            Service::Admin => self.listen_admin(listener, settings),
        }
    }

    /// The service manager of the kernel below, if there is one, has notices from here on; that
    /// clients can connect once every server was probed, or at once if they were `probed`.
    pub fn report_to_manager(&mut self, probed: FirstProbes) {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        self.manager = ManagerReport::begin(context, probed);
        if let Some(report) = &mut self.manager {
            report.update(context, upstreams);
        }
    }

    /// Whether every backend that is probed has had a probe end.
    pub fn are_all_probed(&self) -> bool {
        self.exchanges.upstreams.are_all_probed()
    }

    /// Makes `members` the backends from here on. Those of `unknown`, whose names are not known for
    /// the moment, stay if they take part. What that has brought.
    pub fn apply(&mut self, members: &[Member], unknown: &[BackendSpec]) -> Applied {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        let applied = upstreams.apply(context, members, unknown);
        self.exchanges.admission.open_one();
        self.admit_waiting();
        self.write_logs();
        applied
    }

    /// What was asked for since this was called last.
    pub fn take_reload(&mut self) -> Option<Reload> {
        self.list.take_wish()
    }

    /// Asks for what [`Proxy::take_reload`] has returned again, soon.
    pub fn ask_reload(&mut self, reload: Reload) {
        self.list.ask(reload);
        self.look_at_list_soon();
    }

    /// Tells the service manager, if there is one, whether what was to be read again is being read.
    pub fn set_reloading(&mut self, is_reloading: bool) {
        if let Some(report) = &mut self.manager {
            report.set_reloading(&mut self.exchanges.context, is_reloading);
        }
    }

    /// Whether the names of backends are to be looked up again now.
    pub fn take_lookup(&mut self) -> bool {
        self.lookup.take_due()
    }

    /// The files of `--acme-webroot` that are to be read next, a bounded number at once; none if
    /// clients wait for no others than those.
    pub fn take_challenges(&mut self) -> Vec<WantedChallenge> {
        self.exchanges.challenges.take()
    }

    /// A file was read, or cannot be: its client is answered, if it still waits.
    pub fn answer_challenge(&mut self, wanted: &WantedChallenge, file: &ChallengeFile) {
        let key = wanted.client();
        let Some(client) = self.clients.get_mut(key) else { return };
        // By now it may wait for a later one, or for none.
        if client.request.state != RequestState::AwaitingFile(wanted.ticket()) {
            return;
        }
        match self.exchanges.answer_challenge(key, client, file) {
            Next::Gone => self.close_client(key),
            Next::Again | Next::Yield | Next::Defer | Next::Park => {
                client.wake(&mut self.exchanges.context, key);
            }
        }
        self.write_logs();
    }

    /// Plans the next lookup of names, if there are any.
    pub fn plan_lookup(&mut self, has_names: bool) {
        let context = &mut self.exchanges.context;
        match has_names {
            true => self.lookup.plan(context),
            false => self.lookup.cancel(context),
        }
    }

    /// Plans another look at the list file, a second from now.
    pub fn look_at_list_later(&mut self) {
        self.list.look_later(&mut self.exchanges.context);
    }

    /// Plans another look for when a list file that was just written to may be settled.
    pub fn look_at_list_soon(&mut self) {
        self.list.look_soon(&mut self.exchanges.context);
    }

    /// The last probe of each backend that takes part, by the backend's place in the list.
    pub fn last_probes(&self) -> impl Iterator<Item = Option<&ProbeResult>> {
        let cluster = self.exchanges.upstreams.cluster();
        cluster.serving().map(|(backend, _)| cluster.last_probe(backend))
    }

    /// Writes the state of the program and of each backend to the log of events.
    pub fn log_state(&mut self) {
        let state = self.program_state();
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        context.logs.event(format_args!("state: {state}"));
        let cluster = upstreams.cluster();
        for id in cluster.ids() {
            cluster.log_state(id, context.now.instant, &mut context.logs);
        }
        self.write_logs();
    }

    fn program_state(&self) -> ProgramState {
        let Exchanges { upstreams, admission, .. } = &self.exchanges;
        let Counts { up, total, .. } = upstreams.cluster().counts();
        ProgramState {
            in_flight: self.exchanges.pairs().len(),
            in_flight_max: admission.slots_max(),
            queued: admission.waiting(),
            clients: self.clients.len(),
            up,
            total,
        }
    }

    /// Cookies of the process before this one stay good, unless this one has a key of its own.
    pub fn adopt_sticky_key(&mut self, key: StickyKey) {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        if context.config.sticky_key_file.is_none() {
            context.config.sticky_key = key;
            upstreams.use_sticky_key(&context.config);
        }
    }

    /// When the turn that runs, or the last one, began.
    pub fn now(&self) -> Instant {
        self.exchanges.context.now.instant
    }

    /// The kernel below, to give it another access log.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.exchanges.context.net
    }

    /// One line for the log of events.
    pub fn log_event(&mut self, line: std::fmt::Arguments<'_>) {
        self.exchanges.context.logs.event(line);
        self.write_logs();
    }

    /// Hands over every line of the access log there is, as another log is about to be opened.
    pub fn hand_over_logs(&mut self) {
        self.exchanges.context.logs.hand_over_now();
        self.write_logs();
    }

    #[inline]
    fn write_logs(&mut self) {
        if self.exchanges.upstreams.cluster().is_recording() {
            self.write_record();
        }
        let LoopContext { logs, net, now, .. } = &mut self.exchanges.context;
        logs.write(net, now.instant);
    }

    #[cold]
    fn write_record(&mut self) {
        let Exchanges { context, upstreams, .. } = &mut self.exchanges;
        let LoopContext { logs, net, now, .. } = context;
        self.record.write(net, now.instant, upstreams.record(), logs);
    }

    /// The client of this key leaves its table; its request has ended.
    fn close_client(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key) {
            self.exchanges.uncount_connection(client);
            let Exchanges { context, upstreams, .. } = &mut self.exchanges;
            if let Some(own) = client.own_upstream() {
                upstreams.close_own(context, own);
            }
            client.end(context);
            self.clients.discard(key);
            self.acceptor.resume();
        }
    }
}
