//! Sessions of clients when a process is replaced by `--takeover`.

use crate::client::{Client, Identity};
use crate::common::{Backend, Balancer, DEADLINE, Running, wait_until};
use crate::installed::printed;
use loadbalancer::net::control::{self, ControlSocket, Instances, connect};
use loadbalancer::net::descriptors::{receive, send};
use loadbalancer::wire::handover::{Handover, Role};
use loadbalancer::wire::name::Name;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// A process that is to replace what listens at `address`.
fn next(address: SocketAddr, identity: &Identity, backend: &Backend, options: &[&str]) -> Running {
    let (address, server) = (address.to_string(), backend.argument());
    let fixed = [&address, "--takeover", &server, "--health", "off", "--cert", &identity.pem, "-v"];
    Running::loadbalancer(&[&fixed[..], options].concat())
}

/// One that has replaced `old`.
fn replaced(old: &Balancer, identity: &Identity, backend: &Backend, options: &[&str]) -> Balancer {
    let new = Balancer::of(next(old.address(), identity, backend, options));
    old.stderr.wait_for(&format!("process {} has taken over", new.id()));
    new
}

#[test]
fn a_session_resumes_after_one_takeover_and_after_two() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let first = identity.over(&[&backend], &["-v"]);
    let config = identity.config();
    let get = || Client::connect(&first, &config, "a.example").get("a.example");
    assert!(get().ends_with("one"));
    let second = replaced(&first, &identity, &backend, &[]);
    // A ticket is good once, so that each session resumes the one before it.
    for resumed in 1..=2 {
        assert!(get().ends_with("one"));
        second.stderr.wait_for_count("for a.example, resumed", resumed);
    }
    let third = replaced(&second, &identity, &backend, &[]);
    assert!(get().ends_with("one"));
    third.stderr.wait_for("for a.example, resumed");
    assert_eq!(first.stderr.with("resumed").len(), 0);
}

#[test]
fn openssl_resumes_its_session_after_a_takeover() {
    let identity = Identity::of(&["localhost"]);
    let backend = Backend::named("one");
    for version in ["-tls1_2", "-tls1_3"] {
        let old = identity.over(&[&backend], &[]);
        let at = old.address().to_string();
        let session = identity.directory.path().join("session");
        let session = session.to_str().expect("a name in UTF-8");
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let common = ["s_client", "-connect", &at, "-servername", "localhost", version, "-ign_eof"];
        let first = [&common[..], &["-sess_out", session]].concat();
        let Some(text) = printed("openssl", &first, request) else { return };
        assert!(text.contains("New, TLSv1.") && text.contains("200 OK"), "{text}");
        let _new = replaced(&old, &identity, &backend, &[]);
        let again = [&common[..], &["-sess_in", session]].concat();
        let text = printed("openssl", &again, request).unwrap_or_default();
        assert!(text.contains("Reused, TLSv1.") && text.contains("200 OK"), "{text}");
    }
}

/// A client that resumes a session shows no certificate.
#[test]
fn a_session_does_not_resume_where_clients_are_asked_for_other_certificates() {
    let identity = Identity::of(&["a.example"]);
    let (alice, bob) = (Identity::of(&["alice"]), Identity::of(&["bob"]));
    let both = format!("{}{}", alice.made.certificate, bob.made.certificate);
    let (alone, both) = (alice.certificate(), alice.directory.file("both-ca.pem", both));
    let backend = Backend::named("one");
    let none: &[&str] = &[];
    for (name, before, after) in [
        ("none before", none, &["--client-ca", &alone][..]),
        ("others before", &["--client-ca", &both], &["--client-ca", &alone]),
        ("none after", &["--client-ca", &alone], none),
    ] {
        let old = identity.over(&[&backend], before);
        let config = identity.config_showing(Some(&alice.made));
        assert!(Client::connect(&old, &config, "a.example").get("a.example").ends_with("one"));
        let new = replaced(&old, &identity, &backend, after);
        new.stderr.wait_for("sessions of TLS clients begin again");
        assert!(Client::connect(&old, &config, "a.example").get("a.example").ends_with("one"));
        let lines = new.stderr.wait_for(" for a.example");
        assert!(!lines.contains("resumed"), "{name}: {lines}");
        assert_eq!(lines.contains("CN=alice"), !after.is_empty(), "{name}: {lines}");
    }
}

