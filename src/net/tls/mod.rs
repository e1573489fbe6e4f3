//! TLS (RFC 8446, RFC 5246), below the sockets: what is above reads and writes content. Only this
//! folder knows the library (rustls).

mod acceptor;
mod certificates;
mod connector;
mod engine;
mod peer;
mod roots;
mod scratch;
mod self_signed;
mod session;
mod stage;
#[cfg(test)]
mod tests;
mod tickets;
mod unsent;
mod verifier;
mod x509;

pub use acceptor::{Acceptor, Carries};
pub use certificates::{Certificates, ReadCertificates};
pub use connector::{Authorities, Connector};
pub use roots::Places;
pub use scratch::KEPT_BYTES_MAX;
pub use self_signed::SelfSigned;
pub use session::Session;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The versions that are spoken.
static VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
