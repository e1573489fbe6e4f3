//! A response as a value, and its head as bytes. Pure: the connection sends it.

use crate::http::date::DATE_BYTES;
use crate::http::head::Refusal;
use crate::http::reply;
use std::fs::File;
use std::path::Path;

/// An HTML page.
pub const HTML: &str = "text/html; charset=utf-8";
/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// For extensions not listed in [`content_type`].
const BYTES: &str = "application/octet-stream";

/// What follows the head.
#[derive(Debug)]
pub enum Content {
    /// Made here.
    Bytes(Vec<u8>),
    /// The first `bytes` bytes of a file.
    File { file: File, bytes: u64 },
    /// Not sent, only its length: HEAD and 304 (RFC 9110 §8.6).
    Omitted(u64),
}

impl Content {
    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Bytes(content) => content.len() as u64,
            Content::File { bytes, .. } | Content::Omitted(bytes) => *bytes,
        }
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    /// Further fields; the values are safe in a field line.
    pub fields: Vec<(&'static str, String)>,
    pub content: Content,
}

/// What the response says about the connection (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It persists, the default of HTTP/1.1.
    KeepAlive,
    /// It persists, which an HTTP/1.0 client learns from a field.
    AnnouncedKeepAlive,
    /// It is closed after this response.
    Close,
}

impl Response {
    /// A response with content made here.
    pub fn new(status: u16, content_type: &'static str, content: Vec<u8>) -> Response {
        Response { status, content_type, fields: Vec::new(), content: Content::Bytes(content) }
    }

    /// The page that explains `refusal`.
    pub fn refusal(refusal: Refusal) -> Response {
        let page = reply::page(refusal.status, &format!("{}.", refusal.reason));
        Response::new(refusal.status, HTML, page).with("Cache-Control", "no-store".to_owned())
    }

    /// With one more field.
    pub fn with(mut self, name: &'static str, value: String) -> Response {
        self.fields.push((name, value));
        self
    }

    /// The head alone, with the length of the content.
    pub fn without_content(self) -> Response {
        Response { content: Content::Omitted(self.content.bytes()), ..self }
    }

    /// Appends the head to `out`. `port` identifies this server.
    pub fn write_head(
        &self,
        port: u16,
        date: &[u8; DATE_BYTES],
        persistence: Persistence,
        out: &mut Vec<u8>,
    ) {
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        put(&format!("HTTP/1.1 {} {}\r\n", self.status, reply::reason(self.status)));
        put(&format!("Server: httpserver\r\nX-Served-By: {port}\r\nDate: "));
        put(std::str::from_utf8(date).unwrap_or_default());
        put(&format!("\r\nContent-Type: {}\r\n", self.content_type));
        put(&format!("Content-Length: {}\r\n", self.content.bytes()));
        for (name, value) in &self.fields {
            put(&format!("{name}: {value}\r\n"));
        }
        put(match persistence {
            Persistence::KeepAlive => "\r\n",
            Persistence::AnnouncedKeepAlive => "Connection: keep-alive\r\n\r\n",
            Persistence::Close => "Connection: close\r\n\r\n",
        });
    }
}

/// The `Content-Type` of the file at `path` by its extension, in any case.
pub fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => HTML,
        "txt" | "text" | "log" | "md" | "conf" => TEXT,
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "tar" => "application/x-tar",
        _ => BYTES,
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
        let response = Response::refusal(Refusal { status: 404, reason: "no such file" });
        for persistence in
            [Persistence::KeepAlive, Persistence::AnnouncedKeepAlive, Persistence::Close]
        {
            let mut out = Vec::new();
            response.write_head(1234, &imf_fixdate(0), persistence, &mut out);
            let mut read = ResponseHead::default();
            assert_eq!(head::response(&out, &mut read), Parse::Complete);
            assert_eq!((read.status, read.bytes), (404, out.len()));
            assert_eq!(read.fields.length, Length::Bytes(response.content.bytes()));
            assert!(read.fields.has_date);
            let port = read.fields.find_text(&out, b"x-served-by").unwrap();
            assert_eq!(port.value.of(&out), b"1234");
            assert_eq!(read.keeps_alive(), persistence != Persistence::Close);
        }
    }

    #[test]
    fn the_last_extension_in_any_case_decides() {
        let table = [
            ("a.html", HTML),
            ("a.txt.HTM", HTML),
            ("a.png", "image/png"),
            ("abc", BYTES),
            (".html", BYTES),
            ("a.", BYTES),
        ];
        for (name, expected) in table {
            assert_eq!(content_type(Path::new(name)), expected, "{name}");
        }
    }
}
