//! What a peer has shown of itself: the subject of its certificate, and why a handshake failed, in
//! words.

use super::x509;
use crate::base::connect_fault::HandshakeFault;
use crate::net::{HandshakeError, SUBJECT_BYTES_MAX};
use rustls::{CertificateError, Error};

/// Names of a certificate that are listed, and characters of each.
const NAMES_MAX: usize = 3;
const NAME_CHARS_MAX: usize = 80;

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
pub fn handshake_error(error: &Error) -> HandshakeError {
    let fault = match error {
        Error::InvalidCertificate(wrong) => certificate_fault(wrong),
        Error::AlertReceived(_) => HandshakeFault::Refused,
        _ => HandshakeFault::Failed,
    };
    let words = match (error, fault) {
        (Error::InvalidCertificate(wrong), HandshakeFault::OtherName) => other_name(wrong),
        (Error::InvalidCertificate(wrong), HandshakeFault::BadCertificate) => {
            format!("{fault}: {wrong}")
        }
        (Error::AlertReceived(alert), _) => format!("{fault}: {alert:?}"),
        (error, HandshakeFault::Failed) => error.to_string(),
        (_, fault) => fault.to_string(),
    };
    HandshakeError { fault, words: words.into_boxed_str() }
}

fn certificate_fault(error: &CertificateError) -> HandshakeFault {
    use CertificateError as Wrong;
    match error {
        Wrong::Expired | Wrong::ExpiredContext { .. } => HandshakeFault::Expired,
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => HandshakeFault::NotYetValid,
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => HandshakeFault::OtherName,
        // The latter: its authority has the name of one that is trusted.
        Wrong::UnknownIssuer | Wrong::BadSignature => HandshakeFault::UnknownIssuer,
        // It is signed by itself, and not among those that are trusted.
        Wrong::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            HandshakeFault::UnknownIssuer
        }
        _ => HandshakeFault::BadCertificate,
    }
}

/// Which names a certificate is for, in place of the expected one.
fn other_name(error: &CertificateError) -> String {
    let CertificateError::NotValidForNameContext { expected, presented } = error else {
        return HandshakeFault::OtherName.to_string();
    };
    let expected = expected.to_str();
    let mut names: Vec<String> =
        presented.iter().take(NAMES_MAX).map(|name| printable(name)).collect();
    if presented.len() > NAMES_MAX {
        names.push("others".to_owned());
    }
    match names.is_empty() {
        true => format!("certificate is for no name, not for {expected}"),
        false => format!("certificate is for {}, not for {expected}", names.join(", ")),
    }
}

/// A name as the library shows it, `DnsName("a.example")` or `IpAddress(10.0.0.1)`, without what is
/// around it, and without what could control a terminal.
fn printable(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    let inner = inner.trim_matches('"').chars().take(NAME_CHARS_MAX);
    inner.map(|char| if char.is_ascii_graphic() { char } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::AlertDescription;
    use rustls::pki_types::ServerName;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_words() {
        let other = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.example").expect("a name"),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (wrong, fault, words) in [
            (CertificateError::Expired, HandshakeFault::Expired, "certificate has expired"),
            (
                CertificateError::UnknownIssuer,
                HandshakeFault::UnknownIssuer,
                "certificate is signed by nobody we trust",
            ),
            (
                other(&["DnsName(\"other.example\")"]),
                HandshakeFault::OtherName,
                "certificate is for other.example, not for a.example",
            ),
            (
                other(&["DnsName(\"*.b.example\")", "IpAddress(10.0.0.1)", "c\x1b", "d", "e"]),
                HandshakeFault::OtherName,
                "certificate is for *.b.example, 10.0.0.1, c?, others, not for a.example",
            ),
            (
                other(&[]),
                HandshakeFault::OtherName,
                "certificate is for no name, not for a.example",
            ),
            (
                CertificateError::BadEncoding,
                HandshakeFault::BadCertificate,
                "certificate cannot be used: BadEncoding",
            ),
        ] {
            let found = handshake_error(&Error::InvalidCertificate(wrong));
            assert_eq!((found.fault, &*found.words), (fault, words));
        }
        let alert = handshake_error(&Error::AlertReceived(AlertDescription::HandshakeFailure));
        assert_eq!(&*alert.words, "refused the TLS handshake: HandshakeFailure");
        assert_eq!(handshake_error(&Error::DecryptError).fault, HandshakeFault::Failed);
    }
}
