//! The system calls of the simulated kernel.

use super::link::{Bits, Carried, Link, LinkId, Peer, Port, Stage, Unasked};
use super::{Dice, Event, Kernel, ListenerId};
use loadbalancer::base::table::Id;
use loadbalancer::config::TlsServer;
use loadbalancer::net::Signal;
use loadbalancer::wire::proxy_protocol::{self, Named, Version};
use std::io::{self, ErrorKind};

impl Kernel {
    pub fn accept(&mut self, at: ListenerId) -> io::Result<LinkId> {
        if !self.listeners[at as usize].backlog.is_empty() {
            self.shortage()?;
            if at != ListenerId::Admin && self.is_out_of_descriptors() {
                self.unaccepted_at = Some(self.now);
                return Err(io::Error::from_raw_os_error(libc::EMFILE));
            }
        }
        if self.mischief() {
            return Err(ErrorKind::Interrupted.into());
        }
        let listener = &mut self.listeners[at as usize];
        let Some(link) = listener.backlog.pop_front() else {
            listener.armed = true;
            return Err(ErrorKind::WouldBlock.into());
        };
        listener.accepted += 1;
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

    /// A descriptor was lacking at some time.
    pub fn has_lacked(&self) -> bool {
        self.shortage_at.is_some() || self.style.descriptors != usize::MAX
    }

    /// All connections that the proxy may have are open; those of the admin listener have
    /// descriptors of their own.
    pub fn is_out_of_descriptors(&self) -> bool {
        let counts = |link: &&Link| link.proxy_open && !matches!(link.peer, Peer::Visitor(_));
        self.links.iter().filter(counts).count() >= self.style.descriptors
    }

    /// Connections that were accepted, but for those of the admin listener.
    pub fn accepted(&self) -> u64 {
        let of = |at: ListenerId| self.listeners[at as usize].accepted;
        of(ListenerId::Traffic) + of(ListenerId::Redirect)
    }

    /// Clients whose connections were accepted and are open.
    pub fn traffic_clients(&self) -> usize {
        let is_one = |link: &&Link| {
            link.proxy_open && matches!(link.peer, Peer::Client(_) | Peer::Caller(_))
        };
        self.links.iter().filter(is_one).count()
    }

    pub fn connect(&mut self, site: usize, tls: Option<&TlsServer>) -> io::Result<LinkId> {
        self.shortage()?;
        let port = self.ports[site];
        if port == Port::Refuses && self.rng.chance(self.style.refuses_at_once) {
            self.trace(format_args!("connect to site {site} refused at once"));
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
        if let Some(tls) = tls {
            self.secure_server(link, tls.clone());
        }
        self.trace(format_args!("link {link} connects to site {site}: {stage:?}"));
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

    /// The pending error, which is reported once.
    pub fn fault(&mut self, link: LinkId) -> Option<ErrorKind> {
        let error = self.links[link].error.take();
        if error.is_some() {
            self.note_fault(link);
        }
        error
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
        assert!(self.links[link].carried != Carried::Handshake, "a handshake is not content");
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
            if it.unasked != Unasked::None {
                // It comes on an idle connection.
                let pause = self.clock - it.idling.read_at;
                it.idling.longest = it.idling.longest.max(pause);
            }
            it.idling.read_at = self.clock;
            if std::mem::take(&mut it.idling.is_asked) {
                it.idling.answer_at =
                    if it.idling.has_interim { it.idling.begun_at } else { self.clock };
            }
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
        // Once the error was reported, to a write perhaps, a read finds an ordinary end.
        if it.dead {
            return Ok(0);
        }
        it.armed = true;
        Err(ErrorKind::WouldBlock.into())
    }

    /// Notes that these bytes, about to be written, begin a request or a TCP session with a server.
    /// Whether they do, with the number of the request.
    pub fn begins(&mut self, link: LinkId, from: &[u8], is_tcp: bool) -> Option<Option<usize>> {
        let it = &mut self.links[link];
        it.site?;
        let request = match is_tcp {
            true if it.requests > 0 || it.is_probe => return None,
            true if announces_probe(from) => {
                it.is_probe = true;
                return None;
            }
            true => None,
            // A write that was cut short, or interrupted, is repeated.
            false => Some(request_of(from).filter(|&request| it.request != Some(request))?),
        };
        it.request = request;
        it.requests += 1;
        (it.idling.is_asked, it.idling.begun_at) = (true, self.clock);
        it.idling.has_interim = false;
        it.busy = true;
        Some(request)
    }

    /// A connection to a server begins with the header of one that is the proxy's own.
    pub(super) fn note_header(&mut self, link: LinkId, from: &[u8]) {
        self.links[link].is_probe |= announces_probe(from);
    }

    pub fn write(&mut self, link: LinkId, from: &[u8]) -> io::Result<usize> {
        let it = &self.links[link];
        let is_early = it.site.is_some() && it.carried == Carried::Handshake;
        assert!(!is_early, "link {link}: a write before the end of the handshake");
        self.put(link, from)
    }

    pub(super) fn put(&mut self, link: LinkId, from: &[u8]) -> io::Result<usize> {
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
            // The peer has closed: a reset comes back.
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
        it.was_short = count < from.len();
        it.wants_room |= it.was_short;
        if self.stopped_turn.is_some_and(|turn| turn < self.turn) {
            it.stopped_after.get_or_insert(it.written_bytes);
        }
        it.written_bytes += count as u64;
        if it.was_short {
            it.full_after.get_or_insert(it.written_bytes);
        }
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
        it.idling.dropped_at = self.clock;
        it.idling.left_unread = !it.to_proxy.data.is_empty();
        self.handshakes.closed(link);
        let it = &mut self.links[link];
        if it.site.is_some() && it.requests == 0 {
            self.unused_closed_at = self.now;
        }
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

    pub fn signals(&mut self) -> Vec<Signal> {
        let signals = std::mem::take(&mut self.signals);
        if signals.contains(&Signal::Stop) {
            self.stopped_turn.get_or_insert(self.turn);
        }
        signals
    }
}

/// The beginning of a connection that is the proxy's own.
fn announces_probe(bytes: &[u8]) -> bool {
    let versions = [Version::V1, Version::V2];
    let is_local = |&it: &Version| bytes == proxy_protocol::write(it, Named::Proxy).bytes();
    bytes.starts_with(b"GET /healthcheck") || versions.iter().any(is_local)
}

/// The number of the request whose head these bytes begin with: `METHOD /r/NUMBER/...`.
fn request_of(bytes: &[u8]) -> Option<usize> {
    let line = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    let (method, rest) = line.split_once(" /r/")?;
    let is_token = method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    if is_token { rest.split_once('/')?.0.parse().ok() } else { None }
}
