//! What this server uses of a request head, copied out because the buffer goes on to the body, and
//! its path as a path below the served directory. Touches no file: see `directory` for links.

use crate::http::field::{Coding, Expect, Length};
use crate::http::head::{Method, Refusal, RequestHead, Version};
use crate::http::percent;
use crate::http::target::target;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A request without its body.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub version: Version,
    /// Path with its percent-encoding, without the query.
    pub path: Vec<u8>,
    /// The text after the first `?`.
    pub query: Vec<u8>,
    /// `If-Modified-Since` as sent.
    pub modified_since: Option<Vec<u8>>,
    /// `Accept` names HTML pages, as that of every browser does.
    pub accepts_html: bool,
    /// The client waits for 100 before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The content is a part of a file (`Content-Range`).
    pub is_partial: bool,
    /// `Content-Length` or `Transfer-Encoding` is there.
    pub has_length: bool,
    /// The client would send another request on this connection.
    pub keeps_alive: bool,
}

impl Request {
    /// Reads what `head` says; `bytes` are the head's.
    ///
    /// Errors: those of the target, and 417 for an expectation other than `100-continue`.
    pub fn read(bytes: &[u8], head: &RequestHead) -> Result<Request, Refusal> {
        let target = target(bytes, head)?;
        let mut path = target.path_prefix.as_slice().to_vec();
        path.extend_from_slice(target.path.of(bytes));
        let query = match path.iter().position(|&byte| byte == b'?') {
            Some(at) => path.split_off(at).split_off(1),
            None => Vec::new(),
        };
        let fields = &head.fields;
        if fields.expect == Expect::Unknown {
            return Err(Refusal { status: 417, reason: "only 100-continue can be expected here" });
        }
        let value = |name| fields.find_text(bytes, name).map(|line| line.value.of(bytes));
        let accept = value(b"accept").unwrap_or_default().to_ascii_lowercase();
        Ok(Request {
            method: head.method,
            version: head.version,
            path,
            query,
            modified_since: value(b"if-modified-since").map(<[u8]>::to_vec),
            accepts_html: accept.windows(9).any(|text| text == b"text/html"),
            expects_continue: fields.expect == Expect::Continue && head.version == Version::Http11,
            is_partial: value(b"content-range").is_some(),
            has_length: fields.coding != Coding::Absent || fields.length != Length::Absent,
            keeps_alive: head.keeps_alive(),
        })
    }
}

/// The request line for the log, from a parsed head.
pub fn line(bytes: &[u8], head: &RequestHead) -> String {
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    };
    let method = String::from_utf8_lossy(head.method_text.of(bytes));
    // Beyond ASCII there are characters that control a terminal.
    let target = percent::encode(head.target.of(bytes), |byte| byte.is_ascii_graphic());
    format!("{method} {target} {version}")
}

/// The request line in the log when no head could be parsed.
pub const NO_LINE: &str = "- - -";

/// A path below the served directory, percent-decoded once. Its segments cannot lead out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePath {
    segments: Vec<Vec<u8>>,
    /// The text ended in a slash: it names a directory.
    pub has_final_slash: bool,
}

impl SitePath {
    /// Reads the path of a request target, without its query.
    ///
    /// Errors: 400 for a malformed `%XX` and for NUL, 403 for `..`, for an encoded slash and for
    /// hidden names. All are checked after decoding, so that `%2e%2e` is no different from `..`.
    pub fn read(path: &[u8]) -> Result<SitePath, Refusal> {
        const OUTSIDE: Refusal =
            Refusal { status: 403, reason: "the path leads out of the served directory" };
        // Settings and keys such as `.ssh`, and our own unfinished uploads.
        const HIDDEN: Refusal =
            Refusal { status: 403, reason: "names that begin with a dot are not served" };
        let mut segments = Vec::new();
        for segment in path.split(|&byte| byte == b'/') {
            let segment = percent::decode(segment)
                .filter(|segment| !segment.contains(&0))
                .ok_or(Refusal { status: 400, reason: "the path is not well encoded" })?;
            match segment.as_slice() {
                b"" | b"." => {}
                b".." => return Err(OUTSIDE),
                slashed if slashed.contains(&b'/') => return Err(OUTSIDE),
                [b'.', ..] => return Err(HIDDEN),
                _ => segments.push(segment),
            }
        }
        Ok(SitePath { segments, has_final_slash: path.ends_with(b"/") })
    }

