//! A server in TLS: what it is in the clear is a [`Backend`] behind it.

use crate::common::{Backend, Balancer, Gate, Running, TempDir, binary};
use loadbalancer::net::tls::SelfSigned;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer than the test.
pub const VALID: [&str; 2] = ["20200101000000Z", "21200101000000Z"];

/// Bytes that the system of a server that reads late is asked to hold: less than a record has.
const LITTLE_ROOM: usize = 2048;

/// What a server has seen of a connection whose handshake is complete.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: Option<String>,
    pub protocol: Option<String>,
    pub is_resumed: bool,
    /// What came in the clear before it.
    pub header: String,
    /// The balancer has ended it by `close_notify`.
    pub is_orderly: bool,
}

/// How a server ends its side when what is behind it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Orderly,
    /// Without `close_notify`.
    Truncated,
}

/// A certificate, its key and its file.
pub struct Identity {
    pub directory: TempDir,
    /// The certificate alone.
    pub file: String,
    pub made: SelfSigned,
}

impl Identity {
    pub fn of(names: &[&str]) -> Identity {
        Identity::valid(names, VALID)
    }

    pub fn valid(names: &[&str], valid: [&str; 2]) -> Identity {
        let made = SelfSigned::new(names, valid).expect("random bytes");
        let directory = TempDir::new();
        let file = directory.file("certificate.pem", &made.certificate);
        Identity { directory, file, made }
    }

    fn config(&self) -> Arc<ServerConfig> {
        let der = CertificateDer::from_pem_slice(self.made.certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.made.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .expect("a certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

struct Shared {
    config: Mutex<Arc<ServerConfig>>,
    seen: Mutex<Vec<Seen>>,
    ending: Ending,
    gate: Option<Gate>,
    behind: SocketAddr,
}

/// A server in TLS in front of a [`Backend`].
pub struct Server {
    pub behind: Backend,
    port: u16,
    shared: Arc<Shared>,
}

impl Server {
    pub fn new(identity: &Identity, behind: Backend) -> Server {
        Server::ending(Ending::Orderly, identity, behind)
    }

    /// One that takes no content before it has passed `gate`, and whose system holds little of what
    /// it has not read, so that writes to it are partial.
    pub fn reading_late(gate: &Gate, identity: &Identity, behind: Backend) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket2::SockRef::from(&listener).set_recv_buffer_size(LITTLE_ROOM).expect("a buffer");
        Server::on(listener, Ending::Orderly, Some(gate), identity, behind)
    }

    pub fn ending(ending: Ending, identity: &Identity, behind: Backend) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Server::on(listener, ending, None, identity, behind)
    }

    fn on(
        listener: TcpListener,
        ending: Ending,
        gate: Option<&Gate>,
        identity: &Identity,
        behind: Backend,
    ) -> Server {
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            config: Mutex::new(identity.config()),
            seen: Mutex::default(),
            ending,
            gate: gate.cloned(),
            behind: behind.address(),
        });
        let accepting = Arc::clone(&shared);
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Server { behind, port, shared }
    }

    /// Shows this certificate from here on.
    pub fn show(&self, identity: &Identity) {
        *lock(&self.shared.config) = identity.config();
    }

    /// The connections whose handshakes were complete.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// As an argument or a line of a list, at this host.
    pub fn at(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the PROXY header off, if there is one.
fn header(stream: &mut TcpStream) -> String {
    let mut first = [0; 1];
    let count = stream.peek(&mut first).unwrap_or(0);
    let mut header = String::new();
    if count == 0 || first[0] != b'P' {
        return header;
    }
    while !header.ends_with("\r\n") && stream.read_exact(&mut first).is_ok() {
        header.push(char::from(first[0]));
    }
    header
}

fn serve(mut stream: TcpStream, shared: &Arc<Shared>) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let header = header(&mut stream);
    let config = Arc::clone(&lock(&shared.config));
    let mut tls = ServerConnection::new(config).expect("a server");
    while tls.is_handshaking() {
        if tls.complete_io(&mut stream).is_err() {
            return;
        }
    }
    let at = {
        let mut seen = lock(&shared.seen);
        seen.push(Seen {
            name: tls.server_name().map(str::to_owned),
            protocol: tls.alpn_protocol().map(|it| String::from_utf8_lossy(it).into_owned()),
            is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            header,
            is_orderly: false,
        });
        seen.len() - 1
    };
    let Ok(behind) = TcpStream::connect(shared.behind) else { return };
    let tls = Arc::new(Mutex::new(tls));
    let (mut from_behind, answers, out) =
        (behind.try_clone().expect("a handle"), Arc::clone(&tls), stream.try_clone());
    let (mut out, ending) = (out.expect("a handle"), shared.ending);
    let answering = std::thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        loop {
            let count = from_behind.read(&mut bytes).unwrap_or(0);
            let mut tls = lock(&answers);
            if count == 0 {
                if ending == Ending::Orderly {
                    tls.send_close_notify();
                }
                let _ = flush(&mut tls, &mut out);
                let _ = out.shutdown(Shutdown::Write);
                return;
            }
            tls.writer().write_all(&bytes[..count]).expect("memory");
            if flush(&mut tls, &mut out).is_err() {
                let _ = from_behind.shutdown(Shutdown::Both);
                return;
            }
        }
    });
    if let Some(gate) = &shared.gate {
        gate.pass();
    }
    let is_orderly = take_in(&mut stream, &tls, &behind);
    lock(&shared.seen)[at].is_orderly = is_orderly;
    let _ = behind.shutdown(if is_orderly { Shutdown::Write } else { Shutdown::Both });
    let _ = answering.join();
}

/// What the balancer sends goes on, until its end; whether that is an orderly one.
fn take_in(stream: &mut TcpStream, tls: &Mutex<ServerConnection>, mut behind: &TcpStream) -> bool {
    let mut bytes = [0; 16 * 1024];
    let mut content = Vec::new();
    loop {
        {
            let mut tls = lock(tls);
            let Ok(state) = tls.process_new_packets() else { return false };
            content.resize(state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut content).expect("what is there");
            let _ = flush(&mut tls, stream);
            if behind.write_all(&content).is_err() {
                return false;
            }
            if state.peer_has_closed() {
                return true;
            }
        }
        let count = stream.read(&mut bytes).unwrap_or(0);
        let mut rest = &bytes[..count];
        if count == 0 {
            return false;
        }
        let mut tls = lock(tls);
        while !rest.is_empty() {
            if tls.read_tls(&mut rest).is_err() || tls.process_new_packets().is_err() {
                return false;
            }
        }
    }
}

fn flush(tls: &mut ServerConnection, stream: &mut TcpStream) -> std::io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    Ok(())
}

/// The binary on a free port, without probes, with authorities for all programs in `trusted`.
pub fn trusting(trusted: &str, arguments: &[&str]) -> Balancer {
    let mut command = binary();
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    command.args([&["127.0.0.1:0", "--health", "off"], arguments].concat());
    Balancer::of(Running::start(&mut command))
}

/// The binary on a free port over these lines of a list.
pub fn listed(directory: &TempDir, lines: &[String], options: &[&str]) -> Balancer {
    let list = directory.file("list", format!("{}\n", lines.join("\n")));
    Balancer::start(&[&["127.0.0.1:0", "-f", &list], options].concat())
}
