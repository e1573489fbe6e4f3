//! A directory to serve and a client to ask with, for the tests of the server.

use crate::cli::HttpServer;
use crate::config::HostPort;
use crate::http::framing;
use crate::http::head::{self, Method, Parse, ResponseHead};
use crate::httpserver::Server;
use crate::httpserver::reader::Reader;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A directory of its own for one test, removed with it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("httpserver-{name}-{}", std::process::id()));
        // What a test run that was killed under the same id has left.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root")).unwrap();
        Scratch(path)
    }

    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub fn options(&self) -> HttpServer {
        let listen = HostPort::on("127.0.0.1", 0);
        HttpServer { listen, dir: self.root(), ..HttpServer::default() }
    }

    pub fn serve(&self) -> SocketAddr {
        start(Server::bind(&self.options()).unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn start(server: Server) -> SocketAddr {
    let address = server.address();
    thread::spawn(move || server.serve());
    address
}

/// One client connection.
pub struct Client {
    pub stream: TcpStream,
    pub reader: Reader<TcpStream>,
    pub head: ResponseHead,
    /// The bytes of `head`.
    head_bytes: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let reader = Reader::new(stream.try_clone().unwrap());
        Client { stream, reader, head: ResponseHead::default(), head_bytes: Vec::new() }
    }

    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Status and content of the next answer.
    pub fn receive(&mut self, method: Method) -> (u16, String) {
        while head::response(self.reader.unread(), &mut self.head) == Parse::Partial {
            assert_ne!(self.reader.fill().unwrap(), 0, "closed within a head");
        }
        assert_eq!(head::response(self.reader.unread(), &mut self.head), Parse::Complete);
        if self.head.status == 100 {
            self.reader.consume(self.head.bytes);
            return (100, String::new());
        }
        for name in ["date", "content-length", "x-served-by", "server"] {
            let line = self.head.fields.find_text(self.reader.unread(), name.as_bytes());
            assert!(line.is_some(), "{name}");
        }
        self.head_bytes = self.reader.unread()[..self.head.bytes].to_vec();
        let mut body = framing::response(&self.head, method).unwrap();
        self.reader.consume(self.head.bytes);
        let mut content = Vec::new();
        loop {
            let count = self.reader.content(&mut body).unwrap();
            if count == 0 {
                break;
            }
            content.extend_from_slice(&self.reader.unread()[..count]);
            self.reader.consume(count);
        }
        (self.head.status, String::from_utf8(content).unwrap())
    }

    /// The value of a field of the last response.
    pub fn field(&self, name: &str) -> Option<String> {
        let line = self.head.fields.find_text(&self.head_bytes, name.as_bytes())?;
        Some(String::from_utf8_lossy(line.value.of(&self.head_bytes)).into_owned())
    }

    pub fn ask(&mut self, text: &str) -> (u16, String) {
        self.send(text);
        self.receive(if text.starts_with("HEAD") { Method::Head } else { Method::Get })
    }

    pub fn get(&mut self, target: &str) -> (u16, String) {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
    }

    pub fn put(&mut self, target: &str, content: &str) -> (u16, String) {
        let length = content.len();
        self.ask(&format!(
            "PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{content}"
        ))
    }

    /// The server has closed and nothing more has come.
    pub fn is_closed(&mut self) -> bool {
        self.reader.unread().is_empty() && matches!(self.reader.fill(), Ok(0))
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
