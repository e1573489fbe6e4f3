//! `/status?text`: what `/status` says as text, for a person with `curl` and for `loadbalancer top`.
//! Lines of a name and a value, an empty line, the names of columns, and a line for each backend.
//! Names are those of `/status`; what is not known is `-`. `src/manual/watch.md` documents it.

use super::counters::{ProgramRate, Rate};
use super::recent::Quantiles;
use super::seconds::{self, SHOWN};
use super::snapshot::{Backend, Program};
use super::status::{VERSION, share};
use crate::http::writer::Writer;
use std::fmt::{Display, Write};
use std::time::Duration;

/// Seconds of the rate that shows what happens now.
const NOW_SECONDS: usize = 5;

/// A name longer than this makes its line longer than the others.
const NAME_COLUMNS_MAX: usize = 40;

/// The names of the columns; values are as wide as these.
const COLUMNS: &str = "state    since_seconds in_flight     max waiting weight share requests_per_second \
    errors_per_second retries_per_second p50_seconds p95_seconds p99_seconds by_hand reason\n";

/// Columns of the backends' names: as many as the longest needs, within bounds.
pub fn name_columns<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let longest = names.map(str::len).max().unwrap_or_default();
    longest.clamp("name".len(), NAME_COLUMNS_MAX)
}

/// The lines before the first backend, whose names take `columns`.
pub fn begin(program: &Program<'_>, columns: usize, out: &mut Writer<'_>) {
    let readiness = program.readiness();
    // A writer never fails: it remembers what does not fit.
    let _ = writeln!(out, "loadbalancer {} status {VERSION}", program.version);
    let mut line = |name: &str, value: &dyn Display| {
        let _ = writeln!(out, "{name} {value}");
    };
    line("state", &program.stage.name());
    line("ready", &readiness.is_ready());
    line("ready_reason", &readiness);
    line("mode", &program.mode);
    line("strategy", &program.strategy);
    let listen: Vec<String> = program.listen.iter().map(|address| address.to_string()).collect();
    line("listen", &listen.join(", "));
    line("pid", &program.process.pid);
    line("uptime_seconds", &uptime(program).as_secs());
    line("in_flight", &program.in_flight);
    line("in_flight_max", &program.in_flight_max);
    line("queued", &program.queued);
    line("clients", &program.clients);
    line("clients_idle", &program.clients_idle);
    line("accepted_total", &program.counters.accepted);
    line("requests_total", &program.counters.requests);
    line("descriptors_open", &program.process.descriptors_open);
    line("descriptors_max", &program.process.descriptors_max);
    line("resident_bytes", &program.process.resident_bytes);
    line("cpu_seconds_total", &seconds(Some(program.process.cpu)));
    line("log_lines_lost_total", &program.log_lines_lost);
    let requests = program.counters.last(ProgramRate::Requests, program.second);
    line("requests_per_second", &format!("{:.1}", now_rate(&requests)));
    let minute = seconds::rate(&requests, program.second);
    line("last_minute.requests_per_second", &format!("{minute:.3}"));
    for percent in [50, 95, 99] {
        let name = format!("last_minute.p{percent}_seconds");
        line(&name, &seconds(program.recent.percentile(percent)));
    }
    for (cause, count) in program.counters.local() {
        line(&format!("local_responses_total.{cause}"), &count);
    }
    for (outcome, count) in program.counters.proxy_headers() {
        line(&format!("proxy_headers_total.{outcome}"), &count);
    }
    let _ = write!(out, "\n{:columns$} {COLUMNS}", "name");
}

/// One backend. `picks` are those of all backends.
pub fn backend(
    backend: &Backend<'_>,
    second: u32,
    picks: u64,
    columns: usize,
    out: &mut Writer<'_>,
) {
    let counters = backend.counters;
    let last = |rate: Rate| counters.last(rate, second);
    let minute = |rate: Rate| seconds::rate(&last(rate), second);
    let requests = last(Rate::Requests);
    let mut recent = Quantiles::default();
    counters.add_recent(&mut recent, second);
    let percentile = |percent| seconds(recent.percentile(percent));
    let max = backend.max.map_or("-".to_owned(), |max| max.to_string());
    let _ = write!(
        out,
        "{:columns$} {:8} {:13} {:9} {max:>7} {:7} {:6} {:5.3} {:19.1} {:17.3} {:18.3} {:>11} {:>11} {:>11} {:7} ",
        backend.name,
        backend.state.name(),
        backend.since.as_secs(),
        backend.in_flight,
        backend.waiting,
        backend.weight,
        share(&requests, picks),
        now_rate(&requests),
        minute(Rate::Errors),
        minute(Rate::Retries),
        percentile(50),
        percentile(95),
        percentile(99),
        by_hand(backend),
    );
    let _ = match backend.down {
        Some((_, reason)) => writeln!(out, "{reason}"),
        None => writeln!(out, "-"),
    };
}

