//! A client's connection outside of its exchanges: reading heads, waiting, writing out the rest of
//! a response, leaving.

use super::acceptor::Accepted;
use super::admission::Line;
use super::heads::Heads;
use super::listener::{ListenerSettings, Security, Service};
use super::per_client::Quota;
use super::plan::{self, Intent, PlanContext};
use super::request::{After, Request, RequestState};
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::Config;
use crate::http::head::{self, Parse, Refusal};
use crate::http::target;
use crate::net::{Net, Ready, Socket};
use crate::observe::Record;
use crate::observe::access::RequestNotes;
use crate::observe::secured::SecuredNotes;
use crate::proxy::conn::{Conn, Filled, Flushed, Input, Output};
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{ClientKey, Next, OwnUpstream};
use crate::wire::proxy_protocol::Ends;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest pause of a client whose bytes are read and discarded after the final response. In all it
/// has `--linger-timeout`: by time and not by bytes, as an upload that was refused may be large, and
/// closing before its end could take the response away from the client (RFC 9112 §9.6).
const LINGER_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long the bytes of a client whose handshake has failed are read and discarded: it has shown
/// nothing, and an alert is short.
const REFUSED_LINGER_MAX: Duration = Duration::from_secs(2);

/// How long the first request of a new connection, the rest of a head or a body, or a client that
/// still sends after its final response, may take once the program is to end: what has begun may be
/// answered, but a slow client must not hold the end up.
const DRAIN_SLOW_MAX: Duration = Duration::from_secs(2);

/// What reading a head came to.
#[derive(Clone, Copy, Debug)]
pub enum HeadRead {
    /// Not complete: what the step ended in.
    Incomplete(Next),
    Complete,
    Refused(Refusal),
}

/// A client's socket, and the request on it.
#[derive(Debug)]
pub struct Connection<S> {
    pub conn: Conn<S>,
    pub request: Request,
    pub info: ClientInfo,
    timer: Timer,
    scheduled: bool,
    /// Where the client connected to, if a PROXY header says so.
    destination: Option<Box<SocketAddr>>,
    /// The idle upstream on which it has authenticated: its requests use no other while that is
    /// open, and no other client's use this one. It is closed with this connection.
    own_upstream: Option<OwnUpstream>,
    /// Whether it counts for `--max-connections-per-client`.
    pub quota: Quota,
}

/// What is known of a client's connection beside its bytes.
#[derive(Debug)]
pub struct ClientInfo {
    /// None of a unix socket's client.
    peer: Option<SocketAddr>,
    settings: ListenerSettings,
    /// Requests whose heads came whole.
    requests: u32,
}

impl ClientInfo {
    /// The client's address; none of a unix socket's client.
    pub fn peer(&self) -> Option<&SocketAddr> {
        self.peer.as_ref()
    }

    /// The client's address without the port; none of a unix socket's client.
    pub fn ip(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip())
    }

    /// The listener's settings.
    pub fn settings(&self) -> ListenerSettings {
        self.settings
    }

    /// It has carried as many requests as it may.
    pub fn is_used_up(&self, config: &Config) -> bool {
        config.keep_alive_requests.is_some_and(|most| self.requests >= most)
    }
}

impl<S: Socket> Connection<S> {
    /// A connection that was accepted just now.
    pub fn accepted<N: Net<Socket = S>>(cx: &LoopContext<N>, accepted: Accepted<S>) -> Self {
        let now = cx.now.instant;
        Connection {
            conn: Conn::established(accepted.socket),
            request: Request::awaited(now, now + cx.config.timeouts.keep_alive),
            info: ClientInfo { peer: accepted.peer, settings: accepted.settings, requests: 0 },
            timer: Timer::new(),
            scheduled: false,
            destination: None,
            own_upstream: None,
            quota: Quota::Free,
        }
    }

    /// A PROXY header says whose connection it is.
    pub fn become_client(&mut self, ends: Ends) {
        (self.info.peer, self.destination) = (Some(ends.source), Some(Box::new(ends.destination)));
    }

