//! Responses made here: errors and redirects, with a small page that explains itself.

use super::date::DATE_BYTES;
use super::writer::{Overflow, Writer};

/// A response to write.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Status code.
    pub status: u16,
    /// One sentence for the person who sees the page; plain text.
    pub sentence: &'a str,
    /// Value of `Date`.
    pub date: &'a [u8; DATE_BYTES],
    /// Error type for `Proxy-Status` (RFC 9209 §2.3).
    pub cause: &'a str,
    /// What the log line about this request has too, for `X-Request-Id`.
    pub request_id: u64,
    /// Seconds for `Retry-After` (RFC 9110 §10.2.3).
    pub retry_after: Option<u32>,
    /// Authority and path for `Location`, in three parts.
    pub location: Option<[&'a [u8]; 3]>,
    /// The connection ends behind this response.
    pub close: bool,
    /// An HTTP/1.0 client is told that the connection stays.
    pub keep_alive: bool,
    /// The page instead of the built-in one.
    pub page: Option<&'a [u8]>,
    /// The request was HEAD: the page's length is told but the page not sent (RFC 9110 §9.3.2).
    pub head_only: bool,
}

/// How long a response has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// In all.
    pub bytes: usize,
    /// Of these, the page's.
    pub page_bytes: usize,
}

/// Writes `reply` to the start of `out`.
pub fn write(reply: &Reply<'_>, out: &mut [u8]) -> Result<Written, Overflow> {
    let reason = reason(reply.status).as_bytes();
    let code = digits(reply.status);
    let built_in = page_parts(&code, reason, reply.sentence);
    let page = reply.page.as_ref().map_or(&built_in[..], std::slice::from_ref);
    let page_bytes: usize = page.iter().map(|part| part.len()).sum();
    let mut to = Writer::new(out);
    to.append_all(&[b"HTTP/1.1 ", &code, b" ", reason, b"\r\nDate: ", reply.date]);
    to.append(b"\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: ");
    to.append_decimal(page_bytes as u64);
    to.append(b"\r\nCache-Control: no-store\r\nProxy-Status: loadbalancer; error=");
    to.append_all(&[reply.cause.as_bytes(), b"\r\nX-Request-Id: "]);
    to.append(&hex(reply.request_id));
    to.append(b"\r\n");
    if let Some(seconds) = reply.retry_after {
        to.append(b"Retry-After: ");
        to.append_decimal(u64::from(seconds));
        to.append(b"\r\n");
    }
    if let Some([authority, path_prefix, path]) = reply.location {
        to.append_all(&[b"Location: http://", authority, path_prefix, path, b"\r\n"]);
    }
    if reply.close {
        to.append(b"Connection: close\r\n");
    } else if reply.keep_alive {
        to.append(b"Connection: keep-alive\r\n");
    }
    to.append(b"\r\n");
    if !reply.head_only {
        to.append_all(page);
    }
    let page_bytes = if reply.head_only { 0 } else { page_bytes };
    Ok(Written { bytes: to.finish()?, page_bytes })
}

/// The page alone, for a server that writes a head of its own. `sentence` is plain text without
/// `<` and `&`.
pub fn page(status: u16, sentence: &str) -> Vec<u8> {
    page_parts(&digits(status), reason(status).as_bytes(), sentence).concat()
}

fn page_parts<'a>(code: &'a [u8; 3], reason: &'a [u8], sentence: &'a str) -> [&'a [u8]; 11] {
    [
        b"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>",
        code,
        b" ",
        reason,
        b"</title></head>\n<body><h1>",
        code,
        b" ",
        reason,
        b"</h1><p>",
        sentence.as_bytes(),
        b"</p></body></html>\n",
    ]
}

fn hex(id: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(id >> (60 - 4 * at)) as usize & 15])
}

fn digits(status: u16) -> [u8; 3] {
    [status / 100 % 10, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8)
}

/// The reason phrase of RFC 9110 §15 for the codes this program makes.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_told_length_is_the_pages_and_head_gets_no_page() {
        let date = super::super::date::imf_fixdate(0);
        let mut reply = Reply {
            status: 503,
            sentence: "No server is up.",
            date: &date,
            cause: "destination_unavailable",
            request_id: 0xab,
            retry_after: Some(1),
            location: None,
            close: true,
            keep_alive: false,
            page: None,
            head_only: false,
        };
        let mut out = [0; 1024];
        let whole = write(&reply, &mut out).expect("fits");
        let text = String::from_utf8_lossy(&out[..whole.bytes]).into_owned();
        let (head, page) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\nDate: Thu"), "{head}");
        assert!(head.contains("\r\nProxy-Status: loadbalancer; error=destination_unavailable\r\n"));
        assert!(head.contains("\r\nX-Request-Id: 00000000000000ab\r\n"), "{head}");
        assert!(head.contains("\r\nRetry-After: 1\r\nConnection: close"), "{head}");
        assert_eq!(whole.page_bytes, page.len());
        assert!(head.contains(&format!("Content-Length: {}\r\n", page.len())), "{head}");
        assert!(page.contains("<h1>503 Service Unavailable</h1><p>No server is up.</p>"));
        reply.head_only = true;
        let short = write(&reply, &mut out).expect("fits");
        assert_eq!(&out[..short.bytes], &text.as_bytes()[..whole.bytes - page.len()]);
        assert_eq!(short.page_bytes, 0);
    }
}
