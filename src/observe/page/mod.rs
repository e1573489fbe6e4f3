//! `/`: the live page. One file, [`PAGE`], whose script asks for `/status` once a second. The state
//! at the moment of the request is written into it, so that it can be read without script, too.

use super::ProxyError;
use super::counters::{ProgramRate, Rate};
use super::recent::Quantiles;
use super::seconds;
use super::snapshot::{Backend, BackendState, Program};
use super::status::share;
use super::status_text::{now_rate, uptime};
use crate::base::figures::{milliseconds, percent, rate, span, whole};
use crate::http::date::Civil;
use crate::http::writer::Writer;
use std::fmt::{self, Display, Write};
use std::time::Duration;

/// The page, with `<!--=NAME-->` where the present state goes.
const PAGE: &str = include_str!("page.html");

/// Where the rows of the table go.
const ROWS: &str = "<!--=rows-->";

/// What the page may do, as `Content-Security-Policy`: run its own script and style, by their hashes
/// (CSP 3 §2.3.1), and ask this listener. A test holds the hashes.
pub const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-lX05VGtskPVON78uQqhLWRIwBIAN0LTg1Ua/IognjRU='; \
    style-src 'sha256-kfX1dEnQUlk4KEnu257qaD/k5K1fp9Kw/AtHhHLu1QA='; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page up to the first row.
pub fn begin(program: &Program<'_>, out: &mut Writer<'_>) {
    let (before, _) = split();
    let mut pieces = before.split("<!--=");
    out.append(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (name, text) = piece.split_once("-->").unwrap_or_default();
        figure(name, program, &mut Escaped(out));
        out.append(text.as_bytes());
    }
}

/// A row of the table. `picks` are those of all backends.
pub fn backend(backend: &Backend<'_>, second: u32, picks: u64, out: &mut Writer<'_>) {
    let counters = backend.counters;
    let last = |rate: Rate| counters.last(rate, second);
    let requests = last(Rate::Requests);
    let minute = |rate: Rate| seconds::rate(&last(rate), second);
    let mut recent = Quantiles::default();
    counters.add_recent(&mut recent, second);
    let ms = |of| shown_ms(recent.percentile(of));
    out.append_all(&[b"<tr class=\"", backend.state.name().as_bytes(), b"\">"]);
    cell(out, "Server", &backend.name);
    cell(out, "State", &word(backend.state));
    cell(out, "Since", &span(Some(backend.since.as_secs_f64())));
    cell(out, "Why", &Why(backend));
    cell(out, "In flight", &InFlight(backend));
    cell(out, "Waiting", &whole(Some(f64::from(backend.waiting))));
    cell(out, "Req/s", &rate(Some(now_rate(&requests))));
    cell(out, "Last minute", &"");
    cell(out, "5xx/s", &rate(Some(minute(Rate::Errors))));
    cell(out, "p50 ms", &ms(50));
    cell(out, "p95 ms", &ms(95));
    cell(out, "p99 ms", &ms(99));
    cell(out, "Retry/min", &whole(Some(minute(Rate::Retries) * 60.0)));
    cell(out, "Share", &percent(Some(share(&requests, picks))));
    cell(out, "Weight", &backend.weight);
    out.append(b"\n");
}

/// The page after the last row.
pub fn end(out: &mut Writer<'_>) {
    let (_, after) = split();
    out.append(after.as_bytes());
}

fn split() -> (&'static str, &'static str) {
    PAGE.split_once(ROWS).unwrap_or((PAGE, ""))
}

