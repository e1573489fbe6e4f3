//! One log line per request: the combined format, JSON, and the format of `-v`.

use super::event_time::EventTime;
use super::{Outcome, ProxyError, Record};
use crate::base::time::Instant;
use crate::http::date::Civil;
use crate::http::field::Name;
use crate::http::head::RequestHead;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Most bytes of a request line, referer or user agent in a log line; the rest is cut off.
const QUOTED_BYTES_MAX: usize = 1024;

/// The text of a request that the logs need after its head has left the buffer.
#[derive(Debug)]
pub struct RequestNotes {
    /// Unique in this process; also the `X-Request-Id` of responses generated here.
    pub id: u64,
    request_line: Box<[u8]>,
    referer: Box<[u8]>,
    agent: Box<[u8]>,
    /// Why this backend was chosen; empty without `-v`.
    pub why: String,
    /// What was wrong with the request or the response; empty if nothing was, or if the outcome
    /// says it already.
    pub reason: &'static str,
    /// The backend as configured; empty if none was chosen.
    pub backend: String,
}

impl RequestNotes {
    /// The notes of a request whose head has these `bytes`.
    pub fn of(id: u64, bytes: &[u8], head: &RequestHead) -> RequestNotes {
        let line = bytes.get(head.method_text.start()..).unwrap_or_default();
        let line_end = line.iter().position(|&byte| byte == b'\r').unwrap_or(line.len());
        let value = |name| head.fields.find(name).map_or(&b""[..], |line| line.value.of(bytes));
        RequestNotes {
            referer: truncated(value(Name::Referer)),
            agent: truncated(value(Name::UserAgent)),
            ..RequestNotes::without_head(id, &line[..line_end])
        }
    }

    /// The notes of a request whose head could not be parsed.
    pub fn without_head(id: u64, request_line: &[u8]) -> RequestNotes {
        RequestNotes {
            id,
            request_line: truncated(request_line),
            referer: truncated(b""),
            agent: truncated(b""),
            why: String::new(),
            reason: "",
            backend: String::new(),
        }
    }
}

fn truncated(text: &[u8]) -> Box<[u8]> {
    Box::from(&text[..text.len().min(QUOTED_BYTES_MAX)])
}

/// A line of the access log: the combined format, then the id of the request and the backend.
#[derive(Debug)]
pub struct Combined<'a> {
    pub client: IpAddr,
    /// When the response was complete, in milliseconds since 1970.
    pub unix_ms: u64,
    pub record: &'a Record,
    pub notes: &'a RequestNotes,
}

impl fmt::Display for Combined<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Civil::of(self.unix_ms / 1000);
        let (client, notes) = (self.client.to_canonical(), self.notes);
        write!(out, "{client} - - [{:02}/{}/{}", at.day, at.month_name(), at.year)?;
        write!(out, ":{:02}:{:02}:{:02} +0000] ", at.hour, at.minute, at.second)?;
        write!(out, "\"{}\" ", Quoted(&notes.request_line))?;
        write!(out, "{} {} ", self.record.status, self.record.response_bytes)?;
        let (referer, agent) = (OrDash(&notes.referer), OrDash(&notes.agent));
        write!(out, "\"{referer}\" \"{agent}\" {:016x} ", notes.id)?;
        write!(out, "{}", OrDash(notes.backend.as_bytes()))
    }
}

