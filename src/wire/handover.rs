//! The message of a takeover: what the sockets beside it are for, and what the next process is to
//! know. Both may be different versions of the program.
//!
//! `LBHO`, a byte for the version, four for the length of the rest; then fields, each of two bytes
//! for its kind, four for the length of its value, and the value. Numbers are in network order. A
//! kind that is not known is skipped, so that later versions can add some; what changes the meaning
//! of others is another version.

use super::by_hand::ByHand;
use super::ticket_keys::TicketKeys;
use std::fmt;
use std::time::Duration;

/// The version that this program writes and reads.
pub const VERSION: u8 = 1;

/// Longest message: 1,000 servers with the longest names take a third of it.
pub const BYTES_MAX: usize = 1 << 20;

/// Most sockets beside it. The kernel allows 253 (`SCM_MAX_FD`).
pub const SOCKETS_MAX: usize = 64;

const MAGIC: &[u8; 4] = b"LBHO";
const HEAD_BYTES: usize = 9;
const FIELD_BYTES: usize = 6;

/// A role for each socket, in their order.
const ROLES: u16 = 1;
/// The name of a server, a line feed, and what was set by hand.
const BY_HAND: u16 = 2;
/// The number of the process that writes it.
const PROCESS: u16 = 3;
/// Microseconds after which the service manager ends a process that it hears nothing of.
const WATCHDOG: u16 = 4;
/// The random key of sticky sessions.
const STICKY_KEY: u16 = 5;
/// The keys of TLS session tickets.
const TICKET_KEYS: u16 = 6;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The control socket.
    Control,
    /// A listener, for clients or the admin address.
    Listener,
    /// A listening unix socket whose file the last process removes.
    ListenerWithFile,
}

/// What is handed over beside the sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    pub process: u32,
    pub roles: Vec<Role>,
    /// Servers by name.
    pub by_hand: Vec<(String, ByHand)>,
    /// Of the service manager, if there is one that asks for signs of life.
    pub watchdog: Option<Duration>,
    /// Of sticky sessions, if there are any: cookies stay good.
    pub sticky_key: Option<[u8; 16]>,
    /// Of TLS sessions, if clients connect in TLS.
    pub ticket_keys: Option<TicketKeys>,
}

/// Why bytes are no message. Each displays as one clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin as one.
    Other,
    Version(u8),
    TooLong,
    /// A field contradicts its length or its kind.
    Field(u16),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Other => out.write_str("it answers with something else"),
            Fault::Version(version) => write!(
                out,
                "it hands over in version {version} and this program takes over in version \
                 {VERSION}; stop it and start this one"
            ),
            Fault::TooLong => write!(out, "it hands over more than {BYTES_MAX} bytes"),
            Fault::Field(kind) => write!(out, "its field {kind} cannot be read"),
        }
    }
}

impl Handover {
    /// The message.
    pub fn write(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        let roles: Vec<u8> = self.roles.iter().map(|role| byte_of(*role)).collect();
        add(&mut fields, PROCESS, &self.process.to_be_bytes());
        add(&mut fields, ROLES, &roles);
        for (server, by_hand) in &self.by_hand {
            add(&mut fields, BY_HAND, format!("{server}\n{by_hand}").as_bytes());
        }
        if let Some(span) = self.watchdog {
            let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
            add(&mut fields, WATCHDOG, &micros.to_be_bytes());
        }
        if let Some(key) = &self.sticky_key {
            add(&mut fields, STICKY_KEY, key);
        }
        if let Some(keys) = &self.ticket_keys {
            add(&mut fields, TICKET_KEYS, &keys.write());
        }
        let mut message = MAGIC.to_vec();
        message.push(VERSION);
        message.extend(length(&fields));
        message.extend(fields);
        message
    }

    /// Reads the message at the start of `bytes`; none while it is not whole.
    pub fn read(bytes: &[u8]) -> Result<Option<Handover>, Fault> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(Fault::Other);
        }
        match bytes.get(MAGIC.len()) {
            Some(&VERSION) | None => {}
            Some(&version) => return Err(Fault::Version(version)),
        }
        let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return Ok(None) };
        let length = number(&head[MAGIC.len() + 1..]);
        if length > BYTES_MAX {
            return Err(Fault::TooLong);
        }
        match rest.get(..length) {
            Some(fields) => Handover::of_fields(fields).map(Some),
            None => Ok(None),
        }
    }

    fn of_fields(mut fields: &[u8]) -> Result<Handover, Fault> {
        let mut handover = Handover::default();
        while !fields.is_empty() {
            let (head, rest) = fields.split_at_checked(FIELD_BYTES).ok_or(Fault::Field(0))?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let fault = Fault::Field(kind);
            let (value, rest) = rest.split_at_checked(number(&head[2..])).ok_or(fault)?;
            handover.take(kind, value).ok_or(fault)?;
            fields = rest;
        }
        Ok(handover)
    }

    fn take(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        match kind {
            PROCESS => self.process = u32::from_be_bytes(value.try_into().ok()?),
            WATCHDOG => {
                let micros = u64::from_be_bytes(value.try_into().ok()?);
                self.watchdog = Some(Duration::from_micros(micros));
            }
            STICKY_KEY => self.sticky_key = Some(value.try_into().ok()?),
            TICKET_KEYS => self.ticket_keys = Some(TicketKeys::read(value)?),
            ROLES => {
                let roles = value.iter().map(|&byte| role_of(byte));
                self.roles = roles.collect::<Option<_>>()?;
                (self.roles.len() <= SOCKETS_MAX).then_some(())?;
            }
            BY_HAND => {
                let (server, by_hand) = std::str::from_utf8(value).ok()?.split_once('\n')?;
                self.by_hand.push((server.to_owned(), by_hand.parse().ok()?));
            }
            _ => {}
        }
        Some(())
    }
}

