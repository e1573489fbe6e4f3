//! One client connection from accept to close: reads requests one after the other and sends their
//! responses.

use super::reader::{BodyError, Reader, is_timeout};
use super::request::{self, Request, SitePath};
use super::response::{Content, Persistence, Response};
use super::site::{Site, TOO_LARGE};
use super::slots::Slot;
use crate::http::body::Body;
use crate::http::date::imf_fixdate;
use crate::http::framing;
use crate::http::head::{self, FIELDS_MAX, Method, Parse, Refusal, RequestHead, Version};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most bytes of a body without use that are read to keep the connection.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;

/// How long a client may go on sending while it should read the final response, and the longest
/// pause in that (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// Bytes of a file sent with one write.
const PIECE_BYTES: u64 = 64 * 1024;

/// Serves `stream` to its end.
pub fn serve(stream: TcpStream, site: &Site, slot: &Slot) {
    // Both only save time: a connection without them still works.
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(site.timeouts.body));
    let stream = Arc::new(stream);
    let mut connection = Connection {
        stream: &stream,
        reader: Reader::new(&stream),
        site,
        slot,
        head: RequestHead::default(),
        outbox: Vec::new(),
        read_timeout: Duration::ZERO,
    };
    loop {
        match connection.exchange() {
            After::NextRequest => {}
            After::Close => return,
            After::Linger => return connection.linger(),
        }
    }
}

/// What follows an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    NextRequest,
    /// The client has sent everything, or is gone.
    Close,
    /// The client may still be sending: closing now would reset the connection, and the client
    /// could lose the response (RFC 9112 §9.6).
    Linger,
}

/// Why there is no head.
enum NoHead {
    /// The client closed between requests, or the connection failed.
    Closed,
    Refused(Refusal),
}

struct Connection<'a> {
    stream: &'a Arc<TcpStream>,
    reader: Reader<&'a TcpStream>,
    site: &'a Site,
    slot: &'a Slot,
    head: RequestHead,
    outbox: Vec<u8>,
    /// As the socket has it.
    read_timeout: Duration,
}

