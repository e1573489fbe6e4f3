//! The simulated kernel: links between the proxy and its peers, their buffers and faults, the
//! readiness edges, the virtual clock and the calendar of what happens next.

use loadbalancer::base::rng::Rng;
use loadbalancer::base::table::Id;
use loadbalancer::net::{LISTENER, Ready, STOP};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// Number of a link; never used twice in one run.
pub type LinkId = usize;

/// Dice with the faces the scripts want.
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

/// What is in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A client connects.
    Arrive(usize),
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
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Nobody,
    Client(usize),
    Server(usize),
}

/// How far a connect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decided by `Settle`: to be established or to be refused.
    Connecting {
        accepted: bool,
    },
    /// Nobody will ever answer.
    BlackHole,
    Established,
    Refused,
}

/// How a server's port behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Listens,
    Refuses,
    Swallows,
    /// Its kernel does all it did, but the server does nothing.
    Stopped,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits {
    readable: bool,
    writable: bool,
    ended: bool,
    broken: bool,
}

impl Bits {
    fn any(self) -> bool {
        self.readable || self.writable || self.ended || self.broken
    }
}

/// Bytes from a server that nobody has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    None,
    /// On their way: nobody can know of them.
    Sent,
    /// The proxy was told, or has read some: it must not ask anything any more.
    Known,
    /// It asked before it could know: it takes them for the answer, as anybody would.
    Raced,
}

#[derive(Debug, Default)]
pub struct Pipe {
    pub data: VecDeque<u8>,
    cap: usize,
    fin: bool,
}

impl Pipe {
    fn room(&self) -> usize {
        self.cap.saturating_sub(self.data.len())
    }
}

/// One connection between the proxy and a peer.
#[derive(Debug)]
pub struct Link {
    pub peer: Peer,
    /// The server it was to lead to.
    pub site: Option<usize>,
    pub stage: Stage,
    pub to_proxy: Pipe,
    pub to_peer: Pipe,
    id: Option<Id>,
    pending: Bits,
    pending_at: u64,
    /// The reader has seen that nothing is left: the next arrival is an edge.
    armed: bool,
    end_reported: bool,
    wants_room: bool,
    /// The socket's pending error: told once, to whichever call comes first.
    error: Option<ErrorKind>,
    /// A reset came: shut both ways.
    dead: bool,
    pub proxy_open: bool,
    proxy_shut: bool,
    linger_zero: bool,
    pub peer_open: bool,
    peer_shut: bool,
    /// The peer's side was reset.
    peer_reset: bool,
    wake_at: Option<u64>,
    pub unasked: Unasked,
    /// Bytes before them that the proxy has not read.
    asked_left: usize,
}

impl Link {
    /// Bytes were read; `drained`: as far as the proxy can tell these were all.
    fn note_read(&mut self, count: usize, drained: bool) {
        if matches!(self.unasked, Unasked::Sent | Unasked::Known) {
            self.unasked = match count > self.asked_left {
                true => Unasked::Known,
                false if drained => Unasked::Sent,
                false => self.unasked,
            };
            self.asked_left = self.asked_left.saturating_sub(count);
        }
    }
}

/// Where a client of this link comes from.
pub fn address(link: LinkId) -> SocketAddr {
    SocketAddr::from(([10, 0, (link / 250) as u8, (link % 250) as u8], 40_000))
}

/// What a peer's read brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Data(Vec<u8>),
    Nothing,
    End,
    Reset,
}

/// What this run's kernel is like.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Reports more than changed, and now and then what did not.
    pub spurious: bool,
    /// A reset takes away what the peer has not read yet.
    pub reset_discards: bool,
    /// Short reads and writes, EINTR and late edges, in permille of calls.
    pub mischief: u64,
    /// Peers act between two calls of the proxy, in permille of calls.
    pub interleave: u64,
    /// How often accept or connect may fail for want of descriptors.
    pub shortages: u32,
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
    pub backlog: VecDeque<LinkId>,
    pub listening: bool,
    pub ports: Vec<Port>,
    pub jumped: bool,
    pub shortage_at: Option<u64>,
    pub stops: u32,
    stop_pending: bool,
    listener_armed: bool,
    listener_pending: bool,
    calendar: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    hot: Vec<LinkId>,
    closed_ids: Vec<Id>,
}

