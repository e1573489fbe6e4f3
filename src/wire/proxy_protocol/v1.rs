//! Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.

use super::{Ends, Fault, Named, Parse, Written};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest line, its CRLF included.
pub const LINE_BYTES_MAX: usize = 107;

const START: &[u8] = b"PROXY ";

/// Longest text of a port.
const PORT_BYTES_MAX: usize = 5;

/// Reads the line at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Parse {
    let known = bytes.len().min(START.len());
    if bytes[..known] != START[..known] {
        return Parse::Malformed(Fault::NoSignature);
    }
    let looked_at = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = looked_at.windows(2).position(|pair| pair == b"\r\n") else {
        let is_full = looked_at.len() == LINE_BYTES_MAX;
        return if is_full { Parse::Malformed(Fault::LongLine) } else { Parse::Partial };
    };
    match line(&bytes[START.len().min(end)..end]) {
        Ok(named) => Parse::Complete { bytes: end + 2, named },
        Err(fault) => Parse::Malformed(fault),
    }
}

/// What follows `PROXY `.
fn line(text: &[u8]) -> Result<Named, Fault> {
    let text = str::from_utf8(text).map_err(|_| Fault::Line)?;
    let mut words = text.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Ok(Named::Unknown);
    }
    let mut next = || words.next().ok_or(Fault::Line);
    let ips = match family {
        "TCP4" => [next()?, next()?].map(|word| word.parse::<Ipv4Addr>().map(IpAddr::from)),
        "TCP6" => [next()?, next()?].map(|word| word.parse::<Ipv6Addr>().map(IpAddr::from)),
        _ => return Err(Fault::Line),
    };
    let ports = [port(next()?)?, port(next()?)?];
    if words.next().is_some() {
        return Err(Fault::Line);
    }
    let [source, destination] = ips.map(|ip| ip.map_err(|_| Fault::Address));
    Ok(Named::Client(Ends {
        source: SocketAddr::new(source?, ports[0]),
        destination: SocketAddr::new(destination?, ports[1]),
    }))
}

/// 0 to 65535 in decimal digits.
fn port(text: &str) -> Result<u16, Fault> {
    let is_number = text.len() <= PORT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(Fault::Address)
}

/// The line that says `named`.
pub fn write(named: Named) -> Written {
    let mut written = Written::new();
    let Named::Client(Ends { source, destination }) = named else {
        written.push(b"PROXY UNKNOWN\r\n");
        return written;
    };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let mut storage = &mut written.storage[..];
    let before = storage.len();
    write!(
        storage,
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    )
    .expect("two addresses and two ports fit into a line");
    written.bytes = before - storage.len();
    written
}
