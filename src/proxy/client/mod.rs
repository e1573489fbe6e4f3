//! A client's connection outside of its exchanges: reading heads, waiting, local answers, leaving.

pub mod acceptor;
pub mod admission;
pub mod answer;
mod local;

use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::Mode;
use crate::http::head::{Parse, Refusal};
use crate::net::{Net, Socket};
use crate::observe::{ProxyError, Record};
use crate::proxy::client::answer::Answer;
use crate::proxy::conn::{Conn, Filled, Flushed, Input};
use crate::proxy::exchange::plan::{self, HashBy, Plan};
use crate::proxy::exchange::{After, LoopContext};
use crate::proxy::upstream::Tried;
use crate::proxy::{ClientKey, Next, PairKey, Proxy};
use std::net::IpAddr;

/// Most bytes read and thrown away from a client that was refused (RFC 9112 §9.6), so that a
/// flood is cut off while an ordinary upload's client still reads its answer.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Where a client's connection stands. Its one deadline belongs to the wait of this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// No byte of a request yet; holds no storage. Deadline: keep-alive → close.
    Idle,
    /// The head is not complete. Deadline, fixed: head → 408.
    Head,
    /// Waits for a slot. Deadline, fixed: queue → 503.
    WaitingForSlot,
    /// Was just given a slot; the next step makes its pair.
    Admitted,
    /// The pair decides and owns the deadline.
    Paired(PairKey),
    /// The last of an answer is in the outbox. Deadline: idle → close.
    FlushingResponse(After),
    /// Our end was sent; reads on so that the client can read the answer (RFC 9112 §9.6).
    /// Deadline, fixed: linger → close.
    Lingering {
        /// Bytes thrown away.
        bytes: usize,
    },
}

/// What a request has been through before it had to wait for room. It goes on from there: a server
/// may have seen it already.
#[derive(Debug)]
pub struct RetryState {
    pub tried: Tried,
    pub record: Record,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Client<S> {
    pub conn: Conn<S>,
    pub state: ClientState,
    /// When the wait of `state` has lasted too long.
    pub deadline: Instant,
    pub timer: Timer,
    /// When the head of its request was complete; until it is, when its first byte came.
    pub arrived: Instant,
    pub ip: IpAddr,
    /// Requests that came whole.
    pub requests: u32,
    /// What its request has been through that now waits for room.
    pub retry_state: Option<Box<RetryState>>,
    /// It is in the run queue already.
    pub scheduled: bool,
}

impl<S> Client<S> {
    /// Whether its connection ends behind the next response, as it has sent as many requests as it
    /// may or everybody's does.
    pub fn is_at_its_last(&self, requests_max: Option<u32>, context: &LoopContext) -> bool {
        requests_max.is_some_and(|most| self.requests >= most) || context.end_connections()
    }
}

impl<N: Net> Proxy<N> {
    /// Lets one client do what its state allows.
    pub(in crate::proxy) fn step_client(&mut self, key: ClientKey) {
        // Each turn of this loop is a change of state; a burst of pipelined requests goes to the
        // back of the queue rather than holding up the others.
        for _ in 0..crate::proxy::STEPS_MAX {
            let Some(client) = self.clients.get(key) else { return };
            let next = match client.state {
                ClientState::Idle | ClientState::Head => self.read_head(key),
                ClientState::WaitingForSlot => self.wait_in_queue(key),
                ClientState::Admitted => self.serve(key),
                ClientState::Paired(pair) => self.step_pair(key, pair),
                ClientState::FlushingResponse(after) => self.flush_response(key, after),
                ClientState::Lingering { bytes } => self.linger(key, bytes),
            };
            match next {
                Next::Again => {}
                Next::Gone => return,
                Next::Yield => break,
                Next::Park => match self.park_client(key) {
                    Next::Again => {}
                    Next::Park | Next::Yield | Next::Gone => return,
                },
            }
        }
        self.wake_later(key.into());
    }

    /// Nothing moves: gives back storage and arms the timer, or acts when the wait is over.
    fn park_client(&mut self, key: ClientKey) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        if client.deadline <= self.now.instant {
            return self.expire_client(key);
        }
        client.conn.settle(&mut self.pool);
        let deadline = client.deadline;
        self.wheel.arm(&mut client.timer, deadline, key.into());
        if !client.conn.registered {
            client.conn.registered = true;
            if self.net.register(&mut client.conn.socket, key.into()).is_err() {
                return self.dismiss(key);
            }
        }
        Next::Park
    }

