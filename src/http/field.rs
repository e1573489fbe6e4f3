//! Field names that the proxy treats specially, the combined values of some of them over all their
//! lines, and the members of list-valued fields (RFC 9110 §5.6.1, §7.6.1).

/// A field name that the proxy treats specially, or `Other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// Forwarded untouched.
    #[default]
    Other,
    Authorization,
    Close,
    Connection,
    ContentLength,
    Date,
    Expect,
    Forwarded,
    Host,
    KeepAlive,
    MaxForwards,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Referer,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    WwwAuthenticate,
    /// Whose certificate a client has shown; set here.
    XClientCertSubject,
    XForwardedFor,
    XForwardedHost,
    /// Any further `X-Forwarded-*`: `-Port`, `-Prefix`, `-Ssl`, …
    XForwardedOther,
    XForwardedProto,
    XRealIp,
    /// One of the above with `_` instead of `-`. Servers that pass fields as CGI variables cannot
    /// distinguish the two (RFC 3875 §4.1.18), so it could override a field checked or set here.
    UnderscoreAlias,
}

impl Name {
    /// Recognises `name` in any case. Length and first letter leave at most one candidate, so an
    /// unknown name costs no comparison.
    #[inline(always)]
    pub fn of(name: &[u8]) -> Name {
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        let found = match (name.len(), first) {
            (2, b't') => match_name(name, b"te", Name::Te),
            (3, b'v') => match_name(name, b"via", Name::Via),
            (4, b'h') => match_name(name, b"host", Name::Host),
            (4, b'd') => match_name(name, b"date", Name::Date),
            (5, b'c') => match_name(name, b"close", Name::Close),
            (6, b'e') => match_name(name, b"expect", Name::Expect),
            (7, b'u') => match_name(name, b"upgrade", Name::Upgrade),
            (7, b't') => match_name(name, b"trailer", Name::Trailer),
            (7, b'r') => match_name(name, b"referer", Name::Referer),
            (9, b'f') => match_name(name, b"forwarded", Name::Forwarded),
            (9, b'x') => match_name(name, b"x-real-ip", Name::XRealIp),
            (10, b'c') => match_name(name, b"connection", Name::Connection),
            (10, b'u') => match_name(name, b"user-agent", Name::UserAgent),
            (10, b'k') => match_name(name, b"keep-alive", Name::KeepAlive),
            (12, b'm') => match_name(name, b"max-forwards", Name::MaxForwards),
            (13, b'a') => match_name(name, b"authorization", Name::Authorization),
            (14, b'c') => match_name(name, b"content-length", Name::ContentLength),
            (15, b'x') => match_name(name, b"x-forwarded-for", Name::XForwardedFor),
            (16, b'x') => match_name(name, b"x-forwarded-host", Name::XForwardedHost),
            (16, b'w') => match_name(name, b"www-authenticate", Name::WwwAuthenticate),
            (16, b'p') => match_name(name, b"proxy-connection", Name::ProxyConnection),
            (17, b't') => match_name(name, b"transfer-encoding", Name::TransferEncoding),
            (17, b'x') => match_name(name, b"x-forwarded-proto", Name::XForwardedProto),
            (18, b'p') => match_name(name, b"proxy-authenticate", Name::ProxyAuthenticate),
            (19, b'p') => match_name(name, b"proxy-authorization", Name::ProxyAuthorization),
            (21, b'x') => match_name(name, b"x-client-cert-subject", Name::XClientCertSubject),
            _ => Name::Other,
        };
        match found {
            Name::Other if first == b'x' => x_forwarded(name),
            found => found,
        }
    }

