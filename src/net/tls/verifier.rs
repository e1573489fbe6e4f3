//! How the certificates of servers are verified: by authorities, because the operator has named the
//! very certificate, or not at all.

use super::provider;
use super::roots::Roots;
use super::x509::Certificate;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Verifies servers. That a server has the key of its certificate is verified of all of them.
#[derive(Debug)]
pub struct Verifier {
    provider: Arc<CryptoProvider>,
    accepts: Accepts,
}

/// Whose certificates are good.
#[derive(Debug)]
enum Accepts {
    /// As the library verifies. A certificate that is itself among the authorities is good for its
    /// names, also if it is marked as that of an authority: so are those of `openssl req -x509`,
    /// and OpenSSL takes them as well.
    Trusted { library: Arc<WebPkiServerVerifier>, named: Vec<CertificateDer<'static>> },
    /// Anybody's (`insecure`): anybody on the way can be the server.
    Anybody,
}

impl Verifier {
    /// One that trusts these authorities; without any, anybody.
    ///
    /// Errors: the library cannot use them, in words.
    pub fn new(roots: Option<&Roots>) -> Result<Verifier, String> {
        let provider = provider();
        let accepts = match roots {
            None => Accepts::Anybody,
            Some(Roots { store, named, .. }) => {
                let store = Arc::new(store.clone());
                let library =
                    WebPkiServerVerifier::builder_with_provider(store, Arc::clone(&provider));
                let library = library.build().map_err(|error| error.to_string())?;
                Accepts::Trusted { library, named: named.clone() }
            }
        };
        Ok(Verifier { provider, accepts })
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
        match &self.accepts {
            Accepts::Anybody => Ok(ServerCertVerified::assertion()),
            Accepts::Trusted { named, .. } if named.contains(certificate) => {
                verify_named(certificate, name, now)
            }
            Accepts::Trusted { library, .. } => {
                library.verify_server_cert(certificate, others, name, ocsp, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
