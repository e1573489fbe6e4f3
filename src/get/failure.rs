//! Why a download failed, as one line that shows nothing a server could use against a terminal.

use super::url::{Url, UrlError};
use crate::base::reason::reason as reason_of;
use crate::http::reply::reason;
use std::fmt;
use std::io;
use std::time::Duration;

/// Most redirects of one download.
pub const REDIRECTS_MAX: usize = 10;

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

/// Whether `c` may be shown on a terminal. Control characters could change its state; marks for
/// right-to-left text (Unicode UAX #9) and line separators could make one text look like another.
pub fn is_printable(c: char) -> bool {
    let is_bidirectional = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !c.is_control() && !is_bidirectional && !matches!(c, '\u{2028}' | '\u{2029}')
}
