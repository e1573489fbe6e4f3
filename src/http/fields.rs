//! The field lines of a head as offsets into its bytes, with the combined values of the fields that
//! the proxy acts on. Does not judge them: see `head`, `framing` and `target`.

use super::field::{self, Coding, ConnectionOptions, Expect, Length, Name};
use super::via;

/// Field lines one head may have at most; one more is answered 431 (RFC 6585 §5).
pub const FIELDS_MAX: usize = 200;

/// A range of a head's bytes. 16-bit offsets keep the 200 lines of a head small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The range `start..end`. Both must be at most [`super::head::HEAD_BYTES_MAX`].
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

    /// Offset after the last byte.
    pub fn end(self) -> usize {
        usize::from(self.end)
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        self.end().saturating_sub(self.start())
    }

    /// Whether it covers no byte.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldLine {
    /// Which of the known fields it is.
    pub name: Name,
    /// The name as sent.
    pub name_text: Span,
    /// The value without the white space around it.
    pub value: Span,
}

/// The field lines of a head and the values collected in one pass over them. They are contiguous:
/// each line ends where the next one begins.
#[derive(Debug)]
pub struct Fields {
    lines: [FieldLine; FIELDS_MAX],
    count: usize,
    /// Offset of the empty line that ends the head.
    end: u16,
    /// Members of all `Connection` lines.
    pub connection: ConnectionOptions,
    /// `Content-Length` over all its lines.
    pub length: Length,
    /// `Transfer-Encoding` over all its lines.
    pub coding: Coding,
    /// Value of the first `Host` line.
    pub host: Option<Span>,
    /// Number of `Host` lines.
    pub hosts: u8,
    /// Members of `Expect`.
    pub expect: Expect,
    /// Value of the first `Upgrade` line.
    pub upgrade: Option<Span>,
    /// `Content-Length` is repeated or has leading zeros, which some servers read as octal.
    pub length_needs_rewrite: bool,
    /// There is a `Date` line.
    pub has_date: bool,
    /// There is a line of `X-Forwarded-For`, `-Host` or `-Proto`.
    pub has_forwarded: bool,
    /// There is a `Trailer` line: the sender announces trailer fields (RFC 9110 §6.6.2).
    pub has_trailer: bool,
    /// A challenge or credentials name a scheme that authenticates the connection, not the request.
    pub authenticates_connection: bool,
    /// Number of `Via` members of this program.
    pub own_via: u8,
    /// A line of the head ends in a bare LF (RFC 9112 §2.2).
    pub has_bare_lf: bool,
    /// There is a line of another name than [`Name::is_always_forwarded`] accepts.
    has_conditional: bool,
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
            length_needs_rewrite: false,
            has_date: false,
            has_forwarded: false,
            has_trailer: false,
            authenticates_connection: false,
            own_via: 0,
            has_bare_lf: false,
            has_conditional: false,
        }
    }
}

impl Fields {
    /// The field lines in the order received.
    pub fn lines(&self) -> &[FieldLine] {
        &self.lines[..self.count]
    }

    /// All field lines, including the CRLF of each; meaningless with a bare LF.
    pub fn span(&self) -> Span {
        let start = self.lines().first().map_or(self.end, |line| line.name_text.start);
        Span { start, end: self.end }
    }

    /// The first line of the known field `name`.
    pub fn find(&self, name: Name) -> Option<&FieldLine> {
        self.lines().iter().find(|line| line.name == name)
    }

    /// The first line whose name is `name` in any case, for names outside [`Name`].
    pub fn find_text(&self, bytes: &[u8], name: &[u8]) -> Option<&FieldLine> {
        self.lines().iter().find(|line| line.name_text.of(bytes).eq_ignore_ascii_case(name))
    }

    /// Whether all lines are forwarded as received, provided that `Host` and `Content-Length` are.
    pub fn are_always_forwarded(&self) -> bool {
        let is_repaired = self.has_bare_lf || self.length_needs_rewrite;
        !self.has_conditional && self.connection.listed_fields == 0 && !is_repaired
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
        self.length_needs_rewrite = false;
        self.has_date = false;
        self.has_forwarded = false;
        self.has_trailer = false;
        self.authenticates_connection = false;
        self.own_via = 0;
        self.has_bare_lf = false;
        self.has_conditional = false;
    }

    /// Stores the lines that `httparse` found in a head of `end` bytes.
    pub(super) fn load(&mut self, bytes: &[u8], headers: &[httparse::Header<'_>], end: usize) {
        self.clear();
        self.end = (end - 2) as u16;
        self.count = headers.len();
        let offset = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        let mut lines_end_in_crlf = ends_in_crlf(bytes, end - 2) && ends_in_crlf(bytes, end);
        let headers = &headers[..headers.len().min(FIELDS_MAX)];
        for (at, header) in headers.iter().enumerate() {
            let name = Name::of(header.name.as_bytes());
            let start = offset(header.name.as_bytes());
            lines_end_in_crlf &= ends_in_crlf(bytes, start);
            // `httparse` may return an empty value that is no slice of `bytes`.
            let value_start = if header.value.is_empty() { 0 } else { offset(header.value) };
            let value = Span::new(value_start, value_start + header.value.len());
            let name_text = Span::new(start, start + header.name.len());
            self.lines[at] = FieldLine { name, name_text, value };
            if name != Name::Other {
                self.record(name, value, header.value);
            }
        }
        self.has_bare_lf = !lines_end_in_crlf;
    }

    fn record(&mut self, name: Name, span: Span, value: &[u8]) {
        self.has_conditional |= !name.is_always_forwarded();
        match name {
            Name::Connection => self.connection.add(value),
            Name::ContentLength => {
                self.length = self.length.and_line(value);
                self.length_needs_rewrite =
                    matches!(value, [b'0', _, ..]) || matches!(self.length, Length::Repeated(_));
            }
            Name::TransferEncoding => self.coding = self.coding.and_line(value),
            Name::Host => {
                self.host = self.host.or(Some(span));
                self.hosts = self.hosts.saturating_add(1);
            }
            Name::Expect => self.expect = self.expect.and_line(value),
            Name::Upgrade => self.upgrade = self.upgrade.or(Some(span)),
            Name::Date => self.has_date = true,
            Name::XForwardedFor | Name::XForwardedHost | Name::XForwardedProto => {
                self.has_forwarded = true;
            }
            Name::Trailer => self.has_trailer = true,
            Name::Via => self.own_via = self.own_via.saturating_add(via::own_members(value)),
            Name::Authorization
            | Name::ProxyAuthenticate
            | Name::ProxyAuthorization
            | Name::WwwAuthenticate => {
                self.authenticates_connection |= field::authenticates_connection(value);
            }
            Name::Other
            | Name::Close
            | Name::Forwarded
            | Name::KeepAlive
            | Name::UnderscoreAlias
            | Name::MaxForwards
            | Name::ProxyConnection
            | Name::Referer
            | Name::Te
            | Name::UserAgent
            | Name::XForwardedOther
            | Name::XRealIp
            | Name::XClientCertSubject => {}
        }
    }
}

fn ends_in_crlf(bytes: &[u8], end: usize) -> bool {
    bytes.get(..end).and_then(<[u8]>::last_chunk) == Some(b"\r\n")
}