    /// Fields that are never forwarded as received: they are hop-by-hop (RFC 9110 §7.6.1), or an
    /// alias of a field checked here.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Name::Close
                | Name::Connection
                | Name::KeepAlive
                | Name::UnderscoreAlias
                | Name::ProxyConnection
                | Name::Te
                | Name::TransferEncoding
                | Name::Upgrade
        )
    }

    /// Fields that are forwarded as received unless `Connection` names them: in every message but,
    /// for `Host`, a request with an absolute target, and for `Content-Length`, a response whose
    /// status has no content.
    pub fn is_always_forwarded(self) -> bool {
        matches!(
            self,
            Name::Other
                | Name::Authorization
                | Name::ContentLength
                | Name::Date
                | Name::Host
                | Name::ProxyAuthenticate
                | Name::ProxyAuthorization
                | Name::Referer
                | Name::Trailer
                | Name::UserAgent
                | Name::Via
                | Name::WwwAuthenticate
        )
    }

    /// Fields that `Connection` cannot remove: they carry routing, framing or meaning, and a sender
    /// that lists them wants the next hop to read another message (RFC 9110 §7.6.1).
    pub fn is_protected(self) -> bool {
        matches!(
            self,
            Name::Host
                | Name::ContentLength
                | Name::Date
                | Name::Expect
                | Name::Forwarded
                | Name::MaxForwards
                | Name::Via
                | Name::XClientCertSubject
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedOther
                | Name::XForwardedProto
                | Name::XRealIp
        )
    }
}

/// `found` if the token `name` is `text` in any case, an alias if they differ only in underscores.
#[inline]
fn match_name<const LENGTH: usize>(name: &[u8], text: &[u8; LENGTH], found: Name) -> Name {
    match name.first_chunk() {
        Some(name) if is_same_token(name, text) => found,
        _ => match_alias(name, text),
    }
}

/// Whether the token `name` is `text` in any case. With bit 5 set, a token byte equals a lower-case
/// letter or `-` only if it is that character in either case. The length is a constant, so this is a
/// comparison of a word or a few; the last of them may overlap the one before.
#[inline]
fn is_same_token<const LENGTH: usize>(name: &[u8; LENGTH], text: &[u8; LENGTH]) -> bool {
    let differ = |a: u64, b: u64| (a | 0x2020_2020_2020_2020) ^ b;
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes)) | 0x2020_2020 << 32;
    if let (Some(name_end), Some(text_end)) = (name.last_chunk(), text.last_chunk()) {
        let (names, texts) = (name.as_chunks().0.iter(), text.as_chunks().0);
        let words = names.zip(texts).fold(0, |all, (a, b)| all | differ(word(a), word(b)));
        return words | differ(word(name_end), word(text_end)) == 0;
    }
    if let (Some(name_end), Some(text_end)) = (name.last_chunk(), text.last_chunk())
        && let (Some(name_start), Some(text_start)) = (name.first_chunk(), text.first_chunk())
    {
        let start = differ(half(name_start), half(text_start));
        return start | differ(half(name_end), half(text_end)) == 0;
    }
    name.iter().zip(text).all(|(a, b)| (a | 0x20) == *b)
}

/// An alias if the tokens `name` and `text` differ only in underscores.
#[cold]
#[inline(never)]
fn match_alias(name: &[u8], text: &[u8]) -> Name {
    let plain = |&byte: &u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    match name.iter().map(plain).eq(text.iter().copied()) {
        true => Name::UnderscoreAlias,
        false => Name::Other,
    }
}

/// Whether `name` is one of the further `X-Forwarded-*`, or an alias of one.
fn x_forwarded(name: &[u8]) -> Name {
    const PREFIX: &[u8; 12] = b"x-forwarded-";
    let prefix = name.get(..PREFIX.len());
    prefix.map_or(Name::Other, |prefix| match_name(prefix, PREFIX, Name::XForwardedOther))
}

/// The members of all `Connection` field lines (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// `close` was listed.
    pub close: bool,
    /// `keep-alive` was listed (HTTP/1.0).
    pub keep_alive: bool,
    /// `upgrade` was listed.
    pub upgrade: bool,
    /// Number of other members: names of fields to remove.
    pub listed_fields: u8,
}

