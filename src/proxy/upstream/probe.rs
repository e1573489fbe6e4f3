//! The connection of one health check, from the connect to the end of the answer. What is sent and
//! which answers are healthy is decided by `health::check`, when it is made by `probing`.

use super::connection;
use crate::base::address::Address;
use crate::base::backend_id::BackendId;
use crate::base::buffer::Pool;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::health::{self, Check, Page, ProbeFault, Settings};
use crate::http::body::Body;
use crate::http::chunked::Piece;
use crate::http::framing;
use crate::http::head::{self, Method, Parse, ResponseHead};
use crate::net::{self, HandshakeError, Socket};
use crate::proxy::conn::handshakes::HandshakeSteps;
use crate::proxy::conn::{Conn, Filled, Flushed, Input};
use crate::wire::proxy_protocol::{self, Named, Version};
use std::io;

/// Bytes of an answer's body that are looked at: a load report is two numbers.
const BODY_BYTES_MAX: usize = 64;

/// A health check's answer has at most so many bytes, heads and framing included, and so many
/// interim responses: reading more would cost more than the answer is worth.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const INTERIMS_MAX: u8 = 16;

/// Reads of a probe before others get their turn.
const READS_MAX: usize = 4;

/// How far a probe's connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeStage {
    Connecting,
    /// Connected, and the TLS handshake is not complete.
    Handshake,
    Established,
}

/// A health check's connection.
#[derive(Debug)]
pub struct Probe<S> {
    pub(super) conn: Conn<S>,
    pub(super) backend: BackendId,
    /// Where it leads to.
    address: Address,
    /// The PROXY header that goes first.
    header: Option<Version>,
    pub(super) stage: ProbeStage,
    /// Why the TLS handshake has failed.
    pub(super) failure: Option<HandshakeError>,
    /// Status and the rest of the body, once the head has come.
    answer: Option<(u16, Body)>,
    pub(super) body: Vec<u8>,
    /// Bytes of the answer that were taken in.
    bytes: usize,
    /// Interim responses before it.
    interims: u8,
    pub(super) started: Instant,
    /// When it last made progress: started, or connected.
    pub(super) moved: Instant,
    pub(super) deadline: Instant,
    pub(super) timer: Timer,
    /// It is in the run queue already.
    pub(super) scheduled: bool,
}

impl<S> Probe<S> {
    /// One that begins to connect now, and has to be done at `deadline`.
    pub fn new(
        conn: Conn<S>,
        backend: BackendId,
        (address, header): (Address, Option<Version>),
        now: Instant,
        deadline: Instant,
    ) -> Probe<S> {
        Probe {
            conn,
            backend,
            address,
            header,
            stage: ProbeStage::Connecting,
            failure: None,
            answer: None,
            body: Vec::new(),
            bytes: 0,
            interims: 0,
            started: now,
            moved: now,
            deadline,
            timer: Timer::new(),
            scheduled: false,
        }
    }

    /// Its connection.
    pub fn conn(&self) -> &Conn<S> {
        &self.conn
    }

    /// What wakes it at its deadline.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// It is in the run queue.
    pub fn is_scheduled(&self) -> bool {
        self.scheduled
    }

    /// When it has taken too long.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Where it leads to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next message of a TLS handshake may have come, which takes a while to work on.
    pub(super) fn waits_with_handshake(&self) -> bool
    where
        S: Socket,
    {
        self.stage == ProbeStage::Handshake && self.conn.is_readable()
    }

    /// When it last made progress: started, or connected.
    pub fn moved(&self) -> Instant {
        self.moved
    }
}

impl<S: Socket> Probe<S> {
    /// Moves what can move; the outcome, once there is one.
    pub(super) fn advance(
        &mut self,
        settings: &Settings,
        host: &str,
        head: &mut ResponseHead,
        (pool, steps): (&mut Pool, &mut HandshakeSteps),
    ) -> Option<Result<Page, ProbeFault>> {
        if self.stage != ProbeStage::Established {
            match self.connect(settings, host, pool, steps) {
                Ok(false) => return None,
                Ok(true) => {}
                Err(error) => {
                    self.failure = HandshakeError::find(&error).cloned();
                    return Some(Err(ProbeFault::Connect(net::connect_fault(&error))));
                }
            }
        }
        if self.conn.flush(pool) == Flushed::Failed {
            return Some(Err(ProbeFault::Broken));
        }
        let dialogue = settings.dialogue.as_ref().filter(|_| settings.check == Check::Tcp);
        if !self.reads(settings) {
            return self.conn.buffers.outbox.is_empty().then_some(Ok(Page::Found));
        }
        for _ in 0..READS_MAX {
            let filled = self.conn.fill(pool);
            let buffers = &self.conn.buffers;
            let outcome = match dialogue {
                Some(dialogue) => {
                    dialogue.judge(buffers.inbox.data(), buffers.input != Input::Open)
                }
                None => self.read(settings, head),
            };
            if let Some(outcome) = outcome {
                return Some(outcome);
            }
            if filled != Filled::Something {
                break;
            }
        }
        None
    }

