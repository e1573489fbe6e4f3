//! The cap of N pairs and the queue before it, first come first served, and the cap of tunnels. Pure
//! book-keeping.

pub use super::line::Line;
use super::session_lines::SessionLines;
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::proxy::kinds::ClientKey;
use std::collections::VecDeque;

/// Entries of requests that left the queue in their own way are dropped once there are more of them
/// than of the others and this.
const DEPARTED_MAX: usize = 64;

/// Slots are counted here; which request holds one is known to the requests' states.
#[derive(Debug)]
pub struct Admission {
    slots_max: usize,
    used: usize,
    /// Requests that may wait when another one begins to, and those that may be held, waiting or
    /// with a slot.
    queue_max: usize,
    held_max: usize,
    tunnels_max: usize,
    /// Tunnels that were requests once: they hold no slot.
    tunnels: usize,
    open: VecDeque<ClientKey>,
    half_closed: VecDeque<ClientKey>,
    sessions: SessionLines,
    /// Requests in the first two that still wait, and those of them in the first.
    waiting: usize,
    waiting_open: usize,
    /// The first of the queue could not be served though it had a slot: it waits for the end of a
    /// pair, and those behind it as well.
    blocked: bool,
    /// The request that got a slot from the queue and whose step is to come: until it is known
    /// whether there is room for it, none that comes later may be served.
    granted: Option<ClientKey>,
    /// Reasons to admit one more request that came up since the last [`Admission::take_opening`].
    openings: usize,
}

impl Admission {
    /// No slot used, no request waiting, no tunnel, any number of requests may wait. `slots_max` is
    /// at least 1.
    pub fn new(slots_max: usize, tunnels_max: usize) -> Admission {
        assert!(slots_max > 0, "with no slot no request would ever be served");
        Admission {
            slots_max,
            used: 0,
            queue_max: usize::MAX,
            held_max: usize::MAX,
            tunnels_max,
            tunnels: 0,
            open: VecDeque::new(),
            half_closed: VecDeque::new(),
            sessions: SessionLines::default(),
            waiting: 0,
            waiting_open: 0,
            blocked: false,
            granted: None,
            openings: 0,
        }
    }

    /// The same, with at most `queue_max` requests waiting, if there is a limit. Those that give a
    /// slot back wait past it: `queue_max` and `slots_max` together is the most that are held.
    pub fn limit_queue(mut self, queue_max: Option<u32>) -> Admission {
        if let Some(queue_max) = queue_max {
            self.queue_max = queue_max as usize;
            self.held_max = self.slots_max.saturating_add(self.queue_max);
        }
        self
    }

    /// Whether as many requests wait as may.
    pub fn is_queue_full(&self) -> bool {
        self.waiting() >= self.queue_max
    }

    /// Takes a slot if one is free and no request came before. Those that wait for one server did
    /// not: where they are past the limit of the queue, so many slots are left free.
    pub fn admit(&mut self) -> bool {
        let is_first = self.waiting == 0 && self.granted.is_none();
        let has_slot = self.used < self.slots_max && self.held() < self.held_max;
        let admitted = has_slot && is_first;
        self.used += usize::from(admitted);
        admitted
    }

    fn line(&mut self, line: Line) -> &mut VecDeque<ClientKey> {
        match line {
            Line::Open => &mut self.open,
            Line::HalfClosed => &mut self.half_closed,
            Line::Session(_) | Line::HalfClosedSession(_) => {
                panic!("a request with a session waits beside the queue")
            }
        }
    }

    fn count(&mut self, line: Line) {
        self.waiting += 1;
        self.waiting_open += usize::from(line == Line::Open);
    }

    fn uncount(&mut self, line: Line) {
        self.waiting -= 1;
        self.waiting_open -= usize::from(line == Line::Open);
    }

    /// Joins the end of a line.
    pub fn enqueue(&mut self, client: ClientKey, line: Line) {
        self.line(line).push_back(client);
        self.count(line);
    }

    /// A request that was `ready` at this time gives its slot back and waits for one server, in one
    /// of its lines: another request may have the slot.
    pub fn wait_for_session(&mut self, line: Line, ready: Instant, client: ClientKey) {
        assert!(self.used > 0, "waits without having had a slot");
        self.used -= 1;
        self.sessions.join(line, ready, client);
        self.open_one();
    }