/// Most field names that the `Connection` lines of one head may list: each is compared with every
/// field line. One more is answered 400.
pub const LISTED_FIELDS_MAX: u8 = 32;

impl ConnectionOptions {
    /// Adds the members of one `Connection` field line.
    pub fn add(&mut self, value: &[u8]) {
        // The usual values are recognised without splitting them into members.
        match value {
            b"close" => self.close = true,
            b"keep-alive" => self.keep_alive = true,
            _ => self.add_members(value),
        }
    }

    #[inline(never)]
    fn add_members(&mut self, value: &[u8]) {
        for member in members(value) {
            if member.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if member.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if member.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !member.eq_ignore_ascii_case(b"te") {
                self.listed_fields = self.listed_fields.saturating_add(1);
            }
        }
    }
}

/// `Content-Length` over all its lines (RFC 9110 §8.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// No such field.
    #[default]
    Absent,
    /// Exactly one, all digits.
    Bytes(u64),
    /// The same number several times, in lines or list members (RFC 9110 §8.6).
    Repeated(u64),
    /// Different numbers, a sign, 2^63 or more: anything implementations could read differently.
    Invalid,
}

impl Length {
    /// The value after one more line.
    pub fn and_line(self, value: &[u8]) -> Length {
        match (self, decimal(value)) {
            (Length::Absent, Some(bytes)) => Length::Bytes(bytes),
            _ => self.and_members(value),
        }
    }

    /// The value after a line that is not the first, or not a plain number.
    #[cold]
    fn and_members(self, value: &[u8]) -> Length {
        let mut members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).map(decimal);
        let first = match self {
            Length::Absent => members.next().flatten(),
            Length::Bytes(bytes) | Length::Repeated(bytes) => Some(bytes),
            Length::Invalid => None,
        };
        match first {
            Some(bytes) if members.all(|member| member == first) => Length::Repeated(bytes),
            Some(_) | None => Length::Invalid,
        }
    }
}

/// `Transfer-Encoding` over all its lines (RFC 9112 §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// No such field.
    #[default]
    Absent,
    /// Exactly `chunked`.
    Chunked,
    /// Codings unknown here, then `chunked`.
    Unknown,
    /// Codings unknown here and no `chunked`: only a close ends the body (RFC 9112 §6.3 item 4).
    NoFinalChunked,
    /// Empty, or `chunked` twice or not last: the end of the body is ambiguous.
    Invalid,
}

impl Coding {
    /// The value after one more line.
    #[inline(never)]
    pub fn and_line(self, value: &[u8]) -> Coding {
        let mut result = self;
        let mut empty = true;
        for member in members(value) {
            empty = false;
            result = match (result, member.eq_ignore_ascii_case(b"chunked")) {
                (Coding::Absent, true) => Coding::Chunked,
                (Coding::NoFinalChunked, true) => Coding::Unknown,
                (Coding::Absent | Coding::NoFinalChunked, false) => Coding::NoFinalChunked,
                (Coding::Chunked | Coding::Unknown | Coding::Invalid, _) => Coding::Invalid,
            };
        }
        if empty { Coding::Invalid } else { result }
    }
}

