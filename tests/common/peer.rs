//! One end of a TCP connection that reads and writes exactly what a test says.

use super::{DEADLINE, Message};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A connection, with what was read from it and not consumed yet.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    /// Connects; fails the test if that does not work.
    pub fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("connecting");
        Peer::over(stream)
    }

    /// Connects from 127.0.0.`last`: another client, as far as addresses tell.
    pub fn connect_from(last: u8, address: SocketAddr) -> Peer {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
        let socket = socket.expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).expect("a local address");
        socket.connect_timeout(&address.into(), DEADLINE).expect("connecting");
        Peer::over(socket.into())
    }

    /// Takes over a connection.
    pub fn over(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(DEADLINE)).expect("a read time-out");
        stream.set_write_timeout(Some(DEADLINE)).expect("a write time-out");
        stream.set_nodelay(true).expect("no delay");
        Peer { stream, buffer: Vec::new() }
    }

    /// Reads wait so long from here on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a read time-out");
    }

    /// A second handle of the connection, to write while this one reads.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a second handle")
    }

    /// Writes all of it; fails the test if that does not work.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("writing");
    }

    /// Writes all of it, unless the other side has gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends FIN; can still read.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("half-closing");
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let now = Some(Duration::ZERO);
        socket2::SockRef::from(&self.stream).set_linger(now).expect("set to reset");
    }

    /// A `GET` on this connection, and its response.
    pub fn get(&mut self, target: &str) -> Message {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: example.test\r\n\r\n"));
        self.response()
    }

    /// Reads one response, as to a `GET`. Interim responses count as responses.
    pub fn response(&mut self) -> Message {
        self.response_to("GET")
    }

    /// Reads one response to a request of this method.
    pub fn response_to(&mut self, method: &str) -> Message {
        match self.try_response(method) {
            Ok(Some(message)) => message,
            Ok(None) => panic!("the connection ended before a response"),
            Err(error) => {
                let so_far = String::from_utf8_lossy(&self.buffer);
                panic!("no whole response: {error}; unread: {so_far:?}")
            }
        }
    }

    /// Reads one response; none if the connection has ended.
    pub fn try_response(&mut self, method: &str) -> io::Result<Option<Message>> {
        let Some(head) = self.try_head()? else { return Ok(None) };
        let mut message = Message { head, ..Message::default() };
        let status = message.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Some(message));
        }
        if !self.delimited_body(&mut message)? {
            message.body = self.try_rest()?;
            message.coded = message.body.clone();
        }
        Ok(Some(message))
    }

    /// Reads one request; none if the connection has ended or broken.
    pub fn request(&mut self) -> Option<Message> {
        let head = self.try_head().ok().flatten()?;
        let mut message = Message { head, ..Message::default() };
        self.delimited_body(&mut message).ok()?;
        Some(message)
    }

    /// Reads a head alone; none if the connection has ended or broken before it was whole.
    pub fn head(&mut self) -> Option<String> {
        self.try_head().ok().flatten()
    }

    /// Reads a head as the bytes that came; none as for [`Peer::head`].
    pub fn head_bytes(&mut self) -> Option<Vec<u8>> {
        self.try_head_bytes().ok().flatten()
    }

    /// Reads whatever comes next; none at the end.
    pub fn some(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() && !matches!(self.more(), Ok(1..)) {
            return None;
        }
        Some(self.take(self.buffer.len()))
    }

    fn try_head(&mut self) -> io::Result<Option<String>> {
        let bytes = self.try_head_bytes()?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn try_head_bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut seen = 0;
        loop {
            let from = usize::saturating_sub(seen, 3);
            let found = self.buffer[from..].windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(at) = found {
                return Ok(Some(self.take(from + at + 4)));
            }
            seen = self.buffer.len();
            if self.more()? == 0 {
                return if seen == 0 { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads the body that the head announces; false when the connection's end is its end.
    fn delimited_body(&mut self, message: &mut Message) -> io::Result<bool> {
        if message.field("transfer-encoding").is_some() {
            self.chunks(message)?;
            return Ok(true);
        }
        let Some(length) = message.field("content-length") else { return Ok(false) };
        let length = length.parse().expect("a Content-Length");
        message.body = self.try_exactly(length)?;
        message.coded = message.body.clone();
        Ok(true)
    }

    fn chunks(&mut self, message: &mut Message) -> io::Result<()> {
        loop {
            let line = self.line()?;
            message.coded.extend_from_slice(line.as_bytes());
            let digits = line.split([';', '\r']).next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .unwrap_or_else(|_| panic!("no chunk size in {line:?}"));
            if size == 0 {
                break;
            }
            let data = self.try_exactly(size + 2)?;
            assert!(data.ends_with(b"\r\n"), "a chunk ends in CRLF");
            message.body.extend_from_slice(&data[..size]);
            message.coded.extend_from_slice(&data);
        }
        loop {
            let line = self.line()?;
            message.coded.extend_from_slice(line.as_bytes());
            if line == "\r\n" {
                return Ok(());
            }
            message.trailers.push_str(&line);
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let bytes = self.take(at + 2);
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads exactly so many bytes; fails the test if they do not come.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        self.try_exactly(count).unwrap_or_else(|error| {
            panic!("{count} bytes were expected, {} came: {error}", self.buffer.len())
        })
    }

    fn try_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.more()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.take(count))
    }

    /// Reads to the end; fails the test at a reset or when no end comes.
    pub fn rest(&mut self) -> Vec<u8> {
        self.try_rest().expect("reading to the end")
    }

    /// Reads to the end; an error is a reset, or no end within the deadline.
    pub fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more()? > 0 {}
        let count = self.buffer.len();
        Ok(self.take(count))
    }

    /// Waits for the end of the connection, orderly or not; fails the test if bytes come first.
    pub fn expect_end(&mut self) {
        match self.try_rest() {
            Ok(rest) => assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Reads once more; 0 at the end.
    fn more(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(io::Error::new(ErrorKind::TimedOut, "nothing came in time"));
                }
                outcome => {
                    let count = outcome?;
                    self.buffer.extend_from_slice(&chunk[..count]);
                    return Ok(count);
                }
            }
        }
    }
}
