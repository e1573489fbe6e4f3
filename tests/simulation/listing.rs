//! The list of servers: what the operator wants, what the proxy was last given, and what it may do
//! with a server from then on.

use super::beliefs::Beliefs;
use super::by_hand::{Hand, Order};
use super::kernel::{Dice, Kernel, Link, LinkId, Port};
use super::names::Names;
use super::sites::{self, SITES_PER_NAME};
use loadbalancer::balance::AdminState;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{BackendSpec, HostPort, ServerTls, TlsServer, Trust};
use loadbalancer::proxy::Member;
use loadbalancer::proxy::census::BackendCensus;
use loadbalancer::wire::proxy_protocol::Version;

/// Turns that a change may take to reach what is under way: one in which it is stepped.
const TURNS_TO_ACT: u64 = 1;

/// What a lookup may take: the answer, ticks of the timer wheel, long turns.
const LOOKUP_LATE_MICROS: u64 = 200_000;

/// One line of the operator's list.
#[derive(Clone, Debug)]
struct Line {
    /// It is in the list.
    listed: bool,
    /// Its name can be resolved.
    known: bool,
    weight: u32,
    backup: bool,
    pairs_max: Option<u32>,
    admin: AdminState,
    /// None in the clear.
    tls: Option<ServerTls>,
    sites: Vec<usize>,
}

impl Line {
    /// What the list says that can be set by hand as well.
    fn listed(&self) -> (AdminState, u32) {
        (self.admin, self.weight)
    }

    /// How many requests the server may have in flight if this is wanted of it; none: without limit.
    /// One that drains serves its sessions, if there are any.
    fn limit(&self, admin: AdminState, has_sessions: bool) -> Option<u32> {
        match admin {
            AdminState::Ready => self.pairs_max,
            AdminState::Drain if has_sessions => self.pairs_max,
            AdminState::Drain | AdminState::Down => Some(0),
        }
    }
}

/// What the proxy was given for a name that it uses.
#[derive(Clone, Debug)]
struct Given {
    /// Since when it has these addresses and this state.
    since: u64,
    admin: AdminState,
    weight: u32,
    /// Its line in the list.
    line: Line,
    sites: Vec<usize>,
    /// The limits of requests in flight, each with the turn from which on it held.
    limits: Vec<(u64, Option<u32>)>,
    /// How it was to be spoken to in TLS, likewise.
    servers: Vec<(u64, Option<TlsServer>)>,
}

/// A list as it was read, on its way to the proxy.
#[derive(Debug, Default)]
pub struct Reading {
    pub members: Vec<Member>,
    pub unknown: Vec<BackendSpec>,
    lines: Vec<Line>,
}

/// The operator's list and the proxy's.
#[derive(Debug)]
pub struct Listing {
    pub names: Names,
    lines: Vec<Line>,
    given: Vec<Option<Given>>,
    /// For each name, the turn after which the proxy knows its server: one that was removed and is
    /// listed again is a new one.
    known_from: Vec<u64>,
    /// For each site, the turn after which the proxy may not use it any more.
    gone: Vec<Option<u64>>,
    /// Beliefs and requests in flight before the list that is being applied.
    before: Vec<BackendCensus>,
    /// The addresses of names change, and more than one may be listed for a name.
    pub several_addresses: bool,
    /// Clients have cookies that name servers.
    pub has_sessions: bool,
    /// A list without any server in rotation was applied.
    pub was_empty: bool,
    /// When the port of each site changed last.
    port_since: Vec<u64>,
    /// The header that servers get first.
    pub send_proxy: Option<Version>,
    /// What is set by hand of each name.
    hands: Vec<Hand>,
    /// Decides which names move; apart, so that other runs stay as they are.
    moves: Rng,
    /// When a name got other addresses that the proxy has to find by itself.
    pub moved_at: Option<u64>,
    /// Edits that were applied, for the report.
    pub applied: u64,
    /// Commands that were carried out, for the report.
    pub ordered: u64,
}