#[test]
fn a_client_without_a_certificate_cannot_come_back_to_a_process_that_wants_one() {
    let (identity, alice) = (Identity::of(&["a.example"]), Identity::of(&["alice"]));
    let backend = Backend::named("one");
    let old = identity.over(&[&backend], &[]);
    let config = identity.config();
    assert!(Client::connect(&old, &config, "a.example").get("a.example").ends_with("one"));
    let new = replaced(&old, &identity, &backend, &["--client-ca", &alice.certificate()]);
    let mut client = Client::connect(&old, &config, "a.example");
    let outcome = client.0.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let (got, _) = client.rest();
    assert!(outcome.is_err() || got.is_empty(), "{}", String::from_utf8_lossy(&got));
    new.stderr.wait_for("TLS handshake failed: peer sent no certificates");
    assert_eq!(backend.requests().len(), 1);
}

fn name_of(address: SocketAddr) -> Name {
    Name { user: control::user(), listen: address.to_string(), process: None }
}

/// What a process hands over; it serves on.
fn handed_over(balancer: &Balancer) -> Handover {
    let mut stream = connect(&name_of(balancer.address()), DEADLINE).expect("it listens");
    stream.write_all(b"takeover 1\n").expect("it reads");
    let (mut bytes, mut sockets) = (vec![0; 4096], Vec::new());
    let count = receive(stream.as_fd(), &mut bytes, &mut sockets).expect("an answer");
    let handover = Handover::read(&bytes[..count]).expect("a message").expect("a whole one");
    drop(stream);
    balancer.stderr.wait_for("was about to take over and has gone away");
    handover
}

#[test]
fn keys_go_over_with_their_age_and_into_no_output() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let log = identity.directory.file("log", "");
    let options = ["-v", "-l", &log, "--log-format", "json"];
    let old = identity.over(&[&backend], &options);
    let before = handed_over(&old).ticket_keys.expect("it has some");
    let new = replaced(&old, &identity, &backend, &options[1..]);
    let after = handed_over(&new).ticket_keys.expect("it has some");
    assert_eq!(before, after);
    Client::connect(&old, &identity.config(), "a.example").get("a.example");
    new.signal("USR1");
    new.stderr.wait_for("backends up");
    let lines = || std::fs::read_to_string(&log).expect("the log");
    wait_until("a line in the log", || lines().lines().count() == 1);
    let outputs = [old.stderr.whole(), new.stderr.with("").join("\n"), lines()];
    for key in &after.keys {
        let hex: String = key.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let decimal = format!("{:?}", key.key);
        for output in &outputs {
            let text = output.to_lowercase();
            // A part of it is enough to give it away.
            assert!(!text.contains(&hex[..16]) && !text.contains(&decimal[1..30]), "{output}");
        }
    }
}

/// A process of a version that has no field for them.
#[test]
fn one_that_hands_over_no_keys_is_replaced_all_the_same() {
    let identity = Identity::of(&["a.example"]);
    let backend = Backend::named("one");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let socket = ControlSocket::open(&address.to_string(), Instances::One).expect("a name");
    let new = next(address, &identity, &backend, &[]);
    let (mut accepted, mut line) = (None, [0; 11]);
    // One that only looks whose name it is ends without a line.
    wait_until("a line", || {
        let Ok((stream, _)) = socket.accept() else { return false };
        let mut stream = UnixStream::from(stream);
        stream.set_nonblocking(false).expect("blocking");
        let has_line = stream.read_exact(&mut line).is_ok();
        accepted = Some(stream);
        has_line
    });
    let mut stream = accepted.expect("a connection");
    let roles = vec![Role::Control, Role::Listener];
    let handover = Handover { process: std::process::id(), roles, ..Handover::default() };
    let sockets = [socket.as_fd(), listener.as_fd()];
    send(stream.as_fd(), &handover.write(), &sockets).expect("room");
    stream.write_all(b"ok handed over\n").expect("it reads");
    drop((listener, socket));
    let new = Balancer::of(new);
    let config = identity.config();
    for _ in 0..2 {
        let answer = Client::connect(&new, &config, "a.example").get("a.example");
        assert!(answer.ends_with("one"));
    }
    new.stderr.wait_for("for a.example, resumed");
    assert_eq!(new.stderr.with("begin again"), [""; 0]);
}
