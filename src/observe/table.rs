//! The state as a table for people: for a terminal (`/status?text`), and as rows of the live page
//! for browsers without script.

use super::counters::Rate;
use super::histogram::Quantiles;
use super::seconds;
use super::snapshot::{Backend, Program};
use crate::http::writer::Writer;
use std::fmt::{self, Display, Write};
use std::time::Duration;

/// A name longer than this makes its row wider than the others.
const NAME_COLUMNS_MAX: usize = 40;

/// Columns of the servers' names in the table: as many as the longest needs, within bounds.
pub fn name_columns<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let longest = names.map(str::len).max().unwrap_or_default();
    longest.clamp("SERVER".len(), NAME_COLUMNS_MAX)
}

/// The lines above the servers.
pub fn begin_text(program: &Program<'_>, columns: usize, out: &mut Writer<'_>) {
    let requests = program.counters.seconds.last(0, program.second);
    let rate = seconds::rate(&requests, program.second);
    let percentile = |percent| Millis(program.recent.percentile(percent));
    // A writer never fails: it remembers what does not fit.
    let _ = writeln!(
        out,
        "loadbalancer {}, {} for {}: {}",
        program.version,
        program.stage.name(),
        Span(Duration::from_secs(u64::from(program.second))),
        program.readiness(),
    );
    let _ = writeln!(
        out,
        "{} of {} in flight, {} queued, {} clients ({} idle)",
        program.in_flight,
        program.in_flight_max,
        program.queued,
        program.clients,
        program.clients_idle,
    );
    let _ = writeln!(
        out,
        "last minute: {rate:.1} requests/s, first byte p50 {}, p95 {}, p99 {} ms",
        percentile(50),
        percentile(95),
        percentile(99),
    );
    let _ = writeln!(
        out,
        "\n{:columns$}  STATE        SINCE  FLIGHT   REQ/S   ERR/S      P50      P99  RETRIES  WHY",
        "SERVER"
    );
}

/// The line of one server.
pub fn row_text(backend: &Backend<'_>, second: u32, columns: usize, out: &mut Writer<'_>) {
    let row = Row::of(backend, second);
    let _ = write!(
        out,
        "{:columns$}  {:8} {:>9}  {:>6}  {:>6.1}  {:>6.1}  {:>7}  {:>7}  {:>7}  ",
        backend.name,
        backend.state.name(),
        Text(&Span(backend.since)),
        backend.in_flight,
        row.requests,
        row.errors,
        Text(&Millis(row.recent.percentile(50))),
        Text(&Millis(row.recent.percentile(99))),
        backend.counters.retries_total(),
    );
    let _ = match backend.down {
        Some((_, reason)) => writeln!(out, "{reason}"),
        None => writeln!(out, "-"),
    };
}

/// The row of one server: name, state, since, why, in flight, requests/s, errors/s, p50, p95, p99,
/// retries, weight.
pub fn row_html(backend: &Backend<'_>, second: u32, out: &mut Writer<'_>) {
    let row = Row::of(backend, second);
    let _ = write!(out, "<tr class=\"{0}\"><td>", backend.state.name());
    let _ = write!(Html(out), "{}", backend.name);
    let _ = write!(out, "</td><td>{}</td><td>", backend.state.name());
    let _ = write!(out, "{}</td><td>", Span(backend.since));
    if let Some((_, reason)) = backend.down {
        let _ = write!(Html(out), "{reason}");
    }
    let _ = write!(out, "</td><td>{}</td><td>{:.1}</td>", backend.in_flight, row.requests);
    let _ = write!(out, "<td>{:.1}</td>", row.errors);
    for percent in [50, 95, 99] {
        let _ = write!(out, "<td>{}</td>", Millis(row.recent.percentile(percent)));
    }
    let (retries, weight) = (backend.counters.retries_total(), backend.weight);
    let _ = writeln!(out, "<td>{retries}</td><td>{weight}</td></tr>");
}

/// What is computed for a row.
struct Row {
    /// Per second.
    requests: f64,
    /// Per second.
    errors: f64,
    recent: Quantiles,
}

