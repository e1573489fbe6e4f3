//! What is logged of requests and backends, and writing it out.

use super::upstream::cluster;
use super::{ClientKey, Proxy, Stop};
use crate::base::backend_id::BackendId;
use crate::base::reason::reason;
use crate::base::table::Table;
use crate::base::time::Instant;
use crate::config::{LogFormat, Mode};
use crate::health::Transition;
use crate::net::{Net, Signal, Sink};
use crate::observe::Record;
use crate::observe::access::{Combined, Json, RequestNotes, Verbose};
use crate::observe::log_buffer::LogBuffer;
use std::net::IpAddr;
use std::time::Duration;
use std::{fmt, io};

/// How often lost lines are reported while the log does not catch up.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Least time for the last lines, however little time is left for draining.
const FINISH_MIN: Duration = Duration::from_secs(1);

/// When to try standard error again at exit, if it had no room.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl<N: Net> Proxy<N> {
    /// One event line about a backend.
    pub(super) fn tell(&mut self, backend: BackendId, transition: &Transition) {
        cluster::tell(&mut self.events, self.cluster.name(backend), transition);
    }

    /// A number that no other request told about has.
    pub(super) fn request_id(&mut self) -> u64 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// The beginnings of a record for `key`'s request.
    pub(super) fn record(&self, key: ClientKey) -> Record {
        let now = self.now.instant;
        let arrived = self.clients.get(key).map_or(now, |client| client.arrived);
        Record { arrived, admitted: now, begun: now, ..Record::default() }
    }

    fn is_logging(&self) -> bool {
        self.config.verbose || self.config.access_log.is_some()
    }

    /// Notes what the logs need of the request at the start of `key`'s inbox: its head, or the
    /// first line of what is none.
    pub(super) fn note(&mut self, key: ClientKey) -> Option<Box<RequestNotes>> {
        if !self.is_logging() {
            return None;
        }
        let id = self.request_id();
        let bytes = self.clients.get(key)?.conn.buffers.inbox.data();
        Some(Box::new(match self.config.mode {
            Mode::Tcp => RequestNotes::without_head(id, b"TCP"),
            Mode::Http | Mode::Redirect if self.heads.recall_request(key, bytes) => {
                RequestNotes::of(id, bytes, &self.heads.request)
            }
            Mode::Http | Mode::Redirect => {
                let line = bytes.split(|byte| b"\r\n".contains(byte)).find(|line| !line.is_empty());
                RequestNotes::without_head(id, line.unwrap_or_default())
            }
        }))
    }

    /// Notes the backend chosen, and why for `-v` alone: that takes a look at every backend.
    pub(super) fn note_choice(
        &self,
        notes: &mut RequestNotes,
        backend: BackendId,
        avoided: &[BackendId],
        hash: u64,
    ) {
        notes.backend = self.cluster.name(backend).to_string();
        if self.config.verbose {
            notes.why = self.cluster.explain(backend, avoided, hash, self.now.instant);
        }
    }

    /// The same where none is believed up.
    pub(super) fn note_last_resort(&self, notes: &mut RequestNotes, backend: BackendId) {
        notes.backend = self.cluster.name(backend).to_string();
        notes.why = String::from("no server is believed up; this one is the least suspicious");
    }

    /// One request is over.
    pub(super) fn log(&mut self, client: IpAddr, record: &Record) {
        let Some(notes) = &record.notes else { return };
        let now = self.now.instant;
        if self.config.verbose {
            self.events.add(format_args!("{}", Verbose { client, now, record, notes }));
        }
        let unix_seconds = self.now.unix_seconds;
        match (&self.config.access_log, self.config.log_format) {
            (None, _) => {}
            (Some(_), LogFormat::Combined) => {
                let line = Combined { client, unix_seconds, record, notes };
                self.access.add(format_args!("{line}"));
            }
            (Some(_), LogFormat::Json) => {
                let line = Json { client, unix_seconds, now, record, notes };
                self.access.add(format_args!("{line}"));
            }
        }
    }

    /// Writes out the turn's lines; what is not taken now is kept for the next turn. Event lines
    /// come last, as one of them may report what became of the others.
    pub(super) fn write_lines(&mut self) {
        write_to(&mut self.net, Sink::Access, &mut self.access);
        if let Some(failure) = self.net.log_failure(Sink::Access) {
            self.access.count_dropped(failure.lines);
            self.report_failure(&failure.error);
        }
        self.report_lost_access();
        write_to(&mut self.net, Sink::Events, &mut self.events);
        if let Some(failure) = self.net.log_failure(Sink::Events) {
            self.events.count_dropped(failure.lines);
        }
        if self.report_lost_events() {
            write_to(&mut self.net, Sink::Events, &mut self.events);
        }
    }

    /// Reports that the access log cannot be written, at most every [`REPORT_INTERVAL`].
    fn report_failure(&mut self, error: &io::Error) {
        let now = self.now.instant;
        if self.failure_reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL) {
            self.failure_reported_at = Some(now);
            // The number comes with this line, not with another.
            self.lost_reported_at = now;
            let lost = self.access.take_dropped();
            self.events.add(format_args!(
                "loadbalancer: cannot write the access log: {}; {}",
                reason(error),
                Lost(lost)
            ));
        }
    }

    /// Reports lost lines of the access log once all that waited is taken, or after
    /// [`REPORT_INTERVAL`].
    fn report_lost_access(&mut self) {
        let now = self.now.instant;
        let is_failing =
            self.failure_reported_at.is_some_and(|last| now.since(last) < REPORT_INTERVAL);
        let due = now.since(self.lost_reported_at) >= REPORT_INTERVAL
            || self.access.pending().is_empty() && !is_failing;
        if due && report_lost_access(&mut self.access, &mut self.events) {
            self.lost_reported_at = now;
        }
    }

    /// Reports lost event lines once all that waited is taken; whether there were any.
    fn report_lost_events(&mut self) -> bool {
        let is_due = self.events.dropped() > 0 && self.events.pending().is_empty();
        if is_due {
            let lost = self.events.take_dropped();
            self.events.add(format_args!(
                "loadbalancer: {lost} lines were lost here: standard error is not read as fast as \
                 they come; read it faster"
            ));
        }
        is_due
    }

    /// Ends every connection, then waits for the logs: for the access log as long as draining may
    /// still last, [`FINISH_MIN`] at least, for standard error only so long. A signal to stop ends
    /// the wait. Lines that are not written by then are counted and reported.
    pub fn finish_logs(mut self) {
        (self.clients, self.upstreams, self.probes) = (Table::new(), Table::new(), Table::new());
        let least = self.now.instant + FINISH_MIN;
        let drain = match self.stop {
            Stop::By(deadline) => deadline.max(least),
            Stop::No | Stop::Now => least,
        };
        self.flush_logs(drain, least);
        let unwritten = self.access.pending_lines() + self.net.unwritten_lines(Sink::Access);
        let lost = self.access.take_dropped() + unwritten;
        if lost > 0 {
            self.access = LogBuffer::default();
            self.events.add(format_args!(
                "loadbalancer: {} at exit: the access log was not written in time; log to a \
                 faster disk or reader",
                Lost(lost)
            ));
            let end = self.now.instant + FINISH_MIN;
            self.flush_logs(self.now.instant, end);
        }
    }

    /// Writes what waits until these deadlines, or until a signal to stop.
    fn flush_logs(&mut self, access_until: Instant, events_until: Instant) {
        loop {
            self.write_lines();
            let waits_for =
                |lines: &LogBuffer, taken: u64| taken > 0 || !lines.pending().is_empty();
            let access = waits_for(&self.access, self.net.unwritten_lines(Sink::Access));
            let events = waits_for(&self.events, self.net.unwritten_lines(Sink::Events));
            let now = self.now.instant;
            let deadlines = [access.then_some(access_until), events.then_some(events_until)];
            let Some(deadline) = deadlines.into_iter().flatten().max().filter(|end| *end > now)
            else {
                return;
            };
            // Nothing reports that standard error has room again where it is written directly.
            let most = if self.events.pending().is_empty() { Duration::MAX } else { LOOK_AGAIN };
            if self.net.wait(Some(deadline.since(now).min(most)), &mut self.ready).is_err() {
                return;
            }
            self.ready.clear();
            self.read_clock();
            if self.net.signals().contains(&Signal::Stop) {
                return;
            }
        }
    }
}

/// Gives the sink as many of the lines as it takes.
fn write_to(net: &mut impl Net, sink: Sink, lines: &mut LogBuffer) {
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
fn report_lost_access(access: &mut LogBuffer, events: &mut LogBuffer) -> bool {
    let lost = access.dropped();
    let reported = lost > 0
        && events.offer(format_args!(
            "loadbalancer: {}: the log cannot be written as fast as they come; log to a faster \
             disk or reader",
            Lost(lost)
        ));
    if reported {
        access.take_dropped();
    }
    reported
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log_buffer::PENDING_BYTES_MAX;

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
        assert!(!report_lost_access(&mut access, &mut events));
        events.written(events.pending().len());
        assert!(report_lost_access(&mut access, &mut events));
        let line = b"loadbalancer: 3 access log lines were lost: ";
        assert!(events.pending().starts_with(line), "{:?}", events.pending().escape_ascii());
        assert_eq!(events.dropped(), 0, "no line of the log of events itself");
        assert!(!report_lost_access(&mut access, &mut events), "reported once");
    }
}
