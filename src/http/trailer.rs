//! Which trailer fields are forwarded (RFC 9110 §6.5.1): not those that a recipient needs before
//! the content. These are dropped line by line, so that a recipient that merges trailers into the
//! head sees the message that was checked here.

use super::chunked::TRAILER_BYTES_MAX;
use super::field::Name;
use crate::base::token::is_same_field;

/// Fields that belong in the head, besides all those known to [`Name`]: authentication, request
/// modifiers, response controls and content format.
const HEAD_ONLY: [&[u8]; 25] = [
    // Authentication.
    b"cookie",
    b"set-cookie",
    // Request modifiers.
    b"accept",
    b"accept-charset",
    b"accept-encoding",
    b"accept-language",
    b"cache-control",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"pragma",
    b"range",
    // Response controls.
    b"age",
    b"expires",
    b"location",
    b"proxy-status",
    b"retry-after",
    b"vary",
    // Content format.
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-range",
    b"content-type",
];

/// Length of the first line of `input`, including its line end. None while it is incomplete. A line
/// past [`TRAILER_BYTES_MAX`] counts as complete, as it is malformed already.
pub fn line(input: &[u8]) -> Option<usize> {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(end) => Some(end + 1),
        None => (input.len() > usize::from(TRAILER_BYTES_MAX)).then_some(input.len()),
    }
}

/// Whether a line of the trailer section is forwarded: the empty line always, and if `wanted` each
/// field that does not belong in the head.
pub fn is_forwarded(line: &[u8], wanted: bool) -> bool {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    line == b"\r\n" || (wanted && !belongs_in_head(name))
}

/// Whether a recipient that merges trailers into the head could take this field for one that is
/// checked or replaced there. CGI-like servers do not distinguish `_` and `-`.
fn belongs_in_head(name: &[u8]) -> bool {
    Name::of(name) != Name::Other || HEAD_ONLY.iter().any(|known| is_same_field(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_belong_in_the_head_are_dropped() {
        const KNOWN: [&[u8]; 14] = [
            b"authorization",
            b"connection",
            b"content-length",
            b"forwarded",
            b"host",
            b"proxy-authorization",
            b"te",
            b"trailer",
            b"transfer-encoding",
            b"via",
            b"www-authenticate",
            b"x-forwarded-for",
            b"x-forwarded-port",
            b"x-real-ip",
        ];
        for name in HEAD_ONLY.into_iter().chain(KNOWN) {
            let text = String::from_utf8_lossy(name).to_uppercase();
            for text in [&text, &text.replace('-', "_"), &text.replacen('-', "_", 1)] {
                assert!(!is_forwarded(format!("{text}: x\r\n").as_bytes(), true), "{text}");
            }
        }
        // As prefixes they mean nothing.
        for name in HEAD_ONLY {
            let line = format!("{}-x: y\r\n", String::from_utf8_lossy(name));
            assert!(is_forwarded(line.as_bytes(), true), "{line}");
        }
        for line in ["ETag: \"x\"\r\n", "Server-Timing: db\r\n", "X-Sum: host\r\n"] {
            assert!(is_forwarded(line.as_bytes(), true), "{line:?}");
            assert!(!is_forwarded(line.as_bytes(), false), "{line:?}");
        }
        assert!(is_forwarded(b"\r\n", true) && is_forwarded(b"\r\n", false));
    }

    #[test]
    fn a_line_is_complete_with_its_end_or_past_the_limit() {
        assert_eq!(line(b"A: b\r\nC: d\r\n"), Some(6));
        assert_eq!(line(b"\r\n"), Some(2));
        assert_eq!(line(b""), None);
        assert_eq!(line(b"A: b\r"), None);
        let limit = usize::from(TRAILER_BYTES_MAX);
        assert_eq!(line(&vec![b'x'; limit]), None);
        assert_eq!(line(&vec![b'x'; limit + 1]), Some(limit + 1));
    }
}