/// A line of the access log as one JSON object. `time` is in seconds, the others in microseconds;
/// `null` for a stage that was not reached. Bytes outside printable ASCII are escaped as Latin-1
/// characters.
#[derive(Debug)]
pub struct Json<'a> {
    pub client: IpAddr,
    /// When the response was complete, in milliseconds since 1970.
    pub unix_ms: u64,
    /// When the response was complete.
    pub now: Instant,
    pub record: &'a Record,
    pub notes: &'a RequestNotes,
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (record, notes) = (self.record, self.notes);
        let (seconds, ms) = (self.unix_ms / 1000, self.unix_ms % 1000);
        write!(out, "{{\"time\":{seconds}.{ms:03},\"id\":\"{:016x}\"", notes.id)?;
        write!(out, ",\"client\":\"{}\"", self.client.to_canonical())?;
        write!(out, ",\"request\":\"{}\"", Escaped(&notes.request_line))?;
        write!(out, ",\"status\":{},\"bytes\":{}", record.status, record.response_bytes)?;
        write!(out, ",\"referer\":\"{}\"", Escaped(&notes.referer))?;
        write!(out, ",\"agent\":\"{}\"", Escaped(&notes.agent))?;
        write!(out, ",\"backend\":\"{}\"", Escaped(notes.backend.as_bytes()))?;
        let span = |from: Instant, to: Instant| Micros(Some(to.since(from)));
        let body = span(record.arrived, record.ready);
        let connect = Micros(record.connected.map(|at| at.since(record.begun)));
        let first_byte = Micros(record.answered.map(|at| at.since(record.begun)));
        write!(out, ",\"body_us\":{body},\"queue_us\":{}", span(record.ready, record.admitted))?;
        write!(out, ",\"connect_us\":{connect},\"first_byte_us\":{first_byte}")?;
        write!(out, ",\"total_us\":{}", span(record.arrived, self.now))?;
        write!(out, ",\"retries\":{},\"end\":\"{}\"", record.retries, record.outcome.name())?;
        write!(out, ",\"reason\":\"{}\"}}", Escaped(notes.reason.as_bytes()))
    }
}

struct Micros(Option<Duration>);

impl fmt::Display for Micros {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(span) => write!(out, "{}", span.as_micros()),
            None => out.write_str("null"),
        }
    }
}

/// A line of `-v`: time (UTC; on a terminal only that of the day), client, request, response, time it took, server, and why that
/// server.
#[derive(Debug)]
pub struct Verbose<'a> {
    pub client: IpAddr,
    /// What event lines begin with.
    pub time: EventTime,
    /// When the response was complete, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The same time.
    pub now: Instant,
    pub record: &'a Record,
    pub notes: &'a RequestNotes,
}

impl fmt::Display for Verbose<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (record, notes) = (self.record, self.notes);
        match self.time {
            EventTime(Some(_)) => write!(out, "{}", self.time)?,
            EventTime(None) => {
                let at = Civil::of(self.unix_ms / 1000);
                write!(out, "{:02}:{:02}:{:02}.", at.hour, at.minute, at.second)?;
                write!(out, "{:03} ", self.unix_ms % 1000)?;
            }
        }
        write!(out, "{} ", self.client.to_canonical())?;
        write!(out, "\"{}\" {} ", Quoted(&notes.request_line), record.status)?;
        write!(out, "{} bytes ", record.response_bytes)?;
        write!(out, "{} ms", Millis(self.now.since(record.arrived)))?;
        let queued = record.admitted.since(record.ready);
        if queued >= Duration::from_millis(1) {
            write!(out, " ({} queued)", Millis(queued))?;
        }
        if !notes.backend.is_empty() {
            write!(out, " by {}", notes.backend)?;
        }
        match record.outcome {
            Outcome::Complete => {}
            Outcome::Local(ProxyError::InternalResponse) if record.status / 100 == 3 => {
                out.write_str(", redirected")?;
            }
            Outcome::Local(ProxyError::InternalResponse) => out.write_str(", answered here")?,
            Outcome::Local(_)
            | Outcome::ClientGone
            | Outcome::ServerClosed
            | Outcome::ServerMalformed
            | Outcome::Stopped
            | Outcome::TimedOut => write!(out, ", {}", record.outcome.name())?,
        }
        if !notes.reason.is_empty() {
            write!(out, ": {}", notes.reason)?;
        }
        match record.retries {
            0 => {}
            1 => out.write_str(", 1 retry")?,
            retries => write!(out, ", {retries} retries")?,
        }
        if !notes.why.is_empty() {
            write!(out, "; {}", notes.why)?;
        }
        write!(out, "; {:016x}", notes.id)
    }
}

/// Milliseconds: with a tenth below 10, whole ones above.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            micros @ 0..10_000 => write!(out, "{}.{}", micros / 1000, micros / 100 % 10),
            micros => write!(out, "{}", micros / 1000),
        }
    }
}

