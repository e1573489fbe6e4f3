//! In place of TLS in a program that was built without it: nothing can be made of these types.

use crate::config::{CertificateFile, TlsServer};
use crate::net::{Handshake, Secured};
use crate::wire::ticket_keys::TicketKeys;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// There are no sessions.
pub const KEPT_BYTES_MAX: usize = 0;

/// What the connections carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    Http,
    Anything,
}

/// Certificates that were read.
#[derive(Debug)]
pub struct ReadCertificates {
    pub certificates: Certificates,
    pub warnings: Vec<String>,
}

/// There are none.
#[derive(Debug)]
pub struct Certificates(Infallible);

impl Certificates {
    /// Errors: always.
    pub fn read(_: &[CertificateFile], _: Option<&Path>) -> Result<ReadCertificates, String> {
        Err("this program was built without TLS; build it with the feature `tls`, or leave --cert \
             out"
        .to_owned())
    }
}

/// There is none.
#[derive(Debug)]
pub struct SelfSigned {
    pub certificate: String,
    pub key: String,
}

impl SelfSigned {
    /// Errors: always.
    pub fn new(_: &[&str], _: [&str; 2]) -> Result<SelfSigned, String> {
        Err("this program was built without TLS; build it with the feature `tls`, or leave --tls \
             out"
        .to_owned())
    }
}

/// There is none.
#[derive(Debug)]
pub struct Acceptor(Infallible);

impl Acceptor {
    /// Cannot be called.
    pub fn new(certificates: Certificates, _: Carries) -> Result<Acceptor, String> {
        match certificates.0 {}
    }

    /// Cannot be called.
    pub fn replace(&mut self, _: Certificates) -> Result<(), String> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn kept_bytes(&self) -> usize {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn ticket_keys(&self) -> TicketKeys {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn adopt_ticket_keys(&self, _: &TicketKeys) -> bool {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn accept(&self, _: &[u8]) -> io::Result<Session> {
        match self.0 {}
    }
}

/// Where the authorities of this machine are.
#[derive(Clone, Debug, Default)]
pub struct Places;

impl Places {
    /// As the environment says.
    pub fn of_environment() -> Places {
        Places
    }

    /// Nothing is read.
    pub fn paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// Nothing verifies a server.
#[derive(Clone, Debug)]
pub struct Authorities;

impl Authorities {
    /// There are none.
    pub fn new(_: Places, _: Carries) -> Authorities {
        Authorities
    }

    /// Errors: always.
    pub fn add(&mut self, _: &TlsServer) -> Result<(), String> {
        Err("this program was built without TLS; build it with the feature `tls`".to_owned())
    }
}

/// Begins no session.
#[derive(Debug)]
pub struct Connector;

impl Connector {
    /// Trusts nobody.
    pub fn new(_: Authorities) -> Connector {
        Connector
    }

    /// It has no sessions.
    pub fn kept_bytes(&self) -> usize {
        0
    }

    /// Changes nothing.
    pub fn replace(&mut self, _: Authorities) -> bool {
        false
    }

    /// Errors: always.
    pub fn connect(&mut self, _: &TlsServer) -> io::Result<Session> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// There is none.
#[derive(Debug)]
pub struct Session(Infallible);

impl Session {
    /// Cannot be called.
    pub fn handshake(&mut self, _: &mut (impl Read + Write)) -> io::Result<Handshake> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn read(&mut self, _: &mut (impl Read + Write), _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn is_drained(&self) -> bool {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn write(&mut self, _: &mut (impl Read + Write), _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn end_output(&mut self, _: &mut impl Write) -> io::Result<()> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn close(&mut self, _: &mut impl Write) {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn withhold_goodbye(&mut self) {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn handshake_bytes(&self) -> u64 {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn secured(&self) -> Option<Secured<'_>> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn is_open(&self) -> bool {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn subject(&self) -> Option<&str> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn covers(&self, _: &[u8]) -> bool {
        match self.0 {}
    }
}
