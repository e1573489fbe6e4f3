//! The keys of TLS session tickets, as one process hands them to the next: the value of a field.

use std::fmt;

/// Most keys that are read: one makes tickets, one was before it, and other versions may keep more.
pub const KEYS_MAX: usize = 8;

pub const NAME_BYTES: usize = 16;
pub const KEY_BYTES: usize = 32;

const CONTEXT_BYTES: usize = 32;
const SINCE_BYTES: usize = 8;
const ENTRY_BYTES: usize = NAME_BYTES + KEY_BYTES + SINCE_BYTES;

/// A key of tickets, in the clear: to be handed to a successor and to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// Which key a ticket was made with; not secret.
    pub name: [u8; NAME_BYTES],
    pub key: [u8; KEY_BYTES],
    /// When it began to make tickets, in seconds since 1970 UTC.
    pub since: u64,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key itself.
        out.debug_struct("TicketKey").field("since", &self.since).finish_non_exhaustive()
    }
}

/// The keys of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketKeys {
    /// A session resumes in the same context only (RFC 5246 §F.1.4): who may connect is not asked
    /// again.
    pub context: [u8; CONTEXT_BYTES],
    /// The one that makes tickets first; never empty, [`KEYS_MAX`] at most.
    pub keys: Vec<TicketKey>,
}

impl TicketKeys {
    /// The context, then each key: its name, the key, since when.
    pub fn write(&self) -> Vec<u8> {
        let mut value = self.context.to_vec();
        for TicketKey { name, key, since } in self.keys.iter().take(KEYS_MAX) {
            value.extend(name);
            value.extend(key);
            value.extend(since.to_be_bytes());
        }
        value
    }

    /// Reads what was written; none for anything else.
    pub fn read(value: &[u8]) -> Option<TicketKeys> {
        let (context, rest) = value.split_first_chunk()?;
        let entries = rest.chunks(ENTRY_BYTES);
        let is_bounded = (1..=KEYS_MAX).contains(&entries.len());
        let keys = is_bounded.then(|| entries.map(read_key).collect::<Option<_>>())??;
        Some(TicketKeys { context: *context, keys })
    }
}

fn read_key(entry: &[u8]) -> Option<TicketKey> {
    let (name, rest) = entry.split_first_chunk()?;
    let (key, since) = rest.split_first_chunk()?;
    let since = u64::from_be_bytes(since.try_into().ok()?);
    Some(TicketKey { name: *name, key: *key, since })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u8) -> TicketKeys {
        let key = |number| TicketKey { name: [number; 16], key: [201; 32], since: 1_790_000_000 };
        TicketKeys { context: [9; 32], keys: (0..count).map(key).collect() }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for count in [1, 2, KEYS_MAX as u8] {
            assert_eq!(TicketKeys::read(&keys(count).write()), Some(keys(count)), "{count}");
        }
    }

    #[test]
    fn values_of_other_lengths_are_refused() {
        let most = keys(KEYS_MAX as u8).write();
        for length in 0..most.len() {
            let is_whole =
                length > CONTEXT_BYTES && (length - CONTEXT_BYTES).is_multiple_of(ENTRY_BYTES);
            assert_eq!(TicketKeys::read(&most[..length]).is_some(), is_whole, "{length}");
        }
        let one_more = [&most[..], &most[CONTEXT_BYTES..][..ENTRY_BYTES]].concat();
        assert_eq!(TicketKeys::read(&one_more), None);
    }

    #[test]
    fn a_key_is_in_no_log() {
        assert!(!format!("{:?}", keys(2)).contains("201"));
    }
}