impl Listing {
    /// All servers are listed, and of two twins one.
    pub fn draw(all: Names, several_addresses: bool, rng: &mut Rng) -> Listing {
        let names = all.count;
        let lines = (0..names).map(|name| {
            let mut line = Line {
                listed: true,
                known: true,
                weight: rng.between(1, 3) as u32,
                backup: rng.chance(100),
                pairs_max: rng.chance(200).then(|| rng.between(1, 2) as u32),
                admin: AdminState::Ready,
                tls: all.is_secured(name).then(ServerTls::default),
                sites: vec![name * SITES_PER_NAME],
            };
            if several_addresses {
                line.sites = sites::draw(name, rng);
            }
            line
        });
        let mut lines: Vec<Line> = lines.collect();
        for name in (0..names).filter(|&name| !all.is_secured(name)) {
            if let Some(twin) = all.twin(name) {
                let is_secured = name == 0 || rng.chance(600);
                lines[if is_secured { name } else { twin }].listed = false;
            }
        }
        let mut listing = Listing {
            names: all,
            lines,
            given: vec![None; names],
            known_from: vec![0; names],
            gone: vec![None; names * SITES_PER_NAME],
            before: Vec::new(),
            several_addresses,
            has_sessions: false,
            was_empty: false,
            port_since: vec![0; names * SITES_PER_NAME],
            send_proxy: None,
            hands: vec![Hand::default(); names],
            moves: Rng::new(names as u64),
            moved_at: None,
            applied: 0,
            ordered: 0,
        };
        let reading = listing.look();
        listing.give(&reading, 0, 0);
        listing
    }

    /// The list as it is now.
    pub fn read(&mut self) -> Reading {
        self.moved_at = None;
        self.look()
    }

    fn look(&self) -> Reading {
        let mut reading = Reading { lines: self.lines.clone(), ..Reading::default() };
        let listed = self.lines.iter().enumerate().filter(|(_, line)| line.listed);
        for (name, line) in listed {
            let spec = BackendSpec { send_proxy: self.send_proxy, ..self.spec(name, line) };
            match line.known {
                true => {
                    let addresses = line.sites.iter().map(|&site| sites::address(site)).collect();
                    reading.members.push(Member { spec, addresses });
                }
                false => reading.unknown.push(spec),
            }
        }
        reading
    }

    fn spec(&self, name: usize, line: &Line) -> BackendSpec {
        let mut spec = BackendSpec::new(HostPort::bare(self.names.port(name)));
        spec.weight = line.weight;
        spec.backup = line.backup;
        spec.pairs_max = line.pairs_max;
        spec.admin = line.admin;
        spec.tls = line.tls.clone();
        spec
    }

    /// The operator edits the list.
    pub fn edit(&mut self, kernel: &mut Kernel) {
        for _ in 0..kernel.rng.between(1, 3) {
            let name = kernel.rng.below(self.lines.len() as u64) as usize;
            let listed = self.lines.iter().filter(|line| line.listed).count();
            let several_addresses = self.several_addresses;
            let rng = &mut kernel.rng;
            let twin = self.names.twin(name).filter(|_| rng.chance(300));
            if let Some(twin) = twin.filter(|&twin| self.lines[twin].listed) {
                // Spoken to in TLS from now on, or in the clear again.
                (self.lines[name].listed, self.lines[twin].listed) = (true, false);
            }
            let line = &mut self.lines[name];
            if let Some(tls) = line.tls.as_mut().filter(|_| rng.chance(300)) {
                tls.name = rng.chance(500).then(|| format!("{}.test", rng.below(2)));
                tls.trust = [Trust::System, Trust::Nobody][rng.below(2) as usize].clone();
            }
            match rng.below(9) {
                _ if !line.listed => line.listed = true,
                // An empty list is a fault of the operator.
                0 | 1 if listed > 1 || rng.chance(50) => line.listed = false,
                2 => line.weight = rng.between(1, 3) as u32,
                3 => line.pairs_max = rng.chance(600).then(|| rng.between(1, 3) as u32),
                4 => line.backup = !line.backup,
                7 | 8 if line.admin != AdminState::Ready => line.admin = AdminState::Ready,
                7 => line.admin = AdminState::Drain,
                8 => line.admin = AdminState::Down,
                5 if several_addresses => line.known = !line.known,
                5 | 6 if several_addresses => line.sites = sites::draw(name, rng),
                _ => line.weight = rng.between(1, 3) as u32,
            }
            kernel.trace(format_args!("operator: server {name} is now {:?}", self.lines[name]));
        }
    }

