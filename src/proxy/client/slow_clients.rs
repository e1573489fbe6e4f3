//! The clients that are waited for, how fast they are, and when they are looked at. Whom to look at
//! and what becomes of the slow ones is the loop's.

use super::pace::{LOOK_INTERVAL, Pace, Speed};
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::Mode;
use crate::net::Net;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::{ClientKey, PaceKind};
use std::collections::HashMap;

/// Clients looked at in one turn. With more of them there are several such turns a second.
pub const LOOKS_MAX: usize = 4096;

/// What a client holds while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// One of the N slots, and its place.
    Slot,
    /// A place for its connection only.
    Place,
}

/// The clients that are waited for, and when they are looked at.
#[derive(Debug)]
pub struct SlowClients {
    timer: Timer,
    is_due: bool,
    /// When some were looked at last.
    looked_at: Instant,
    /// The slot of the table where the next look goes on.
    from: usize,
    paces: HashMap<Id, Pace>,
}

impl SlowClients {
    /// Nobody is waited for.
    pub fn new() -> SlowClients {
        SlowClients {
            timer: Timer::new(),
            is_due: false,
            looked_at: Instant::START,
            from: 0,
            paces: HashMap::new(),
        }
    }

    /// What wakes the loop for the next look.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// The timer's node has fired.
    pub fn timer_fired(&mut self) {
        self.timer.fired();
        self.is_due = true;
    }

    /// Plans the next look at so many clients, or none. A queue that is empty at times changes
    /// nothing about when it is due.
    pub fn plan<N: Net>(&mut self, cx: &mut LoopContext<N>, is_wanted: bool, clients: usize) {
        if !is_wanted {
            cx.wheel.cancel(&mut self.timer);
        } else if cx.config.rate_min > 0 && cx.config.mode == Mode::Http {
            let looks = u32::try_from(clients.div_ceil(LOOKS_MAX).max(1)).unwrap_or(u32::MAX);
            let due = self.looked_at + LOOK_INTERVAL / looks;
            cx.wheel.arm(&mut self.timer, due.max(cx.now.instant), Id::numbered::<PaceKind>(0));
        }
    }

    /// Whether a look was due.
    pub fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }

    /// The slot of the table where the look goes on.
    pub fn from(&self) -> usize {
        self.from
    }

    /// A look at one client that has moved `bytes` in all; none: it is not waited for, or nobody
    /// knows.
    pub fn look(&mut self, key: ClientKey, bytes: Option<u64>, now: Instant, rate: u32) -> Speed {
        let id = Id::from(key);
        let Some(bytes) = bytes else {
            self.paces.remove(&id);
            return Speed::Unknown;
        };
        match self.paces.get_mut(&id) {
            Some(pace) => pace.look(now, bytes, rate),
            None => {
                self.paces.insert(id, Pace::begin(now, bytes));
                Speed::Unknown
            }
        }
    }

    /// The look is over; the next one begins at the slot `next`. With the last of them, clients that
    /// are gone are forgotten.
    pub fn looked(&mut self, now: Instant, next: usize) {
        (self.looked_at, self.from) = (now, next);
        if next == 0 {
            self.paces.retain(|_, pace| !pace.is_over(now));
        }
    }
}
