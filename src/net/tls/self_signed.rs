//! A certificate that vouches for itself, made in memory: for the demo and for tests.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use std::net::IpAddr;

/// `ecdsa-with-SHA256`, which has no parameters (RFC 5758 §3.2).
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// `id-ecPublicKey` with `prime256v1` (RFC 5480 §2.1.1).
const P256_KEY: &[u8] = &[
    0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
    7,
];

/// The extension `extKeyUsage` for servers and clients (RFC 5280 §4.2.1.12), without which the
/// systems of Apple accept none.
const PURPOSES: &[u8] = &[
    0x30, 0x1d, 6, 3, 0x55, 0x1d, 0x25, 4, 0x16, 0x30, 0x14, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1, 6, 8,
    0x2b, 6, 1, 5, 5, 7, 3, 2,
];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// A certificate and its key.
#[derive(Clone)]
pub struct SelfSigned {
    /// In PEM.
    pub certificate: String,
    /// In PEM, not encrypted.
    pub key: String,
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the key.
        out.debug_struct("SelfSigned").finish_non_exhaustive()
    }
}

impl SelfSigned {
    /// A certificate for these names and addresses, the first of which is its subject's, valid from
    /// and until these times (`YYYYMMDDHHMMSSZ`).
    ///
    /// Errors: the system gives no random bytes.
    pub fn new(names: &[&str], valid: [&str; 2]) -> Result<SelfSigned, String> {
        let no_random = |_| "the system gives no random bytes".to_owned();
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(no_random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random)
            .expect("a key that was made just now is one");
        let mut serial = [0; 16];
        random.fill(&mut serial).map_err(no_random)?;
        // Positive, and without a leading zero.
        serial[0] = serial[0] & 0x7f | 0x40;
        let body = body(names, valid, &serial, pair.public_key().as_ref());
        let signature = pair.sign(&random, &body).map_err(no_random)?;
        let certificate = element(SEQUENCE, &[&body, ECDSA_SHA256, &bits(signature.as_ref())]);
        Ok(SelfSigned {
            certificate: pem("CERTIFICATE", &certificate),
            key: pem("PRIVATE KEY", key.as_ref()),
        })
    }
}

/// A `TBSCertificate` (RFC 5280 §4.1). It says nothing of being an authority: some verifiers do not
/// take one for a server's.
fn body(names: &[&str], valid: [&str; 2], serial: &[u8], key: &[u8]) -> Vec<u8> {
    let subject = names.first().copied().unwrap_or_default();
    let common_name = element(OBJECT_IDENTIFIER, &[&[0x55, 4, 3]]);
    let pair = element(SEQUENCE, &[&common_name, &element(UTF8_STRING, &[subject.as_bytes()])]);
    let name = element(SEQUENCE, &[&element(SET, &[&pair])]);
    let [from, until] = valid.map(time);
    let alternatives: Vec<u8> = names.iter().flat_map(|name| general_name(name)).collect();
    let alternatives = element(OCTET_STRING, &[&element(SEQUENCE, &[&alternatives])]);
    let alternatives =
        element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[&[0x55, 0x1d, 0x11]]), &alternatives]);
    element(
        SEQUENCE,
        &[
            // Version 3.
            &[0xa0, 3, INTEGER, 1, 2],
            &element(INTEGER, &[serial]),
            ECDSA_SHA256,
            &name,
            &element(SEQUENCE, &[&from, &until]),
            &name,
            &element(SEQUENCE, &[P256_KEY, &bits(key)]),
            &element(0xa3, &[&element(SEQUENCE, &[&alternatives, PURPOSES])]),
        ],
    )
}

/// Until 2049 years have two digits (RFC 5280 §4.1.2.5); some clients refuse other certificates.
fn time(text: &str) -> Vec<u8> {
    let year = text.get(..4).and_then(|year| year.parse::<u32>().ok());
    match year.is_some_and(|year| (1950..2050).contains(&year)) {
        true => element(UTC_TIME, &[&text.as_bytes()[2..]]),
        false => element(GENERALIZED_TIME, &[text.as_bytes()]),
    }
}

fn general_name(name: &str) -> Vec<u8> {
    match name.parse() {
        Ok(IpAddr::V4(address)) => element(0x87, &[&address.octets()]),
        Ok(IpAddr::V6(address)) => element(0x87, &[&address.octets()]),
        Err(_) => element(0x82, &[name.as_bytes()]),
    }
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// An element in DER: its tag, its length, and its parts.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut all = vec![tag];
    match length {
        0..=0x7f => all.push(length as u8),
        0x80..=0xff => all.extend([0x81, length as u8]),
        _ => all.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| all.extend_from_slice(part));
    all
}

/// A section of PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        base64(line, &mut text);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let number = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shown = digit <= group.len();
            let value = (number >> (18 - 6 * digit) & 63) as usize;
            text.push(if shown { char::from(DIGITS[value]) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::x509::{Certificate, Name, subject};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn it_is_for_its_names_and_times() {
        let valid = ["20260101000000Z", "20270101000000Z"];
        let made = SelfSigned::new(&["localhost", "127.0.0.1", "::1"], valid).expect("random");
        let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM");
        let read = Certificate::read(&der).expect("a certificate");
        assert_eq!((read.not_before, read.not_after), (1_767_225_600, 1_798_761_600));
        assert_eq!(subject(&der).as_deref(), Some("CN=localhost"));
        assert_eq!(read.names[0], Name::Dns("localhost".to_owned()));
        assert!(read.names[1].covers("127.0.0.1") && read.names[2].covers("::1"));
    }

    #[test]
    fn years_have_two_digits_until_2049() {
        for (valid, expected) in [
            (["19500101000000Z", "20491231235959Z"], (-631_152_000, 2_524_607_999)),
            (["20200101000000Z", "20500101000000Z"], (1_577_836_800, 2_524_608_000)),
        ] {
            let made = SelfSigned::new(&["localhost"], valid).expect("random");
            let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM");
            let read = Certificate::read(&der).expect("a certificate");
            assert_eq!((read.not_before, read.not_after), expected, "{valid:?}");
        }
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            let mut text = String::new();
            base64(bytes.as_bytes(), &mut text);
            assert_eq!(text, expected);
        }
    }
}
