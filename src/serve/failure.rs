//! Why the program could not start, and lines before the loop has a log.

use crate::config::EventFormat;
use crate::net::kernel::{event_ms, unix_ms};
use crate::observe::event::{Event, Style, Subject};
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

/// Why a balancer ended that was to run.
#[derive(Debug)]
pub enum RunError {
    /// The command line asks for what cannot be, as the names in it show.
    Usage(Failure),
    /// The system refused.
    System(Failure),
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> RunError {
        RunError::System(failure)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (RunError::Usage(failure) | RunError::System(failure)) = self;
        failure.fmt(out)
    }
}

/// One line on standard error. Not `eprintln`, which panics if its reader is gone.
pub(super) fn say(format: EventFormat, text: fmt::Arguments<'_>) {
    let style = match format {
        EventFormat::Text => Style::Text(EventTime(event_ms())),
        EventFormat::Json => Style::Json(unix_ms()),
    };
    // One write, so that a reader never finds half a line.
    let line = format!("{}\n", Event { style, subject: Subject::Program, text });
    let _ = io::stderr().write_all(line.as_bytes());
}
