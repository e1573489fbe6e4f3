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
    /// Those whose clients have ended their side, in the same order.
    half_closed: VecDeque<(Instant, ClientKey)>,
    /// The last that left the line for a slot: until it is known whether there is room for it, no
    /// other one leaves.
    granted: Option<ClientKey>,
}

impl SessionLine {
    fn new(backend: BackendId) -> SessionLine {
        let (entries, half_closed) = (VecDeque::new(), VecDeque::new());
        SessionLine { backend, entries, half_closed, granted: None }
    }

    /// Entries, some of which may have left.
    fn len(&self) -> usize {
        self.entries.len() + self.half_closed.len()
    }
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
        line.map_or(0, SessionLine::len)
    }

    /// The servers that are waited for.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.lines.iter().map(|line| line.backend)
    }

    /// A request that was ready at this time waits for a server, in one of its lines.
    pub fn join(&mut self, line: Line, ready: Instant, client: ClientKey) {
        let backend = line.backend().expect("a request without a session waits in the queue");
        self.waiting += 1;
        let at = self.lines.iter().position(|line| line.backend == backend);
        let at = at.unwrap_or_else(|| {
            self.lines.push(SessionLine::new(backend));
            self.lines.len() - 1
        });
        let entries = match line == line.half_closed() {
            true => &mut self.lines[at].half_closed,
            false => &mut self.lines[at].entries,
        };
        // One that comes back is among the first, a new one the last.
        let later = entries.iter().rev().take_while(|(other, _)| *other > ready).count();
        entries.insert(entries.len() - later, (ready, client));
    }

    /// A request has left in its own way.
    pub fn leave(&mut self) {
        assert!(self.waiting > 0, "left a line in which no request waits");
        self.waiting -= 1;
    }

    /// Looks at the line of this number: the first request of it, if its server `has_room`, no other
    /// one is about to take that, and it is the `turn_of` its kind. `line_of` and `is_admitted`: where
    /// a request is by now.
    pub fn next(
        &mut self,
        number: usize,
        has_room: impl Fn(BackendId) -> bool,
        line_of: impl Fn(ClientKey) -> Option<Line>,
        is_admitted: impl Fn(ClientKey) -> bool,
        turn_of: impl Fn(Line) -> bool,
    ) -> Option<ClientKey> {
        let waiting = self.waiting;
        let line = self.lines.get_mut(number)?;
        line.granted = line.granted.filter(|&granted| is_admitted(granted));
        let keeps_departed = line.len() <= waiting + DEPARTED_MAX;
        let own = Line::Session(line.backend);
        for (own, entries) in [(own, &mut line.entries), (own.half_closed(), &mut line.half_closed)]
        {
            let waits = |entry: &(Instant, ClientKey)| line_of(entry.1) == Some(own);
            if !keeps_departed {
                entries.retain(waits);
            }
            while entries.front().is_some_and(|entry| !waits(entry)) {
                entries.pop_front();
            }
        }
        if line.granted.is_some() || !has_room(line.backend) {
            return None;
        }
        let own = if line.entries.is_empty() { own.half_closed() } else { own };
        if !turn_of(own) {
            return None;
        }
        let (_, client) = line.entries.pop_front().or_else(|| line.half_closed.pop_front())?;
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
        self.lines.retain(|line| line.len() > 0 || line.granted.is_some());
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

    fn any(_: Line) -> bool {
        true
    }

    #[test]
    fn each_server_has_its_line_and_one_place_goes_to_one_request() {
        let (keys, a, b) = (keys(4), BackendId::new(0), BackendId::new(1));
        let mut lines = SessionLines::default();
        lines.join(Line::Session(a), at(1), keys[0]);
        lines.join(Line::Session(b), at(2), keys[1]);
        lines.join(Line::Session(a), at(3), keys[2]);
        let line_of = |key| Some(Line::Session(if key == keys[1] { b } else { a }));
        assert_eq!(lines.next(0, |_| false, line_of, |_| false, any), None);
        assert_eq!(lines.next(0, |_| true, line_of, |_| true, any), Some(keys[0]));
        assert_eq!(lines.next(0, |_| true, line_of, |_| true, any), None, "it may need the room");
        assert_eq!(lines.next(1, |_| true, line_of, |_| true, any), Some(keys[1]));
        // The first is back: it stays before the others.
        lines.join(Line::Session(a), at(1), keys[0]);
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, any), Some(keys[0]));
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, any), Some(keys[2]));
        assert_eq!(lines.waiting(), 0);
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, any), None);
        lines.next(1, |_| true, line_of, |_| false, any);
        lines.forget_empty();
        assert!(lines.is_empty());
    }

    #[test]
    fn those_that_left_are_passed_and_do_not_pile_up() {
        let (keys, a) = (keys(3), BackendId::new(0));
        let mut lines = SessionLines::default();
        keys.iter().zip(1..).for_each(|(&key, time)| lines.join(Line::Session(a), at(time), key));
        lines.leave();
        let line_of = |key| (key != keys[0]).then_some(Line::Session(a));
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, any), Some(keys[1]));
        for time in 10..1_000 {
            lines.join(Line::Session(a), at(time), keys[0]);
            lines.leave();
            lines.next(0, |_| false, line_of, |_| false, any);
        }
        assert!(lines.waiting_for(a) <= DEPARTED_MAX + 2, "{}", lines.waiting_for(a));
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, any), Some(keys[2]));
    }
    #[test]
    fn half_closed_clients_come_after_those_of_the_line_and_when_it_is_their_turn() {
        let (keys, a) = (keys(3), BackendId::new(0));
        let (own, half_closed) = (Line::Session(a), Line::HalfClosedSession(a));
        let mut lines = SessionLines::default();
        lines.join(half_closed, at(3), keys[0]);
        lines.join(own, at(2), keys[1]);
        lines.join(own, at(1), keys[2]);
        lines.leave();
        lines.join(half_closed, at(1), keys[2]);
        assert_eq!((lines.waiting(), lines.waiting_for(a)), (3, 4));
        let line_of = |key| Some(if key == keys[1] { own } else { half_closed });
        let later = |line| line == own;
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, later), Some(keys[1]));
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, later), None);
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, any), Some(keys[2]));
        lines.forget_empty();
        assert_eq!(lines.next(0, |_| true, line_of, |_| false, any), Some(keys[0]));
        assert_eq!(lines.waiting(), 0);
    }
}
