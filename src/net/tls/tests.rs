//! A client of the library, in memory, against the sessions of the server side: everything that the
//! bytes between them can do.

use super::self_signed::SelfSigned;
use super::{Acceptor, Carries, Certificates, Session, VERSIONS, provider};
use crate::config::CertificateFile;
use crate::net::Handshake;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const VALID: [&str; 2] = ["20200101000000Z", "21200101000000Z"];

/// A directory of its own, removed with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tls-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The certificates of a server, and what their client trusts.
struct Identity {
    made: Vec<SelfSigned>,
    acceptor: Acceptor,
}

/// A server with a certificate for each list of names; clients must show that of `client`.
fn identity(names: &[&[&str]], client: Option<&SelfSigned>) -> Identity {
    let scratch = Scratch::new();
    let made: Vec<SelfSigned> =
        names.iter().map(|names| SelfSigned::new(names, VALID).expect("random")).collect();
    let file = |(at, one): (usize, &SelfSigned)| CertificateFile {
        chain: scratch.file(&format!("{at}.pem"), &one.certificate),
        key: Some(scratch.file(&format!("{at}.key"), &one.key)),
    };
    let files: Vec<CertificateFile> = made.iter().enumerate().map(file).collect();
    let authorities = client.map(|one| scratch.file("clients.pem", &one.certificate));
    let read = Certificates::read(&files, authorities.as_deref()).expect("certificates");
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    let acceptor = Acceptor::new(read.certificates, Carries::Http).expect("an acceptor");
    Identity { made, acceptor }
}

