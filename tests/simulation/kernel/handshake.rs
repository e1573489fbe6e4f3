//! TLS handshakes below the socket. Of a client's the first bytes are the last message. With a server
//! messages go both ways, byte by byte, and it decides how that ends.

use super::link::{Bits, Carried, Link, LinkId, Stage};
use super::{Dice, Event, Kernel};
use crate::names::Names;
use crate::sites::SITES_PER_NAME;
use loadbalancer::base::connect_fault::HandshakeFault;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::TlsServer;
use loadbalancer::net::{Handshake, HandshakeError};
use std::io::{self, ErrorKind};

/// Steps with bytes of a peer's that one turn may do.
const STEPS_MAX: u32 = 8;

/// What timers and turns may be late by.
const TIMER_LATE_MICROS: u64 = 200_000;

/// Longest that a server keeps the proxy waiting before it goes on: more than a connect may take.
const LATE_MICROS: u64 = 4_000_000;

const FAULTS: [HandshakeFault; 8] = [
    HandshakeFault::NotTls,
    HandshakeFault::Expired,
    HandshakeFault::NotYetValid,
    HandshakeFault::OtherName,
    HandshakeFault::UnknownIssuer,
    HandshakeFault::BadCertificate,
    HandshakeFault::Refused,
    HandshakeFault::Failed,
];

/// How a handshake with a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Completes,
    /// The server's last message comes so much later.
    Late(u64),
    /// It never comes.
    Stalls,
    /// It comes, and the proxy cannot go on with it.
    Fails(HandshakeFault),
    /// The server closes or resets instead.
    Closes,
    Resets,
}

/// A handshake with a server.
#[derive(Debug)]
pub struct Shaking {
    /// How the proxy connected.
    pub with: TlsServer,
    pub end: End,
    /// Messages of the server's that are still to come.
    messages: u32,
    /// Bytes of the proxy's message that are not written.
    ours: usize,
    /// Bytes of the server's message that are not sent, and that the proxy has not read.
    unsent: usize,
    unread: usize,
    has_begun: bool,
    has_failed: bool,
    /// Bytes before the handshake, and of it, that the server has not read.
    clear: usize,
    on_way: usize,
    /// What came before, which the server's application reads first.
    pub(super) header: Vec<u8>,
    /// Bytes of the server's that the proxy has read.
    pub read_bytes: u64,
}

/// How often handshakes with a server go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Sound,
    /// In so many of a thousand cases, in any way.
    Fails(u64),
    /// Always, and at once.
    Hopeless,
}

/// The handshakes with servers. Draws from its own dice, so that runs without them stay as they are.
#[derive(Debug)]
pub struct Handshakes {
    rng: Rng,
    /// By name.
    conducts: Vec<Conduct>,
    /// Those that are not over, of connections that the proxy has open.
    pub open: Vec<LinkId>,
    /// Those that have failed, as the proxy was shown.
    pub failed: u64,
    /// Those that the proxy has given up.
    pub given_up: u64,
    pub completed: u64,
    /// The present turn, and the steps with bytes that were done in it.
    steps: (u64, u32),
    /// Longest message, in bytes.
    message_max: usize,
}

impl Handshakes {
    /// No server is spoken to in TLS.
    pub fn none() -> Handshakes {
        let (rng, conducts) = (Rng::new(0), Vec::new());
        Handshakes {
            rng,
            conducts,
            open: Vec::new(),
            failed: 0,
            given_up: 0,
            completed: 0,
            steps: (0, 0),
            message_max: 0,
        }
    }

    /// Any server may fail.
    pub fn any(names: Names, mut rng: Rng) -> Handshakes {
        let conducts = (0..names.count).map(|name| match rng.below(20) {
            _ if !names.is_secured(name) => Conduct::Sound,
            0..=8 => Conduct::Sound,
            9..=13 => Conduct::Fails(200),
            14..=16 => Conduct::Fails(1_000),
            _ => Conduct::Hopeless,
        });
        Handshakes { conducts: conducts.collect(), rng, ..Handshakes::none() }
    }

    /// This one fails, if any, and no other.
    pub fn one(names: Names, broken: Option<usize>, mut rng: Rng) -> Handshakes {
        let mut conducts = vec![Conduct::Sound; names.count];
        if let Some(name) = broken {
            let all = [Conduct::Fails(300), Conduct::Fails(1_000), Conduct::Hopeless];
            conducts[name] = all[rng.below(3) as usize];
        }
        Handshakes { conducts, rng, ..Handshakes::none() }
    }

