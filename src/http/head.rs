//! Parses request and response heads into offsets (RFC 9112 §2 to §5). Strict where leniency would
//! let two implementations see two messages. Decides nothing about the body: see `framing`.

use super::field::{ConnectionOptions, LISTED_FIELDS_MAX};
pub use super::fields::{FIELDS_MAX, FieldLine, Fields, Span};
pub use super::method::Method;
use std::mem::MaybeUninit;

/// Longest head in bytes, request or response, including the empty line. Offsets are 16-bit.
pub const HEAD_BYTES_MAX: usize = 24 * 1024;

/// Longest request target in bytes; a longer one is answered 414 (RFC 9110 §15.5.15).
pub const TARGET_BYTES_MAX: usize = 16 * 1024;

const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize && TARGET_BYTES_MAX < HEAD_BYTES_MAX);

/// The HTTP versions that are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// A request head. Reused for every request: it is large and mostly untouched.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// Length in bytes, including the final empty line and empty lines before the request line.
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
    /// The request line if it can be forwarded unchanged, whatever the form of its target.
    pub fn line(&self) -> Option<Span> {
        let line = Span::new(self.method_text.start(), self.fields.span().start());
        let plain = self.method_text.end() + 1 == self.target.start()
            && self.target.end() + b" HTTP/1.1\r\n".len() == line.end();
        Some(line).filter(|_| plain && self.version == Version::Http11)
    }

    /// Whether the client keeps the connection open after this request (RFC 9112 §9.3).
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, self.fields.connection)
    }
}

/// A response head. Reused like [`RequestHead`].
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// Length in bytes, including the final empty line.
    pub bytes: usize,
    /// Status code, 100 to 999.
    pub status: u16,
    /// Reason phrase; may be empty.
    pub reason: Span,
    pub version: Version,
    pub fields: Fields,
}

impl ResponseHead {
    /// The status line if it can be forwarded unchanged.
    pub fn line(&self) -> Option<Span> {
        let line = Span::new(0, self.fields.span().start());
        let plain = self.reason.start() == b"HTTP/1.1 200 ".len()
            && self.reason.end() + b"\r\n".len() == line.end();
        Some(line).filter(|_| plain && self.version == Version::Http11)
    }

    /// Whether the server keeps the connection open after this response (RFC 9112 §9.3).
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

/// Why a head is not accepted. The status applies to requests; a refused response is always
/// answered 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the answer.
    pub status: u16,
    /// One clause for the error page and the log.
    pub reason: &'static str,
}

impl Refusal {
    pub(super) const fn bad(reason: &'static str) -> Refusal {
        Refusal { status: 400, reason }
    }
}

/// The result of parsing the bytes received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// Incomplete, but so far acceptable.
    Partial,
    /// A complete head, stored in the argument.
    Complete,
    /// Not acceptable, whatever follows.
    Refused(Refusal),
}

pub const TOO_LARGE: Refusal = Refusal { status: 431, reason: "the request head is too large" };
pub const LONG_TARGET: Refusal = Refusal { status: 414, reason: "the request target is too long" };
/// The refusal of a client that speaks TLS.
pub const TLS_HELLO: Refusal = Refusal::bad("the client speaks TLS; this port is plain HTTP");
const STATUS_LINE: Refusal = Refusal::bad("the status line is malformed");
const BARE_LF: Refusal = Refusal::bad("a line of the head does not end in CRLF");

