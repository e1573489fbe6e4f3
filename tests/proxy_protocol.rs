//! PROXY headers: required of some peers, sent to servers of TCP mode.

mod common;

use common::{Backend, Balancer, Peer, TempDir, ok, timed, wait_until};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// Answers with the client as the balancer names it.
fn naming() -> Backend {
    Backend::start(|request| ok(request.field("X-Forwarded-For").unwrap_or("nobody")))
}

/// Requires a header of every peer.
fn requiring(backend: &Backend, options: &[&str]) -> Balancer {
    Balancer::over(&[backend], &[&["--proxy-protocol", "any"], options].concat())
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A header of version 2 with this command, family and rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

const IPV4: [u8; 12] = [203, 0, 113, 7, 198, 51, 100, 2, 0xDC, 0x04, 1, 187];

fn headers() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut ipv6 = vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    ipv6.extend([0; 20]);
    let tlvs = [&IPV4[..], &[4, 15, 222], &[0; 0xFDE], &[4, 0, 0]].concat();
    let line = |text: &str| text.as_bytes().to_vec();
    vec![
        ("TCP4", line("PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n"), "203.0.113.7"),
        ("TCP6", line("PROXY TCP6 2001:db8::1 ::1 56324 443\r\n"), "2001:db8::1"),
        ("mapped", line("PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n"), "203.0.113.7"),
        ("UNKNOWN", line("PROXY UNKNOWN\r\n"), "127.0.0.1"),
        ("v2, IPv4", v2(0x21, 0x11, &IPV4), "203.0.113.7"),
        ("v2, IPv6", v2(0x21, 0x21, &ipv6), "2001:db8::1"),
        ("v2, TLVs up to 4096 bytes", v2(0x21, 0x11, &tlvs), "203.0.113.7"),
        ("v2, LOCAL", v2(0x20, 0x00, &[]), "127.0.0.1"),
        ("v2, AF_UNIX", v2(0x21, 0x31, &[b'a'; 216]), "127.0.0.1"),
        ("v2, AF_UNSPEC", v2(0x21, 0x00, &[1, 2]), "127.0.0.1"),
    ]
}

#[test]
fn the_client_is_the_one_that_a_header_names() {
    let backend = naming();
    let balancer = requiring(&backend, &[]);
    for (name, header, expected) in headers() {
        assert!(header.len() <= 4096, "{name}");
        for first in [0, 1, 5, 13, header.len() - 1, header.len()] {
            let mut client = balancer.connect();
            client.send(&header[..first]);
            client.send([&header[first..], GET.as_bytes()].concat());
            assert_eq!(client.response().text(), expected, "{name}, {first} bytes first");
            // It stays that for the connection.
            assert_eq!(client.get("/").text(), expected, "{name}, once more");
        }
    }
}

#[test]
fn the_named_client_is_logged() {
    let (backend, directory) = (naming(), TempDir::new());
    let log = directory.path().join("log");
    let log = log.to_str().expect("UTF-8");
    let balancer = requiring(&backend, &["-l", log, "-v"]);
    let header = "PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n";
    balancer.exchange(format!("{header}{GET}"));
    balancer.stderr.wait_for("203.0.113.7");
    balancer.stop();
    let text = std::fs::read_to_string(log).expect("a log");
    assert!(text.starts_with("203.0.113.7 - - ["), "{text}");
}

#[test]
fn the_source_strategy_goes_by_the_named_client() {
    let servers: Vec<Backend> = ["a", "b", "c", "d"].map(Backend::named).into();
    let all: Vec<&Backend> = servers.iter().collect();
    let balancer = Balancer::over(&all, &["--proxy-protocol", "any", "-s", "source"]);
    let server_of = |last: u8| {
        let header = format!("PROXY TCP4 203.0.113.{last} 198.51.100.2 1 443\r\n");
        balancer.exchange(format!("{header}{GET}")).text()
    };
    let first: Vec<String> = (0..20).map(server_of).collect();
    assert_eq!(first, (0..20).map(server_of).collect::<Vec<_>>(), "each client has its server");
    assert!(first.iter().any(|name| *name != first[0]), "{first:?}");
}

