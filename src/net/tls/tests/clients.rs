//! Names that clients ask for, the certificates they show, and the tickets they come back with.

use super::*;

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
        assert_eq!(talk.server.covers(host.as_bytes()), expected, "{asked}, {host}");
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
    assert!(talk.server.covers(b"a.example") && !talk.server.covers(b"b.example"));
}
