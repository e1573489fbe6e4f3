//! How each side ends.

use super::*;

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
