//! Handshakes that stall, fail, are none, or come in any pieces.

use super::*;

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
fn the_server_chooses_the_cipher_whatever_the_clients_order() {
    let identity = identity(&[&["a.example"]], None);
    for version in VERSIONS {
        let mut ciphers = Vec::new();
        for is_reversed in [false, true] {
            let mut provider = (*provider()).clone();
            if is_reversed {
                provider.cipher_suites.reverse();
            }
            let mut roots = RootCertStore::empty();
            let made = identity.made[0].certificate.as_bytes();
            roots.add(CertificateDer::from_pem_slice(made).expect("PEM")).expect("a root");
            let config = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[version])
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
            let client = connect(&Arc::new(config), "a.example");
            let mut talk = Talk::new(&identity, client, usize::MAX);
            talk.shake_hands().expect("a handshake");
            ciphers.push(talk.server.secured().expect("a session").cipher);
        }
        assert_eq!(ciphers[0], ciphers[1], "{version:?}");
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
