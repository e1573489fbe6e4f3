//! Why the program could not start, and lines before the loop has a log.

use crate::net::kernel::event_ms;
use crate::observe::event_time::EventTime;
use std::fmt;
use std::io::{self, Write};

/// Why the program could not start or go on: one sentence for standard error.
#[derive(Debug)]
pub struct Failure(pub(super) String);

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One line on standard error. Not `eprintln`, which panics if its reader is gone.
pub(super) fn say(line: fmt::Arguments<'_>) {
    // One write, so that a reader never finds half a line.
    let line = format!("{}{line}\n", EventTime(event_ms()));
    let _ = io::stderr().write_all(line.as_bytes());
}