/// The value that goes where the page has this name.
fn figure(name: &str, program: &Program<'_>, out: &mut Escaped<'_, '_>) {
    let readiness = program.readiness();
    // Nothing is refused when answering is what the program is there for.
    let is_refusal =
        |(cause, count): &(&str, u64)| *count > 0 && *cause != ProxyError::InternalResponse.name();
    let refused = || program.counters.local().filter(is_refusal);
    let number = |number: u64| whole(Some(number as f64));
    let ms = |of| shown_ms(program.recent.percentile(of));
    // A writer never fails: it remembers what does not fit.
    let _ = match name {
        "ready_class" => out.write_str(if readiness.is_ready() { "" } else { "no" }),
        "ready" => write!(out, "{readiness}"),
        "about" => write!(out, "{}", About(program)),
        "time" => write!(out, "at {} UTC", Clock(program.now_unix_ms)),
        "rps" => {
            let requests = program.counters.last(ProgramRate::Requests, program.second);
            out.write_str(&rate(Some(now_rate(&requests))))
        }
        "in_flight" => out.write_str(&number(program.in_flight)),
        "in_flight_max" => write!(out, "of {}", number(program.in_flight_max)),
        "queued" => out.write_str(&number(program.queued)),
        "clients" => out.write_str(&number(program.clients)),
        "clients_idle" => write!(out, "{} idle", number(program.clients_idle)),
        "p50" => out.write_str(&ms(50)),
        "p95" => out.write_str(&ms(95)),
        "p99" => out.write_str(&ms(99)),
        "refused" => out.write_str(&number(refused().map(|(_, count)| count).sum())),
        "causes" => {
            let causes =
                refused().map(|(cause, n)| format!("{} {}", cause.replace('_', " "), number(n)));
            out.write_str(&causes.collect::<Vec<_>>().join(", "))
        }
        _ => unreachable!("the page names the value {name}, which is not there"),
    };
}

fn cell(out: &mut Writer<'_>, label: &str, value: &dyn Display) {
    out.append_all(&[b"<td data-label=\"", label.as_bytes(), b"\">"]);
    let _ = write!(Escaped(out), "{value}");
}

/// As the script shows it.
fn word(state: BackendState) -> &'static str {
    match state {
        BackendState::Drain => "draining",
        BackendState::Up | BackendState::Slow | BackendState::Down | BackendState::Disabled => {
            state.name()
        }
    }
}

fn shown_ms(time: Option<Duration>) -> String {
    match time {
        Some(time) => milliseconds(Some(time.as_secs_f64())),
        None => "–".to_owned(),
    }
}

struct Why<'a>(&'a Backend<'a>);

impl Display for Why<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Why(Backend { down, by_hand, backup, .. }) = self;
        let mut words: Vec<String> = down.iter().map(|(_, reason)| reason.to_string()).collect();
        let marks = [(!by_hand.is_none(), "by hand"), (*backup, "backup")];
        words.extend(marks.iter().filter(|(is_so, _)| *is_so).map(|(_, word)| (*word).to_owned()));
        out.write_str(&words.join(", "))
    }
}

struct InFlight<'a>(&'a Backend<'a>);

impl Display for InFlight<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: u32| whole(Some(f64::from(number)));
        out.write_str(&number(self.0.in_flight))?;
        match self.0.max {
            Some(max) => write!(out, " / {}", number(max)),
            None => Ok(()),
        }
    }
}

struct About<'a>(&'a Program<'a>);

impl Display for About<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program { mode, strategy, listen, .. } = self.0;
        let listen: Vec<String> = listen.iter().map(|address| address.to_string()).collect();
        let running = span(Some(uptime(self.0).as_secs_f64()));
        write!(out, "{mode}, {strategy}, listening on {}, running for {running}", listen.join(", "))
    }
}

/// Milliseconds since 1970 as the time of the day.
struct Clock(u64);

impl Display for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { hour, minute, second, .. } = Civil::of(self.0 / 1000);
        write!(out, "{hour:02}:{minute:02}:{second:02}")
    }
}

/// Escapes what has a meaning in HTML text.
struct Escaped<'w, 'o>(&'w mut Writer<'o>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '&' => self.0.append(b"&amp;"),
                '<' => self.0.append(b"&lt;"),
                '>' => self.0.append(b"&gt;"),
                '"' => self.0.append(b"&quot;"),
                _ => self.0.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
