//! Bytes → request or response head, as offsets into the bytes (RFC 9112 §2 to §5). Strict where
//! leniency would let two readers see two messages; decides nothing about the body (see `framing`).

use super::field::{Coding, ConnectionOptions, Expect, LISTED_MAX, Length, Name};
use std::mem::MaybeUninit;

/// Field lines one head may have at most; one more is answered 431 (RFC 6585 §5).
pub const FIELDS_MAX: usize = 200;

/// Longest head in bytes, request or response, the empty line included. Offsets are 16-bit.
pub const HEAD_BYTES_MAX: usize = 24 * 1024;

/// Longest request target in bytes; a longer one is answered 414 (RFC 9110 §15.5.15).
pub const TARGET_BYTES_MAX: usize = 16 * 1024;

const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize && TARGET_BYTES_MAX < HEAD_BYTES_MAX);

/// A range of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The range `start..end`; the caller has checked both against [`HEAD_BYTES_MAX`].
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u16, end: end as u16 }
    }

    /// The bytes it covers; empty when `bytes` is not the head it was made for.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start()..self.end()).unwrap_or_default()
    }

    /// Offset of the first byte.
    pub fn start(self) -> usize {
        usize::from(self.start)
    }

    /// Offset behind the last byte.
    pub fn end(self) -> usize {
        usize::from(self.end)
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        self.end().saturating_sub(self.start())
    }

    /// No byte at all.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldLine {
    /// What the proxy knows it as.
    pub name: Name,
    /// The name as it was sent.
    pub name_text: Span,
    /// The value without surrounding white space.
    pub value: Span,
}

/// The field lines of a head and what was learnt while walking them once. They stand side by side:
/// each ends where the next one begins.
#[derive(Debug)]
pub struct Fields {
    lines: [FieldLine; FIELDS_MAX],
    count: usize,
    /// Where the empty line begins that ends the head.
    end: u16,
    /// Members of `Connection`.
    pub connection: ConnectionOptions,
    /// `Content-Length`.
    pub length: Length,
    /// `Transfer-Encoding`.
    pub coding: Coding,
    /// Value of the first `Host` line.
    pub host: Option<Span>,
    /// Number of `Host` lines.
    pub hosts: u8,
    /// Members of `Expect`.
    pub expect: Expect,
    /// Value of the first `Upgrade` line.
    pub upgrade: Option<Span>,
    /// The length has zeros before it, which some read as octal.
    pub is_padded: bool,
    /// A `Date` line is there.
    pub has_date: bool,
    /// One of `X-Forwarded-*` is there.
    pub has_forwarded: bool,
}

impl Default for Fields {
    fn default() -> Fields {
        Fields {
            lines: [FieldLine::default(); FIELDS_MAX],
            count: 0,
            end: 0,
            connection: ConnectionOptions::default(),
            length: Length::Absent,
            coding: Coding::Absent,
            host: None,
            hosts: 0,
            expect: Expect::Absent,
            upgrade: None,
            is_padded: false,
            has_date: false,
            has_forwarded: false,
        }
    }
}

impl Fields {
    /// The field lines in the order they came.
    pub fn lines(&self) -> &[FieldLine] {
        &self.lines[..self.count]
    }

    /// All lines, each with its CRLF.
    pub fn whole(&self) -> Span {
        let start = self.lines().first().map_or(self.end, |line| line.name_text.start);
        Span { start, end: self.end }
    }

    /// The first line known as `name`.
    pub fn find(&self, name: Name) -> Option<&FieldLine> {
        self.lines().iter().find(|line| line.name == name)
    }

    /// The first line whose name is `name` in any case, for names outside [`Name`].
    pub fn find_text(&self, bytes: &[u8], name: &[u8]) -> Option<&FieldLine> {
        self.lines().iter().find(|line| line.name_text.of(bytes).eq_ignore_ascii_case(name))
    }

    fn clear(&mut self) {
        self.count = 0;
        self.connection = ConnectionOptions::default();
        self.length = Length::Absent;
        self.coding = Coding::Absent;
        self.host = None;
        self.hosts = 0;
        self.expect = Expect::Absent;
        self.upgrade = None;
        self.is_padded = false;
        self.has_date = false;
        self.has_forwarded = false;
    }

