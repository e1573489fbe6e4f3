//! The download client: follows redirects, saves the file whole or not at all, shows which server
//! sent it.

mod fetch;
mod progress;
mod save;
mod url;

use crate::base::reason::reason as reason_of;
use crate::cli::Get;
use crate::http::reply::reason;
use crate::httpserver::reader::BodyError;
use crate::net::part::Parts;
use crate::net::stop::clean_up_on_stop;
use fetch::Response;
use progress::{Progress, amount, rate};
use save::Sink;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;
pub use url::{Url, UrlError};

/// Most redirects of one download.
const REDIRECTS_MAX: usize = 10;

/// Longest wait for a byte from the server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why nothing was downloaded. Each displays as one line; no file is left.
#[derive(Debug)]
pub enum Failure {
    /// The URL on the command line is not one this client can get.
    WrongUrl(UrlError),
    /// No address of the host accepted a connection.
    Connect(Url, io::Error),
    /// No byte came for this long.
    TimedOut(Url, Duration),
    /// The connection failed.
    Lost(Url, io::Error),
    /// The response is malformed or cannot be used; why.
    Response(Url, &'static str),
    /// The body ended early, after this many bytes.
    Truncated(Url, u64),
    /// The status is not 2xx; how the response identifies its server.
    Status(Url, u16, String),
    /// More than ten redirects; the last.
    Redirects(Url),
    /// A redirect led to a URL that was requested before.
    Loop(Url),
    /// The URL of a redirect is not one this client can get.
    Location(Url, UrlError),
    /// The file of this name could not be written.
    File(String, io::Error),
}

impl Failure {
    /// The exit code of the program: 2 for a wrong command line, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::WrongUrl(_) => 2,
            Failure::Connect(..)
            | Failure::TimedOut(..)
            | Failure::Lost(..)
            | Failure::Response(..)
            | Failure::Truncated(..)
            | Failure::Status(..)
            | Failure::Redirects(_)
            | Failure::Loop(_)
            | Failure::Location(..)
            | Failure::File(..) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::WrongUrl(error) => error.fmt(f),
            Failure::Connect(url, error) => {
                write!(f, "{url}: cannot connect: {}", reason_of(error))
            }
            Failure::TimedOut(url, span) => write!(f, "{url}: no byte came for {span:?}"),
            Failure::Lost(url, error) => {
                write!(f, "{url}: the connection failed: {}", reason_of(error))
            }
            Failure::Response(url, why) => write!(f, "{url}: {why}"),
            Failure::Truncated(url, bytes) => {
                write!(f, "{url}: the body ended early, after {bytes} bytes; nothing is saved")
            }
            Failure::Status(url, status, server) => {
                write!(f, "{url}: {status} {}, served by {server}", reason(*status))
            }
            Failure::Redirects(url) => {
                write!(f, "{url}: more than {REDIRECTS_MAX} redirects")
            }
            Failure::Loop(url) => write!(f, "{url}: the redirects form a loop"),
            Failure::Location(url, error) => write!(f, "{url}: redirected, but {error}"),
            Failure::File(name, error) => {
                write!(f, "cannot write {name}: {}", reason_of(error))
            }
        }
    }
}

impl std::error::Error for Failure {}

/// Downloads into the current directory; reports on standard error.
pub fn run(get: &Get) -> Result<(), Failure> {
    let parts = Parts::default();
    let at_stop = parts.clone();
    // When the system has no thread for it, a signal leaves a temporary file.
    let _ = clean_up_on_stop(move || at_stop.close());
    let (mut stderr, mut sink) = (io::stderr(), io::sink());
    let messages: &mut dyn Write = if get.quiet { &mut sink } else { &mut stderr };
    download(get, Path::new("."), &parts, TIMEOUT, messages)
}

