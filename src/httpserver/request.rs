//! What this server uses of a request head, copied out so that the inbox can go on to the body.

use crate::http::field::{Coding, Expect, Length};
use crate::http::head::{Method, Refusal, RequestHead, Version};
use crate::http::target::target;

/// A request without its body.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub version: Version,
    /// Path with its percent-encoding, without the query.
    pub path: Vec<u8>,
    /// What follows the first `?`.
    pub query: Vec<u8>,
    /// `If-Modified-Since` as sent.
    pub modified_since: Option<Vec<u8>>,
    /// The client waits for 100 before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The head says where the body ends, be it that there is none.
    pub has_length: bool,
    /// The client would send another request.
    pub keeps_alive: bool,
}

impl Request {
    /// Reads what `head` says; `bytes` are the head's.
    ///
    /// Errors: those of the target, and 417 for an expectation other than `100-continue`.
    pub fn read(bytes: &[u8], head: &RequestHead) -> Result<Request, Refusal> {
        let target = target(bytes, head)?;
        let mut path = target.lead.as_slice().to_vec();
        path.extend_from_slice(target.path.of(bytes));
        let query = match path.iter().position(|&byte| byte == b'?') {
            Some(at) => path.split_off(at).split_off(1),
            None => Vec::new(),
        };
        if head.fields.expect == Expect::Unknown {
            return Err(Refusal { status: 417, reason: "only 100-continue can be expected here" });
        }
        let since = head.fields.find_text(bytes, b"if-modified-since");
        let fields = &head.fields;
        Ok(Request {
            method: head.method,
            version: head.version,
            path,
            query,
            modified_since: since.map(|line| line.value.of(bytes).to_vec()),
            expects_continue: fields.expect == Expect::Continue && head.version == Version::Http11,
            has_length: fields.coding != Coding::Absent || fields.length != Length::Absent,
            keeps_alive: head.keeps_alive(),
        })
    }

    /// GET or HEAD.
    pub fn is_read(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head)
    }
}

/// The request line for the log, from a head that was parsed.
pub fn line(bytes: &[u8], head: &RequestHead) -> String {
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    };
    let method = String::from_utf8_lossy(head.method_text.of(bytes));
    let target = String::from_utf8_lossy(head.target.of(bytes));
    format!("{method} {target} {version}")
}

/// Stands for the request line where there is none to show.
pub const NO_LINE: &str = "- - -";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{self, Parse};

    fn read(text: &str) -> (String, Result<Request, Refusal>) {
        let mut parsed = RequestHead::default();
        assert_eq!(head::request(text.as_bytes(), &mut parsed), Parse::Complete);
        (line(text.as_bytes(), &parsed), Request::read(text.as_bytes(), &parsed))
    }

    #[test]
    fn path_and_query_are_those_of_any_target_form() {
        let table = [
            ("/a/b?c=d?e", "/a/b", "c=d?e"),
            ("/", "/", ""),
            ("http://h/a?b", "/a", "b"),
            ("http://h", "/", ""),
            ("http://h?b", "/", "b"),
        ];
        for (target, path, query) in table {
            let (line, request) = read(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let request = request.unwrap();
            assert_eq!(line, format!("GET {target} HTTP/1.1"));
            assert_eq!((request.path, request.query), (path.into(), query.into()), "{target}");
        }
    }

    #[test]
    fn only_the_one_expectation_is_met_and_only_in_http11() {
        let head = |version: &str, value: &str| {
            read(&format!("PUT /a {version}\r\nHost: h\r\nExpect: {value}\r\n\r\n")).1
        };
        assert!(head("HTTP/1.1", "100-Continue").unwrap().expects_continue);
        assert!(!head("HTTP/1.0", "100-continue").unwrap().expects_continue);
        let unmet = ["gold", "100-continue, gold", "gold, 100-continue"];
        for value in unmet.into_iter().chain(["100-continue\r\nExpect: gold"]) {
            let status = head("HTTP/1.1", value).err().map(|refusal| refusal.status);
            assert_eq!(status, Some(417), "{value}");
        }
    }
}
