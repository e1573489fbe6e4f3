//! One log line per request: the combined format, JSON, and the format of `-v`.

use super::client::ClientName;
use super::event_time::EventTime;
use super::line::{Escape, Line};
use super::secured::SecuredNotes;
use super::{Outcome, ProxyError, Record};
use crate::base::time::Instant;
use crate::http::date::{Civil, LOG_DATE_BYTES};
use crate::http::field::Name;
use crate::http::head::RequestHead;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Most bytes of a request line, referer or user agent in a log line; the rest is cut off.
const QUOTED_BYTES_MAX: usize = 1024;

/// The text of a request that the logs need after its head has left the buffer. Kept and used again
/// for later requests.
#[derive(Debug, Default)]
pub struct RequestNotes {
    /// Unique in this process; also the `X-Request-Id` of responses generated here.
    pub id: u64,
    request_line: Vec<u8>,
    referer: Vec<u8>,
    agent: Vec<u8>,
    /// Why this backend was chosen: in words with `-v`, else in one.
    why: String,
    /// What was wrong with the request or the response; empty if nothing was, or if the outcome
    /// says it already.
    pub reason: &'static str,
    /// The backend as configured; empty if none was chosen.
    backend: String,
    /// The client's connection, if it is in TLS.
    pub secured: Option<SecuredNotes>,
}

impl RequestNotes {
    /// Forgets all, for the request of this `id`.
    pub fn begin(&mut self, id: u64) {
        self.id = id;
        for text in [&mut self.request_line, &mut self.referer, &mut self.agent] {
            text.clear();
        }
        self.why.clear();
        self.reason = "";
        self.backend.clear();
        self.secured = None;
    }

    /// Notes what the logs need of a request whose head has these `bytes`.
    pub fn head(&mut self, bytes: &[u8], head: &RequestHead) {
        let line = bytes.get(head.method_text.start()..).unwrap_or_default();
        let line_end = line.iter().position(|&byte| byte == b'\r').unwrap_or(line.len());
        self.line(&line[..line_end]);
        for line in head.fields.lines() {
            match line.name {
                Name::Referer if self.referer.is_empty() => {
                    self.referer.extend_from_slice(truncated(line.value.of(bytes)));
                }
                Name::UserAgent if self.agent.is_empty() => {
                    self.agent.extend_from_slice(truncated(line.value.of(bytes)));
                }
                _ => {}
            }
        }
    }

    /// Notes the first line of a request whose head could not be parsed.
    pub fn line(&mut self, line: &[u8]) {
        self.request_line.extend_from_slice(truncated(line));
    }

    /// Notes why the backend was chosen, in place of an earlier reason.
    pub fn why(&mut self, why: &str) {
        self.why.clear();
        self.why.push_str(why);
    }

    /// Notes the backend that was chosen, in place of an earlier one.
    pub fn backend(&mut self, name: &str) {
        self.backend.clear();
        self.backend.push_str(name);
    }
}

fn truncated(text: &[u8]) -> &[u8] {
    &text[..text.len().min(QUOTED_BYTES_MAX)]
}

/// A line of the access log: the combined format, then the id of the request and the backend.
#[derive(Debug)]
pub struct Combined<'a> {
    pub client: Option<IpAddr>,
    /// When the response was complete.
    pub date: &'a [u8; LOG_DATE_BYTES],
    pub record: &'a Record,
    pub notes: &'a RequestNotes,
}

impl Combined<'_> {
    /// Appends the line, without its end.
    pub fn write(&self, line: &mut Line<'_>) {
        let Combined { client, date, record, notes } = self;
        line.client(*client);
        line.text(" - - [");
        line.0.extend_from_slice(*date);
        line.text("] \"");
        line.quoted(&notes.request_line, Escape::Hex);
        line.text("\" ");
        line.decimal(u64::from(record.status));
        line.text(" ");
        line.decimal(record.response_bytes);
        line.text(" \"");
        line.quoted_or_dash(&notes.referer, Escape::Hex);
        line.text("\" \"");
        line.quoted_or_dash(&notes.agent, Escape::Hex);
        line.text("\" ");
        line.hex(notes.id);
        line.text(" ");
        line.quoted_or_dash(notes.backend.as_bytes(), Escape::Hex);
    }
}

