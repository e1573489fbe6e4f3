//! Requests that wait for one server only: the one that their cookie names, which is at its limit.
//! They hold no slot, so that the others pass them. Pure book-keeping.

use super::line::Line;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::proxy::kinds::ClientKey;
use std::collections::VecDeque;

/// Entries of requests that left in their own way are dropped once a line has this many more than
/// there are requests that wait.
const DEPARTED_MAX: usize = 64;

/// Those that wait for one server.
#[derive(Debug)]
struct SessionLine {
    backend: BackendId,
    /// In the order in which the requests were ready.
    entries: VecDeque<(Instant, ClientKey)>,
    /// The last that left the line for a slot: until it is known whether there is room for it, no
    /// other one leaves.
    granted: Option<ClientKey>,
}

/// A line for each server that requests wait for.
#[derive(Debug, Default)]
pub struct SessionLines {
    lines: Vec<SessionLine>,
    waiting: usize,
}

impl SessionLines {
    /// Whether nothing is in any line.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Requests in the line of this server, some of which may have left.
    pub fn waiting_for(&self, backend: BackendId) -> usize {
        let line = self.lines.iter().find(|line| line.backend == backend);
        line.map_or(0, |line| line.entries.len())
    }

    /// The servers that are waited for.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.lines.iter().map(|line| line.backend)
    }

    /// A request that was ready at this time waits for a server.
    pub fn join(&mut self, backend: BackendId, ready: Instant, client: ClientKey) {
        self.waiting += 1;
        let at = self.lines.iter().position(|line| line.backend == backend);
        let at = at.unwrap_or_else(|| {
            self.lines.push(SessionLine { backend, entries: VecDeque::new(), granted: None });
            self.lines.len() - 1
        });
        let entries = &mut self.lines[at].entries;
        // One that comes back is among the first, a new one the last.
        let later = entries.iter().rev().take_while(|(other, _)| *other > ready).count();
        entries.insert(entries.len() - later, (ready, client));
    }

    /// A request has left in its own way.
    pub fn leave(&mut self) {
        assert!(self.waiting > 0, "left a line in which no request waits");
        self.waiting -= 1;
    }

    /// Looks at the line of this number: the first request of it, if its server `has_room` and no
    /// other one is about to take that. `line_of` and `is_admitted`: where a request is by now.
    pub fn next(
        &mut self,
        number: usize,
        has_room: impl Fn(BackendId) -> bool,
        line_of: impl Fn(ClientKey) -> Option<Line>,
        is_admitted: impl Fn(ClientKey) -> bool,
    ) -> Option<ClientKey> {
        let waiting = self.waiting;
        let line = self.lines.get_mut(number)?;
        let own = Some(Line::Session(line.backend));
        line.granted = line.granted.filter(|&granted| is_admitted(granted));
        if line.entries.len() > waiting + DEPARTED_MAX {
            line.entries.retain(|(_, client)| line_of(*client) == own);
        }
        while let Some((_, client)) = line.entries.front()
            && line_of(*client) != own
        {
            line.entries.pop_front();
        }
        if line.granted.is_some() || !has_room(line.backend) {
            return None;
        }
        let (_, client) = line.entries.pop_front()?;
        line.granted = Some(client);
        self.waiting -= 1;
        Some(client)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Drops the lines in which no request is.
    pub fn forget_empty(&mut self) {
        self.lines.retain(|line| !line.entries.is_empty() || line.granted.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::table::Table;

    fn keys(count: usize) -> Vec<ClientKey> {
        let mut clients = Table::new();
        (0..count).map(|number| clients.insert(number)).collect()
    }

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn each_server_has_its_line_and_one_place_goes_to_one_request() {
        let (keys, a, b) = (keys(4), BackendId::new(0), BackendId::new(1));
        let mut lines = SessionLines::default();
        lines.join(a, at(1), keys[0]);
        lines.join(b, at(2), keys[1]);
        lines.join(a, at(3), keys[2]);
        let line_of = |key| Some(Line::Session(if key == keys[1] { b } else { a }));
        assert_eq!(lines.next(0, |_| false, line_of, |_| false), None);
        assert_eq!(lines.next(0, |_| true, line_of, |_| true), Some(keys[0]));
        assert_eq!(lines.next(0, |_| true, line_of, |_| true), None, "it may need the room");
        assert_eq!(lines.next(1, |_| true, line_of, |_| true), Some(keys[1]));
        // The first is back: it stays before the others.
        lines.join(a, at(1), keys[0]);
        assert_eq!(lines.next(0, |_| true, line_of, |_| false), Some(keys[0]));
        assert_eq!(lines.next(0, |_| true, line_of, |_| false), Some(keys[2]));
        assert_eq!(lines.waiting(), 0);
        assert_eq!(lines.next(0, |_| true, line_of, |_| false), None);
        lines.next(1, |_| true, line_of, |_| false);
        lines.forget_empty();
        assert!(lines.is_empty());
    }

    #[test]
    fn those_that_left_are_passed_and_do_not_pile_up() {
        let (keys, a) = (keys(3), BackendId::new(0));
        let mut lines = SessionLines::default();
        keys.iter().zip(1..).for_each(|(&key, time)| lines.join(a, at(time), key));
        lines.leave();
        let line_of = |key| (key != keys[0]).then_some(Line::Session(a));
        assert_eq!(lines.next(0, |_| true, line_of, |_| false), Some(keys[1]));
        for time in 10..1_000 {
            lines.join(a, at(time), keys[0]);
            lines.leave();
            lines.next(0, |_| false, line_of, |_| false);
        }
        assert!(lines.waiting_for(a) <= DEPARTED_MAX + 2, "{}", lines.waiting_for(a));
        assert_eq!(lines.next(0, |_| true, line_of, |_| false), Some(keys[2]));
    }
}
