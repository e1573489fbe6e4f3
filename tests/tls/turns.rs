//! Turns of the loop, one by one, in the process of the test.

use crate::client::Identity;
use crate::common::in_process::{limits, loopback, proxy};
use crate::common::{Backend, Peer};
use loadbalancer::config::{CertificateFile, Mode};
use loadbalancer::net::listen::{Sharing, listen};
use loadbalancer::net::tls::{Acceptor, Carries, Certificates};
use loadbalancer::proxy::{ListenerSettings, Service};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::net::TcpStream;

const HANDSHAKES: usize = 6;

/// Whether something has come.
fn is_answered(client: &TcpStream) -> bool {
    client.set_nonblocking(true).expect("a live socket");
    client.peek(&mut [0]).is_ok_and(|count| count > 0)
}

#[test]
fn handshakes_come_after_requests_and_one_a_turn() {
    let identity = Identity::of(&["a.example"]);
    let files = [CertificateFile { chain: identity.pem.clone().into(), key: None }];
    let read = Certificates::read(&files, None).expect("files");
    let acceptor = Acceptor::new(read.certificates, Carries::Http).expect("random bytes");
    let backend = Backend::named("a");
    let redirects = |config: &mut loadbalancer::config::Config| config.mode = Mode::Redirect;
    let (mut proxy, plain) = proxy(&backend, 1, limits(), redirects);
    proxy.net_mut().secure_with(acceptor);
    let listener = listen(&loopback(), Sharing::Alone).expect("a free port");
    let address = listener.local_addr().expect("bound");
    proxy.listen(listener, ListenerSettings::tls(Service::Redirect)).expect("listening");

    let begin = |_| {
        let name = ServerName::try_from("a.example").expect("a name");
        let mut tls = ClientConnection::new(identity.config(), name).expect("a client");
        let mut client = TcpStream::connect(address).expect("connecting");
        tls.write_tls(&mut client).expect("a hello");
        client
    };
    let shaking_hands: Vec<TcpStream> = (0..HANDSHAKES).map(begin).collect();
    let mut asking = Peer::connect(plain);
    asking.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for turn in 1..=HANDSHAKES {
        proxy.turn().expect("a wait that works");
        let answered = shaking_hands.iter().filter(|client| is_answered(client)).count();
        assert_eq!(answered, turn, "handshakes after {turn} turns");
        if turn == 1 {
            assert_eq!(asking.response().status(), 301, "in the first turn");
        }
    }
}
