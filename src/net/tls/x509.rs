//! What this program reads of a certificate beside its key: how long it is valid, the names it is
//! for, and whose it is (RFC 5280 §4.1). Pure; it verifies nothing, which is the library's work.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` and `[3]` of a `TBSCertificate`.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `[2]` and `[7]` of a `GeneralName`.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Short names of attribute types (RFC 4514 §3, and those that openssl prints).
const ATTRIBUTES: [(&[u8], &str); 11] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
];

/// What was read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Seconds since 1970 UTC, the first and the last one at which it is valid.
    pub not_before: i64,
    pub not_after: i64,
    /// What it is for: its alternative names; without any, its common name.
    pub names: Vec<Name>,
}

/// A name of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// In lower case.
    Dns(String),
    /// `*.` and this, in lower case: any one label before it.
    Wildcard(String),
    Ip(IpAddr),
}

impl Name {
    /// A name as certificates and clients spell it.
    fn of(text: &str) -> Name {
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        match text.strip_prefix("*.") {
            Some(parent) => Name::Wildcard(parent.to_owned()),
            None => text.parse().map_or(Name::Dns(text), Name::Ip),
        }
    }

    /// Whether `host` is one of those it is for, in any case (RFC 6125 §6.4).
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Name::Dns(name) => name.eq_ignore_ascii_case(host),
            Name::Wildcard(parent) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && rest.eq_ignore_ascii_case(parent)
            }),
            Name::Ip(address) => host.parse().is_ok_and(|host: IpAddr| host == *address),
        }
    }
}

impl Certificate {
    /// Reads a certificate in DER; none if it is none.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let mut tbs = from_validity(der)?;
        let mut validity = Der(tbs.take(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = tbs.take(SEQUENCE)?;
        // The public key.
        tbs.take(SEQUENCE)?;
        let mut names = Vec::new();
        while let Some((tag, value)) = tbs.any() {
            if tag == EXTENSIONS {
                names = alternative_names(value)?;
            }
        }
        if names.is_empty() {
            let all = attributes(subject).unwrap_or_default();
            let common = all.iter().find(|attribute| attribute.kind == COMMON_NAME);
            let common = common.and_then(|common| std::str::from_utf8(common.value).ok());
            names.extend(common.filter(|name| !name.is_empty()).map(Name::of));
        }
        Some(Certificate { not_before, not_after, names })
    }
}

/// Whose a certificate in DER is, as RFC 4514 writes it, in printable ASCII; empty if it does not
/// say, none if it cannot be read. The library may accept what is not read here, so that nothing
/// else of the certificate is looked at.
pub fn subject(der: &[u8]) -> Option<String> {
    let mut tbs = from_validity(der)?;
    tbs.take(SEQUENCE)?;
    Some(written(&attributes(tbs.take(SEQUENCE)?)?))
}

/// The `TBSCertificate` of a certificate, from its validity on.
fn from_validity(der: &[u8]) -> Option<Der<'_>> {
    let mut tbs = Der(Der(Der(der).take(SEQUENCE)?).take(SEQUENCE)?);
    tbs.skip(VERSION);
    tbs.take(INTEGER)?;
    // Signature algorithm, issuer.
    tbs.take(SEQUENCE)?;
    tbs.take(SEQUENCE)?;
    Some(tbs)
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<Name>> {
    let mut names = Vec::new();
    let mut list = Der(Der(extensions).take(SEQUENCE)?);
    while let Some((SEQUENCE, extension)) = list.any() {
        let mut extension = Der(extension);
        if extension.take(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        // Between the two may be whether it is critical.
        while let Some((tag, value)) = extension.any() {
            if tag == OCTET_STRING {
                let mut general = Der(Der(value).take(SEQUENCE)?);
                while let Some((tag, value)) = general.any() {
                    names.extend(general_name(tag, value));
                }
            }
        }
    }
    Some(names)
}

fn general_name(tag: u8, value: &[u8]) -> Option<Name> {
    match (tag, value.len()) {
        (DNS_NAME, 1..) => std::str::from_utf8(value).ok().map(Name::of),
        (IP_ADDRESS, 4) => {
            let octets: [u8; 4] = value.try_into().ok()?;
            Some(Name::Ip(Ipv4Addr::from(octets).into()))
        }
        (IP_ADDRESS, 16) => {
            let octets: [u8; 16] = value.try_into().ok()?;
            Some(Name::Ip(Ipv6Addr::from(octets).into()))
        }
        _ => None,
    }
}

/// An attribute of a distinguished name.
#[derive(Debug)]
struct Attribute<'a> {
    /// Number of its relative distinguished name, which may have several.
    rdn: usize,
    kind: &'a [u8],
    value: &'a [u8],
}

/// The attributes of a distinguished name in its order; none if it is damaged.
fn attributes(name: &[u8]) -> Option<Vec<Attribute<'_>>> {
    let (mut all, mut sets) = (Vec::new(), Der(name));
    for rdn in 0.. {
        if sets.is_empty() {
            break;
        }
        let mut pairs = Der(sets.take(SET)?);
        while !pairs.is_empty() {
            let mut pair = Der(pairs.take(SEQUENCE)?);
            all.push(Attribute { rdn, kind: pair.take(OBJECT_IDENTIFIER)?, value: pair.any()?.1 });
        }
    }
    Some(all)
}