    /// The wait of the client's state has lasted too long.
    fn expire_client(&mut self, key: ClientKey) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        match client.state {
            ClientState::Head => {
                let reason = "the request did not come in time";
                self.refuse_head(key, Answer::local(408, reason, ProxyError::Request))
            }
            ClientState::WaitingForSlot => {
                // It has left the queue, whatever becomes of it.
                client.state = ClientState::Head;
                self.admission.leave();
                let reason = "all servers are busy; the wait for one was too long";
                let RetryState { record, .. } = self.retry_state(key);
                self.answer(key, None, Answer::local(503, reason, ProxyError::Limit), record)
            }
            ClientState::Paired(pair) => self.expire_pair(key, pair),
            ClientState::FlushingResponse(_) => {
                // The rest of the answer is lost: a plain end could pass for its end.
                client.conn.socket.reset_on_drop();
                self.dismiss(key)
            }
            ClientState::Idle | ClientState::Admitted | ClientState::Lingering { .. } => {
                self.dismiss(key)
            }
        }
    }

    /// Reads until there is a whole head, or nothing more for now.
    fn read_head(&mut self, key: ClientKey) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        if self.config.mode == Mode::Tcp {
            return self.seek_slot(key);
        }
        let filled = client.conn.fill(&mut self.pool);
        let data = client.conn.buffers.inbox.data();
        if filled == Filled::Failed || (data.is_empty() && client.conn.buffers.input != Input::Open)
        {
            return self.dismiss(key);
        }
        if data.is_empty() {
            let leaves = self.context.draining && client.state == ClientState::Idle;
            return if leaves { self.dismiss(key) } else { Next::Park };
        }
        if client.state == ClientState::Idle {
            client.state = ClientState::Head;
            client.arrived = self.now.instant;
            client.deadline = self.now.instant + self.config.timeouts.head;
        } else if filled == Filled::Nothing {
            return Next::Park;
        }
        match self.heads.read_request(key, data) {
            Parse::Complete => self.seek_slot(key),
            Parse::Refused(refusal) => self.refuse_head(key, refusal.into()),
            Parse::Partial if client.conn.buffers.input != Input::Open => self.dismiss(key),
            // More may be there, or an end that was reported already and is no new edge.
            Parse::Partial if client.conn.readable => Next::Again,
            Parse::Partial => Next::Park,
        }
    }

    /// The head is complete: on to a slot, or into the queue.
    fn seek_slot(&mut self, key: ClientKey) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        client.requests = client.requests.saturating_add(1);
        client.arrived = self.now.instant;
        if self.config.mode == Mode::Redirect {
            return self.serve(key);
        }
        self.budget.request();
        if self.admission.admit() {
            client.state = ClientState::Admitted;
            return self.serve(key);
        }
        client.state = ClientState::WaitingForSlot;
        client.deadline = self.now.instant + self.config.timeouts.queue;
        let clients = &self.clients;
        self.admission.enqueue(key, |queued| crate::proxy::is_queued(clients, queued));
        Next::Park
    }

    /// Decides what the request is for, and begins it.
    fn serve(&mut self, key: ClientKey) -> Next {
        match self.plan(key) {
            Ok(plan) if plan.max_forwards_exhausted() => {
                self.give_back_slot(key);
                self.answer_max_forwards(key, &plan)
            }
            Ok(plan) if self.config.mode == Mode::Redirect => self.redirect(key, &plan),
            Ok(plan) => self.begin(key, plan),
            Err(refusal) => {
                self.give_back_slot(key);
                self.refuse(key, refusal.into())
            }
        }
    }

    /// Reads the plan off the head at the start of the inbox. Not inlined, as its many small fields
    /// would be moved one by one.
    #[inline(never)]
    fn plan(&mut self, key: ClientKey) -> Result<Plan, Refusal> {
        const GONE: Refusal = Refusal { status: 400, reason: "the request is gone" };
        let client = self.clients.get(key).ok_or(GONE)?;
        if self.config.mode == Mode::Tcp {
            return Ok(Plan::tunnel(plan::hash_of_address(client.ip)));
        }
        let bytes = client.conn.buffers.inbox.data();
        let complete = self.heads.recall_request(key, bytes);
        assert!(complete, "a head that was accepted is still there");
        let field = self.config.hash_field.as_deref().unwrap_or_default();
        let by = HashBy { strategy: self.config.strategy, field, client: client.ip };
        plan::plan(bytes, &self.heads.request, &by, self.config.trust_forwarded)
    }

    /// In the queue only a fault is listened for; the next step after admission is `serve`.
    fn wait_in_queue(&mut self, key: ClientKey) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        if client.conn.has_failed() { self.dismiss(key) } else { Next::Park }
    }

    /// Writes out the rest of an answer.
    fn flush_response(&mut self, key: ClientKey, after: After) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        match client.conn.flush(&mut self.pool) {
            Flushed::Failed => {
                return self.dismiss(key);
            }
            Flushed::Something => {
                client.deadline = self.now.instant + self.config.timeouts.idle;
            }
            Flushed::Nothing => {}
        }
        if !client.conn.buffers.outbox.is_empty() {
            return Next::Park;
        }
        match after {
            After::NextRequest if !self.context.draining => {
                client.state = ClientState::Idle;
                client.deadline = self.now.instant + self.config.timeouts.keep_alive;
                Next::Again
            }
            After::NextRequest | After::Close => {
                // With unread bytes in the kernel, closing would reset the connection and could
                // take our answer away from the client (RFC 9112 §9.6).
                let conn = &client.conn;
                let unread = conn.readable || !conn.buffers.inbox.is_empty();
                if unread { self.begin_linger(key) } else { self.dismiss(key) }
            }
            After::Linger => self.begin_linger(key),
        }
    }

    /// Removes the client as the outcome of a step.
    pub(in crate::proxy) fn dismiss(&mut self, key: ClientKey) -> Next {
        self.remove_client(key);
        Next::Gone
    }

    fn begin_linger(&mut self, key: ClientKey) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        if client.conn.buffers.input != Input::Open {
            return self.dismiss(key);
        }
        client.conn.finish_output();
        client.state = ClientState::Lingering { bytes: 0 };
        client.deadline = self.now.instant + self.config.timeouts.linger;
        Next::Again
    }

    /// Reads and throws away, until the client has ended too or had its time.
    fn linger(&mut self, key: ClientKey, bytes: usize) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        // Sends our end, which waited for the outbox.
        client.conn.flush(&mut self.pool);
        client.conn.buffers.inbox.clear(&mut self.pool);
        let filled = client.conn.fill(&mut self.pool);
        let bytes = bytes + client.conn.buffers.inbox.data().len();
        let over = client.conn.buffers.input != Input::Open || bytes >= LINGER_BYTES_MAX;
        if over {
            return self.dismiss(key);
        }
        match filled {
            Filled::Nothing | Filled::Failed => Next::Park,
            Filled::Something => {
                client.state = ClientState::Lingering { bytes };
                Next::Again
            }
        }
    }

    /// Takes a client out of its table and everything it holds with it.
    pub(in crate::proxy) fn remove_client(&mut self, key: ClientKey) {
        let Some(mut client) = self.clients.remove(key) else { return };
        match client.state {
            ClientState::WaitingForSlot => self.admission.leave(),
            ClientState::Admitted => self.free_slot(),
            ClientState::Paired(pair) => self.drop_pair(pair),
            ClientState::Idle
            | ClientState::Head
            | ClientState::FlushingResponse(_)
            | ClientState::Lingering { .. } => {}
        }
        self.wheel.cancel(&mut client.timer);
        client.conn.close(&mut self.pool);
        self.acceptor.resume();
    }

    /// Every backend has as many pairs as its own limit allows, or this machine has no descriptor
    /// left: the client waits, first in the queue, for the next pair to end.
    pub(in crate::proxy) fn wait_for_room(
        &mut self,
        key: ClientKey,
        retry_state: RetryState,
    ) -> Next {
        let Some(client) = self.clients.get_mut(key) else { return Next::Gone };
        client.retry_state = Some(Box::new(retry_state));
        client.state = ClientState::WaitingForSlot;
        client.deadline = client.arrived + self.config.timeouts.queue;
        self.admission.step_back(key);
        // Not parked yet: what brought it here may have been the end of another wait, whose timer
        // is spent.
        Next::Again
    }

    /// An admitted client gives its slot back; whoever has waited longest gets it.
    pub(in crate::proxy) fn give_back_slot(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key)
            && client.state == ClientState::Admitted
        {
            client.state = ClientState::Head;
            self.free_slot();
        }
    }

    /// One slot less is used: the first in the queue gets it.
    pub(in crate::proxy) fn free_slot(&mut self) {
        self.admission.release();
        self.admit_next();
    }

    /// The first in the queue gets a free slot, if there are both.
    pub(in crate::proxy) fn admit_next(&mut self) {
        let clients = &self.clients;
        let next = self.admission.next(|queued| crate::proxy::is_queued(clients, queued));
        if let Some(client) = next.and_then(|next| self.clients.get_mut(next)) {
            client.state = ClientState::Admitted;
        }
        if let Some(next) = next {
            self.wake(next.into());
        }
    }
}