/// Text from the network inside a JSON string.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for &byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(out, "\\{}", char::from(byte))?,
                b' '..=b'~' => out.write_char(char::from(byte))?,
                _ => write!(out, "\\u{byte:04x}")?,
            }
        }
        Ok(())
    }
}

/// Text from the network inside quotes: what could end the quote or the line, or control a
/// terminal, is escaped.
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
    fn one_request_is_one_line_for_any_bytes_of_the_client() {
        let text = b"GET /\"x HTTP/1.1\r\nHost: x\r\nUser-Agent: a\\b\xff\r\n\r\n";
        let mut parsed = RequestHead::default();
        assert_eq!(head::request(text, &mut parsed), head::Parse::Complete);
        let mut notes = RequestNotes::of(0xab, text, &parsed);
        notes.backend = "b:81".to_string();
        notes.why = "rr: its turn".to_string();
        let at = Instant::from_micros;
        let record = Record {
            status: 200,
            retries: 1,
            response_bytes: 12,
            arrived: at(1_000),
            ready: at(1_000),
            admitted: at(1_500),
            begun: at(1_600),
            answered: Some(at(2_000)),
            ..Record::default()
        };
        let client = "::ffff:10.0.0.1".parse().expect("an address");
        let (now, unix_ms) = (at(3_500), 784_111_777_604);
        let (record, notes) = (&record, &notes);
        assert_eq!(
            Combined { client, unix_ms, record, notes }.to_string(),
            concat!(
                r#"10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] "GET /\"x HTTP/1.1" 200 12 "-" "#,
                r#""a\\b\xff" 00000000000000ab b:81"#
            )
        );
        assert_eq!(
            Verbose { client, time: EventTime(None), unix_ms, now, record, notes }.to_string(),
            concat!(
                r#"08:49:37.604 10.0.0.1 "GET /\"x HTTP/1.1" 200 12 bytes 2.5 ms by b:81, "#,
                "1 retry; rr: its turn; 00000000000000ab"
            )
        );
        assert_eq!(
            Json { client, unix_ms, now, record, notes }.to_string(),
            concat!(
                r#"{"time":784111777.604,"id":"00000000000000ab","client":"10.0.0.1","#,
                r#""request":"GET /\"x HTTP/1.1","status":200,"bytes":12,"referer":"","#,
                r#""agent":"a\\b\u00ff","backend":"b:81","body_us":0,"queue_us":500,"#,
                r#""connect_us":null,"first_byte_us":400,"total_us":2500,"retries":1,"end":"complete","#,
                r#""reason":""}"#
            )
        );
    }

    #[test]
    fn the_verbose_line_has_the_queue_time_and_how_it_ended() {
        let local = Outcome::Local;
        for (outcome, status, reason, retries, expected) in [
            (Outcome::Complete, 200, "", 0, "200 7 bytes 604 ms (302 queued) by b"),
            (
                Outcome::TimedOut,
                200,
                "",
                2,
                "200 7 bytes 604 ms (302 queued) by b, timed_out, 2 retries",
            ),
            (
                local(ProxyError::Limit),
                503,
                "busy",
                0,
                "503 7 bytes 604 ms (302 queued) by b, connection_limit_reached: busy",
            ),
            (
                local(ProxyError::InternalResponse),
                307,
                "",
                0,
                "307 7 bytes 604 ms (302 queued) by b, redirected",
            ),
            (
                local(ProxyError::InternalResponse),
                200,
                "",
                0,
                "200 7 bytes 604 ms (302 queued) by b, answered here",
            ),
        ] {
            let mut notes = RequestNotes::without_head(1, b"GET /");
            notes.backend = String::from("b");
            notes.reason = reason;
            let record = Record {
                status,
                retries,
                outcome,
                response_bytes: 7,
                admitted: Instant::from_micros(302_500),
                ..Record::default()
            };
            let client = "10.0.0.1".parse().expect("an address");
            let now = Instant::from_micros(604_900);
            let line = Verbose {
                client,
                time: EventTime(None),
                unix_ms: 0,
                now,
                record: &record,
                notes: &notes,
            };
            let expected = format!("00:00:00.000 10.0.0.1 \"GET /\" {expected}; 0000000000000001");
            assert_eq!(line.to_string(), expected);
        }
    }
}
