//! What a peer has shown of itself: the subject of its certificate, and why a handshake failed, in
//! words.

use super::x509;
use crate::net::SUBJECT_BYTES_MAX;
use rustls::Error;

/// Whose certificate in DER it is. One without a subject that servers can be given lets nobody in.
pub fn identity(der: &[u8]) -> Result<Box<str>, &'static str> {
    match x509::subject(der) {
        None => Err("the subject of the client's certificate cannot be read"),
        Some(subject) if subject.len() > SUBJECT_BYTES_MAX => {
            Err("the subject of the client's certificate is too long")
        }
        Some(subject) => Ok(subject.into_boxed_str()),
    }
}

/// What went wrong. Of a certificate in words that say what to do about it.
pub fn words(error: &Error) -> String {
    use rustls::CertificateError as Wrong;
    let words = match error {
        Error::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Error::InvalidCertificate(Wrong::NotValidYet | Wrong::NotValidYetContext { .. }) => {
            "its certificate is not valid yet; is this machine's clock right?"
        }
        Error::InvalidCertificate(
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. },
        ) => "its certificate is for another name",
        // The latter: its authority has the name of one that is.
        Error::InvalidCertificate(Wrong::UnknownIssuer | Wrong::BadSignature) => {
            "its certificate is signed by nobody that is trusted here"
        }
        error => return error.to_string(),
    };
    words.to_owned()
}
