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

    /// Steps the backend timer of `id` behind every connection that is scheduled by now: their
    /// bytes may end the silence it is about.
    pub fn backend(&mut self, id: Id) {
        self.run.push_back(id);
    }

    /// Those that yielded in the last turn come last in this one: most have much to move, and others
    /// little.
    pub fn begin_turn(&mut self) {
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
        self.later.shrink_to_fit();
    }

    /// Whether the next turn has nothing to step before it waits.
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.later.is_empty()
    }

    /// Whether everything scheduled for this turn was stepped.
    pub fn turn_is_over(&self) -> bool {
        self.run.is_empty()
    }
}
