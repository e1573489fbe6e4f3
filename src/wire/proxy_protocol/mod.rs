//! The header by which a proxy names its client to the next server: PROXY protocol, versions 1 and
//! 2 (HAProxy's `doc/proxy-protocol.txt`). Reads and writes it as bytes; from whom it is required is
//! decided elsewhere.

mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

/// Longest header that is read, its TLVs included. Those in use have a few hundred bytes.
pub const HEADER_BYTES_MAX: usize = 4096;

/// Longest header that is written: version 1 with two IPv6 addresses.
pub const WRITTEN_BYTES_MAX: usize = v1::LINE_BYTES_MAX;

/// Which form is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl Version {
    /// The word of a backend that gets it.
    pub fn word(self) -> &'static str {
        match self {
            Version::V1 => "send-proxy-v1",
            Version::V2 => "send-proxy",
        }
    }
}

/// Both ends of a client's connection to the proxy that wrote the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// Whose connection it is, as the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// That of a client of the proxy.
    Client(Ends),
    /// That of a client whose addresses are no IP addresses, or not known: `UNKNOWN`, `AF_UNIX`,
    /// datagrams, families that are not defined. The connection's own addresses count.
    Unknown,
    /// The proxy's own, such as its health check (`LOCAL`). The same.
    Proxy,
}

/// What bytes amount to as the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// More has to come.
    Partial,
    /// A header of so many bytes.
    Complete { bytes: usize, named: Named },
    /// No header.
    Malformed(Fault),
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They begin in another way.
    NoSignature,
    /// They begin like a TLS handshake.
    TlsHandshake,
    /// No CRLF within the 107 bytes that version 1 may have.
    LongLine,
    /// A version 1 line that is none.
    Line,
    /// An address or port in it that is none.
    Address,
    /// Another version than 2 after the signature of version 2.
    Version,
    /// A command that is not defined.
    Command,
    /// More than [`HEADER_BYTES_MAX`].
    TooLong,
    /// Too short for the addresses of its family.
    Short,
    /// A TLV that ends after the header.
    Tlv,
}

impl Fault {
    /// One clause.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::NoSignature => "it begins in another way",
            Fault::TlsHandshake => "a TLS handshake comes first",
            Fault::LongLine => "its first line has no end within 107 bytes",
            Fault::Line => "its first line is no header of version 1",
            Fault::Address => "an address or port in its first line is none",
            Fault::Version => "its version is neither 1 nor 2",
            Fault::Command => "its command is neither LOCAL nor PROXY",
            Fault::TooLong => "its header is longer than 4096 bytes",
            Fault::Short => "its header is too short for its addresses",
            Fault::Tlv => "a TLV ends after its header",
        }
    }
}

/// Reads the header at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Parse {
    match bytes.first() {
        None => Parse::Partial,
        Some(b'P') => v1::parse(bytes),
        Some(b'\r') => v2::parse(bytes),
        // A handshake record (RFC 8446 §5.1).
        Some(0x16) => Parse::Malformed(Fault::TlsHandshake),
        Some(_) => Parse::Malformed(Fault::NoSignature),
    }
}

/// A header in its storage.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    storage: [u8; WRITTEN_BYTES_MAX],
    bytes: usize,
}

impl Written {
    fn new() -> Written {
        Written { storage: [0; WRITTEN_BYTES_MAX], bytes: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.storage[self.bytes..self.bytes + bytes.len()].copy_from_slice(bytes);
        self.bytes += bytes.len();
    }

    /// The header.
    pub fn bytes(&self) -> &[u8] {
        &self.storage[..self.bytes]
    }
}

/// The header that says `named`. An IPv4-mapped address is written as IPv4; where only one of two
/// is IPv4, both are written as IPv6.
pub fn write(version: Version, named: Named) -> Written {
    let named = match named {
        Named::Client(ends) => Named::Client(alike(ends)),
        Named::Unknown | Named::Proxy => named,
    };
    match version {
        Version::V1 => v1::write(named),
        Version::V2 => v2::write(named),
    }
}

/// The same ends with addresses of one family.
fn alike(ends: Ends) -> Ends {
    let canonical = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port());
    let ends = Ends { source: canonical(ends.source), destination: canonical(ends.destination) };
    if ends.source.is_ipv4() == ends.destination.is_ipv4() {
        return ends;
    }
    let mapped = |it: SocketAddr| match it.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), it.port()),
        IpAddr::V6(_) => it,
    };
    Ends { source: mapped(ends.source), destination: mapped(ends.destination) }
}

#[cfg(test)]
mod tests;
