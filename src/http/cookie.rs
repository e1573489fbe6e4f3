//! One cookie of a proxy's own (RFC 6265): found among those of a request, cut out before the
//! request is forwarded, and set in a response.

use super::fields::Fields;
use super::writer::{Overflow, Writer};
use std::num::NonZeroU64;

/// Hexadecimal digits of a value.
const DIGITS: usize = 16;

/// Most bytes of the line that sets a cookie with a name of 64 bytes.
pub const SET_BYTES_MAX: usize = 64 + DIGITS + 80;

/// The value of the cookie `name` in a request; none if there is none, or none that was made here.
/// Of several the first counts.
pub fn value(bytes: &[u8], fields: &Fields, name: &str) -> Option<NonZeroU64> {
    let lines = fields.lines().iter();
    let mut cookies = lines
        .filter(|line| is_cookie(line.name_text.of(bytes)))
        .flat_map(|line| pairs(line.value.of(bytes)));
    let (_, value) = cookies.find(|(found, _)| *found == name.as_bytes())?;
    parse(value)
}

/// Cuts the cookie `name` out of the written head of `length` bytes at the start of `head`; the
/// others stay as they are. A field without a cookie left goes. Returns the new length.
pub fn cut(head: &mut [u8], length: usize, name: &str) -> usize {
    let (mut from, mut to) = (0, 0);
    while from < length {
        let end = head[from..length].iter().position(|&byte| byte == b'\n');
        let bytes = end.map_or(length - from, |end| end + 1);
        let kept = cut_line(&mut head[from..from + bytes], name);
        head.copy_within(from..from + kept, to);
        from += bytes;
        to += kept;
    }
    to
}

/// The same for one line, the first of a head or a field; how many bytes are left of it.
fn cut_line(line: &mut [u8], name: &str) -> usize {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return line.len() };
    let text = line.trim_ascii_end();
    let is_ours = is_cookie(&line[..colon])
        && pairs(&text[colon + 1..]).any(|(found, _)| found == name.as_bytes());
    if !is_ours {
        return line.len();
    }
    let (end, start) = (text.len(), colon + 1);
    let (mut at, mut to, mut count) = (start, start, 0);
    while at < end {
        let bytes = line[at..end].iter().position(|&byte| byte == b';').unwrap_or(end - at);
        let (found, _) = pair(&line[at..at + bytes]);
        if found != name.as_bytes() {
            // The separator belongs to the cookie after it.
            let first = if count == 0 { at } else { at - 1 };
            line.copy_within(first..at + bytes, to);
            to += at + bytes - first;
            count += 1;
        }
        at += bytes + 1;
    }
    if line[start..to].trim_ascii().is_empty() {
        return 0;
    }
    line[to..to + 2].copy_from_slice(b"\r\n");
    to + 2
}

/// Adds the line that sets the cookie to the written head of `length` bytes at the start of `out`;
/// returns the new length.
///
/// Errors: it does not fit into `out`.
pub fn set(
    out: &mut [u8],
    length: usize,
    (name, value): (&str, NonZeroU64),
    security: Security,
) -> Result<usize, Overflow> {
    let mut to = Writer::new(out);
    to.skip(length - 2);
    to.append_all(&[b"Set-Cookie: ", name.as_bytes(), b"=", &digits(value)]);
    to.append(b"; Path=/; HttpOnly; SameSite=Lax");
    match security {
        Security::Plain => {}
        Security::Secure => to.append(b"; Secure"),
    }
    to.append(b"\r\n\r\n");
    to.finish()
}

/// Over which connections a client may send a cookie back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Plain,
    /// Over TLS only.
    Secure,
}

fn is_cookie(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"cookie")
}

/// The cookies of a field's value, each as its name and its value.
fn pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value.split(|&byte| byte == b';').map(pair)
}

fn pair(text: &[u8]) -> (&[u8], &[u8]) {
    let equals = text.iter().position(|&byte| byte == b'=');
    let (name, value) = text.split_at(equals.unwrap_or(text.len()));
    (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii())
}

fn digits(value: NonZeroU64) -> [u8; DIGITS] {
    let value = value.get();
    std::array::from_fn(|at| b"0123456789abcdef"[(value >> (60 - 4 * at)) as usize & 15])
}

