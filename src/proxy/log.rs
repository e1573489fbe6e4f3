//! The event lines and the access log: what is written about backends and requests, when, and
//! what happens to lines that cannot be written.

use super::standing::Standing;
use crate::balance;
use crate::base::reason::reason;
use crate::base::time::Instant;
use crate::config::{Config, EventFormat, LogFormat};
use crate::health::{InWords, Transition};
use crate::http::date::{LOG_DATE_BYTES, log_date};
use crate::http::head::TLS_HELLO;
use crate::net::{Net, Now, Sink};
use crate::observe::Record;
use crate::observe::access::{Combined, Json, RequestNotes, Verbose};
use crate::observe::client::ClientName;
use crate::observe::event::{Event, Style, Subject};
use crate::observe::event_time::EventTime;
use crate::observe::log_buffer::LogBuffer;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// How often lost lines are reported while the log does not catch up.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Lines of the access log are handed over by so many bytes at least,
const CHUNK_BYTES: usize = 64 * 1024;
/// or this long after the first of them. With every turn, a thread would be woken that often.
const CHUNK_AFTER: Duration = Duration::from_millis(100);

/// Most notes of ended requests that are kept for later ones.
const SPARE_NOTES_MAX: usize = 64;

/// When the lines of the access log that wait are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandOver {
    /// With this turn, and if there is no room, with any later one: the wait ends when there is.
    Now,
    /// When they are a chunk, at this time at the latest.
    By(Instant),
}

/// Lines that wait to be written, for standard error and for the access log.
#[derive(Debug)]
pub struct Logs {
    events: LogBuffer,
    access: LogBuffer,
    hand_over: HandOver,
    /// The second of the last line of the access log, since 1970, and its text.
    date: (u64, [u8; LOG_DATE_BYTES]),
    /// Notes of ended requests. Boxed, as they come and go so.
    #[allow(clippy::vec_box)]
    spare_notes: Vec<Box<RequestNotes>>,
    /// How lines on standard error are written.
    style: Style,
    /// When lost lines were reported last.
    lost_reported_at: Instant,
    /// When a log that cannot be written was reported last.
    failure_reported_at: Option<Instant>,
    /// When a client that speaks TLS was reported last.
    tls_reported_at: Option<Instant>,
    /// When a PROXY header that was refused was reported last.
    header_reported_at: Option<Instant>,
    /// When a client that was too slow was reported last.
    slow_reported_at: Option<Instant>,
    /// The id of the last request that was logged; starts at random.
    last_id: u64,
}

impl Logs {
    /// Empty logs, with event lines in this format; `seed` decides the first request id.
    pub fn new(format: EventFormat, seed: u64) -> Logs {
        Logs {
            events: LogBuffer::default(),
            access: LogBuffer::default(),
            hand_over: HandOver::Now,
            date: (0, log_date(0)),
            spare_notes: Vec::new(),
            style: match format {
                EventFormat::Text => Style::Text(EventTime(None)),
                EventFormat::Json => Style::Json(0),
            },
            lost_reported_at: Instant::START,
            failure_reported_at: None,
            tls_reported_at: None,
            header_reported_at: None,
            slow_reported_at: None,
            last_id: balance::hash(&seed.to_le_bytes()),
        }
    }

    /// Lines on standard error have this time from here on.
    pub fn set_time(&mut self, unix_ms: u64) {
        self.style = match self.style {
            Style::Text(_) => Style::Text(EventTime(Some(unix_ms))),
            Style::Json(_) => Style::Json(unix_ms),
        };
    }

    /// Whether lines on standard error have a time wherever they go.
    pub fn has_time(&self) -> bool {
        matches!(self.style, Style::Json(_))
    }

    /// Adds one event line for people.
    pub fn event(&mut self, line: fmt::Arguments<'_>) {
        self.add_event(Subject::Program, line);
    }

    fn add_event(&mut self, subject: Subject<'_>, text: fmt::Arguments<'_>) {
        self.events.add(format_args!("{}", Event { style: self.style, subject, text }));
    }

