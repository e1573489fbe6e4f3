//! Lines waiting to be written: bounded, whole lines only, losses counted and told.

use std::fmt::{self, Write};

/// Most bytes that wait per sink, those aside that its thread has; a line that does not fit is
/// dropped and counted.
pub const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// Lines for one sink.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
    dropped: u64,
}

/// Counts and refuses what goes past the limit.
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

impl Lines {
    /// Adds one line; `text` has no line end.
    pub fn add(&mut self, text: fmt::Arguments<'_>) {
        let before = self.pending.len();
        if Bounded(&mut self.pending).write_fmt(text).is_ok() {
            self.pending.push(b'\n');
        } else {
            self.pending.truncate(before);
            self.dropped += 1;
        }
    }

    /// What waits to be written.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// The first `count` bytes were written.
    pub fn written(&mut self, count: usize) {
        self.pending.drain(..count.min(self.pending.len()));
    }

    /// How many lines were dropped and not yet taken note of.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The same, taking note of them.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_limit_are_dropped_whole_and_counted() {
        let mut lines = Lines::default();
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
}
