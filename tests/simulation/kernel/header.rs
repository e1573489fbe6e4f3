//! PROXY headers: which clients send one, and whom they name.

use super::link::{Link, LinkId, Peer, address};
use super::{Dice, Kernel};
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{Mode, TrustedProxies};
use loadbalancer::wire::proxy_protocol::{self, Ends, Named, Version};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Where the proxy listens.
pub const LISTENER: ([u8; 4], u16) = ([127, 0, 0, 1], 80);

/// How long the proxy waits for a whole header.
const HEADER_MICROS: u64 = 3_000_000;

/// A TLV of a type that says nothing, with this many bytes.
const NOOP: u8 = 4;

/// Who sends headers. Draws from its own dice, so that other runs stay as they are.
#[derive(Debug)]
pub struct Headers {
    pub from: TrustedProxies,
    /// The listener is a unix socket, whose clients have no address.
    is_unix: bool,
    /// Clients come from so many addresses; none: each from its own.
    pub hosts: Option<u64>,
    rng: Rng,
}

impl Headers {
    pub fn draw(seed: u64, mode: Mode) -> Headers {
        let mut rng = Rng::new(seed ^ 0x50_52_4F_58_59);
        let from = match rng.below(8) {
            0 => TrustedProxies::All,
            1 => TrustedProxies::parse("10.0.0.0/29").expect("a network"),
            _ => TrustedProxies::None,
        };
        // A header of version 1 without addresses looks like that of a probe.
        let is_unix = mode != Mode::Tcp && rng.chance(150);
        Headers { from, is_unix, hosts: None, rng }
    }

    /// Nobody sends one.
    pub fn none() -> Headers {
        Headers { from: TrustedProxies::None, is_unix: false, hosts: None, rng: Rng::new(0) }
    }

    /// How often names are looked up.
    pub fn draw_interval(&mut self) -> Duration {
        Duration::from_millis([20, 300, 5_000][self.rng.below(3) as usize])
    }

    /// How many names move.
    pub fn draw_moves(&mut self) -> u64 {
        self.rng.below(4)
    }

    /// When, in microseconds from the start.
    pub fn draw_span(&mut self) -> u64 {
        self.rng.below(60_000)
    }

    /// What servers of TCP mode get first.
    pub fn draw_sent(&mut self) -> Option<Version> {
        [None, None, Some(Version::V1), Some(Version::V2)][self.rng.below(4) as usize]
    }
}

impl Kernel {
    /// A client is there: whose connection the proxy has to take it for. Its header, if it sends
    /// one, goes first.
    pub fn introduce(&mut self, link: LinkId) -> Option<Ends> {
        let peer = self.peer_address(link);
        let own = peer.map(|source| Ends { source, destination: LISTENER.into() });
        if !self.headers.from.contains(peer.map(|peer| peer.ip())) {
            return own;
        }
        let rng = &mut self.headers.rng;
        let end = |number: u64, is_v4| match is_v4 {
            true => SocketAddr::from((Ipv4Addr::from(0xAC10_0000 | number as u32), 7)),
            false => {
                SocketAddr::from((Ipv6Addr::from((0x2001_0DB8 << 96) | u128::from(number)), 7))
            }
        };
        let is_v4 = rng.chance(700);
        let ends = Ends {
            source: end(link as u64, is_v4),
            destination: end(0x8000 + rng.below(100), is_v4),
        };
        let (named, known) = match rng.below(8) {
            0 => (Named::Unknown, own),
            1 => (Named::Proxy, own),
            _ => (Named::Client(ends), Some(ends)),
        };
        let version = [Version::V1, Version::V2][rng.below(2) as usize];
        let mut header = proxy_protocol::write(version, named).bytes().to_vec();
        if version == Version::V2 && rng.chance(300) {
            let bytes = rng.below(200) as u8;
            header.extend([NOOP, 0, bytes]);
            header.extend(std::iter::repeat_n(b'x', usize::from(bytes)));
            let after = (header.len() - 16) as u16;
            header[14..16].copy_from_slice(&after.to_be_bytes());
        }
        self.links[link].header_bytes = header.len() as u64;
        self.links[link].header = header;
        known
    }

    /// How long a client waits before it sends its header: at times almost as long as the proxy does.
    pub fn header_pause(&mut self, link: LinkId) -> u64 {
        // From numbers of their own, so that the others stay as they are.
        let mut rng = Rng::new(self.headers.rng.clone().bits());
        match !self.links[link].header.is_empty() && rng.chance(100) {
            true => HEADER_MICROS / 3 + rng.below(HEADER_MICROS / 2),
            false => 0,
        }
    }

    /// The proxy has not read the whole header in the time that it waits for one.
    pub fn is_header_late(&self, link: LinkId) -> bool {
        let it = &self.links[link];
        it.read_bytes < it.header_bytes && self.now >= it.opened_at + HEADER_MICROS
    }

    /// Connections of clients of the traffic that the proxy has accepted and not closed.
    pub fn open_clients(&self) -> usize {
        let is_client = |it: &&Link| it.proxy_open && matches!(it.peer, Peer::Client(_));
        self.links.iter().filter(is_client).count()
    }

    /// Whether clients share addresses.
    pub fn has_crowds(&self) -> bool {
        self.headers.hosts.is_some()
    }

    /// What the kernel says of a client's address.
    pub fn peer_address(&self, link: LinkId) -> Option<SocketAddr> {
        let host = self.headers.hosts.map_or(link, |hosts| link % hosts as usize);
        (!self.headers.is_unix).then(|| address(host, link))
    }

    /// Sends what is left of the header, or a part of it; whether none is left. None when the
    /// connection was reset.
    pub(super) fn send_header(&mut self, link: LinkId) -> Option<bool> {
        let header = std::mem::take(&mut self.links[link].header);
        if header.is_empty() {
            return Some(true);
        }
        let part = 1 + self.headers.rng.below(header.len() as u64) as usize;
        let count = self.peer_send(link, &header[..part])?;
        self.links[link].header = header[count..].to_vec();
        Some(count == header.len())
    }
}
