//! The simulated kernel: links between the proxy and its peers, their buffers and faults, the
//! readiness edges, the virtual clock and the calendar of what happens next.

mod calls;
mod edges;
mod handshake;
mod header;
mod link;
mod peer;

pub use handshake::{End, Handshakes, marked};
pub use header::{Headers, LISTENER};
pub use link::{Carried, Heard, Link, LinkId, Peer, Port, Stage, Unasked};

use crate::crowd::Quota;
use link::{Bits, Idling, Pipe};
use loadbalancer::base::rng::Rng;
use loadbalancer::base::table::Id;
use loadbalancer::net::Signal;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Random draws for the scripts.
pub trait Dice {
    /// True in `permille` of a thousand cases.
    fn chance(&mut self, permille: u64) -> bool;
    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64;
}

impl Dice for Rng {
    fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
}

/// A listener of the proxy, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerId {
    Traffic,
    Admin,
    /// `--redirect-http`.
    Redirect,
}

/// A listener of the proxy.
#[derive(Debug)]
pub struct Listener {
    backlog: VecDeque<LinkId>,
    pub open: bool,
    armed: bool,
    pending: bool,
    /// Connections that were accepted.
    pub accepted: u64,
    /// What it was registered as.
    pub id: Option<Id>,
}

impl Listener {
    fn new() -> Listener {
        let backlog = VecDeque::new();
        Listener { backlog, open: true, armed: false, pending: false, accepted: 0, id: None }
    }
}

/// What is in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A client connects.
    Arrive(usize),
    /// A client of the admin listener connects, or one that is redirected to https.
    Visit(usize),
    Call(usize),
    /// A file of `--acme-webroot` was read.
    FileRead,
    /// The peer of a link gets to act.
    Wake(LinkId),
    /// A connect is decided.
    Settle(LinkId),
    /// A full send buffer has room again.
    Room(LinkId),
    /// The peer's reset reaches the proxy.
    ResetAtProxy(LinkId),
    /// The proxy's kernel answers with a reset.
    ResetAtPeer(LinkId),
    /// A server goes down or comes up.
    Toggle(usize),
    /// The operator sends SIGTERM.
    Stop,
    /// The operator edits the list of servers.
    Edit,
    /// A name gets other addresses.
    Move,
    /// The list was read, and its names were looked up.
    ListRead,
    /// The operator sets something of a server by hand.
    Order,
}

/// The properties of this run's kernel.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Reports more than changed, and sometimes what did not.
    pub spurious: bool,
    /// A reset takes away what the peer has not read yet.
    pub reset_discards: bool,
    /// Short reads and writes, EINTR and late edges, in permille of calls.
    pub mischief: u64,
    /// Peers act between two calls of the proxy, in permille of calls.
    pub interleave: u64,
    /// How often accept or connect may fail for want of descriptors.
    pub shortages: u32,
    /// Connections that the proxy may have open at once.
    pub descriptors: usize,
    /// A port that refuses does so within the call, in permille of calls.
    pub refuses_at_once: u64,
    /// Clock jumps left.
    pub jumps: u32,
    pub buffer_min: u64,
    pub buffer_max: u64,
    /// Longest that a turn takes, in microseconds.
    pub turn_max: u64,
    /// Longest usual delay of a peer in microseconds.
    pub delay_max: u64,
    pub verbose: bool,
}

#[derive(Debug)]
pub struct Kernel {
    pub rng: Rng,
    pub style: Style,
    /// Bytes that went through pipes.
    pub piped: u64,
    pub now: u64,
    pub links: Vec<Link>,
    /// By [`ListenerId`].
    pub listeners: [Listener; 3],
    pub ports: Vec<Port>,
    pub headers: Headers,
    pub handshakes: Handshakes,
    pub jumped: bool,
    pub shortage_at: Option<u64>,
    /// When a client could not be accepted for want of a descriptor.
    pub unaccepted_at: Option<u64>,
    /// When a connection to a server was closed last on which no request had been begun.
    pub unused_closed_at: u64,
    /// Waits of the proxy so far.
    pub turn: u64,
    /// The time that the proxy read in this turn.
    pub clock: u64,
    pub signals: Vec<Signal>,
    /// The turn in which the proxy took the signal to stop.
    pub stopped_turn: Option<u64>,
    stop_pending: bool,
    reload_pending: bool,
    waker_pending: bool,
    calendar: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    hot: Vec<LinkId>,
    closed_ids: Vec<Id>,
}

