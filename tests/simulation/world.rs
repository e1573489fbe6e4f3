//! Everything outside the proxy: the kernel, the peers and what they know.

use super::by_hand::Order;
use super::challenge;
use super::client::Client;
use super::kernel::{Carried, Dice, Event, Kernel, LinkId, ListenerId, Peer, Port, Stage};
use super::listing::{Listing, Reading};
use super::oracle::Oracle;
use super::reuse;
use super::server::{Manner, ServerConn};
use super::sites::SITES_PER_NAME;
use super::visitor::Visitor;
use super::waiting;
use loadbalancer::config::TlsServer;
use loadbalancer::proxy::WantedChallenge;
use loadbalancer::proxy::census::BackendCensus;
use std::io;

/// Longest that a server is stopped.
const STOPPED_MICROS: u64 = 3_000_000;

/// A pause of the acceptor, and some more.
const SHORTAGE_MICROS: u64 = 300_000;

#[derive(Debug)]
pub struct World {
    pub kernel: Kernel,
    pub oracle: Oracle,
    pub clients: Vec<Client>,
    /// Clients of the admin listener.
    pub visitors: Vec<Visitor>,
    /// Those that are redirected to https.
    pub callers: Vec<Visitor>,
    /// Files of `--acme-webroot` that are being read, and until when.
    pub files: Vec<(u64, WantedChallenge)>,
    pub conns: Vec<ServerConn>,
    pub manner: Manner,
    pub listing: Listing,
    /// A list that was read, and that the proxy was not given yet.
    pub reading: Option<Reading>,
    /// All faults are over.
    /// What the operator sets by hand.
    pub orders: Vec<Order>,
    pub is_epilogue: bool,
    /// Peers that would have acted had their server not been stopped.
    pub frozen: Vec<LinkId>,
    /// Waits without a timeout in a row.
    pub busy: u32,
    pub sleeps_for_ever: bool,
    /// Connections before this one were opened before this turn.
    known_links: usize,
    /// The record of choices, if there is one.
    pub record: Vec<u8>,
}

impl World {
    pub fn new(
        kernel: Kernel,
        oracle: Oracle,
        clients: Vec<Client>,
        manner: Manner,
        listing: Listing,
    ) -> World {
        World {
            kernel,
            oracle,
            clients,
            visitors: Vec::new(),
            callers: Vec::new(),
            files: Vec::new(),
            conns: Vec::new(),
            manner,
            listing,
            reading: None,
            orders: Vec::new(),
            is_epilogue: false,
            frozen: Vec::new(),
            busy: 0,
            sleeps_for_ever: false,
            known_links: 0,
            record: Vec::new(),
        }
    }

    /// The kernel, after the events that are due.
    pub fn interleave(&mut self) -> &mut Kernel {
        let permille = self.kernel.style.interleave;
        if self.kernel.rng.chance(permille) {
            self.kernel.now += self.kernel.rng.below(20);
            self.run_due();
        }
        &mut self.kernel
    }

