//! One run: turns of the proxy until its clients are done, then until its tables are empty; then,
//! without faults, a few more clients, which must be served.

use super::challenge;
use super::epilogue::Epilogue;
use super::kernel::Handshakes;
use super::net::SimNet;
use super::record;
use super::script::{self, Script};
use super::world::World;
use super::{Tally, locked};
use loadbalancer::base::rng::Rng;
use loadbalancer::base::table::Id;
use loadbalancer::proxy::census::Census;
use loadbalancer::proxy::{ADMIN_PLACES, Proxy, Status};
use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Mutex;

/// Turns after which a run counts as endless.
const TURNS_MAX: u64 = 300_000;

/// Whether the program goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    Ended,
}

/// The latest that slow clients in every slot are ended while others wait: 10 s of looks that may
/// begin with a burst, 10 s of looks without, and what is late.
const SLOW_MICROS: u64 = 24_000_000;

pub struct Run {
    world: Rc<RefCell<World>>,
    proxy: Proxy<SimNet>,
    pairs_max: usize,
    settle_micros: u64,
    connect_micros: u64,
    absence_micros: Option<u64>,
    ends_slow: bool,
    resolve_micros: Option<u64>,
    /// The clients that hold all slots while others wait for them, and since when.
    slow: (Vec<Id>, u64),
}

/// Runs one seed, and counts what happened.
pub fn run(seed: u64, verbose: bool, tally: &Mutex<Tally>) {
    let (mut run, epilogue) = Run::of(script::draw(seed, verbose));
    let mut phase = run.until_empty();
    if phase == Phase::Running {
        phase = run.until_absent_are_down();
    }
    if let (Phase::Running, Some(epilogue)) = (phase, &epilogue) {
        epilogue.begin(&mut run.world.borrow_mut());
        if run.until_empty() == Phase::Running {
            epilogue.check(&run.world.borrow());
        } else {
            phase = Phase::Ended;
        }
    }
    if phase == Phase::Running {
        check_counted(&run);
    }
    let Run { world, proxy, .. } = run;
    locked(tally).add(&world.borrow());
    let record = std::mem::take(&mut world.borrow_mut().record);
    if !record.is_empty() {
        let replayed = record::check(&record, &mut Rng::new(seed));
        let warmed = record.windows(6).filter(|text| text == b"\nwarm ").count() as u64;
        let mut tally = locked(tally);
        tally.replayed += replayed;
        tally.warmed += warmed;
    }
    drop::<Proxy<SimNet>>(proxy);
}

impl Run {
    /// A run at its beginning, and how it ends.
    pub fn of(script: Script) -> (Run, Option<Epilogue>) {
        let Script { world, proxy, pairs_max, resolve_micros, .. } = script;
        let Script { settle_micros, connect_micros, .. } = script;
        let Script { absence_micros, ends_slow, epilogue, .. } = script;
        let slow = (Vec::new(), 0);
        let run = Run {
            world,
            proxy,
            pairs_max,
            settle_micros,
            connect_micros,
            absence_micros,
            ends_slow,
            resolve_micros,
            slow,
        };
        (run, epilogue)
    }

    /// The world, and how many requests the proxy takes for lost with pooled connections.
    pub fn outcome(&self) -> (Ref<'_, World>, u64) {
        let backends = self.proxy.backend_census();
        (self.world.borrow(), backends.iter().filter_map(|backend| backend.races_lost).sum())
    }

    /// Turns until all clients are done and nothing is left of them.
    pub fn until_empty(&mut self) -> Phase {
        let mut quiet_until = None;
        loop {
            if self.turn() == Phase::Ended {
                return Phase::Ended;
            }
            let census = self.proxy.census();
            let state = self.world.borrow();
            if !state.clients_are_over() {
                let here = state.clients.iter().filter(|client| !client.over);
                let here: Vec<_> = here.map(|client| client.number).collect();
                assert!(!state.sleeps_for_ever, "asleep for ever with clients {here:?} there");
                continue;
            }
            let now = state.kernel.now;
            // Long enough for every time-out of what is left.
            let until = *quiet_until.get_or_insert(now + self.settle_micros);
            let Census { clients, pairs, upstreams, probes, admin_clients, .. } = census;
            if [clients, pairs, upstreams, probes, admin_clients] == [0; 5]
                || now >= until
                || state.sleeps_for_ever
            {
                check_empty(&census);
                if census.probes == 0 {
                    return Phase::Running;
                }
            }
        }
    }