    /// The client's address; none of a unix socket's client.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.info.peer
    }

    /// Where the client connected to, if a PROXY header says so.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.destination.as_deref().copied()
    }

    /// The client's address without the port; none of a unix socket's client.
    pub fn ip(&self) -> Option<IpAddr> {
        self.info.ip()
    }

    /// The listener's settings.
    pub fn settings(&self) -> ListenerSettings {
        self.info.settings
    }

    /// The idle upstream that belongs to it.
    pub fn own_upstream(&self) -> Option<OwnUpstream> {
        self.own_upstream
    }

    /// The upstream of its request is idle again: if `own`, it is kept for the next one.
    pub fn keep_upstream(&mut self, own: Option<OwnUpstream>) {
        self.own_upstream = own;
    }

    /// What wakes it at its request's deadline.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// It is in the run queue.
    pub fn is_scheduled(&self) -> bool {
        self.scheduled
    }

    /// Whether it closes after the next response: it has carried as many requests as it may, or all
    /// connections end.
    pub fn is_at_its_last<N: Net>(&self, cx: &LoopContext<N>) -> bool {
        self.info.is_used_up(&cx.config) || cx.ends_connections()
    }

    /// Remembers what the kernel reported, and has it stepped in this turn.
    pub fn mark<N: Net>(&mut self, cx: &mut LoopContext<N>, key: impl Into<Id>, ready: &Ready) {
        self.conn.mark(ready);
        self.wake(cx, key);
    }

    /// The timer's node has fired.
    pub fn timer_fired<N: Net>(&mut self, cx: &mut LoopContext<N>, key: impl Into<Id>) {
        self.timer.fired();
        self.wake(cx, key);
    }

    /// Has it stepped in this turn.
    pub fn wake<N: Net>(&mut self, cx: &mut LoopContext<N>, key: impl Into<Id>) {
        cx.schedule.this_turn(key.into(), &mut self.scheduled);
    }

    /// Has it stepped in the next turn.
    pub fn wake_later<N: Net>(&mut self, cx: &mut LoopContext<N>, key: impl Into<Id>) {
        cx.schedule.next_turn(key.into(), &mut self.scheduled);
    }

    /// Has it stepped once everything else is done, as what it does next takes long.
    pub fn step_last<N: Net>(&mut self, cx: &mut LoopContext<N>, key: impl Into<Id>) {
        cx.schedule.handshake(key.into(), &mut self.scheduled);
    }

    /// It is taken from the run queue and stepped now.
    pub fn begin_step(&mut self) {
        self.scheduled = false;
    }

    /// Nothing moves: gives back storage, arms the timer, and has the kernel report from now on.
    ///
    /// Errors: the system's, such as no room for another watch.
    pub fn park<N: Net<Socket = S>>(
        &mut self,
        cx: &mut LoopContext<N>,
        key: impl Into<Id>,
    ) -> io::Result<()> {
        let id = key.into();
        self.conn.settle(&mut cx.pool);
        cx.wheel.arm(&mut self.timer, self.request.deadline, id);
        self.conn.register(&mut cx.net, id)
    }

    /// The program is to end: a request that is not complete, and lingering, have less time left.
    pub fn begin_drain<N: Net>(&mut self, cx: &LoopContext<N>) {
        let latest = cx.now.instant + DRAIN_SLOW_MAX;
        match self.request.state {
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::Head
            | RequestState::CollectingBody => {
                self.request.deadline = self.request.deadline.min(latest);
            }
            RequestState::Lingering { until } => {
                self.linger_until(cx.now.instant, until.min(latest));
            }
            // A file is not slow because of its client.
            RequestState::Idle
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::Paired(_)
            | RequestState::FlushingResponse(_) => {}
        }
    }

    /// From here on it carries TLS; what has come belongs to the handshake.
    ///
    /// Errors: this program has no certificates.
    pub fn begin_handshake<N: Net<Socket = S>>(
        &mut self,
        cx: &mut LoopContext<N>,
    ) -> io::Result<()> {
        let deadline = cx.now.instant + span_of_slow(cx, cx.config.timeouts.head);
        self.request.wait(RequestState::Handshake, deadline);
        self.request.ready = cx.now.instant;
        self.conn.secure(&mut cx.net, &mut cx.pool)
    }

    /// Reads until there is a whole head, or nothing more for now.
    pub fn read_head<N: Net>(
        &mut self,
        cx: &mut LoopContext<N>,
        heads: &mut Heads,
        key: impl Into<Id>,
    ) -> HeadRead {
        let filled = self.conn.fill(&mut cx.pool);
        let is_idle = self.request.state == RequestState::Idle;
        if is_idle {
            let inbox = &mut self.conn.buffers.inbox;
            if inbox.data().first() == Some(&b'\r') {
                inbox.consume(head::empty_lines(inbox.data()));
            }
        }
        let buffers = &self.conn.buffers;
        let data = buffers.inbox.data();
        if filled == Filled::Failed || (data.is_empty() && buffers.input != Input::Open) {
            return HeadRead::Incomplete(Next::Gone);
        }
        if data.is_empty() {
            let is_readable = self.conn.is_readable();
            // The admin listener is there until the end.
            let may_leave =
                cx.is_draining() && is_idle && self.info.settings.service != Service::Admin;
            if may_leave {
                let until = self.idle_until();
                if until <= cx.now.instant {
                    return HeadRead::Incomplete(Next::Gone);
                }
                self.request.deadline = self.request.deadline.min(until);
            }
            return HeadRead::Incomplete(if is_readable { Next::Again } else { Next::Park });
        }
        if is_idle {
            let now = cx.now.instant;
            self.request.arrived = now;
            let span = span_of_slow(cx, cx.config.timeouts.head);
            self.request.wait(RequestState::Head, now + span);
        } else if filled == Filled::Nothing {
            return HeadRead::Incomplete(Next::Park);
        }
        match heads.parse(key, data) {
            Parse::Complete => {
                self.info.requests = self.info.requests.saturating_add(1);
                self.request.arrived = cx.now.instant;
                HeadRead::Complete
            }
            Parse::Refused(refusal) => HeadRead::Refused(refusal),
            Parse::Partial if buffers.input != Input::Open => HeadRead::Incomplete(Next::Gone),
            // More may be there, or an end that was reported already and is no new edge.
            Parse::Partial if self.conn.is_readable() => HeadRead::Incomplete(Next::Again),
            Parse::Partial => HeadRead::Incomplete(Next::Park),
        }
    }

    /// Until when it stays without a request once the program is to end. On a new connection the
    /// first one may be on its way: to close it then would lose a request that no other process
    /// was offered.
    fn idle_until(&self) -> Instant {
        match self.info.requests {
            0 => self.request.ready + DRAIN_SLOW_MAX,
            _ => self.request.ready,
        }
    }

    /// A request has come in the clear where the listener speaks TLS.
    #[inline]
    pub fn speaks_plainly_where_tls_is(&self) -> bool {
        self.info.settings.security == Security::Tls && !self.conn.is_encrypted()
    }

    /// Whether a byte of a request line has come.
    pub fn has_begun_request(&self) -> bool {
        self.conn.buffers.inbox.data().iter().any(|byte| !b"\r\n".contains(byte))
    }

    /// What the client asks for. The head of a request is at the start of the inbox. Not inlined,
    /// as its many small fields would be moved one by one.
    #[inline(never)]
    pub fn intent<N: Net>(
        &self,
        cx: &LoopContext<N>,
        heads: &mut Heads,
        key: ClientKey,
    ) -> Result<Intent, Refusal> {
        if self.info.settings.service == Service::Tcp {
            return Ok(Intent::Session { hash: plan::hash_of_address(self.info.peer()) });
        }
        let bytes = self.conn.buffers.inbox.data();
        let head = heads.recall(key, bytes);
        let context = PlanContext {
            config: &cx.config,
            client: self.info.peer(),
            scheme: self.info.settings.scheme,
            edits_fields: cx.edits.up.is_some(),
        };
        let intent = plan::intent(bytes, head, &context);
        if self.info.settings.security == Security::Tls
            && let Ok(Intent::Message(plan)) = &intent
        {
            self.check_host(plan.target.authority.map(|span| span.of(bytes)))?;
        }
        intent
    }

    /// A client that has verified one server must not reach another behind it by mistake
    /// (RFC 9110 §7.4).
    #[inline(never)]
    fn check_host(&self, authority: Option<&[u8]>) -> Result<(), Refusal> {
        match authority.map(target::host_of) {
            Some(host) if !host.is_empty() && !self.conn.covers(host) => Err(Refusal {
                status: 421,
                reason: "the certificate of this connection is not for the Host that was asked for",
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The beginnings of a record of its request, with what the logs need of the bytes at the start
    /// of the inbox: its head, or the first line of what is none.
    #[inline]
    pub fn record<N: Net>(
        &self,
        cx: &mut LoopContext<N>,
        heads: &mut Heads,
        key: ClientKey,
    ) -> Record {
        let now = cx.now.instant;
        let is_logged = cx.config.verbose || cx.config.access_log.is_some();
        let notes = is_logged.then(|| self.notes(cx, heads, key));
        let Request { arrived, ready, .. } = self.request;
        Record { arrived, ready, admitted: now, begun: now, notes, ..Record::default() }
    }

    #[inline(never)]
    fn notes<N: Net>(
        &self,
        cx: &mut LoopContext<N>,
        heads: &mut Heads,
        key: ClientKey,
    ) -> Box<RequestNotes> {
        let mut notes = cx.logs.begin_notes();
        self.note(heads, key, &mut notes);
        notes.secured = self.conn.secured().map(|secured| SecuredNotes {
            version: secured.version,
            cipher: secured.cipher,
            is_resumed: secured.is_resumed,
            server_name: secured.server_name.unwrap_or_default().to_owned(),
            subject: secured.subject.unwrap_or_default().to_owned(),
        });
        notes
    }

    fn note(&self, heads: &mut Heads, key: ClientKey, notes: &mut RequestNotes) {
        if self.info.settings.service == Service::Tcp {
            return notes.line(b"TCP");
        }
        let bytes = self.conn.buffers.inbox.data();
        match heads.find(key, bytes) {
            Some(head) => notes.head(bytes, head),
            None => {
                let line = bytes.split(|byte| b"\r\n".contains(byte)).find(|line| !line.is_empty());
                notes.line(line.unwrap_or_default());
            }
        }
    }

    /// The line in which its request waits in place of this one, from what was reported of the
    /// client.
    pub fn line(&self, line: Line) -> Line {
        if self.conn.has_reported_eof() { line.half_closed() } else { line }
    }

    /// Writes out the rest of a response.
    pub fn flush_response<N: Net>(&mut self, cx: &mut LoopContext<N>, after: After) -> Next {
        let now = cx.now.instant;
        match self.conn.flush(&mut cx.pool) {
            Flushed::Failed => return Next::Gone,
            Flushed::Something => self.request.deadline = now + cx.config.timeouts.idle,
            Flushed::Nothing => {}
        }
        if !self.conn.buffers.outbox.is_empty() {
            return Next::Park;
        }
        match after {
            After::NextRequest if !cx.is_draining() => {
                self.request.wait(RequestState::Idle, now + cx.config.timeouts.keep_alive);
                let buffers = &self.conn.buffers;
                let has_more = self.conn.is_readable()
                    || !buffers.inbox.is_empty()
                    || buffers.input != Input::Open;
                if has_more { Next::Again } else { Next::Park }
            }
            After::NextRequest | After::Close => {
                // With unread bytes in the kernel, closing would reset the connection and could
                // take our response away from the client (RFC 9112 §9.6).
                let unread = self.conn.is_readable() || !self.conn.buffers.inbox.is_empty();
                if unread { self.begin_linger(cx) } else { self.end_output(cx) }
            }
            After::Linger => self.begin_linger(cx),
        }
    }

    /// All of the response is out. In TLS the client must be able to tell that, by a record for which
    /// there may be no room yet.
    fn end_output<N: Net>(&mut self, cx: &mut LoopContext<N>) -> Next {
        if !self.conn.is_encrypted() {
            return Next::Gone;
        }
        if self.conn.buffers.output == Output::Open {
            self.request.deadline = cx.now.instant + cx.config.timeouts.idle;
        }
        self.conn.finish_output();
        self.conn.flush(&mut cx.pool);
        if self.conn.buffers.output.is_over() { Next::Gone } else { Next::Park }
    }

    fn begin_linger<N: Net>(&mut self, cx: &mut LoopContext<N>) -> Next {
        if self.conn.buffers.input != Input::Open {
            return self.end_output(cx);
        }
        self.conn.finish_output();
        let until = cx.now.instant + span_of_slow(cx, cx.config.timeouts.linger);
        self.linger_until(cx.now.instant, until);
        Next::Again
    }

    /// The client's handshake has failed: our end goes after the alert, and what it still sends is
    /// discarded for a while.
    pub fn linger_after_refusal<N: Net>(&mut self, cx: &LoopContext<N>) -> Next {
        self.conn.finish_output();
        self.conn.read_again();
        let span = span_of_slow(cx, cx.config.timeouts.linger.min(REFUSED_LINGER_MAX));
        self.linger_until(cx.now.instant, cx.now.instant + span);
        Next::Again
    }

    fn linger_until(&mut self, now: Instant, until: Instant) {
        let deadline = until.min(now + LINGER_PAUSE_MAX);
        self.request.wait(RequestState::Lingering { until }, deadline);
    }

    /// Reads and discards, until the client has ended too or its time is over.
    #[inline(never)]
    pub fn linger<N: Net>(&mut self, cx: &mut LoopContext<N>, until: Instant) -> Next {
        // Sends our end, which waited for the outbox.
        self.conn.flush(&mut cx.pool);
        self.conn.buffers.inbox.clear(&mut cx.pool);
        let filled = self.conn.fill(&mut cx.pool);
        if self.conn.buffers.input != Input::Open || until <= cx.now.instant {
            return Next::Gone;
        }
        match filled {
            Filled::Nothing | Filled::Failed => Next::Park,
            Filled::Something => {
                self.linger_until(cx.now.instant, until);
                Next::Again
            }
        }
    }

    /// Gives back what it holds. The drop, which comes next, closes the socket.
    pub fn end<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        cx.wheel.cancel(&mut self.timer);
        self.conn.free_storage(&mut cx.pool);
    }
}

/// The time a slow client has for what takes `span` at most, as long as the program is not to end.
pub(super) fn span_of_slow<N: Net>(cx: &LoopContext<N>, span: Duration) -> Duration {
    if cx.is_draining() { span.min(DRAIN_SLOW_MAX) } else { span }
}
