//! The PROXY header at the beginning of a client's connection, where one is required: from then on
//! the client is the one that it names.

use super::connection::{Connection, span_of_slow};
use super::request::RequestState;
use crate::base::time::Instant;
use crate::net::{Net, Socket};
use crate::observe::causes::HeaderOutcome;
use crate::proxy::conn::{Filled, Input};
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::Next;
use crate::wire::proxy_protocol::{self, Ends, Fault, Named, Parse};
use std::time::Duration;

/// Longest time for a header: proxies send it with their first packet.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(3);

/// What reading a header came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRead {
    /// Not complete: what the step ended in.
    Incomplete(Next),
    Complete(HeaderOutcome),
    /// The connection ended before its first byte.
    Silent,
    /// It ended within the header.
    Cut,
    Malformed(Fault),
}

impl<S: Socket> Connection<S> {
    /// A header is required, as the first that comes.
    pub fn await_proxy_header<N: Net>(&mut self, cx: &LoopContext<N>) {
        let span = span_of_slow(cx, HEADER_TIME_MAX);
        self.request.wait(RequestState::Preamble, cx.now.instant + span);
    }

    /// The header is complete: the first request may come.
    pub fn await_first_request<N: Net>(&mut self, cx: &LoopContext<N>) {
        self.request.wait(RequestState::Idle, cx.now.instant + cx.config.timeouts.keep_alive);
    }

    /// Whether no byte of a header has come for so long that the place may go to another client.
    pub fn lacks_header_since(&self, now: Instant, span: Duration) -> bool {
        let deadline = self.request.deadline + span;
        self.conn.buffers.inbox.is_empty() && deadline <= now + HEADER_TIME_MAX
    }

    /// Whose connection it is, for the header to a server.
    pub fn ends(&self) -> Named {
        let Some(source) = self.peer() else { return Named::Unknown };
        let destination = self.destination().or_else(|| self.conn.local_address());
        destination
            .map_or(Named::Unknown, |destination| Named::Client(Ends { source, destination }))
    }

    /// Reads until there is a whole header, or nothing more for now.
    pub fn read_proxy_header<N: Net>(&mut self, cx: &mut LoopContext<N>) -> HeaderRead {
        let filled = self.conn.fill(&mut cx.pool);
        let inbox = &mut self.conn.buffers.inbox;
        let is_empty = inbox.is_empty();
        match proxy_protocol::parse(inbox.data()) {
            Parse::Complete { bytes, named } => {
                inbox.consume(bytes);
                HeaderRead::Complete(match named {
                    Named::Client(ends) => {
                        self.become_client(ends);
                        HeaderOutcome::Client
                    }
                    Named::Unknown => HeaderOutcome::Unknown,
                    Named::Proxy => HeaderOutcome::Proxy,
                })
            }
            Parse::Malformed(fault) => HeaderRead::Malformed(fault),
            Parse::Partial => {
                let has_ended = filled == Filled::Failed || self.conn.buffers.input != Input::Open;
                match (has_ended, is_empty, self.conn.is_readable()) {
                    (true, true, _) => HeaderRead::Silent,
                    (true, false, _) => HeaderRead::Cut,
                    (false, _, true) => HeaderRead::Incomplete(Next::Again),
                    (false, _, false) => HeaderRead::Incomplete(Next::Park),
                }
            }
        }
    }
}