/// The start of a TLS connection: a record of type handshake and major version 3 (RFC 8446 §5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// Reads a request head from the start of `bytes` into `head`.
///
/// Progress: the result is `Partial` only for fewer than [`HEAD_BYTES_MAX`] bytes, so a buffer of
/// that size always makes progress.
pub fn request(bytes: &[u8], head: &mut RequestHead) -> Parse {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut storage = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = parsed.parse_with_uninit_headers(window, &mut storage);
    let end = match outcome {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return incomplete(window),
        // The version is known only at the end of the line.
        Err(httparse::Error::Version) if !window.trim_ascii_start().contains(&b'\n') => {
            return incomplete(window);
        }
        Err(httparse::Error::Token) if window == &TLS_HANDSHAKE[..1] => {
            return incomplete(window);
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
    head.fields.load(window, parsed.headers, end);
    if head.fields.has_bare_lf {
        return Parse::Refused(BARE_LF);
    }
    check(window, &head.fields)
}

/// The checks that `httparse` does not make.
fn check(window: &[u8], fields: &Fields) -> Parse {
    if !leading_lines_end_in_crlf(window) {
        return Parse::Refused(BARE_LF);
    }
    if fields.connection.listed_fields > LISTED_FIELDS_MAX {
        return Parse::Refused(Refusal::bad("the Connection field lists too many fields"));
    }
    Parse::Complete
}

/// Empty lines before a head must end in CRLF too (RFC 9112 §2.2).
fn leading_lines_end_in_crlf(window: &[u8]) -> bool {
    let is_line_end = |byte: &u8| matches!(*byte, b'\r' | b'\n');
    if !window.first().is_some_and(is_line_end) {
        return true;
    }
    let first = window.iter().position(|byte| !is_line_end(byte)).unwrap_or_default();
    window[..first].chunks(2).all(|end| end == b"\r\n")
}

/// Length of the empty lines before a request: some clients send one after the body of a POST, and
/// they begin no request (RFC 9112 §2.2).
pub fn empty_lines(bytes: &[u8]) -> usize {
    2 * bytes.chunks(2).take_while(|end| *end == b"\r\n").count()
}

/// Whether `bytes` begin with a HEAD request, even one that is malformed after its method: the
/// answer to it has no content (RFC 9110 §9.3.2).
pub fn is_head_request(bytes: &[u8]) -> bool {
    let first = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or_default();
    bytes[first..].starts_with(b"HEAD ")
}

/// Whether `bytes` begin like a response of any HTTP/1 version, however malformed it may be.
pub fn begins_like_a_response(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/")
}

/// Reads a response head from the start of `bytes` into `head`. Progress: as for [`request`].
pub fn response(bytes: &[u8], head: &mut ResponseHead) -> Parse {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut storage = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, window, &mut storage);
    let end = match outcome {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return incomplete(window),
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
    // For an absent reason `httparse` returns a static empty string, which is no slice of the
    // window.
    head.reason =
        if reason.is_empty() { Span::default() } else { Span::new(start, start + reason.len()) };
    head.version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    // Bare LFs and repeated lengths are repaired when the head is forwarded: there is only one way
    // to read them, and some servers send them.
    head.fields.load(window, parsed.headers, end);
    check(window, &head.fields)
}

/// An incomplete head: refused if it is too long already.
fn incomplete(window: &[u8]) -> Parse {
    if target_so_far(window).unwrap_or(window.len()) > TARGET_BYTES_MAX {
        return Parse::Refused(LONG_TARGET);
    }
    if window.len() >= HEAD_BYTES_MAX {
        return Parse::Refused(TOO_LARGE);
    }
    Parse::Partial
}

/// Length of the target so far in an incomplete request head; none before its first byte.
pub fn target_so_far(bytes: &[u8]) -> Option<usize> {
    let line = bytes.split(|&byte| byte == b'\n').find(|line| line.len() > 1)?;
    line.split(|&byte| byte == b' ').nth(1).map(<[u8]>::len)
}

fn refusal(error: httparse::Error, window: &[u8]) -> Refusal {
    match error {
        httparse::Error::Token if window.starts_with(TLS_HANDSHAKE) => TLS_HELLO,
        httparse::Error::HeaderName => Refusal::bad("a field name is malformed"),
        httparse::Error::HeaderValue => Refusal::bad("a field value has a forbidden byte"),
        httparse::Error::NewLine => Refusal::bad("a line of the head does not end in CRLF"),
        httparse::Error::Status => STATUS_LINE,
        httparse::Error::Token => Refusal::bad("the request line is malformed"),
        httparse::Error::TooManyHeaders => TOO_LARGE,
        httparse::Error::Version if names_other_version(window) => {
            Refusal { status: 505, reason: "only HTTP/1.0 and HTTP/1.1 are supported" }
        }
        httparse::Error::Version => Refusal::bad("the request line is malformed"),
    }
}

/// Whether the request line is well-formed and ends in `HTTP/DIGIT.DIGIT`, an unsupported version.
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