fn client_config(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<&SelfSigned>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for one in &identity.made {
        let der = CertificateDer::from_pem_slice(one.certificate.as_bytes()).expect("PEM");
        roots.add(der).expect("a root");
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let config = match shown {
        Some(one) => {
            let der = CertificateDer::from_pem_slice(one.certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(one.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![der], key).expect("a certificate")
        }
        None => builder.with_no_client_auth(),
    };
    Arc::new(config)
}

fn connect(config: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a client")
}

/// The server's socket: at most so many bytes go through at once.
#[derive(Debug)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The client's end was sent.
    has_ended: bool,
    piece: usize,
    /// Bytes that the socket still takes.
    room: usize,
}

impl Wire {
    fn new(piece: usize) -> Wire {
        let (to_server, to_client) = Default::default();
        Wire { to_server, to_client, has_ended: false, piece, room: usize::MAX }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.piece);
        match self.to_server.len() {
            0 if self.has_ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => self.to_server.read(&mut into[..most]),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let count = from.len().min(self.piece).min(self.room);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room = self.room.saturating_sub(count);
        self.to_client.extend(&from[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends of a connection.
struct Talk {
    client: ClientConnection,
    server: Session,
    wire: Wire,
}

impl Talk {
    fn new(identity: &Identity, client: ClientConnection, piece: usize) -> Talk {
        let server = identity.acceptor.accept(&[]).expect("a session");
        Talk { client, server, wire: Wire::new(piece) }
    }

    /// What the client has to send goes to the server's socket.
    fn client_sends(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.wire.to_server).expect("memory");
        }
    }

    /// What the server has sent goes to the client.
    fn client_reads(&mut self) {
        while !self.wire.to_client.is_empty() {
            self.client.read_tls(&mut self.wire.to_client).expect("memory");
            self.client.process_new_packets().expect("records that verify");
        }
    }

    fn shake_hands(&mut self) -> io::Result<Handshake> {
        for _ in 0..100_000 {
            self.client_sends();
            let at = self.server.handshake(&mut self.wire)?;
            if at == Handshake::Complete || at == Handshake::NotTls {
                self.client_reads();
                return Ok(at);
            }
            self.client_reads();
        }
        panic!("a handshake ends");
    }

    /// All content that has come to the server; whether it ended.
    fn server_reads(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let (mut all, mut into) = (Vec::new(), [0; 999]);
        loop {
            match self.server.read(&mut self.wire, &mut into) {
                Ok(0) => return Ok((all, true)),
                Ok(count) => all.extend_from_slice(&into[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((all, false)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all of `content` to the client, which reads whenever the socket is full.
    fn server_writes(&mut self, content: &[u8]) -> Vec<u8> {
        let (mut done, mut got) = (0, Vec::new());
        while done < content.len() {
            match self.server.write(&mut self.wire, &content[done..]) {
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wire.room = self.wire.room.max(self.wire.piece);
                }
                Err(error) => panic!("{error}"),
            }
            self.client_reads();
            got.extend(self.client_content());
        }
        got
    }

    fn client_content(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        // An end in the middle is none yet.
        let _ = self.client.reader().read_to_end(&mut content);
        content
    }
}

#[test]
fn content_goes_both_ways_in_pieces_of_any_size_in_both_versions() {
    let identity = identity(&[&["a.example"]], None);
    for version in VERSIONS {
        let config = client_config(&identity, &[version], None);
        for piece in [1, 2, 3, 5, 17, 100, 1_000, 16_384, usize::MAX] {
            let mut talk = Talk::new(&identity, connect(&config, "a.example"), piece);
            assert_eq!(talk.shake_hands().expect("a handshake"), Handshake::Complete);
            let sent = b"GET / HTTP/1.1\r\n".repeat(40);
            talk.client.writer().write_all(&sent).expect("memory");
            talk.client_sends();
            assert!(talk.server_reads().expect("content") == (sent, false), "{piece}");
            let answer: Vec<u8> = (0..70_000u32).map(|n| (n / 7) as u8).collect();
            assert!(talk.server_writes(&answer) == answer, "pieces of {piece}");
        }
    }
}

#[test]
fn what_came_with_the_handshake_is_content_under_every_split() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    // The client's last flight and its first request, as one string of bytes.
    let flight = |talk: &mut Talk| {
        talk.client_sends();
        let at = talk.server.handshake(&mut talk.wire).expect("the hello");
        assert_eq!(at, Handshake::WantsRead);
        talk.client_reads();
        talk.client.writer().write_all(b"hello").expect("memory");
        talk.client_sends();
        std::mem::take(&mut talk.wire.to_server)
    };
    let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
    for cut in 0..flight(&mut talk).len() {
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        let mut first = flight(&mut talk);
        let second = first.split_off(cut.min(first.len()));
        talk.wire.to_server = first;
        talk.server.handshake(&mut talk.wire).expect("part of a flight");
        talk.wire.to_server.extend(second);
        let at = talk.server.handshake(&mut talk.wire).expect("the rest of it");
        assert_eq!(at, Handshake::Complete, "cut at {cut}");
        assert_eq!(talk.server_reads().expect("content").0, b"hello", "cut at {cut}");
        talk.client_reads();
        assert_eq!(talk.server_writes(b"world"), b"world", "cut at {cut}");
    }
}

#[test]
fn a_thousand_small_records_and_a_few_large_ones_arrive() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
    talk.shake_hands().expect("a handshake");
    let mut sent = Vec::new();
    for number in 0..1_000u32 {
        let record = number.to_string();
        talk.client.writer().write_all(record.as_bytes()).expect("memory");
        talk.client_sends();
        sent.extend_from_slice(record.as_bytes());
    }
    for size in [16_384, 16_385, 50_000] {
        let large = vec![b'x'; size];
        talk.client.writer().write_all(&large).expect("memory");
        talk.client_sends();
        sent.extend(large);
    }
    let (got, has_ended) = talk.server_reads().expect("content");
    assert!(got == sent && !has_ended);
}

/// A read that is short says whether more is there: what is decrypted or not read is never lost to
/// a loop that waits for the next report.
#[test]
fn a_read_says_that_it_is_drained_only_if_nothing_is_left() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    for room in [1, 10, 1_000, 16_384, 40_000] {
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        talk.shake_hands().expect("a handshake");
        talk.client.writer().write_all(&[b'x'; 30_000]).expect("memory");
        talk.client_sends();
        let mut into = vec![0; room];
        let mut left = 30_000;
        loop {
            let count = talk.server.read(&mut talk.wire, &mut into).expect("content");
            left -= count;
            if count < room && talk.server.is_drained() {
                break;
            }
            if left == 0 {
                let end = talk.server.read(&mut talk.wire, &mut into);
                assert_eq!(end.expect_err("nothing").kind(), ErrorKind::WouldBlock);
                break;
            }
        }
        assert_eq!(left, 0, "room for {room}");
    }
}

#[test]
fn what_the_socket_has_no_room_for_does_not_count_as_written() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    for room in [0, 1, 100, 20_000] {
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        talk.shake_hands().expect("a handshake");
        talk.wire.room = room;
        let content = [b'x'; 32_768];
        let mut done = match talk.server.write(&mut talk.wire, &content) {
            Ok(count) => count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                0
            }
        };
        assert!(done <= room, "{done} bytes of a room of {room}");
        while done < content.len() {
            talk.client_reads();
            let before = talk.client_content().len();
            assert!(before <= content.len());
            talk.wire.room = 5_000;
            done += talk.server.write(&mut talk.wire, &content[done..]).expect("room");
        }
        talk.wire.room = usize::MAX;
        talk.client_reads();
        talk.client_content();
        assert_eq!(talk.server_writes(b"next"), b"next", "room for {room}");
    }
}

#[test]
fn an_end_is_orderly_with_close_notify_and_a_failure_without() {
    let identity = identity(&[&["a.example"]], None);
    for version in VERSIONS {
        let config = client_config(&identity, &[version], None);
        for says_goodbye in [true, false] {
            let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
            talk.shake_hands().expect("a handshake");
            talk.client.writer().write_all(b"last").expect("memory");
            if says_goodbye {
                talk.client.send_close_notify();
            }
            talk.client_sends();
            // Bytes after the end are for nobody.
            if says_goodbye {
                talk.wire.to_server.extend(b"junk");
            }
            talk.wire.has_ended = true;
            let mut into = [0; 100];
            assert_eq!(talk.server.read(&mut talk.wire, &mut into).expect("content"), 4);
            assert!(!says_goodbye || !talk.server.is_drained(), "an end is to be read");
            let end = talk.server.read(&mut talk.wire, &mut into);
            match says_goodbye {
                true => {
                    assert_eq!(end.expect("an end"), 0);
                    // The other way is open.
                    assert_eq!(talk.server_writes(b"answer"), b"answer");
                }
                false => {
                    assert_eq!(end.expect_err("cut off").kind(), ErrorKind::UnexpectedEof);
                }
            }
        }
    }
}

#[test]
fn our_end_is_said_unless_something_is_missing() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    for is_cut_off in [false, true] {
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        talk.shake_hands().expect("a handshake");
        if is_cut_off {
            talk.server.withhold_goodbye();
        }
        // Without room it is said later.
        talk.wire.room = 0;
        let outcome = talk.server.end_output(&mut talk.wire);
        assert_eq!(outcome.is_err(), !is_cut_off);
        talk.wire.room = usize::MAX;
        talk.server.end_output(&mut talk.wire).expect("room");
        talk.client_reads();
        let end = talk.client.reader().read(&mut [0; 1]);
        match is_cut_off {
            true => assert_eq!(end.expect_err("nothing").kind(), ErrorKind::WouldBlock),
            false => assert_eq!(end.expect("an end"), 0),
        }
    }
}

#[test]
fn keys_are_updated_while_content_goes_both_ways() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, &[&rustls::version::TLS13], None);
    let mut talk = Talk::new(&identity, connect(&config, "a.example"), 100);
    talk.shake_hands().expect("a handshake");
    for round in 0..20 {
        talk.client.refresh_traffic_keys().expect("TLS 1.3");
        talk.client.writer().write_all(b"up").expect("memory");
        talk.client_sends();
        assert_eq!(talk.server_reads().expect("content").0, b"up", "round {round}");
        assert_eq!(talk.server_writes(b"down"), b"down", "round {round}");
    }
}

