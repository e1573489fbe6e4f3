//! The library's connection, of either side, behind four calls. The only file that knows its states;
//! version 0.24 will replace that interface.

use crate::net::Secured;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error, HandshakeKind, ProtocolVersion};
use std::fmt;
use std::io;

/// The library's connection.
pub enum Engine {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl fmt::Debug for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds keys.
        out.write_str(if self.is_server() { "Server" } else { "Client" })
    }
}

/// Bytes that wait, in their order. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Queue {
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Memory that it holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Those that wait.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// These wait, too.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The first `count` wait no more.
    pub fn consume(&mut self, count: usize) {
        self.consumed += count;
        assert!(self.consumed <= self.bytes.len(), "what is consumed was there");
        if self.consumed == self.bytes.len() {
            *self = Queue::default();
        }
    }

    /// Moves as many as fit into `into`; how many.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let count = self.data().len().min(into.len());
        into[..count].copy_from_slice(&self.data()[..count]);
        self.consume(count);
        count
    }
}

/// Where the outcome of [`Engine::process`] goes.
#[derive(Debug)]
pub struct Out<'a> {
    /// Content that fits.
    pub into: &'a mut [u8],
    /// Bytes of it.
    pub taken: usize,
    /// Content that does not fit.
    pub held: &'a mut Queue,
    /// Records to be sent.
    pub unsent: &'a mut Queue,
}

impl Out<'_> {
    fn content(&mut self, bytes: &[u8]) {
        let room = &mut self.into[self.taken..];
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.taken += count;
        self.held.push(&bytes[count..]);
    }
}

/// Why [`Engine::process`] has stopped.
#[derive(Debug)]
pub enum Stop {
    /// Content has come. To be called again if data is left.
    Content,
    /// A message of the library's is under way. To be called again, with the data that is left.
    Message,
    /// More must come from the peer, or from the caller.
    Waits,
    /// The peer sends no more content. Reported once.
    PeerClosed,
    /// The connection is of no more use, except for an alert if it [`Engine::has_output`].
    Failed(Error),
}

impl Engine {
    /// The side that was connected to.
    pub fn is_server(&self) -> bool {
        match self {
            Engine::Server(_) => true,
            Engine::Client(_) => false,
        }
    }

    fn common(&self) -> &CommonState {
        match self {
            Engine::Server(server) => server,
            Engine::Client(client) => client,
        }
    }

    /// The handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    /// [`Engine::process`] gives a record to be sent before it looks at the data.
    pub fn has_output(&self) -> bool {
        self.common().wants_write()
    }

    /// Works on what was received, as far as the next event: how many bytes at its start are used
    /// up, and what is to be done.
    pub fn process(&mut self, data: &mut [u8], out: &mut Out<'_>) -> (usize, Stop) {
        match self {
            Engine::Server(server) => settle(server.process_tls_records(data), out),
            Engine::Client(client) => settle(client.process_tls_records(data), out),
        }
    }

    /// Seals `content` into `records`; how many bytes they have. `received` is what is left of what
    /// was received.
    pub fn encrypt(
        &mut self,
        received: &mut Vec<u8>,
        content: &[u8],
        records: &mut [u8],
    ) -> io::Result<usize> {
        self.seal(received, Sealed::Content(content), records)
    }

    /// Seals the alert that says that nothing follows.
    pub fn close_notify(&mut self, received: &mut Vec<u8>, record: &mut [u8]) -> io::Result<usize> {
        self.seal(received, Sealed::CloseNotify, record)
    }

    fn seal(
        &mut self,
        received: &mut Vec<u8>,
        what: Sealed<'_>,
        records: &mut [u8],
    ) -> io::Result<usize> {
        let (used, outcome) = match self {
            Engine::Server(server) => seal(server.process_tls_records(received), what, records),
            Engine::Client(client) => seal(client.process_tls_records(received), what, records),
        };
        received.drain(..used);
        outcome
    }

    /// What the handshake came to, except for names.
    pub fn secured(&self) -> Option<Secured<'static>> {
        let common = self.common();
        let suite = common.negotiated_cipher_suite()?.suite();
        Some(Secured {
            version: match common.protocol_version()? {
                ProtocolVersion::TLSv1_2 => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: cipher_name(suite.as_str().unwrap_or_default()),
            is_resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name: None,
            subject: None,
        })
    }

    /// The certificate that the peer has shown, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        Some(self.common().peer_certificates()?.first()?)
    }
}

/// The name of a cipher suite as IANA has it: the library has its own for those of TLS 1.3.
fn cipher_name(name: &'static str) -> &'static str {
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

fn settle<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut Out<'_>) -> (usize, Stop) {
    let mut discard = status.discard;
    let stop = match status.state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    out.content(record.payload);
                }
                Some(Err(error)) => break Stop::Failed(error),
                None => break Stop::Content,
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut message)) => {
            let size = match message.encode(&mut []) {
                Err(EncodeError::InsufficientSize(needed)) => needed.required_size,
                Ok(_) | Err(EncodeError::AlreadyEncoded) => 0,
            };
            let mut record = vec![0; size];
            match message.encode(&mut record) {
                Ok(_) => out.unsent.push(&record),
                // An empty message needs no record.
                Err(EncodeError::AlreadyEncoded | EncodeError::InsufficientSize(_)) => {}
            }
            Stop::Message
        }
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            // It is in `unsent`, which nothing overtakes.
            sent.done();
            Stop::Message
        }
        Ok(ConnectionState::PeerClosed) => Stop::PeerClosed,
        // There is no early data: it is not accepted, as it can be replayed.
        Ok(_) => Stop::Waits,
        Err(error) => Stop::Failed(error),
    };
    (discard, stop)
}

/// What is sealed.
#[derive(Clone, Copy)]
enum Sealed<'a> {
    Content(&'a [u8]),
    CloseNotify,
}

fn seal<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    what: Sealed<'_>,
    records: &mut [u8],
) -> (usize, io::Result<usize>) {
    let outcome = match status.state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let sealed = match what {
                Sealed::Content(content) => traffic.encrypt(content, records),
                Sealed::CloseNotify => traffic.queue_close_notify(records),
            };
            sealed.map_err(|error: EncryptError| io::Error::other(error))
        }
        Ok(_) => Err(io::Error::other("the connection is not open")),
        Err(error) => Err(io::Error::other(error)),
    };
    (status.discard, outcome)
}
