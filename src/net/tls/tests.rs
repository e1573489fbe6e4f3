//! A client of the library, in memory, against the sessions of the server side: everything that the
//! bytes between them can do.

mod clients;
mod content;
mod ends;
mod handshake;

use super::self_signed::SelfSigned;
use super::{Acceptor, Carries, Certificates, Session, VERSIONS, provider};
use crate::config::CertificateFile;
use crate::net::Handshake;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const VALID: [&str; 2] = ["20200101000000Z", "21200101000000Z"];

/// A directory of its own, removed with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tls-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The certificates of a server, and what their client trusts.
struct Identity {
    made: Vec<SelfSigned>,
    acceptor: Acceptor,
}

/// A server with a certificate for each list of names; clients must show that of `client`.
fn identity(names: &[&[&str]], client: Option<&SelfSigned>) -> Identity {
    let scratch = Scratch::new();
    let made: Vec<SelfSigned> =
        names.iter().map(|names| SelfSigned::new(names, VALID).expect("random")).collect();
    let file = |(at, one): (usize, &SelfSigned)| CertificateFile {
        chain: scratch.file(&format!("{at}.pem"), &one.certificate),
        key: Some(scratch.file(&format!("{at}.key"), &one.key)),
    };
    let files: Vec<CertificateFile> = made.iter().enumerate().map(file).collect();
    let authorities = client.map(|one| scratch.file("clients.pem", &one.certificate));
    let read = Certificates::read(&files, authorities.as_deref()).expect("certificates");
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    let acceptor = Acceptor::new(read.certificates, Carries::Http).expect("an acceptor");
    Identity { made, acceptor }
}

fn client_config(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<&SelfSigned>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for one in &identity.made {
        let der = CertificateDer::from_pem_slice(one.certificate.as_bytes()).expect("PEM");
        roots.add(der).expect("a root");
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let config = match shown {
        Some(one) => {
            let der = CertificateDer::from_pem_slice(one.certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(one.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![der], key).expect("a certificate")
        }
        None => builder.with_no_client_auth(),
    };
    Arc::new(config)
}

fn connect(config: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a client")
}

/// The server's socket: at most so many bytes go through at once.
#[derive(Debug)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The client's end was sent.
    has_ended: bool,
    piece: usize,
    /// Bytes that the socket still takes.
    room: usize,
}

impl Wire {
    fn new(piece: usize) -> Wire {
        let (to_server, to_client) = Default::default();
        Wire { to_server, to_client, has_ended: false, piece, room: usize::MAX }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.piece);
        match self.to_server.len() {
            0 if self.has_ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => self.to_server.read(&mut into[..most]),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let count = from.len().min(self.piece).min(self.room);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room = self.room.saturating_sub(count);
        self.to_client.extend(&from[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends of a connection.
struct Talk {
    client: ClientConnection,
    server: Session,
    wire: Wire,
}

impl Talk {
    fn new(identity: &Identity, client: ClientConnection, piece: usize) -> Talk {
        let server = identity.acceptor.accept(&[]).expect("a session");
        Talk { client, server, wire: Wire::new(piece) }
    }

    /// What the client has to send goes to the server's socket.
    fn client_sends(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.wire.to_server).expect("memory");
        }
    }

    /// What the server has sent goes to the client.
    fn client_reads(&mut self) {
        while !self.wire.to_client.is_empty() {
            self.client.read_tls(&mut self.wire.to_client).expect("memory");
            self.client.process_new_packets().expect("records that verify");
        }
    }

    fn shake_hands(&mut self) -> io::Result<Handshake> {
        for _ in 0..100_000 {
            self.client_sends();
            let at = self.server.handshake(&mut self.wire)?;
            if at == Handshake::Complete || at == Handshake::NotTls {
                self.client_reads();
                return Ok(at);
            }
            self.client_reads();
        }
        panic!("a handshake ends");
    }

    /// All content that has come to the server; whether it ended.
    fn server_reads(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let (mut all, mut into) = (Vec::new(), [0; 999]);
        loop {
            match self.server.read(&mut self.wire, &mut into) {
                Ok(0) => return Ok((all, true)),
                Ok(count) => all.extend_from_slice(&into[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((all, false)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all of `content` to the client, which reads whenever the socket is full.
    fn server_writes(&mut self, content: &[u8]) -> Vec<u8> {
        let (mut done, mut got) = (0, Vec::new());
        while done < content.len() {
            match self.server.write(&mut self.wire, &content[done..]) {
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wire.room = self.wire.room.max(self.wire.piece);
                }
                Err(error) => panic!("{error}"),
            }
            self.client_reads();
            got.extend(self.client_content());
        }
        got
    }

    fn client_content(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        // An end in the middle is none yet.
        let _ = self.client.reader().read_to_end(&mut content);
        content
    }
}