/// Whether `value`, of `WWW-Authenticate`, `Authorization` or their `Proxy-` forms, names a scheme
/// that authenticates the connection instead of the request: NTLM, or Negotiate (RFC 4559 §4).
#[inline(never)]
pub fn authenticates_connection(value: &[u8]) -> bool {
    members(value).any(|member| {
        let scheme = member.split(|&byte| byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

/// `Expect` over all its lines (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// No such field.
    #[default]
    Absent,
    /// `100-continue` and nothing else.
    Continue,
    /// Any other expectation, answered 417.
    Unknown,
}

impl Expect {
    /// The value after one more line.
    #[inline(never)]
    pub fn and_line(self, value: &[u8]) -> Expect {
        members(value).fold(self, |so_far, member| {
            match so_far != Expect::Unknown && member.eq_ignore_ascii_case(b"100-continue") {
                true => Expect::Continue,
                false => Expect::Unknown,
            }
        })
    }
}

/// One or more ASCII digits, at most 2^63 - 1. None for anything else: a sign, a list, white space.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    (value <= i64::MAX as u64).then_some(value)
}

/// The members of a comma-separated list, without empty ones (RFC 9110 §5.6.1.2).
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether `value`, a list, names `member` in any case.
pub fn lists(value: &[u8], member: &[u8]) -> bool {
    members(value).any(|found| found.eq_ignore_ascii_case(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_in_any_case() {
        for (text, name) in [
            (&b"Host"[..], Name::Host),
            (b"HOST", Name::Host),
            (b"te", Name::Te),
            (b"Transfer-Encoding", Name::TransferEncoding),
            (b"content-length", Name::ContentLength),
            (b"Content_Length", Name::UnderscoreAlias),
            (b"x-forwarded_for", Name::UnderscoreAlias),
            (b"x_request_id", Name::Other),
            (b"Via", Name::Via),
            (b"X-Forwarded-Port", Name::XForwardedOther),
            (b"x-forwarded-ssl", Name::XForwardedOther),
            (b"X-FORWARDED-", Name::XForwardedOther),
            (b"X-Forwarded_Port", Name::UnderscoreAlias),
            (b"X_Forwarded_Client_Cert", Name::UnderscoreAlias),
            (b"X-Forwarder-Port", Name::Other),
            (b"X-Forwarded", Name::Other),
            (b"www_authenticate", Name::UnderscoreAlias),
            (b"Proxy-Connection", Name::ProxyConnection),
            (b"X-Forwarded-For", Name::XForwardedFor),
            (b"hosts", Name::Other),
            (b"hoss", Name::Other),
            (b"", Name::Other),
        ] {
            assert_eq!(Name::of(text), name, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn anagrams_of_known_names_are_unknown() {
        for text in [
            "host",
            "date",
            "te",
            "content-length",
            "transfer-encoding",
            "connection",
            "x-real-ip",
            "expect",
            "upgrade",
        ] {
            for at in 1..text.len() {
                let mut swapped = text.as_bytes().to_vec();
                swapped.swap(at - 1, at);
                let differs = swapped != text.as_bytes();
                let found = Name::of(&swapped) != Name::Other;
                assert!(!(differs && found), "{}", String::from_utf8_lossy(&swapped));
            }
        }
        assert_eq!(Name::of(b"Hots"), Name::Other);
        assert_eq!(Name::of(b"Content-Lenght"), Name::Other);
    }

    #[test]
    fn schemes_that_authenticate_the_connection_are_recognised() {
        for (value, expected) in [
            (&b"NTLM"[..], true),
            (b"negotiate", true),
            (b"NTLM TlRMTVNTUAAB", true),
            (b"Basic realm=\"x\", Negotiate", true),
            (b"Basic realm=\"x\"", false),
            (b"NTLMv2", false),
            (b"Bearer ntlm", false),
            (b"", false),
        ] {
            let text = String::from_utf8_lossy(value);
            assert_eq!(authenticates_connection(value), expected, "{text}");
        }
    }

    #[test]
    fn list_members_are_trimmed_and_empty_ones_dropped() {
        let found: Vec<&[u8]> = members(b" close,, Keep-Alive\t,").collect();
        assert_eq!(found, [&b"close"[..], b"Keep-Alive"]);
        assert!(lists(b"a, Trailers", b"trailers"));
        assert!(!lists(b"a, trailersx", b"trailers"));
    }

    #[test]
    fn connection_options_add_up_over_lines() {
        let mut options = ConnectionOptions::default();
        options.add(b"Keep-Alive");
        options.add(b"Upgrade, TE");
        assert!(
            options.keep_alive && options.upgrade && !options.close && options.listed_fields == 0
        );
        options.add(b"x-private");
        assert_eq!(options.listed_fields, 1);
    }
}