/// A line of the access log as one JSON object. `time` is in seconds, the others in microseconds;
/// `null` for a stage that was not reached. Bytes outside printable ASCII are escaped as Latin-1
/// characters.
#[derive(Debug)]
pub struct Json<'a> {
    pub client: Option<IpAddr>,
    /// When the response was complete, in milliseconds since 1970.
    pub unix_ms: u64,
    /// When the response was complete.
    pub now: Instant,
    pub record: &'a Record,
    pub notes: &'a RequestNotes,
}

impl Json<'_> {
    /// Appends the line, without its end.
    pub fn write(&self, line: &mut Line<'_>) {
        line.text("{");
        self.members(line);
        line.text("}");
    }

    /// The same as an event line.
    pub fn write_event(&self, line: &mut Line<'_>) {
        line.text("{\"event\":\"request\",");
        self.members(line);
        line.text("}");
    }

    fn members(&self, line: &mut Line<'_>) {
        let (record, notes) = (self.record, self.notes);
        line.text("\"time\":");
        line.decimal(self.unix_ms / 1000);
        line.text(".");
        line.three_digits(self.unix_ms);
        line.text(",\"id\":\"");
        line.hex(notes.id);
        line.text("\",\"client\":\"");
        line.client(self.client);
        line.text("\"");
        string(line, "request", &notes.request_line);
        number(line, "status", u64::from(record.status));
        number(line, "bytes", record.response_bytes);
        number(line, "request_bytes", record.request_bytes);
        string(line, "referer", &notes.referer);
        string(line, "agent", &notes.agent);
        string(line, "backend", notes.backend.as_bytes());
        string(line, "why", notes.why.as_bytes());
        micros(line, "body_us", Some(record.ready.since(record.arrived)));
        micros(line, "queue_us", Some(record.admitted.since(record.ready)));
        micros(line, "connect_us", record.connected.map(|at| at.since(record.begun)));
        micros(line, "first_byte_us", record.answered.map(|at| at.since(record.begun)));
        micros(line, "total_us", Some(self.now.since(record.arrived)));
        number(line, "retries", u64::from(record.retries));
        string(line, "cause", cause(record.outcome).as_bytes());
        string(line, "end", record.outcome.name().as_bytes());
        string(line, "reason", notes.reason.as_bytes());
        if let Some(secured) = &notes.secured {
            secured.write_members(line);
        }
    }
}

/// Why the response was made here; empty if it was not.
fn cause(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Local(cause) => cause.name(),
        Outcome::Complete | Outcome::ClientGone | Outcome::ClientSlow => "",
        Outcome::ServerClosed => "",
        Outcome::ServerMalformed | Outcome::TimedOut | Outcome::Stopped => "",
    }
}

/// Begins the next member of a JSON object.
fn name(line: &mut Line<'_>, name: &str) {
    line.text(",\"");
    line.text(name);
    line.text("\":");
}

fn string(line: &mut Line<'_>, key: &str, value: &[u8]) {
    name(line, key);
    line.text("\"");
    line.quoted(value, Escape::Json);
    line.text("\"");
}

fn number(line: &mut Line<'_>, key: &str, value: u64) {
    name(line, key);
    line.decimal(value);
}

fn micros(line: &mut Line<'_>, key: &str, span: Option<Duration>) {
    match span {
        Some(span) => number(line, key, span.as_micros() as u64),
        None => {
            name(line, key);
            line.text("null");
        }
    }
}