    /// Gives free slots to requests that wait for one server which `has_room` now, or cannot be
    /// waited for any more. One for each server: the next follows when it is known that there is
    /// room for more. Of half-closed clients only while no other client waits in the queue.
    pub fn next_sessions(
        &mut self,
        has_room: impl Fn(BackendId) -> bool,
        line_of: impl Fn(ClientKey) -> Option<Line>,
        is_admitted: impl Fn(ClientKey) -> bool,
        mut grant: impl FnMut(ClientKey),
    ) {
        let turn_of = |line| match line {
            Line::HalfClosedSession(_) => self.waiting_open == 0,
            Line::Open | Line::HalfClosed | Line::Session(_) => true,
        };
        for number in 0..self.sessions.len() {
            if self.used == self.slots_max {
                return;
            }
            let next = self.sessions.next(number, &has_room, &line_of, &is_admitted, turn_of);
            if let Some(client) = next {
                self.used += 1;
                grant(client);
            }
        }
        self.sessions.forget_empty();
    }

    /// Whether requests wait for one server.
    pub fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Those that wait for one server.
    pub fn sessions(&self) -> &SessionLines {
        &self.sessions
    }

    /// The client of a request that waits in this line, and was `ready` at this time, has ended its
    /// side: the line it goes to. Its old entry no longer counts.
    pub fn half_close(&mut self, line: Line, ready: Instant, client: ClientKey) -> Line {
        let half_closed = line.half_closed();
        if half_closed != line {
            match line {
                Line::Session(_) | Line::HalfClosedSession(_) => {
                    self.sessions.leave();
                    self.sessions.join(half_closed, ready, client);
                }
                Line::Open | Line::HalfClosed => {
                    self.uncount(line);
                    self.enqueue(client, half_closed);
                    // If it was the first, what it lacks the next may not.
                    self.open_one();
                }
            }
        }
        half_closed
    }

    /// A request gives its slot back and becomes the first of its line: it could not be served now,
    /// and none that came later shall be before it.
    pub fn step_back(&mut self, client: ClientKey, line: Line) {
        assert!(self.used > 0, "stepped back without a slot");
        self.used -= 1;
        self.line(line).push_front(client);
        self.count(line);
        self.blocked = true;
        // What made room until now was not enough for the first, so that the others wait as well.
        self.openings = 0;
    }

    /// A waiting request left: time-out, or its client is gone. If it was the first, what it lacked
    /// the next may not.
    pub fn leave(&mut self, line: Line) {
        if line.backend().is_some() {
            return self.sessions.leave();
        }
        assert!(self.waiting > 0, "left a queue in which no request waits");
        self.uncount(line);
        self.open_one();
    }

    /// Gives a slot back.
    pub fn release(&mut self) {
        assert!(self.used > 0, "released a slot that no request held");
        self.used -= 1;
        self.open_one();
    }

    /// Whether one more request may become a tunnel.
    pub fn has_room_for_tunnel(&self) -> bool {
        self.tunnels < self.tunnels_max
    }

    /// A request becomes a tunnel and gives its slot back; false where there is no room for it.
    pub fn enter_tunnel(&mut self) -> bool {
        let has_room = self.has_room_for_tunnel();
        if has_room {
            self.tunnels += 1;
            self.release();
        }
        has_room
    }

    /// A tunnel ends: its server has room again.
    pub fn leave_tunnel(&mut self) {
        assert!(self.tunnels > 0, "left a tunnel where there was none");
        self.tunnels -= 1;
        self.open_one();
    }

    /// One more waiting request may be served now, as far as is known: a slot or a server has room.
    /// One at a time: where the first finds no room after all, those behind it must not pass it.
    pub fn open_one(&mut self) {
        self.openings += usize::from(self.waiting > 0);
    }

    /// Frees the places that are not needed now.
    pub fn shrink(&mut self) {
        self.open.shrink_to_fit();
        self.half_closed.shrink_to_fit();
    }

    /// Whether there is anything in the queue, or was.
    #[inline]
    pub fn has_queue(&self) -> bool {
        !(self.open.is_empty() && self.half_closed.is_empty() && self.sessions.is_empty())
    }

    /// Whether to admit one more request.
    #[inline]
    pub fn take_opening(&mut self) -> bool {
        let opening = self.openings > 0 && self.granted.is_none();
        self.openings -= usize::from(opening);
        opening
    }

    /// Gives a free slot to the first that still waits, if there are both. `line_of`: in which line
    /// a request waits by now.
    pub fn next(&mut self, line_of: impl Fn(ClientKey) -> Option<Line>) -> Option<ClientKey> {
        while self.used < self.slots_max {
            let open = self.open.pop_front().map(|client| (client, Line::Open));
            let (client, line) =
                open.or_else(|| Some((self.half_closed.pop_front()?, Line::HalfClosed)))?;
            if line_of(client) == Some(line) {
                self.uncount(line);
                self.used += 1;
                self.blocked = false;
                self.granted = Some(client);
                return Some(client);
            }
        }
        None
    }