/// A distinguished name as RFC 4514 §2.1 writes it, the most specific attribute first.
fn written(all: &[Attribute<'_>]) -> String {
    let mut text = String::new();
    let mut before: Option<usize> = None;
    for &Attribute { rdn, kind, value } in all.iter().rev() {
        match before.replace(rdn) {
            Some(before) if before == rdn => text.push('+'),
            Some(_) => text.push(','),
            None => {}
        }
        match ATTRIBUTES.iter().find(|(oid, _)| *oid == kind) {
            Some((_, short)) => text.push_str(short),
            None => push_dotted(kind, &mut text),
        }
        text.push('=');
        push_value(value, &mut text);
    }
    text
}

/// A value of RFC 4514 §2.4. What is not printable ASCII is written in hexadecimal, so that it is
/// safe in a field and in a log.
fn push_value(value: &[u8], text: &mut String) {
    for (at, &byte) in value.iter().enumerate() {
        let is_edge = at == 0 || at + 1 == value.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if is_edge => text.push_str("\\20"),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

/// An object identifier in numbers (X.690 §8.19).
fn push_dotted(oid: &[u8], text: &mut String) {
    let mut number = 0u64;
    for (at, &byte) in oid.iter().enumerate() {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        let is_first = !oid[..at].iter().any(|byte| byte & 0x80 == 0);
        let first = (number / 40).min(2);
        // Writing to a string does not fail.
        let _ = match is_first {
            true => write!(text, "{first}.{}", number - 40 * first),
            false => write!(text, ".{number}"),
        };
        number = 0;
    }
}

/// Elements in DER, one after another.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.0.first() == Some(&tag)).then(|| self.any().map(|(_, value)| value)).flatten()
    }

    /// Passes the next element if it has this tag.
    fn skip(&mut self, tag: u8) {
        self.take(tag);
    }

    /// The next element: its tag and its content; none at the end, or if it is cut off.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, short], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            // One to four bytes of length: no certificate is larger.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                let add = |sum: usize, &byte: &u8| sum << 8 | usize::from(byte);
                (bytes.iter().fold(0, add), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// A point in time, in seconds since 1970 UTC (RFC 5280 §4.1.2.5).
    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.any()?;
        let number = |from: usize, count: usize| -> Option<i64> {
            std::str::from_utf8(text.get(from..from + count)?).ok()?.parse().ok()
        };
        let (year, at) = match tag {
            UTC_TIME => (number(0, 2).map(|year| if year < 50 { 2000 } else { 1900 } + year)?, 2),
            GENERALIZED_TIME => (number(0, 4)?, 4),
            _ => return None,
        };
        let (month, day) = (number(at, 2)?, number(at + 2, 2)?);
        let (hour, minute, second) = (number(at + 4, 2)?, number(at + 6, 2)?, number(at + 8, 2)?);
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        is_date.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March,
/// as the leap day is then the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut all = vec![tag];
        match content.len() {
            short @ 0..0x80 => all.push(short as u8),
            long => all.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        all.extend(content);
        all
    }

    fn attribute(oid: &[u8], value: &[u8]) -> Vec<u8> {
        let pair =
            element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[oid]), &element(12, &[value])]);
        element(SET, &[&pair])
    }

    fn certificate(subject: &[&[u8]], names: &[(u8, &[u8])]) -> Vec<u8> {
        let names: Vec<Vec<u8>> = names.iter().map(|(tag, name)| element(*tag, &[name])).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let octets = element(OCTET_STRING, &[&element(SEQUENCE, &names)]);
        let critical = [1, 1, 0xff];
        let extension = element(
            SEQUENCE,
            &[&element(OBJECT_IDENTIFIER, &[SUBJECT_ALT_NAME]), &critical, &octets],
        );
        let extensions = element(EXTENSIONS, &[&element(SEQUENCE, &[&extension])]);
        let validity = element(
            SEQUENCE,
            &[&element(UTC_TIME, &[b"700101000001Z"]), &element(24, &[b"20500228235959Z"])],
        );
        let empty = element(SEQUENCE, &[]);
        let tbs = element(
            SEQUENCE,
            &[
                &element(VERSION, &[&[2, 1, 2]]),
                &element(INTEGER, &[&[1]]),
                &empty,
                &empty,
                &validity,
                &element(SEQUENCE, subject),
                &empty,
                &extensions,
            ],
        );
        element(SEQUENCE, &[&tbs])
    }

    #[test]
    fn validity_names_and_subject_are_read() {
        let der = certificate(
            &[&attribute(&[0x55, 4, 10], b"A, B"), &attribute(COMMON_NAME, b"alice\r\n\xc3\xa9")],
            &[
                (DNS_NAME, b"Example.org"),
                (DNS_NAME, b"*.example.org"),
                (IP_ADDRESS, &[127, 0, 0, 1]),
            ],
        );
        let read = Certificate::read(&der).expect("a certificate");
        assert_eq!((read.not_before, read.not_after), (1, 2_529_705_599));
        assert_eq!(subject(&der).as_deref(), Some("CN=alice\\0D\\0A\\C3\\A9,O=A\\, B"));
        let covered = ["example.ORG", "a.example.org", "127.0.0.1"];
        for host in covered {
            assert!(read.names.iter().any(|name| name.covers(host)), "{host}");
        }
        for host in ["a.b.example.org", ".example.org", "127.0.0.2", "org", "", "xexample.org"] {
            assert!(!read.names.iter().any(|name| name.covers(host)), "{host}");
        }
    }

    #[test]
    fn without_alternative_names_the_common_name_counts() {
        let der = certificate(&[&attribute(COMMON_NAME, b"localhost")], &[]);
        let read = Certificate::read(&der).expect("a certificate");
        assert_eq!(read.names, [Name::Dns("localhost".to_owned())]);
        let der = certificate(&[], &[]);
        let nobody = Certificate::read(&der).expect("a certificate");
        assert!(nobody.names.is_empty());
        assert_eq!(subject(&der).as_deref(), Some(""));
    }

    #[test]
    fn what_is_cut_off_or_changed_never_panics() {
        let der = certificate(&[&attribute(&[0x2a, 0x83, 1], b"x")], &[(DNS_NAME, b"a.b")]);
        assert_eq!(subject(&der).as_deref(), Some("1.2.385=x"));
        for end in 0..der.len() {
            assert_eq!(subject(&der[..end]), None, "cut at {end}");
            assert_eq!(Certificate::read(&der[..end]), None, "cut at {end}");
        }
        for at in 0..der.len() {
            for bits in [0xff, 0x80, 0x01] {
                let mut changed = der.clone();
                changed[at] ^= bits;
                // Whatever it is read as.
                let _ = (Certificate::read(&changed), subject(&changed));
            }
        }
    }

    #[test]
    fn a_subject_is_read_whatever_else_cannot_be_and_never_in_part() {
        let alice = attribute(COMMON_NAME, b"alice");
        // Alternative names that are none, as a tag of theirs is changed.
        let mut der = certificate(&[&alice], &[(DNS_NAME, b"a.b")]);
        let at = der.windows(3).position(|it| it == SUBJECT_ALT_NAME).expect("an extension");
        der[at - 2] = INTEGER;
        assert_eq!(Certificate::read(&der), None);
        assert_eq!(subject(&der).as_deref(), Some("CN=alice"));
        // What follows the first attribute is none.
        let junk = element(SET, &[&element(INTEGER, &[&[1]])]);
        assert_eq!(subject(&certificate(&[&alice, &junk], &[])), None);
    }

    #[test]
    fn attributes_that_belong_together_are_joined_by_a_plus() {
        let pair = |oid: &[u8], value: &[u8]| attribute(oid, value).split_off(2);
        let together = element(SET, &[&pair(COMMON_NAME, b"alice"), &pair(&[0x55, 4, 11], b"dev")]);
        let der = certificate(&[&attribute(&[0x55, 4, 10], b"A"), &together], &[]);
        assert_eq!(subject(&der).as_deref(), Some("OU=dev+CN=alice,O=A"));
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (date, expected) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 28), 20_785),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days(date.0, date.1, date.2), expected, "{date:?}");
        }
    }
}