#[test]
fn junk_ends_the_session_with_an_alert_at_every_stage() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let junk = [0x17, 3, 3, 0, 40].iter().copied().chain([7; 40]).collect::<Vec<u8>>();
    // Before the hello, after it, and after the handshake.
    for stage in 0..3 {
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        if stage == 1 {
            talk.client_sends();
            talk.server.handshake(&mut talk.wire).expect("the hello");
            talk.wire.to_client.clear();
        } else if stage == 2 {
            talk.shake_hands().expect("a handshake");
        }
        talk.wire.to_server.extend(&junk);
        let outcome = match stage {
            2 => talk.server.read(&mut talk.wire, &mut [0; 100]).map(|_| ()),
            _ => talk.server.handshake(&mut talk.wire).map(|_| ()),
        };
        assert_eq!(outcome.expect_err("junk").kind(), ErrorKind::InvalidData, "stage {stage}");
        assert!(!talk.wire.to_client.is_empty(), "an alert says so at stage {stage}");
        talk.wire.to_client.clear();
        talk.server.close(&mut talk.wire);
        assert!(talk.wire.to_client.is_empty(), "nothing follows an alert at stage {stage}");
        assert!(talk.server.read(&mut talk.wire, &mut [0; 100]).is_err());
    }
}

/// What comes behind a handshake that has failed is read, up to a limit, and is no content.
#[test]
fn what_follows_a_failed_handshake_is_discarded_up_to_a_limit() {
    let identity = identity(&[&["a.example"]], None);
    let mut server = identity.acceptor.accept(&[]).expect("a session");
    let mut wire = Wire::new(usize::MAX);
    let junk = [&b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff"[..], &[7; 600_000]].concat();
    wire.to_server.extend(&junk);
    let error = server.handshake(&mut wire).expect_err("no hello");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(wire.to_client.make_contiguous().starts_with(&[0x15, 3]), "an alert");
    assert!(server.secured().is_none());
    let mut into = [0; 10_000];
    let mut discarded = 0;
    loop {
        match server.read(&mut wire, &mut into).expect("discarding") {
            0 => break,
            count => discarded += count,
        }
    }
    assert!((256 * 1024..300_000).contains(&discarded), "{discarded}");
    assert!(server.handshake(&mut wire).is_err(), "it stays failed");
}

#[test]
fn any_changed_byte_of_a_handshake_fails_or_changes_nothing() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
    talk.client_sends();
    let hello = talk.wire.to_server.clone();
    for at in 0..hello.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
            talk.wire.to_server = hello.clone();
            talk.wire.to_server[at] ^= bits;
            talk.wire.has_ended = true;
            // Nobody's handshake: whatever it is taken for, it does not become complete.
            let outcome = talk.server.handshake(&mut talk.wire);
            let is_over = matches!(outcome, Ok(Handshake::Complete));
            assert!(!is_over, "byte {at}");
        }
    }
}

