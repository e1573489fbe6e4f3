//! One connection in TLS, over a socket that is handed in with each call: records in and out, the
//! handshake, and how each side ends. It keeps no more than a partial record, what is decrypted and
//! not taken, and what the socket had no room for; everything else passes through the scratch
//! memory that all sessions share.

use super::certificates::{Asked, Certificates, Place};
use super::engine::{Engine, Out, Queue, Stop};
use super::peer::{handshake_error, identity};
use super::scratch::{Kept, RECORD_BYTES_MAX, Scratch, keep_rest};
use super::stage::{Goodbye, Stage};
use super::unsent::Unsent;
use crate::base::buffer::LARGE_BYTES;
use crate::base::connect_fault::HandshakeFault;
use crate::net::{Handshake, HandshakeError, Secured};
use rustls::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes read beyond the room there is for content: what records add to some of it.
const FRAMING_BYTES: usize = 512;

/// Bytes in a row that may bring no content, beyond a whole record. The library bounds empty records
/// and key updates; this is for what it does not know.
const EMPTY_BYTES_MAX: usize = 128 * 1024;

/// What records begin with (RFC 8446 §5.1).
const RECORDS: RangeInclusive<u8> = 20..=23;

/// Bytes of a handshake that are kept of a client that is not known, until its message is whole: a
/// hello has 2 KiB at most in practice. More only for certificates of clients.
const HELLO_BYTES_MAX: usize = 20 * 1024;

/// Bytes of a peer whose handshake has failed that are read and discarded: more than a flight of a
/// client and the requests behind it.
const DISCARDED_BYTES_MAX: usize = 256 * 1024;

/// One connection in TLS.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    kept: Kept,
    stage: Stage,
    goodbye: Goodbye,
    /// The last read left nothing behind.
    drained: bool,
    /// Of a record or message of which more must come.
    received: Vec<u8>,
    /// Decrypted and not taken.
    held: Queue,
    /// Ciphertext that the socket had no room for.
    unsent: Unsent,
    /// Bytes that came before the handshake was complete.
    handshake_bytes: u64,
    /// The certificates of the time when it began; none on the side that connects.
    certificates: Option<Arc<Certificates>>,
    /// The name that the client has asked for, if it has.
    asked: Option<Box<str>>,
    /// The certificate that was shown.
    place: Place,
    /// It is for that name: the usual `Host` needs no search.
    covers_asked: bool,
    /// A hello has come whole.
    has_hello: bool,
    /// Whose certificate the peer has shown, if it has.
    subject: Option<Box<str>>,
}

/// What a read from the socket brought.
struct Received {
    /// Bytes that came.
    bytes: usize,
    /// Bytes of content in the caller's memory.
    taken: usize,
    /// The socket has no more for now.
    was_short: bool,
}

impl Session {
    /// A session that begins now. `received` was read from the socket already.
    pub fn begin(
        engine: Engine,
        certificates: Option<Arc<Certificates>>,
        scratch: &Rc<Scratch>,
        received: &[u8],
    ) -> Session {
        let mut session = Session {
            engine,
            kept: Kept::nothing(scratch),
            stage: Stage::New,
            goodbye: Goodbye::Due,
            drained: false,
            received: received.to_vec(),
            held: Queue::default(),
            unsent: Unsent::default(),
            handshake_bytes: received.len() as u64,
            certificates,
            asked: None,
            place: Place::default(),
            covers_asked: false,
            has_hello: false,
            subject: None,
        };
        session.count_kept(());
        session
    }

    /// What is kept after a step, of which this is the outcome, is in the account from here on.
    #[inline]
    fn count_kept<T>(&mut self, outcome: T) -> T {
        let queues = self.held.capacity() + self.unsent.capacity();
        self.kept.set(self.received.capacity() + queues);
        outcome
    }

    /// Goes on with the handshake as far as the socket allows.
    ///
    /// Errors: the peer's or ours, in words; the peer was sent an alert.
    pub fn handshake(&mut self, wire: &mut (impl Read + Write)) -> io::Result<Handshake> {
        let outcome = self.shake_hands(wire);
        self.count_kept(outcome)
    }

