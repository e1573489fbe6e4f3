//! One connection to the control socket: a line, and the answer to it.

use crate::base::buffer::LARGE_BYTES;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::net::{Net, Socket};
use crate::proxy::conn::{Conn, Filled, Flushed, Input};
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::ControlKey;
use crate::wire::command::{Command, CommandError};
use crate::wire::line::{LINE_BYTES_MAX, Line, line};
use std::time::Duration;

/// How long the line may take to come whole, and its answer to be read.
const LIMIT: Duration = Duration::from_secs(5);

/// How long the answer to a reload may take: name servers may be slow.
const WORK_LIMIT: Duration = Duration::from_secs(10);

/// What a connection waits for that is done between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Reload,
    Reopen,
}

/// A process that takes over; its number, if the system says.
pub type Taker = Option<u32>;

/// What a step asks for.
#[derive(Debug)]
pub enum Event {
    /// A line has come.
    Line(Result<Command, CommandError>),
    /// The process that was given the listening sockets uses them.
    TakerReady(Taker),
    /// It has gone away before that, or said something else.
    TakerGone(Taker),
}

/// What a step came to.
#[derive(Debug)]
pub enum Progress {
    Asks(Event),
    Parks,
    Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The line is awaited.
    Line,
    /// The line has come; its answer is being made.
    Answered,
    /// Its answer comes after the turn.
    Waiting(Awaited),
    /// The answer is written.
    Writing(After),
    /// It was given the listening sockets: its next line is awaited.
    Taking,
    /// It knows that it has them alone: its end is awaited.
    Leaving,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Close,
    Take,
    Leave,
}

/// A connection to the control socket.
#[derive(Debug)]
pub struct ControlClient<S> {
    pub conn: Conn<S>,
    pub timer: Timer,
    pub deadline: Instant,
    /// The process at the other end, if the system says.
    process: Taker,
    state: State,
    is_scheduled: bool,
    answer: Vec<u8>,
    /// How much of the answer is in the outbox or was sent.
    sent: usize,
}

impl<S: Socket> ControlClient<S> {
    /// One that was accepted just now.
    pub fn accepted(conn: Conn<S>, process: Option<u32>, now: Instant) -> ControlClient<S> {
        ControlClient {
            conn,
            timer: Timer::new(),
            deadline: now + LIMIT,
            process,
            state: State::Line,
            is_scheduled: false,
            answer: Vec::new(),
            sent: 0,
        }
    }

    /// Has it stepped in this turn.
    pub fn wake<N: Net>(&mut self, cx: &mut LoopContext<N>, key: ControlKey) {
        cx.schedule.this_turn(key.into(), &mut self.is_scheduled);
    }

    /// It is taken from the run queue and stepped now.
    pub fn begin_step(&mut self) {
        self.is_scheduled = false;
    }

    /// Whether it may be closed for another one.
    pub fn may_be_displaced(&self) -> bool {
        self.state == State::Line && !self.is_scheduled
    }

    /// Whether it waits for this.
    pub fn awaits(&self, awaited: Awaited) -> bool {
        self.state == State::Waiting(awaited)
    }

    /// The process at the other end, if it was given the listening sockets.
    pub fn taker(&self) -> Option<Taker> {
        match self.state {
            State::Writing(After::Take) | State::Taking => Some(self.process),
            State::Line
            | State::Answered
            | State::Waiting(_)
            | State::Writing(After::Close | After::Leave)
            | State::Leaving => None,
        }
    }