#[test]
fn a_handshake_that_stalls_waits_and_one_that_is_cut_off_fails() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
    talk.client_sends();
    let hello = talk.wire.to_server.clone();
    for cut in 0..hello.len() {
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        talk.wire.to_server = hello.iter().take(cut).copied().collect();
        let at = talk.server.handshake(&mut talk.wire).expect("part of a hello");
        assert_eq!(at, Handshake::WantsRead, "cut at {cut}");
        talk.wire.has_ended = true;
        let error = talk.server.handshake(&mut talk.wire).expect_err("an end");
        // One that never said anything is no news.
        let expected =
            if cut == 0 { ErrorKind::ConnectionAborted } else { ErrorKind::UnexpectedEof };
        assert_eq!(error.kind(), expected, "cut at {cut}");
        assert!(talk.server.secured().is_none());
    }
}

#[test]
fn a_handshake_goes_on_where_the_socket_was_full() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
    talk.wire.room = 10;
    talk.client_sends();
    let mut full = 0;
    while talk.server.handshake(&mut talk.wire).expect("a handshake") == Handshake::WantsWrite {
        talk.wire.room = 10;
        full += 1;
    }
    assert!(full > 10);
    talk.wire.room = usize::MAX;
    assert_eq!(talk.shake_hands().expect("the rest"), Handshake::Complete);
}

#[test]
fn http_in_the_clear_is_recognised_and_passed_on() {
    let identity = identity(&[&["a.example"]], None);
    for piece in [1, usize::MAX] {
        let config = client_config(&identity, VERSIONS, None);
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), piece);
        talk.wire.to_server.extend(b"GET / HTTP/1.1\r\n\r\n");
        let at = talk.server.handshake(&mut talk.wire).expect("no TLS");
        assert_eq!(at, Handshake::NotTls);
        assert_eq!(talk.server_reads().expect("text").0, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(talk.server.write(&mut talk.wire, b"HTTP").ok(), Some(4.min(piece)));
        assert!(talk.server.secured().is_none());
    }
}

#[test]
fn what_was_read_before_belongs_to_the_handshake() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let mut client = connect(&config, "a.example");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    for cut in [1, 5, 100, hello.len()] {
        let server = identity.acceptor.accept(&hello[..cut]).expect("a session");
        let client = connect(&config, "a.example");
        let mut talk = Talk { client, server, wire: Wire::new(usize::MAX) };
        talk.wire.to_server.extend(&hello[cut..]);
        let at = talk.server.handshake(&mut talk.wire).expect("a hello");
        assert_eq!(at, Handshake::WantsRead);
        assert!(!talk.wire.to_client.is_empty(), "the server has answered, cut at {cut}");
    }
}

