//! What all connections of one server share: the directory, the settings, the counters and the log;
//! and which response a request gets.

use super::directory::{Directory, Entry, OpenFile, Stored, Upload};
use super::pi::{self, Pi, PiError};
use super::request::{Request, SitePath};
use super::response::{self, Content, Response};
use crate::base::rng::Rng;
use crate::config::LogTarget;
use crate::http::body::Body;
use crate::http::date::imf_fixdate;
use crate::http::field::decimal;
use crate::http::head::{Method, Refusal};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The load report for balancers; no file of this name is served or stored.
const HEALTHCHECK: &[u8] = b"/healthcheck";

/// `--fail-rate` is kept in millionths.
const MILLION: u64 = 1_000_000;

/// How long a connection waits for its client.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the next request. Above the 60 s for which proxies commonly keep idle connections, so
    /// that this side does not close one just as a request is sent on it.
    pub idle: Duration,
    /// From the first byte of a head to its last (408).
    pub head: Duration,
    /// For more of a body (408), and for room to send.
    pub body: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            idle: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
        }
    }
}

/// One server.
#[derive(Debug)]
pub struct Site {
    pub directory: Directory,
    /// Its listening port, which is in every response: it identifies the server.
    pub port: u16,
    /// Time before each response except those to health checks (`--delay`).
    pub delay: Duration,
    /// Longest body of an upload (`--max-upload`).
    pub upload_bytes_max: u64,
    pub tally: Tally,
    pub log: Log,
    pub timeouts: Timeouts,
    fail_millionths: u64,
    rng: Mutex<Rng>,
    pub pi: Pi,
}

impl Site {
    /// A server of `directory` that fails `fail_rate` (0 to 1) of its requests on purpose.
    pub fn new(directory: Directory, port: u16, log: Log, fail_rate: f64) -> Site {
        Site {
            directory,
            port,
            delay: Duration::ZERO,
            upload_bytes_max: u64::MAX,
            tally: Tally::default(),
            log,
            timeouts: Timeouts::default(),
            // The cast saturates and turns NaN into 0.
            fail_millionths: (fail_rate * MILLION as f64).round() as u64,
            // The same seed each time, so that an experiment can be repeated.
            rng: Mutex::new(Rng::new(u64::from(port))),
            pi: Pi::default(),
        }
    }

    /// Whether the next request is one that fails; draws a random number.
    pub fn draws_failure(&self) -> bool {
        if self.fail_millionths == 0 {
            return false;
        }
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.below(MILLION) < self.fail_millionths
    }

    /// Health checks are answered at once, never fail on purpose, and are neither counted nor
    /// logged: the report is about the load from clients.
    pub fn is_healthcheck(request: &Request) -> bool {
        matches!(request.method, Method::Get | Method::Head) && request.path == HEALTHCHECK
    }

    /// The load report.
    pub fn health(&self) -> Response {
        Response::new(200, response::TEXT, self.tally.report().into_bytes())
            .with("Cache-Control", "no-store".to_owned())
    }

    /// The response to GET and HEAD. `has_closed` says whether the client has closed its side.
    pub fn read(
        &self,
        request: &Request,
        has_closed: impl Fn() -> bool,
    ) -> Result<Response, Refusal> {
        let path = SitePath::read(&request.path)?;
        match self.directory.find(&path) {
            Ok(Entry::File(opened)) => {
                Ok(file(opened, &path.under(self.directory.root()), request))
            }
            Ok(Entry::Directory(real)) => self.directory_page(&real, &path, request),
            Err(missing) if missing.status == 404 => self.pi_page(&path, missing, has_closed),
            Err(refusal) => Err(refusal),
        }
    }

    /// `index.html` if there is one; otherwise a listing. A browser gets a page; for `curl` the
    /// root begins with a line that identifies the server (`/?list` is the page for all).
    fn directory_page(
        &self,
        real: &Path,
        path: &SitePath,
        request: &Request,
    ) -> Result<Response, Refusal> {
        if !path.has_final_slash && !path.is_root() {
            // The links of a listing are relative: they need the slash.
            let moved = Refusal { status: 301, reason: "this is a directory" };
            return Ok(Response::refusal(moved).with("Location", format!("{path}/")));
        }
        match self.directory.open_in(real, "index.html") {
            Ok(opened) => return Ok(file(opened, Path::new("index.html"), request)),
            Err(refusal) if refusal.status == 404 => {}
            Err(refusal) => return Err(refusal),
        }
        let listing = self.directory.list(real)?;
        if path.is_root() && request.query != b"list" && !request.accepts_html {
            let text = format!("hello from httpserver on port {}\n{}", self.port, listing.text());
            let response = Response::new(200, response::TEXT, text.into_bytes());
            return Ok(response.with("Vary", "Accept".to_owned()));
        }
        let page = listing.html(&path.to_string(), &format!("httpserver on port {}", self.port));
        let response = Response::new(200, response::HTML, page.into_bytes());
        Ok(response.with("Vary", "Accept".to_owned()))
    }