    /// From here on all complete.
    pub fn become_sound(&mut self) {
        self.conducts.fill(Conduct::Sound);
    }

    /// Every handshake with it fails at once.
    pub fn is_hopeless(&self, name: usize) -> bool {
        self.conducts.get(name) == Some(&Conduct::Hopeless)
    }

    /// A handshake with this server.
    fn draw(&mut self, name: usize, with: TlsServer) -> Shaking {
        let rng = &mut self.rng;
        let fault = FAULTS[rng.below(FAULTS.len() as u64) as usize];
        let at_once = [End::Fails(fault), End::Fails(fault), End::Closes, End::Resets];
        let any = [at_once[rng.below(4) as usize], End::Stalls, End::Late(rng.below(LATE_MICROS))];
        let end = match self.conducts[name] {
            Conduct::Fails(often) if rng.chance(often) => any[rng.below(3) as usize],
            Conduct::Sound | Conduct::Fails(_) => End::Completes,
            Conduct::Hopeless => at_once[rng.below(4) as usize],
        };
        Shaking {
            with,
            end,
            messages: 1 + rng.below(2) as u32,
            ours: message(rng, self.message_max),
            unsent: 0,
            unread: 0,
            has_begun: false,
            has_failed: false,
            clear: 0,
            on_way: 0,
            header: Vec::new(),
            read_bytes: 0,
        }
    }

    /// A step that had bytes of a peer's.
    fn count_step(&mut self, turn: u64) {
        let before = if self.steps.0 == turn { self.steps.1 } else { 0 };
        assert!(before < STEPS_MAX, "more than {STEPS_MAX} steps of handshakes in turn {turn}");
        self.steps = (turn, before + 1);
    }

    fn message(&mut self) -> usize {
        message(&mut self.rng, self.message_max)
    }

    /// The connection was closed.
    pub(super) fn closed(&mut self, link: LinkId) {
        self.given_up += u64::from(self.open.contains(&link));
        self.ends(link);
    }

    fn ends(&mut self, link: LinkId) {
        self.open.retain(|&open| open != link);
    }
}

/// Bytes of a message.
fn message(rng: &mut Rng, most: usize) -> usize {
    let longest = [1, 2, 40, 3_000][rng.below(4) as usize];
    rng.between(1, longest.min(most as u64)) as usize
}

impl Kernel {
    /// The connection that was just begun carries TLS.
    pub(super) fn secure_server(&mut self, link: LinkId, with: TlsServer) {
        let site = self.links[link].site.expect("a connection to a server leads to a site");
        // Bytes that go a few at a time must not take longer than a connect may.
        self.handshakes.message_max = if self.style.buffer_max < 100 { 6 } else { 3_000 };
        let shaking = self.handshakes.draw(site / SITES_PER_NAME, with);
        self.trace(format_args!("link {link}: the handshake {:?}", shaking.end));
        self.links[link].carried = Carried::Handshake;
        self.links[link].shaking = Some(Box::new(shaking));
        self.handshakes.open.push(link);
    }

    /// What comes before the handshake with a server.
    pub fn write_clear(&mut self, link: LinkId, from: &[u8]) -> io::Result<usize> {
        self.note_header(link, from);
        let it = &self.links[link];
        let is_before = it.carried == Carried::Handshake;
        let has_begun = it.shaking.as_ref().is_none_or(|shaking| shaking.has_begun);
        assert!(is_before && !has_begun, "link {link}: in the clear is what comes first");
        let count = self.put(link, from)?;
        if let Some(shaking) = &mut self.links[link].shaking {
            shaking.clear += count;
        }
        Ok(count)
    }