    pub fn connect(&mut self, site: usize, tls: Option<&TlsServer>) -> io::Result<LinkId> {
        self.interleave();
        self.listing.check_connect(site, tls);
        if self.kernel.is_out_of_descriptors() {
            let has_idle = self.conns.iter().any(|conn| conn.is_unused(&self.kernel));
            self.kernel.trace(format_args!("no descriptor is left, idle ones: {has_idle}"));
            if !has_idle {
                self.kernel.shortage_at = Some(self.kernel.now);
            }
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let link = self.kernel.connect(site, tls)?;
        self.oracle.note_handshake(link, &self.kernel);
        Ok(link)
    }

    pub fn read(&mut self, link: LinkId, into: &mut [u8]) -> io::Result<usize> {
        self.interleave();
        let count = self.kernel.read(link, into)?;
        let it = &mut self.kernel.links[link];
        // What comes after its end is thrown away, so that no reset takes the response before it.
        if !it.proxy_shut {
            it.read_bytes += count as u64;
        }
        if let Peer::Client(client) = it.peer {
            let client = &mut self.clients[client];
            let read_bytes = it.read_bytes.saturating_sub(it.header_bytes);
            waiting::note_read(client, read_bytes, &self.kernel, &mut self.oracle);
        }
        Ok(count)
    }

    pub fn write(&mut self, link: LinkId, from: &[u8]) -> io::Result<usize> {
        self.interleave();
        if let Some(request) = self.kernel.begins(link, from, self.manner.tcp) {
            self.listing.check_begin(link, &self.kernel);
            if let Some(request) = request {
                let World { kernel, oracle, clients, listing, .. } = self;
                waiting::check_forward(request, link, clients, kernel, oracle);
                reuse::check_begin(request, link, listing, kernel, oracle);
            }
        }
        if let Peer::Client(client) = self.kernel.links[link].peer
            && from.starts_with(b"HTTP/1.1 503 ")
        {
            waiting::check_refusal(&self.clients[client], &self.kernel, &self.oracle);
        }
        self.kernel.write(link, from)
    }

    /// Between two turns: which connections were opened to servers that were down.
    pub fn note_connects(&mut self, backends: &[BackendCensus]) {
        let down = self.oracle.beliefs.take_down(backends);
        for link in &mut self.kernel.links[self.known_links..] {
            let name = link.site.map(|site| site / SITES_PER_NAME);
            link.is_to_down = name.is_some_and(|name| down.contains(&name));
        }
        self.known_links = self.kernel.links.len();
    }

    /// Files are wanted: reading them takes a while.
    pub fn read_files(&mut self, wanted: Vec<WantedChallenge>) {
        for wanted in wanted {
            let at = self.kernel.now + challenge::draw_reading(&mut self.kernel);
            self.kernel.schedule(at, Event::FileRead);
            self.files.push((at, wanted));
        }
    }

    /// The proxy wants the list to be read: that takes a while.
    pub fn read_list(&mut self) {
        let at = self.kernel.now + self.kernel.delay();
        self.kernel.schedule(at, Event::ListRead);
    }

    /// The proxy is given a list; these are its servers before that.
    pub fn list_is_applied(&mut self, reading: &Reading, before: Vec<BackendCensus>) {
        self.kernel.trace(format_args!(
            "the proxy is given {:?} and {:?}",
            reading.members, reading.unknown
        ));
        self.listing.apply(
            reading,
            (self.kernel.turn, self.kernel.now),
            before,
            &mut self.oracle.beliefs,
        );
        if !self.listing.has_ready() {
            self.oracle.fault_at = Some(self.kernel.now);
        }
    }

    /// The proxy has carried out a command, or refused it.
    pub fn order_is_given(&mut self, order: Order, is_done: bool) {
        self.kernel.trace(format_args!("the proxy is given {order:?}: {is_done}"));
        self.listing.order(order, (self.kernel.turn, self.kernel.now), is_done);
        if !self.listing.has_ready() {
            self.oracle.fault_at = Some(self.kernel.now);
        }
    }

    /// Runs what is due.
    pub fn run_due(&mut self) {
        while let Some(event) = self.kernel.due() {
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            // What was planned for later would be a fault.
            Event::Toggle(_) | Event::Edit | Event::Move | Event::Order | Event::Stop
                if self.is_epilogue => {}
            Event::Arrive(client) => {
                self.clients[client].arrive(&mut self.kernel, &mut self.oracle);
            }
            Event::Visit(visitor) => {
                self.visitors[visitor].arrive(&mut self.kernel);
            }
            Event::Call(caller) => {
                self.callers[caller].arrive(&mut self.kernel);
            }
            Event::FileRead => self.kernel.wake_proxy(),
            Event::Wake(link) => match self.kernel.links[link].peer {
                Peer::Nobody if self.kernel.links[link].carried == Carried::Content => {}
                Peer::Nobody if self.is_stopped(link) => self.frozen.push(link),
                Peer::Nobody => {
                    if self.kernel.answer_handshake(link) {
                        self.enter_server(link);
                    }
                }
                Peer::Visitor(visitor) => {
                    self.visitors[visitor].step(&mut self.kernel, &mut self.oracle);
                }
                Peer::Caller(caller) => {
                    self.callers[caller].step(&mut self.kernel, &mut self.oracle);
                }
                Peer::Client(client) => {
                    self.clients[client].step(&mut self.kernel, &mut self.oracle);
                    self.interfere();
                }
                Peer::Server(_) if self.is_stopped(link) => self.frozen.push(link),
                Peer::Server(conn) => {
                    self.conns[conn].step(&mut self.kernel, &mut self.oracle);
                }
            },
            Event::Settle(link) => {
                // What is secured is the application's once the handshake is complete.
                if self.kernel.settle(link) && self.kernel.links[link].carried == Carried::Content {
                    self.enter_server(link);
                }
            }
            Event::Room(link) => self.kernel.room_appears(link),
            Event::ResetAtProxy(link) => self.kernel.reset_proxy(link),
            Event::ResetAtPeer(link) => self.kernel.reset_peer(link),
            Event::Toggle(server) => self.toggle(server),
            Event::Edit => {
                self.listing.edit(&mut self.kernel);
                self.kernel.reload();
            }
            Event::Order => {
                let order = self.listing.draw_order(&mut self.kernel.rng);
                self.orders.push(order);
                self.kernel.wake_proxy();
            }
            Event::Move => self.listing.move_name(&self.kernel),
            Event::ListRead => {
                self.reading = Some(self.listing.read());
                self.kernel.wake_proxy();
            }
            Event::Stop => {
                let now = self.kernel.now;
                self.oracle.stopping_at.get_or_insert(now);
                let known = now.saturating_sub(self.kernel.latest_edge_micros());
                for client in &mut self.clients {
                    client.note_stop(known, &self.oracle);
                }
                self.kernel.stop();
            }
        }
    }

    /// A server has a new connection.
    fn enter_server(&mut self, link: LinkId) {
        let number = self.conns.len();
        let (kernel, oracle) = (&mut self.kernel, &mut self.oracle);
        let conn = ServerConn::new(number, link, self.manner, kernel, oracle);
        kernel.links[link].peer = Peer::Server(number);
        self.conns.push(conn);
        self.kernel.wake_at(link, self.kernel.now + 1);
    }

    /// A server with an idle connection sends while a client does: the balancer is notified of both
    /// at once.
    fn interfere(&mut self) {
        let kernel = &mut self.kernel;
        if !kernel.rng.chance(self.manner.faults / 5) {
            return;
        }
        let mut idle: Vec<_> = self.conns.iter_mut().filter(|conn| conn.is_idle(kernel)).collect();
        let drawn = kernel.rng.below(idle.len().max(1) as u64) as usize;
        if let Some(conn) = idle.get_mut(drawn) {
            conn.speak_unasked(kernel, &mut self.oracle);
        }
    }

    fn toggle(&mut self, site: usize) {
        let now = self.kernel.now;
        let port = match self.kernel.ports[site] {
            Port::Listens if self.kernel.rng.chance(300) => Port::Swallows,
            Port::Listens if self.manner.stops && self.kernel.rng.chance(500) => Port::Stopped,
            Port::Listens => Port::Refuses,
            Port::Refuses | Port::Swallows | Port::Stopped => Port::Listens,
        };
        if port == Port::Stopped {
            let at = now + self.kernel.rng.below(STOPPED_MICROS);
            self.kernel.schedule(at, Event::Toggle(site));
            for conn in self.conns.iter_mut() {
                if self.kernel.links[conn.link].site == Some(site) {
                    conn.hold_up(&mut self.oracle, now);
                }
            }
        }
        if port == Port::Stopped || self.kernel.ports[site] == Port::Stopped {
            self.oracle.hung(None, now);
            for link in std::mem::take(&mut self.frozen) {
                self.kernel.wake_at(link, now);
            }
        }
        self.kernel.trace(format_args!("site {site}: {port:?}"));
        self.kernel.ports[site] = port;
        self.listing.note_port(site, now);
        self.oracle.beliefs.of_site(site).absent += 1;
        self.oracle.fault_at = Some(now);
    }

    fn is_stopped(&self, link: LinkId) -> bool {
        let site = self.kernel.links[link].site;
        site.is_some_and(|site| self.kernel.ports[site] == Port::Stopped)
    }

    pub fn close_listener(&mut self, at: ListenerId) {
        self.kernel.listeners[at as usize].open = false;
    }

    /// The clock jumps, as after a suspension.
    pub fn jump(&mut self) {
        if self.kernel.style.jumps > 0 && self.kernel.rng.chance(20) {
            self.kernel.style.jumps -= 1;
            self.kernel.jumped = true;
            self.kernel.now += self.kernel.rng.below(200_000_000);
            self.kernel.trace(format_args!("the clock has jumped"));
        }
    }

    pub fn clients_are_over(&self) -> bool {
        let mut visitors = self.visitors.iter().chain(&self.callers);
        let visitors_are_over = visitors.all(|visitor| visitor.is_over(&self.kernel));
        visitors_are_over && self.clients.iter().all(|client| client.over)
    }

    /// Called when the calendar is empty: every peer that is not done must have a reason.
    pub fn look_for_stall(&self) {
        let unfinished = self.clients.iter().find(|client| !client.over && !client.is_silent());
        let Some(client) = unfinished else { return };
        let links = || self.kernel.links.iter();
        let swallowed = links().any(|link| link.stage == Stage::BlackHole && link.proxy_open);
        let hung = self.conns.iter().any(|conn| conn.is_silent());
        let hung = hung || !self.kernel.handshakes.open.is_empty();
        let short = self.kernel.shortage_at.max(self.kernel.unaccepted_at);
        let jumped = self.kernel.jumped;
        let short = short.is_some_and(|at| jumped || self.kernel.now < at + SHORTAGE_MICROS);
        let silent = self.clients.iter().any(|client| client.is_silent() && !client.over);
        let silent = silent || self.callers.iter().any(|caller| !caller.is_over(&self.kernel));
        let deaf = self.clients.iter().any(|client| {
            client.over
                && client.link.is_some_and(|link| {
                    let link = &self.kernel.links[link];
                    link.proxy_open && link.peer_open
                })
        });
        assert!(
            swallowed || hung || short || silent || deaf,
            "stall: client {} waits and nothing will happen any more: {client:?}",
            client.number
        );
    }
}
