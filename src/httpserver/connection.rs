//! One client connection from accept to close: reads requests in turn, has them answered, sends.

use super::answer::{Answer, Content, Persistence};
use super::inbox::{Inbox, Incoming, is_timeout};
use super::path::SitePath;
use super::request::{self, Request};
use super::site::Site;
use super::slots::Slot;
use crate::http::body::Body;
use crate::http::date::imf_fixdate;
use crate::http::framing;
use crate::http::head::{self, Method, Parse, Refusal, RequestHead, Version};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most bytes of an unwanted body that are read so that the connection can go on.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;

/// How long the client may take to read a last answer (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a file sent at once.
const PIECE_BYTES: u64 = 64 * 1024;

/// Serves `stream` to its end.
pub fn serve(stream: TcpStream, site: &Site, slot: &Slot) {
    // Without these a client only loses its time; there is nothing else to do about it.
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(site.waits.body));
    let mut connection = Connection {
        stream,
        site,
        slot,
        inbox: Inbox::default(),
        head: RequestHead::default(),
        outbox: Vec::new(),
        read_timeout: Duration::ZERO,
    };
    loop {
        match connection.exchange() {
            After::Request => {}
            After::Close => return,
            After::Linger => return connection.linger(),
        }
    }
}

/// What follows an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Another one.
    Request,
    /// Nothing: the client has sent all it will, or is gone.
    Close,
    /// Nothing, but the client may still be sending: closing now would reset the connection and
    /// could take our answer away from under it (RFC 9112 §9.6).
    Linger,
}

/// What came instead of a head.
enum NoHead {
    /// The client is done or gone.
    Gone,
    Refused(Refusal),
}

struct Connection<'a> {
    stream: TcpStream,
    site: &'a Site,
    slot: &'a Slot,
    inbox: Inbox,
    head: RequestHead,
    outbox: Vec<u8>,
    /// What the socket was told last.
    read_timeout: Duration,
}