    /// The page for `/N`; `missing` when the path is no number.
    fn pi_page(
        &self,
        path: &SitePath,
        missing: Refusal,
        has_closed: impl Fn() -> bool,
    ) -> Result<Response, Refusal> {
        let Some(terms) = path.single().and_then(decimal) else { return Err(missing) };
        if !(1..=pi::TERMS_MAX).contains(&terms) {
            return Err(Refusal { status: 400, reason: "pi is computed to 1 to 60000 terms" });
        }
        match self.pi.compute(terms, has_closed) {
            Ok(value) => Ok(Response::new(200, response::HTML, pi::page(terms, value, self.port))),
            Err(PiError::QueueFull(wait)) => {
                let reason = "too many pages wait for their computation";
                let busy = Response::refusal(Refusal { status: 503, reason });
                Ok(busy.with("Retry-After", (wait.as_secs() + 1).to_string()))
            }
            Err(PiError::Abandoned) => {
                Err(Refusal { status: 503, reason: "the client closed while others were waiting" })
            }
        }
    }

    /// Prepares for `body`, that of a PUT to `path`.
    pub fn upload(
        &self,
        request: &Request,
        path: &SitePath,
        body: &Body,
    ) -> Result<Upload, Refusal> {
        if request.path == HEALTHCHECK {
            return Err(Refusal { status: 403, reason: "this name is taken by the load report" });
        }
        if !request.has_length {
            return Err(Refusal { status: 411, reason: "the upload does not say its length" });
        }
        if request.is_partial {
            // As if it was the whole file it would destroy that (RFC 9110 §14.5).
            return Err(Refusal { status: 400, reason: "a part of a file cannot be uploaded" });
        }
        match *body {
            Body::Length(bytes) if bytes > self.upload_bytes_max => Err(TOO_LARGE),
            Body::Length(_) | Body::Empty | Body::Chunked(_) | Body::UntilClose => {
                self.directory.upload(path)
            }
        }
    }

    /// 201 for a new file and 200 for a replaced one (RFC 9110 §9.3.4).
    pub fn stored(&self, stored: Stored, path: &SitePath, bytes: u64) -> Response {
        let (status, verb) = match stored {
            Stored::Created => (201, "created"),
            Stored::Replaced => (200, "replaced"),
        };
        let (noun, port) = (if bytes == 1 { "byte" } else { "bytes" }, self.port);
        let text = format!("{verb} {path}, {bytes} {noun}, by httpserver on port {port}\n");
        Response::new(status, response::TEXT, text.into_bytes())
    }
}

pub const TOO_LARGE: Refusal =
    Refusal { status: 413, reason: "the upload is longer than --max-upload allows" };

/// A file, or 304 when the client has it already. Only the exact date sent before counts: with any
/// other date the client gets the file, which is never wrong (RFC 9110 §13.1.3).
fn file(opened: OpenFile, path: &Path, request: &Request) -> Response {
    let date = imf_fixdate(opened.modified);
    let is_unchanged = request.modified_since.as_deref() == Some(&date[..]);
    let date = String::from_utf8_lossy(&date).into_owned();
    Response {
        status: if is_unchanged { 304 } else { 200 },
        content_type: response::content_type(path),
        fields: vec![("Last-Modified", date)],
        content: Content::File { file: opened.file, bytes: opened.bytes },
    }
}

/// Requests and errors since the start: only of those that the log has.
#[derive(Debug, Default)]
pub struct Tally {
    errors: AtomicU64,
    requests: AtomicU64,
}

impl Tally {
    /// Counts one response. 4xx and 5xx are errors.
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

/// Where the log lines go, one per request.
#[derive(Debug)]
pub enum Log {
    /// No log.
    Off,
    Stdout,
    /// Opened for appending: a line stays whole even when several processes write.
    File(File),
}

impl Log {
    /// Opens the target of `-l`.
    pub fn open(target: Option<&LogTarget>) -> io::Result<Log> {
        match target {
            None => Ok(Log::Off),
            Some(LogTarget::Stdout) => Ok(Log::Stdout),
            Some(LogTarget::File(path)) => {
                OpenOptions::new().append(true).create(true).open(path).map(Log::File)
            }
        }
    }

    /// Writes `request` (method, target, version), the status and the body bytes sent.
    pub fn write(&self, request: &str, status: u16, sent: u64) {
        let line = format!("{request} {status} {sent}\n");
        // A full disk or a closed pipe must not end the service; the counters still count.
        let _ = match self {
            Log::Off => Ok(()),
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
