//! Field names the proxy acts upon and the members of list-valued fields (RFC 9110 §5.6.1, §7.6.1).

/// A field name as far as the proxy treats it in a way of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// Forwarded untouched.
    #[default]
    Other,
    Connection,
    ContentLength,
    Date,
    Expect,
    Host,
    KeepAlive,
    MaxForwards,
    ProxyConnection,
    Referer,
    Te,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
}

impl Name {
    /// Recognises `name` in any case. Length and first letter leave one candidate at most, so that
    /// a foreign name costs no comparison.
    pub fn of(name: &[u8]) -> Name {
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        let (known, found): (&[u8], Name) = match (name.len(), first) {
            (2, b't') => (b"te", Name::Te),
            (4, b'h') => (b"host", Name::Host),
            (4, b'd') => (b"date", Name::Date),
            (6, b'e') => (b"expect", Name::Expect),
            (7, b'u') => (b"upgrade", Name::Upgrade),
            (7, b'r') => (b"referer", Name::Referer),
            (10, b'c') => (b"connection", Name::Connection),
            (10, b'u') => (b"user-agent", Name::UserAgent),
            (10, b'k') => (b"keep-alive", Name::KeepAlive),
            (12, b'm') => (b"max-forwards", Name::MaxForwards),
            (14, b'c') => (b"content-length", Name::ContentLength),
            (15, b'x') => (b"x-forwarded-for", Name::XForwardedFor),
            (16, b'x') => (b"x-forwarded-host", Name::XForwardedHost),
            (16, b'p') => (b"proxy-connection", Name::ProxyConnection),
            (17, b't') => (b"transfer-encoding", Name::TransferEncoding),
            (17, b'x') => (b"x-forwarded-proto", Name::XForwardedProto),
            _ => return Name::Other,
        };
        if name.eq_ignore_ascii_case(known) { found } else { Name::Other }
    }

    /// Fields that concern one connection only and are never forwarded as they came
    /// (RFC 9110 §7.6.1). `Transfer-Encoding` is not among them: the framing decides about it.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Name::Connection | Name::KeepAlive | Name::ProxyConnection | Name::Te | Name::Upgrade
        )
    }

    /// Fields that `Connection` cannot take away: they carry routing and framing, and a sender
    /// that lists them wants the next hop to see a different message (RFC 9110 §7.6.1).
    pub fn is_end_to_end(self) -> bool {
        matches!(
            self,
            Name::Host
                | Name::ContentLength
                | Name::TransferEncoding
                | Name::Date
                | Name::Expect
                | Name::MaxForwards
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedProto
        )
    }
}

/// What the `Connection` field lines said, all of them together (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// `close` was listed.
    pub close: bool,
    /// `keep-alive` was listed (HTTP/1.0).
    pub keep_alive: bool,
    /// `upgrade` was listed.
    pub upgrade: bool,
    /// Something else was listed, so often: field names to remove.
    pub others: u8,
}

/// Most field names one head's `Connection` lines may list: each is looked for among all fields.
pub const LISTED_MAX: u8 = 32;

impl ConnectionOptions {
    /// Adds the members of one `Connection` field line.
    pub fn add(&mut self, value: &[u8]) {
        for member in members(value) {
            if member.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if member.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if member.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !member.eq_ignore_ascii_case(b"te") {
                self.others = self.others.saturating_add(1);
            }
        }
    }
}

/// The members of a comma-separated list, empty ones left out (RFC 9110 §5.6.1.2).
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether `value`, a list, names `member` in any case.
pub fn lists(value: &[u8], member: &[u8]) -> bool {
    members(value).any(|found| found.eq_ignore_ascii_case(member))
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        for (text, name) in [
            (&b"Host"[..], Name::Host),
            (b"HOST", Name::Host),
            (b"te", Name::Te),
            (b"Transfer-Encoding", Name::TransferEncoding),
            (b"content-length", Name::ContentLength),
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
        assert!(options.keep_alive && options.upgrade && !options.close && options.others == 0);
        options.add(b"x-private");
        assert_eq!(options.others, 1);
    }
}