impl Connection<'_> {
    fn exchange(&mut self) -> After {
        match self.read_head() {
            Ok(()) => {}
            Err(NoHead::Gone) => return After::Close,
            Err(NoHead::Refused(refusal)) => return self.refuse(request::NO_LINE, refusal),
        }
        let line = request::line(self.inbox.unread(), &self.head);
        let read = Request::read(self.inbox.unread(), &self.head);
        let read = read.and_then(|request| Ok((request, framing::request(&self.head)?)));
        let (request, mut body) = match read {
            Ok(parts) => parts,
            Err(refusal) => return self.refuse(&line, refusal),
        };
        self.inbox.consume(self.head.bytes);
        if !body.is_ended() {
            self.wait_at_most(self.site.waits.body);
        }
        if Site::is_healthcheck(&request) {
            self.drain(&request, &mut body);
            let answer = self.site.health();
            return self.send(answer, &request, &body).1;
        }
        let answer = self.answer(&request, &mut body).unwrap_or_else(Answer::page);
        if !self.site.delay.is_zero() {
            thread::sleep(self.site.delay);
        }
        let status = answer.status;
        self.site.tally.count(status);
        let (sent, after) = self.send(answer, &request, &body);
        self.site.log.write(&line, status, sent);
        after
    }

    /// Reads until a whole head is in the inbox and parsed.
    fn read_head(&mut self) -> Result<(), NoHead> {
        let mut begun = None;
        loop {
            match head::request(self.inbox.unread(), &mut self.head) {
                Parse::Complete => return Ok(()),
                Parse::Refused(refusal) => return Err(NoHead::Refused(refusal)),
                Parse::Partial => {}
            }
            if self.inbox.unread().is_empty() {
                self.wait_at_most(self.site.waits.idle);
            } else {
                let due = *begun.get_or_insert_with(Instant::now) + self.site.waits.head;
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(NoHead::Refused(LATE));
                }
                self.wait_at_most(left);
            }
            match self.inbox.fill(&mut self.stream) {
                Ok(0) if self.inbox.unread().is_empty() => return Err(NoHead::Gone),
                Ok(0) => return Err(NoHead::Refused(CUT)),
                Ok(_) => {}
                Err(error) if is_timeout(&error) && begun.is_some() => {}
                Err(_) => return Err(NoHead::Gone),
            }
        }
    }

    /// Does what `request` asks for, its body included.
    fn answer(&mut self, request: &Request, body: &mut Body) -> Result<Answer, Refusal> {
        let fails = self.site.rolls_failure();
        if fails || request.method != Method::Put {
            self.drain(request, body);
        }
        if fails {
            return Err(Refusal {
                status: 500,
                reason: "this failure was asked for by --fail-rate",
            });
        }
        match request.method {
            Method::Get | Method::Head => self.site.read(request),
            Method::Put => self.upload(request, body),
            Method::Post
            | Method::Delete
            | Method::Connect
            | Method::Options
            | Method::Trace
            | Method::Other => {
                Err(Refusal { status: 501, reason: "only GET, HEAD and PUT are known here" })
            }
        }
    }

    fn upload(&mut self, request: &Request, body: &mut Body) -> Result<Answer, Refusal> {
        let path = SitePath::read(&request.path)?;
        let upload = self.site.upload(request, &path)?;
        // A client that has begun to send does not wait (RFC 9110 §10.1.1).
        if request.expects_continue && self.inbox.unread().is_empty() {
            let sent = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            sent.map_err(|_| Refusal { status: 400, reason: "the client is gone" })?;
        }
        let mut incoming = Incoming { body, inbox: &mut self.inbox, source: &mut self.stream };
        let stored = upload.receive(&mut incoming)?;
        Ok(stored.answer(&path, self.site.port))
    }

    /// Reads a body nobody wants, up to [`DRAIN_BYTES_MAX`]; what is left of it then, or is broken,
    /// ends the connection.
    fn drain(&mut self, request: &Request, body: &mut Body) {
        if request.expects_continue && self.inbox.unread().is_empty() {
            // It will not be sent: the final answer tells the client so.
            return;
        }
        let mut drained = 0;
        let mut incoming = Incoming { body, inbox: &mut self.inbox, source: &mut self.stream };
        while drained < DRAIN_BYTES_MAX {
            match incoming.next() {
                Ok([]) | Err(_) => return,
                Ok(run) => drained += run.len(),
            }
        }
    }

    /// Sends `answer`: the bytes of its content that went out, and how the connection goes on.
    fn send(&mut self, answer: Answer, request: &Request, body: &Body) -> (u64, After) {
        let is_done = body.is_ended() && self.inbox.unread().is_empty();
        let stays = request.keeps_alive && body.is_ended() && !self.slot.is_scarce();
        let persistence = match request.version {
            _ if !stays => Persistence::Ends,
            Version::Http11 => Persistence::Stays,
            Version::Http10 => Persistence::StaysTold,
        };
        let is_told_only = request.method == Method::Head || answer.status == 304;
        let answer = if is_told_only { answer.without_content() } else { answer };
        let mut sent = 0;
        let after = match self.transmit(answer, persistence, &mut sent) {
            Err(_) => After::Close,
            Ok(()) if stays => After::Request,
            Ok(()) if is_done && !request.keeps_alive => After::Close,
            Ok(()) => After::Linger,
        };
        (sent, after)
    }

    /// Answers what is not a request this server understands. Where it ends is not known, so
    /// nothing behind it is read.
    fn refuse(&mut self, line: &str, refusal: Refusal) -> After {
        self.site.tally.count(refusal.status);
        let mut sent = 0;
        let result = self.transmit(Answer::page(refusal), Persistence::Ends, &mut sent);
        self.site.log.write(line, refusal.status, sent);
        if result.is_ok() { After::Linger } else { After::Close }
    }

    /// Writes head and content, together where they fit; counts the content in `sent`.
    fn transmit(
        &mut self,
        answer: Answer,
        persistence: Persistence,
        sent: &mut u64,
    ) -> io::Result<()> {
        self.outbox.clear();
        answer.write_head(self.site.port, &imf_fixdate(now()), persistence, &mut self.outbox);
        match answer.content {
            Content::Told(_) => self.stream.write_all(&self.outbox),
            Content::Bytes(content) => {
                self.outbox.extend_from_slice(&content);
                self.stream.write_all(&self.outbox)?;
                *sent = content.len() as u64;
                Ok(())
            }
            Content::File { file, bytes } => {
                while *sent < bytes {
                    let wanted = PIECE_BYTES.min(bytes - *sent);
                    let count = (&file).take(wanted).read_to_end(&mut self.outbox)?;
                    if count == 0 {
                        // The file has shrunk. Closing is how the client learns of it.
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.stream.write_all(&self.outbox)?;
                    self.outbox.clear();
                    *sent += count as u64;
                }
                // Only an empty file has left the head here.
                self.stream.write_all(&self.outbox)
            }
        }
    }

    /// Reads on until the client closes, so that it can read the last answer.
    fn linger(mut self) {
        let due = Instant::now() + LINGER;
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait_at_most(left);
            self.inbox.consume(usize::MAX);
            if !matches!(self.inbox.fill(&mut self.stream), Ok(1..)) {
                return;
            }
        }
    }

    fn wait_at_most(&mut self, timeout: Duration) {
        // Told only when it changes: a call saved per request.
        if self.read_timeout != timeout {
            let _ = self.stream.set_read_timeout(Some(timeout));
            self.read_timeout = timeout;
        }
    }
}

const LATE: Refusal = Refusal { status: 408, reason: "the request head did not come in time" };
const CUT: Refusal = Refusal { status: 400, reason: "the request head ended early" };

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
