//! One message of a client: where it stands, and what it has been through. HTTP/1.1 has one at a
//! time on a connection.

use super::admission::Line;
use super::awaited::Awaited;
use super::challenges::Ticket;
use crate::base::time::Instant;
use crate::proxy::kinds::PairKey;
use crate::proxy::retry::RetryState;

/// What follows for the client after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    NextRequest,
    /// The connection ends, its request having been read whole.
    Close,
    /// The connection ends while the client may still be sending.
    Linger,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// The PROXY header that is required is not complete. Deadline, fixed: close.
    Preamble,
    /// The connection's TLS handshake is not complete, so that nothing was asked for yet. Deadline,
    /// fixed: head → close.
    Handshake,
    /// No byte of it yet; the connection holds no storage. Deadline: keep-alive → close.
    Idle,
    /// The head is not complete. Deadline, fixed: head → 408.
    Head,
    /// Not all that is [`Request::awaited`] of the body has come: it holds neither a slot nor a server. Deadline: idle → 408;
    /// with a body of unknown length, fixed: it goes on.
    CollectingBody,
    /// The file that is asked for is being read, off the loop. Deadline, fixed → 503.
    AwaitingFile(Ticket),
    /// Waits for one of the N slots. Deadline, fixed: queue → 503.
    WaitingForSlot(Line),
    /// Was just given a slot; the next step makes its pair.
    Admitted,
    /// The pair decides and owns the deadline.
    Paired(PairKey),
    /// The last of a response is in the outbox. Deadline: idle → close.
    FlushingResponse(After),
    /// Our end was sent; reads on so that the client can read the response (RFC 9112 §9.6).
    /// Deadline: a pause of the client, or the end of its time → close.
    Lingering {
        /// The end of its time.
        until: Instant,
    },
}

impl RequestState {
    /// In which line it waits for a slot; none if it does not.
    pub fn line(self) -> Option<Line> {
        match self {
            RequestState::WaitingForSlot(line) => Some(line),
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::Idle
            | RequestState::Head
            | RequestState::CollectingBody
            | RequestState::AwaitingFile(_)
            | RequestState::Admitted
            | RequestState::Paired(_)
            | RequestState::FlushingResponse(_)
            | RequestState::Lingering { .. } => None,
        }
    }
}

/// One message of a client.
#[derive(Debug)]
pub struct Request {
    pub state: RequestState,
    /// When the wait of `state` has lasted too long.
    pub deadline: Instant,
    /// When its head was complete; until it is, when its first byte came.
    pub arrived: Instant,
    /// When it sought a slot: its head was complete, and as much of its body as is collected.
    /// Before the first one: when the handshake last read something; without one, when the
    /// connection was accepted.
    pub ready: Instant,
    /// What of its body is collected first. Beside the state, which is copied and compared often.
    pub awaited: Awaited,
    /// What it has been through, while it waits for room between two attempts.
    pub retry: Option<Box<RetryState>>,
}

impl Request {
    /// The wait for the next one, until `deadline`.
    pub fn awaited(now: Instant, deadline: Instant) -> Request {
        Request {
            state: RequestState::Idle,
            deadline,
            arrived: now,
            ready: now,
            awaited: Awaited::Bytes(0),
            retry: None,
        }
    }

    /// It begins to wait: in this state until `deadline`.
    pub fn wait(&mut self, state: RequestState, deadline: Instant) {
        (self.state, self.deadline) = (state, deadline);
    }
}