fn download(
    get: &Get,
    dir: &Path,
    parts: &Parts,
    timeout: Duration,
    messages: &mut dyn Write,
) -> Result<(), Failure> {
    let first = Url::read(&get.url).map_err(Failure::WrongUrl)?;
    let (url, mut response) = follow(first.clone(), timeout, messages)?;
    if !(200..300).contains(&response.status) {
        return Err(Failure::Status(url, response.status, response.served_by));
    }
    // The name comes from the URL on the command line, never from a redirect.
    let (opened, name) = match &get.output {
        Some(path) => (Sink::output(path, parts), path.display().to_string()),
        None => {
            let name = String::from_utf8_lossy(&save::name(first.path())).into_owned();
            (Sink::named_by(first.path(), dir, parts), name)
        }
    };
    let mut sink = opened.map_err(|error| Failure::File(name.clone(), error))?;
    let mut progress = match get.quiet {
        true => Progress::hidden(),
        false => progress_for(&sink, response.length),
    };
    let copied = copy(&url, &mut response, &mut sink, &mut progress, timeout);
    progress.end();
    let (done, shown) = (copied?, sink.shown());
    sink.finish().map_err(|error| Failure::File(name, error))?;
    let (elapsed, noun) = (progress.elapsed(), if done == 1 { "byte" } else { "bytes" });
    let rate = amount(rate(done, elapsed));
    report(
        messages,
        &format!(
            "{url} -> {shown}: {done} {noun} in {:.2} s ({rate}/s), served by {}",
            elapsed.as_secs_f64(),
            response.served_by
        ),
    );
    Ok(())
}

/// Requests `url` and follows redirects; the last URL and its response.
fn follow(
    mut url: Url,
    timeout: Duration,
    messages: &mut dyn Write,
) -> Result<(Url, Response), Failure> {
    let mut requested = vec![url.clone()];
    loop {
        let response = fetch::open(&url, timeout)?;
        if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
            return Ok((url, response));
        }
        let Some(location) = &response.location else {
            return Err(Failure::Response(url, "the redirect has no Location field"));
        };
        let next = match url.join(location) {
            Ok(next) => next,
            Err(error) => return Err(Failure::Location(url, error)),
        };
        report(messages, &format!("{} {url} -> {next}", response.status));
        if requested.contains(&next) {
            return Err(Failure::Loop(next));
        }
        if requested.len() > REDIRECTS_MAX {
            return Err(Failure::Redirects(next));
        }
        requested.push(next.clone());
        url = next;
    }
}

/// Writes the body of `response` into `sink`; the number of bytes.
fn copy(
    url: &Url,
    response: &mut Response,
    sink: &mut Sink,
    progress: &mut Progress,
    timeout: Duration,
) -> Result<u64, Failure> {
    let mut done = 0;
    loop {
        let count = response.content().map_err(|error| match error {
            BodyError::Truncated => Failure::Truncated(url.clone(), done),
            BodyError::Malformed => Failure::Response(url.clone(), "the chunked body is malformed"),
            BodyError::Read(error) => Failure::lost(url, timeout, error),
        })?;
        if count == 0 {
            return Ok(done);
        }
        let written = sink.write_all(&response.unread()[..count]);
        written.map_err(|error| Failure::File(sink.shown(), error))?;
        response.consume(count);
        done += count as u64;
        progress.update(done);
    }
}

/// Progress is shown on a terminal only, and not when the content goes to a terminal, too.
fn progress_for(sink: &Sink, total: Option<u64>) -> Progress {
    let is_mixed = matches!(sink, Sink::Stdout) && io::stdout().is_terminal();
    if io::stderr().is_terminal() && !is_mixed {
        return Progress::shown(total);
    }
    Progress::hidden()
}

/// Whether `c` may be shown on a terminal. Control characters could change its state; marks for
/// right-to-left text (Unicode UAX #9) and line separators could make one text look like another.
fn is_printable(c: char) -> bool {
    let is_bidirectional = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !c.is_control() && !is_bidirectional && !matches!(c, '\u{2028}' | '\u{2029}')
}

fn report(messages: &mut dyn Write, line: &str) {
    // When standard error is closed, the download goes on.
    let _ = writeln!(messages, "get: {line}");
}

#[cfg(test)]
mod tests;
