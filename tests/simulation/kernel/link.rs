//! One connection between the proxy and a peer, as the simulated kernel keeps it.

use super::handshake::Shaking;
use crate::crowd::Quota;
use loadbalancer::base::table::Id;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;

/// Number of a link; never used twice in one run.
pub type LinkId = usize;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Nobody,
    Client(usize),
    /// A client of the admin listener.
    Visitor(usize),
    /// A client of the listener of `--redirect-http`.
    Caller(usize),
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
pub(super) struct Bits {
    pub readable: bool,
    pub writable: bool,
    pub ended: bool,
    pub broken: bool,
}

impl Bits {
    pub fn any(self) -> bool {
        self.readable || self.writable || self.ended || self.broken
    }
}

/// Bytes from a server that nobody has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    None,
    /// On their way: nobody can know of them.
    Sent,
    /// It was reported to the proxy, or read in part: it must not ask anything any more.
    Known,
    /// It asked before it could know: it takes them for the answer, as anybody would.
    Raced,
}

#[derive(Debug, Default)]
pub struct Pipe {
    pub data: VecDeque<u8>,
    pub(super) cap: usize,
    pub(super) fin: bool,
}

impl Pipe {
    pub fn room(&self) -> usize {
        self.cap.saturating_sub(self.data.len())
    }
}

/// A connection to a server by the clock of the proxy, which stands still during a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idling {
    /// When the proxy read from it last, and when the response that it read last began, as far as
    /// the proxy knows: after an interim one, when the request did.
    pub read_at: u64,
    pub answer_at: u64,
    /// The response to the request that was begun last has an interim one before it.
    pub has_interim: bool,
    /// A request was begun, and no byte of its response was read.
    pub is_asked: bool,
    /// When a request was begun on it last.
    pub begun_at: u64,
    /// The longest pause after a response.
    pub longest: u64,
    /// The server closed it between two requests.
    pub is_closed: bool,
    /// When the proxy closed it, and whether it left some of a response unread.
    pub dropped_at: u64,
    pub left_unread: bool,
    /// In which turn and when an end was reported to the proxy.
    pub end_reported: Option<(u64, u64)>,
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    Content,
    /// Nothing to be read before a handshake.
    Handshake,
    /// Content that must not pass through a pipe.
    Secured,
}

/// One connection between the proxy and a peer.
#[derive(Debug)]
pub struct Link {
    pub peer: Peer,
    pub carried: Carried,
    /// The handshake with its server, if it has one.
    pub shaking: Option<Box<Shaking>>,
    /// The server it was to lead to.
    pub site: Option<usize>,
    pub stage: Stage,
    /// Its server was down when it was opened.
    pub is_to_down: bool,
    /// The turn in which it was opened.
    pub opened_turn: u64,
    pub opened_at: u64,
    /// Bytes that its peer has sent or read.
    pub moved: u64,
    /// Bytes that the proxy has read from it while it could answer them.
    pub read_bytes: u64,
    /// What it is of the connections that its address may have.
    pub quota: Quota,
    /// What is left to send of the client's PROXY header, and how long that is.
    pub(super) header: Vec<u8>,
    pub header_bytes: u64,
    /// The proxy has announced it as a connection of its own.
    pub(super) is_probe: bool,
    /// The turn in which the end of the peer was reported, and its reset.
    pub(super) end_reported_turn: Option<u64>,
    pub reset_reported: Option<u64>,
    pub idling: Idling,
    /// Requests that were begun on it, and the number of the last one.
    pub requests: u32,
    pub(super) request: Option<usize>,
    /// Its server has a request that it has neither answered nor given up.
    pub(super) busy: bool,
    pub to_proxy: Pipe,
    pub to_peer: Pipe,
    pub(super) id: Option<Id>,
    pub(super) pending: Bits,
    pub(super) pending_at: u64,
    /// The reader has seen that nothing is left: the next arrival is an edge.
    pub(super) armed: bool,
    pub(super) end_reported: bool,
    pub(super) wants_room: bool,
    /// The last write of the proxy had no room for all of its bytes.
    pub(super) was_short: bool,
    /// Bytes that the proxy has written to it. So many were written when the program was to stop,
    /// and when a write first found too little room.
    pub(super) written_bytes: u64,
    pub(super) stopped_after: Option<u64>,
    pub(super) full_after: Option<u64>,
    /// The socket's pending error: returned once, by whichever call comes first.
    pub(super) error: Option<ErrorKind>,
    /// A reset came: shut both ways.
    pub(super) dead: bool,
    pub proxy_open: bool,
    pub proxy_shut: bool,
    pub(super) linger_zero: bool,
    pub peer_open: bool,
    pub(super) peer_shut: bool,
    /// The peer's side was reset.
    pub(super) peer_reset: bool,
    pub(super) wake_at: Option<u64>,
    pub unasked: Unasked,
    /// Bytes before them that the proxy has not read.
    pub(super) asked_left: usize,
}

impl Link {
    /// The end of the peer's output was reported so many turns before this one.
    pub fn end_reported_at_turn(&self, turn: u64, before: u64) -> bool {
        self.end_reported_turn.is_some_and(|reported| reported + before < turn)
    }

    /// A message whose first byte is the one after so many that were written was made when the
    /// program was to stop: what finds no room may have been made before that.
    pub fn is_made_while_stopping(&self, before: u64) -> bool {
        self.stopped_after.is_some_and(|bytes| before >= bytes)
            && self.full_after.is_none_or(|bytes| before < bytes)
    }

    /// The peer has ended its output or is gone.
    pub fn fin_sent(&self) -> bool {
        self.to_proxy.fin || self.dead
    }

    /// The proxy has it open and has read all that came.
    pub fn is_drained(&self) -> bool {
        self.proxy_open && self.to_proxy.data.is_empty() && !self.fin_sent()
    }

    /// Nothing from the proxy is on its way to the peer or waits for room, nor does an end.
    pub fn is_untouched(&self) -> bool {
        let has_more = !self.to_peer.data.is_empty() || self.was_short;
        !has_more && self.proxy_open && !self.proxy_shut
    }

    /// The server has ended or reset the connection, or refused it.
    pub fn server_failed(&self) -> bool {
        self.dead || self.peer_shut || !self.peer_open || self.stage != Stage::Established
    }

    /// The proxy has it open, and this request is the last that was begun on it.
    pub fn has_last(&self, request: usize) -> bool {
        self.proxy_open && self.request == Some(request)
    }

    /// A request is in flight on it, as far as its server can tell.
    pub fn is_busy(&self) -> bool {
        // An answer from before the request may have been taken for its answer: such a server is
        // still busy with a request that is over for the proxy.
        self.busy && self.proxy_open && !self.dead && self.unasked != Unasked::Raced
    }

    /// Bytes were read; `drained`: as far as the proxy can tell these were all.
    pub fn note_read(&mut self, count: usize, drained: bool) {
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

/// Where a client of this link comes from, if that is its host.
pub fn address(host: usize, link: LinkId) -> SocketAddr {
    let port = 40_000 + link as u16 % 20_000;
    SocketAddr::from(([10, 0, (host / 250) as u8, (host % 250) as u8], port))
}

/// What a peer's read brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Data(Vec<u8>),
    Nothing,
    End,
    Reset,
}