impl Connection<'_> {
    fn exchange(&mut self) -> After {
        match self.read_head() {
            Ok(()) => {}
            Err(NoHead::Closed) => return After::Close,
            Err(NoHead::Refused(refusal)) => return self.refuse(request::NO_LINE, refusal),
        }
        let line = request::line(self.reader.unread(), &self.head);
        let read = Request::read(self.reader.unread(), &self.head);
        let read = read
            .and_then(|request| Ok((request, framing::request(&self.head, FIELDS_MAX as u32)?)));
        let (request, mut body) = match read {
            Ok(parts) => parts,
            Err(refusal) => return self.refuse(&line, refusal),
        };
        self.reader.consume(self.head.bytes);
        if !body.is_ended() {
            self.wait_at_most(self.site.timeouts.body);
        }
        if Site::is_healthcheck(&request) {
            self.drain(&request, &mut body);
            return self.send(self.site.health(), &request, &body).1;
        }
        let response = self.respond(&request, &mut body).unwrap_or_else(Response::refusal);
        if !self.site.delay.is_zero() {
            thread::sleep(self.site.delay);
        }
        let status = response.status;
        self.site.tally.count(status);
        let (sent, after) = self.send(response, &request, &body);
        self.site.log.write(&line, status, sent);
        after
    }

    /// Reads until a whole head is in the buffer and parsed.
    fn read_head(&mut self) -> Result<(), NoHead> {
        let mut begun = None;
        loop {
            match head::request(self.reader.unread(), &mut self.head) {
                Parse::Complete => return Ok(()),
                Parse::Refused(refusal) => return Err(NoHead::Refused(refusal)),
                Parse::Partial => {}
            }
            let is_idle = self.reader.unread().is_empty();
            if is_idle {
                self.wait_at_most(self.site.timeouts.idle);
            } else {
                let due = *begun.get_or_insert_with(Instant::now) + self.site.timeouts.head;
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(NoHead::Refused(LATE));
                }
                self.wait_at_most(left);
            }
            let _idle = is_idle.then(|| self.slot.idle(self.stream));
            match self.reader.fill() {
                Ok(0) if self.reader.unread().is_empty() => return Err(NoHead::Closed),
                Ok(0) => return Err(NoHead::Refused(TRUNCATED)),
                Ok(_) => {}
                Err(error) if is_timeout(&error) && begun.is_some() => {}
                Err(_) => return Err(NoHead::Closed),
            }
        }
    }

    /// Carries out `request`, its body included.
    fn respond(&mut self, request: &Request, body: &mut Body) -> Result<Response, Refusal> {
        let fails = self.site.draws_failure();
        if fails || request.method != Method::Put {
            self.drain(request, body);
        }
        if fails {
            return Err(Refusal {
                status: 500,
                reason: "this request fails on purpose, see --fail-rate",
            });
        }
        match request.method {
            Method::Get | Method::Head => self.site.read(request, || has_closed(self.stream)),
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

    /// Stores the body of a PUT.
    fn upload(&mut self, request: &Request, body: &mut Body) -> Result<Response, Refusal> {
        let path = SitePath::read(&request.path)?;
        let mut upload = self.site.upload(request, &path, body)?;
        // A client that has begun to send does not wait (RFC 9110 §10.1.1).
        if request.expects_continue && self.reader.unread().is_empty() {
            let sent = (&**self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            sent.map_err(|_| Refusal { status: 400, reason: "the client is gone" })?;
        }
        let mut bytes = 0;
        loop {
            let count = self.reader.content(body).map_err(|error| incomplete(&error))?;
            if count == 0 {
                break;
            }
            bytes += count as u64;
            if bytes > self.site.upload_bytes_max {
                return Err(TOO_LARGE);
            }
            upload.write(&self.reader.unread()[..count])?;
            self.reader.consume(count);
        }
        Ok(self.site.stored(upload.finish()?, &path, bytes))
    }

    /// Reads and drops up to [`DRAIN_BYTES_MAX`] of a body. The connection is closed when more is
    /// left, or when the body is malformed.
    fn drain(&mut self, request: &Request, body: &mut Body) {
        if request.expects_continue && self.reader.unread().is_empty() {
            // The client does not send it: it gets the final response instead of 100.
            return;
        }
        let mut drained = 0;
        while drained < DRAIN_BYTES_MAX {
            match self.reader.content(body) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    self.reader.consume(count);
                    drained += count;
                }
            }
        }
    }

    /// Sends `response`: how many bytes of its content were sent, and what follows.
    fn send(&mut self, response: Response, request: &Request, body: &Body) -> (u64, After) {
        let all_read = body.is_ended() && self.reader.unread().is_empty();
        let persists = request.keeps_alive && body.is_ended();
        let persistence = match request.version {
            _ if !persists => Persistence::Close,
            Version::Http11 => Persistence::KeepAlive,
            Version::Http10 => Persistence::AnnouncedKeepAlive,
        };
        let is_head_only = request.method == Method::Head || response.status == 304;
        let response = if is_head_only { response.without_content() } else { response };
        let mut sent = 0;
        let after = match self.transmit(response, persistence, &mut sent) {
            Err(_) => After::Close,
            Ok(()) if persists => After::NextRequest,
            Ok(()) if all_read && !request.keeps_alive => After::Close,
            Ok(()) => After::Linger,
        };
        (sent, after)
    }

    /// Answers a request that could not be parsed. Its end is not known, so nothing after it is
    /// read as a request.
    fn refuse(&mut self, line: &str, refusal: Refusal) -> After {
        self.site.tally.count(refusal.status);
        let mut sent = 0;
        let result = self.transmit(Response::refusal(refusal), Persistence::Close, &mut sent);
        self.site.log.write(line, refusal.status, sent);
        if result.is_ok() { After::Linger } else { After::Close }
    }

    /// Writes head and content, together where they fit; counts the content in `sent`.
    fn transmit(
        &mut self,
        response: Response,
        persistence: Persistence,
        sent: &mut u64,
    ) -> io::Result<()> {
        let mut stream: &TcpStream = self.stream;
        self.outbox.clear();
        response.write_head(self.site.port, &imf_fixdate(now()), persistence, &mut self.outbox);
        match response.content {
            Content::Omitted(_) => stream.write_all(&self.outbox),
            Content::Bytes(content) => {
                self.outbox.extend_from_slice(&content);
                stream.write_all(&self.outbox)?;
                *sent = content.len() as u64;
                Ok(())
            }
            Content::File { file, bytes } => {
                while *sent < bytes {
                    let wanted = PIECE_BYTES.min(bytes - *sent);
                    let count = (&file).take(wanted).read_to_end(&mut self.outbox)?;
                    if count == 0 {
                        // The file has shrunk: the client sees a truncated body.
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    stream.write_all(&self.outbox)?;
                    self.outbox.clear();
                    *sent += count as u64;
                }
                // The head of an empty file; otherwise nothing.
                stream.write_all(&self.outbox)
            }
        }
    }

    /// Reads and drops until the client closes, so that it can read the final response.
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
            self.wait_at_most(left.min(LINGER_PAUSE));
            self.reader.discard();
            if !matches!(self.reader.fill(), Ok(1..)) {
                return;
            }
        }
    }

    fn wait_at_most(&mut self, timeout: Duration) {
        // A system call only when it changes.
        if self.read_timeout != timeout {
            let _ = self.stream.set_read_timeout(Some(timeout));
            self.read_timeout = timeout;
        }
    }
}

/// Whether the client has closed its side, with nothing left to read.
fn has_closed(stream: &TcpStream) -> bool {
    // No other thread uses the socket while its request is carried out.
    let _ = stream.set_nonblocking(true);
    let closed = match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !is_timeout(&error),
    };
    let _ = stream.set_nonblocking(false);
    closed
}

const LATE: Refusal = Refusal { status: 408, reason: "the request head did not come in time" };
const TRUNCATED: Refusal = Refusal { status: 400, reason: "the request head ended early" };

/// The response to a client whose body does not come to its end.
fn incomplete(error: &BodyError) -> Refusal {
    match error {
        BodyError::Truncated => Refusal { status: 400, reason: "the body ended early" },
        BodyError::Malformed(fault) => framing::request_body(*fault),
        BodyError::Read(error) if is_timeout(error) => {
            Refusal { status: 408, reason: "the body did not come in time" }
        }
        BodyError::Read(_) => Refusal { status: 400, reason: "the body could not be read" },
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
