//! `http://host[:port]/path?query` as a value, and references relative to one (RFC 3986). Resolves
//! no name.

use crate::config::{AddressError, HostPort, quote};
use crate::http::percent;
use std::fmt;

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const ALL: [Scheme; 2] = [Scheme::Http, Scheme::Https];

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// Port of a URL without one (RFC 9110 §4.2.1, §4.2.2).
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// An absolute `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// Host, always there, and port.
    endpoint: HostPort,
    /// Path and query; begins with a slash; visible ASCII only.
    path: String,
}

/// Why a text is not a URL this client can get. Each displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// No scheme; the text.
    NoScheme(String),
    /// Another scheme than `http` and `https`.
    Scheme(String),
    /// `user:password@`.
    Credentials,
    /// Host or port are wrong.
    Address(AddressError),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::NoScheme(text) => {
                write!(f, "{} is not a URL: write http://host:port/file", quote(text))
            }
            UrlError::Scheme(scheme) => {
                write!(f, "{} is not supported: only http:// and https:// are", quote(scheme))
            }
            UrlError::Credentials => {
                f.write_str("the URL has a user name, which is not supported: leave it out")
            }
            UrlError::Address(error) => error.fmt(f),
        }
    }
}

impl Url {
    /// Reads an absolute URL; a fragment is dropped, and bytes not allowed in a URL are encoded.
    pub fn read(text: &str) -> Result<Url, UrlError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlError::NoScheme(text.to_owned()));
        };
        let known = Scheme::ALL.into_iter().find(|it| scheme.eq_ignore_ascii_case(it.name()));
        let scheme = known.ok_or_else(|| UrlError::Scheme(scheme.to_owned()))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let lead = if path.starts_with('/') { "" } else { "/" };
        let endpoint = endpoint(authority, scheme.port())?;
        Ok(Url { scheme, endpoint, path: format!("{lead}{}", clean(path)) })
    }

    /// Resolves `reference`, the value of a `Location` field in a response to this URL
    /// (RFC 3986 §5.2).
    pub fn join(&self, reference: &[u8]) -> Result<Url, UrlError> {
        let reference = clean(&String::from_utf8_lossy(reference));
        let reference = reference.split('#').next().unwrap_or_default();
        let scheme_end = reference.find([':', '/', '?']).unwrap_or(reference.len());
        if let Some(rest) = reference[scheme_end..].strip_prefix(':') {
            let scheme = &reference[..scheme_end];
            if !rest.starts_with("//") {
                return Err(UrlError::Scheme(scheme.to_owned()));
            }
            return Url::read(reference);
        }
        if reference.starts_with("//") {
            return Url::read(&format!("{}:{reference}", self.scheme.name()));
        }
        let own = self.path.split('?').next().unwrap_or_default();
        let path = match reference.as_bytes().first() {
            None => self.path.clone(),
            Some(b'?') => format!("{own}{reference}"),
            Some(b'/') => without_dots(reference),
            Some(_) => {
                let directory = own.rfind('/').map_or("/", |slash| &own[..=slash]);
                without_dots(&format!("{directory}{reference}"))
            }
        };
        Ok(Url { scheme: self.scheme, endpoint: self.endpoint.clone(), path })
    }

    /// How the server is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host without brackets.
    pub fn host(&self) -> &str {
        self.endpoint.host.as_deref().unwrap_or_default()
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// Path and query as they are sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of `Host`: without the port when it is the scheme's (RFC 9110 §7.2).
    pub fn authority(&self) -> String {
        let text = self.endpoint.to_string();
        let port = self.scheme.port();
        match text.strip_suffix(&format!(":{port}")) {
            Some(host) if self.port() == port => host.to_owned(),
            Some(_) | None => text,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.path)
    }
}

