//! The download client: follows redirects, saves the file whole or not at all, shows which server
//! sent it.

mod failure;
pub mod fetch;
mod progress;
mod save;
mod stream;
mod url;

use crate::cli::Get;
use crate::http::framing;
use crate::httpserver::reader::BodyError;
use crate::net::part::Parts;
use crate::net::stop::clean_up_on_stop;
pub use failure::{Failure, is_printable};
use fetch::Response;
use progress::{Progress, amount, rate};
use save::Sink;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;
pub use url::{Url, UrlError};

use failure::REDIRECTS_MAX;

/// Longest wait for a byte from the server.
const TIMEOUT: Duration = Duration::from_secs(30);

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
            BodyError::Malformed(fault) => {
                Failure::Response(url.clone(), framing::response_body(fault))
            }
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

fn report(messages: &mut dyn Write, line: &str) {
    // When standard error is closed, the download goes on.
    let _ = writeln!(messages, "get: {line}");
}

#[cfg(test)]
mod tests;
