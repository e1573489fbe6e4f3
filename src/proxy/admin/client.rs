//! One connection to the admin listener: reading a request, answering it, writing the rest of the
//! content piece by piece.

use super::report::Report;
use super::response::{self, Content, Framing, Head, Persistence};
use super::route::{self, Page, Route};
use super::view::{Surroundings, View};
use crate::base::buffer::LARGE_BYTES;
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::http::head::{Refusal, Version};
use crate::http::writer::{Overflow, Writer};
use crate::net::process::ProcessFigures;
use crate::net::{Net, Socket};
use crate::proxy::client::acceptor::Accepted;
use crate::proxy::client::connection::{Connection, HeadRead};
use crate::proxy::client::heads::Heads;
use crate::proxy::client::request::{After, RequestState};
use crate::proxy::conn::Flushed;
use crate::proxy::context::LoopContext;
use crate::proxy::exchange::Exchanges;
use crate::proxy::kinds::{AdminKey, Next};
use std::fmt::{Display, Write};

/// Changes of state one connection may go through in one turn.
const STEPS_MAX: usize = 8;

/// A piece of a report is produced while the outbox has no more bytes than this: a response head.
const QUEUED_BYTES_MAX: usize = 1024;

/// Longest content of one line.
const LINE_BYTES_MAX: usize = 512;

/// A connection to the admin listener.
#[derive(Debug)]
pub struct AdminClient<S> {
    pub connection: Connection<S>,
    /// The rest of the content of its response.
    report: Option<(Report, Framing)>,
    /// When the kernel reported it last.
    pub moved: Instant,
}

impl<S: Socket> AdminClient<S> {
    /// A connection that was accepted just now.
    pub fn accepted<N: Net<Socket = S>>(cx: &LoopContext<N>, accepted: Accepted<S>) -> Self {
        let connection = Connection::accepted(cx, accepted);
        AdminClient { connection, report: None, moved: cx.now.instant }
    }
}

/// A connection with all it needs for a step.
pub struct Step<'a, N: Net> {
    pub client: &'a mut AdminClient<N::Socket>,
    pub exchanges: &'a mut Exchanges<N>,
    pub surroundings: &'a Surroundings<'a, N>,
    pub heads: &'a mut Heads,
    pub key: AdminKey,
}

