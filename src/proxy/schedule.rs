//! Which machines are stepped, in this turn and in the next. First in, first out.

use crate::base::table::Id;
use std::collections::VecDeque;

/// The run queue. Each entry of a table has a flag that says whether it is scheduled, so that a
/// burst of reports about one connection takes one place.
#[derive(Debug, Default)]
pub struct Schedule {
    /// Stepped in this turn.
    run: VecDeque<Id>,
    /// The turn had no room for them: stepped before all others of the next one.
    deferred: VecDeque<Id>,
    /// They yielded: stepped in the next turn, which does not wait.
    later: VecDeque<Id>,
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

    /// Steps `id` before all others of the next turn, behind those that were deferred before it,
    /// unless `scheduled` says that it will be stepped anyway.
    pub fn first_of_next_turn(&mut self, id: Id, scheduled: &mut bool) {
        if !std::mem::replace(scheduled, true) {
            self.deferred.push_back(id);
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
        if !self.deferred.is_empty() {
            self.deferred.append(&mut self.run);
            std::mem::swap(&mut self.deferred, &mut self.run);
        }
        if !self.later.is_empty() {
            self.run.append(&mut self.later);
        }
    }

    /// The next to step in this turn.
    pub fn pop(&mut self) -> Option<Id> {
        self.run.pop_front()
    }

    /// Frees the places that are not needed now.
    pub fn shrink(&mut self) {
        self.run.shrink_to_fit();
        self.deferred.shrink_to_fit();
        self.later.shrink_to_fit();
    }

    /// Whether the next turn has nothing to step before it waits.
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.deferred.is_empty() && self.later.is_empty()
    }

    /// Whether everything scheduled for this turn was stepped.
    pub fn turn_is_over(&self) -> bool {
        self.run.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What finds no room turn after turn keeps its place before what comes later.
    #[test]
    fn those_that_were_deferred_come_first_and_in_their_order() {
        let id = Id::from_token;
        let mut schedule = Schedule::default();
        let mut flags = [false; 5];
        schedule.next_turn(id(1), &mut flags[0]);
        schedule.first_of_next_turn(id(2), &mut flags[1]);
        schedule.first_of_next_turn(id(3), &mut flags[2]);
        assert!(!schedule.is_empty());
        schedule.this_turn(id(4), &mut flags[3]);
        schedule.begin_turn();
        assert_eq!(schedule.pop(), Some(id(2)));
        // No room for the next one, nor for one that is new.
        assert_eq!(schedule.pop(), Some(id(3)));
        flags[2] = false;
        schedule.first_of_next_turn(id(3), &mut flags[2]);
        schedule.first_of_next_turn(id(5), &mut flags[4]);
        assert_eq!([schedule.pop(), schedule.pop()], [Some(id(4)), Some(id(1))]);
        assert!(schedule.turn_is_over() && !schedule.is_empty());
        schedule.begin_turn();
        assert_eq!([schedule.pop(), schedule.pop()], [Some(id(3)), Some(id(5))]);
        assert!(schedule.is_empty());
    }
}