    /// Where a server refuses every connection, turns until its health checks must have shown that.
    fn until_absent_are_down(&mut self) -> Phase {
        let Some(patience) = self.absence_micros else { return Phase::Running };
        let state = self.world.borrow();
        let until = state.kernel.now + patience;
        drop(state);
        loop {
            let state = self.world.borrow();
            let is_fit = state.listing.has_absent(&state.kernel) && !state.kernel.jumped;
            if !is_fit || state.sleeps_for_ever || state.kernel.now >= until {
                return Phase::Running;
            }
            drop(state);
            if self.turn() == Phase::Ended {
                return Phase::Ended;
            }
        }
    }

    fn turn(&mut self) -> Phase {
        let status = self.proxy.turn().expect("the simulated wait never fails");
        self.proxy.check_invariants();
        let census = self.proxy.census();
        assert!(census.slots_used <= self.pairs_max, "{census:?}");
        if let Some(most) = self.world.borrow().oracle.queue_max {
            // Only one that has a slot, which it gives back, may wait past the limit.
            let held = census.waiting + census.slots_used;
            assert!(held <= most + self.pairs_max, "more than {most} wait: {census:?}");
        }
        let traffic = self.world.borrow().kernel.traffic_clients();
        let held = census.slots_used + census.waiting + census.tunnels;
        assert!(census.clients <= traffic && held <= traffic, "{traffic} clients: {census:?}");
        assert!(census.admin_clients <= ADMIN_PLACES, "{census:?}");
        self.check_slow_clients(&census);
        let mut state = self.world.borrow_mut();
        state.oracle.suspicions = census.suspicions;
        assert!(state.kernel.turn < TURNS_MAX, "the run does not end");
        if status == Status::Ended {
            assert!(state.oracle.stopping_at.is_some(), "ended without being asked");
            return Phase::Ended;
        }
        let is_asked = self.proxy.take_reload().is_some();
        let is_due = self.proxy.take_lookup();
        if is_asked || is_due {
            state.read_list();
        }
        if let Some(interval) = self.resolve_micros.filter(|_| !state.kernel.jumped) {
            state.listing.check_looked_up(state.kernel.now, interval);
        }
        let backends = self.proxy.backend_census();
        state.oracle.beliefs.check(&backends);
        state.note_connects(&backends);
        state.kernel.check_handshakes(self.connect_micros);
        let is_troubled = state.kernel.jumped || state.kernel.has_lacked();
        if let Some(patience) = self.absence_micros.filter(|_| !is_troubled) {
            state.listing.check_absent(&state.kernel, &backends, patience);
        }
        if state.listing.has_changed() {
            state.listing.check_removed(&state.kernel, &backends);
        }
        drop(state);
        self.read_files();
        self.give_orders();
        self.apply_list();
        Phase::Running
    }

    /// What is in the files of `--acme-webroot` that were wanted.
    fn read_files(&mut self) {
        let wanted = self.proxy.take_challenges();
        let mut world = self.world.borrow_mut();
        world.read_files(wanted);
        let now = world.kernel.now;
        let files = std::mem::take(&mut world.files).into_iter();
        let (read, left): (Vec<_>, Vec<_>) = files.partition(|(until, _)| *until <= now);
        world.files = left;
        drop(world);
        for (_, wanted) in read {
            self.proxy.answer_challenge(&wanted, &challenge::file(&wanted.token));
        }
    }

    /// What the operator set by hand is in force at once.
    fn give_orders(&mut self) {
        let orders = std::mem::take(&mut self.world.borrow_mut().orders);
        for order in orders {
            let name = self.world.borrow().listing.names.text(order.name);
            let is_done = self.proxy.set_by_hand(&name, order.change).is_ok();
            let mut world = self.world.borrow_mut();
            world.order_is_given(order, is_done);
            world.listing.check_in_force(&self.proxy.backend_census());
        }
    }

    /// While others wait, slots do not stay for ever with clients that do nothing.
    fn check_slow_clients(&mut self, census: &Census) {
        let waited_for: Vec<Id> = self.proxy.waited_for().into_iter().map(Id::from).collect();
        let mut state = self.world.borrow_mut();
        let now = state.kernel.now;
        let is_stuck = census.waiting > 0 && waited_for.len() == census.slots_used;
        if !is_stuck || waited_for.is_empty() || waited_for != self.slow.0 {
            self.slow = (if is_stuck { waited_for } else { Vec::new() }, now);
            return;
        }
        let span = now - self.slow.1;
        let is_fit = self.ends_slow && !state.kernel.jumped;
        assert!(!is_fit || span < SLOW_MICROS, "{} µs of waiting for {:?}", span, self.slow.0);
        state.oracle.stuck_micros = state.oracle.stuck_micros.max(span);
    }

