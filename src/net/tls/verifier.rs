//! How the certificates of servers are verified: by authorities, or because the operator has named
//! the very certificate.

use super::provider;
use super::roots::Roots;
use super::x509::Certificate;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Verifies as the library does. A certificate that is itself among the authorities is good for its
/// names, also if it is marked as that of an authority: so are those of `openssl req -x509`, and
/// OpenSSL takes them as well.
#[derive(Debug)]
pub struct Verifier {
    library: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// One that trusts these authorities.
    ///
    /// Errors: the library cannot use them, in words.
    pub fn new(roots: &Roots) -> Result<Verifier, String> {
        let store = Arc::new(roots.store.clone());
        let library = WebPkiServerVerifier::builder_with_provider(store, provider()).build();
        let library = library.map_err(|error| error.to_string())?;
        Ok(Verifier { library, named: roots.named.clone() })
    }
}

/// The checks that are left where the certificate itself is trusted.
fn verify_named(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let read = Certificate::read(certificate).ok_or_else(bad)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > read.not_after {
        return Err(CertificateError::Expired.into());
    }
    if now < read.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    Ok(ServerCertVerified::assertion())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.contains(certificate) {
            return verify_named(certificate, name, now);
        }
        self.library.verify_server_cert(certificate, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.library.supported_verify_schemes()
    }
}