impl<N: Net> Step<'_, N> {
    /// Lets it do what its state allows. One piece of a report is produced in a turn, so that other
    /// clients do not wait for all of it.
    pub fn run(&mut self) -> Next {
        for _ in 0..STEPS_MAX {
            let connection = &mut self.client.connection;
            let cx = &mut self.exchanges.context;
            let next = match connection.request.state {
                RequestState::Idle | RequestState::Head => self.read_head(),
                RequestState::FlushingResponse(after) => self.flush(after),
                RequestState::Lingering { until } => connection.linger(cx, until),
                RequestState::Preamble
                | RequestState::Handshake
                | RequestState::CollectingBody
                | RequestState::AwaitingFile(_)
                | RequestState::WaitingForSlot(_)
                | RequestState::Admitted
                | RequestState::Paired(_) => {
                    panic!("an admin request needs no slot and no handshake")
                }
            };
            let next = if next == Next::Park { self.park() } else { next };
            if next != Next::Again {
                return next;
            }
        }
        Next::Yield
    }

    fn read_head(&mut self) -> Next {
        let cx = &mut self.exchanges.context;
        match self.client.connection.read_head(cx, self.heads, self.key) {
            HeadRead::Incomplete(next) => next,
            HeadRead::Complete => {
                let bytes = self.client.connection.conn.buffers.inbox.data();
                let head = self.heads.recall(self.key, bytes);
                let route = route::route(bytes, head, &cx.config.admin_hosts);
                self.answer(&route)
            }
            HeadRead::Refused(refusal) => self.refuse(refusal),
        }
    }

    /// Answers what is no request, and closes.
    fn refuse(&mut self, refusal: Refusal) -> Next {
        let Refusal { status, reason } = refusal;
        let line = Line { persistence: Persistence::Close, head_only: false };
        self.write_line(status, &reason, line);
        self.reply(After::Linger)
    }

    fn answer(&mut self, route: &Route) -> Next {
        let persistence = match route.keep_alive && !self.exchanges.context.is_draining() {
            false => Persistence::Close,
            true if route.version == Version::Http10 => Persistence::KeepAlive,
            true => Persistence::Default,
        };
        let inbox = &mut self.client.connection.conn.buffers.inbox;
        inbox.consume(route.head_bytes.min(inbox.data().len()));
        let line = Line { persistence, head_only: route.head_only };
        match route.answer {
            Err(Refusal { status, reason }) => self.write_line(status, &reason, line),
            Ok(Page::Alive) => {
                let up = self.exchanges.context.now.instant.since(Instant::START).as_secs();
                self.write_line(200, &format_args!("working, for {up} s now"), line);
            }
            Ok(Page::Ready) => {
                let readiness = self.view(ProcessFigures::default()).readiness();
                let status = if readiness.is_ready() { 200 } else { 503 };
                self.write_line(status, &readiness, line);
            }
            Ok(Page::Report(subject)) => {
                let report = Report::new(subject, self.exchanges.context.net.process());
                return self.begin_report(report, route, persistence);
            }
        }
        self.reply(after(persistence))
    }

    fn view(&self, process: ProcessFigures) -> View<'_, N> {
        View { exchanges: self.exchanges, surroundings: self.surroundings, process }
    }

    /// The response is in the outbox, or the rest of it will be.
    fn reply(&mut self, after: After) -> Next {
        let cx = &self.exchanges.context;
        let deadline = cx.now.instant + cx.config.timeouts.idle;
        let request = &mut self.client.connection.request;
        request.wait(RequestState::FlushingResponse(after), deadline);
        Next::Again
    }

    /// Writes a response of one line.
    fn write_line(&mut self, status: u16, text: &dyn Display, line: Line) {
        let cx = &mut self.exchanges.context;
        let mut content = [0; LINE_BYTES_MAX];
        let mut out = Writer::new(&mut content);
        // A writer never fails: it leaves out what does not fit.
        let _ = writeln!(out, "{text}");
        let length = out.len();
        let Line { persistence, head_only } = line;
        let framing = Framing::Length(length);
        let head = Head { status, date: &cx.date, content: Content::Text, framing, persistence };
        let outbox = &mut self.client.connection.conn.buffers.outbox;
        let mut out = Writer::new(outbox.space(&mut cx.pool));
        response::write(&head, &mut out);
        if !head_only {
            out.append(&content[..length]);
        }
        let written = out.len();
        outbox.filled(written);
    }

    fn begin_report(&mut self, report: Report, route: &Route, persistence: Persistence) -> Next {
        let cx = &mut self.exchanges.context;
        let (framing, persistence) = match route.version {
            Version::Http11 => (Framing::Chunked, persistence),
            Version::Http10 => (Framing::UntilClose, Persistence::Close),
        };
        let head =
            Head { status: 200, date: &cx.date, content: report.content(), framing, persistence };
        let outbox = &mut self.client.connection.conn.buffers.outbox;
        let mut out = Writer::new(outbox.space(&mut cx.pool));
        response::write(&head, &mut out);
        let written = out.len();
        outbox.filled(written);
        if !route.head_only {
            self.client.report = Some((report, framing));
        }
        self.reply(after(persistence))
    }

    /// Produces and writes the rest of a response: one piece, then others get their turn.
    fn flush(&mut self, after: After) -> Next {
        let Some((report, framing)) = self.client.report.take() else {
            return self.client.connection.flush_response(&mut self.exchanges.context, after);
        };
        let outbox = &self.client.connection.conn.buffers.outbox;
        self.client.report = match outbox.data().len() <= QUEUED_BYTES_MAX {
            true => match self.produce(report, framing) {
                Ok(rest) => rest.map(|report| (report, framing)),
                Err(Overflow) => {
                    self.client.connection.conn.reset_on_drop();
                    return Next::Gone;
                }
            },
            false => Some((report, framing)),
        };
        let cx = &mut self.exchanges.context;
        let connection = &mut self.client.connection;
        match connection.conn.flush(&mut cx.pool) {
            Flushed::Failed => return Next::Gone,
            Flushed::Something => {
                connection.request.deadline = cx.now.instant + cx.config.timeouts.idle;
            }
            Flushed::Nothing => {}
        }
        match (connection.conn.buffers.outbox.is_empty(), &self.client.report) {
            (false, _) => Next::Park,
            (true, Some(_)) => Next::Yield,
            (true, None) => Next::Again,
        }
    }

    /// Appends the next piece to the outbox; what is left of the report.
    ///
    /// Errors: a part of it is larger than a buffer.
    fn produce(
        &mut self,
        mut report: Report,
        framing: Framing,
    ) -> Result<Option<Report>, Overflow> {
        let outbox = &mut self.client.connection.conn.buffers.outbox;
        let space = outbox.space(&mut self.exchanges.context.pool);
        let view = View {
            exchanges: self.exchanges,
            surroundings: self.surroundings,
            process: report.process,
        };
        let length = match framing {
            Framing::Chunked => response::write_chunk(space, |out| {
                report.write(&view, out)?;
                Ok(report.is_done())
            })?,
            Framing::UntilClose | Framing::Length(_) => {
                let mut out = Writer::new(space);
                report.write(&view, &mut out)?;
                out.len()
            }
        };
        outbox.filled(length);
        Ok((!report.is_done()).then_some(report))
    }

    /// Nothing moves: waits, or acts when the wait is over.
    fn park(&mut self) -> Next {
        let cx = &mut self.exchanges.context;
        let connection = &mut self.client.connection;
        if connection.request.deadline > cx.now.instant {
            return match connection.park(cx, Id::from(self.key)) {
                Ok(()) => Next::Park,
                Err(_) => Next::Gone,
            };
        }
        match connection.request.state {
            RequestState::Head if connection.has_begun_request() => {
                let reason = "the request did not come in time";
                self.refuse(Refusal { status: 408, reason })
            }
            RequestState::FlushingResponse(_) => {
                // The rest of the response is lost: an orderly end could pass for its end.
                connection.conn.reset_on_drop();
                Next::Gone
            }
            RequestState::Head | RequestState::Idle | RequestState::Lingering { .. } => Next::Gone,
            RequestState::Preamble
            | RequestState::Handshake
            | RequestState::CollectingBody
            | RequestState::AwaitingFile(_)
            | RequestState::WaitingForSlot(_)
            | RequestState::Admitted
            | RequestState::Paired(_) => {
                panic!("an admin request needs no slot and no handshake")
            }
        }
    }
}

/// What a response of one line is like beside its text.
#[derive(Clone, Copy, Debug)]
struct Line {
    persistence: Persistence,
    /// The request was HEAD.
    head_only: bool,
}

fn after(persistence: Persistence) -> After {
    match persistence {
        Persistence::Default | Persistence::KeepAlive => After::NextRequest,
        Persistence::Close => After::Linger,
    }
}

const _: () = assert!(LINE_BYTES_MAX + QUEUED_BYTES_MAX < LARGE_BYTES);
