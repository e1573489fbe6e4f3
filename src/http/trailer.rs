//! Which trailer fields may go on (RFC 9110 §6.5.1): not those whose meaning a reader needs before
//! the content. They are dropped, each line as a whole, so that no reader can merge them into the
//! head and see another message than was checked here.

use super::chunked::TRAILER_BYTES_MAX;

/// Fields of framing, routing, authentication, request modifiers, response controls and content
/// format, and those about one connection.
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
    // Routing, and who asked.
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

/// Length of the line that `input` begins with, its line end included. None: it is not whole, but
/// may become so; one past the limit is whole as it is, and malformed.
pub fn line(input: &[u8]) -> Option<usize> {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(end) => Some(end + 1),
        None => (input.len() > usize::from(TRAILER_BYTES_MAX)).then_some(input.len()),
    }
}

/// Whether a line of the trailer section goes on: the empty line, and unless all are unwanted
/// every field that is not for heads only.
pub fn is_forwarded(line: &[u8], wanted: bool) -> bool {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    line == b"\r\n" || (wanted && !HEAD_ONLY.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_belong_into_the_head_do_not_go_on() {
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
    fn a_line_is_whole_with_its_end_or_past_the_limit() {
        assert_eq!(line(b"A: b\r\nC: d\r\n"), Some(6));
        assert_eq!(line(b"\r\n"), Some(2));
        assert_eq!(line(b""), None);
        assert_eq!(line(b"A: b\r"), None);
        let limit = usize::from(TRAILER_BYTES_MAX);
        assert_eq!(line(&vec![b'x'; limit]), None);
        assert_eq!(line(&vec![b'x'; limit + 1]), Some(limit + 1));
    }
}