    /// A name gets other addresses, of which nobody tells the proxy.
    pub fn move_name(&mut self, kernel: &Kernel) {
        let name = self.moves.below(self.lines.len() as u64) as usize;
        self.lines[name].sites = sites::draw(name, &mut self.moves);
        self.moved_at.get_or_insert(kernel.now);
        kernel.trace(format_args!("server {name} has moved: {:?}", self.lines[name]));
    }

    /// Names are looked up again often enough that the proxy knows by now.
    pub fn check_looked_up(&self, now: u64, interval: u64) {
        let limit = interval + LOOKUP_LATE_MICROS;
        let is_known = self.moved_at.is_none_or(|at| now <= at + limit);
        assert!(is_known, "a name that moved at {:?} was not looked up by {now}", self.moved_at);
    }

    /// An address of a name: most often its first.
    pub fn draw_site(&self, rng: &mut Rng) -> usize {
        let name = rng.below(self.lines.len() as u64) as usize;
        let at = if self.several_addresses { rng.below(SITES_PER_NAME as u64) } else { 0 };
        name * SITES_PER_NAME + at as usize
    }

    /// The operator lists this server and no other.
    pub fn list_only(&mut self, name: usize) {
        for (other, line) in self.lines.iter_mut().enumerate() {
            line.listed = other == name;
            line.known = true;
            line.admin = AdminState::Ready;
        }
    }

    /// The proxy was given another list than its first.
    pub fn has_changed(&self) -> bool {
        self.applied > 0
    }

    /// A server is in rotation.
    pub fn has_ready(&self) -> bool {
        self.given.iter().flatten().any(|given| given.admin == AdminState::Ready)
    }

    /// The proxy is about to be given this list in this turn.
    pub fn apply(
        &mut self,
        reading: &Reading,
        (turn, now): (u64, u64),
        before: Vec<BackendCensus>,
        beliefs: &mut Beliefs,
    ) {
        for (name, line) in reading.lines.iter().enumerate() {
            // One with requests in flight is still the one it was.
            let has_left = before.iter().all(|old| self.names.known(&old.name) != name);
            if self.given[name].is_none() && line.listed && line.known && has_left {
                beliefs.listed(name);
                self.known_from[name] = turn;
            }
        }
        self.before = before;
        self.applied += 1;
        self.give(reading, turn, now);
    }

    fn give(&mut self, reading: &Reading, turn: u64, now: u64) {
        for (name, line) in reading.lines.iter().enumerate() {
            if !line.listed {
                // What was set by hand goes with the server.
                (self.given[name], self.hands[name]) = (None, Hand::default());
                continue;
            }
            let (admin, weight) = self.hands[name].over(line.listed());
            let limit = (turn, line.limit(admin, self.has_sessions));
            let server = (turn, self.spec(name, line).tls_server());
            match &mut self.given[name] {
                // A name that cannot be resolved keeps the addresses it had. Its other settings
                // are taken over with this list.
                Some(given) => {
                    let sites = if line.known { &line.sites } else { &given.sites }.clone();
                    if given.sites != sites || given.admin != admin {
                        given.since = now;
                    }
                    (given.admin, given.weight, given.sites) = (admin, weight, sites);
                    given.line = line.clone();
                    given.limits.push(limit);
                    given.servers.push(server);
                }
                None if line.known => {
                    let (line, sites) = (line.clone(), line.sites.clone());
                    let (limits, servers) = (vec![limit], vec![server]);
                    self.given[name] =
                        Some(Given { since: now, admin, weight, line, sites, limits, servers });
                }
                None => {}
            }
        }
        for (site, gone) in self.gone.iter_mut().enumerate() {
            let given = self.given[site / SITES_PER_NAME].as_ref();
            let is_used = given.is_some_and(|given| given.sites.contains(&site));
            *gone = if is_used { None } else { gone.or(Some(turn)) };
        }
        self.was_empty |= !self.has_ready();
    }