    /// A request that [`Admission::next`] gave a slot is about to be served.
    pub fn begins(&mut self, client: ClientKey) {
        self.granted = self.granted.filter(|&granted| granted != client);
    }

    /// Drops entries of requests that wait no longer, once they outnumber the others.
    pub fn forget_departed(&mut self, line_of: impl Fn(ClientKey) -> Option<Line>) {
        if self.open.len() + self.half_closed.len() > 2 * self.waiting + DEPARTED_MAX {
            self.open.retain(|&client| line_of(client) == Some(Line::Open));
            self.half_closed.retain(|&client| line_of(client) == Some(Line::HalfClosed));
        }
    }

    /// Slots in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Tunnels that were requests once.
    pub fn tunnels(&self) -> usize {
        self.tunnels
    }

    /// Requests waiting.
    pub fn waiting(&self) -> usize {
        self.waiting + self.sessions.waiting()
    }

    /// Requests that wait or have a slot.
    pub fn held(&self) -> usize {
        self.waiting() + self.used
    }

    /// The most of these.
    pub fn held_max(&self) -> usize {
        self.held_max
    }

    /// Requests in the queue whose clients have not ended their side.
    pub fn waiting_open(&self) -> usize {
        self.waiting_open
    }

    /// Whether there is a reason for the requests that wait: no slot, or the end of a pair to come.
    pub fn waits_with_reason(&self) -> bool {
        let pairs = self.used + self.tunnels;
        self.waiting == 0 || self.used == self.slots_max || (self.blocked && pairs > 0)
    }

    /// Requests that wait for room at a server, for which a slot alone is not enough.
    pub fn waiting_for_room(&self) -> usize {
        if self.blocked { self.waiting } else { 0 }
    }

    /// The cap of tunnels.
    pub fn tunnels_max(&self) -> usize {
        self.tunnels_max
    }

