//! Which machines are stepped, in this turn and in the next. First in, first out.

use crate::base::table::Id;
use std::collections::VecDeque;

/// The run queue. Each entry of a table has a flag that says whether it is scheduled, so that a
/// burst of reports about one connection takes one place.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Stepped in this turn.
    run: VecDeque<Id>,
    /// They yielded: stepped in the next turn, which does not wait.
    later: VecDeque<Id>,
    /// What they do next is a step of a TLS handshake: stepped once `run` is empty, as many as the
    /// turn has room for, the others in a later turn, which does not wait.
    handshakes: VecDeque<Id>,
    /// Taken from `run` in this turn and not moved to `handshakes`.
    others: u32,
}

impl Schedule {
    /// Steps `id` in this turn, unless `scheduled` says that it will be.
    pub fn this_turn(&mut self, id: Id, scheduled: &mut bool) {
        if !std::mem::replace(scheduled, true) {
            self.run.push_back(id);
        }
    }

    /// Steps `id` in the next turn, unless `scheduled` says that it will be stepped anyway.
    pub fn next_turn(&mut self, id: Id, scheduled: &mut bool) {
        if !std::mem::replace(scheduled, true) {
            self.later.push_back(id);
        }
    }

    /// Steps `id`, which was just taken, behind everything else and behind the handshakes that wait
    /// already, unless `scheduled` says that it will be stepped anyway.
    pub fn handshake(&mut self, id: Id, scheduled: &mut bool) {
        if !std::mem::replace(scheduled, true) {
            self.handshakes.push_back(id);
            self.others = self.others.saturating_sub(1);
        }
    }

    /// Steps the backend timer of `id` behind every connection that is scheduled by now: their
    /// bytes may end the silence it is about.
    pub fn backend(&mut self, id: Id) {
        self.run.push_back(id);
    }

    /// Those that yielded in the last turn come last in this one: most have much to move, and others
    /// little.
    pub fn begin_turn(&mut self) {
        self.others = 0;
        if !self.later.is_empty() {
            self.run.append(&mut self.later);
        }
    }

    /// The next to step in this turn, except for handshakes.
    pub fn pop(&mut self) -> Option<Id> {
        let id = self.run.pop_front()?;
        self.others += 1;
        Some(id)
    }

    /// The next whose step is one of a handshake.
    pub fn pop_handshake(&mut self) -> Option<Id> {
        self.handshakes.pop_front()
    }

    /// Whether one waits.
    pub fn has_handshakes(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// Steps of this turn that were none of a handshake.
    pub fn others(&self) -> u32 {
        self.others
    }

    /// Frees the places that are not needed now.
    pub fn shrink(&mut self) {
        self.run.shrink_to_fit();
        self.later.shrink_to_fit();
        self.handshakes.shrink_to_fit();
    }

    /// Whether the next turn has nothing to step before it waits.
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.later.is_empty() && self.handshakes.is_empty()
    }

    /// Whether everything scheduled for this turn was stepped, except for handshakes.
    pub fn turn_is_over(&self) -> bool {
        self.run.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What finds no room turn after turn keeps its place before what comes later.
    #[test]
    fn handshakes_come_last_and_keep_their_order_over_turns() {
        let id = Id::from_token;
        let mut schedule = Schedule::default();
        let mut flags = [false; 5];
        schedule.next_turn(id(1), &mut flags[0]);
        schedule.this_turn(id(2), &mut flags[1]);
        schedule.this_turn(id(3), &mut flags[2]);
        schedule.begin_turn();
        assert_eq!(schedule.pop(), Some(id(2)));
        flags[1] = false;
        schedule.handshake(id(2), &mut flags[1]);
        assert_eq!(schedule.pop(), Some(id(3)));
        flags[2] = false;
        schedule.handshake(id(3), &mut flags[2]);
        assert_eq!((schedule.pop(), schedule.others()), (Some(id(1)), 1));
        assert_eq!((schedule.pop(), schedule.pop_handshake()), (None, Some(id(2))));
        // No room for the next one, nor for one that is new.
        assert!(schedule.turn_is_over() && !schedule.is_empty());
        schedule.this_turn(id(4), &mut flags[3]);
        schedule.this_turn(id(3), &mut flags[2]);
        schedule.begin_turn();
        assert_eq!(schedule.pop(), Some(id(4)));
        flags[3] = false;
        schedule.handshake(id(4), &mut flags[3]);
        assert_eq!((schedule.pop(), schedule.others()), (None, 0));
        assert!(schedule.has_handshakes());
        assert_eq!(
            [schedule.pop_handshake(), schedule.pop_handshake()],
            [Some(id(3)), Some(id(4))]
        );
        assert!(schedule.is_empty());
    }
}
