//! The keys of session tickets: clients come back with less work for both sides, and what they keep
//! can be read by this program alone. A key makes tickets for six hours and is accepted for as long
//! again, so that a stolen one opens little of the past.

use crate::wire::ticket_keys::{KEY_BYTES, NAME_BYTES, TicketKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a key makes tickets, in seconds.
const LIFETIME_SECONDS: u32 = 6 * 60 * 60;

/// Longest ticket that is looked at: far more than a session with a client's certificate needs.
const TICKET_BYTES_MAX: usize = 16 * 1024;

fn random_key(now: u64) -> Option<TicketKey> {
    let (mut name, mut key) = ([0; NAME_BYTES], [0; KEY_BYTES]);
    let random = SystemRandom::new();
    random.fill(&mut name).and_then(|()| random.fill(&mut key)).ok()?;
    Some(TicketKey { name, key, since: now })
}

fn cipher(key: &TicketKey) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, &key.key);
    LessSafeKey::new(key.expect("the key is as long as the cipher wants it"))
}

/// Its tickets are accepted no more.
fn is_over(key: &TicketKey, now: u64) -> bool {
    now.saturating_sub(key.since) >= 2 * u64::from(LIFETIME_SECONDS)
}

#[derive(Debug)]
struct Keys {
    current: TicketKey,
    previous: Option<TicketKey>,
}

impl Keys {
    /// A key that has made tickets for long enough makes room for a new one.
    fn rotate(&mut self, now: u64) {
        if now.saturating_sub(self.current.since) >= u64::from(LIFETIME_SECONDS)
            && let Some(next) = random_key(now)
        {
            self.previous = Some(std::mem::replace(&mut self.current, next));
        }
        self.previous.take_if(|previous| is_over(previous, now));
    }
}

/// The keys in use. Behind a lock, as the library wants to share them between threads; here only
/// the loop's takes it.
#[derive(Debug)]
pub struct Tickets(Mutex<Keys>);

impl Tickets {
    /// A new key.
    ///
    /// Errors: the system gives no random bytes.
    pub fn new() -> Result<Tickets, String> {
        let current = random_key(now()).ok_or("the system gives no random bytes")?;
        Ok(Tickets(Mutex::new(Keys { current, previous: None })))
    }

    /// The keys, the one that makes tickets first: for a process that takes over from this one.
    pub fn export(&self) -> Vec<TicketKey> {
        self.with_keys(|keys| {
            std::iter::once(&keys.current).chain(&keys.previous).cloned().collect()
        })
    }

    /// From here on these keys are in use, the one that makes tickets first; those after the second
    /// are ignored, and none changes nothing. They end when they would have ended where they are
    /// from: at once if they are too old, and none later than one of this process.
    pub fn import(&self, imported: &[TicketKey]) {
        let now = now();
        let known = |key: &TicketKey| TicketKey { since: key.since.min(now), ..key.clone() };
        if let Some((current, rest)) = imported.split_first() {
            let previous = rest.first().map(known);
            self.with_keys(|keys| *keys = Keys { current: known(current), previous });
        }
    }

    fn with_keys<T>(&self, act: impl FnOnce(&mut Keys) -> T) -> T {
        // No code that holds the lock can panic.
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.rotate(now());
        act(&mut keys)
    }
}

/// Seconds since 1970 UTC.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A ticket: the key's name, a nonce, what is sealed, its tag.
impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let key = self.with_keys(|keys| keys.current.clone());
        let mut sealed = plain.to_vec();
        let nonce_of_key = Nonce::assume_unique_for_key(nonce);
        cipher(&key)
            .seal_in_place_append_tag(nonce_of_key, Aad::from(key.name), &mut sealed)
            .ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.with_keys(|keys| {
            let mut all = std::iter::once(&keys.current).chain(&keys.previous);
            all.find(|key| key.name == *name).cloned()
        })?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = cipher(&key).open_in_place(nonce, Aad::from(*name), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_here_and_where_the_keys_were_taken_over_and_nowhere_else() {
        let (tickets, stranger) = (Tickets::new().expect("keys"), Tickets::new().expect("keys"));
        let ticket = tickets.encrypt(b"session").expect("a ticket");
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(stranger.decrypt(&ticket), None);
        stranger.import(&[]);
        assert_eq!(stranger.decrypt(&ticket), None);
        stranger.import(&tickets.export());
        assert_eq!(stranger.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    }

    #[test]
    fn a_changed_or_cut_ticket_opens_nowhere() {
        let tickets = Tickets::new().expect("keys");
        let ticket = tickets.encrypt(b"session").expect("a ticket");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "changed at {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "cut at {at}");
        }
        assert_eq!(tickets.decrypt(&vec![0; TICKET_BYTES_MAX + 1]), None);
    }

    #[test]
    fn keys_make_tickets_for_six_hours_and_are_accepted_for_twice_as_long() {
        let lifetime = u64::from(LIFETIME_SECONDS);
        let first = random_key(1_000).expect("a key");
        let mut keys = Keys { current: first.clone(), previous: None };
        keys.rotate(1_000 + lifetime - 1);
        assert_eq!(keys.current, first);
        keys.rotate(1_000 + lifetime);
        assert_ne!(keys.current, first);
        assert_eq!(keys.previous.as_ref(), Some(&first));
        keys.rotate(1_000 + 2 * lifetime - 1);
        assert_eq!(keys.previous.as_ref(), Some(&first));
        keys.rotate(1_000 + 2 * lifetime);
        assert_ne!(keys.previous.as_ref(), Some(&first));
    }

    #[test]
    fn keys_that_are_taken_over_live_no_longer_than_where_they_are_from() {
        let lifetime = u64::from(LIFETIME_SECONDS);
        let (old, now) = (Tickets::new().expect("keys"), now());
        let ticket = old.encrypt(b"session").expect("a ticket");
        let key = old.export().remove(0);
        for (name, since, opens, makes_tickets) in [
            ("fresh", now - 60, true, true),
            ("it has made tickets for long enough", now - lifetime, true, false),
            ("it is over", now - 2 * lifetime, false, false),
            ("from a clock that was ahead", now + 10 * lifetime, true, true),
        ] {
            let new = Tickets::new().expect("keys");
            new.import(&[TicketKey { since, ..key.clone() }]);
            assert_eq!(new.decrypt(&ticket).is_some(), opens, "{name}");
            let first = new.export().remove(0);
            assert_eq!(first.key == key.key, makes_tickets, "{name}");
            assert!(first.since <= super::now(), "{name}");
        }
    }
}
