//! Version 2: a signature of 12 bytes, version and command, family, length, addresses, TLVs.

use super::{Ends, Fault, HEADER_BYTES_MAX, Named, Parse, Written};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes before the addresses.
const FIXED_BYTES: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const UNSPEC: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Bytes of the addresses and ports of a family.
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;

/// A TLV's type and length.
const TLV_HEAD_BYTES: usize = 3;

/// Reads the header at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Parse {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Parse::Malformed(Fault::NoSignature);
    }
    let command = match bytes.get(SIGNATURE.len()) {
        None => return Parse::Partial,
        Some(byte) if byte >> 4 != 2 => return Parse::Malformed(Fault::Version),
        Some(&command @ (LOCAL | PROXY)) => command,
        Some(_) => return Parse::Malformed(Fault::Command),
    };
    let Some(&[family, high, low]) = bytes.get(SIGNATURE.len() + 1..FIXED_BYTES) else {
        return Parse::Partial;
    };
    let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if whole > HEADER_BYTES_MAX {
        return Parse::Malformed(Fault::TooLong);
    }
    let Some(rest) = bytes.get(FIXED_BYTES..whole) else { return Parse::Partial };
    if command == LOCAL {
        // What follows is to be skipped, whatever it is.
        return Parse::Complete { bytes: whole, named: Named::Proxy };
    }
    match client(family, rest) {
        Ok(named) => Parse::Complete { bytes: whole, named },
        Err(fault) => Parse::Malformed(fault),
    }
}

/// Who the client is, by the family and the bytes after the length.
fn client(family: u8, rest: &[u8]) -> Result<Named, Fault> {
    let length = match family {
        TCP_OVER_IPV4 => IPV4_BYTES,
        TCP_OVER_IPV6 => IPV6_BYTES,
        // Where TLVs begin is not known.
        _ => return Ok(Named::Unknown),
    };
    let (addresses, tlvs) = rest.split_at_checked(length).ok_or(Fault::Short)?;
    check_tlvs(tlvs)?;
    let (ips, ports) = addresses.split_at(length - 4);
    let (source, destination) = ips.split_at(ips.len() / 2);
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Ok(Named::Client(Ends {
        source: SocketAddr::new(ip(source).ok_or(Fault::Short)?, port(0)),
        destination: SocketAddr::new(ip(destination).ok_or(Fault::Short)?, port(2)),
    }))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || bytes.try_into().ok().map(|octets: [u8; 4]| Ipv4Addr::from(octets).into());
    let v6 = || bytes.try_into().ok().map(|octets: [u8; 16]| Ipv6Addr::from(octets).into());
    v4().or_else(v6)
}

/// TLVs are skipped by their lengths, which must add up.
fn check_tlvs(mut tlvs: &[u8]) -> Result<(), Fault> {
    while !tlvs.is_empty() {
        let &[_, high, low] = tlvs.first_chunk::<TLV_HEAD_BYTES>().ok_or(Fault::Tlv)?;
        let whole = TLV_HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
        tlvs = tlvs.get(whole..).ok_or(Fault::Tlv)?;
    }
    Ok(())
}

/// The header that says `named`; without TLVs.
pub fn write(named: Named) -> Written {
    let mut written = Written::new();
    written.push(&SIGNATURE);
    let ends = match named {
        Named::Client(ends) => ends,
        Named::Unknown => {
            written.push(&[PROXY, UNSPEC, 0, 0]);
            return written;
        }
        Named::Proxy => {
            written.push(&[LOCAL, UNSPEC, 0, 0]);
            return written;
        }
    };
    let (family, length) = match ends.source.is_ipv4() {
        true => (TCP_OVER_IPV4, IPV4_BYTES),
        false => (TCP_OVER_IPV6, IPV6_BYTES),
    };
    written.push(&[PROXY, family, 0, length as u8]);
    for end in [ends.source, ends.destination] {
        match end.ip() {
            IpAddr::V4(ip) => written.push(&ip.octets()),
            IpAddr::V6(ip) => written.push(&ip.octets()),
        }
    }
    for end in [ends.source, ends.destination] {
        written.push(&end.port().to_be_bytes());
    }
    written
}