#[test]
fn what_is_no_header_closes_the_connection_with_one_line() {
    let backend = naming();
    let line = |text: &str| text.as_bytes().to_vec();
    for (name, bytes, reason) in [
        ("a request", line(GET), "it begins in another way"),
        ("garbage", vec![0xFF; 600], "it begins in another way"),
        ("a TLS handshake", vec![0x16, 3, 1, 2, 0], "a TLS handshake comes first"),
        ("no CRLF", line(&"PROXY UNKNOWN ".repeat(10)), "has no end within 107 bytes"),
        ("no addresses", line("PROXY TCP4 a b 1 2\r\n"), "is none"),
        ("4097 bytes", v2(0x21, 0x11, &[0; 4081]), "longer than 4096 bytes"),
        ("too short", v2(0x21, 0x11, &IPV4[..11]), "too short for its addresses"),
        ("a TLV too long", v2(0x21, 0x11, &[&IPV4[..], &[1, 0, 9]].concat()), "a TLV ends after"),
        ("a wrong version", v2(0x31, 0x11, &IPV4), "neither 1 nor 2"),
    ] {
        // One each, as such lines are limited.
        let balancer = requiring(&backend, &[]);
        let mut client = balancer.connect();
        let _ = client.try_send(&bytes);
        let rest = client.try_rest().unwrap_or_default();
        assert!(rest.is_empty(), "{name}: {rest:?}");
        let lines = balancer.stderr.wait_for_count("closed, as", 1);
        let said = lines.last().expect("a line");
        let start = "client 127.0.0.1: closed, as --proxy-protocol requires a PROXY header";
        assert!(said.contains(start) && said.contains(reason), "{name}: {said}");
    }
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn a_second_header_is_no_request() {
    let backend = naming();
    let balancer = requiring(&backend, &[]);
    let header = "PROXY TCP4 203.0.113.7 198.51.100.2 1 2\r\n";
    let answer = balancer.exchange(format!("{header}{header}{GET}"));
    assert_eq!(answer.status(), 400);
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn a_header_that_does_not_come_in_time_closes_the_connection() {
    let backend = naming();
    let balancers = [requiring(&backend, &[]), requiring(&backend, &[])];
    let mut silent = balancers[0].connect();
    let mut slow = balancers[1].connect();
    slow.send("PROXY TCP4 ");
    silent.expect_end();
    slow.expect_end();
    balancers[0].stderr.wait_for("nothing has come for 3 s");
    balancers[1].stderr.wait_for("its header is not complete after 3 s");
}

/// A client must not be able to fill a disk with lines.
#[test]
fn many_refused_headers_are_few_lines() {
    let backend = naming();
    let balancer = requiring(&backend, &[]);
    for _ in 0..30 {
        let mut client = balancer.connect();
        let _ = client.try_send(GET.as_bytes());
        let _ = client.try_rest();
    }
    let header = "PROXY TCP4 203.0.113.7 198.51.100.2 1 2\r\n";
    assert_eq!(balancer.exchange(format!("{header}{GET}")).status(), 200);
    balancer.stderr.wait_for("closed, as");
    // One for every ten seconds that the machine has taken.
    let count = balancer.stderr.with("closed, as").len();
    assert!(count < 15, "{count} lines");
}

#[test]
fn a_connection_that_closes_without_a_byte_is_counted_and_not_logged() {
    let backend = naming();
    let balancer = requiring(&backend, &["--admin", "127.0.0.1:0"]);
    for _ in 0..3 {
        drop(balancer.connect());
    }
    balancer.connect().reset();
    let header = "PROXY TCP4 203.0.113.7 198.51.100.2 1 2\r\n";
    balancer.exchange(format!("{header}{GET}"));
    balancer.exchange([&v2(0x20, 0, &[])[..], GET.as_bytes()].concat());
    balancer.exchange(format!("PROXY UNKNOWN\r\n{GET}"));
    let mut cut = balancer.connect();
    cut.send("PROXY");
    cut.half_close();
    cut.expect_end();
    let metric = |outcome: &str, count: u64| {
        format!("loadbalancer_proxy_headers_total{{outcome=\"{outcome}\"}} {count}\n")
    };
    let expected = [
        metric("client", 1),
        metric("unknown", 1),
        metric("local", 1),
        metric("none", 4),
        metric("timeout", 0),
        metric("malformed", 1),
    ];
    wait_until("all are counted", || {
        let text = balancer.ask_admin("/metrics").text();
        expected.iter().all(|line| text.contains(line))
    });
    let line = balancer.stderr.wait_for("closed, as");
    assert!(line.ends_with("it ends within its header"), "{line}");
    assert_eq!(balancer.stderr.with("closed, as").len(), 1);
}

#[test]
fn peers_that_are_not_listed_speak_plainly() {
    let backend = naming();
    let balancer = Balancer::over(&[&backend], &["--proxy-protocol", "127.0.0.2,127.0.0.8/29"]);
    let header = "PROXY TCP4 203.0.113.7 198.51.100.2 1 2\r\n";
    for (last, is_listed) in [(1, false), (2, true), (3, false), (9, true), (16, false)] {
        let mut plain = Peer::connect_from(last, balancer.address());
        let mut named = Peer::connect_from(last, balancer.address());
        let _ = plain.try_send(GET);
        named.send(format!("{header}{GET}"));
        if is_listed {
            assert_eq!(named.response().text(), "203.0.113.7", "127.0.0.{last}");
            assert!(plain.try_rest().unwrap_or_default().is_empty(), "127.0.0.{last}");
        } else {
            assert_eq!(plain.response().text(), format!("127.0.0.{last}"));
            assert_eq!(named.response().status(), 400, "127.0.0.{last}: a header is no request");
        }
    }
}

/// A server of TCP mode that answers with the first `count` bytes it gets.
fn reflecting(count: usize) -> Backend {
    Backend::raw(move |peer| {
        let bytes = peer.exactly(count);
        peer.send(bytes);
        let _ = peer.try_rest();
    })
}

/// A balancer in TCP mode over one server with these words.
fn announcing(backend: &Backend, words: &str, options: &[&str]) -> (Balancer, TempDir) {
    let directory = TempDir::new();
    let list = directory.file("list", format!("{} {words}\n", backend.argument()));
    let options = [&["127.0.0.1:0", "-f", &list, "-m", "tcp"], options].concat();
    (Balancer::start(&options), directory)
}

#[test]
fn a_server_of_tcp_mode_learns_the_client() {
    let line = |client: &str| format!("PROXY TCP4 {client}");
    let backend = reflecting(20);
    let (balancer, _directory) = announcing(&backend, "send-proxy-v1", &["--health", "off"]);
    let mut client = Peer::connect_from(7, balancer.address());
    client.send("hello");
    assert_eq!(client.exactly(20), line("127.0.0.7").as_bytes());

    let backend = reflecting(16 + 12 + 5);
    let (balancer, _directory) = announcing(&backend, "send-proxy", &["--health", "off"]);
    let mut client = Peer::connect_from(7, balancer.address());
    client.send("hello");
    let port = client.writer().local_addr().expect("an address").port().to_be_bytes();
    let own = balancer.address().port().to_be_bytes();
    let expected = [&[127, 0, 0, 7, 127, 0, 0, 1], &port[..], &own, b"hello"].concat();
    let header = v2(0x21, 0x11, &expected[..12]);
    assert_eq!(client.exactly(33), [&header[..], b"hello"].concat());
}

#[test]
fn the_named_client_is_handed_on() {
    let backend = reflecting(16 + 12);
    let options = ["--health", "off", "--proxy-protocol", "any"];
    let (balancer, _directory) = announcing(&backend, "send-proxy", &options);
    for header in [
        b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\r\n".to_vec(),
        v2(0x21, 0x11, &[&IPV4[..], &[4, 0, 1, 0]].concat()),
    ] {
        let mut client = balancer.connect();
        client.send(header);
        assert_eq!(client.exactly(28), v2(0x21, 0x11, &IPV4));
    }
}

#[test]
fn a_server_that_speaks_first_gets_its_header_all_the_same() {
    let backend = Backend::raw(|peer| {
        peer.send("220 ready\r\n");
        let header = peer.exactly(16 + 12);
        assert!(header.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), "{header:?}");
        peer.send("221 bye\r\n");
    });
    let (balancer, _directory) = announcing(&backend, "send-proxy", &["--health", "off"]);
    let mut client = balancer.connect();
    assert_eq!(client.exactly(20), b"220 ready\r\n221 bye\r\n");
    client.expect_end();
}

#[test]
fn probes_say_that_they_are_the_balancers_own() {
    timed(|| {
        for (words, expected) in
            [("send-proxy", v2(0x20, 0, &[])), ("send-proxy-v1", b"PROXY UNKNOWN\r\n".to_vec())]
        {
            let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            let heard = std::sync::Arc::clone(&seen);
            let backend = Backend::raw(move |peer| {
                let bytes = peer.try_rest().unwrap_or_default();
                heard.lock().expect("no panic").push(bytes);
            });
            let (_balancer, _directory) = announcing(&backend, words, &["-c", "20ms"]);
            wait_until("a probe has come", || !seen.lock().expect("no panic").is_empty());
            assert_eq!(seen.lock().expect("no panic")[0], expected, "{words}");
        }
    });
}

#[test]
fn an_http_probe_has_its_header_first() {
    let backend = Backend::raw(|peer| {
        assert_eq!(peer.exactly(16), v2(0x20, 0, &[]));
        let request = peer.request().expect("a request");
        assert_eq!(request.target(), "/up");
        peer.send(ok("up"));
    });
    let options = ["--health", "http", "--health-path", "/up", "-c", "20ms"];
    let (mut balancer, _directory) = announcing(&backend, "send-proxy", &options);
    wait_until("several probes", || backend.connections() >= 3);
    assert_eq!(balancer.stderr.with(" down"), Vec::<String>::new());
    assert!(balancer.is_running());
}

#[test]
fn a_connect_that_fails_is_repeated_at_another_server() {
    let (down, up) = (Backend::refusing(), reflecting(28));
    let directory = TempDir::new();
    let text = format!("{} send-proxy\n{} send-proxy\n", down.argument(), up.argument());
    let list = directory.file("list", text);
    let options = ["127.0.0.1:0", "-f", &list, "-m", "tcp", "-s", "first", "--health", "off"];
    let balancer = Balancer::start(&options);
    let mut client = balancer.connect();
    assert!(client.exactly(28).starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"));
}

#[test]
fn send_proxy_is_refused_where_requests_are_forwarded() {
    let directory = TempDir::new();
    let list = directory.file("list", "127.0.0.1:1 send-proxy\n127.0.0.1:2\n");
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list]);
    let line = balancer.stderr.wait_for("list:1:");
    assert!(line.contains("expected send-proxy in TCP mode only"), "{line}");
    assert!(
        line.contains("add -m tcp, or leave it out: X-Forwarded-For names the client"),
        "{line}"
    );
    assert!(balancer.start_line.ends_with("1 backend: 127.0.0.1:2"), "{}", balancer.start_line);
}

