//! The download client: follows redirects, saves the file whole or not at all, says who served it.

mod fetch;
mod progress;
mod save;
mod url;

use crate::cli::Get;
use crate::http::reply::reason;
use crate::httpserver::inbox::BodyError;
use fetch::Answer;
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
const SILENCE: Duration = Duration::from_secs(30);

/// Why nothing was downloaded. Each displays as one line; no file was left.
#[derive(Debug)]
pub enum Failure {
    /// The URL given is none this client can get.
    WrongUrl(UrlError),
    /// No address of the host could be connected to.
    Connect(Url, io::Error),
    /// Nothing came for this long.
    Silent(Url, Duration),
    /// The connection broke.
    Lost(Url, io::Error),
    /// What came is no answer; why.
    Answer(Url, &'static str),
    /// The body ended early, after this many bytes.
    Cut(Url, u64),
    /// The status is no success; what the answer said of its server.
    Status(Url, u16, String),
    /// More than ten redirects; the last.
    Redirects(Url),
    /// A redirect led to a URL that was asked already.
    Loop(Url),
    /// A redirect leads nowhere this client can go.
    Location(Url, UrlError),
    /// The file of this name could not be written.
    File(String, io::Error),
}

impl Failure {
    /// The exit code of the program: 2 for wrong use, 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::WrongUrl(_) => 2,
            Failure::Connect(..)
            | Failure::Silent(..)
            | Failure::Lost(..)
            | Failure::Answer(..)
            | Failure::Cut(..)
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
            Failure::Connect(url, error) => write!(f, "{url}: cannot connect: {error}"),
            Failure::Silent(url, span) => write!(f, "{url}: nothing came for {span:?}"),
            Failure::Lost(url, error) => write!(f, "{url}: the connection broke: {error}"),
            Failure::Answer(url, why) => write!(f, "{url}: {why}"),
            Failure::Cut(url, bytes) => {
                write!(f, "{url}: the body was cut after {bytes} bytes, nothing is saved")
            }
            Failure::Status(url, status, server) => {
                write!(f, "{url}: {status} {}, served by {server}", reason(*status))
            }
            Failure::Redirects(url) => {
                write!(f, "{url}: this is redirect {}, that is too many", REDIRECTS_MAX + 1)
            }
            Failure::Loop(url) => write!(f, "{url}: the redirects go round in a circle"),
            Failure::Location(url, error) => write!(f, "{url}: redirected, but {error}"),
            Failure::File(name, error) => write!(f, "cannot write {name}: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Downloads into the current directory; tells what it does on standard error.
pub fn run(get: &Get) -> Result<(), Failure> {
    download(get, Path::new("."), SILENCE, &mut io::stderr())
}

fn download(
    get: &Get,
    dir: &Path,
    silence: Duration,
    notes: &mut dyn Write,
) -> Result<(), Failure> {
    let first = Url::read(&get.url).map_err(Failure::WrongUrl)?;
    let (url, mut answer) = follow(first.clone(), silence, notes)?;
    if !(200..300).contains(&answer.status) {
        return Err(Failure::Status(url, answer.status, answer.served_by));
    }
    // The name is that of the URL the user wrote: no server chooses it.
    let (opened, name) = match &get.output {
        Some(path) => (Sink::output(path), path.display().to_string()),
        None => {
            let name = String::from_utf8_lossy(&save::name(first.path())).into_owned();
            (Sink::named_by(first.path(), dir), name)
        }
    };
    let mut sink = opened.map_err(|error| Failure::File(name.clone(), error))?;
    let mut progress = progress_for(&sink, answer.length);
    let copied = copy(&url, &mut answer, &mut sink, &mut progress, silence);
    progress.end();
    let (done, shown) = (copied?, sink.shown());
    sink.finish().map_err(|error| Failure::File(name, error))?;
    let (elapsed, noun) = (progress.elapsed(), if done == 1 { "byte" } else { "bytes" });
    let rate = amount(rate(done, elapsed));
    tell(
        notes,
        &format!(
            "{url} -> {shown}: {done} {noun} in {:.2} s ({rate}/s), served by {}",
            elapsed.as_secs_f64(),
            answer.served_by
        ),
    );
    Ok(())
}

/// Asks for `url` and for whatever it is redirected to; the last URL and its answer.
fn follow(
    mut url: Url,
    silence: Duration,
    notes: &mut dyn Write,
) -> Result<(Url, Answer), Failure> {
    let mut asked = vec![url.clone()];
    loop {
        let answer = fetch::open(&url, silence)?;
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            return Ok((url, answer));
        }
        let Some(location) = &answer.location else {
            return Err(Failure::Answer(url, "the redirect does not say where to"));
        };
        let next = match url.join(location) {
            Ok(next) => next,
            Err(error) => return Err(Failure::Location(url, error)),
        };
        tell(notes, &format!("{} {url} -> {next}", answer.status));
        if asked.contains(&next) {
            return Err(Failure::Loop(next));
        }
        if asked.len() > REDIRECTS_MAX {
            return Err(Failure::Redirects(next));
        }
        asked.push(next.clone());
        url = next;
    }
}

/// Writes the body of `answer` into `sink`; its bytes.
fn copy(
    url: &Url,
    answer: &mut Answer,
    sink: &mut Sink,
    progress: &mut Progress,
    silence: Duration,
) -> Result<u64, Failure> {
    let mut done = 0;
    let mut content = answer.content();
    loop {
        let run = content.next().map_err(|error| match error {
            BodyError::Truncated => Failure::Cut(url.clone(), done),
            BodyError::Malformed => Failure::Answer(url.clone(), "the chunked body is malformed"),
            BodyError::Read(error) => Failure::lost(url, silence, error),
        })?;
        if run.is_empty() {
            return Ok(done);
        }
        sink.write_all(run).map_err(|error| Failure::File(sink.shown(), error))?;
        done += run.len() as u64;
        progress.note(done);
    }
}

/// Progress is for people: on a terminal, and not on the one that shows the content itself.
fn progress_for(sink: &Sink, total: Option<u64>) -> Progress {
    let is_mixed = matches!(sink, Sink::Stdout) && io::stdout().is_terminal();
    if io::stderr().is_terminal() && !is_mixed {
        return Progress::shown(total);
    }
    Progress::silent()
}

fn tell(notes: &mut dyn Write, line: &str) {
    // Nobody reads it: the download goes on.
    let _ = writeln!(notes, "get: {line}");
}

#[cfg(test)]
mod tests;