#[test]
fn the_name_asked_for_decides_the_certificate_and_what_it_covers() {
    let names: [&[&str]; 3] =
        [&["first.example"], &["second.example", "*.second.example"], &["127.0.0.1"]];
    let identity = identity(&names, None);
    let config = client_config(&identity, VERSIONS, None);
    for (asked, host, expected) in [
        ("first.example", "first.example", true),
        ("first.example", "FIRST.example", true),
        ("first.example", "second.example", false),
        ("second.example", "second.example", true),
        ("a.second.example", "b.second.example", true),
        ("a.second.example", "first.example", false),
        ("a.second.example", "10.0.0.1", false),
    ] {
        let mut talk = Talk::new(&identity, connect(&config, asked), usize::MAX);
        talk.shake_hands().expect("a certificate that verifies");
        let secured = talk.server.secured().expect("a session");
        assert_eq!((secured.server_name, secured.version), (Some(asked), "TLSv1.3"));
        assert_eq!(talk.server.covers(host), expected, "{asked}, {host}");
    }
}

#[test]
fn clients_come_back_with_tickets_also_after_certificates_were_replaced() {
    let mut identity = identity(&[&["a.example"]], None);
    for version in VERSIONS {
        let config = client_config(&identity, &[version], None);
        for is_resumed in [false, true, true] {
            let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
            talk.shake_hands().expect("a handshake");
            let secured = talk.server.secured().expect("a session");
            assert_eq!(secured.is_resumed, is_resumed, "{version:?}");
            assert_eq!(secured.server_name, Some("a.example"));
            assert_eq!(talk.server_writes(b"x"), b"x");
            let scratch = Scratch::new();
            let file = CertificateFile {
                chain: scratch.file("c.pem", &identity.made[0].certificate),
                key: Some(scratch.file("k.pem", &identity.made[0].key)),
            };
            let read = Certificates::read(&[file], None).expect("certificates");
            identity.acceptor.replace(read.certificates).expect("certificates");
        }
        let successor = self::identity(&[&["a.example"]], None);
        assert!(successor.acceptor.adopt_ticket_keys(&identity.acceptor.ticket_keys()));
        let mut talk = Talk::new(&successor, connect(&config, "a.example"), usize::MAX);
        talk.shake_hands().expect("a handshake that resumes, as it trusts the predecessor");
        assert!(talk.server.secured().expect("a session").is_resumed);
    }
}

#[test]
fn ticket_keys_are_taken_over_from_one_with_the_same_authorities_alone() {
    let alice = SelfSigned::new(&["alice"], VALID).expect("random");
    let bob = SelfSigned::new(&["bob"], VALID).expect("random");
    let of = |client| identity(&[&["a.example"]], client);
    for (name, from, to, expected) in [
        ("none and none", None, None, true),
        ("the same", Some(&alice), Some(&alice), true),
        ("none before", None, Some(&alice), false),
        ("none after", Some(&alice), None, false),
        ("others", Some(&alice), Some(&bob), false),
    ] {
        let (from, to) = (of(from).acceptor, of(to).acceptor);
        let own = to.ticket_keys();
        assert_eq!(to.adopt_ticket_keys(&from.ticket_keys()), expected, "{name}");
        assert_eq!(to.ticket_keys() == from.ticket_keys(), expected, "{name}");
        assert_eq!(to.ticket_keys() == own, !expected, "{name}");
    }
}

#[test]
fn clients_without_the_certificate_that_is_required_are_refused() {
    let alice = SelfSigned::new(&["alice"], VALID).expect("random");
    let mallory = SelfSigned::new(&["mallory"], VALID).expect("random");
    let identity = identity(&[&["a.example"]], Some(&alice));
    for version in VERSIONS {
        for shown in [None, Some(&mallory), Some(&alice)] {
            let config = client_config(&identity, &[version], shown);
            let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
            let outcome = talk.shake_hands();
            match shown {
                Some(one) if std::ptr::eq(one, &alice) => {
                    assert_eq!(outcome.expect("a handshake"), Handshake::Complete);
                    let secured = talk.server.secured().expect("a session");
                    assert_eq!(secured.subject, Some("CN=alice"));
                }
                Some(_) | None => {
                    assert!(outcome.is_err());
                    assert!(!talk.wire.to_client.is_empty(), "an alert says so");
                }
            }
        }
    }
}

