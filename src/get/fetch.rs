//! One request to one URL, up to the answer's body.

use super::Failure;
use super::url::Url;
use crate::http::body::Body;
use crate::http::framing;
use crate::http::head::{self, Method, Parse, ResponseHead};
use crate::httpserver::inbox::{Inbox, Incoming, is_timeout};
use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Most time for connecting to one address of the host.
const CONNECT: Duration = Duration::from_secs(10);

/// Most 1xx answers before the final one; a server that sends more never gets to the point.
const INTERIM_MAX: usize = 16;

/// Most characters of a server's own words that are repeated to the user.
const WORDS_MAX: usize = 60;

/// A final answer whose body is still to be read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `Location` as sent.
    pub location: Option<Vec<u8>>,
    /// What the answer says of its server.
    pub served_by: String,
    /// Length of the content, where it is told.
    pub length: Option<u64>,
    body: Body,
    inbox: Inbox,
    stream: TcpStream,
}

impl Answer {
    /// The body.
    pub fn content(&mut self) -> Incoming<'_, TcpStream> {
        Incoming { body: &mut self.body, inbox: &mut self.inbox, source: &mut self.stream }
    }
}

/// Asks for `url` and reads the head of the final answer. `silence` is the longest wait for a byte.
pub fn open(url: &Url, silence: Duration) -> Result<Answer, Failure> {
    let mut stream = connect(url).map_err(|error| Failure::Connect(url.clone(), error))?;
    let lost = |error: io::Error| Failure::lost(url, silence, error);
    stream.set_read_timeout(Some(silence)).map_err(lost)?;
    stream.set_write_timeout(Some(silence)).map_err(lost)?;
    let (path, host) = (url.path(), url.authority());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadbalancer-get/{}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(request.as_bytes()).map_err(lost)?;
    let (mut inbox, mut head) = (Inbox::default(), ResponseHead::default());
    for _ in 0..INTERIM_MAX {
        read_head(url, silence, &mut stream, &mut inbox, &mut head)?;
        match head.status {
            101 => return Err(Failure::Answer(url.clone(), "the server changed the protocol")),
            100..200 => inbox.consume(head.bytes),
            _ => return answer(url, stream, inbox, &head),
        }
    }
    Err(Failure::Answer(url.clone(), "the server sent no end of 1xx answers"))
}

/// Tries the addresses of the host in turn.
fn connect(url: &Url) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "the host has no address"));
    for address in (url.host(), url.port()).to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, CONNECT);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn read_head(
    url: &Url,
    silence: Duration,
    stream: &mut TcpStream,
    inbox: &mut Inbox,
    head: &mut ResponseHead,
) -> Result<(), Failure> {
    loop {
        match head::response(inbox.unread(), head) {
            Parse::Complete => return Ok(()),
            Parse::Refused(refusal) => return Err(Failure::Answer(url.clone(), refusal.reason)),
            Parse::Partial => {}
        }
        match inbox.fill(stream) {
            Ok(0) => return Err(Failure::Answer(url.clone(), "the server closed without answer")),
            Ok(_) => {}
            Err(error) => return Err(Failure::lost(url, silence, error)),
        }
    }
}

fn answer(
    url: &Url,
    stream: TcpStream,
    mut inbox: Inbox,
    head: &ResponseHead,
) -> Result<Answer, Failure> {
    let body = framing::response(head, Method::Get)
        .map_err(|refusal| Failure::Answer(url.clone(), refusal.reason))?;
    let value = |name: &[u8]| {
        let line = head.fields.find_text(inbox.unread(), name)?;
        Some(line.value.of(inbox.unread()).to_vec())
    };
    let words = |name: &[u8]| value(name).map(|text| printable(&text)).filter(|s| !s.is_empty());
    let served_by = match (words(b"x-served-by"), words(b"server")) {
        (Some(name), Some(program)) => format!("{name} ({program})"),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => url.authority(),
    };
    let location = value(b"location");
    let length = match body {
        Body::Empty => Some(0),
        Body::Length(bytes) => Some(bytes),
        Body::Chunked(_) | Body::UntilClose => None,
    };
    inbox.consume(head.bytes);
    Ok(Answer { status: head.status, location, served_by, length, body, inbox, stream })
}

/// `text` so that it can do nothing to a terminal.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

impl Failure {
    /// The connection failed after it was made.
    pub(super) fn lost(url: &Url, silence: Duration, error: io::Error) -> Failure {
        if is_timeout(&error) {
            return Failure::Silent(url.clone(), silence);
        }
        Failure::Lost(url.clone(), error)
    }
}