    /// Takes over what `httparse` found. `end` is the head's length. False when a line does not
    /// end in CRLF: a bare LF is a line end to some readers and not to others (RFC 9112 §2.2).
    fn adopt(&mut self, bytes: &[u8], headers: &[httparse::Header<'_>], end: usize) -> bool {
        self.clear();
        self.end = (end - 2) as u16;
        let mut lines_end_well = ends_in_crlf(bytes, end - 2) && ends_in_crlf(bytes, end);
        let offset = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        for (at, header) in headers.iter().enumerate() {
            let start = offset(header.name.as_bytes());
            lines_end_well &= ends_in_crlf(bytes, start);
            let name_text = Span::new(start, start + header.name.len());
            // An empty value need not lie among the bytes.
            let value_start = if header.value.is_empty() { 0 } else { offset(header.value) };
            let value = Span::new(value_start, value_start + header.value.len());
            let name = Name::of(header.name.as_bytes());
            self.lines[at] = FieldLine { name, name_text, value };
            self.note(name, value, header.value);
        }
        self.count = headers.len();
        lines_end_well
    }

    fn note(&mut self, name: Name, span: Span, value: &[u8]) {
        match name {
            Name::Connection => self.connection.add(value),
            Name::ContentLength => {
                self.length = self.length.with(value);
                self.is_padded = matches!(value, [b'0', _, ..]);
            }
            Name::TransferEncoding => self.coding = self.coding.with(value),
            Name::Host => {
                self.host = self.host.or(Some(span));
                self.hosts = self.hosts.saturating_add(1);
            }
            Name::Expect => self.expect = self.expect.with(value),
            Name::Upgrade => self.upgrade = self.upgrade.or(Some(span)),
            Name::Date => self.has_date = true,
            Name::XForwardedFor | Name::XForwardedHost | Name::XForwardedProto => {
                self.has_forwarded = true;
            }
            Name::Other
            | Name::Close
            | Name::Forwarded
            | Name::KeepAlive
            | Name::Lookalike
            | Name::MaxForwards
            | Name::ProxyConnection
            | Name::Referer
            | Name::Te
            | Name::UserAgent
            | Name::XRealIp => {}
        }
    }
}

fn ends_in_crlf(bytes: &[u8], end: usize) -> bool {
    end >= 2 && bytes.get(end - 2..end) == Some(b"\r\n")
}

/// Request methods with a meaning of their own to a gateway (RFC 9110 §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    /// Any other token; case matters in methods.
    Other,
}

impl Method {
    /// The method named by `text`.
    pub fn of(text: &[u8]) -> Method {
        match text {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }

    /// Doing it twice means the same as doing it once (RFC 9110 §9.2.2). An unknown method is
    /// taken as not idempotent.
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get
            | Method::Head
            | Method::Put
            | Method::Delete
            | Method::Options
            | Method::Trace => true,
            Method::Post | Method::Connect | Method::Other => false,
        }
    }
}

/// HTTP version as far as this program speaks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// A request head. Reused from request to request: it is large and mostly untouched.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// Bytes of the head, the empty line and any empty lines before it included.
    pub bytes: usize,
    pub method: Method,
    /// The method as sent.
    pub method_text: Span,
    /// The request target as sent (RFC 9112 §3.2).
    pub target: Span,
    pub version: Version,
    pub fields: Fields,
}

impl RequestHead {
    /// The request line where it can go on as it came, but for the form of its target.
    pub fn line(&self) -> Option<Span> {
        let line = Span { start: self.method_text.start, end: self.fields.whole().start };
        let plain = self.method_text.end + 1 == self.target.start
            && self.target.end() + b" HTTP/1.1\r\n".len() == line.end();
        Some(line).filter(|_| plain && self.version == Version::Http11)
    }

    /// Whether the client would send another request on this connection (RFC 9112 §9.3).
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, self.fields.connection)
    }
}

/// A response head. Reused like [`RequestHead`].
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// Bytes of the head, the empty line included.
    pub bytes: usize,
    /// Status code, 100 to 999.
    pub status: u16,
    /// Reason phrase, perhaps empty.
    pub reason: Span,
    pub version: Version,
    pub fields: Fields,
}

impl ResponseHead {
    /// The status line where it can go on as it came.
    pub fn line(&self) -> Option<Span> {
        let line = Span { start: 0, end: self.fields.whole().start };
        let plain = self.reason.start() == b"HTTP/1.1 200 ".len()
            && self.reason.end() + b"\r\n".len() == line.end();
        Some(line).filter(|_| plain && self.version == Version::Http11)
    }

    /// Whether the server would read another request from this connection (RFC 9112 §9.3).
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, self.fields.connection)
    }
}

fn keeps_alive(version: Version, connection: ConnectionOptions) -> bool {
    match version {
        Version::Http11 => !connection.close,
        Version::Http10 => connection.keep_alive && !connection.close,
    }
}

/// Why a head is not accepted. For a request, the answer's status; a response is answered 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status that tells the client.
    pub status: u16,
    /// One clause for the page and the log.
    pub reason: &'static str,
}

impl Refusal {
    pub(super) const fn bad(reason: &'static str) -> Refusal {
        Refusal { status: 400, reason }
    }
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// Not yet a whole head, but it can become one.
    Partial,
    /// A whole head; the argument holds it.
    Complete,
    /// It can never be one that is accepted.
    Refused(Refusal),
}

pub const TOO_LARGE: Refusal = Refusal { status: 431, reason: "the request head is too large" };
pub const LONG_TARGET: Refusal = Refusal { status: 414, reason: "the request target is too long" };
const STATUS_LINE: Refusal = Refusal::bad("the status line is malformed");
const BARE_LF: Refusal = Refusal::bad("a line of the head does not end in CRLF");

