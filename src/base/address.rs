//! Where a socket is: an IP address with a port, or a unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a unix socket is written with.
pub const UNIX: &str = "unix:";

/// Longest name of a unix socket in bytes: `sun_path` has 108, one of which ends or begins it.
pub const UNIX_BYTES_MAX: usize = 107;

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Ip(SocketAddr),
    Unix(Arc<UnixName>),
}

/// The name of a unix socket (unix(7)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A file.
    Path(String),
    /// A name outside of the file system, which goes with its socket.
    Abstract(String),
}

impl UnixName {
    /// Reads `unix:/PATH` or `unix:@NAME`; none for anything else.
    pub fn parse(text: &str) -> Option<UnixName> {
        let name = text.strip_prefix(UNIX)?;
        match name.strip_prefix('@') {
            Some(name) => Some(UnixName::Abstract(name.to_owned())),
            None => name.starts_with('/').then(|| UnixName::Path(name.to_owned())),
        }
    }

    /// Length of its name in bytes.
    pub fn bytes(&self) -> usize {
        let (UnixName::Path(name) | UnixName::Abstract(name)) = self;
        name.len()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Address {
        Address::Unix(Arc::new(name))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(out),
            Address::Unix(name) => name.fmt(out),
        }
    }
}

impl fmt::Display for UnixName {
    /// As it is written.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixName::Path(path) => write!(out, "{UNIX}{path}"),
            UnixName::Abstract(name) => write!(out, "{UNIX}@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unix_sockets_print_as_they_are_read() {
        let name = |text: &str| text.to_owned();
        for (text, expected) in [
            ("unix:/run/a.sock", Some(UnixName::Path(name("/run/a.sock")))),
            ("unix:@a", Some(UnixName::Abstract(name("a")))),
            ("unix:a", None),
            ("unix:", None),
            ("/run/a.sock", None),
            ("localhost:80", None),
        ] {
            let read = UnixName::parse(text);
            assert_eq!(read, expected, "{text}");
            if let Some(read) = read {
                assert_eq!(Address::from(read).to_string(), text);
            }
        }
    }
}
