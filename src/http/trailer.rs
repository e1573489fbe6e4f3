//! Which trailer fields are forwarded (RFC 9110 §6.5.1): not those that a recipient needs before
//! the content. These are dropped line by line, so that a recipient that merges trailers into the
//! head sees the message that was checked here.

use super::chunked::TRAILER_BYTES_MAX;

/// Fields that belong in the head: framing, routing, authentication, request modifiers, response
/// controls, content format, and hop-by-hop fields.
const HEAD_ONLY: [&[u8]; 46] = [
    // Framing and connection.
    b"connection",
    b"content-length",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    // Routing and client addresses.
    b"forwarded",
    b"host",
    b"max-forwards",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    // Authentication.
    b"authorization",
    b"cookie",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"set-cookie",
    b"www-authenticate",
    // Request modifiers.
    b"accept",
    b"accept-charset",
    b"accept-encoding",
    b"accept-language",
    b"cache-control",
    b"expect",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"pragma",
    b"range",
    // Response controls.
    b"age",
    b"date",
    b"expires",
    b"location",
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
    line == b"\r\n" || (wanted && !HEAD_ONLY.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_belong_in_the_head_are_dropped() {
        for name in HEAD_ONLY {
            let text = String::from_utf8_lossy(name).to_uppercase();
            assert!(!is_forwarded(format!("{text}: x\r\n").as_bytes(), true), "{text}");
            assert!(is_forwarded(format!("{text}-x: x\r\n").as_bytes(), true), "{text}-x");
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