fn endpoint(authority: &str, port: u16) -> Result<HostPort, UrlError> {
    if authority.contains('@') {
        return Err(UrlError::Credentials);
    }
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    let after_host = authority.rfind(']').map_or(authority, |at| &authority[at..]);
    let full = match after_host.contains(':') {
        true => authority.to_owned(),
        false => format!("{authority}:{port}"),
    };
    match HostPort::backend(&full) {
        // A port alone is an address elsewhere, but not in a URL.
        Ok(HostPort { host: None, .. }) => Err(UrlError::Address(AddressError::Neither(full))),
        outcome => outcome.map_err(UrlError::Address),
    }
}

/// Encodes bytes that are not allowed anywhere in a URL; what is encoded already stays as it is.
fn clean(text: &str) -> String {
    percent::encode(text.as_bytes(), |byte| byte.is_ascii_graphic())
}

/// `path` without `.` and `..`, which never lead above the root; a query after it stays as it is
/// (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_and_display_in_one_form() {
        let table = [
            ("http://h/a", "http://h/a"),
            ("HTTP://h", "http://h/"),
            ("http://h:/", "http://h/"),
            ("http://h:80/a", "http://h/a"),
            ("https://h:443/a", "https://h/a"),
            ("https://h:80", "https://h:80/"),
            ("http://h:8080?q", "http://h:8080/?q"),
            ("http://[::1]/a#b", "http://[::1]/a"),
            ("http://[::1]:8080/", "http://[::1]:8080/"),
            ("http://127.0.0.1:1/a b%20\u{e9}\n", "http://127.0.0.1:1/a%20b%20%C3%A9%0A"),
        ];
        for (text, expected) in table {
            assert_eq!(Url::read(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn each_wrong_url_has_its_error() {
        let wrong = |text: &str| Url::read(text).unwrap_err();
        assert_eq!(wrong("h/a"), UrlError::NoScheme("h/a".into()));
        assert_eq!(wrong("ftp://h/"), UrlError::Scheme("ftp".into()));
        assert_eq!(wrong("http://me:secret@h/"), UrlError::Credentials);
        for text in ["http://", "http:///a", "http://h:0/", "http://h:x/", "http://a b/"] {
            assert!(matches!(wrong(text), UrlError::Address(_)), "{text}");
        }
    }

    #[test]
    fn references_resolve_as_in_rfc_3986() {
        let base = Url::read("http://a:8/b/c/d?q").unwrap();
        let table = [
            ("http://g/h", "http://g/h"),
            ("//g", "http://g/"),
            ("g", "http://a:8/b/c/g"),
            ("./g", "http://a:8/b/c/g"),
            ("g/", "http://a:8/b/c/g/"),
            ("/g", "http://a:8/g"),
            ("?y", "http://a:8/b/c/d?y"),
            ("g?y/./x", "http://a:8/b/c/g?y/./x"),
            ("g#s", "http://a:8/b/c/g"),
            ("", "http://a:8/b/c/d?q"),
            (".", "http://a:8/b/c/"),
            ("..", "http://a:8/b/"),
            ("../g", "http://a:8/b/g"),
            ("../../../g", "http://a:8/g"),
            ("/./g/../h", "http://a:8/h"),
            ("g/a:b", "http://a:8/b/c/g/a:b"),
            ("./a b\r\nX: y", "http://a:8/b/c/a%20b%0D%0AX:%20y"),
        ];
        for (reference, expected) in table {
            let joined = base.join(reference.as_bytes()).unwrap();
            assert_eq!(joined.to_string(), expected, "{reference}");
        }
        let secure = Url::read("https://a/b").unwrap();
        assert_eq!(secure.join(b"//g/h").unwrap().to_string(), "https://g/h");
        assert_eq!(secure.join(b"http://g/h").unwrap().to_string(), "http://g/h");
        for reference in ["ftp://g/", "mailto:x", "g:h"] {
            assert!(matches!(base.join(reference.as_bytes()), Err(UrlError::Scheme(_))));
        }
    }
}
