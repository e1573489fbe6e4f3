//! What was answered: one line per request, and how many there were. A request that is not in the
//! log is not counted either, so the counters of `/healthcheck` are those of the log (seed 000).

use crate::config::LogTarget;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests and errors since the start.
#[derive(Debug, Default)]
pub struct Tally {
    errors: AtomicU64,
    requests: AtomicU64,
}

impl Tally {
    /// Counts one answer. 4xx and 5xx are errors.
    pub fn count(&self, status: u16) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if status >= 400 {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The body of `/healthcheck`: errors, then requests, a decimal line each.
    pub fn report(&self) -> String {
        // In this order the errors are never more than the requests.
        let errors = self.errors.load(Ordering::Relaxed);
        let requests = self.requests.load(Ordering::Relaxed);
        format!("{errors}\n{requests}\n")
    }
}

/// Where the lines go.
#[derive(Debug)]
pub enum Log {
    /// Nobody asked for them.
    None,
    Stdout,
    /// Opened for appending: each write lands whole behind the last, even from several processes.
    File(File),
}

impl Log {
    /// Opens what `-l` named.
    pub fn open(target: Option<&LogTarget>) -> io::Result<Log> {
        match target {
            None => Ok(Log::None),
            Some(LogTarget::Stdout) => Ok(Log::Stdout),
            Some(LogTarget::File(path)) => {
                OpenOptions::new().append(true).create(true).open(path).map(Log::File)
            }
        }
    }

    /// Writes `request` (method, target, version), the status and the bytes of the body sent.
    pub fn write(&self, request: &str, status: u16, sent: u64) {
        let line = format!("{request} {status} {sent}\n");
        // A full disk or a closed pipe must not end the service; the counters still tell.
        let _ = match self {
            Log::None => Ok(()),
            Log::Stdout => io::stdout().lock().write_all(line.as_bytes()),
            Log::File(file) => (&mut &*file).write_all(line.as_bytes()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_first_and_are_a_part_of_the_requests() {
        let tally = Tally::default();
        assert_eq!(tally.report(), "0\n0\n");
        for status in [200, 201, 304, 399, 400, 404, 500] {
            tally.count(status);
        }
        assert_eq!(tally.report(), "3\n7\n");
    }
}