    /// A command for any server.
    pub fn draw_order(&self, rng: &mut Rng) -> Order {
        Order::draw(self.lines.len(), rng)
    }

    /// The proxy was given a command in this turn.
    pub fn order(&mut self, order: Order, (turn, now): (u64, u64), is_done: bool) {
        let given = self.given[order.name].as_mut();
        assert_eq!(is_done, given.is_some(), "{order:?} is for a server that is in use, or not");
        let Some(given) = given else { return };
        self.ordered += 1;
        let hand = &mut self.hands[order.name];
        hand.take(order.change, given.line.listed());
        let (admin, weight) = hand.over(given.line.listed());
        if given.admin != admin {
            given.since = now;
        }
        (given.admin, given.weight) = (admin, weight);
        given.limits.push((turn, given.line.limit(admin, self.has_sessions)));
        self.was_empty |= !self.has_ready();
    }

    /// Each server is what the list and the operator want of it.
    pub fn check_in_force(&self, backends: &[BackendCensus]) {
        for backend in backends.iter().filter(|backend| backend.serving) {
            let given = self.given[self.names.known(&backend.name)].as_ref();
            let wanted = given.map(|given| (given.admin, given.weight));
            assert_eq!(Some((backend.admin, backend.weight)), wanted, "{}", backend.name);
        }
    }

    /// The proxy has been given the list: servers that stay keep their health and what is in
    /// flight.
    pub fn check_applied(&self, after: &[BackendCensus]) {
        for old in self.before.iter().filter(|old| old.serving) {
            let name = self.names.known(&old.name);
            let new = after.iter().find(|new| new.serving && new.name == old.name);
            match (&self.given[name], new) {
                (None, Some(_)) => panic!("{} is still used, but not listed any more", old.name),
                (Some(_), None) => panic!("{} is not used any more, but listed", old.name),
                (Some(_), Some(new)) => {
                    assert_eq!(old.up, new.up, "an edit changes what is believed of {}", old.name);
                    assert_eq!(old.in_flight, new.in_flight, "in flight at {}", old.name);
                }
                (None, None) => {}
            }
        }
        let used = after.iter().filter(|one| one.serving).count();
        let given = self.given.iter().flatten().count();
        assert_eq!(used, given, "servers that are used and listed ones");
    }

    /// The port of this site changes.
    pub fn note_port(&mut self, site: usize, now: u64) {
        self.port_since[site] = now;
    }

    /// A server that has refused every connection at all its addresses for so long, and has sent
    /// nothing on an older one since, is down.
    pub fn check_absent(&self, kernel: &Kernel, backends: &[BackendCensus], patience: u64) {
        for backend in backends.iter().filter(|backend| backend.serving && backend.up) {
            let name = self.names.known(&backend.name);
            let Some(Given { sites, since, admin, .. }) = &self.given[name] else {
                continue;
            };
            if *admin == AdminState::Down {
                continue;
            }
            let refuses = sites.iter().all(|&site| kernel.ports[site] == Port::Refuses);
            let is_open = |site: &usize| kernel.ports[*site] == Port::Listens;
            let is_hopeless = kernel.handshakes.is_hopeless(name) && sites.iter().all(is_open);
            let refuses = refuses || is_hopeless;
            let since = sites.iter().map(|&site| self.port_since[site]).max().max(Some(*since));
            let is_long = since.is_some_and(|since| since + patience < kernel.now);
            if refuses && is_long {
                let of_server =
                    kernel.links.iter().filter(|it| it.site.is_some_and(|it| sites.contains(&it)));
                let heard = of_server.map(|it| it.idling.read_at).max().unwrap_or_default();
                assert!(heard + patience >= kernel.now, "{} refuses all and is up", backend.name);
            }
        }
    }