    /// Adds the event line of a backend that went up or down, with what is left.
    pub fn backend_changed(
        &mut self,
        name: &str,
        transition: &InWords<'_, Transition>,
        left: &Standing,
    ) {
        let subject = match transition.what {
            Transition::Up(_) | Transition::Cleared => Subject::BackendUp(name),
            Transition::Down(_) | Transition::Suspected => Subject::BackendDown(name),
        };
        self.add_event(subject, format_args!("backend {name} {transition}; {left}"));
    }

    /// A client began a TLS handshake: reported at most every [`REPORT_INTERVAL`].
    pub fn tls_client(&mut self, client: Option<IpAddr>, now: Instant) {
        if self.tls_reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL) {
            self.tls_reported_at = Some(now);
            self.event(format_args!(
                "client {}: {}; use http://, or forward TLS with -m tcp",
                ClientName(client),
                TLS_HELLO.reason
            ));
        }
    }

    /// A client's handshake failed: reported at most every [`REPORT_INTERVAL`].
    pub fn failed_handshake(&mut self, client: Option<IpAddr>, error: &io::Error, now: Instant) {
        // A client that goes before it has said anything is no news: port scans do that.
        let is_news = error.kind() != io::ErrorKind::ConnectionAborted;
        if is_news && self.tls_reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL) {
            self.tls_reported_at = Some(now);
            let (client, reason) = (ClientName(client), reason(error));
            self.event(format_args!("client {client}: TLS handshake failed: {reason}"));
        }
    }

    /// A client without a PROXY header that can be used was closed: reported at most every
    /// [`REPORT_INTERVAL`].
    pub fn refused_header(&mut self, client: Option<IpAddr>, reason: &str, now: Instant) {
        if self.header_reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL) {
            self.header_reported_at = Some(now);
            self.event(format_args!(
                "client {}: closed, as --proxy-protocol requires a PROXY header from there: \
                 {reason}",
                ClientName(client),
            ));
        }
    }

    /// A client was ended at `rate` bytes per second, less than the `least`: reported at most every
    /// [`REPORT_INTERVAL`].
    pub fn slow_client(&mut self, client: Option<IpAddr>, (rate, least): (u64, u32), now: Instant) {
        if self.slow_reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL) {
            self.slow_reported_at = Some(now);
            self.event(format_args!(
                "client {}: ended, as it moved {rate} bytes per second while others waited and \
                 --min-rate is {least}",
                ClientName(client),
            ));
        }
    }

    /// An id that no other request of this process has.
    pub fn request_id(&mut self) -> u64 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    /// Notes for a request, with an id of its own.
    pub fn begin_notes(&mut self) -> Box<RequestNotes> {
        let id = self.request_id();
        let mut notes = self.spare_notes.pop().unwrap_or_default();
        notes.begin(id);
        notes
    }

    /// Adds the lines of a request that has ended: for `-v`, and for the access log. Its notes are
    /// gone after that.
    #[inline]
    pub fn request(
        &mut self,
        config: &Config,
        now: Now,
        client: Option<IpAddr>,
        record: &mut Record,
    ) {
        if let Some(notes) = record.notes.take() {
            self.add_request(config, now, client, record, notes);
        }
    }

    fn add_request(
        &mut self,
        config: &Config,
        now: Now,
        client: Option<IpAddr>,
        record: &Record,
        notes: Box<RequestNotes>,
    ) {
        if config.verbose {
            self.verbose_line(now, client, record, &notes);
        }
        if config.access_log.is_some() {
            self.access_line(config.log_format, now, client, record, &notes);
        }
        if self.spare_notes.len() < SPARE_NOTES_MAX {
            self.spare_notes.push(notes);
        }
    }

    fn verbose_line(
        &mut self,
        now: Now,
        client: Option<IpAddr>,
        record: &Record,
        notes: &RequestNotes,
    ) {
        let Now { instant: now, unix_ms } = now;
        match self.style {
            Style::Text(time) => {
                let line = Verbose { client, time, unix_ms, now, record, notes };
                self.events.add(format_args!("{line}"));
            }
            Style::Json(_) => {
                let line = Json { client, unix_ms, now, record, notes };
                self.events.append(|out| line.write_event(out));
            }
        }
    }

    fn access_line(
        &mut self,
        format: LogFormat,
        now: Now,
        client: Option<IpAddr>,
        record: &Record,
        notes: &RequestNotes,
    ) {
        if self.access.pending().is_empty() {
            self.hand_over = HandOver::By(now.instant + CHUNK_AFTER);
        }
        match format {
            LogFormat::Combined => {
                if self.date.0 != now.unix_seconds() {
                    self.date = (now.unix_seconds(), log_date(now.unix_seconds()));
                }
                let line = Combined { client, date: &self.date.1, record, notes };
                self.access.append(|out| line.write(out));
            }
            LogFormat::Json => {
                let Now { instant, unix_ms } = now;
                let line = Json { client, unix_ms, now: instant, record, notes };
                self.access.append(|out| line.write(out));
            }
        }
    }

    /// When lines of the access log that wait must be handed over; none while none wait, or when
    /// they only wait for room.
    pub fn due(&self) -> Option<Instant> {
        match self.hand_over {
            HandOver::Now => None,
            HandOver::By(due) => Some(due),
        }
    }

    /// Nothing is collected any longer: the next [`Logs::write`] hands over what waits.
    pub fn hand_over_now(&mut self) {
        self.hand_over = HandOver::Now;
    }

    /// Whether lines of the access log wait for more to come.
    fn collects<N: Net>(&self, net: &N, now: Instant) -> bool {
        let HandOver::By(due) = self.hand_over else { return false };
        due > now && self.access.pending().len() < CHUNK_BYTES && !net.is_watched(Sink::Access)
    }

    /// Writes out the lines that are due; what is not taken now is kept for the next turn. Event
    /// lines come last, as one of them may report what became of the others.
    #[inline]
    pub fn write<N: Net>(&mut self, net: &mut N, now: Instant) {
        let is_settled = self.access.is_settled() && self.events.is_settled();
        if !is_settled || net.may_have_log_failure() {
            self.write_due(net, now);
        }
    }

    #[inline(never)]
    fn write_due<N: Net>(&mut self, net: &mut N, now: Instant) {
        let collects = self.collects(net, now);
        let access_waits = collects || self.access.is_settled();
        if access_waits && self.events.is_settled() && !net.may_have_log_failure() {
            return;
        }
        if !collects {
            write_to(net, Sink::Access, &mut self.access);
            self.hand_over = HandOver::Now;
        }
        if let Some(failure) = net.log_failure(Sink::Access) {
            self.access.count_dropped(failure.lines);
            self.report_failure(&failure.error, now);
        }
        self.report_lost_access(now);
        write_to(net, Sink::Events, &mut self.events);
        if let Some(failure) = net.log_failure(Sink::Events) {
            self.events.count_dropped(failure.lines);
        }
        if self.report_lost_events() {
            write_to(net, Sink::Events, &mut self.events);
        }
    }

    /// Lines that were lost since the start, of both logs.
    pub fn lost(&self) -> u64 {
        self.events.dropped_in_all() + self.access.dropped_in_all()
    }

    /// Whether lines wait to be taken, or were taken and are not written yet.
    pub fn has_unwritten<N: Net>(&self, net: &mut N, sink: Sink) -> bool {
        net.unwritten_lines(sink) > 0 || self.has_pending(sink)
    }

    /// Whether lines wait to be taken.
    pub fn has_pending(&self, sink: Sink) -> bool {
        let lines = match sink {
            Sink::Events => &self.events,
            Sink::Access => &self.access,
            // Kept elsewhere, see `RecordLog`.
            Sink::Record => return false,
        };
        !lines.pending().is_empty()
    }

    /// The time for the access log is over: what is not written is lost. Reports how many lines
    /// that is; whether there were any.
    pub fn give_up_access<N: Net>(&mut self, net: &mut N) -> bool {
        // The last write may have failed since failures were asked for.
        self.access.count_dropped(net.log_failure(Sink::Access).map_or(0, |failure| failure.lines));
        let unwritten = self.access.pending_lines() + net.unwritten_lines(Sink::Access);
        let lost = self.access.take_dropped() + unwritten;
        self.access = LogBuffer::default();
        self.hand_over = HandOver::Now;
        if lost > 0 {
            self.event(format_args!(
                "{} at exit: the access log was not written in time; log to a faster disk \
                 or reader",
                Lost(lost)
            ));
        }
        lost > 0
    }

    /// Reports that the access log cannot be written, at most every [`REPORT_INTERVAL`].
    fn report_failure(&mut self, error: &io::Error, now: Instant) {
        if self.failure_reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL) {
            self.failure_reported_at = Some(now);
            // The number comes with this line, not with another.
            self.lost_reported_at = now;
            let lost = self.access.take_dropped();
            self.event(format_args!(
                "cannot write the access log: {}; {}",
                reason(error),
                Lost(lost)
            ));
        }
    }

    /// Reports lost lines of the access log once all that waited is taken, or after
    /// [`REPORT_INTERVAL`].
    fn report_lost_access(&mut self, now: Instant) {
        let is_failing =
            self.failure_reported_at.is_some_and(|last| now.since(last) < REPORT_INTERVAL);
        let due = now.since(self.lost_reported_at) >= REPORT_INTERVAL
            || self.access.pending().is_empty() && !is_failing;
        if due && report_lost_access(self.style, &mut self.access, &mut self.events) {
            self.lost_reported_at = now;
        }
    }

    /// Reports lost event lines once all that waited is taken; whether there were any.
    fn report_lost_events(&mut self) -> bool {
        let is_due = self.events.dropped() > 0 && self.events.pending().is_empty();
        if is_due {
            let lost = self.events.take_dropped();
            self.event(format_args!(
                "{lost} lines were lost here: standard error is not read as fast as \
                 they come; read it faster"
            ));
        }
        is_due
    }
}

