//! What is content, in which pieces, and what counts as written.

use super::*;
use crate::base::buffer::LARGE_BYTES;
use crate::net::tls::KEPT_BYTES_MAX;

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
fn keys_are_updated_while_content_goes_both_ways() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, &[&rustls::version::TLS13], None);
    for piece in [1, 100, usize::MAX] {
        let mut talk = Talk::new(&identity, connect(&config, "a.example"), piece);
        talk.shake_hands().expect("a handshake");
        for round in 0..20 {
            talk.client.writer().write_all(b"u").expect("memory");
            talk.client.refresh_traffic_keys().expect("TLS 1.3");
            talk.client.writer().write_all(b"p").expect("memory");
            talk.client_sends();
            let came = talk.server_reads().expect("content").0;
            assert_eq!(came, b"up", "round {round} in pieces of {piece}");
            assert_eq!(talk.server_writes(b"down"), b"down", "round {round}");
        }
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

#[test]
fn what_a_session_keeps_is_in_the_account_of_all_and_bounded() {
    let identity = identity(&[&["a.example"]], None);
    let config = client_config(&identity, VERSIONS, None);
    let kept = || identity.acceptor.kept_bytes();
    let mut talk = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
    talk.shake_hands().expect("a handshake");
    assert_eq!(kept(), 0, "an idle session keeps nothing");
    // A reader that takes nothing, from the start or from the middle of a record on.
    for (name, room) in [("no room", 0), ("some", 20_000)] {
        talk.wire.room = room;
        let content = [b'x'; LARGE_BYTES];
        let count = talk.server.write(&mut talk.wire, &content).unwrap_or(0);
        let expected = LARGE_BYTES - room..=KEPT_BYTES_MAX;
        assert!(expected.contains(&kept()), "{name}: {} bytes", kept());
        talk.wire.room = usize::MAX;
        talk.server.write(&mut talk.wire, &content[count..]).expect("room");
        assert_eq!(kept(), 0, "{name}: all is sent");
    }
    // Content that does not fit, beside a part of the next record.
    talk.client.writer().write_all(&[b'x'; 20_000]).expect("memory");
    talk.client_sends();
    let end = talk.wire.to_server.len() - 10;
    let rest = talk.wire.to_server.split_off(end);
    talk.server.read(&mut talk.wire, &mut [0; 1]).expect("a byte");
    assert!((16_000..=KEPT_BYTES_MAX).contains(&kept()), "{} bytes", kept());
    talk.wire.to_server.extend(rest);
    assert_eq!(talk.server_reads().expect("content").0.len(), 19_999);
    assert_eq!(kept(), 0, "all is taken");
    let hello = b"\x16\x03\x01\x02\x00";
    let mut other = Talk::new(&identity, connect(&config, "a.example"), usize::MAX);
    other.wire.to_server.extend(hello);
    other.server.handshake(&mut other.wire).expect("a part of a hello");
    assert!(kept() >= hello.len());
    drop(other);
    assert_eq!(kept(), 0, "its connection has ended");
}
