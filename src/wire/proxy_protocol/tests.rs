//! Headers, whole, in every part, and wrong.

use super::*;

/// A header of version 2 with this command, family and rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn ends(source: &str, destination: &str) -> Ends {
    let address = |text: &str| text.parse().expect("an address with a port");
    Ends { source: address(source), destination: address(destination) }
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xDC, 0x04, 1, 187];

fn ipv6() -> Vec<u8> {
    let mut bytes = vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    bytes.extend([0; 15]);
    bytes.extend([1, 0, 80, 0, 81]);
    bytes
}

/// Every whole header, with what it says.
fn whole() -> Vec<(&'static str, Vec<u8>, Named)> {
    let v4 = Named::Client(ends("192.0.2.1:56324", "198.51.100.2:443"));
    let v6 = Named::Client(ends("[2001:db8::1]:80", "[::1]:81"));
    let mapped = ends("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2");
    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                   ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65534\r\n";
    let all = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]";
    let tlvs = [&IPV4[..], &[4, 0, 0, 0xEE, 0, 2, 7, 7]].concat();
    let largest = [&IPV4[..], &[4, (4065 >> 8) as u8, (4065 & 0xFF) as u8], &[0; 4065]].concat();
    let line = |text: &str| text.as_bytes().to_vec();
    let unknown = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    vec![
        ("TCP4", line("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), v4),
        ("TCP6", line("PROXY TCP6 2001:db8::1 ::1 80 81\r\n"), v6),
        (
            "mapped",
            line("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"),
            Named::Client(mapped),
        ),
        (
            "the longest",
            line(longest),
            Named::Client(ends(&format!("{all}:65535"), &format!("{all}:65534"))),
        ),
        (
            "port 0",
            line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"),
            Named::Client(ends("0.0.0.0:0", "0.0.0.0:0")),
        ),
        ("UNKNOWN", line("PROXY UNKNOWN\r\n"), Named::Unknown),
        ("UNKNOWN and more", line("PROXY UNKNOWN ffff::1 a b c\r\n"), Named::Unknown),
        ("UNKNOWN with 107 bytes", line(&unknown), Named::Unknown),
        ("v2 TCP4", v2(0x21, 0x11, &IPV4), v4),
        ("v2 TCP6", v2(0x21, 0x21, &ipv6()), v6),
        ("v2 with TLVs", v2(0x21, 0x11, &tlvs), v4),
        ("v2 with 4096 bytes", v2(0x21, 0x11, &largest), v4),
        ("v2 LOCAL", v2(0x20, 0, &[]), Named::Proxy),
        ("v2 LOCAL with addresses", v2(0x20, 0x11, &IPV4), Named::Proxy),
        ("v2 LOCAL with garbage", v2(0x20, 0x11, &[1]), Named::Proxy),
        ("v2 AF_UNSPEC", v2(0x21, 0, &[]), Named::Unknown),
        ("v2 AF_UNIX", v2(0x21, 0x31, &[b'/'; 216]), Named::Unknown),
        ("v2 UDP", v2(0x21, 0x12, &IPV4), Named::Unknown),
        ("v2 of no family", v2(0x21, 0xF1, &[1, 2, 3]), Named::Unknown),
    ]
}

#[test]
fn a_whole_header_names_the_client_and_what_follows_is_left() {
    for (name, header, named) in whole() {
        let expected = Parse::Complete { bytes: header.len(), named };
        assert_eq!(parse(&header), expected, "{name}");
        for rest in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\r\n", &header] {
            assert_eq!(parse(&[&header, rest].concat()), expected, "{name} and more");
        }
    }
}

#[test]
fn every_part_of_a_header_is_partial() {
    for (name, header, _) in whole() {
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Parse::Partial, "{name}: {end} bytes");
        }
    }
}

