//! One request as one line: the combined log format, and the line of `-v`.

use super::Record;
use crate::base::time::Instant;
use crate::http::date::Civil;
use crate::http::field::Name;
use crate::http::head::RequestHead;
use std::fmt;
use std::net::IpAddr;

/// Most bytes of a request line, referer or user agent that a log line repeats.
const QUOTED_BYTES_MAX: usize = 1024;

/// What the logs need of a request after its head is gone.
#[derive(Debug)]
pub struct Noted {
    request_line: Box<[u8]>,
    referer: Box<[u8]>,
    agent: Box<[u8]>,
    /// Why this backend, for `-v`; empty without.
    pub why: String,
    /// The backend as written; empty when no backend was chosen.
    pub backend: String,
}

impl Noted {
    /// Notes the head whose bytes are `bytes`.
    pub fn of(bytes: &[u8], head: &RequestHead) -> Noted {
        let line = bytes.get(head.method_text.start()..).unwrap_or_default();
        let line_end = line.iter().position(|&byte| byte == b'\r').unwrap_or(line.len());
        let value = |name| head.fields.find(name).map_or(&b""[..], |line| line.value.of(bytes));
        let keep = |text: &[u8]| Box::from(&text[..text.len().min(QUOTED_BYTES_MAX)]);
        Noted {
            request_line: keep(&line[..line_end]),
            referer: keep(value(Name::Referer)),
            agent: keep(value(Name::UserAgent)),
            why: String::new(),
            backend: String::new(),
        }
    }

    /// For a request that could not be read.
    pub fn unread() -> Noted {
        let none = || Box::from(&b""[..]);
        Noted {
            request_line: none(),
            referer: none(),
            agent: none(),
            why: String::new(),
            backend: String::new(),
        }
    }
}

/// A line of the access log in the combined format.
#[derive(Debug)]
pub struct Combined<'a> {
    pub client: IpAddr,
    /// Seconds since 1970 when the answer was complete.
    pub unix_seconds: u64,
    pub record: &'a Record,
}

impl fmt::Display for Combined<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(noted) = &self.record.noted else { return Ok(()) };
        let at = Civil::of(self.unix_seconds);
        write!(
            out,
            "{} - - [{:02}/{}/{}",
            self.client.to_canonical(),
            at.day,
            at.month_name(),
            at.year
        )?;
        write!(out, ":{:02}:{:02}:{:02} +0000] ", at.hour, at.minute, at.second)?;
        write!(out, "\"{}\" ", Quoted(&noted.request_line))?;
        write!(out, "{} {} ", self.record.status, self.record.response_bytes)?;
        let (referer, agent) = (OrDash(&noted.referer), OrDash(&noted.agent));
        write!(out, "\"{referer}\" \"{agent}\"")
    }
}

/// The line of `-v`.
#[derive(Debug)]
pub struct Verbose<'a> {
    pub client: IpAddr,
    /// When the request was complete.
    pub since: Instant,
    /// When its answer was.
    pub now: Instant,
    pub record: &'a Record,
}

impl fmt::Display for Verbose<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(noted) = &self.record.noted else { return Ok(()) };
        let micros = self.now.since(self.since).as_micros();
        write!(out, "{} \"{}\" ", self.client.to_canonical(), Quoted(&noted.request_line))?;
        write!(out, "{} {} bytes ", self.record.status, self.record.response_bytes)?;
        write!(out, "{}.{:03} ms", micros / 1000, micros % 1000)?;
        if !noted.backend.is_empty() {
            write!(out, " by {}", noted.backend)?;
        }
        if !noted.why.is_empty() {
            write!(out, " ({})", noted.why)?;
        }
        Ok(())
    }
}

/// Text from the network inside quotes: what could end the quote or the line is escaped.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for &byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(out, "\\{}", char::from(byte))?,
                b' '..=b'~' => out.write_char(char::from(byte))?,
                _ => write!(out, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

struct OrDash<'a>(&'a [u8]);

impl fmt::Display for OrDash<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { out.write_str("-") } else { Quoted(self.0).fmt(out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head;

    #[test]
    fn one_request_is_one_line_whatever_the_client_sent() {
        let text = b"GET /\"x HTTP/1.1\r\nHost: x\r\nUser-Agent: a\\b\xff\r\n\r\n";
        let mut parsed = RequestHead::default();
        assert_eq!(head::request(text, &mut parsed), head::Parse::Complete);
        let mut noted = Noted::of(text, &parsed);
        noted.backend = "b:81".to_string();
        noted.why = "rr: its turn".to_string();
        let record = Record { status: 200, response_bytes: 12, noted: Some(Box::new(noted)) };
        let client = "::ffff:10.0.0.1".parse().expect("an address");
        let line = Combined { client, unix_seconds: 784_111_777, record: &record }.to_string();
        assert_eq!(
            line,
            r#"10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] "GET /\"x HTTP/1.1" 200 12 "-" "a\\b\xff""#
        );
        let (since, now) = (Instant::from_micros(1_000), Instant::from_micros(3_500));
        let line = Verbose { client, since, now, record: &record }.to_string();
        assert_eq!(
            line,
            r#"10.0.0.1 "GET /\"x HTTP/1.1" 200 12 bytes 2.500 ms by b:81 (rr: its turn)"#
        );
    }
}