    /// The cap N.
    pub fn slots_max(&self) -> usize {
        self.slots_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::table::Table;
    use crate::proxy::kinds::ClientKind;

    fn keys(count: usize) -> Vec<ClientKey> {
        let mut clients = Table::new();
        (0..count).map(|number| clients.insert(number)).collect()
    }

    fn open(_: ClientKey) -> Option<Line> {
        Some(Line::Open)
    }

    #[test]
    fn first_come_first_served_and_never_past_the_cap() {
        let keys = keys(5);
        let mut admission = Admission::new(2, 1);
        assert!(admission.admit() && admission.admit() && !admission.admit());
        for &key in &keys {
            admission.enqueue(key, Line::Open);
        }
        assert_eq!(admission.next(open), None, "no slot is free");
        admission.release();
        assert!(!admission.admit(), "a newcomer does not overtake the queue");
        admission.leave(Line::Open);
        let gone = keys[0];
        assert_eq!(admission.next(|key| open(key).filter(|_| key != gone)), Some(keys[1]));
        assert_eq!(admission.next(open), None);
        assert_eq!((admission.used(), admission.waiting()), (2, 3));
    }

    #[test]
    fn requests_that_step_back_are_past_the_limit_of_the_queue_by_no_more_than_there_are_slots() {
        let keys = keys(4);
        let session = Line::Session(BackendId::new(0));
        let mut admission = Admission::new(2, 1).limit_queue(Some(1));
        assert!(admission.admit() && admission.admit() && !admission.is_queue_full());
        admission.enqueue(keys[2], Line::Open);
        assert!(admission.is_queue_full() && admission.held() == admission.held_max());
        admission.step_back(keys[1], Line::Open);
        admission.step_back(keys[0], Line::Open);
        assert_eq!((admission.waiting(), admission.held()), (3, 3));
        for key in [keys[0], keys[1], keys[2]] {
            assert_eq!(admission.next(open), Some(key));
            admission.begins(key);
            admission.wait_for_session(session, Instant::from_micros(0), key);
        }
        assert_eq!((admission.waiting(), admission.used()), (3, 0));
        assert!(!admission.admit(), "the slots are free, and no other request may be held");
        admission.leave(session);
        assert!(admission.admit() && !admission.admit());
    }

    #[test]
    fn a_newcomer_waits_while_a_request_from_the_queue_has_not_begun() {
        let keys = keys(2);
        let mut admission = Admission::new(2, 1);
        assert!(admission.admit() && admission.admit());
        admission.enqueue(keys[0], Line::Open);
        admission.release();
        admission.release();
        assert_eq!(admission.next(open), Some(keys[0]));
        assert!(!admission.admit(), "one slot is free, but a server may have one place only");
        admission.begins(keys[0]);
        assert!(admission.admit());
    }

    #[test]
    fn half_closed_clients_are_served_after_all_others() {
        let keys = keys(4);
        let mut admission = Admission::new(1, 1);
        assert!(admission.admit());
        admission.enqueue(keys[0], Line::Open);
        admission.enqueue(keys[1], Line::HalfClosed);
        admission.enqueue(keys[2], Line::Open);
        admission.enqueue(keys[3], Line::Open);
        let line = admission.half_close(Line::Open, Instant::from_micros(0), keys[2]);
        assert_eq!(line, Line::HalfClosed);
        let half_closed = [keys[1], keys[2]];
        let line_of = |key| match half_closed.contains(&key) {
            true => Some(Line::HalfClosed),
            false => Some(Line::Open),
        };
        let served: Vec<_> = (0..4)
            .map(|_| {
                admission.release();
                admission.next(line_of)
            })
            .collect();
        assert_eq!(served, [keys[0], keys[3], keys[1], keys[2]].map(Some));
        assert_eq!(admission.waiting(), 0);
    }

    #[test]
    fn a_request_that_steps_back_stays_the_first() {
        let keys = keys(3);
        let mut admission = Admission::new(1, 1);
        assert!(admission.admit());
        admission.enqueue(keys[1], Line::Open);
        admission.step_back(keys[0], Line::Open);
        assert_eq!(admission.next(open), Some(keys[0]));
    }

    #[test]
    fn the_next_is_looked_at_when_the_first_that_found_no_room_leaves() {
        let keys = keys(3);
        let mut admission = Admission::new(2, 1);
        assert!(admission.admit() && admission.admit());
        admission.enqueue(keys[1], Line::Open);
        admission.step_back(keys[0], Line::Open);
        assert!(!admission.take_opening(), "the first waits for the end of a pair");
        admission.leave(Line::Open);
        assert!(admission.take_opening());
        let gone = keys[0];
        assert_eq!(admission.next(|key| open(key).filter(|_| key != gone)), Some(keys[1]));
    }

    #[test]
    fn the_next_is_looked_at_when_the_client_of_the_first_that_found_no_room_ends_its_side() {
        let keys = keys(2);
        let mut admission = Admission::new(2, 1);
        assert!(admission.admit() && admission.admit());
        admission.enqueue(keys[1], Line::Open);
        admission.step_back(keys[0], Line::Open);
        let line = admission.half_close(Line::Open, Instant::from_micros(0), keys[0]);
        assert!(admission.take_opening());
        let line_of = |key| Some(if key == keys[0] { line } else { Line::Open });
        assert_eq!((admission.waiting_open(), admission.next(line_of)), (1, Some(keys[1])));
        admission.release();
        assert_eq!((admission.waiting_open(), admission.next(line_of)), (0, Some(keys[0])));
    }

    #[test]
    fn a_tunnel_gives_its_slot_back_and_counts_apart() {
        let keys = keys(2);
        let mut admission = Admission::new(1, 1);
        assert!(admission.admit());
        admission.enqueue(keys[0], Line::Open);
        assert!(admission.enter_tunnel());
        assert!(admission.take_opening(), "its slot is free");
        assert_eq!(admission.next(open), Some(keys[0]));
        assert!(!admission.enter_tunnel(), "one tunnel is all there may be");
        assert_eq!((admission.used(), admission.tunnels()), (1, 1));
        admission.begins(keys[0]);
        admission.step_back(keys[0], Line::Open);
        assert!(admission.waits_with_reason(), "the tunnel may be what has the server's room");
        admission.leave_tunnel();
        assert!(admission.take_opening() && admission.has_room_for_tunnel());
    }

    #[test]
    fn entries_of_requests_that_left_do_not_pile_up() {
        let mut clients: Table<ClientKind, ()> = Table::new();
        let mut admission = Admission::new(1, 1);
        for _ in 0..10_000 {
            let key = clients.insert(());
            admission.enqueue(key, Line::Open);
            admission.leave(Line::Open);
            admission.forget_departed(|_| None);
        }
        assert!(admission.open.len() <= DEPARTED_MAX + 1);
    }
}