// Other projects' programs, where they are installed.

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-v").output().is_ok_and(|it| it.status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// A program that listens where its configuration says, once it does; started again on another
/// port if that was taken. `config` gets the port.
fn listening(
    program: &str,
    directory: &TempDir,
    config: impl Fn(SocketAddr) -> String,
) -> (common::Running, SocketAddr) {
    loop {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let file = directory.file(program, config(address));
        let mut command = Command::new(program);
        match program {
            "nginx" => command.args(["-e", "stderr", "-c", &file, "-p"]).arg(directory.path()),
            _ => command.args(["-db", "-f", &file]),
        };
        let mut server = common::Running::start(&mut command);
        while server.is_running() {
            let patience = Duration::from_secs(1);
            if std::net::TcpStream::connect_timeout(&address, patience).is_ok() {
                return (server, address);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let said = server.stderr.whole();
        let is_taken = said.contains("in use") || said.contains("cannot bind");
        assert!(is_taken, "{program} ended: {said}");
    }
}

const HAPROXY: &str = "defaults\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n";

#[test]
fn the_client_of_haproxy_is_the_client() {
    if !is_installed("haproxy") {
        return;
    }
    let (backend, directory) = (naming(), TempDir::new());
    let balancer = Balancer::over(&[&backend], &["--proxy-protocol", "127.0.0.1"]);
    for words in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"]
    {
        let (_haproxy, address) = listening("haproxy", &directory, |at| {
            format!(
                "{HAPROXY} mode tcp\nfrontend f\n bind {at}\n default_backend b\n\
                 backend b\n server s {} {words} check inter 50ms\n",
                balancer.address()
            )
        });
        let mut client = Peer::connect_from(9, address);
        assert_eq!(client.get("/").text(), "127.0.0.9", "{words}");
    }
    // Its checks, and connections that were only tried, are not reported.
    assert_eq!(balancer.stderr.with("closed, as"), Vec::<String>::new());
}

/// The configuration of a program that listens there and has its files in this directory.
type Configuration = fn(SocketAddr, &str) -> String;

/// HAProxy that answers with whom the header names, and where that client connected to.
fn echoing_haproxy(at: SocketAddr, _: &str) -> String {
    format!(
        "{HAPROXY} mode http\nfrontend f\n bind {at} accept-proxy\n http-request return \
         status 200 content-type text/plain lf-string \"%[src] %[dst_port]\"\n"
    )
}

/// The same of nginx.
fn echoing_nginx(at: SocketAddr, root: &str) -> String {
    format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr info;\n\
         events {{ }}\nhttp {{ access_log off; default_type text/plain;\n\
         client_body_temp_path {root}/1; proxy_temp_path {root}/2;\n\
         fastcgi_temp_path {root}/3; uwsgi_temp_path {root}/4; scgi_temp_path {root}/5;\n\
         server {{ listen {at} proxy_protocol; location / {{\n\
         return 200 '$proxy_protocol_addr $proxy_protocol_server_port'; }} }} }}\n"
    )
}

#[test]
fn haproxy_and_nginx_that_require_a_header_see_the_client() {
    let programs: [(&str, Configuration); 2] =
        [("haproxy", echoing_haproxy), ("nginx", echoing_nginx)];
    timed(|| {
        for (program, config) in programs.into_iter().filter(|(name, _)| is_installed(name)) {
            let directory = TempDir::new();
            let root = directory.path().display().to_string();
            let (server, address) = listening(program, &directory, |at| config(at, &root));
            for word in ["send-proxy", "send-proxy-v1"] {
                let backend = format!("{address} {word}");
                let balancer =
                    Balancer::start(&["127.0.0.1:0", &backend, "-m", "tcp", "-c", "50ms"]);
                let mut client = Peer::connect_from(9, balancer.address());
                let expected = format!("127.0.0.9 {}", balancer.address().port());
                assert_eq!(client.get("/").text(), expected, "{program} {word}");
            }
            // What nginx logs of a header that it cannot read.
            assert_eq!(server.stderr.with("broken header"), Vec::<String>::new());
        }
    });
}