/// A line of `-v`: time (UTC; on a terminal only that of the day), client, request, response, time it took, server, and why that
/// server.
#[derive(Debug)]
pub struct Verbose<'a> {
    pub client: Option<IpAddr>,
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
        write!(out, "{} ", ClientName(self.client))?;
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
            | Outcome::ClientSlow
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
        if let Some(secured) = &notes.secured {
            write!(out, "; {secured}")?;
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

/// Text from the network inside quotes: what could end the quote or the line, or control a
/// terminal, is escaped.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        Line(&mut text).quoted(self.0, Escape::Hex);
        out.write_str(&String::from_utf8_lossy(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::written;
    use super::*;
    use crate::http::date::log_date;
    use crate::http::head;

    #[test]
    fn one_request_is_one_line_for_any_bytes_of_the_client() {
        let text = b"GET /\"x HTTP/1.1\r\nHost: x\r\nUser-Agent: a\\b\xff\r\n\r\n";
        let mut parsed = RequestHead::default();
        assert_eq!(head::request(text, &mut parsed), head::Parse::Complete);
        let mut notes = RequestNotes::default();
        notes.begin(0xab);
        notes.head(text, &parsed);
        notes.backend("b:81");
        notes.why("rr: its turn");
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
        let client = "::ffff:10.0.0.1".parse().ok();
        let (now, unix_ms) = (at(3_500), 784_111_777_604);
        let (record, notes) = (&record, &notes);
        assert_eq!(
            written(|line| Combined { client, date: &log_date(unix_ms / 1000), record, notes }
                .write(line)),
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
            written(|line| Json { client, unix_ms, now, record, notes }.write(line)),
            concat!(
                r#"{"time":784111777.604,"id":"00000000000000ab","client":"10.0.0.1","#,
                r#""request":"GET /\"x HTTP/1.1","status":200,"bytes":12,"request_bytes":0,"#,
                r#""referer":"","agent":"a\\b\u00ff","backend":"b:81","why":"rr: its turn","#,
                r#""body_us":0,"queue_us":500,"connect_us":null,"first_byte_us":400,"#,
                r#""total_us":2500,"retries":1,"cause":"","end":"complete","reason":""}"#
            )
        );
    }

    /// The string that begins at the opening quote of `text`, and what follows it, by RFC 8259 §7.
    fn json_string(text: &str) -> Option<(Vec<u32>, &str)> {
        let mut chars = text.strip_prefix('"')?.char_indices();
        let mut string = Vec::new();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => return Some((string, &text[at + 2..])),
                '\\' => match chars.next()?.1 {
                    char @ ('"' | '\\' | '/') => string.push(u32::from(char)),
                    'u' => {
                        let hex: String = (0..4).map_while(|_| Some(chars.next()?.1)).collect();
                        string.push(u32::from_str_radix(&hex, 16).ok()?);
                    }
                    _ => return None,
                },
                char if u32::from(char) < 0x20 => return None,
                char => string.push(u32::from(char)),
            }
        }
        None
    }

    #[test]
    fn any_bytes_of_a_client_come_back_from_the_json_line() {
        let mut rng = crate::base::rng::Rng::new(7);
        for round in 0..2_000 {
            let count = if round == 0 { 256 } else { rng.below(40) };
            let random = (0..count).map(|at| if round == 0 { at as u8 } else { rng.bits() as u8 });
            let bytes: Vec<u8> = random.collect();
            let mut notes = RequestNotes::default();
            notes.begin(1);
            notes.line(&bytes);
            let (client, record) = ("10.0.0.1".parse().ok(), Record::default());
            let now = Instant::START;
            let (record, notes) = (&record, &notes);
            let line = written(|line| Json { client, unix_ms: 0, now, record, notes }.write(line));
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
            let (_, rest) = line.split_once("\"request\":").expect("the member");
            let (found, rest) = json_string(rest).unwrap_or_else(|| panic!("no string: {line}"));
            let expected: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
            assert_eq!(found, expected, "{bytes:?}");
            assert!(rest.starts_with(",\"status\":0,"), "{line}");
        }
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
            let mut notes = RequestNotes::default();
            notes.begin(1);
            notes.line(b"GET /");
            notes.backend("b");
            notes.reason = reason;
            let record = Record {
                status,
                retries,
                outcome,
                response_bytes: 7,
                admitted: Instant::from_micros(302_500),
                ..Record::default()
            };
            let client = "10.0.0.1".parse().ok();
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
