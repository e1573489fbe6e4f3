//! The files of `--acme-webroot` that clients wait for.

use super::connection::Connection;
use super::request::RequestState;
use crate::net::Socket;
use crate::proxy::kinds::ClientKey;

/// Files that are wanted and not being read yet. An authority asks for each from a handful of places.
const WANTED_MAX: usize = 32;

/// A file that a client waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedChallenge {
    client: ClientKey,
    /// Which of its requests.
    number: u32,
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

/// The files that are wanted.
#[derive(Debug, Default)]
pub struct Challenges(Vec<WantedChallenge>);

/// Too many are wanted.
#[derive(Debug)]
pub struct TooMany;

impl WantedChallenge {
    /// The client that has asked for it.
    pub fn client(&self) -> ClientKey {
        self.client
    }

    /// Whether its client still waits for it, and not for a later one.
    pub fn is_awaited<S: Socket>(&self, client: &Connection<S>) -> bool {
        client.request.state == RequestState::AwaitingFile && client.info.requests() == self.number
    }
}

impl Challenges {
    /// The file of this name is wanted for the last request of `client`.
    ///
    /// Errors: as many are that may be.
    pub fn add<S: Socket>(
        &mut self,
        key: ClientKey,
        client: &Connection<S>,
        token: String,
    ) -> Result<(), TooMany> {
        if self.0.len() >= WANTED_MAX {
            return Err(TooMany);
        }
        self.0.push(WantedChallenge { client: key, number: client.info.requests(), token });
        Ok(())
    }

    /// Those that are wanted since this was called last.
    pub fn take(&mut self) -> Vec<WantedChallenge> {
        std::mem::take(&mut self.0)
    }
}
