//! One request to one URL, and the head of its final response.

use super::failure::{Failure, is_printable};
use super::stream::Stream;
use super::url::{Scheme, Url};
use crate::http::body::Body;
use crate::http::framing;
use crate::http::head::{self, Method, Parse, ResponseHead};
use crate::httpserver::reader::{BodyError, Reader, is_timeout};
use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longest time for connecting to one address of the host.
const CONNECT: Duration = Duration::from_secs(10);

/// Most 1xx responses before the final one.
const INTERIM_MAX: usize = 16;

/// Most characters of a field value that are shown to the user.
const SHOWN_MAX: usize = 60;

/// A final response whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// `Location` as sent.
    pub location: Option<Vec<u8>>,
    /// `X-Served-By` and `Server`, as far as they are there; otherwise host and port of the URL.
    pub served_by: String,
    /// Length of the content; none when it ends with the last chunk or the connection.
    pub length: Option<u64>,
    body: Body,
    reader: Reader<Stream>,
}

impl Response {
    /// How many bytes at the start of [`Response::unread`] are the next content; 0 at its end. The
    /// caller consumes all of them before the next call.
    pub fn content(&mut self) -> Result<usize, BodyError> {
        self.reader.content(&mut self.body)
    }

    /// What was read and not consumed.
    pub fn unread(&self) -> &[u8] {
        self.reader.unread()
    }

    /// Drops the first `count` unread bytes.
    pub fn consume(&mut self, count: usize) {
        self.reader.consume(count);
    }
}

/// Requests `url` and reads the head of the final response. `timeout` is the longest wait for a
/// byte, and for a connection if it is shorter than usual.
pub fn open(url: &Url, timeout: Duration) -> Result<Response, Failure> {
    let connected = connect(url, timeout.min(CONNECT));
    let tcp = connected.map_err(|error| Failure::Connect(url.clone(), error))?;
    let lost = |error: io::Error| Failure::lost(url, timeout, error);
    tcp.set_read_timeout(Some(timeout)).map_err(lost)?;
    tcp.set_write_timeout(Some(timeout)).map_err(lost)?;
    let mut stream = match url.scheme() {
        Scheme::Http => Stream::Plain(tcp),
        Scheme::Https => {
            Stream::secure(tcp, url.host()).map_err(|error| Failure::Connect(url.clone(), error))?
        }
    };
    let (path, host) = (url.path(), url.authority());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadbalancer-get/{}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(request.as_bytes()).map_err(lost)?;
    let (mut reader, mut head) = (Reader::new(stream), ResponseHead::default());
    for _ in 0..INTERIM_MAX {
        read_head(url, timeout, &mut reader, &mut head)?;
        match head.status {
            101 => return Err(Failure::Response(url.clone(), "the server changed the protocol")),
            100..200 => reader.consume(head.bytes),
            _ => return response(url, reader, &head),
        }
    }
    Err(Failure::Response(url.clone(), "the server sent too many 1xx responses"))
}

/// Tries the addresses of the host one after the other.
fn connect(url: &Url, timeout: Duration) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "the host has no address"));
    for address in (url.host(), url.port()).to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, timeout);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn read_head(
    url: &Url,
    timeout: Duration,
    reader: &mut Reader<Stream>,
    head: &mut ResponseHead,
) -> Result<(), Failure> {
    loop {
        match head::response(reader.unread(), head) {
            Parse::Complete => return Ok(()),
            Parse::Refused(refusal) => return Err(Failure::Response(url.clone(), refusal.reason)),
            Parse::Partial => {}
        }
        match reader.fill() {
            Ok(0) => {
                let why = "the server closed without a response";
                return Err(Failure::Response(url.clone(), why));
            }
            Ok(_) => {}
            Err(error) => return Err(Failure::lost(url, timeout, error)),
        }
    }
}

fn response(
    url: &Url,
    mut reader: Reader<Stream>,
    head: &ResponseHead,
) -> Result<Response, Failure> {
    let body = framing::response(head, Method::Get)
        .map_err(|refusal| Failure::Response(url.clone(), refusal.reason))?;
    let value = |name: &[u8]| {
        let line = head.fields.find_text(reader.unread(), name)?;
        Some(line.value.of(reader.unread()).to_vec())
    };
    let shown = |name: &[u8]| value(name).map(|text| printable(&text)).filter(|s| !s.is_empty());
    let served_by = match (shown(b"x-served-by"), shown(b"server")) {
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
    reader.consume(head.bytes);
    Ok(Response { status: head.status, location, served_by, length, body, reader })
}

/// The start of `text`, without characters that control a terminal.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().filter(|&c| is_printable(c)).take(SHOWN_MAX).collect()
}

impl Failure {
    /// The established connection failed.
    pub(super) fn lost(url: &Url, timeout: Duration, error: io::Error) -> Failure {
        if is_timeout(&error) {
            return Failure::TimedOut(url.clone(), timeout);
        }
        Failure::Lost(url.clone(), error)
    }
}
