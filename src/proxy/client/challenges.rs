//! The files of `--acme-webroot` that clients wait for, first come first served. A client waits for
//! one at most, so that there are no more of them than clients: with a smaller limit, somebody who
//! asks for many would keep an authority from getting the one that it has asked for.

use crate::proxy::kinds::ClientKey;
use std::collections::BTreeMap;

/// Files that are read together at most, so that the turn that answers them is short.
const BATCH_MAX: usize = 64;

/// One wait for a file; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A file that a client waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedChallenge {
    client: ClientKey,
    ticket: Ticket,
    /// Its name.
    pub token: String,
}

/// What became of reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeFile {
    Read(Vec<u8>),
    Missing,
    Unreadable,
}

/// The files that are wanted and not being read yet, in the order in which they were asked for.
#[derive(Debug, Default)]
pub struct Challenges {
    wanted: BTreeMap<Ticket, WantedChallenge>,
    /// Tickets that were given out.
    tickets: u64,
}

impl WantedChallenge {
    /// The client that has asked for it.
    pub fn client(&self) -> ClientKey {
        self.client
    }

    /// The wait for it.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Challenges {
    /// `client` begins to wait for the file of this name.
    pub fn enqueue(&mut self, client: ClientKey, token: String) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.wanted.insert(ticket, WantedChallenge { client, ticket, token });
        ticket
    }

    /// A client waits no longer, with or without its file.
    pub fn leave(&mut self, ticket: Ticket) {
        self.wanted.remove(&ticket);
    }

    /// Those that are to be read next; they are wanted here no longer.
    pub fn take(&mut self) -> Vec<WantedChallenge> {
        let batch = (0..BATCH_MAX).map_while(|_| self.wanted.pop_first());
        batch.map(|(_, wanted)| wanted).collect()
    }

    /// The waits whose files are not being read yet.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.wanted.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::table::Table;
    use crate::proxy::kinds::ClientKind;

    fn tokens(batch: &[WantedChallenge]) -> Vec<&str> {
        batch.iter().map(|wanted| wanted.token.as_str()).collect()
    }

    #[test]
    fn files_are_read_in_the_order_in_which_they_were_asked_for() {
        let mut clients: Table<ClientKind, ()> = Table::new();
        let mut challenges = Challenges::default();
        let names: Vec<String> = (0..=BATCH_MAX).map(|number| number.to_string()).collect();
        for name in &names {
            challenges.enqueue(clients.insert(()), name.clone());
        }
        assert_eq!(tokens(&challenges.take()), names[..BATCH_MAX]);
        assert_eq!(tokens(&challenges.take()), names[BATCH_MAX..]);
        assert_eq!(challenges.take(), []);
    }

    #[test]
    fn nothing_is_read_for_a_client_that_has_left() {
        let mut clients: Table<ClientKind, ()> = Table::new();
        let mut challenges = Challenges::default();
        let first = challenges.enqueue(clients.insert(()), "first".to_owned());
        challenges.enqueue(clients.insert(()), "second".to_owned());
        challenges.leave(first);
        let batch = challenges.take();
        assert_eq!(tokens(&batch), ["second"]);
        // It is being read by now.
        challenges.leave(batch[0].ticket);
        assert_eq!(challenges.take(), []);
    }
}