/// Gives the sink as many of the lines as it takes.
pub fn write_to(net: &mut impl Net, sink: Sink, lines: &mut LogBuffer) {
    let mut written = 0;
    while let Some(left @ [_, ..]) = lines.pending().get(written..) {
        match net.log(sink, left) {
            Ok(count @ 1..) => written += count,
            // A failure of standard error can be reported nowhere.
            Ok(0) | Err(_) => break,
        }
    }
    lines.written(written);
}

/// So many access log lines were lost, as a clause.
struct Lost(u64);

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => out.write_str("1 access log line was lost"),
            count => write!(out, "{count} access log lines were lost"),
        }
    }
}

/// Reports in `events` how many lines `access` lost since the last report, if any. False if nothing
/// was reported: with no room there the number is kept for later.
fn report_lost_access(style: Style, access: &mut LogBuffer, events: &mut LogBuffer) -> bool {
    let lost = Lost(access.dropped());
    let line = Event {
        style,
        subject: Subject::Program,
        text: format_args!(
            "{lost}: the log cannot be written as fast as they come; log to a faster disk or reader"
        ),
    };
    let reported = lost.0 > 0 && events.offer(format_args!("{line}"));
    if reported {
        access.take_dropped();
    }
    reported
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log_buffer::PENDING_BYTES_MAX;

    const STYLE: Style = Style::Text(EventTime(None));

    fn full() -> LogBuffer {
        let mut lines = LogBuffer::default();
        lines.add(format_args!("{}", "x".repeat(PENDING_BYTES_MAX - 10)));
        lines
    }

    #[test]
    fn lost_access_log_lines_are_reported_once_the_log_of_events_has_room() {
        let (mut access, mut events) = (full(), full());
        for line in ["first line", "second line", "third line"] {
            access.add(format_args!("{line}"));
        }
        assert!(!report_lost_access(STYLE, &mut access, &mut events));
        events.written(events.pending().len());
        assert!(report_lost_access(STYLE, &mut access, &mut events));
        let line = b"loadbalancer: 3 access log lines were lost: ";
        assert!(events.pending().starts_with(line), "{:?}", events.pending().escape_ascii());
        assert_eq!(events.dropped(), 0, "no line of the log of events itself");
        assert!(!report_lost_access(STYLE, &mut access, &mut events), "reported once");
    }
}
