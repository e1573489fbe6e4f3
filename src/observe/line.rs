//! The parts of a log line, appended to bytes. Without the standard formatter, whose calls for a
//! line cost as much as forwarding its request.

use super::client::UNIX_CLIENT;
use crate::base::decimal::Decimal;
use crate::http::writer::Writer;
use std::net::IpAddr;

/// Longest text of an IP address, as `INET6_ADDRSTRLEN` of POSIX has it.
const IP_BYTES_MAX: usize = 46;

/// How a byte is written that could end the quotes or the line, or control a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// `\xHH`
    Hex,
    /// `\u00HH`, as in JSON.
    Json,
}

/// A line at its end.
#[derive(Debug)]
pub struct Line<'a>(pub &'a mut Vec<u8>);

impl Line<'_> {
    /// Text that needs no escape.
    pub fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A number in decimal digits.
    pub fn decimal(&mut self, value: u64) {
        self.0.extend_from_slice(Decimal::of(value).as_bytes());
    }

    /// The last three digits of a number.
    pub fn three_digits(&mut self, value: u64) {
        let digit = |value: u64| b'0' + (value % 10) as u8;
        self.0.extend_from_slice(&[digit(value / 100), digit(value / 10), digit(value)]);
    }

    /// A number in 16 hexadecimal digits.
    pub fn hex(&mut self, value: u64) {
        let digit = |at: usize| hex_digit((value >> (60 - 4 * at)) as u8);
        self.0.extend_from_slice(&std::array::from_fn::<u8, 16, _>(digit));
    }

    /// An address; an IPv4-mapped IPv6 address as IPv4.
    pub fn ip(&mut self, ip: IpAddr) {
        let mut text = [0; IP_BYTES_MAX];
        let mut writer = Writer::new(&mut text);
        writer.append_ip(ip);
        let length = writer.finish().unwrap_or(0);
        self.0.extend_from_slice(&text[..length]);
    }

    /// A client's address, or what stands for it.
    pub fn client(&mut self, client: Option<IpAddr>) {
        match client {
            Some(ip) => self.ip(ip),
            None => self.text(UNIX_CLIENT),
        }
    }

    /// Text from the network, to stand between double quotes.
    pub fn quoted(&mut self, text: &[u8], escape: Escape) {
        // All are looked at, as hardly any text has a byte to escape.
        if text.iter().fold(true, |plain, &byte| plain & PLAIN[usize::from(byte)]) {
            return self.0.extend_from_slice(text);
        }
        for &byte in text {
            match (byte, escape) {
                _ if PLAIN[usize::from(byte)] => self.0.push(byte),
                (b'"' | b'\\', _) => self.0.extend_from_slice(&[b'\\', byte]),
                (_, Escape::Hex) => {
                    self.0.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte)]);
                }
                (_, Escape::Json) => {
                    let digits = [hex_digit(byte >> 4), hex_digit(byte)];
                    self.0.extend_from_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
                }
            }
        }
    }

    /// As [`Line::quoted`]; a dash if it is empty.
    pub fn quoted_or_dash(&mut self, text: &[u8], escape: Escape) {
        self.quoted(if text.is_empty() { b"-" } else { text }, escape);
    }
}

/// Bytes that need no escape: printable ASCII without `"` and `\\`.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b' ' as usize;
    while byte <= b'~' as usize {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

fn hex_digit(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 15)]
}

/// What `write` appends to an empty line.
#[cfg(test)]
pub fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
    let mut out = Vec::new();
    write(&mut Line(&mut out));
    String::from_utf8(out).expect("ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_formatter_writes_them() {
        for value in [0, 7, 10, 99, 100, 65_535, 1 << 40, u64::MAX] {
            assert_eq!(written(|line| line.decimal(value)), format!("{value}"));
            assert_eq!(written(|line| line.hex(value)), format!("{value:016x}"));
            assert_eq!(written(|line| line.three_digits(value)), format!("{:03}", value % 1000));
        }
    }

    #[test]
    fn addresses_are_written_canonically() {
        for (ip, expected) in [
            ("10.0.0.255", "10.0.0.255"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:0:0::1", "2001:db8::1"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(written(|line| line.ip(ip.parse().expect("an address"))), expected);
        }
    }

    #[test]
    fn every_byte_that_could_leave_its_quotes_is_escaped() {
        for byte in 0..=u8::MAX {
            let [hex, json] = match byte {
                b'"' | b'\\' => {
                    [format!("\\{}", char::from(byte)), format!("\\{}", char::from(byte))]
                }
                b' '..=b'~' => [char::from(byte).to_string(), char::from(byte).to_string()],
                _ => [format!("\\x{byte:02x}"), format!("\\u{byte:04x}")],
            };
            for (escape, expected) in [(Escape::Hex, hex), (Escape::Json, json)] {
                let text = [b'a', byte, b'z'];
                let found = written(|line| line.quoted(&text, escape));
                assert_eq!(found, format!("a{expected}z"), "{byte} {escape:?}");
            }
        }
        assert_eq!(written(|line| line.quoted_or_dash(b"", Escape::Hex)), "-");
    }
}
