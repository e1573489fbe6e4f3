//! How a server of `https://` is spoken to: the name it is asked for and verified by, and by whom
//! its certificate has to be signed.

use std::fmt;
use std::path::PathBuf;

/// The scheme of servers in TLS.
pub const HTTPS: &str = "https://";

/// The port where none is written (RFC 9110 §4.2.2).
pub const HTTPS_PORT: u16 = 443;

/// Who has to have signed a server's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// One of the authorities of this machine.
    #[default]
    System,
    /// One of those in this file in PEM (`ca=`).
    File(PathBuf),
    /// It is not verified (`insecure`).
    Nobody,
}

/// What is written about TLS of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// What the certificate has to be for (`sni=`); none: the host.
    pub name: Option<String>,
    pub trust: Trust,
}

impl fmt::Display for ServerTls {
    /// The words after the address, each with a space before it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trust {
            Trust::System => {}
            Trust::File(path) => write!(out, " ca={}", path.display())?,
            Trust::Nobody => out.write_str(" insecure")?,
        }
        self.name.as_ref().map_or(Ok(()), |name| write!(out, " sni={name}"))
    }
}

/// A server, as sessions with it begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsServer {
    /// Which one it is: sessions are resumed with the same server alone.
    pub server: String,
    /// What it is asked for, and its certificate has to be for: a name, or an address without
    /// brackets.
    pub name: String,
    pub trust: Trust,
}