fn parse(text: &[u8]) -> Option<NonZeroU64> {
    let digit = |value: u64, &byte: &u8| match byte {
        b'0'..=b'9' => Some(value << 4 | u64::from(byte - b'0')),
        b'a'..=b'f' => Some(value << 4 | u64::from(byte - b'a' + 10)),
        _ => None,
    };
    let value = text.iter().try_fold(0, digit).filter(|_| text.len() == DIGITS)?;
    NonZeroU64::new(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{self, Parse, RequestHead};

    fn found(lines: &str) -> Option<u64> {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let mut head = RequestHead::default();
        assert_eq!(head::request(text.as_bytes(), &mut head), Parse::Complete, "{text:?}");
        value(text.as_bytes(), &head.fields, "srv").map(NonZeroU64::get)
    }

    #[test]
    fn the_cookie_is_found_among_others_and_its_value_is_strict() {
        for (lines, expected) in [
            ("", None),
            ("Cookie: srv=00000000000000ff\r\n", Some(0xff)),
            ("cookie:srv=00000000000000ff\r\n", Some(0xff)),
            ("Cookie: a=b; srv=00000000000000ff; c=d\r\n", Some(0xff)),
            ("Cookie: a=b\r\nCookie: srv=0123456789abcdef\r\n", Some(0x0123_4567_89ab_cdef)),
            ("Cookie: srv=0000000000000001; srv=0000000000000002\r\n", Some(1)),
            ("Cookie: a=b;srv = 00000000000000ff ;c\r\n", Some(0xff)),
            ("Cookie: srv=0\r\n", None),
            ("Cookie: srv=00000000000000000ff\r\n", None),
            ("Cookie: srv=00000000000000FF\r\n", None),
            ("Cookie: srv=000000000000000g\r\n", None),
            ("Cookie: srv=0000000000000000\r\n", None),
            ("Cookie: srv\r\n", None),
            ("Cookie: SRV=00000000000000ff\r\n", None),
            ("Cookie: xsrv=00000000000000ff\r\n", None),
            ("Cookie: a=srv=00000000000000ff\r\n", None),
            ("Set-Cookie: srv=00000000000000ff\r\n", None),
            ("Cookie:\r\n", None),
            ("Cookie: ;;;\r\n", None),
        ] {
            assert_eq!(found(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn only_that_cookie_is_cut_out() {
        for (lines, expected) in [
            ("", ""),
            ("Cookie: srv=1\r\n", ""),
            ("Cookie: srv=1; a=b\r\n", "Cookie: a=b\r\n"),
            ("Cookie: a=b; srv=1\r\n", "Cookie: a=b\r\n"),
            ("Cookie: a=b; srv=1; c=d\r\n", "Cookie: a=b; c=d\r\n"),
            ("cookie:a=b;srv=1;c=\"d\"\r\n", "cookie:a=b;c=\"d\"\r\n"),
            ("Cookie: srv=1; srv=2\r\n", ""),
            ("Cookie: srv=1; a=b; srv=2; c=d; srv\r\n", "Cookie: a=b; c=d\r\n"),
            ("Cookie: a=b\r\nX: y\r\nCookie: srv=1\r\nZ: z\r\n", "Cookie: a=b\r\nX: y\r\nZ: z\r\n"),
            ("Cookie: a=srv; xsrv=1; SRV=2\r\n", "Cookie: a=srv; xsrv=1; SRV=2\r\n"),
            (
                "X-Cookie: srv=1\r\nSet-Cookie: srv=1\r\n",
                "X-Cookie: srv=1\r\nSet-Cookie: srv=1\r\n",
            ),
            ("Cookie:  a=b ;  srv=1  \r\n", "Cookie:  a=b \r\n"),
            ("Cookie: ; srv=1 ;\r\n", ""),
            ("Cookie:\r\n", "Cookie:\r\n"),
            ("Cookie: srv\r\n", ""),
        ] {
            let start = "GET /cookie:srv=1 HTTP/1.1\r\nHost: x\r\n";
            let mut head = format!("{start}{lines}\r\nbody").into_bytes();
            let length = head.len() - "body".len();
            let length = cut(&mut head, length, "srv");
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            assert_eq!(text, format!("{start}{expected}\r\n"), "{lines:?}");
        }
    }

    #[test]
    fn the_cookie_is_set_for_every_path_and_hidden_from_scripts() {
        let head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        let tag = NonZeroU64::new(0xff).expect("not zero");
        for (security, more) in [(Security::Plain, ""), (Security::Secure, "; Secure")] {
            let mut out = [0; 256];
            out[..head.len()].copy_from_slice(head);
            let length = set(&mut out, head.len(), ("srv", tag), security).expect("fits");
            let expected = format!(
                "HTTP/1.1 200 OK\r\nA: b\r\nSet-Cookie: srv=00000000000000ff; Path=/; HttpOnly; \
                 SameSite=Lax{more}\r\n\r\n"
            );
            assert_eq!(String::from_utf8_lossy(&out[..length]), expected);
            assert_eq!(
                set(&mut out[..length - 1], head.len(), ("srv", tag), security),
                Err(Overflow)
            );
        }
        let longest = "n".repeat(64);
        let mut out = [0; 512];
        let length = set(&mut out, 2, (&longest, tag), Security::Secure).expect("fits");
        assert!(length <= SET_BYTES_MAX + 2, "{length}");
    }
}
