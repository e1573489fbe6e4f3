//! The control socket: connections of `loadbalancer ctl` and of a process that takes over. They have
//! places of their own, so that they are answered when everything else is full or stopping. What a
//! command does is decided above: a step returns the command, and is given the answer.

mod client;

pub use client::{Awaited, Event, Taker};

use crate::base::reason::reason;
use crate::base::table::{Id, Table};
use crate::base::time::Instant;
use crate::net::{self, Net, Ready};
use crate::proxy::conn::Conn;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{ControlKey, ControlKind};
pub use client::ControlClient;
use client::Progress;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Connections at a time. One more takes the place of the one that has waited longest for a line.
const PLACES: usize = 4;

/// Most connections that are accepted in a turn. Those of other users take no place.
const ACCEPTS_MAX: usize = 16;

/// How long accepting pauses when the machine has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// How often connections of other users are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The connections to the control socket.
#[derive(Debug)]
pub struct Control<N: Net> {
    clients: Table<ControlKind, ControlClient<N::Socket>>,
    /// A connection may be waiting.
    is_approached: bool,
    paused_until: Option<Instant>,
    /// When a connection of another user was reported last.
    reported_at: Option<Instant>,
}

/// What an answer says: done, or why not.
pub type Answer = Result<String, String>;

fn bytes_of(answer: &Answer) -> Vec<u8> {
    match answer {
        Ok(text) => format!("ok {text}\n"),
        Err(text) => format!("error {text}\n"),
    }
    .into_bytes()
}

impl<N: Net> Control<N> {
    /// Without a connection.
    pub fn new() -> Control<N> {
        Control {
            clients: Table::new(),
            is_approached: true,
            paused_until: None,
            reported_at: None,
        }
    }

    /// Connections may be waiting.
    pub fn approach(&mut self) {
        self.is_approached = true;
    }

    /// Whether [`Control::accept`] may have something to do.
    #[inline]
    pub fn is_approached(&self) -> bool {
        self.is_approached
    }

