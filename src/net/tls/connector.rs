//! The side that connects: whom it trusts, and how its sessions begin.

use super::engine::Engine;
use super::session::{Scratch, Session};
use super::{VERSIONS, provider};
use crate::base::reason::reason;
use crate::config::quote;
use crate::net::files::read_regular;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// Where systems keep the authorities that all programs trust: Debian, Fedora, openSUSE, and the
/// BSDs, Alpine and macOS.
const PLACES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Largest file of authorities, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How sessions with servers begin.
#[derive(Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    scratch: Rc<Scratch>,
}

impl Connector {
    /// Trusts the authorities in `trusted` (the value of `SSL_CERT_FILE`, where OpenSSL looks as
    /// well), else those of this machine.
    ///
    /// Errors: one sentence about the file that cannot be used.
    pub fn trusting(trusted: Option<PathBuf>) -> Result<Connector, String> {
        let places = PLACES.map(PathBuf::from);
        let path = trusted.or_else(|| places.into_iter().find(|place| place.is_file()));
        let path = path.ok_or(
            "this machine has no list of authorities; install ca-certificates, or name a PEM file \
             in SSL_CERT_FILE",
        )?;
        let name = quote(&path.display().to_string());
        let bytes = read_regular(&path, FILE_BYTES_MAX).map_err(|error| {
            let why = reason(&error);
            format!("cannot read the authorities {name}: {why}; name a PEM file in SSL_CERT_FILE")
        })?;
        let mut roots = RootCertStore::empty();
        // What cannot be read of a machine's long list does not keep the others from being used.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).flatten());
        if roots.is_empty() {
            return Err(format!("there is no certificate in {name}; name a PEM file with some"));
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut config = config;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Connector { config: Arc::new(config), scratch: Scratch::shared() })
    }

    /// A session with a server whose certificate must be for `host`, a name or an address.
    ///
    /// Errors: it is neither.
    pub fn connect(&self, host: &str) -> Result<Session, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{} is no name that a certificate can be for", quote(host)))?;
        let client = UnbufferedClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| error.to_string())?;
        Ok(Session::begin(Engine::Client(client), None, &self.scratch, &[]))
    }
}
