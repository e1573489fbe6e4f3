//! Lines that wait to be written: bounded, whole lines only, losses counted.

use super::line::Line;
use std::fmt::{self, Write};

/// Most bytes that wait per sink, without those that its thread has; a line that does not fit is
/// dropped and counted.
pub const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// Lines waiting for one sink.
#[derive(Debug, Default)]
pub struct LogBuffer {
    pending: Vec<u8>,
    dropped: u64,
    /// Those that were reported.
    reported: u64,
}

/// Refuses what exceeds the limit.
struct Bounded<'a>(&'a mut Vec<u8>);

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() >= PENDING_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl LogBuffer {
    /// Adds one line, or counts it as dropped; `text` has no line end.
    pub fn add(&mut self, text: fmt::Arguments<'_>) {
        if !self.offer(text) {
            self.dropped += 1;
        }
    }

    /// Adds the line that `write` appends, without its end, or counts it as dropped.
    pub fn append(&mut self, write: impl FnOnce(&mut Line<'_>)) {
        let before = self.pending.len();
        write(&mut Line(&mut self.pending));
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.pending.truncate(before);
            self.dropped += 1;
        } else {
            self.pending.push(b'\n');
        }
    }

    /// Adds one line if there is room; false for a line to be offered again, which is not counted.
    pub fn offer(&mut self, text: fmt::Arguments<'_>) -> bool {
        let before = self.pending.len();
        let fits = Bounded(&mut self.pending).write_fmt(text).is_ok();
        if fits {
            self.pending.push(b'\n');
        } else {
            self.pending.truncate(before);
        }
        fits
    }

    /// What waits to be written.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Whether no line waits, and none was lost that is not yet reported.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.dropped == 0
    }

    /// The first `count` bytes were written.
    pub fn written(&mut self, count: usize) {
        self.pending.drain(..count.min(self.pending.len()));
    }

    /// How many lines wait.
    pub fn pending_lines(&self) -> u64 {
        self.pending.iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    /// Counts lines that were lost after they had been taken from here.
    pub fn count_dropped(&mut self, lines: u64) {
        self.dropped += lines;
    }

    /// How many lines were dropped and not yet reported.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many lines were dropped since the start.
    pub fn dropped_in_all(&self) -> u64 {
        self.reported + self.dropped
    }

    /// As [`LogBuffer::dropped`], for a report: counts from 0 again.
    pub fn take_dropped(&mut self) -> u64 {
        self.reported += self.dropped;
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_limit_are_dropped_whole_and_counted() {
        let mut lines = LogBuffer::default();
        let text = "x".repeat(PENDING_BYTES_MAX / 4);
        for _ in 0..5 {
            lines.add(format_args!("{text}"));
        }
        assert_eq!(lines.take_dropped(), 2);
        assert_eq!(lines.take_dropped(), 0);
        assert_eq!(lines.pending().len(), 3 * (text.len() + 1));
        lines.written(text.len() + 1);
        lines.add(format_args!("{}-{}", 1, 2));
        assert!(lines.pending().ends_with(b"\n1-2\n"));
    }

    #[test]
    fn an_appended_line_past_the_limit_is_dropped_whole_and_counted() {
        let mut lines = LogBuffer::default();
        let text = "x".repeat(PENDING_BYTES_MAX - 6);
        lines.append(|line| line.text(&text));
        lines.append(|line| line.text("1-23"));
        assert_eq!(lines.take_dropped(), 0);
        lines.append(|line| line.text("4"));
        assert_eq!(lines.take_dropped(), 1);
        assert!(lines.pending().ends_with(b"x\n1-23\n"));
    }

    #[test]
    fn an_offered_line_that_has_no_room_is_neither_taken_nor_counted() {
        let mut lines = LogBuffer::default();
        let text = "x".repeat(PENDING_BYTES_MAX - 2);
        lines.add(format_args!("{text}"));
        assert!(!lines.offer(format_args!("{}-{}", 1, 2)));
        assert_eq!((lines.dropped(), lines.pending().len()), (0, text.len() + 1));
        lines.written(text.len() + 1);
        assert!(lines.offer(format_args!("{}-{}", 1, 2)));
        assert_eq!(lines.pending(), b"1-2\n");
    }
}
