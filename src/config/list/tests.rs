//! List files, good and bad, with every warning.

use super::*;
use crate::base::rng::Rng;
use crate::config::HostPort;

fn parse(bytes: &[u8]) -> List {
    List::parse("servers.txt", bytes, &[], Mode::Tcp)
}

/// `line: address weight backup max` of each backend.
fn shown(list: &List) -> Vec<String> {
    let line = |listed: &Listed| {
        let BackendSpec { endpoint, weight, backup, pairs_max, send_proxy, naming, admin, tls } =
            &listed.spec;
        let each = if *naming == Naming::Each { " each" } else { "" };
        let header = send_proxy.map_or(String::new(), |it| format!(" {}", it.word()));
        let backup = if *backup { " backup" } else { "" };
        let max = pairs_max.map_or(String::new(), |max| format!(" max={max}"));
        let admin = if admin.word().is_empty() { "" } else { &format!(" {}", admin.word()) };
        let scheme = if tls.is_some() { "https://" } else { "" };
        let tls = tls.as_ref().map_or(String::new(), ToString::to_string);
        let words = format!("{weight}{backup}{max}{each}{header}{tls}{admin}");
        format!("{}: {scheme}{endpoint} {words}", listed.line)
    };
    list.backends.iter().map(line).collect()
}

fn warned(list: &List) -> Vec<String> {
    list.warnings.iter().map(Warning::to_string).collect()
}

#[test]
fn good_files_are_read_whole() {
    let table: [(&str, &[u8], &[&str]); 16] = [
        ("each", b"h:1 each\nh:2 weight=2 each\n", &["1: h:1 1 each", "2: h:2 2 each"]),
        (
            "headers",
            b"h:1 send-proxy\nh:2 send-proxy-v1 backup\n",
            &["1: h:1 1 send-proxy", "2: h:2 1 backup send-proxy-v1"],
        ),
        ("empty", b"", &[]),
        ("newlines only", b"\n\n\r\n", &[]),
        ("comment only", b"# nothing yet", &[]),
        ("comment in Latin-1", b"# b\xFCcher\nh:1 # \xFC\n", &["2: h:1 1"]),
        ("one", b"h:1\n", &["1: h:1 1"]),
        ("no last newline", b"h:1\nh:2", &["1: h:1 1", "2: h:2 1"]),
        ("CRLF", b"h:1\r\nh:2 backup\r\n", &["1: h:1 1", "2: h:2 1 backup"]),
        ("blank between", b"h:1\n\n  \t\nh:2\n", &["1: h:1 1", "4: h:2 1"]),
        ("trailing comments", b"h:1#x\nh:2 # weight=3\n", &["1: h:1 1", "2: h:2 1"]),
        ("settings", b"h:1 weight=3 backup max=100\n", &["1: h:1 3 backup max=100"]),
        ("any order, tabs, indented", b"\th:1\tmax=5 \tweight=1000\n", &["1: h:1 1000 max=5"]),
        ("states", b"h:1 drain max=5\nh:2 down\n", &["1: h:1 1 max=5 drain", "2: h:2 1 down"]),
        ("bare port, IPv6", b"5000\n[::1]:5000\n", &["1: 5000 1", "2: [::1]:5000 1"]),
        ("byte order mark", b"\xEF\xBB\xBFh:1\n", &["1: h:1 1"]),
    ];
    for (name, bytes, expected) in table {
        let list = parse(bytes);
        assert_eq!(shown(&list), expected, "{name}");
        assert_eq!(warned(&list), [""; 0], "{name}");
    }
}

