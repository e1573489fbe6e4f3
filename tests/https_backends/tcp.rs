//! TCP mode: any protocol goes out in TLS, a PROXY header before the handshake.

use crate::common::{Backend, Peer, assert_same_bytes, pattern, wait_until};
use crate::server::{Identity, Server, listed};

fn echo() -> Backend {
    Backend::raw(|peer: &mut Peer| {
        peer.send("hello\n");
        while let Some(bytes) = peer.some() {
            peer.send(bytes);
        }
    })
}

#[test]
fn a_session_is_wrapped_in_tls_and_ends_in_order() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, echo());
    let line = format!("{} ca={}", server.at("localhost"), identity.file);
    let options = ["-m", "tcp", "--health", "off"];
    let balancer = listed(&identity.directory, &[line], &options);
    let mut client = balancer.connect();
    assert_eq!(client.exactly(6), b"hello\n", "a server may speak first");
    let content = pattern(300_000);
    let (mut writer, sent) = (client.writer(), content.clone());
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &sent));
    assert_same_bytes("the echo", &client.exactly(content.len()), &content);
    writing.join().expect("a thread").expect("writing");
    client.half_close();
    assert!(client.rest().is_empty());
    wait_until("the server to see the end", || server.seen()[0].is_orderly);
    let seen = server.seen();
    assert_eq!(seen[0].protocol, None, "no protocol is agreed on");
}

#[test]
fn a_proxy_header_goes_before_the_handshake_of_sessions_and_probes() {
    let identity = Identity::of(&["localhost"]);
    for (options, expected) in [
        (&["-m", "tcp", "--health", "off"][..], "PROXY TCP4 127.0.0.1 127.0.0.1 "),
        (&["-m", "tcp", "--health", "tcp"], "PROXY UNKNOWN\r\n"),
    ] {
        let server = Server::new(&identity, echo());
        let address = server.at("localhost");
        let line = format!("{address} ca={} send-proxy-v1", identity.file);
        let balancer = listed(&identity.directory, &[line], options);
        let mut client = balancer.connect();
        assert_eq!(client.exactly(6), b"hello\n");
        client.send("x");
        assert_eq!(client.exactly(1), b"x");
        let headers = || server.seen().into_iter().map(|seen| seen.header).collect::<Vec<_>>();
        wait_until("a header", || headers().iter().any(|it| it.starts_with(expected)));
        assert!(headers().iter().all(|it| it.starts_with("PROXY ")), "{:?}", headers());
    }
}