    /// A server that is listed refuses every connection.
    pub fn has_absent(&self, kernel: &Kernel) -> bool {
        let refuses = |site: &usize| {
            kernel.ports[*site] == Port::Refuses
                || kernel.handshakes.is_hopeless(site / SITES_PER_NAME)
        };
        self.given.iter().flatten().any(|given| given.sites.iter().all(refuses))
    }

    /// A connection to this site is begun, for a request or a probe.
    pub fn check_connect(&self, site: usize, tls: Option<&TlsServer>) {
        assert!(self.gone[site].is_none(), "a connection to an address that is gone: site {site}");
        let given = self.given[site / SITES_PER_NAME].as_ref().expect("its name is listed");
        let wanted = given.servers.last().and_then(|(_, server)| server.as_ref());
        assert_eq!(tls, wanted, "a connection to site {site}");
    }

    /// Whether both connections led to the same server, as the proxy knows it.
    pub fn is_same_server(&self, link: &Link, other: &Link) -> bool {
        let name_of = |link: &Link| link.site.map(|site| site / SITES_PER_NAME);
        let Some(name) = name_of(link) else { return false };
        name_of(other) == Some(name) && other.opened_turn > self.known_from[name]
    }

    /// The first byte of a request is written to a connection.
    pub fn check_begin(&self, link: LinkId, kernel: &Kernel) {
        let it = &kernel.links[link];
        let Some(site) = it.site else { return };
        let turn = kernel.turn;
        let is_first = it.requests == 1;
        assert!(!is_first || !it.is_to_down, "a request for site {site}, whose server was down");
        if let Some(gone) = self.gone[site]
            && !is_first
        {
            assert!(turn <= gone + TURNS_TO_ACT, "a request begins at site {site}, which is gone");
        }
        let name = site / SITES_PER_NAME;
        let Some(Given { limits, servers, .. }) = &self.given[name] else { return };
        // Connected to before it was removed and listed again: what held then is not known any more.
        if limits.first().is_some_and(|(listed, _)| it.opened_turn < *listed) {
            return;
        }
        let from = if is_first { it.opened_turn } else { turn.saturating_sub(TURNS_TO_ACT) };
        let most = in_force(limits, from, turn).map(|limit| limit.unwrap_or(u32::MAX)).max();
        let with = it.shaking.as_ref().map(|shaking| &shaking.with);
        let is_wanted = in_force(servers, from, turn).any(|server| server.as_ref() == with);
        assert!(is_wanted, "a request begins on link {link} to {with:?}: {servers:?}");
        let busy = kernel.links.iter().filter(|other| {
            other.site.is_some_and(|site| site / SITES_PER_NAME == name) && other.is_busy()
        });
        let busy = busy.count();
        let most = most.unwrap_or(u32::MAX) as usize;
        assert!(busy <= most, "server {name} has {busy} requests in flight, {most} are allowed");
    }

    /// Between two turns: a removed server has only those connections that have a request.
    pub fn check_removed(&self, kernel: &Kernel, backends: &[BackendCensus]) {
        for (name, given) in self.given.iter().enumerate() {
            if given.is_some() {
                continue;
            }
            let open = kernel.links.iter().filter(|link| {
                let is_its = link.site.is_some_and(|site| site / SITES_PER_NAME == name);
                is_its && link.proxy_open
            });
            let its = backends.iter().filter(|one| self.names.known(&one.name) == name);
            let in_flight: usize = its.map(|one| one.in_flight).sum();
            let open = open.count();
            assert!(
                open <= in_flight,
                "{open} connections to server {name}, which was removed; {in_flight} in flight"
            );
        }
    }
}

/// What was in force at some time from one turn to another, of what holds from each turn on.
fn in_force<T>(all: &[(u64, T)], from: u64, to: u64) -> impl Iterator<Item = &T> {
    let known = all.iter().enumerate().filter(move |(at, (since, _))| {
        let until = all.get(at + 1).map_or(u64::MAX, |(next, _)| *next);
        *since <= to && from <= until
    });
    known.map(|(_, (_, it))| it)
}