#[test]
fn what_is_no_header_is_refused_with_its_first_wrong_byte() {
    let line = |text: &str| text.as_bytes().to_vec();
    let signature = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    let at = |byte: u8| [&signature[..], &[byte]].concat();
    let short = |family, length: usize| v2(0x21, family, &vec![0; length]);
    let tlv = |tlv: &[u8]| v2(0x21, 0x11, &[&IPV4[..], tlv].concat());
    for (name, bytes, fault) in [
        ("a request", line("G"), Fault::NoSignature),
        ("a POST request", line("PO"), Fault::NoSignature),
        ("a TLS handshake", vec![0x16], Fault::TlsHandshake),
        ("an empty line", line("\r\nG"), Fault::NoSignature),
        ("lower case", line("proxy"), Fault::NoSignature),
        ("no family", line("PROXY \r\n"), Fault::Line),
        ("another family", line("PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n"), Fault::Line),
        ("too few words", line("PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n"), Fault::Line),
        ("too many words", line("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"), Fault::Line),
        ("two spaces", line("PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n"), Fault::Address),
        ("no text", line("PROXY TCP4 \u{e9} 1 1 1\r\n"), Fault::Address),
        ("a name", line("PROXY TCP4 localhost 1.1.1.1 1 1\r\n"), Fault::Address),
        ("the other family", line("PROXY TCP4 ::1 ::1 1 1\r\n"), Fault::Address),
        ("the other family", line("PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n"), Fault::Address),
        ("a port too big", line("PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n"), Fault::Address),
        ("a port with a sign", line("PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n"), Fault::Address),
        ("a port with zeros", line("PROXY TCP4 1.1.1.1 1.1.1.1 000001 1\r\n"), Fault::Address),
        ("108 bytes", line(&format!("PROXY UNKNOWN{}", " ".repeat(94))), Fault::LongLine),
        ("no CR", line(&format!("PROXY UNKNOWN\n{}", "x".repeat(93))), Fault::LongLine),
        ("version 1", at(0x11), Fault::Version),
        ("version 3", at(0x31), Fault::Version),
        ("command 2", at(0x22), Fault::Command),
        ("4097 bytes", v2(0x21, 0x11, &[0; 4081])[..16].to_vec(), Fault::TooLong),
        ("LOCAL with 4097 bytes", v2(0x20, 0, &[0; 4081])[..16].to_vec(), Fault::TooLong),
        ("TCP4 with 11 bytes", short(0x11, 11), Fault::Short),
        ("TCP6 with 35 bytes", short(0x21, 35), Fault::Short),
        ("half a TLV", tlv(&[4, 0]), Fault::Tlv),
        ("a TLV past the end", tlv(&[4, 0, 2, 1]), Fault::Tlv),
    ] {
        assert_eq!(parse(&bytes), Parse::Malformed(fault), "{name}");
        // No byte after it makes it a header.
        assert_eq!(parse(&[&bytes, &b" \r\n"[..]].concat()), Parse::Malformed(fault), "{name}");
    }
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let client = |source, destination| Named::Client(ends(source, destination));
    for (name, given, read) in [
        ("IPv4", client("1.2.3.4:5", "6.7.8.9:10"), client("1.2.3.4:5", "6.7.8.9:10")),
        ("IPv6", client("[::2]:5", "[::1]:10"), client("[::2]:5", "[::1]:10")),
        (
            "mapped",
            client("[::ffff:1.2.3.4]:5", "[::ffff:6.7.8.9]:1"),
            client("1.2.3.4:5", "6.7.8.9:1"),
        ),
        ("both families", client("1.2.3.4:5", "[::1]:1"), client("[::ffff:1.2.3.4]:5", "[::1]:1")),
        ("unknown", Named::Unknown, Named::Unknown),
    ] {
        for version in [Version::V1, Version::V2] {
            let written = write(version, given);
            let expected = Parse::Complete { bytes: written.bytes().len(), named: read };
            assert_eq!(parse(written.bytes()), expected, "{name} {version:?}");
        }
    }
    let local = write(Version::V2, Named::Proxy);
    assert_eq!(parse(local.bytes()), Parse::Complete { bytes: 16, named: Named::Proxy });
    // Version 1 has no word for it.
    assert_eq!(write(Version::V1, Named::Proxy).bytes(), b"PROXY UNKNOWN\r\n");
}

#[test]
fn the_longest_written_header_fits() {
    let all = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    for version in [Version::V1, Version::V2] {
        let bytes = write(version, Named::Client(ends(all, all))).bytes().len();
        assert!(bytes <= WRITTEN_BYTES_MAX, "{version:?}: {bytes} bytes");
    }
}

#[test]
fn each_fault_has_a_clause_of_its_own() {
    let faults = [
        Fault::NoSignature,
        Fault::TlsHandshake,
        Fault::LongLine,
        Fault::Line,
        Fault::Address,
        Fault::Version,
        Fault::Command,
        Fault::TooLong,
        Fault::Short,
        Fault::Tlv,
    ];
    let reasons: std::collections::BTreeSet<_> = faults.map(Fault::reason).into();
    assert_eq!(reasons.len(), faults.len());
}
