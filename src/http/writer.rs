//! Appends text to a fixed buffer and remembers if it did not fit, so that a head is written
//! without allocation and without a check after every piece.

use crate::base::decimal::Decimal;
use std::fmt;
use std::io::Write;
use std::net::IpAddr;

/// The text does not fit into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// The text of each octet of an IPv4 address with a dot after it, and its number of digits. A
/// table, because the address of the client is written with every request.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 1); 256];
    let mut value = 0;
    while value < 256 {
        let number = [b'0' + (value / 100) as u8, b'0' + (value / 10 % 10) as u8];
        let ones = b'0' + (value % 10) as u8;
        octets[value] = match value {
            0..10 => ([ones, b'.', b'.', b'.'], 1),
            10..100 => ([number[1], ones, b'.', b'.'], 2),
            _ => ([number[0], number[1], ones, b'.'], 3),
        };
        value += 1;
    }
    octets
};

/// A cursor over a borrowed buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    overflowed: bool,
}

impl<'a> Writer<'a> {
    /// Writes from the start of `out`.
    pub fn new(out: &'a mut [u8]) -> Writer<'a> {
        Writer { out, at: 0, overflowed: false }
    }

    /// Appends all of `bytes`, or nothing and remembers the overflow.
    pub fn append(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        match self.out.get_mut(self.at..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at = end;
            }
            None => self.overflowed = true,
        }
    }

    /// Appends each of `parts` in order.
    pub fn append_all(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.append(part);
        }
    }

    /// Appends `value` in decimal digits.
    pub fn append_decimal(&mut self, value: u64) {
        self.append(Decimal::of(value).as_bytes());
    }

    /// Appends `ip` without brackets; an IPv4-mapped IPv6 address as IPv4.
    pub fn append_ip(&mut self, ip: IpAddr) {
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                let (mut text, mut end) = ([0; 16], 0);
                for octet in v4.octets() {
                    let (digits, count) = OCTETS[usize::from(octet)];
                    text[end..end + 4].copy_from_slice(&digits);
                    end += usize::from(count) + 1;
                }
                // The last octet has a dot after it, too.
                let end = end - 1;
                // A copy of a known length needs no call.
                match self.out.get_mut(self.at..self.at + text.len()) {
                    Some(room) => {
                        room.copy_from_slice(&text);
                        self.at += end;
                    }
                    None => self.append(&text[..end]),
                }
            }
            IpAddr::V6(v6) => {
                // The standard formatter applies the `::` rules (RFC 5952) without allocating.
                let mut text = [0; 46];
                let room = text.len();
                let mut rest = &mut text[..];
                let written = write!(rest, "{v6}").map(|()| room - rest.len());
                match written {
                    Ok(length) => self.append(&text[..length]),
                    Err(_) => self.overflowed = true,
                }
            }
        }
    }

    /// Goes over `count` bytes that were written before.
    pub fn skip(&mut self, count: usize) {
        match self.out.len().checked_sub(self.at) {
            Some(room) if room >= count => self.at += count,
            Some(_) | None => self.overflowed = true,
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Whether something did not fit.
    pub fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Goes back to where `len` bytes were written, as if what followed had not been.
    pub fn truncate(&mut self, len: usize) {
        self.at = self.at.min(len);
        self.overflowed = false;
    }

    /// Number of bytes written.
    ///
    /// Errors: something did not fit.
    pub fn finish(self) -> Result<usize, Overflow> {
        if self.overflowed { Err(Overflow) } else { Ok(self.at) }
    }
}

impl fmt::Write for Writer<'_> {
    /// Never fails: [`Writer::finish`] says whether everything fitted.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_text_numbers_and_addresses() {
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out);
        writer.append_all(&[b"a", b"b"]);
        writer.append_decimal(0);
        writer.append_decimal(u64::MAX);
        writer.append_ip("::ffff:10.0.0.255".parse().expect("an address"));
        writer.append_ip("fe80::1".parse().expect("an address"));
        let length = writer.finish().expect("fits");
        assert_eq!(&out[..length], b"ab01844674407370955161510.0.0.255fe80::1");
    }

    #[test]
    fn one_byte_too_many_is_an_overflow() {
        let mut out = [0; 3];
        let mut writer = Writer::new(&mut out);
        writer.append(b"abc");
        assert_eq!(writer.finish(), Ok(3));
        let mut writer = Writer::new(&mut out);
        writer.append(b"abcd");
        writer.append(b"a");
        assert!(writer.has_overflowed());
        writer.append(b"bc");
        writer.truncate(2);
        assert_eq!(writer.finish(), Ok(2));
        let mut writer = Writer::new(&mut out);
        writer.append(b"abcd");
        assert_eq!(writer.finish(), Err(Overflow));
    }
}
