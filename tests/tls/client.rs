//! A client in TLS, and servers for it.

use crate::common::{Backend, Balancer, Message, Peer, TempDir};
use loadbalancer::net::tls::SelfSigned;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Longer than the test.
pub const VALID: [&str; 2] = ["20200101000000Z", "21200101000000Z"];

/// Certificates in files.
pub struct Identity {
    pub directory: TempDir,
    /// Certificate and key in one file.
    pub pem: String,
    pub made: SelfSigned,
}

impl Identity {
    pub fn of(names: &[&str]) -> Identity {
        let made = SelfSigned::new(names, VALID).expect("random bytes");
        let directory = TempDir::new();
        let pem = directory.file("both.pem", format!("{}{}", made.certificate, made.key));
        Identity { directory, pem, made }
    }

    /// The certificate alone, for clients that trust it.
    pub fn certificate(&self) -> String {
        self.directory.file("certificate.pem", &self.made.certificate)
    }

    /// Balances in TLS.
    pub fn over(&self, backends: &[&Backend], options: &[&str]) -> Balancer {
        Balancer::over(backends, &[&["--cert", &self.pem], options].concat())
    }

    /// What a client of this server trusts.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config_showing(None)
    }

    /// The same of a client that shows a certificate.
    pub fn config_showing(&self, shown: Option<&SelfSigned>) -> Arc<ClientConfig> {
        let der = CertificateDer::from_pem_slice(self.made.certificate.as_bytes()).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(der).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let Some(shown) = shown else { return Arc::new(config.with_no_client_auth()) };
        let der = CertificateDer::from_pem_slice(shown.certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("a key");
        Arc::new(config.with_client_auth_cert(vec![der], key).expect("a certificate"))
    }
}

/// A client in TLS.
pub struct Client(pub StreamOwned<ClientConnection, TcpStream>);

impl Client {
    pub fn connect(balancer: &Balancer, config: &Arc<ClientConfig>, name: &str) -> Client {
        Client::connect_after(b"", balancer, config, name)
    }

    /// A client whose connection begins with `header` in the clear.
    pub fn connect_after(
        header: &[u8],
        balancer: &Balancer,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> Client {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), name).expect("a client");
        let mut tcp = TcpStream::connect(balancer.address()).expect("connecting");
        tcp.write_all(header).expect("writing");
        tcp.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        Client(StreamOwned::new(tls, tcp))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("writing");
        self.0.flush().expect("writing");
    }

    /// Reads until `text` has come.
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut all = Vec::new();
        let mut byte = [0; 1];
        while !all.ends_with(text.as_bytes()) {
            self.0.read_exact(&mut byte).unwrap_or_else(|error| {
                panic!("{error} after {}", String::from_utf8_lossy(&all));
            });
            all.push(byte[0]);
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Reads to the end: what came, and whether it was an orderly end.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        let outcome = self.0.read_to_end(&mut all);
        (all, outcome.is_ok())
    }

    /// A GET on a connection that closes after it; the response in full.
    pub fn get(&mut self, host: &str) -> String {
        self.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        let (all, is_orderly) = self.rest();
        assert!(is_orderly, "close_notify ends a response");
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// The response to `request`, in the clear.
pub fn plain(balancer: &Balancer, request: &str) -> Message {
    let mut peer: Peer = balancer.connect();
    peer.send(request);
    peer.response()
}
