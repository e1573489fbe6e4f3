//! The `Keep-Alive` field of a response: how long, and for how many more requests, the server says
//! it keeps the connection (RFC 2068 §19.7.1.1). A hint: it may close earlier.

use super::field::{self, Name};
use super::head::ResponseHead;
use std::time::Duration;

/// What a server says about how long it keeps a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// Idle time after which it closes.
    pub timeout: Option<Duration>,
    /// Requests: further ones on this connection (Apache), or all on one connection (Node).
    pub max: Option<u32>,
}

impl KeepAlive {
    /// What the response at hand says; parameters that are unknown or malformed say nothing. The
    /// field counts only where `Connection` lists it, as it is for the next hop only.
    pub fn of(head: &ResponseHead, bytes: &[u8]) -> KeepAlive {
        if !head.fields.connection.keep_alive {
            return KeepAlive::default();
        }
        let line = head.fields.find(Name::KeepAlive);
        line.map_or_else(KeepAlive::default, |line| parse(line.value.of(bytes)))
    }
}

#[inline(never)]
fn parse(value: &[u8]) -> KeepAlive {
    let mut said = KeepAlive::default();
    for member in field::members(value) {
        let mut parts = member.splitn(2, |&byte| byte == b'=').map(<[u8]>::trim_ascii);
        let (name, number) = (parts.next().unwrap_or_default(), parts.next().and_then(number));
        if name.eq_ignore_ascii_case(b"timeout") {
            said.timeout = number.map(|seconds| Duration::from_secs(seconds.into()));
        } else if name.eq_ignore_ascii_case(b"max") {
            said.max = number;
        }
    }
    said
}

fn number(text: &[u8]) -> Option<u32> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{self, Parse};

    #[test]
    fn what_is_said_of_time_and_number_is_found() {
        for (value, timeout, max) in [
            ("timeout=5", Some(5), None),
            ("timeout=5, max=100", Some(5), Some(100)),
            ("max=99 , Timeout = 15", Some(15), Some(99)),
            ("TIMEOUT=0,max=0", Some(0), Some(0)),
            ("300", None, None),
            ("", None, None),
            ("timeout", None, None),
            ("timeout=", None, None),
            ("timeout=-1, max=+3", None, None),
            ("timeout=5s, max=1.5", None, None),
            ("timeout=99999999999, max=99999999999", None, None),
            ("timeout=5=6", None, None),
            ("x=1, , timeout=7, xtimeout=8", Some(7), None),
        ] {
            let expected = KeepAlive { timeout: timeout.map(Duration::from_secs), max };
            assert_eq!(parse(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn the_field_counts_only_where_connection_lists_it() {
        let said = |lines: &str| {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            let mut head = ResponseHead::default();
            assert_eq!(head::response(text.as_bytes(), &mut head), Parse::Complete, "{lines:?}");
            KeepAlive::of(&head, text.as_bytes())
        };
        let five = KeepAlive { timeout: Some(Duration::from_secs(5)), max: None };
        assert_eq!(said("Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n"), five);
        assert_eq!(said("Keep-Alive: timeout=5\r\nConnection: x, Keep-Alive\r\n"), five);
        assert_eq!(said("Keep-Alive: timeout=5\r\n"), KeepAlive::default());
        assert_eq!(said("Connection: keep-alive\r\n"), KeepAlive::default());
    }
}
