//! TLS records of a client, from its first byte on: whatever comes, in whatever pieces, a session
//! waits, fails, or takes it for HTTP in the clear, and sends no more than an alert or its part of a
//! handshake.

use loadbalancer::config::CertificateFile;
use loadbalancer::net::Handshake;
use loadbalancer::net::tls::{Acceptor, Carries, Certificates, SelfSigned};
use std::io::{self, ErrorKind, Read, Write};

/// Most bytes that a server sends to a client that has shown nothing: its part of a handshake, for
/// one hello or, after a retry, two.
const SENT_MAX: usize = 8 * 1024;

/// A client's bytes, and how many came back.
struct Wire<'a> {
    left: &'a [u8],
    piece: usize,
    sent: usize,
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.left.len().min(into.len()).min(self.piece);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        into[..count].copy_from_slice(&self.left[..count]);
        self.left = &self.left[count..];
        Ok(count)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.sent += from.len();
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    static ACCEPTOR: Acceptor = acceptor();
}

fn acceptor() -> Acceptor {
    let valid = ["20200101000000Z", "21200101000000Z"];
    let made = SelfSigned::new(&["localhost"], valid).expect("random bytes");
    let chain = std::env::temp_dir().join(format!("records-{}.pem", std::process::id()));
    std::fs::write(&chain, made.certificate + &made.key).expect("a file");
    let file = CertificateFile { chain: chain.clone(), key: None };
    let read = Certificates::read(&[file], None).expect("a certificate");
    std::fs::remove_file(chain).expect("the file");
    Acceptor::new(read.certificates, Carries::Http).expect("an acceptor")
}

/// How a handshake with these bytes ends: none if it fails.
fn outcome(data: &[u8], read_before: usize, piece: usize) -> Option<Handshake> {
    let (received, left) = data.split_at(read_before.min(data.len()));
    let mut wire = Wire { left, piece, sent: 0 };
    let mut session = ACCEPTOR.with(|acceptor| acceptor.accept(received)).expect("a session");
    let outcome = session.handshake(&mut wire).ok();
    match outcome {
        Some(Handshake::Complete) => panic!("nobody knows the keys"),
        Some(Handshake::NotTls) => {
            let (mut text, mut into) = (Vec::new(), [0; 512]);
            while let Ok(count) = session.read(&mut wire, &mut into) {
                text.extend_from_slice(&into[..count]);
            }
            assert_eq!(text, data, "what is no TLS is passed on as it came");
        }
        Some(Handshake::WantsRead) => assert!(wire.left.is_empty(), "all that comes is taken"),
        Some(Handshake::WantsWrite) => panic!("there is room"),
        None => {
            // What still comes is discarded, to the end of the connection.
            let mut into = [0; 512];
            while session.read(&mut wire, &mut into).is_ok_and(|count| count > 0) {}
            assert!(session.handshake(&mut wire).is_err(), "a failure is final");
        }
    }
    assert!(session.secured().is_none());
    session.close(&mut wire);
    assert!(wire.sent <= SENT_MAX, "{} bytes were sent", wire.sent);
    outcome
}

pub fn run(data: &[u8]) {
    let whole = outcome(data, 0, usize::MAX);
    for piece in [1, 7, 300] {
        assert_eq!(outcome(data, 0, piece), whole, "in pieces of {piece}");
    }
    assert_eq!(outcome(data, data.len() / 2, usize::MAX), whole, "half of it read before");
}
