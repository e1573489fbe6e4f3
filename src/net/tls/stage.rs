//! How far a session is, and how it is to end.

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No byte of the peer's has come.
    New,
    Handshake,
    Open,
    /// The peer has said that it sends no more.
    PeerClosed,
    /// The peer does not speak TLS: its bytes pass as they are.
    Plain,
    /// The handshake of a client has failed. What still comes is of no use, but unread it would have
    /// the system reset the connection, and the peer lose the alert.
    Refused {
        /// Bytes that may still come.
        left: usize,
    },
    Failed,
}

impl Stage {
    /// The handshake is not complete, and has not failed.
    pub fn is_handshake(self) -> bool {
        match self {
            Stage::New | Stage::Handshake => true,
            Stage::Open
            | Stage::PeerClosed
            | Stage::Plain
            | Stage::Refused { .. }
            | Stage::Failed => false,
        }
    }

    /// The handshake is complete, and we may send.
    pub fn is_open(self) -> bool {
        match self {
            Stage::Open | Stage::PeerClosed => true,
            Stage::New
            | Stage::Handshake
            | Stage::Plain
            | Stage::Refused { .. }
            | Stage::Failed => false,
        }
    }
}

/// What of our end is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The peer learns that nothing follows.
    Due,
    Said,
    /// The peer must see that something is missing.
    Withheld,
}