fn add(fields: &mut Vec<u8>, kind: u16, value: &[u8]) {
    fields.extend(kind.to_be_bytes());
    fields.extend(length(value));
    fields.extend(value);
}

fn length(of: &[u8]) -> [u8; 4] {
    u32::try_from(of.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The number in four bytes.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().take(4).fold(0, |number, &byte| number << 8 | usize::from(byte))
}

fn byte_of(role: Role) -> u8 {
    match role {
        Role::Control => 0,
        Role::Listener => 1,
        Role::ListenerWithFile => 2,
    }
}

fn role_of(byte: u8) -> Option<Role> {
    let all = [Role::Control, Role::Listener, Role::ListenerWithFile];
    all.into_iter().find(|role| byte_of(*role) == byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::by_hand::Wish;
    use crate::wire::ticket_keys::TicketKey;

    fn handover() -> Handover {
        let drained = ByHand { wish: Some(Wish::Drain), weight: Some(5) };
        let key = |since| TicketKey { name: [1; 16], key: [2; 32], since };
        let ticket_keys = TicketKeys { context: [3; 32], keys: vec![key(7_200), key(3_600)] };
        Handover {
            process: 70_000,
            roles: vec![Role::Control, Role::Listener, Role::ListenerWithFile],
            by_hand: vec![
                ("10.0.0.1:80".to_owned(), drained),
                ("[::1]:80".to_owned(), ByHand { wish: None, weight: Some(1) }),
            ],
            watchdog: Some(Duration::from_millis(1500)),
            sticky_key: Some([7; 16]),
            ticket_keys: Some(ticket_keys),
        }
    }

    #[test]
    fn every_split_of_a_message_is_incomplete_until_it_is_whole() {
        let message = handover().write();
        for end in 0..message.len() {
            assert_eq!(Handover::read(&message[..end]), Ok(None), "{end} bytes");
        }
        assert_eq!(Handover::read(&message), Ok(Some(handover())));
        let followed = [&message[..], b"more"].concat();
        assert_eq!(Handover::read(&followed), Ok(Some(handover())));
    }

    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let mut message = handover().write();
        add(&mut message, 999, b"anything");
        let rest = length(&message[HEAD_BYTES..]);
        message[5..HEAD_BYTES].copy_from_slice(&rest);
        assert_eq!(Handover::read(&message), Ok(Some(handover())));
    }

    #[test]
    fn what_is_no_message_of_this_version_is_refused() {
        let message = |kind: u16, value: &[u8]| {
            let mut fields = Vec::new();
            add(&mut fields, kind, value);
            [&MAGIC[..], &[VERSION], &length(&fields), &fields].concat()
        };
        for (name, bytes, fault) in [
            ("HTTP", b"HTTP/1.1 400 Bad Request".to_vec(), Fault::Other),
            ("one byte", b"H".to_vec(), Fault::Other),
            ("another version", b"LBHO\x02".to_vec(), Fault::Version(2)),
            ("huge", b"LBHO\x01\xff\xff\xff\xff".to_vec(), Fault::TooLong),
            ("half a field", b"LBHO\x01\0\0\0\x01\0".to_vec(), Fault::Field(0)),
            ("a longer field", b"LBHO\x01\0\0\0\x06\0\x09\0\0\0\x01".to_vec(), Fault::Field(9)),
            ("an unknown role", message(ROLES, &[9]), Fault::Field(ROLES)),
            ("too many sockets", message(ROLES, &[1; SOCKETS_MAX + 1]), Fault::Field(ROLES)),
            ("no word", message(BY_HAND, b"a:80\nbackup"), Fault::Field(BY_HAND)),
            ("no text", message(BY_HAND, b"\xff\ndrain"), Fault::Field(BY_HAND)),
            ("no number", message(PROCESS, b"12"), Fault::Field(PROCESS)),
            ("a short key", message(STICKY_KEY, &[1; 15]), Fault::Field(STICKY_KEY)),
            ("no ticket key", message(TICKET_KEYS, &[1; 32]), Fault::Field(TICKET_KEYS)),
            ("half a ticket key", message(TICKET_KEYS, &[1; 60]), Fault::Field(TICKET_KEYS)),
        ] {
            assert_eq!(Handover::read(&bytes), Err(fault), "{name}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let message = handover().write();
        for at in 0..message.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = message.clone();
                changed[at] = byte;
                let _ = Handover::read(&changed);
            }
        }
    }
}
