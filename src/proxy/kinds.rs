//! The kinds of things that have an id in the loop, their keys, and what a step of one ends in.

use crate::base::backend_id::BackendId;
use crate::base::table::{Key, Kind};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $key:ident = $number:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $kind;
        impl Kind for $kind {
            const NUMBER: u8 = $number;
        }
        #[allow(missing_docs)]
        pub type $key = Key<$kind>;
    )*};
}

kinds! {
    /// Accepted connections.
    ClientKind, ClientKey = 1;
    /// Connections to backends.
    UpstreamKind, UpstreamKey = 2;
    /// Clients joined to upstreams.
    PairKind, PairKey = 3;
    /// Health checks under way.
    ProbeKind, ProbeKey = 4;
    /// Connections to the admin listener.
    AdminKind, AdminKey = 8;
    /// Connections to the control socket.
    ControlKind, ControlKey = 13;
}

/// The timer of a backend: its next probe, or the end of its silence threshold. Backends are
/// numbered, not in a table.
#[derive(Debug)]
pub struct BackendKind;

impl Kind for BackendKind {
    const NUMBER: u8 = 5;
}

/// The timer of the next look at the list file; there is one.
#[derive(Debug)]
pub struct ListKind;

impl Kind for ListKind {
    const NUMBER: u8 = 6;
}

/// Listening sockets for clients.
#[derive(Debug)]
pub struct ListenerKind;

impl Kind for ListenerKind {
    const NUMBER: u8 = 7;
}

/// The admin listener.
#[derive(Debug)]
pub struct AdminListenerKind;

impl Kind for AdminListenerKind {
    const NUMBER: u8 = 9;
}

/// The timer of the next look at slow clients; there is one.
#[derive(Debug)]
pub struct PaceKind;

impl Kind for PaceKind {
    const NUMBER: u8 = 10;
}

/// The timer for the service manager; there is one.
#[derive(Debug)]
pub struct ManagerKind;

impl Kind for ManagerKind {
    const NUMBER: u8 = 11;
}

/// The timer of the next trim; there is one.
#[derive(Debug)]
pub struct TrimKind;

impl Kind for TrimKind {
    const NUMBER: u8 = 12;
}

/// All numbers: with one twice, a timer of one kind would wake an entry of another.
const NUMBERS: [u8; 13] = [
    ClientKind::NUMBER,
    UpstreamKind::NUMBER,
    PairKind::NUMBER,
    ProbeKind::NUMBER,
    BackendKind::NUMBER,
    ListKind::NUMBER,
    ListenerKind::NUMBER,
    AdminKind::NUMBER,
    AdminListenerKind::NUMBER,
    ManagerKind::NUMBER,
    PaceKind::NUMBER,
    TrimKind::NUMBER,
    ControlKind::NUMBER,
];

const _: () = {
    let (mut seen, mut at) = (0u16, 0);
    while at < NUMBERS.len() {
        assert!(seen & 1 << NUMBERS[at] == 0, "each kind has a number of its own");
        seen |= 1 << NUMBERS[at];
        at += 1;
    }
};

/// An idle upstream that belongs to one client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnUpstream {
    pub upstream: UpstreamKey,
    pub backend: BackendId,
}

/// What a step ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The state changed: step once more.
    Again,
    /// Nothing can move: wait.
    Park,
    /// More could move, but others are waiting.
    Yield,
    /// The connection is over: it leaves its table.
    Gone,
}