#[test]
fn a_bad_line_is_located_and_skipped() {
    let weight = "expected weight= a whole number from 1 to 1000";
    let words = "expected weight=N, max=N, backup, each, send-proxy, send-proxy-v1, drain, down, \
                 ca=FILE, sni=NAME or insecure";
    let table: [(&[u8], String); 29] = [
        (b"10.0.0.1:1 each", "expected each after a host name, `10.0.0.1:1` is one backend".into()),
        (b"80 each", "expected each after a host name, `80` is one backend".into()),
        (b"a:1 weight 3", format!("{words}, got `weight`: write weight=N")),
        (b"a:1 maxconn=5", format!("{words}, got `maxconn=5`: write max=N")),
        (b"a:1 ssl", format!("{words}, got `ssl`: write https:// before the address")),
        (b"a:1 ca-file=x", format!("{words}, got `ca-file=x`: write ca=FILE")),
        (
            b"a:1 verify",
            format!("{words}, got `verify`: servers are verified unless insecure is written"),
        ),
        (
            b"a:1 send-proxy-v2",
            format!("{words}, got `send-proxy-v2`: write send-proxy, which is version 2"),
        ),
        (b"unix:/a each", "expected each after a host name, `unix:/a` is one backend".into()),
        (b"h:1 send-proxy send-proxy-v1", "expected either send-proxy or send-proxy-v1".into()),
        (b"h:1 send-proxy=2", format!("{words}, got `send-proxy=2`")),
        (b"abc", "expected host:port, `abc` has no port: write `abc:PORT`".into()),
        (
            b"h:0",
            "expected host:port, `h:0` is no backend, port 0 is not in use: write 1 to 65535"
                .into(),
        ),
        (b"h:65536", "expected host:port, `h:65536` has too big a port: write 1 to 65535".into()),
        (b"http://h:1/", "expected host:port, `http://h:1/` is a URL: write `h:1`".into()),
        (b"h:\xFF1", "expected UTF-8 text, byte 3 of the line is not".into()),
        (b"h:1 fast", format!("{words}, got `fast`")),
        (b"h:1 wieght=3", format!("{words}, got `wieght=3`")),
        (b"h:1 backup=yes", format!("{words}, got `backup=yes`")),
        (b"h:1 weight", format!("{words}, got `weight`: write weight=N")),
        (b"h:1 weight=", format!("{weight}, got ``")),
        (b"h:1 weight=0", format!("{weight}, got `0`")),
        (b"h:1 weight=1001", format!("{weight}, got `1001`")),
        (b"h:1 weight=+5", format!("{weight}, got `+5`")),
        (b"h:1 max=0", "expected max= a whole number from 1 to 1000000, got `0`".into()),
        (b"h:1 weight=1 weight=2", "expected weight once".into()),
        (b"h:1 backup backup", "expected backup once".into()),
        (b"h:1 drain down", "expected either drain or down".into()),
        (b"h:1 down=yes", format!("{words}, got `down=yes`")),
    ];
    for (line, expected) in table {
        let list = parse(&[b"a:1\n", line, b"\r\nb:2"].concat());
        assert_eq!(shown(&list), ["1: a:1 1", "3: b:2 1"], "{expected}");
        assert_eq!(warned(&list), [format!("servers.txt:2: {expected}")]);
    }
}

#[test]
fn a_backend_is_taken_once() {
    let given = [BackendSpec::new(HostPort::bare(5000))];
    let list = List::parse("l", b"localhost:5000\nh:1\nH:1 weight=2\nh:1\n", &given, Mode::Http);
    assert_eq!(shown(&list), ["2: h:1 1"]);
    let expected = [
        "l:1: expected each backend once, `localhost:5000` is also on the command line",
        "l:3: expected each backend once, `H:1` is also on line 2",
        "l:4: expected each backend once, `h:1` is also on line 2",
    ];
    assert_eq!(warned(&list), expected);
}

#[test]
fn a_line_is_read_at_the_longest_and_skipped_one_past_it() {
    let padded = |length: usize| format!("{:length$}\n", "h:1");
    assert_eq!(shown(&parse(padded(LINE_BYTES_MAX).as_bytes())), ["1: h:1 1"]);
    let list = parse(padded(LINE_BYTES_MAX + 1).as_bytes());
    assert_eq!(warned(&list), ["servers.txt:1: expected at most 1024 bytes on a line"]);
}

#[test]
fn backends_stop_at_the_maximum_with_those_given() {
    let lines: String = (1..=BACKENDS_MAX).map(|port| format!("h:{port}\n")).collect();
    let list = parse(lines.as_bytes());
    assert_eq!((list.backends.len(), list.warnings.len()), (BACKENDS_MAX, 0));
    let given = [BackendSpec::new(HostPort::bare(1))];
    let list = List::parse("l", lines.as_bytes(), &given, Mode::Http);
    assert_eq!(list.backends.len(), BACKENDS_MAX - 1);
    assert_eq!(warned(&list), ["l:1000: expected at most 1000 backends"]);
}