impl Kernel {
    /// A kernel with so many addresses at which servers listen.
    pub fn new(rng: Rng, style: Style, sites: usize, headers: Headers) -> Kernel {
        Kernel {
            rng,
            style,
            piped: 0,
            now: 1_000_000,
            links: Vec::new(),
            listeners: [(); 3].map(|()| Listener::new()),
            ports: vec![Port::Listens; sites],
            headers,
            handshakes: Handshakes::none(),
            jumped: false,
            shortage_at: None,
            unaccepted_at: None,
            unused_closed_at: 0,
            turn: 0,
            clock: 0,
            signals: Vec::new(),
            stopped_turn: None,
            stop_pending: false,
            reload_pending: false,
            waker_pending: false,
            calendar: BinaryHeap::new(),
            sequence: 0,
            hot: Vec::new(),
            closed_ids: Vec::new(),
        }
    }

    /// Prints a line of the trace when one seed is replayed.
    pub fn trace(&self, text: std::fmt::Arguments<'_>) {
        if self.style.verbose {
            println!("{:>12} {text}", self.now);
        }
    }

    pub fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.calendar.push(Reverse((at, self.sequence, event)));
    }

    /// The next event that is due, if any.
    pub fn due(&mut self) -> Option<Event> {
        loop {
            let Reverse((at, _, event)) = *self.calendar.peek()?;
            if at > self.now {
                return None;
            }
            self.calendar.pop();
            let Event::Wake(link) = event else { return Some(event) };
            // A wake-up that was moved to an earlier time leaves its old entry in the calendar.
            if self.links[link].wake_at == Some(at) {
                self.links[link].wake_at = None;
                return Some(event);
            }
        }
    }

    /// When the calendar or an edge has something next.
    pub fn next_at(&self) -> Option<u64> {
        let edges = self.hot.iter().map(|&link| self.links[link].pending_at);
        let event = self.calendar.peek().map(|Reverse((at, _, _))| *at);
        edges.chain(event).min()
    }

    /// Lets the peer of `link` act at `at` or before.
    pub fn wake_at(&mut self, link: LinkId, at: u64) {
        if self.links[link].wake_at.is_none_or(|planned| planned > at) {
            self.links[link].wake_at = Some(at);
            self.schedule(at, Event::Wake(link));
        }
    }

    fn wake_peer(&mut self, link: LinkId) {
        let at = self.now + self.delay();
        self.wake_at(link, at);
    }

    /// How long something takes: mostly short, at times long.
    pub fn delay(&mut self) -> u64 {
        let longest = match self.rng.below(100) {
            0..=79 => self.style.delay_max / 20 + 1,
            80..=97 => self.style.delay_max,
            _ => self.style.delay_max * 10,
        };
        self.rng.below(longest)
    }

    /// How late an edge may be reported.
    pub fn latest_edge_micros(&self) -> u64 {
        if self.style.mischief > 0 { self.style.delay_max * 10 } else { 0 }
    }

    fn mischief(&mut self) -> bool {
        let permille = self.style.mischief;
        self.rng.chance(permille)
    }

    fn new_link(&mut self, peer: Peer, stage: Stage) -> LinkId {
        let mut pipe = || Pipe {
            cap: self.rng.between(self.style.buffer_min, self.style.buffer_max) as usize,
            ..Pipe::default()
        };
        let (to_proxy, to_peer) = (pipe(), pipe());
        self.links.push(Link {
            peer,
            carried: Carried::Content,
            shaking: None,
            site: None,
            stage,
            is_to_down: false,
            opened_turn: self.turn,
            opened_at: self.now,
            moved: 0,
            read_bytes: 0,
            quota: Quota::default(),
            header: Vec::new(),
            header_bytes: 0,
            is_probe: false,
            end_reported_turn: None,
            idling: Idling::default(),
            reset_reported: None,
            requests: 0,
            request: None,
            busy: false,
            to_proxy,
            to_peer,
            id: None,
            pending: Bits::default(),
            pending_at: 0,
            armed: true,
            end_reported: false,
            wants_room: false,
            was_short: false,
            written_bytes: 0,
            stopped_after: None,
            full_after: None,
            error: None,
            dead: false,
            proxy_open: false,
            proxy_shut: false,
            linger_zero: false,
            peer_open: true,
            peer_shut: false,
            peer_reset: false,
            wake_at: None,
            unasked: Unasked::None,
            asked_left: 0,
        });
        self.links.len() - 1
    }
}