/// Reads a request head from the start of `bytes` into `head`.
///
/// Progress rule: `Partial` only while fewer than [`HEAD_BYTES_MAX`] bytes are there, so a reader
/// with that much room can never stall.
pub fn request(bytes: &[u8], head: &mut RequestHead) -> Parse {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut storage = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(window, &mut storage);
    let end = match outcome {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return partial(window),
        // Which version it is shows at the end of the line.
        Err(httparse::Error::Version) if !window.trim_ascii_start().contains(&b'\n') => {
            return partial(window);
        }
        Err(error) => return Parse::Refused(refusal(error, window)),
    };
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Parse::Refused(Refusal::bad("the request line is malformed"));
    };
    if target.len() > TARGET_BYTES_MAX {
        return Parse::Refused(LONG_TARGET);
    }
    let offset = |part: &str| (part.as_ptr() as usize).wrapping_sub(window.as_ptr() as usize);
    head.bytes = end;
    head.method = Method::of(method.as_bytes());
    head.method_text = Span::new(offset(method), offset(method) + method.len());
    head.target = Span::new(offset(target), offset(target) + target.len());
    head.version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    accepted(window, head.fields.adopt(window, parsed.headers, end), &head.fields)
}

/// What the walk over the field lines leaves to say.
fn accepted(window: &[u8], lines_end_well: bool, fields: &Fields) -> Parse {
    if !lines_end_well || !starts_well(window) {
        return Parse::Refused(BARE_LF);
    }
    if fields.connection.others > LISTED_MAX {
        return Parse::Refused(Refusal::bad("the Connection field lists too many fields"));
    }
    Parse::Complete
}

/// Empty lines in front of a head end in CRLF too (RFC 9112 §2.2).
fn starts_well(window: &[u8]) -> bool {
    let is_line_end = |byte: &u8| matches!(*byte, b'\r' | b'\n');
    let first = window.iter().position(|byte| !is_line_end(byte)).unwrap_or_default();
    window[..first].chunks(2).all(|end| end == b"\r\n")
}

/// Whether `bytes` begin with a HEAD request, however malformed it may be behind its method: what
/// answers it has no content (RFC 9110 §9.3.2).
pub fn is_head_request(bytes: &[u8]) -> bool {
    let first = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or_default();
    bytes[first..].starts_with(b"HEAD ")
}

/// Reads a response head from the start of `bytes` into `head`; the same progress rule.
pub fn response(bytes: &[u8], head: &mut ResponseHead) -> Parse {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut storage = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, window, &mut storage);
    let end = match outcome {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return partial(window),
        Err(httparse::Error::Token | httparse::Error::Version) => {
            return Parse::Refused(STATUS_LINE);
        }
        Err(error) => return Parse::Refused(refusal(error, window)),
    };
    let Some(status) = parsed.code.filter(|code| (100..=999).contains(code)) else {
        return Parse::Refused(STATUS_LINE);
    };
    let reason = parsed.reason.unwrap_or_default();
    let start = (reason.as_ptr() as usize).wrapping_sub(window.as_ptr() as usize);
    head.bytes = end;
    head.status = status;
    // An absent reason is a static empty string, which lies outside the window.
    head.reason =
        if reason.is_empty() { Span::default() } else { Span::new(start, start + reason.len()) };
    head.version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    accepted(window, head.fields.adopt(window, parsed.headers, end), &head.fields)
}

/// A head that is not complete yet: too long already, or more to come.
fn partial(window: &[u8]) -> Parse {
    if target_so_far(window).unwrap_or(window.len()) > TARGET_BYTES_MAX {
        return Parse::Refused(LONG_TARGET);
    }
    if window.len() >= HEAD_BYTES_MAX {
        return Parse::Refused(TOO_LARGE);
    }
    Parse::Partial
}

/// How long the target is by now in the bytes of an unfinished request head; none before it begins.
pub fn target_so_far(bytes: &[u8]) -> Option<usize> {
    let line = bytes.split(|&byte| byte == b'\n').find(|line| line.len() > 1)?;
    line.split(|&byte| byte == b' ').nth(1).map(<[u8]>::len)
}

fn refusal(error: httparse::Error, window: &[u8]) -> Refusal {
    match error {
        httparse::Error::HeaderName => Refusal::bad("a field name is malformed"),
        httparse::Error::HeaderValue => Refusal::bad("a field value has a forbidden byte"),
        httparse::Error::NewLine => Refusal::bad("a line of the head does not end in CRLF"),
        httparse::Error::Status => STATUS_LINE,
        httparse::Error::Token => Refusal::bad("the request line is malformed"),
        httparse::Error::TooManyHeaders => TOO_LARGE,
        httparse::Error::Version if names_other_version(window) => {
            Refusal { status: 505, reason: "only HTTP/1.0 and HTTP/1.1 are spoken here" }
        }
        httparse::Error::Version => Refusal::bad("the request line is malformed"),
    }
}

/// A well-formed request line (two spaces) that ends in `HTTP/d.d`: a real version, only not ours.
fn names_other_version(window: &[u8]) -> bool {
    let line = window.split(|&byte| byte == b'\n').find(|line| line.len() > 1).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|&byte| byte == b' ');
    let (_, _, version) = (words.next(), words.next(), words.next());
    let Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]) = version else {
        return false;
    };
    words.next().is_none() && major.is_ascii_digit() && minor.is_ascii_digit()
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