/// What was set by hand, as one word.
fn by_hand(backend: &Backend<'_>) -> String {
    match backend.by_hand {
        by_hand if by_hand.is_none() => "-".to_owned(),
        by_hand => by_hand.to_string().replace(' ', ","),
    }
}

/// How long the program has run.
pub fn uptime(program: &Program<'_>) -> Duration {
    Duration::from_millis(program.now_unix_ms.saturating_sub(program.started_unix_ms))
}

/// Per second, over the last five that are over.
pub fn now_rate(counts: &[u32; SHOWN]) -> f64 {
    let over = &counts[SHOWN - 1 - NOW_SECONDS..SHOWN - 1];
    let sum: u64 = over.iter().map(|&count| u64::from(count)).sum();
    sum as f64 / NOW_SECONDS as f64
}

fn seconds(duration: Option<Duration>) -> String {
    match duration {
        Some(duration) => format!("{:.6}", duration.as_secs_f64()),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::counters::BackendCounters;
    use crate::observe::sample;

    #[test]
    fn the_text_has_a_line_for_each_value_and_each_backend() {
        let (counters, busy) = (sample::counters(), sample::backend_counters());
        let idle = BackendCounters::default();
        let mut out = [0; 4096];
        let mut writer = Writer::new(&mut out);
        begin(&sample::program(&counters), 14, &mut writer);
        backend(&sample::up(&busy), sample::SECOND, 10, 14, &mut writer);
        backend(&sample::down(&idle), sample::SECOND, 10, 14, &mut writer);
        let length = writer.finish().expect("it fits");
        let text = String::from_utf8_lossy(&out[..length]).into_owned();
        let (values, table) = text.split_once("\n\n").expect("two parts");
        for line in [
            "state running",
            "ready true",
            "ready_reason 1 of 2 servers up",
            "listen 127.0.0.1:8080",
            "uptime_seconds 5",
            "in_flight_max 2048",
            "requests_per_second 2.0",
            "last_minute.requests_per_second 2.000",
            "last_minute.p50_seconds -",
            "local_responses_total.destination_unavailable 2",
        ] {
            assert!(values.lines().any(|it| it == line), "no line {line:?} in {values}");
        }
        assert!(values.starts_with("loadbalancer 0.1.0 status 1\n"), "{values}");
        let cells = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let lines: Vec<&str> = table.lines().collect();
        let names = cells(lines[0]);
        let (first, second) = (cells(lines[1]), cells(lines[2]));
        assert_eq!(first.len(), names.len());
        let at = |name| names.iter().position(|it| it == name).expect(name);
        let shown = [
            ("name", "127.0.0.1:1234", "h:1"),
            ("state", "up", "down"),
            ("since_seconds", "75", "12"),
            ("in_flight", "3", "0"),
            ("max", "1000", "-"),
            ("waiting", "4", "0"),
            ("weight", "2", "2"),
            ("share", "1.000", "0.000"),
            ("requests_per_second", "2.0", "0.0"),
            ("errors_per_second", "1.000", "0.000"),
            ("retries_per_second", "0.200", "0.000"),
            ("reason", "-", "status"),
        ];
        for (name, of_first, of_second) in shown {
            assert_eq!((&*first[at(name)], &*second[at(name)]), (of_first, of_second), "{name}");
        }
        assert_eq!(second[at("p50_seconds")], "-");
        assert!(lines[2].ends_with(" status <500> & \"more\""), "{}", lines[2]);
        // They line up.
        let end = |line: &str, word: &str| line.find(word).expect(word) + word.len();
        assert_eq!(end(lines[0], "retries_per_second"), end(lines[1], " 0.200"));
    }
}
