//! A response as a value, and its head as bytes. Pure: whoever holds the socket sends it.

use super::kind;
use crate::http::date::DATE_BYTES;
use crate::http::head::Refusal;
use crate::http::reply;
use std::fs::File;

/// What follows the head.
#[derive(Debug)]
pub enum Content {
    /// Made here.
    Bytes(Vec<u8>),
    /// The first `bytes` bytes of a file.
    File { file: File, bytes: u64 },
    /// Nothing, though its length is told: HEAD and 304 (RFC 9110 §8.6).
    Told(u64),
}

impl Content {
    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Bytes(content) => content.len() as u64,
            Content::File { bytes, .. } | Content::Told(bytes) => *bytes,
        }
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `Content-Type`.
    pub kind: &'static str,
    /// Further fields; the values are safe in a field line.
    pub fields: Vec<(&'static str, String)>,
    pub content: Content,
}

/// What the response tells about the connection (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays, as it does in HTTP/1.1 when nothing is said.
    Stays,
    /// It stays, which an HTTP/1.0 client must be told.
    StaysTold,
    /// It ends behind this response.
    Ends,
}

impl Answer {
    /// A response with content made here.
    pub fn new(status: u16, kind: &'static str, content: Vec<u8>) -> Answer {
        Answer { status, kind, fields: Vec::new(), content: Content::Bytes(content) }
    }

    /// The page that explains `refusal`.
    pub fn page(refusal: Refusal) -> Answer {
        let sentence = format!("{}.", refusal.reason);
        let answer =
            Answer::new(refusal.status, kind::HTML, reply::page(refusal.status, &sentence));
        answer.with("Cache-Control", "no-store".to_owned())
    }

    /// With one more field.
    pub fn with(mut self, name: &'static str, value: String) -> Answer {
        self.fields.push((name, value));
        self
    }

    /// The head alone.
    pub fn without_content(self) -> Answer {
        Answer { content: Content::Told(self.content.bytes()), ..self }
    }

    /// Appends the head to `out`. `port` tells which server answered.
    pub fn write_head(
        &self,
        port: u16,
        date: &[u8; DATE_BYTES],
        persistence: Persistence,
        out: &mut Vec<u8>,
    ) {
        let reason = reply::reason(self.status);
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        put(&format!("HTTP/1.1 {} {reason}\r\nServer: httpserver\r\n", self.status));
        put(&format!("X-Served-By: {port}\r\nDate: "));
        put(std::str::from_utf8(date).unwrap_or_default());
        put(&format!(
            "\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            self.kind,
            self.content.bytes()
        ));
        for (name, value) in &self.fields {
            put(&format!("{name}: {value}\r\n"));
        }
        put(match persistence {
            Persistence::Stays => "\r\n",
            Persistence::StaysTold => "Connection: keep-alive\r\n\r\n",
            Persistence::Ends => "Connection: close\r\n\r\n",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date::imf_fixdate;
    use crate::http::field::Length;
    use crate::http::head::{self, Parse, ResponseHead};

    #[test]
    fn the_head_reads_back_with_length_date_server_and_port() {
        let answer = Answer::page(Refusal { status: 404, reason: "no such file" });
        for persistence in [Persistence::Stays, Persistence::StaysTold, Persistence::Ends] {
            let mut out = Vec::new();
            answer.write_head(1234, &imf_fixdate(0), persistence, &mut out);
            let mut read = ResponseHead::default();
            assert_eq!(head::response(&out, &mut read), Parse::Complete);
            assert_eq!((read.status, read.bytes), (404, out.len()));
            assert_eq!(read.fields.length, Length::Bytes(answer.content.bytes()));
            assert!(read.fields.has_date);
            let port = read.fields.find_text(&out, b"x-served-by").unwrap();
            assert_eq!(port.value.of(&out), b"1234");
            assert_eq!(read.keeps_alive(), persistence != Persistence::Ends);
        }
    }
}