impl Row {
    fn of(backend: &Backend<'_>, second: u32) -> Row {
        let counters = backend.counters;
        let rate =
            |rate: Rate| seconds::rate(&counters.seconds.last(rate as usize, second), second);
        let mut recent = Quantiles::default();
        counters.recent.add_to(&mut recent, second);
        Row { requests: rate(Rate::Requests), errors: rate(Rate::Errors), recent }
    }
}

/// A span in its two largest units.
struct Span(Duration);

impl Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(out, "{seconds} s"),
            (0, 0, _) => write!(out, "{minutes}m {}s", seconds % 60),
            (0, _, _) => write!(out, "{hours}h {}m", minutes % 60),
            (_, _, _) => write!(out, "{days}d {}h", hours % 24),
        }
    }
}

/// Milliseconds with three digits; a dash for none.
struct Millis(Option<Duration>);

impl Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(duration) = self.0 else { return out.write_str("-") };
        match duration.as_micros() {
            micros @ 0..10_000 => write!(out, "{}.{:02}", micros / 1000, micros / 10 % 100),
            micros @ 10_000..100_000 => write!(out, "{}.{}", micros / 1000, micros / 100 % 10),
            micros => write!(out, "{}", micros / 1000),
        }
    }
}

/// A short text that can be padded.
struct Text<'a>(&'a dyn Display);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 32];
        let mut text = Writer::new(&mut bytes);
        let _ = write!(text, "{}", self.0);
        let length = text.len();
        out.pad(std::str::from_utf8(&bytes[..length]).unwrap_or_default())
    }
}

/// Text inside an element: what begins a tag or a reference is escaped.
struct Html<'w, 'o>(&'w mut Writer<'o>);

impl Write for Html<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'<' => self.0.append(b"&lt;"),
                b'>' => self.0.append(b"&gt;"),
                b'&' => self.0.append(b"&amp;"),
                b'"' => self.0.append(b"&quot;"),
                _ => self.0.append(&[byte]),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::observe::counters::{BackendCounters, Ended};
    use crate::observe::snapshot::{BackendState, DownKind};

    fn written(write: impl Fn(&mut Writer<'_>)) -> String {
        let mut bytes = [0; 4096];
        let mut out = Writer::new(&mut bytes);
        write(&mut out);
        let length = out.finish().expect("it fits");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn spans_and_milliseconds_are_short() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1m 0s"),
            (3_599, "59m 59s"),
            (3_600, "1h 0m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), expected);
        }
        for (micros, expected) in
            [(123, "0.12"), (9_999, "9.99"), (10_000, "10.0"), (99_999, "99.9"), (123_456, "123")]
        {
            assert_eq!(Millis(Some(Duration::from_micros(micros))).to_string(), expected);
        }
        assert_eq!(Millis(None).to_string(), "-");
    }

    #[test]
    fn a_server_is_a_line_or_a_row() {
        let mut counters = BackendCounters::default();
        let at = Instant::from_micros;
        let ended = Ended {
            now: at(2_000_000),
            status: 200,
            arrived: at(1_990_000),
            begun: at(1_990_000),
            answered: Some(at(2_000_000)),
            request_bytes: 0,
            response_bytes: 0,
        };
        counters.attempt_ended(&ended);
        let backend = Backend {
            name: "a<b>:1",
            state: BackendState::Down,
            since: Duration::from_secs(61),
            changed_unix_ms: 0,
            down: Some((DownKind::Connect, &"it said \"<&>\"")),
            in_flight: 2,
            max: None,
            weight: 3,
            backup: false,
            down_time: Duration::ZERO,
            counters: &counters,
        };
        assert_eq!(
            written(|out| row_text(&backend, 4, 8, out)),
            "a<b>:1    down         1m 1s       2     0.2     0.0     10.2     10.2        0  \
             it said \"<&>\"\n"
        );
        assert_eq!(
            written(|out| row_html(&backend, 4, out)),
            "<tr class=\"down\"><td>a&lt;b&gt;:1</td><td>down</td><td>1m 1s</td>\
             <td>it said &quot;&lt;&amp;&gt;&quot;</td><td>2</td><td>0.2</td><td>0.0</td>\
             <td>10.2</td><td>10.2</td><td>10.2</td><td>0</td><td>3</td></tr>\n"
        );
        assert_eq!(name_columns(["a", "1234567890"].into_iter()), 10);
        assert_eq!(name_columns(std::iter::empty()), 6);
    }
}