    fn shake_hands(&mut self, wire: &mut (impl Read + Write)) -> io::Result<Handshake> {
        if self.stage == Stage::New && self.received.is_empty() {
            // A client speaks first.
            self.run(&mut [], &mut [])?;
        } else if self.stage == Stage::New {
            self.begin_with_received()?;
        }
        loop {
            match self.unsent.flush(wire) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Handshake::WantsWrite);
                }
                outcome => outcome?,
            }
            match self.stage {
                Stage::New | Stage::Handshake => {}
                Stage::Open | Stage::PeerClosed => return Ok(Handshake::Complete),
                Stage::Plain => return Ok(Handshake::NotTls),
                Stage::Refused { .. } | Stage::Failed => {
                    return Err(ErrorKind::InvalidData.into());
                }
            }
            match self.receive(wire, &mut []) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Handshake::WantsRead);
                }
                outcome => outcome?,
            };
        }
    }

    fn begin_with_received(&mut self) -> io::Result<()> {
        let mut received = std::mem::take(&mut self.received);
        let used = self.first_run(&mut received, &mut [])?.0;
        received.drain(..used);
        self.received = received;
        Ok(())
    }

    /// Reads content into `into`, which is not empty; 0 once the peer has said that it sends no
    /// more. After a failed handshake what comes is no content and only to be discarded.
    ///
    /// Errors: `UnexpectedEof` if the socket ended before that, as something may be missing.
    pub fn read(&mut self, wire: &mut (impl Read + Write), into: &mut [u8]) -> io::Result<usize> {
        let outcome = self.read_content(wire, into);
        self.count_kept(outcome)
    }

    fn read_content(
        &mut self,
        wire: &mut (impl Read + Write),
        into: &mut [u8],
    ) -> io::Result<usize> {
        self.drained = false;
        if !self.held.is_empty() {
            return Ok(self.held.take(into));
        }
        let mut empty = 0;
        while empty < EMPTY_BYTES_MAX {
            match self.stage {
                Stage::Open => {}
                Stage::PeerClosed | Stage::Refused { left: 0 } => return Ok(0),
                Stage::Plain => {
                    let count = wire.read(into)?;
                    self.drained = count < into.len();
                    return Ok(count);
                }
                Stage::Refused { left } => {
                    let count = wire.read(into)?;
                    self.drained = count < into.len() && count < left;
                    self.stage = Stage::Refused { left: left.saturating_sub(count) };
                    return Ok(count);
                }
                Stage::New | Stage::Handshake | Stage::Failed => {
                    return Err(ErrorKind::InvalidData.into());
                }
            }
            let received = self.receive(wire, into)?;
            if received.taken > 0 {
                let is_open = self.stage == Stage::Open;
                self.drained = received.was_short && self.held.is_empty() && is_open;
                return Ok(received.taken);
            }
            empty += received.bytes;
        }
        Err(io::Error::new(ErrorKind::InvalidData, "records without content"))
    }

    /// After a read that filled less than it could: nothing was left behind, so that later bytes
    /// are reported.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// One read from the socket, and what follows from it.
    fn receive(&mut self, wire: &mut (impl Read + Write), into: &mut [u8]) -> io::Result<Received> {
        let scratch = Rc::clone(self.kept.scratch());
        let mut scratch = scratch.borrow();
        let kept = self.received.len();
        let limit = match self.stage.is_handshake() && !self.expects_certificate() {
            true => HELLO_BYTES_MAX,
            false => scratch.len(),
        };
        let room = limit.saturating_sub(kept);
        if room == 0 || (limit == scratch.len() && room < RECORD_BYTES_MAX) {
            self.fail();
            return Err(io::Error::new(ErrorKind::InvalidData, "a handshake message is too long"));
        }
        let most = room.min(into.len().max(RECORD_BYTES_MAX) + FRAMING_BYTES);
        let count = match wire.read(&mut scratch[kept..kept + most])? {
            0 if self.stage == Stage::New && self.engine.is_server() => {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            0 if self.stage.is_handshake() && !self.engine.is_server() => {
                return Err(HandshakeError::of(HandshakeFault::Closed).into());
            }
            0 => {
                let text = "the connection ended without close_notify";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
            }
            count => count,
        };
        if self.stage.is_handshake() {
            self.handshake_bytes += count as u64;
        }
        scratch[..kept].copy_from_slice(&self.received);
        let data = &mut scratch[..kept + count];
        let outcome = match self.stage {
            Stage::New => self.first_run(data, into),
            _ => self.run(data, into),
        };
        if outcome.is_err() {
            // The alert that says why.
            let _ = self.unsent.flush(wire);
        }
        let (used, taken) = outcome?;
        keep_rest(&mut self.received, &data[used..]);
        // What a read gives rise to goes out; what finds no room goes before the next write.
        let _ = self.unsent.flush(wire);
        Ok(Received { bytes: count, taken, was_short: count < most })
    }

    /// The peer's certificate is what comes next: of a client once its hello was answered, or of a
    /// server.
    fn expects_certificate(&self) -> bool {
        let Some(certificates) = &self.certificates else { return true };
        certificates.client_authorities.is_some() && self.has_hello
    }

    /// [`Session::run`] for the peer's first bytes.
    fn first_run(&mut self, data: &mut [u8], into: &mut [u8]) -> io::Result<(usize, usize)> {
        // The methods of HTTP begin with a letter, the records of TLS never.
        if self.engine.is_server() && data.first().is_some_and(u8::is_ascii_uppercase) {
            self.stage = Stage::Plain;
            self.held.push(data);
            return Ok((data.len(), 0));
        }
        if !self.engine.is_server() && !data.first().is_some_and(|first| RECORDS.contains(first)) {
            self.fail();
            return Err(HandshakeError::of(HandshakeFault::NotTls).into());
        }
        self.stage = Stage::Handshake;
        self.run(data, into)
    }

    /// Lets the library work on `data`: how much of it is used up, and how much content is in
    /// `into`. What does not fit there is held.
    fn run(&mut self, data: &mut [u8], into: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut used, mut taken) = (0, 0);
        let mut only_content = true;
        let was_handshaking = self.stage == Stage::Handshake;
        let mut has_closed = false;
        let mut failure: Option<Error> = None;
        // After a failure only for the alert, as the data would fail again.
        while failure.is_none() || self.engine.has_output() {
            let mut out = Out {
                into: &mut into[taken..],
                taken: 0,
                held: &mut self.held,
                unsent: self.unsent.messages(),
            };
            let (discard, stop) = self.engine.process(&mut data[used..], &mut out);
            // After every call, also one that fails: the next hello may be another session's.
            if was_handshaking
                && let Some(certificates) = &self.certificates
                && let Some(asked) = certificates.take_asked()
            {
                let Asked { name, place } = asked;
                let covers = |name: &str| certificates.covers(place, Some(name), name);
                self.covers_asked = name.as_deref().is_some_and(covers);
                (self.asked, self.place, self.has_hello) = (name, place, true);
            }
            taken += out.taken;
            used += discard;
            match stop {
                // The usual read: another call would find nothing.
                Stop::Content
                    if only_content && used == data.len() && !self.engine.has_output() =>
                {
                    break;
                }
                Stop::Content => {}
                Stop::Message => only_content = false,
                Stop::PeerClosed if self.engine.is_handshaking() => {
                    failure = Some(Error::General("it was closed during the handshake".to_owned()));
                }
                Stop::PeerClosed => has_closed = true,
                Stop::Waits => break,
                Stop::Failed(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.fail();
            return Err(handshake_error(&error).into());
        }
        if was_handshaking && !self.engine.is_handshaking() {
            self.complete()?;
        }
        // It may have come with the end of the handshake.
        if has_closed {
            self.stage = Stage::PeerClosed;
        }
        Ok((used, taken))
    }

    /// The handshake is over: whose certificate it was.
    fn complete(&mut self) -> io::Result<()> {
        // Of a server the names count, which were verified.
        let shown = self.engine.peer_certificate().filter(|_| self.engine.is_server());
        match shown.map(identity).transpose() {
            Ok(subject) => {
                (self.stage, self.subject) = (Stage::Open, subject);
                Ok(())
            }
            Err(text) => {
                self.fail();
                Err(io::Error::new(ErrorKind::InvalidData, text))
            }
        }
    }

    fn fail(&mut self) {
        self.stage = match self.stage.is_handshake() && self.engine.is_server() {
            true => Stage::Refused { left: DISCARDED_BYTES_MAX },
            false => Stage::Failed,
        };
        self.goodbye = Goodbye::Withheld;
    }

    /// Writes some of `from`. As long as ciphertext of it is left here, at least its last byte does
    /// not count as written, and the next call must begin with the bytes that do not.
    pub fn write(&mut self, wire: &mut (impl Read + Write), from: &[u8]) -> io::Result<usize> {
        let outcome = self.write_content(wire, from);
        self.count_kept(outcome)
    }

    fn write_content(&mut self, wire: &mut (impl Read + Write), from: &[u8]) -> io::Result<usize> {
        if self.stage == Stage::Plain {
            return wire.write(from);
        }
        let mut done = 0;
        if !self.unsent.is_empty() {
            done = self.unsent.write(wire)?;
            if !self.unsent.is_empty() {
                return written(done);
            }
        }
        assert!(done <= from.len(), "what is written was given before");
        let rest = &from[done..];
        let rest = &rest[..rest.len().min(LARGE_BYTES)];
        if rest.is_empty() {
            return written(done);
        }
        match self.write_new(wire, rest) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => written(done),
            outcome => outcome.map(|count| done + count),
        }
    }

    fn write_new(&mut self, wire: &mut (impl Read + Write), from: &[u8]) -> io::Result<usize> {
        let scratch = Rc::clone(self.kept.scratch());
        let mut scratch = scratch.borrow();
        let count = self.engine.encrypt(&mut self.received, from, &mut scratch[..])?;
        let records = &scratch[..count];
        let (sent, outcome) = match wire.write(records) {
            Ok(sent) if sent == count => return Ok(from.len()),
            Ok(sent) => (sent, Ok(())),
            Err(error) => (0, Err(error)),
        };
        let counted = self.unsent.keep(records, sent, from.len());
        outcome?;
        written(counted)
    }

    /// Says that nothing follows, unless that would not be true. After that the socket's own end may
    /// go.
    ///
    /// Errors: `WouldBlock` until it is out: to be called again once the socket has room.
    pub fn end_output(&mut self, wire: &mut impl Write) -> io::Result<()> {
        if self.stage.is_open() && self.goodbye == Goodbye::Due && !self.unsent.has_content() {
            let mut alert = [0; 64];
            let count = self.engine.close_notify(&mut self.received, &mut alert)?;
            self.unsent.messages().push(&alert[..count]);
            self.goodbye = Goodbye::Said;
        }
        let outcome = self.unsent.flush(wire);
        self.count_kept(outcome)
    }

    /// The connection is about to close: the peer learns whether it has got all there was.
    pub fn close(&mut self, wire: &mut impl Write) {
        // Without room for it, the peer takes the end for a broken connection, which is safe.
        let _ = self.end_output(wire);
    }

    /// The peer must not take the end for an orderly one.
    pub fn withhold_goodbye(&mut self) {
        if self.goodbye == Goodbye::Due {
            self.goodbye = Goodbye::Withheld;
        }
    }

    /// Bytes that came before the handshake was complete.
    pub fn handshake_bytes(&self) -> u64 {
        self.handshake_bytes
    }

    /// What the handshake came to; none before its end.
    pub fn secured(&self) -> Option<Secured<'_>> {
        if !self.stage.is_open() {
            return None;
        }
        let (server_name, subject) = (self.asked.as_deref(), self.subject.as_deref());
        Some(Secured { server_name, subject, ..self.engine.secured()? })
    }

    /// The handshake is complete, and we may send.
    pub fn is_open(&self) -> bool {
        self.stage.is_open()
    }

    /// Whose certificate the peer has shown, if it has.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether the certificate that was shown to the client is for `host`, a name or an address.
    pub fn covers(&self, host: &[u8]) -> bool {
        let asked = self.asked.as_deref();
        if self.covers_asked && asked.is_some_and(|asked| asked.as_bytes() == host) {
            return true;
        }
        let Some(certificates) = &self.certificates else { return true };
        str::from_utf8(host).is_ok_and(|host| certificates.covers(self.place, asked, host))
    }
}

/// The outcome of a write: without a byte, there is no room.
fn written(count: usize) -> io::Result<usize> {
    if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
}