    /// When to accept: now, later, or none where nothing waits or no place can be had.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        match self.paused_until.filter(|until| *until > now) {
            _ if !self.is_approached => None,
            Some(until) => Some(until),
            None if self.clients.len() < PLACES || self.longest_waiting().is_some() => Some(now),
            None => None,
        }
    }

    /// Remembers what the kernel reported of a connection, and has it stepped.
    pub fn mark(&mut self, cx: &mut LoopContext<N>, key: ControlKey, ready: &Ready) {
        if let Some(client) = self.clients.get_mut(key) {
            client.conn.mark(ready);
            client.wake(cx, key);
        }
    }

    /// The timer's node has fired.
    pub fn timer_fired(&mut self, cx: &mut LoopContext<N>, key: ControlKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.timer.fired();
            client.wake(cx, key);
        }
    }

    /// Accepts what waits, up to the number of places and [`ACCEPTS_MAX`]; the next turn goes on.
    pub fn accept(&mut self, cx: &mut LoopContext<N>) {
        let now = cx.now.instant;
        for _ in 0..ACCEPTS_MAX {
            if self.due(now).is_none_or(|due| due > now) {
                return;
            }
            if self.clients.len() >= PLACES
                && let Some(key) = self.longest_waiting()
            {
                self.close(cx, key);
            }
            match cx.net.accept_control() {
                Ok((socket, process)) => self.admit(cx, socket, process),
                Err(error) => self.not_accepted(cx, &error),
            }
        }
    }

    fn admit(&mut self, cx: &mut LoopContext<N>, socket: N::Socket, process: Option<u32>) {
        let conn = Conn::established(socket);
        let key = self.clients.insert(ControlClient::accepted(conn, process, cx.now.instant));
        let client = self.clients.get_mut(key).expect("it was inserted just now");
        client.wake(cx, key);
    }

    fn not_accepted(&mut self, cx: &mut LoopContext<N>, error: &io::Error) {
        let now = cx.now.instant;
        match error.kind() {
            ErrorKind::WouldBlock => self.is_approached = false,
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
            ErrorKind::PermissionDenied => {
                if self.reported_at.is_none_or(|at| now.since(at) >= REPORT_INTERVAL) {
                    self.reported_at = Some(now);
                    cx.logs.event(format_args!(
                        "control socket: a connection of another user was refused; only root and \
                         the user that runs this program may use it"
                    ));
                }
            }
            _ => {
                if !net::is_shortage(error) {
                    let reason = reason(error);
                    cx.logs.event(format_args!("control socket: cannot accept ({reason})"));
                }
                self.paused_until = Some(now + PAUSE);
            }
        }
    }

    /// The connection that gives up its place. One that is scheduled may have sent its line.
    fn longest_waiting(&self) -> Option<ControlKey> {
        let waiting = self.clients.iter().filter(|(_, client)| client.may_be_displaced());
        waiting.min_by_key(|(_, client)| client.deadline).map(|(key, _)| key)
    }

    /// Lets one connection do what it can; what that asks for.
    pub fn step(&mut self, cx: &mut LoopContext<N>, key: ControlKey) -> Option<Event> {
        let client = self.clients.get_mut(key)?;
        client.begin_step();
        match client.advance(cx) {
            Progress::Asks(event) => return Some(event),
            Progress::Parks => {
                let id = Id::from(key);
                client.conn.settle(&mut cx.pool);
                cx.wheel.arm(&mut client.timer, client.deadline, id);
                if client.conn.register(&mut cx.net, id).is_err() {
                    self.close(cx, key);
                }
            }
            Progress::Ends => {
                let taker = client.taker();
                self.close(cx, key);
                return taker.map(Event::TakerGone);
            }
        }
        None
    }

    /// The connection gets this answer, and is closed after it.
    pub fn answer(&mut self, cx: &mut LoopContext<N>, key: ControlKey, answer: &Answer) {
        if let Some(client) = self.clients.get_mut(key) {
            client.begin_answer(bytes_of(answer), cx.now.instant);
            client.wake(cx, key);
        }
    }

    /// The process that took over has its answer.
    pub fn confirm(&mut self, cx: &mut LoopContext<N>, key: ControlKey, answer: &Answer) {
        if let Some(client) = self.clients.get_mut(key) {
            client.begin_leave(bytes_of(answer), cx.now.instant);
            client.wake(cx, key);
        }
    }

    /// Whether a process that took over still has its connection.
    pub fn has_leaving(&self) -> bool {
        self.clients().any(ControlClient::is_leaving)
    }

    /// The connection waits for what comes after this turn.
    pub fn wait_for(&mut self, cx: &mut LoopContext<N>, key: ControlKey, awaited: Awaited) {
        if let Some(client) = self.clients.get_mut(key) {
            client.wait_for(awaited, cx.now.instant);
            client.wake(cx, key);
        }
    }

    /// Those that wait for this get their answer.
    pub fn answer_all(&mut self, cx: &mut LoopContext<N>, awaited: Awaited, answer: &Answer) {
        // Asked in every turn, and there is hardly ever a connection.
        if self.clients.is_empty() {
            return;
        }
        for key in self.clients.keys() {
            if self.clients.get(key).is_some_and(|client| client.awaits(awaited)) {
                self.answer(cx, key, answer);
            }
        }
    }

    /// The process that was given the listening sockets and does not use them yet.
    pub fn taker(&self) -> Option<Taker> {
        self.clients().find_map(ControlClient::taker)
    }

    /// Gives the listening sockets to the process at the other end, with a message beside them.
    ///
    /// Errors: the system's; nothing was given.
    pub fn hand_over(
        &mut self,
        cx: &mut LoopContext<N>,
        key: ControlKey,
        listeners: &[&N::Listener],
        message: Vec<u8>,
    ) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(key) else { return Ok(()) };
        let sent = cx.net.hand_over(client.conn.socket(), listeners, &message)?;
        client.begin_handover(message, sent, cx.now.instant);
        client.wake(cx, key);
        Ok(())
    }

    fn close(&mut self, cx: &mut LoopContext<N>, key: ControlKey) {
        if let Some(client) = self.clients.remove(key) {
            client.close(cx);
        }
    }

    /// Its connections, to look at.
    pub fn clients(&self) -> impl Iterator<Item = &ControlClient<N::Socket>> {
        self.clients.iter().map(|(_, client)| client)
    }
}
