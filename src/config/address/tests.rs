//! Tables of good and bad addresses with every message.

use super::*;
use crate::base::rng::Rng;

fn endpoint(host: &str, port: u16) -> HostPort {
    HostPort { host: (!host.is_empty()).then(|| host.to_owned()), port }
}

#[test]
fn good_addresses_are_read_and_print_as_written() {
    let table = [
        ("8080", endpoint("", 8080)),
        ("1", endpoint("", 1)),
        ("65535", endpoint("", 65535)),
        ("localhost:8081", endpoint("localhost", 8081)),
        ("10.0.0.2:8082", endpoint("10.0.0.2", 8082)),
        ("0.0.0.0:80", endpoint("0.0.0.0", 80)),
        ("[::1]:80", endpoint("::1", 80)),
        ("[::]:80", endpoint("::", 80)),
        ("[fe80::1%eth0]:80", endpoint("fe80::1%eth0", 80)),
        ("[::ffff:10.0.0.1]:80", endpoint("::ffff:10.0.0.1", 80)),
        ("my_host-1.example.org.:80", endpoint("my_host-1.example.org.", 80)),
        ("3com.com:80", endpoint("3com.com", 80)),
    ];
    for (text, expected) in table {
        assert_eq!(HostPort::listener(text), Ok(expected.clone()), "{text}");
        assert_eq!(HostPort::backend(text), Ok(expected.clone()), "{text}");
        assert_eq!(expected.to_string(), text);
    }
}

#[test]
fn a_colon_before_the_port_changes_nothing() {
    for read in [HostPort::listener, HostPort::backend] {
        assert_eq!(read(":8080"), Ok(endpoint("", 8080)));
    }
}

#[test]
fn leading_zeros_are_decimal() {
    assert_eq!(HostPort::listener("0080"), Ok(endpoint("", 80)));
    assert_eq!(HostPort::listener("h:00000000080"), Ok(endpoint("h", 80)));
}

#[test]
fn port_0_is_for_listeners_only() {
    assert_eq!(HostPort::listener("0"), Ok(endpoint("", 0)));
    assert_eq!(HostPort::listener("127.0.0.1:0"), Ok(endpoint("127.0.0.1", 0)));
    for text in ["0", "localhost:0", "[::1]:0", "000"] {
        assert_eq!(HostPort::backend(text), Err(AddressError::PortZero(text.to_owned())));
    }
}

const BAD: &[(&str, &str)] = &[
    ("", "the address is empty: write PORT, HOST:PORT or [IPv6]:PORT"),
    ("abc", "`abc` has no port: write `abc:PORT`"),
    ("localhost", "`localhost` has no port: write `localhost:PORT`"),
    ("10.0.0.1", "`10.0.0.1` has no port: write `10.0.0.1:PORT`"),
    ("localhost:", "`localhost:` has no port: write `localhost:PORT`"),
    ("[::1]", "`[::1]` has no port: write `[::1]:PORT`"),
    ("[::1]:", "`[::1]:` has no port: write `[::1]:PORT`"),
    ("[::1]80", "`[::1]80` has no port: write `[::1]:PORT`"),
    (":", "`:` is not an address: write PORT, HOST:PORT or [IPv6]:PORT"),
    ("-", "`-` is not an address: write PORT, HOST:PORT or [IPv6]:PORT"),
    ("@", "`@` is not an address: write PORT, HOST:PORT or [IPv6]:PORT"),
    ("65536", "`65536` has too big a port: write 1 to 65535"),
    ("h:99999999999999999999", "`h:99999999999999999999` has too big a port: write 1 to 65535"),
    (":65536", "`:65536` has too big a port: write 1 to 65535"),
    (":x", "`:x` has no number for a port: write 1 to 65535"),
    ("h:http", "`h:http` has no number for a port: write 1 to 65535"),
    ("h:-1", "`h:-1` has no number for a port: write 1 to 65535"),
    ("h:+1", "`h:+1` has no number for a port: write 1 to 65535"),
    (
        "10.0.0.0/8",
        "`10.0.0.0/8` is a network and no server: write HOST:PORT; proxies to trust follow a =, \
         as in --trust-forwarded=10.0.0.0/8",
    ),
    ("8080x", "`8080x` goes on after the port: write `8080`"),
    ("1.5", "`1.5` goes on after the port: write `1`"),
    ("h:80/x", "`h:80/x` goes on after the port: write `h:80`"),
    ("[::1]:80x", "`[::1]:80x` goes on after the port: write `[::1]:80`"),
    ("::1", "`::1` is an IPv6 address without brackets: write `[::1]:PORT`"),
    ("fe80::1:80", "`fe80::1:80` is an IPv6 address without brackets: write `[fe80::1]:80`"),
    ("a:b:c", "`a:b:c` has too many colons: write HOST:PORT"),
    ("[::1:80", "`[::1:80` lacks the `]`: write [IPv6]:PORT"),
    ("[h]:80", "`[h]:80` has `h` in brackets, which is not an IPv6 address"),
    ("[fe80::1%]:8", "`[fe80::1%]:8` has `fe80::1%` in brackets, which is not an IPv6 address"),
    ("256.0.0.1:80", "`256.0.0.1` is not an IPv4 address: write four numbers up to 255"),
    ("1234:80", "`1234` is not an IPv4 address: write four numbers up to 255"),
    ("*:80", "`*:80` means all interfaces: write `[::]:80`, or `0.0.0.0:80` for IPv4 only"),
    ("a..b:80", "`a..b` cannot be a host name: use letters, digits, `-`, `_`, single dots"),
    (
        "bücher.de:80",
        "`bücher.de` cannot be a host name: use letters, digits, `-`, `_`, single dots",
    ),
    ("h: 80", "`h: 80` has a space in it: write HOST:PORT without"),
    (" 80", "` 80` has a space in it: write HOST:PORT without"),
    ("80\n", "`80\\n` has a space in it: write HOST:PORT without"),
    ("a:1,b:2", "`a:1,b:2` has a comma in it: put a space between addresses"),
    ("http://h:81/x", "`http://h:81/x` is a URL: write `h:81`"),
    ("HTTP://h", "`HTTP://h` is a URL: write `h:80`"),
    ("http://[::1]/", "`http://[::1]/` is a URL: write `[::1]:80`"),
    ("http://", "`http://` is a URL: write HOST:PORT of a plain HTTP server"),
    ("https://h/", "`https://h/` is a URL: write HOST:PORT of a plain HTTP server"),
];