    pub fn handshake(&mut self, link: LinkId) -> io::Result<Handshake> {
        assert!(self.links[link].carried == Carried::Handshake, "a handshake is complete once");
        let Some(mut shaking) = self.links[link].shaking.take() else {
            return self.handshake_of_client(link);
        };
        assert!(!shaking.has_failed, "link {link}: a handshake fails once");
        let before = shaking.read_bytes;
        let outcome = self.shake(link, &mut shaking);
        if shaking.read_bytes > before {
            self.handshakes.count_step(self.turn);
        }
        match &outcome {
            Ok(Handshake::Complete) => {
                self.links[link].carried = Carried::Secured;
                self.handshakes.completed += 1;
                self.handshakes.ends(link);
                self.trace(format_args!("link {link}: the handshake is complete"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                self.trace(format_args!("link {link}: the handshake fails: {error}"));
                shaking.has_failed = true;
                self.handshakes.failed += 1;
                self.handshakes.ends(link);
            }
        }
        self.links[link].shaking = Some(shaking);
        outcome
    }

    /// Between two turns: none lasts longer than a connect may.
    pub fn check_handshakes(&self, most: u64) {
        let limit = most.saturating_add(TIMER_LATE_MICROS);
        for &link in &self.handshakes.open {
            let lasted = self.now - self.links[link].opened_at;
            assert!(lasted <= limit || self.jumped, "link {link}: {lasted} µs of a handshake");
        }
    }

    /// An error of the connection was reported, while it may have been in its handshake.
    pub(super) fn note_fault(&mut self, link: LinkId) {
        let it = &mut self.links[link];
        let is_handshake = it.carried == Carried::Handshake;
        let Some(shaking) = it.shaking.as_mut().filter(|_| is_handshake) else { return };
        if shaking.has_begun && !shaking.has_failed {
            shaking.has_failed = true;
            self.handshakes.failed += 1;
            self.handshakes.ends(link);
        }
    }

    fn handshake_of_client(&mut self, link: LinkId) -> io::Result<Handshake> {
        let is_late = self.mischief() && !self.links[link].end_reported;
        let it = &mut self.links[link];
        if !it.to_proxy.data.is_empty() {
            if is_late {
                // The rest of the message arrives later, which is a new edge.
                it.armed = true;
                self.edge(link, Bits { readable: true, ..Bits::default() });
                return Ok(Handshake::WantsRead);
            }
            it.carried = Carried::Secured;
            self.handshakes.count_step(self.turn);
            self.trace(format_args!("link {link}: the handshake is complete"));
            return Ok(Handshake::Complete);
        }
        if it.to_proxy.fin || it.dead {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(error) = it.error.take() {
            return Err(error.into());
        }
        it.armed = true;
        Ok(Handshake::WantsRead)
    }

    /// The proxy goes on with a handshake as far as it can.
    fn shake(&mut self, link: LinkId, shaking: &mut Shaking) -> io::Result<Handshake> {
        assert!(self.links[link].stage == Stage::Established, "a handshake before the connection");
        shaking.has_begun = true;
        loop {
            let mischief = self.style.mischief;
            if self.handshakes.rng.chance(mischief) {
                return Err(ErrorKind::Interrupted.into());
            }
            if shaking.ours > 0 && !self.send_ours(link, shaking)? {
                return Ok(Handshake::WantsWrite);
            }
            if shaking.messages == 0 {
                return Ok(Handshake::Complete);
            }
            if !self.read_theirs(link, shaking)? {
                return Ok(Handshake::WantsRead);
            }
            shaking.messages -= 1;
            if let (0, End::Fails(fault)) = (shaking.messages, shaking.end) {
                let words = format!("{fault} {}", marker(link)).into();
                return Err(HandshakeError { fault, words }.into());
            }
            shaking.ours = self.handshakes.message();
        }
    }

    /// Writes what there is room for of the proxy's message; whether that was all.
    fn send_ours(&mut self, link: LinkId, shaking: &mut Shaking) -> io::Result<bool> {
        let cut = self.handshakes.rng.chance(self.style.mischief);
        let it = &mut self.links[link];
        if it.dead {
            return Err(it.error.take().unwrap_or(ErrorKind::BrokenPipe).into());
        }
        let room = it.to_peer.room();
        let mut count = room.min(shaking.ours);
        if cut {
            count = self.handshakes.rng.below(count as u64 + 1) as usize;
        }
        it.to_peer.data.extend(std::iter::repeat_n(b'h', count));
        (shaking.ours, shaking.on_way) = (shaking.ours - count, shaking.on_way + count);
        it.wants_room |= shaking.ours > 0;
        if shaking.ours > 0 && count < room {
            let at = self.now + self.delay();
            self.schedule(at, Event::Room(link));
        }
        if shaking.ours == 0 && shaking.messages > 0 {
            shaking.unsent = self.handshakes.message();
            shaking.unread = shaking.unsent;
        }
        self.trace(format_args!("link {link}: {count} bytes of the handshake"));
        self.wake_peer(link);
        Ok(shaking.ours == 0)
    }

    /// Reads what has come of the server's message; whether that was all.
    fn read_theirs(&mut self, link: LinkId, shaking: &mut Shaking) -> io::Result<bool> {
        let mischief = self.style.mischief;
        let short = self.handshakes.rng.chance(mischief) && !self.links[link].end_reported;
        let it = &mut self.links[link];
        let whole = it.to_proxy.data.len();
        if whole == 0 {
            return wait_for_server(it).map(|()| false);
        }
        let count = match short {
            true => self.handshakes.rng.below(whole as u64 + 1) as usize,
            false => whole,
        };
        it.to_proxy.data.drain(..count);
        it.armed = true;
        if count < whole {
            self.edge(link, Bits { readable: true, ..Bits::default() });
        }
        shaking.unread -= count;
        shaking.read_bytes += count as u64;
        self.wake_peer(link);
        Ok(shaking.unread == 0)
    }

    /// The server of a connection that is in its handshake gets to act; true when the connection is
    /// its application's from now on.
    pub fn answer_handshake(&mut self, link: LinkId) -> bool {
        let Some(mut shaking) = self.links[link].shaking.take() else { return false };
        self.read_ours(link, &mut shaking);
        let is_complete = self.links[link].carried == Carried::Secured;
        if !is_complete {
            self.send_theirs(link, &mut shaking);
        }
        self.links[link].shaking = Some(shaking);
        is_complete
    }

    /// Takes the proxy's bytes, but for those that follow the handshake.
    fn read_ours(&mut self, link: LinkId, shaking: &mut Shaking) {
        let it = &mut self.links[link];
        let clear = shaking.clear.min(it.to_peer.data.len());
        shaking.header.extend(it.to_peer.data.drain(..clear));
        shaking.clear -= clear;
        let handshake = shaking.on_way.min(it.to_peer.data.len());
        it.to_peer.data.drain(..handshake);
        shaking.on_way -= handshake;
        if it.wants_room && it.to_peer.room() * 3 >= it.to_peer.cap {
            self.room_appears(link);
        }
    }

    /// Sends some of the server's message, or does what it does instead.
    fn send_theirs(&mut self, link: LinkId, shaking: &mut Shaking) {
        let it = &self.links[link];
        if it.to_peer.fin || it.peer_reset {
            return self.peer_close(link);
        }
        if shaking.unsent == 0 || !it.peer_open {
            return;
        }
        let is_last = shaking.messages == 1;
        match shaking.end {
            End::Stalls if is_last => return,
            End::Closes if is_last => return self.peer_close(link),
            End::Resets if is_last => return self.peer_abort(link),
            End::Late(micros) if is_last => {
                shaking.end = End::Completes;
                return self.wake_at(link, self.now + micros);
            }
            End::Completes
            | End::Late(_)
            | End::Stalls
            | End::Fails(_)
            | End::Closes
            | End::Resets => {}
        }
        let most = 1 + self.handshakes.rng.below(shaking.unsent as u64) as usize;
        let bytes = vec![b'h'; most];
        let count = self.peer_send(link, &bytes).unwrap_or(0);
        shaking.unsent -= count;
        if count > 0 && shaking.unsent > 0 {
            let at = self.now + 1 + self.delay();
            self.wake_at(link, at);
        }
    }
}

/// Nothing of the server's is there to be read: more will come, or none.
fn wait_for_server(it: &mut Link) -> io::Result<()> {
    if it.to_proxy.fin {
        return Err(HandshakeError::of(HandshakeFault::Closed).into());
    }
    if let Some(error) = it.error.take() {
        return Err(error.into());
    }
    if it.dead {
        return Err(HandshakeError::of(HandshakeFault::Closed).into());
    }
    it.armed = true;
    Ok(())
}

/// What the words of a handshake that has failed end with.
fn marker(link: LinkId) -> String {
    format!("(link {link})")
}

/// The connection whose handshake has failed with these words, if they are of one.
pub fn marked(words: &str) -> Option<LinkId> {
    words.split_once("(link ")?.1.split_once(')')?.0.parse().ok()
}