    /// The file's path when `root` is served.
    pub fn under(&self, root: &Path) -> PathBuf {
        let segments = self.segments.iter().map(|segment| OsStr::from_bytes(segment));
        root.iter().chain(segments).collect()
    }

    /// It is the served directory itself.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// The one segment of a path like `/N`.
    pub fn single(&self) -> Option<&[u8]> {
        match self.segments.as_slice() {
            [only] if !self.has_final_slash => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for SitePath {
    /// Encoded again: safe in a field value, in plain text and in an HTML attribute. Begins with
    /// exactly one slash: two would name another host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{}", percent::encode(segment, percent::is_unreserved))?;
        }
        if self.has_final_slash || self.is_root() { f.write_str("/") } else { Ok(()) }
    }
}

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
    fn the_line_for_the_log_has_no_character_that_controls_a_terminal() {
        let (line, request) = read("GET /a\u{9b}2J%1b HTTP/1.0\r\n\r\n");
        assert_eq!(line, "GET /a%C2%9B2J%1b HTTP/1.0");
        assert_eq!(request.map(|_| ()).map_err(|refusal| refusal.status), Err(400));
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

    #[test]
    fn paths_stay_below_the_root_or_are_refused() {
        let table: [(&str, Result<&str, u16>); 29] = [
            ("/", Ok("/srv")),
            ("", Ok("/srv")),
            ("/a", Ok("/srv/a")),
            ("/a/b/", Ok("/srv/a/b")),
            ("//a///b", Ok("/srv/a/b")),
            ("/./a/.", Ok("/srv/a")),
            ("/%61%20b", Ok("/srv/a b")),
            ("/a.b", Ok("/srv/a.b")),
            ("/...", Err(403)),
            ("/..a", Err(403)),
            ("/.git/config", Err(403)),
            ("/a/.htaccess", Err(403)),
            ("/%2essh/authorized_keys", Err(403)),
            ("/.a.part-1", Err(403)),
            ("/~root", Ok("/srv/~root")),
            ("/a\\..\\b", Ok("/srv/a\\..\\b")),
            ("/%252e%252e/a", Ok("/srv/%2e%2e/a")),
            ("/..", Err(403)),
            ("/../etc/passwd", Err(403)),
            ("/a/../b", Err(403)),
            ("/%2e%2e/etc/passwd", Err(403)),
            ("/%2E./etc/passwd", Err(403)),
            ("/.%2e", Err(403)),
            ("/..%2fetc%2fpasswd", Err(403)),
            ("/%2fetc/passwd", Err(403)),
            ("/a%2Fb", Err(403)),
            ("/a%00b", Err(400)),
            ("/a%", Err(400)),
            ("/a%zz", Err(400)),
        ];
        for (path, expected) in table {
            let read = SitePath::read(path.as_bytes());
            let found = read.map(|path| path.under(Path::new("/srv"))).map_err(|r| r.status);
            assert_eq!(found, expected.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn display_reads_back_and_never_starts_with_two_slashes() {
        for path in ["/", "/a", "/a/", "//evil.example/x/", "/%22%3Cb%3E%0d%0a"] {
            let read = SitePath::read(path.as_bytes()).unwrap();
            let shown = read.to_string();
            assert!(!shown.starts_with("//") && !shown.contains(['"', '<', '\r']), "{shown}");
            assert_eq!(SitePath::read(shown.as_bytes()).unwrap().segments, read.segments);
        }
    }
}
