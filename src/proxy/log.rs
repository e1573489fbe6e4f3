//! What is told of requests and backends, and writing it out.

use super::upstream::cluster;
use super::{ClientKey, Proxy};
use crate::base::backend_id::BackendId;
use crate::config::{LogFormat, Mode};
use crate::health::Transition;
use crate::net::{Net, Sink};
use crate::observe::Record;
use crate::observe::access::{Combined, Json, RequestNotes, Verbose};
use crate::observe::log_buffer::LogBuffer;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// How often lost lines are told while the log does not catch up.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

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

    /// Writes out the turn's lines; what is not taken now is kept for the next turn.
    pub(super) fn write_lines(&mut self) {
        let mut failure = None;
        for (sink, lines) in [(Sink::Events, &mut self.events), (Sink::Access, &mut self.access)] {
            let mut written = 0;
            while let Some(left @ [_, ..]) = lines.pending().get(written..) {
                match self.net.log(sink, left) {
                    Ok(count @ 1..) => written += count,
                    Ok(0) => break,
                    Err(error) => {
                        failure = Some(error).filter(|_| sink == Sink::Access).or(failure);
                        break;
                    }
                }
            }
            lines.written(written);
        }
        self.report_failure(failure);
        self.report_lost();
    }

    /// A log that cannot be written is told now and then, not with every line.
    fn report_failure(&mut self, failure: Option<io::Error>) {
        let Some(error) = failure else { return };
        let now = self.now.instant;
        if self.failure_reported_at.is_none_or(|told| now.since(told) >= REPORT_INTERVAL) {
            self.failure_reported_at = Some(now);
            self.events.add(format_args!(
                "loadbalancer: the access log cannot be written: {error}; its lines are lost"
            ));
        }
    }

    /// Lost lines are told once their log has caught up, those of `-l` now and then before.
    fn report_lost(&mut self) {
        let now = self.now.instant;
        let due =
            self.access.pending().is_empty() || now.since(self.lost_reported_at) >= REPORT_INTERVAL;
        if due && report_lost_access(&mut self.access, &mut self.events) {
            self.lost_reported_at = now;
        }
        if self.events.dropped() > 0 && self.events.pending().is_empty() {
            let lost = self.events.take_dropped();
            self.events.add(format_args!(
                "loadbalancer: {lost} lines were lost here: standard error is not read as fast as \
                 they come; read it faster"
            ));
        }
    }
}

/// Tells in `events` how many lines `access` lost since the last time, if any. False if nothing was
/// told: with no room there the number is kept for later.
fn report_lost_access(access: &mut LogBuffer, events: &mut LogBuffer) -> bool {
    let lost = access.dropped();
    let told = lost > 0
        && events.offer(format_args!(
            "loadbalancer: {lost} access log lines were lost: the log cannot be written as fast as \
             they come; log to a faster disk or reader"
        ));
    if told {
        access.take_dropped();
    }
    told
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
    fn lost_access_log_lines_are_told_once_the_log_of_events_has_room() {
        let (mut access, mut events) = (full(), full());
        for line in ["first line", "second line", "third line"] {
            access.add(format_args!("{line}"));
        }
        assert!(!report_lost_access(&mut access, &mut events));
        events.written(events.pending().len());
        assert!(report_lost_access(&mut access, &mut events));
        let told = b"loadbalancer: 3 access log lines were lost: ";
        assert!(events.pending().starts_with(told), "{:?}", events.pending().escape_ascii());
        assert_eq!(events.dropped(), 0, "no line of the log of events itself");
        assert!(!report_lost_access(&mut access, &mut events), "told once");
    }
}
