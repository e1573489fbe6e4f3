//! What all connections of one server share, and which answer a GET gets.

use super::answer::{Answer, Content};
use super::files::{self, Found, Opened};
use super::log::{Log, Tally};
use super::path::SitePath;
use super::pi::{self, Pi};
use super::request::Request;
use super::upload::Upload;
use super::{kind, listing};
use crate::base::rng::Rng;
use crate::http::date::imf_fixdate;
use crate::http::field::decimal;
use crate::http::head::Refusal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The report for load balancers; answered whether or not there is such a file.
const HEALTHCHECK: &[u8] = b"/healthcheck";

/// `--fail-rate` is kept in millionths.
const MILLION: u64 = 1_000_000;

/// How long a connection waits for its client.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For the next request. Above the 60 s for which proxies commonly keep idle connections, so
    /// that it is not this side that closes one just as a request is sent on it.
    pub idle: Duration,
    /// From the first byte of a head to its last (408).
    pub head: Duration,
    /// For more of a body (408), and for room to send.
    pub body: Duration,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits {
            idle: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
        }
    }
}

/// One server.
#[derive(Debug)]
pub struct Site {
    /// The served directory, absolute and without links.
    pub root: PathBuf,
    /// Where it listens: the name by which answers tell servers apart.
    pub port: u16,
    /// Slept before each answer but those to health checks (`--delay`).
    pub delay: Duration,
    pub tally: Tally,
    pub log: Log,
    pub waits: Waits,
    fail_millionths: u64,
    dice: Mutex<Rng>,
    pi: Pi,
}

impl Site {
    /// A server of `root` that fails `fail_rate` (0 to 1) of its requests on purpose.
    pub fn new(root: PathBuf, port: u16, log: Log, fail_rate: f64) -> Site {
        Site {
            root,
            port,
            delay: Duration::ZERO,
            tally: Tally::default(),
            log,
            waits: Waits::default(),
            // The cast saturates and takes NaN for 0.
            fail_millionths: (fail_rate * MILLION as f64).round() as u64,
            // Seeded alike each time, so that an experiment can be repeated.
            dice: Mutex::new(Rng::new(u64::from(port))),
            pi: Pi::default(),
        }
    }

    /// Whether the next request is one of those to fail.
    pub fn rolls_failure(&self) -> bool {
        if self.fail_millionths == 0 {
            return false;
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        dice.below(MILLION) < self.fail_millionths
    }

    /// Health checks are answered at once, never fail on purpose, and are neither counted nor
    /// logged: the report is about the load from clients.
    pub fn is_healthcheck(request: &Request) -> bool {
        request.is_read() && request.path == HEALTHCHECK
    }

    /// The report: errors so far, then requests so far.
    pub fn health(&self) -> Answer {
        Answer::new(200, kind::TEXT, self.tally.report().into_bytes())
            .with("Cache-Control", "no-store".to_owned())
    }

    /// The answer to GET and HEAD.
    pub fn read(&self, request: &Request) -> Result<Answer, Refusal> {
        let path = SitePath::read(&request.path)?;
        match files::find(&self.root, &path) {
            Ok(Found::File(opened)) => Ok(file(opened, &path.under(&self.root), request)),
            Ok(Found::Directory(real)) => self.directory(&real, &path, request),
            Err(missing) if missing.status == 404 => self.pi(&path, missing),
            Err(refusal) => Err(refusal),
        }
    }

    /// Makes ready for the body of a PUT to `path`.
    pub fn upload(&self, request: &Request, path: &SitePath) -> Result<Upload, Refusal> {
        if request.path == HEALTHCHECK {
            return Err(Refusal { status: 403, reason: "this name is taken by the load report" });
        }
        if !request.has_length {
            return Err(Refusal { status: 411, reason: "the upload does not tell its length" });
        }
        Upload::prepare(&self.root, path)
    }

    /// `index.html` if there is one; else the root says which server this is (its listing is
    /// `/?list`) and any other directory is listed.
    fn directory(
        &self,
        real: &Path,
        path: &SitePath,
        request: &Request,
    ) -> Result<Answer, Refusal> {
        if !path.is_directory && !path.is_root() {
            // The links of a listing are relative: they need the slash.
            let moved = Refusal { status: 301, reason: "this is a directory" };
            return Ok(Answer::page(moved).with("Location", format!("{path}/")));
        }
        let index = real.join("index.html");
        match files::inside(&self.root, &index).and_then(|real| files::open(&real)) {
            Ok(opened) => return Ok(file(opened, &index, request)),
            Err(refusal) if refusal.status == 404 => {}
            Err(refusal) => return Err(refusal),
        }
        if path.is_root() && request.query != b"list" {
            let hello = format!("hello from httpserver on port {}\n", self.port);
            return Ok(Answer::new(200, kind::TEXT, hello.into_bytes()));
        }
        listing::page(real, path).map(|page| Answer::new(200, kind::HTML, page))
    }

    /// The page for `/N`; `missing` when the path is no number.
    fn pi(&self, path: &SitePath, missing: Refusal) -> Result<Answer, Refusal> {
        let Some(terms) = path.single().and_then(decimal) else { return Err(missing) };
        if !(1..=pi::TERMS_MAX).contains(&terms) {
            return Err(Refusal { status: 400, reason: "pi is computed to 1 to 60000 terms" });
        }
        let value = self.pi.compute(terms);
        Ok(Answer::new(200, kind::HTML, pi::page(terms, value, self.port)))
    }
}

/// A file, or 304 when the client has it already. Only the very date we gave counts: a client that
/// makes up another gets the file, which is never wrong (RFC 9110 §13.1.3).
fn file(opened: Opened, path: &Path, request: &Request) -> Answer {
    let date = imf_fixdate(opened.modified);
    let is_known = request.modified_since.as_deref() == Some(&date[..]);
    let date = String::from_utf8_lossy(&date).into_owned();
    Answer {
        status: if is_known { 304 } else { 200 },
        kind: kind::of(path),
        fields: vec![("Last-Modified", date)],
        content: Content::File { file: opened.file, bytes: opened.bytes },
    }
}