impl Kernel {
    pub fn new(rng: Rng, style: Style, servers: usize) -> Kernel {
        Kernel {
            rng,
            style,
            piped: 0,
            now: 1_000_000,
            links: Vec::new(),
            backlog: VecDeque::new(),
            listening: true,
            ports: vec![Port::Listens; servers],
            jumped: false,
            shortage_at: None,
            stops: 0,
            stop_pending: false,
            listener_armed: false,
            listener_pending: false,
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
            // A wake-up that was moved to an earlier time leaves its old entry behind.
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
            site: None,
            stage,
            to_proxy,
            to_peer,
            id: None,
            pending: Bits::default(),
            pending_at: 0,
            armed: true,
            end_reported: false,
            wants_room: false,
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

    // What the proxy calls.

    pub fn accept(&mut self) -> io::Result<LinkId> {
        if !self.backlog.is_empty() {
            self.shortage()?;
        }
        if self.mischief() {
            return Err(ErrorKind::Interrupted.into());
        }
        let Some(link) = self.backlog.pop_front() else {
            self.listener_armed = true;
            return Err(ErrorKind::WouldBlock.into());
        };
        self.links[link].proxy_open = true;
        self.trace(format_args!("accept link {link}"));
        Ok(link)
    }

    /// At times there is no descriptor or memory left.
    fn shortage(&mut self) -> io::Result<()> {
        if self.style.shortages == 0 || !self.rng.chance(200) {
            return Ok(());
        }
        self.style.shortages -= 1;
        self.shortage_at = Some(self.now);
        let codes = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        Err(io::Error::from_raw_os_error(codes[self.rng.below(4) as usize]))
    }

    pub fn connect(&mut self, site: usize) -> io::Result<LinkId> {
        self.shortage()?;
        let port = self.ports[site];
        if port == Port::Refuses && self.rng.chance(300) {
            self.trace(format_args!("connect to server {site} refused at once"));
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let stage = match port {
            Port::Swallows => Stage::BlackHole,
            Port::Listens | Port::Stopped => Stage::Connecting { accepted: true },
            Port::Refuses => Stage::Connecting { accepted: false },
        };
        let link = self.new_link(Peer::Nobody, stage);
        self.links[link].proxy_open = true;
        self.links[link].site = Some(site);
        self.trace(format_args!("link {link} connects to server {site}: {stage:?}"));
        if stage != Stage::BlackHole {
            let at = self.now + self.delay();
            self.schedule(at, Event::Settle(link));
        }
        Ok(link)
    }

    pub fn connected(&mut self, link: LinkId) -> io::Result<bool> {
        let link = &mut self.links[link];
        if let Some(error) = link.error.take() {
            return Err(error.into());
        }
        match link.stage {
            Stage::Connecting { .. } | Stage::BlackHole => Ok(false),
            Stage::Established if link.dead => Err(ErrorKind::NotConnected.into()),
            Stage::Established => Ok(true),
            Stage::Refused => Err(ErrorKind::ConnectionRefused.into()),
        }
    }

    /// The pending error, which is told once.
    pub fn fault(&mut self, link: LinkId) -> Option<ErrorKind> {
        self.links[link].error.take()
    }

    /// As epoll does: the readiness at hand is reported, then every edge.
    pub fn register(&mut self, link: LinkId, id: Id) -> io::Result<()> {
        assert!(self.links[link].id.is_none(), "a socket is registered once");
        self.shortage()?;
        self.links[link].id = Some(id);
        let level = self.level(link);
        self.edge(link, level);
        Ok(())
    }

    pub fn read(&mut self, link: LinkId, into: &mut [u8]) -> io::Result<usize> {
        assert!(!into.is_empty(), "a read of nothing");
        if self.mischief() {
            return Err(ErrorKind::Interrupted.into());
        }
        let short = self.mischief() && !self.links[link].end_reported;
        let cut = self.rng.bits();
        let it = &mut self.links[link];
        let whole = it.to_proxy.data.len();
        if whole > 0 {
            let mut count = whole.min(into.len());
            if short {
                // The rest arrives later, which is a new edge.
                count = (cut % (count as u64 + 1)) as usize;
            }
            let (front, back) = it.to_proxy.data.as_slices();
            let at_front = count.min(front.len());
            into[..at_front].copy_from_slice(&front[..at_front]);
            into[at_front..count].copy_from_slice(&back[..count - at_front]);
            it.to_proxy.data.drain(..count);
            it.note_read(count, count < into.len());
            if count < into.len() {
                it.armed = true;
            }
            if short && count < whole {
                self.edge(link, Bits { readable: true, ..Bits::default() });
            }
            self.trace(format_args!("link {link}: proxy reads {count} of {whole}"));
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.wake_peer(link);
            return Ok(count);
        }
        if it.to_proxy.fin {
            return Ok(0);
        }
        if let Some(error) = it.error.take() {
            return Err(error.into());
        }
        // After the error was told, to a write perhaps, a read finds an ordinary end.
        if it.dead {
            return Ok(0);
        }
        it.armed = true;
        Err(ErrorKind::WouldBlock.into())
    }

    pub fn write(&mut self, link: LinkId, from: &[u8]) -> io::Result<usize> {
        assert!(!from.is_empty(), "a write of nothing");
        if self.mischief() {
            return Err(ErrorKind::Interrupted.into());
        }
        let short = self.mischief();
        let cut = self.rng.bits();
        let it = &mut self.links[link];
        assert!(!it.proxy_shut, "a write after the end");
        let probes = from.starts_with(b"GET /healthcheck");
        assert!(it.unasked != Unasked::Known || probes, "a question to one who answers unasked");
        if it.unasked != Unasked::None {
            it.unasked = Unasked::Raced;
        }
        if it.dead {
            return Err(it.error.take().unwrap_or(ErrorKind::BrokenPipe).into());
        }
        assert!(it.stage == Stage::Established, "a write before the connection");
        if !it.peer_open {
            // Nobody will read it: a reset comes back.
            let at = self.now + self.delay();
            self.schedule(at, Event::ResetAtProxy(link));
            return Ok(from.len());
        }
        let room = it.to_peer.room();
        let mut count = room.min(from.len());
        if short {
            count = (cut % (count as u64 + 1)) as usize;
        }
        it.to_peer.data.extend(&from[..count]);
        it.wants_room |= count < from.len();
        if count < room && count < from.len() {
            let at = self.now + self.delay();
            self.schedule(at, Event::Room(link));
        }
        self.trace(format_args!("link {link}: proxy writes {count} of {}", from.len()));
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.wake_peer(link);
        Ok(count)
    }

    pub fn end_output(&mut self, link: LinkId) -> io::Result<()> {
        let it = &mut self.links[link];
        if it.dead {
            return Err(ErrorKind::NotConnected.into());
        }
        it.proxy_shut = true;
        it.to_peer.fin = true;
        let hung_up = it.to_proxy.fin;
        self.trace(format_args!("link {link}: proxy ends its output"));
        self.wake_peer(link);
        if hung_up {
            self.edge(link, Bits { ended: true, broken: true, ..Bits::default() });
        }
        Ok(())
    }

    pub fn reset_on_drop(&mut self, link: LinkId) {
        self.links[link].linger_zero = true;
    }

    pub fn close(&mut self, link: LinkId) {
        let it = &mut self.links[link];
        it.proxy_open = false;
        self.closed_ids.extend(it.id.take());
        it.pending = Bits::default();
        self.hot.retain(|&hot| hot != link);
        let it = &mut self.links[link];
        let resets = it.linger_zero || !it.to_proxy.data.is_empty();
        it.to_proxy.data.clear();
        if it.stage == Stage::Established && !it.dead {
            if resets {
                self.reset_peer(link);
            } else {
                it.to_peer.fin = true;
            }
        }
        self.trace(format_args!("link {link}: proxy closes, reset: {resets}"));
        self.wake_peer(link);
    }

    pub fn reset_peer(&mut self, link: LinkId) {
        let discards = self.style.reset_discards;
        let it = &mut self.links[link];
        if it.peer_open && !it.peer_reset {
            it.peer_reset = true;
            if discards || it.linger_zero {
                it.to_peer.data.clear();
            }
            self.wake_peer(link);
        }
    }

    pub fn signals(&mut self) -> u32 {
        std::mem::take(&mut self.stops)
    }

    // Edges.

    fn level(&self, link: LinkId) -> Bits {
        let it = &self.links[link];
        match it.stage {
            Stage::Connecting { .. } | Stage::BlackHole => Bits::default(),
            Stage::Refused => Bits { readable: true, writable: true, ended: true, broken: true },
            Stage::Established => Bits {
                readable: !it.to_proxy.data.is_empty() || it.to_proxy.fin || it.dead,
                writable: it.to_peer.room() > 0 || it.dead || !it.peer_open,
                ended: it.to_proxy.fin || it.dead,
                broken: it.dead || (it.to_proxy.fin && it.proxy_shut),
            },
        }
    }

    fn edge(&mut self, link: LinkId, bits: Bits) {
        let late = if self.mischief() { self.delay() } else { 0 };
        let it = &mut self.links[link];
        if it.id.is_none() || !it.proxy_open || !bits.any() {
            return;
        }
        if !it.pending.any() {
            it.pending_at = self.now + late;
            self.hot.push(link);
        }
        it.pending.readable |= bits.readable;
        it.pending.writable |= bits.writable;
        it.pending.ended |= bits.ended;
        it.pending.broken |= bits.broken;
    }

    /// Reports what is pending by now; whether that was anything.
    pub fn deliver(&mut self, ready: &mut Vec<Ready>) -> bool {
        let before = ready.len();
        let mut due: Vec<LinkId> = Vec::new();
        let (now, links) = (self.now, &self.links);
        self.hot.retain(|&link| {
            let is_due = links[link].pending_at <= now;
            if is_due {
                due.push(link);
            }
            !is_due
        });
        for at in (1..due.len()).rev() {
            due.swap(at, self.rng.below(at as u64 + 1) as usize);
        }
        for link in due {
            self.report(link, ready);
        }
        if std::mem::take(&mut self.listener_pending) {
            ready.push(Ready {
                id: LISTENER,
                readable: true,
                writable: false,
                ended: false,
                broken: false,
            });
        }
        if std::mem::take(&mut self.stop_pending) {
            ready.push(Ready {
                id: STOP,
                readable: true,
                writable: false,
                ended: false,
                broken: false,
            });
        }
        if self.style.spurious && self.rng.chance(100) {
            self.report_spurious(ready);
        }
        ready.len() > before
    }

    fn report(&mut self, link: LinkId, ready: &mut Vec<Ready>) {
        let level = self.level(link);
        let spurious = self.style.spurious;
        let it = &mut self.links[link];
        let pending = std::mem::take(&mut it.pending);
        let Some(id) = it.id else { return };
        let bits = if spurious {
            level
        } else {
            Bits {
                readable: pending.readable && level.readable,
                writable: pending.writable && level.writable,
                ended: pending.ended,
                broken: pending.broken,
            }
        };
        if !bits.any() {
            return;
        }
        let report = Ready {
            id,
            readable: bits.readable || bits.ended || bits.broken,
            writable: bits.writable || bits.broken,
            ended: bits.ended || bits.broken,
            broken: bits.broken,
        };
        if report.readable && it.unasked == Unasked::Sent {
            it.unasked = Unasked::Known;
        }
        it.armed &= !report.readable;
        it.end_reported |= report.ended;
        self.trace(format_args!("link {link}: reported {bits:?}"));
        ready.push(report);
    }

    /// A hint without a reason, at times about a socket that is gone.
    fn report_spurious(&mut self, ready: &mut Vec<Ready>) {
        let known: Vec<Id> = if self.rng.chance(300) {
            self.closed_ids.clone()
        } else {
            self.links.iter().filter_map(|link| link.id).collect()
        };
        if let Some(&id) = known.get(self.rng.below(known.len() as u64) as usize) {
            let writable = self.rng.chance(500);
            ready.push(Ready { id, readable: !writable, writable, ended: false, broken: false });
        }
    }

    // What the world does to the proxy's side.

    /// A connect is decided; true when a server now has a new connection.
    pub fn settle(&mut self, link: LinkId) -> bool {
        let it = &mut self.links[link];
        let Stage::Connecting { accepted } = it.stage else { return false };
        if !it.proxy_open {
            return false;
        }
        if accepted {
            it.stage = Stage::Established;
            self.edge(link, Bits { writable: true, ..Bits::default() });
        } else {
            it.stage = Stage::Refused;
            it.error = Some(ErrorKind::ConnectionRefused);
            it.dead = true;
            self.edge(link, Bits { broken: true, ended: true, ..Bits::default() });
        }
        accepted
    }

    pub fn room_appears(&mut self, link: LinkId) {
        let it = &mut self.links[link];
        if it.wants_room && it.to_peer.room() > 0 {
            it.wants_room = false;
            self.edge(link, Bits { writable: true, ..Bits::default() });
        }
    }

    /// A reset from the peer's side. As Linux tells it: behind an end it is a broken pipe.
    pub fn reset_proxy(&mut self, link: LinkId) {
        let discards = self.style.reset_discards && self.rng.chance(500);
        let it = &mut self.links[link];
        if it.dead || it.stage != Stage::Established {
            return;
        }
        it.dead = true;
        it.error =
            Some(if it.to_proxy.fin { ErrorKind::BrokenPipe } else { ErrorKind::ConnectionReset });
        if discards && !it.to_proxy.fin {
            it.to_proxy.data.clear();
        }
        it.to_peer.data.clear();
        self.trace(format_args!("link {link}: reset reaches the proxy"));
        self.edge(link, Bits { readable: true, writable: true, ended: true, broken: true });
    }

    pub fn stop(&mut self) {
        self.stops += 1;
        self.stop_pending = true;
    }

    // What peers call.

    /// A client connects; none when nobody listens any more.
    pub fn arrive(&mut self, client: usize) -> Option<LinkId> {
        if !self.listening {
            return None;
        }
        let link = self.new_link(Peer::Client(client), Stage::Established);
        self.backlog.push_back(link);
        self.trace(format_args!("client {client} connects as link {link}"));
        if self.listener_armed || self.style.spurious {
            self.listener_armed = false;
            self.listener_pending = true;
        }
        Some(link)
    }

    pub fn peer_read(&mut self, link: LinkId, most: usize) -> Heard {
        let it = &mut self.links[link];
        if !it.to_peer.data.is_empty() {
            let count = it.to_peer.data.len().min(most);
            let data = it.to_peer.data.drain(..count).collect();
            // As Linux does, room is told when there is a good deal of it.
            if it.wants_room && it.to_peer.room() * 3 >= it.to_peer.cap {
                self.room_appears(link);
            }
            return Heard::Data(data);
        }
        if it.peer_reset {
            return Heard::Reset;
        }
        if it.to_peer.fin { Heard::End } else { Heard::Nothing }
    }

    /// Whether a read would bring anything.
    pub fn peer_hears(&self, link: LinkId) -> bool {
        let it = &self.links[link];
        !it.to_peer.data.is_empty() || it.to_peer.fin || it.peer_reset
    }

    /// How much was taken; none when the connection was reset.
    pub fn peer_write(&mut self, link: LinkId, bytes: &[u8]) -> Option<usize> {
        let it = &mut self.links[link];
        if it.peer_reset {
            return None;
        }
        if !it.proxy_open && it.stage == Stage::Established && !self.backlog.contains(&link) {
            let at = self.now + self.delay();
            self.schedule(at, Event::ResetAtPeer(link));
            return Some(bytes.len());
        }
        let count = it.to_proxy.room().min(bytes.len());
        it.to_proxy.data.extend(&bytes[..count]);
        if count > 0 && (it.armed || self.style.spurious) {
            self.edge(link, Bits { readable: true, ..Bits::default() });
        }
        Some(count)
    }

    /// Writes what nobody asked for; whether anything went out. Not while the proxy says something,
    /// for then it may be an answer.
    pub fn peer_speaks_unasked(&mut self, link: LinkId, bytes: &[u8]) -> bool {
        let it = &self.links[link];
        let quiet = it.to_peer.data.is_empty() && it.proxy_open && it.unasked == Unasked::None;
        if !quiet || it.to_proxy.room() == 0 || it.stage != Stage::Established {
            return false;
        }
        let it = &mut self.links[link];
        (it.unasked, it.asked_left) = (Unasked::Sent, it.to_proxy.data.len());
        let count = self.peer_write(link, bytes);
        self.trace(format_args!("link {link}: peer speaks unasked, {count:?} bytes"));
        count.is_some_and(|count| count > 0)
    }

    pub fn peer_room(&self, link: LinkId) -> usize {
        self.links[link].to_proxy.room()
    }

    pub fn peer_shut(&mut self, link: LinkId) {
        let it = &mut self.links[link];
        if it.peer_shut || it.peer_reset {
            return;
        }
        it.peer_shut = true;
        it.to_proxy.fin = true;
        let broken = it.proxy_shut;
        self.trace(format_args!("link {link}: peer ends its output"));
        self.edge(link, Bits { readable: true, ended: true, broken, ..Bits::default() });
    }

    /// An ordinary close: what the peer has not read turns it into a reset.
    pub fn peer_close(&mut self, link: LinkId) {
        if !self.links[link].to_peer.data.is_empty() {
            return self.peer_abort(link);
        }
        self.peer_shut(link);
        self.links[link].peer_open = false;
    }

    pub fn peer_abort(&mut self, link: LinkId) {
        self.trace(format_args!("link {link}: peer resets"));
        self.links[link].peer_open = false;
        self.reset_proxy(link);
    }
}
