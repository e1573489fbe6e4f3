//! How far a download is: one line on a terminal, rewritten in place.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Time between two updates of the line.
const INTERVAL: Duration = Duration::from_millis(200);

/// The line of one download.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    /// When the next update is due; none when the line is hidden.
    due: Option<Instant>,
    total: Option<u64>,
}

impl Progress {
    /// Shown on standard error after the first interval: a quick download shows none.
    pub fn shown(total: Option<u64>) -> Progress {
        let begun = Instant::now();
        Progress { begun, due: Some(begun + INTERVAL), total }
    }

    /// Never shown.
    pub fn hidden() -> Progress {
        Progress { begun: Instant::now(), due: None, total: None }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// `done` bytes are saved so far.
    pub fn update(&mut self, done: u64) {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            let text = line(done, self.total, now - self.begun);
            // When standard error is closed, the download goes on.
            let _ = write!(io::stderr(), "\r{text}\x1b[K");
            self.due = Some(now + INTERVAL);
        }
    }

    /// Clears the line.
    pub fn end(&mut self) {
        if self.due.take().is_some() && self.begun.elapsed() >= INTERVAL {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// `45 %  1.2 MB  340.0 kB/s  5 s left`; without a total only bytes and rate.
fn line(done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = rate(done, elapsed);
    let (done_shown, rate_shown) = (amount(done), amount(rate));
    match total.filter(|total| *total > 0) {
        None => format!("{done_shown}  {rate_shown}/s"),
        Some(total) => {
            let percent = u128::from(done) * 100 / u128::from(total);
            let left = match total.saturating_sub(done).checked_div(rate) {
                Some(seconds) => format!("{} left", span(seconds)),
                None => "stalled".to_owned(),
            };
            format!("{percent:3} %  {done_shown}  {rate_shown}/s  {left}")
        }
    }
}

/// Bytes per second.
pub fn rate(done: u64, elapsed: Duration) -> u64 {
    // Shorter times are noise, and zero cannot divide.
    let seconds = elapsed.as_secs_f64().max(0.001);
    (done as f64 / seconds) as u64
}

/// `bytes` for people: three or four digits and a decimal unit.
pub fn amount(bytes: u64) -> String {
    let mut value = bytes as f64 / 1_000.0;
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    for unit in ["kB", "MB", "GB"] {
        // What would be rounded to 1000.0 belongs to the next unit.
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1_000.0;
    }
    format!("{value:.1} TB")
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600.. => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_percent_amount_rate_and_time_left() {
        let second = Duration::from_secs(1);
        let table = [
            (0, Some(100), "  0 %  0 B  0 B/s  stalled"),
            (50, Some(100), " 50 %  50 B  50 B/s  1 s left"),
            (1_000, Some(1_000_000), "  0 %  1.0 kB  1.0 kB/s  16 min 39 s left"),
            (1_000_000, Some(1 << 33), "  0 %  1.0 MB  1.0 MB/s  2 h 23 min left"),
            (999_950, None, "1.0 MB  1.0 MB/s"),
            (u64::MAX, None, "18446744.1 TB  18446744.1 TB/s"),
        ];
        for (done, total, expected) in table {
            assert_eq!(line(done, total, second), expected);
        }
        assert_eq!(line(5, None, Duration::ZERO), "5 B  5.0 kB/s");
    }
}
