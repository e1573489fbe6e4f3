//! Where the balancer listens or a backend is: a port on a host, or a unix socket.

use super::address::{AddressError, HostPort};
use super::network::Network;
use crate::base::address::{UNIX, UNIX_BYTES_MAX, UnixName};
use std::fmt;
use std::net::SocketAddr;

/// Where clients connect, or where a backend is, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Tcp(HostPort),
    Unix(UnixName),
}

impl Endpoint {
    /// Reads an address to listen on: no host means all interfaces, port 0 a free port.
    pub fn listener(text: &str) -> Result<Endpoint, AddressError> {
        match unix_name(text) {
            Some(read) => read.map(Endpoint::Unix),
            None => HostPort::listener(text).map(Endpoint::Tcp),
        }
    }

    /// Reads a backend's address: no host means this machine, port 0 is refused.
    pub fn backend(text: &str) -> Result<Endpoint, AddressError> {
        match unix_name(text) {
            Some(read) => read.map(Endpoint::Unix),
            None => HostPort::backend(text).map(Endpoint::Tcp),
        }
    }

    /// The port; a unix socket has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Endpoint::Tcp(at) => Some(at.port),
            Endpoint::Unix(_) => None,
        }
    }

    /// The unix socket that it is; none of a port.
    pub fn unix_name(&self) -> Option<&UnixName> {
        match self {
            Endpoint::Tcp(_) => None,
            Endpoint::Unix(name) => Some(name),
        }
    }

    /// The host name in it, which may stand for several addresses; none of what needs no lookup.
    pub fn host_name(&self) -> Option<&str> {
        match self {
            Endpoint::Tcp(at) => at.host_name(),
            Endpoint::Unix(_) => None,
        }
    }

    /// Whether both name the same backend: a bare port is `localhost`, case does not count.
    /// Names are compared as written; that two resolve alike is not known here.
    pub fn is_same_backend(&self, other: &Endpoint) -> bool {
        self.backend_key() == other.backend_key()
    }

    /// Whether a backend at this address is certainly what listens at `listener`: this program
    /// itself.
    pub fn reaches(&self, listener: &Endpoint) -> bool {
        match (self, listener) {
            (Endpoint::Tcp(_), Endpoint::Tcp(at)) => self.reaches_port(at),
            (Endpoint::Unix(to), Endpoint::Unix(at)) => to == at,
            (Endpoint::Tcp(_), Endpoint::Unix(_)) | (Endpoint::Unix(_), Endpoint::Tcp(_)) => false,
        }
    }

    /// The same of a listener that is no unix socket.
    pub fn reaches_port(&self, listener: &HostPort) -> bool {
        match self {
            Endpoint::Tcp(to) => to.reaches(listener),
            Endpoint::Unix(_) => false,
        }
    }

    /// What [`Endpoint::is_same_backend`] compares.
    pub(super) fn backend_key(&self) -> Endpoint {
        match self {
            Endpoint::Tcp(HostPort { host, port }) => {
                let host = host.as_deref().unwrap_or("localhost");
                HostPort::on(&host.to_ascii_lowercase(), *port).into()
            }
            Endpoint::Unix(_) => self.clone(),
        }
    }
}

impl From<HostPort> for Endpoint {
    fn from(at: HostPort) -> Endpoint {
        Endpoint::Tcp(at)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(at: SocketAddr) -> Endpoint {
        Endpoint::Tcp(HostPort::on(&at.ip().to_string(), at.port()))
    }
}

impl fmt::Display for Endpoint {
    /// As it would be written: what this prints reads back as the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(at) => at.fmt(f),
            Endpoint::Unix(name) => name.fmt(f),
        }
    }
}

/// The unix socket that `text` is, or why it is none; none for other addresses.
fn unix_name(text: &str) -> Option<Result<UnixName, AddressError>> {
    if text.starts_with('/') && Network::parse(text).is_err() {
        return Some(Err(AddressError::IsPath(text.to_owned())));
    }
    let rest = text.strip_prefix(UNIX)?;
    if text.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Some(Err(AddressError::Space(text.to_owned())));
    }
    if let Some(path) = rest.strip_prefix("//") {
        let hint = path.starts_with('/').then(|| format!("{UNIX}{path}"));
        return Some(Err(AddressError::Url(text.to_owned(), hint)));
    }
    Some(match UnixName::parse(text) {
        Some(name) if name.bytes() > UNIX_BYTES_MAX => {
            Err(AddressError::LongUnix(text.to_owned(), name.bytes()))
        }
        // A path of one byte is a directory.
        Some(name) if name.bytes() > usize::from(rest.starts_with('/')) => Ok(name),
        Some(_) | None => Err(AddressError::NotUnix(text.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_sockets_are_read_where_they_may_be() {
        let longest = format!("unix:/{}", "x".repeat(106));
        let abstract_longest = format!("unix:@{}", "x".repeat(107));
        for text in ["unix:/run/a.sock", "unix:@a", "unix:/a:b", &longest, &abstract_longest] {
            let expected = Endpoint::Unix(UnixName::parse(text).expect(text));
            for read in [Endpoint::listener, Endpoint::backend] {
                assert_eq!(read(text), Ok(expected.clone()), "{text}");
            }
            assert_eq!(expected.to_string(), text);
            assert!(expected.reaches(&expected), "{text}");
            for read in [HostPort::listener, HostPort::backend] {
                assert_eq!(read(text), Err(AddressError::UnixHere(text.to_owned())), "{text}");
            }
        }
        let read = |text| Endpoint::backend(text).expect(text);
        let (one, two) = (read("unix:/A"), read("unix:/a"));
        assert!(!one.is_same_backend(&two) && !one.reaches(&two), "the case of paths counts");
        assert!(!one.reaches(&read("80")) && !read("80").reaches(&one));
        for text in ["8080", "h:1", "10.0.0.0:80"] {
            assert_eq!(Endpoint::listener(text), HostPort::listener(text).map(Endpoint::Tcp));
        }
    }

    #[test]
    fn what_is_no_unix_socket_gets_a_hint() {
        let longest = format!("unix:/{}", "x".repeat(106));
        let abstract_longest = format!("unix:@{}", "x".repeat(107));
        for (text, expected) in [
            (format!("{longest}x"), "107 are allowed"),
            (format!("{abstract_longest}x"), "107 are allowed"),
            ("unix:".into(), "write unix:/PATH or unix:@NAME"),
            ("unix:/".into(), "write unix:/PATH or unix:@NAME"),
            ("unix:@".into(), "write unix:/PATH or unix:@NAME"),
            ("unix:a.sock".into(), "write unix:/PATH or unix:@NAME"),
            ("unix:/a b".into(), "has a space in it: write HOST:PORT without"),
            ("unix://a".into(), "is a URL: write HOST:PORT of a plain HTTP server"),
            ("unix:///a".into(), "is a URL: write `unix:/a`"),
            ("/a".into(), "is a path: write `unix:/a`"),
        ] {
            let error = Endpoint::backend(&text).expect_err(&text).to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }

    #[test]
    fn a_bare_port_is_localhost_and_case_does_not_count() {
        let same = |a: &str, b: &str| {
            let read = |text| Endpoint::backend(text).expect("good address");
            read(a).is_same_backend(&read(b))
        };
        assert!(same("80", "LOCALHOST:80"));
        assert!(same("Example.org:80", "example.ORG:80"));
        assert!(!same("80", "81"));
        assert!(!same("80", "127.0.0.1:80"));
    }
}
