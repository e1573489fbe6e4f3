//! The kinds of things that have an id in the loop, their keys, and what a step of one ends in.

use crate::base::backend_id::BackendId;
use crate::base::table::{Key, Kind};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $(, $key:ident)? = $number:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $kind;
        impl Kind for $kind {
            const NUMBER: u8 = $number;
        }
        $(
            #[allow(missing_docs)]
            pub type $key = Key<$kind>;
        )?
    )*
        /// All numbers: with one twice, a timer of one kind would wake an entry of another.
        const NUMBERS: &[u8] = &[$($number),*];
    };
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
    /// The timer of a backend: its next probe, or the end of its silence threshold. Backends are
    /// numbered, not in a table.
    BackendKind = 5;
    /// The timer of the next look at the list file; there is one.
    ListKind = 6;
    /// Listening sockets for clients.
    ListenerKind = 7;
    /// The admin listener.
    AdminListenerKind = 9;
    /// The timer of the next look at slow clients; there is one.
    PaceKind = 10;
    /// The timer for the service manager; there is one.
    ManagerKind = 11;
    /// The timer of the next trim; there is one.
    TrimKind = 12;
    /// The timer of the next lookup of names; there is one.
    NamesKind = 14;
}

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
    /// What it would do is a step of a handshake: it comes after everything else, in this turn if
    /// there is room.
    Defer,
    /// The connection is over: it leaves its table.
    Gone,
}
