//! The record of choices on its way to its file: lines of each turn are kept until the file takes
//! them, and where too many wait, the record says how many are missing.

use super::log::{Logs, write_to};
use super::upstream::Recorder;
use crate::base::reason::reason;
use crate::base::time::Instant;
use crate::net::{Net, Sink};
use crate::observe::log_buffer::LogBuffer;
use std::time::Duration;

/// How often missing lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Lines that wait to be written.
#[derive(Debug, Default)]
pub struct RecordLog {
    waiting: LogBuffer,
    /// The turn's lines; kept for its memory.
    turn: String,
    /// Lines that were dropped since the last one that was kept.
    missing: u64,
    /// Lines that were dropped and not reported.
    unreported: u64,
    reported_at: Option<Instant>,
}

impl RecordLog {
    /// Takes what `recorder` has noted, and gives the file what it takes now. A file that cannot be
    /// written ends the record: what comes after a gap of unknown size is of no use.
    pub fn write<N: Net>(
        &mut self,
        net: &mut N,
        now: Instant,
        recorder: &mut Recorder,
        logs: &mut Logs,
    ) {
        self.turn.clear();
        let count = recorder.take_lines(now, &mut self.turn);
        if count > 0 && !self.keep() {
            self.missing += count;
            self.unreported += count;
        }
        write_to(net, Sink::Record, &mut self.waiting);
        if let Some(failure) = net.log_failure(Sink::Record) {
            logs.event(format_args!(
                "cannot write the record: {}; it ends here, and the program goes on",
                reason(&failure.error)
            ));
            recorder.stop();
            *self = RecordLog::default();
        }
        let is_due = self.reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL);
        if self.unreported > 0 && is_due {
            self.reported_at = Some(now);
            self.report(logs);
        }
    }

    /// Adds the turn's lines to those that wait; false if there is no room for them.
    fn keep(&mut self) -> bool {
        let lines = self.turn.trim_end_matches('\n');
        match self.missing {
            0 => self.waiting.offer(format_args!("{lines}")),
            missing if self.waiting.offer(format_args!("lost {missing}\n{lines}")) => {
                self.missing = 0;
                true
            }
            _ => false,
        }
    }

    fn report(&mut self, logs: &mut Logs) {
        let count = std::mem::take(&mut self.unreported);
        let plural = if count == 1 { " was" } else { "s were" };
        logs.event(format_args!(
            "{count} line{plural} lost of the record: its file cannot be written as fast as they \
             come; record to a faster disk"
        ));
    }

    /// The time for the record is over: what is not written is lost. Reports how many lines
    /// that is; whether there were any.
    pub fn give_up<N: Net>(&mut self, net: &mut N, logs: &mut Logs) -> bool {
        // The last write may have failed since failures were asked for.
        self.unreported += net.log_failure(Sink::Record).map_or(0, |failure| failure.lines);
        self.unreported += self.waiting.pending_lines() + net.unwritten_lines(Sink::Record);
        let is_cut = self.unreported > 0;
        if is_cut {
            self.report(logs);
        }
        is_cut
    }

    /// Whether lines wait to be taken, or were taken and are not written yet.
    pub fn has_unwritten<N: Net>(&self, net: &mut N) -> bool {
        !self.waiting.pending().is_empty() || net.unwritten_lines(Sink::Record) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log_buffer::PENDING_BYTES_MAX;

    #[test]
    fn where_lines_are_missing_the_record_says_how_many() {
        let mut log = RecordLog { turn: "x".repeat(PENDING_BYTES_MAX - 9), ..RecordLog::default() };
        assert!(log.keep());
        for missing in [3, 4] {
            log.turn = "at 7\nbegin 0\n".to_owned();
            assert!(!log.keep(), "no room");
            log.missing = missing;
        }
        log.waiting.written(PENDING_BYTES_MAX);
        assert!(log.keep());
        assert_eq!(log.waiting.pending(), b"lost 4\nat 7\nbegin 0\n");
        assert_eq!(log.missing, 0);
    }
}