/// The end of the handshake, a request and the client's end may come in one read.
#[test]
fn a_client_that_ends_its_side_at_once_keeps_its_subject() {
    let alice = SelfSigned::new(&["alice"], VALID).expect("random");
    let identity = identity(&[&["a.example"]], Some(&alice));
    for version in VERSIONS {
        let config = client_config(&identity, &[version], Some(&alice));
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        while talk.client.is_handshaking() {
            talk.client_sends();
            talk.server.handshake(&mut talk.wire).expect("a flight");
            talk.client_reads();
        }
        talk.client.writer().write_all(b"hello").expect("memory");
        talk.client.send_close_notify();
        talk.client_sends();
        let at = talk.server.handshake(&mut talk.wire).expect("the rest");
        assert_eq!(at, Handshake::Complete);
        let secured = talk.server.secured().expect("a session");
        assert_eq!(secured.subject, Some("CN=alice"), "{version:?}");
        assert_eq!(talk.server_reads().expect("content"), (b"hello".to_vec(), true));
    }
}

/// A hello that fails after its name was read leaves nothing to the next client.
#[test]
fn the_name_of_a_hello_that_failed_is_not_the_next_clients() {
    let identity = identity(&[&["a.example"], &["127.0.0.1"]], None);
    let mut nameless = ClientConfig::clone(&client_config(&identity, VERSIONS, None));
    nameless.enable_sni = false;
    let nameless = Arc::new(nameless);
    // No protocol in common, which the library sees after it has chosen a certificate.
    let mut failing = ClientConfig::clone(&client_config(&identity, VERSIONS, None));
    failing.alpn_protocols = vec![b"none".to_vec()];
    let failing = Arc::new(failing);
    let mut failed = Talk::new(&identity, connect(&failing, "b.example"), usize::MAX);
    assert!(failed.shake_hands().is_err());
    let mut talk = Talk::new(&identity, connect(&nameless, "a.example"), usize::MAX);
    talk.shake_hands().expect("a handshake");
    assert_eq!(talk.server.secured().expect("a session").server_name, None);
    assert!(talk.server.covers("a.example") && !talk.server.covers("b.example"));
}

/// A client that is not known yet takes little memory.
#[test]
fn a_hello_that_is_too_long_is_refused_before_it_is_whole() {
    let alice = SelfSigned::new(&["alice"], VALID).expect("random");
    for authority in [None, Some(&alice)] {
        let identity = identity(&[&["a.example"]], authority);
        let config = client_config(&identity, VERSIONS, None);
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
        // Records of 16 KiB with a hello of 60,000 bytes, of which half comes.
        let mut content = vec![1, 0, 0xea, 0x60];
        content.resize(32 * 1024, 0);
        for piece in content.chunks(1 << 14) {
            talk.wire.to_server.extend([22, 3, 1, 0x40, 0]);
            talk.wire.to_server.extend(piece);
        }
        let error = talk.server.handshake(&mut talk.wire).expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(!talk.wire.to_server.is_empty(), "the rest was not read");
    }
}

#[test]
fn sessions_of_one_loop_share_their_memory_and_not_their_bytes() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let talks: Vec<Rc<RefCell<Talk>>> = (0..3)
        .map(|_| {
            let client = connect(&config, "a.example");
            let mut talk = Talk::new(&identity, client, 7);
            talk.shake_hands().expect("a handshake");
            Rc::new(RefCell::new(talk))
        })
        .collect();
    // Each sends half a record before any sends the rest.
    let halves: Vec<VecDeque<u8>> = talks
        .iter()
        .enumerate()
        .map(|(at, talk)| {
            let mut talk = talk.borrow_mut();
            talk.client.writer().write_all(&[at as u8; 100]).expect("memory");
            talk.client_sends();
            let rest = talk.wire.to_server.split_off(50);
            assert_eq!(talk.server_reads().expect("nothing yet"), (Vec::new(), false));
            rest
        })
        .collect();
    for (at, (talk, rest)) in talks.iter().zip(halves).enumerate() {
        let mut talk = talk.borrow_mut();
        talk.wire.to_server = rest;
        assert_eq!(talk.server_reads().expect("content").0, [at as u8; 100]);
    }
}