    /// Whether it has taken over, and may still have to say so elsewhere.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state, State::Writing(After::Leave) | State::Leaving)
    }

    /// It is answered later.
    pub fn wait_for(&mut self, awaited: Awaited, now: Instant) {
        self.state = State::Waiting(awaited);
        self.deadline = now + WORK_LIMIT;
    }

    /// It is answered.
    pub fn begin_answer(&mut self, answer: Vec<u8>, now: Instant) {
        self.state = State::Writing(After::Close);
        (self.answer, self.sent) = (answer, 0);
        self.deadline = now + LIMIT;
    }

    /// The answer that it has the listening sockets alone.
    pub fn begin_leave(&mut self, answer: Vec<u8>, now: Instant) {
        self.begin_answer(answer, now);
        self.state = State::Writing(After::Leave);
    }

    /// It was sent the listening sockets and the first `sent` bytes of the message beside them.
    pub fn begin_handover(&mut self, message: Vec<u8>, sent: usize, now: Instant) {
        self.begin_answer(message, now);
        self.state = State::Writing(After::Take);
        self.sent = sent.min(self.answer.len());
    }

    /// Moves what can move.
    pub fn advance<N: Net<Socket = S>>(&mut self, cx: &mut LoopContext<N>) -> Progress {
        match self.state {
            State::Line | State::Taking => self.read(cx),
            State::Writing(after) => self.write(cx, after),
            State::Leaving => self.await_end(cx),
            State::Answered => Progress::Ends,
            State::Waiting(_) if self.deadline > cx.now.instant => Progress::Parks,
            State::Waiting(_) => {
                let text = "error it is not done after 10 s and goes on: see the event lines\n";
                self.begin_answer(text.as_bytes().to_vec(), cx.now.instant);
                self.write(cx, After::Close)
            }
        }
    }

    fn read<N: Net<Socket = S>>(&mut self, cx: &mut LoopContext<N>) -> Progress {
        loop {
            let filled = self.conn.fill(&mut cx.pool);
            let problem = match line(self.conn.buffers.inbox.data()) {
                Line::Whole(text, _) => {
                    let command = Command::read(text);
                    self.conn.buffers.inbox.clear(&mut cx.pool);
                    return Progress::Asks(self.event(command));
                }
                Line::TooLong => format!("error the line has more than {LINE_BYTES_MAX} bytes\n"),
                Line::NotText => "error the line is no text\n".to_owned(),
                Line::Partial if filled == Filled::Failed => return Progress::Ends,
                Line::Partial if self.conn.buffers.input != Input::Open => return Progress::Ends,
                Line::Partial if self.conn.is_readable() => continue,
                Line::Partial if self.deadline > cx.now.instant => return Progress::Parks,
                Line::Partial => format!("error no line within {} s\n", LIMIT.as_secs()),
            };
            self.conn.buffers.inbox.clear(&mut cx.pool);
            if self.state == State::Taking {
                return Progress::Ends;
            }
            self.begin_answer(problem.into_bytes(), cx.now.instant);
            return self.write(cx, After::Close);
        }
    }

    fn await_end<N: Net<Socket = S>>(&mut self, cx: &mut LoopContext<N>) -> Progress {
        loop {
            let filled = self.conn.fill(&mut cx.pool);
            self.conn.buffers.inbox.clear(&mut cx.pool);
            let is_over = filled == Filled::Failed || self.deadline <= cx.now.instant;
            if is_over || self.conn.buffers.input != Input::Open {
                return Progress::Ends;
            }
            if !self.conn.is_readable() {
                return Progress::Parks;
            }
        }
    }

    fn event(&mut self, command: Result<Command, CommandError>) -> Event {
        match (std::mem::replace(&mut self.state, State::Answered), command) {
            (State::Taking, Ok(Command::Ready)) => Event::TakerReady(self.process),
            (State::Taking, _) => Event::TakerGone(self.process),
            (_, command) => Event::Line(command),
        }
    }

    fn write<N: Net<Socket = S>>(&mut self, cx: &mut LoopContext<N>, after: After) -> Progress {
        loop {
            if self.conn.buffers.outbox.is_empty() {
                let rest = &self.answer[self.sent..];
                match after {
                    After::Close if rest.is_empty() => return Progress::Ends,
                    After::Take if rest.is_empty() => {
                        self.state = State::Taking;
                        return self.read(cx);
                    }
                    After::Leave if rest.is_empty() => {
                        self.state = State::Leaving;
                        return self.await_end(cx);
                    }
                    After::Close | After::Take | After::Leave => {}
                }
                let piece = &rest[..rest.len().min(LARGE_BYTES)];
                self.conn.buffers.outbox.append(piece, &mut cx.pool);
                self.sent += piece.len();
            }
            match self.conn.flush(&mut cx.pool) {
                Flushed::Failed => return Progress::Ends,
                Flushed::Something | Flushed::Nothing => {}
            }
            if !self.conn.buffers.outbox.is_empty() {
                let is_over = self.deadline <= cx.now.instant;
                return if is_over { Progress::Ends } else { Progress::Parks };
            }
        }
    }

    /// Gives back what it holds and closes the socket.
    pub fn close<N: Net>(mut self, cx: &mut LoopContext<N>) {
        cx.wheel.cancel(&mut self.timer);
        self.conn.close(&mut cx.pool);
    }
}
