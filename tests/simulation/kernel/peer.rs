//! What peers and the network do to a connection.

use super::link::{Bits, Heard, LinkId, Peer, Stage, Unasked};
use super::{Dice, Event, Kernel, ListenerId};
use loadbalancer::net::Signal;
use std::io::ErrorKind;

impl Kernel {
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

    /// A reset by the peer. As on Linux, after an end of input it is a broken pipe.
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
        self.signals.push(Signal::Stop);
        self.stop_pending = true;
    }

    /// The operator has the list read again.
    pub fn reload(&mut self) {
        self.signals.push(Signal::Reload);
        self.reload_pending = true;
    }

    /// A task in the background is done.
    pub fn wake_proxy(&mut self) {
        self.waker_pending = true;
    }

    /// The request of this connection was answered or given up by its server.
    pub fn request_over(&mut self, link: LinkId) {
        self.links[link].busy = false;
    }

    /// A client connects; none when the listener is closed.
    pub fn arrive(&mut self, peer: Peer) -> Option<LinkId> {
        let at = match peer {
            Peer::Visitor(_) => ListenerId::Admin,
            Peer::Caller(_) => ListenerId::Redirect,
            Peer::Client(_) | Peer::Server(_) | Peer::Nobody => ListenerId::Traffic,
        };
        if !self.listeners[at as usize].open {
            return None;
        }
        let link = self.new_link(peer, Stage::Established);
        self.trace(format_args!("{peer:?} connects as link {link}"));
        let listener = &mut self.listeners[at as usize];
        listener.backlog.push_back(link);
        if listener.armed || self.style.spurious {
            listener.armed = false;
            listener.pending = true;
        }
        Some(link)
    }

    /// It waits to be accepted.
    fn is_queued(&self, link: LinkId) -> bool {
        self.listeners.iter().any(|listener| listener.backlog.contains(&link))
    }

    pub fn peer_read(&mut self, link: LinkId, most: usize) -> Heard {
        let it = &mut self.links[link];
        if let Some(shaking) = it.shaking.as_mut().filter(|it| !it.header.is_empty()) {
            let count = shaking.header.len().min(most);
            return Heard::Data(shaking.header.drain(..count).collect());
        }
        if !it.to_peer.data.is_empty() {
            let count = it.to_peer.data.len().min(most);
            it.moved += count as u64;
            let data = it.to_peer.data.drain(..count).collect();
            // As Linux does: room is reported when a third of the buffer is free.
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
        let has_header = it.shaking.as_ref().is_some_and(|it| !it.header.is_empty());
        has_header || !it.to_peer.data.is_empty() || it.to_peer.fin || it.peer_reset
    }

    /// How much was taken; none when the connection was reset. A header goes first.
    pub fn peer_write(&mut self, link: LinkId, bytes: &[u8]) -> Option<usize> {
        if !self.send_header(link)? {
            return Some(0);
        }
        self.peer_send(link, bytes)
    }

    pub(super) fn peer_send(&mut self, link: LinkId, bytes: &[u8]) -> Option<usize> {
        let is_queued = self.is_queued(link);
        let it = &mut self.links[link];
        if it.peer_reset {
            return None;
        }
        if !it.proxy_open && it.stage == Stage::Established && !is_queued {
            let at = self.now + self.delay();
            self.schedule(at, Event::ResetAtPeer(link));
            return Some(bytes.len());
        }
        let count = it.to_proxy.room().min(bytes.len());
        it.moved += count as u64;
        it.to_proxy.data.extend(&bytes[..count]);
        if count > 0 && (it.armed || self.style.spurious) {
            self.edge(link, Bits { readable: true, ..Bits::default() });
        }
        Some(count)
    }

    /// Writes unsolicited bytes; whether any were sent. Not while the proxy sends a request, as
    /// then they may be a response.
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
        it.busy = false;
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
        self.links[link].busy = false;
        self.reset_proxy(link);
    }
}
