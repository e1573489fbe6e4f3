//! What is kept of a backend for people: its counters, since when it is in its state, and why.

use crate::base::time::Instant;
use crate::health::{DownReason, InWords, Transition};
use crate::observe::counters::BackendCounters;
use std::fmt;
use std::time::Duration;

/// The account of one backend.
#[derive(Debug)]
pub struct Account {
    /// None where nothing asks for them (no `--admin`).
    counters: Option<Box<BackendCounters>>,
    /// When it came into its state.
    changed_at: Instant,
    down: Option<Down>,
}

/// Since when a backend is down, and why.
#[derive(Debug)]
pub struct Down {
    pub since: Instant,
    pub reason: DownReason,
    /// Of the TLS handshake, if that is the reason.
    words: Option<Box<str>>,
}

impl fmt::Display for Down {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        InWords { what: &self.reason, words: self.words.as_deref() }.fmt(out)
    }
}

impl Account {
    /// Of a backend that was added at `now`; with counters if `is_counted`.
    pub fn new(is_counted: Counting, now: Instant) -> Account {
        let counters = match is_counted {
            Counting::On => Some(Box::default()),
            Counting::Off => None,
        };
        Account { counters, changed_at: now, down: None }
    }

    /// Its counters, where they are kept.
    #[inline]
    pub fn counters(&mut self) -> Option<&mut BackendCounters> {
        self.counters.as_deref_mut()
    }

    /// It is in another state from now on. `words` are those of the last TLS handshake that failed.
    pub fn changed(&mut self, transition: &Transition, words: Option<&str>, now: Instant) {
        self.changed_at = now;
        let down_before = match transition {
            Transition::Down(reason) => {
                let words = words.filter(|_| reason.is_handshake()).map(Box::from);
                self.down.replace(Down { since: now, reason: *reason, words })
            }
            Transition::Up(_) => self.down.take(),
            Transition::Suspected | Transition::Cleared => return,
        };
        if let Some(counters) = &mut self.counters {
            counters.state_changes += 1;
            let down = down_before.map_or(Duration::ZERO, |down| now.since(down.since));
            counters.down_us += down.as_micros() as u64;
        }
    }

    /// What was counted.
    pub fn counted(&self) -> Option<&BackendCounters> {
        self.counters.as_deref()
    }

    /// When it came into its state.
    pub fn changed_at(&self) -> Instant {
        self.changed_at
    }

    /// Since when it is down, and why.
    pub fn down(&self) -> Option<&Down> {
        self.down.as_ref()
    }

    /// It takes part again, or no longer.
    pub fn moved(&mut self, now: Instant) {
        self.changed_at = now;
    }
}

/// Whether anything asks for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    On,
    Off,
}