#[test]
fn warnings_are_summed_up_past_their_maximum() {
    let list = parse("?\n".repeat(WARNINGS_MAX).as_bytes());
    assert_eq!(list.warnings.len(), WARNINGS_MAX);
    let list = parse("?\n".repeat(WARNINGS_MAX + 2).as_bytes());
    assert_eq!(list.warnings.len(), WARNINGS_MAX + 1);
    assert_eq!(warned(&list)[WARNINGS_MAX], "servers.txt:53: and 2 more bad lines up to here");
}

#[test]
fn a_file_is_looked_at_up_to_its_maximum() {
    let mut bytes = vec![b'\n'; FILE_BYTES_MAX];
    assert_eq!(warned(&parse(&bytes)), [""; 0]);
    bytes.push(b'\n');
    let expected = "expected the file to end within 1026000 bytes";
    assert_eq!(warned(&parse(&bytes)), [format!("servers.txt:1026001: {expected}")]);
}

#[test]
fn random_bytes_never_panic() {
    let alphabet = b"h1:. \t#\r\n=weightbackupmx\xC3\xFF\0[]";
    let mut rng = Rng::new(3);
    for _ in 0..20_000 {
        let length = rng.below(40);
        let bytes: Vec<u8> =
            (0..length).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect();
        let list = parse(&bytes);
        assert!(list.warnings.iter().all(|w| !w.to_string().contains(char::is_control)));
    }
}

#[test]
fn headers_are_for_tcp_mode_only() {
    for (mode, is_taken) in [(Mode::Tcp, true), (Mode::Http, false), (Mode::Redirect, false)] {
        for word in ["send-proxy", "send-proxy-v1"] {
            let list = List::parse("l", format!("h:1 {word}").as_bytes(), &[], mode);
            assert_eq!(list.backends.len(), usize::from(is_taken), "{mode:?}");
            let expected = match is_taken {
                true => vec![],
                false => vec![format!(
                    "l:1: expected {word} in TCP mode only, as other connections carry the \
                     requests of several clients; add -m tcp, or leave it out: X-Forwarded-For \
                     names the client"
                )],
            };
            assert_eq!(warned(&list), expected, "{mode:?}");
        }
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_server_in_tls_is_written_as_a_url_with_words_of_its_own() {
    let list = parse(
        b"https://h\nHTTPS://10.0.0.1:8443/ insecure\nhttps://[::1] ca=/a=b.pem sni=n.example\n\
          https://n:1 weight=2 ca=c.pem each down\n",
    );
    assert_eq!(warned(&list), [""; 0]);
    let expected = [
        "1: https://h:443 1",
        "2: https://10.0.0.1:8443 1 insecure",
        "3: https://[::1]:443 1 ca=/a=b.pem sni=n.example",
        "4: https://n:1 2 each ca=c.pem down",
    ];
    assert_eq!(shown(&list), expected);
}

#[cfg(feature = "tls")]
#[test]
fn words_of_tls_are_for_servers_in_tls_and_go_together() {
    for (line, expected) in [
        ("h:1 ca=c.pem", "expected ca= after https:// only; write `https://h:1`"),
        ("h:1 sni=n", "expected sni= after https:// only; write `https://h:1`"),
        ("h:1 insecure", "expected insecure after https:// only; write `https://h:1`"),
        ("unix:/a insecure", "expected insecure after https:// only, and a unix socket has no TLS"),
        (
            "https://h ca=c.pem insecure",
            "expected either ca= or insecure, as insecure verifies no certificate",
        ),
        (
            "https://h insecure ca=c.pem",
            "expected either ca= or insecure, as insecure verifies no certificate",
        ),
        ("https://h ca=", "expected ca= the name of a file in PEM"),
        ("https://h ca=a ca=b", "expected ca once"),
        (
            "https://h sni=10.0.0.1",
            "expected sni= a host name, got `10.0.0.1`; an address is verified as it is",
        ),
        (
            "https://h sni=a:1",
            "expected sni= a host name, got `a:1`; an address is verified as it is",
        ),
        (
            "https://h/path",
            "expected host:port, `https://h/path` is more than a server: write `https://h`",
        ),
    ] {
        let list = parse(line.as_bytes());
        assert_eq!(shown(&list), [""; 0], "{line}");
        let found = warned(&list).join("\n");
        assert!(found.starts_with(&format!("servers.txt:1: {expected}")), "{line}: {found}");
    }
    let list = List::parse("l", b"https://h:1\nh:1\n", &[], Mode::Http);
    let expected = ["l:2: expected each backend once, `h:1` is also on line 1"];
    assert_eq!(warned(&list), expected, "it is the same server");
}