    /// Whether it reads an answer, or is done once all is sent.
    pub(super) fn reads(&self, settings: &Settings) -> bool {
        let is_done_when_sent = settings.check == Check::Tcp && settings.dialogue.is_none();
        self.stage == ProbeStage::Established && !is_done_when_sent
    }

    /// True once established, the TLS handshake included, what is to be sent then being in the
    /// outbox.
    fn connect(
        &mut self,
        settings: &Settings,
        host: &str,
        pool: &mut Pool,
        steps: &mut HandshakeSteps,
    ) -> io::Result<bool> {
        if self.stage == ProbeStage::Connecting {
            if !self.conn.finish_connect()? {
                return Ok(false);
            }
            if let Some(version) = self.header {
                let header = proxy_protocol::write(version, Named::Proxy);
                self.conn.buffers.outbox.append(header.bytes(), pool);
            }
            self.stage = ProbeStage::Handshake;
            self.conn.begin_handshake();
        }
        if self.conn.is_secured() && !connection::secure(&mut self.conn, pool, steps)? {
            return Ok(false);
        }
        self.stage = ProbeStage::Established;
        let outbox = &mut self.conn.buffers.outbox;
        match (settings.check, &settings.dialogue) {
            (Check::Tcp, Some(dialogue)) => {
                outbox.append(&dialogue.send, pool);
            }
            (Check::Http, _) => {
                let mut request = Vec::new();
                health::check::request(settings, host, &mut request);
                outbox.append(&request, pool);
            }
            (Check::Tcp, None) | (Check::Off, _) => {}
        }
        Ok(true)
    }

    /// Judges what has come so far.
    fn read(
        &mut self,
        settings: &Settings,
        head: &mut ResponseHead,
    ) -> Option<Result<Page, ProbeFault>> {
        let broken = Some(Err(ProbeFault::Broken));
        let buffers = &mut self.conn.buffers;
        while self.answer.is_none() {
            match head::response(buffers.inbox.data(), head) {
                Parse::Partial if buffers.input == Input::Open => return None,
                Parse::Partial | Parse::Refused(_) => return broken,
                Parse::Complete => buffers.inbox.consume(head.bytes),
            }
            self.bytes += head.bytes;
            self.interims += u8::from(head.status < 200);
            if self.interims > INTERIMS_MAX {
                return Some(Err(ProbeFault::TooLong));
            }
            if head.status >= 200 {
                let Ok(body) = framing::response(head, method_of(settings)) else { return broken };
                self.answer = Some((head.status, body));
            }
        }
        let (status, body) = self.answer.as_mut()?;
        while !buffers.inbox.is_empty() && !body.is_ended() {
            let data = buffers.inbox.data();
            let count = match body.next(data) {
                Ok(Piece::Data(count)) => {
                    let wanted = count.min(BODY_BYTES_MAX.saturating_sub(self.body.len()));
                    self.body.extend_from_slice(&data[..wanted]);
                    count
                }
                Ok(Piece::Framing(count) | Piece::Extension(count)) => count,
                Err(_) => return broken,
            };
            buffers.inbox.consume(count);
            self.bytes += count;
            if self.bytes > ANSWER_BYTES_MAX {
                return Some(Err(ProbeFault::TooLong));
            }
        }
        let complete =
            body.is_ended() || (*body == Body::UntilClose && buffers.input == Input::Eof);
        if complete {
            return Some(health::check::judge(*status, settings.expect));
        }
        if buffers.input == Input::Open { None } else { broken }
    }
}

/// The method by which the response is framed: one to `HEAD` has no content.
fn method_of(settings: &Settings) -> Method {
    match settings.method {
        health::Method::Get => Method::Get,
        health::Method::Head => Method::Head,
        health::Method::Options => Method::Options,
    }
}