    /// The proxy is given the list that was read, if one was.
    fn apply_list(&mut self) {
        let Some(reading) = self.world.borrow_mut().reading.take() else { return };
        let before = self.proxy.backend_census();
        self.world.borrow_mut().oracle.sessions.become_lenient();
        self.world.borrow_mut().list_is_applied(&reading, before);
        self.proxy.apply(&reading.members, &reading.unknown);
        self.proxy.plan_lookup(self.resolve_micros.is_some());
        let after = self.proxy.backend_census();
        self.world.borrow().listing.check_applied(&after);
        self.world.borrow().listing.check_in_force(&after);
    }
}

/// What clients saw was counted, and nothing more often than it happened. Counters of a server go
/// with it, so that those of the servers are compared only while the list does not change.
fn check_counted(run: &Run) {
    let Some(counted) = run.proxy.counted() else { return };
    let world = run.world.borrow();
    let oracle = &world.oracle;
    let (served, local) = (oracle.served, oracle.local);
    assert!(counted.requests >= served + local, "{counted:?}: {served} served, {local} local");
    assert!(counted.local >= local, "{counted:?}: {local} local");
    assert!(counted.requests >= counted.local, "{counted:?}");
    let accepted = world.kernel.accepted();
    // One may be accepted and wait for a place.
    let uncounted = accepted.checked_sub(counted.accepted);
    assert!(uncounted.is_some_and(|count| count <= 1), "{accepted} accepted: {counted:?}");
    if world.listing.applied == 0 && !world.listing.several_addresses {
        // A health check that has failed for this reason is one among others.
        let Handshakes { failed, given_up, .. } = world.kernel.handshakes;
        let least = counted.handshake_failures.saturating_sub(given_up);
        let most = counted.handshake_failures + counted.probe_failures;
        let is_right = (least..=most).contains(&failed);
        assert!(is_right, "{failed} handshakes failed, {given_up} were given up: {counted:?}");
    }
    if world.listing.applied == 0 {
        assert!(counted.responses >= served, "{counted:?}: {served} served");
        assert!(counted.responses <= counted.attempts, "{counted:?}");
    }
}

fn check_empty(census: &Census) {
    assert_eq!((census.clients, census.pairs), (0, 0), "left behind: {census:?}");
    assert_eq!(census.admin_clients, 0, "left behind: {census:?}");
    assert_eq!((census.waiting, census.slots_used), (0, 0), "left behind: {census:?}");
    assert_eq!(census.upstreams, 0, "left behind: {census:?}");
    if census.probes == 0 {
        assert_eq!(census.storages_lent, 0, "left behind: {census:?}");
        assert_eq!(census.pipes_lent, 0, "left behind: {census:?}");
    }
}

impl Tally {
    fn add(&mut self, world: &World) {
        let oracle = &world.oracle;
        self.turns += world.kernel.turn;
        self.served += oracle.served;
        self.local += oracle.local;
        self.retried += oracle.retried;
        self.tunnelled += oracle.tunnelled;
        self.redirected += oracle.redirected;
        self.piped += world.kernel.piped;
        self.refused += oracle.refused;
        self.spoilt += oracle.spoilt;
        self.unasked += oracle.unasked;
        self.suspicions += oracle.suspicions;
        self.taken += oracle.taken;
        self.lost += oracle.lost;
        self.stuck += u64::from(oracle.stuck_micros > 8_000_000);
        self.slow += oracle.slow.len() as u64;
        self.introduced += oracle.introduced;
        self.stayed += oracle.sessions.stayed;
        self.set += oracle.sessions.set;
        self.limited += oracle.rates.refused;
        self.handshakes += world.kernel.handshakes.completed;
        self.failed_handshakes += world.kernel.handshakes.failed;
        self.surplus += oracle.surplus;
        self.reloads += world.listing.applied;
        self.scraped += oracle.scraped;
        self.to_https += oracle.to_https;
        self.challenges += oracle.challenges;
        self.orders += world.listing.ordered;
    }
}