#[test]
fn every_bad_form_has_its_message() {
    for (text, expected) in BAD {
        let wrong = HostPort::listener(text).expect_err(text);
        assert_eq!(wrong.to_string(), *expected, "{text}");
        assert_eq!(HostPort::backend(text), Err(wrong), "{text}");
    }
    let zero = HostPort::backend("h:0").expect_err("port 0");
    assert_eq!(zero.to_string(), "`h:0` is no backend, port 0 is not in use: write 1 to 65535");
}

#[test]
fn host_names_end_at_253_bytes() {
    let at_limit = format!("{}:80", "a".repeat(HOST_BYTES_MAX));
    assert!(HostPort::listener(&at_limit).is_ok());
    let past = "a".repeat(HOST_BYTES_MAX + 1);
    let wrong = HostPort::listener(&format!("{past}:80"));
    assert_eq!(wrong, Err(AddressError::NotHost(past)));
}

#[test]
fn a_backend_that_is_certainly_a_listener_of_this_program_is_known() {
    for (listener, backend, expected) in [
        ("8080", "8080", true),
        ("8080", "8081", false),
        ("8080", "127.0.0.2:8080", true),
        ("8080", "[::1]:8080", true),
        ("8080", "0.0.0.0:8080", true),
        ("8080", "10.0.0.1:8080", false),
        ("0.0.0.0:8080", "localhost:8080", true),
        ("127.0.0.1:8080", "8080", true),
        ("127.0.0.1:8080", "LocalHost:8080", true),
        ("localhost:8080", "127.0.0.1:8080", true),
        ("127.0.0.1:8080", "127.0.0.2:8080", false),
        ("[::1]:8080", "[0:0::1]:8080", true),
        ("[::1]:8080", "127.0.0.1:8080", false),
        ("lb.example:8080", "LB.example:8080", true),
        ("lb.example:8080", "10.0.0.1:8080", false),
    ] {
        let at = HostPort::listener(listener).expect("good address");
        let to = HostPort::backend(backend).expect("good address");
        assert_eq!(to.reaches(&at), expected, "{backend} at {listener}");
    }
}

#[test]
fn random_text_never_panics_and_good_ones_round_trip() {
    let alphabet: Vec<char> = "0189:.[]%ahx-_ /,*é\u{1b}".chars().collect();
    let mut rng = Rng::new(11);
    for _ in 0..50_000 {
        let length = rng.below(12);
        let letter = |rng: &mut Rng| alphabet[rng.below(alphabet.len() as u64) as usize];
        let text: String = (0..length).map(|_| letter(&mut rng)).collect();
        match HostPort::listener(&text) {
            Ok(endpoint) => {
                assert_eq!(HostPort::listener(&endpoint.to_string()), Ok(endpoint), "{text}");
            }
            Err(wrong) => assert!(!wrong.to_string().contains(char::is_control), "{text:?}"),
        }
    }
}
