//! Collecting the body of a request that holds neither a slot nor a server yet.

use super::awaited::{Awaited, Collected};
use super::connection::{Connection, span_of_slow};
use super::request::RequestState;
use crate::http::chunked::ChunkedFault;
use crate::net::{Net, Socket};
use crate::proxy::conn::{Filled, Flushed, Input};
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::Next;
use std::time::Duration;

/// Leave to send content (RFC 9110 §10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Longest wait for the end of a body of unknown length: its client may wait for a response before
/// it sends the rest.
const END_WAIT_MAX: Duration = Duration::from_secs(1);

/// What reading a body came to.
#[derive(Clone, Copy, Debug)]
pub enum BodyRead {
    /// Not enough: what the step ended in.
    Incomplete(Next),
    Enough,
    /// The client ended or reset its side: the request stays incomplete.
    Gone,
    Malformed(ChunkedFault),
}

impl<S: Socket> Connection<S> {
    /// Gives the client leave to send its content. The response before was written, so that the
    /// outbox is empty.
    pub fn give_leave<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        self.conn.buffers.outbox.append(CONTINUE, &mut cx.pool);
    }

    /// Waits for what is `awaited` of the body.
    pub fn begin_collecting<N: Net>(&mut self, cx: &LoopContext<N>, awaited: Awaited) {
        let idle = cx.config.timeouts.idle;
        let limit = match awaited {
            Awaited::Bytes(_) => idle,
            Awaited::End { .. } => idle.min(END_WAIT_MAX),
        };
        let deadline = cx.now.instant + span_of_slow(cx, limit);
        self.request.awaited = awaited;
        self.request.wait(RequestState::CollectingBody, deadline);
    }

    /// Reads until there is as much as is awaited, or nothing more for now.
    pub fn read_body<N: Net>(&mut self, cx: &mut LoopContext<N>) -> BodyRead {
        if self.conn.flush(&mut cx.pool) == Flushed::Failed {
            return BodyRead::Gone;
        }
        let filled = self.conn.fill(&mut cx.pool);
        let buffers = &self.conn.buffers;
        // The end may have been read with an earlier request.
        if buffers.input != Input::Open {
            return BodyRead::Gone;
        }
        match filled {
            Filled::Failed => return BodyRead::Gone,
            Filled::Nothing => return BodyRead::Incomplete(Next::Park),
            Filled::Something => {}
        }
        match self.request.awaited.look(buffers.inbox.data()) {
            Err(fault) => BodyRead::Malformed(fault),
            Ok(Collected::Enough) => BodyRead::Enough,
            Ok(Collected::More(awaited)) => {
                self.request.awaited = awaited;
                // The end of the program is not put off by a slow client.
                if matches!(awaited, Awaited::Bytes(_)) && !cx.is_draining() {
                    self.request.deadline = cx.now.instant + cx.config.timeouts.idle;
                }
                // More may be there, or an end that was reported already and is no new edge.
                let again = self.conn.is_readable();
                BodyRead::Incomplete(if again { Next::Again } else { Next::Park })
            }
        }
    }
}
