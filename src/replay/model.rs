//! What a strategy makes of recorded requests: each comes when it came, goes where this strategy
//! sends it, and takes as long as a request to that server took in the record.

use super::header::Header;
use super::histogram::{Histogram, Ranked};
use crate::balance::{Balancer, Hint, Spec, Strategy};
use crate::base::backend_id::BackendId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// Something of the record that does not depend on the strategy. Backends by their numbers in the
/// record.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Arrived {
        hash: u64,
    },
    /// `server`: the number of its name, which is the same when it is added again.
    Added {
        id: BackendId,
        server: usize,
        spec: Spec,
    },
    Changed {
        id: BackendId,
        spec: Spec,
    },
    Leaving(BackendId),
    Readmitted(BackendId),
    Removed(BackendId),
    Up(BackendId),
    Down(BackendId),
    Warmed(BackendId),
    Probed {
        id: BackendId,
        duration_us: u64,
    },
    Reported {
        id: BackendId,
        requests: u64,
        errors: u64,
    },
}

/// Response times by server, to be drawn from.
#[derive(Clone, Debug, Default)]
pub struct Times {
    servers: Vec<Ranked>,
    /// For a server of which there are none.
    all: Option<Ranked>,
}

impl Times {
    pub fn of(servers: &[Histogram]) -> Times {
        let mut all = Histogram::default();
        servers.iter().for_each(|times| all.merge(times));
        let servers = servers.iter().map(Histogram::ranked).collect();
        Times { servers, all: Some(all.ranked()) }
    }

    /// The time of a request with these random bits at a server. The same bits are the same rank at
    /// every server, so that strategies are compared over the same requests.
    fn draw(&self, server: usize, bits: u64) -> Duration {
        let its = self.servers.get(server).filter(|times| times.total() > 0);
        let micros = its
            .or(self.all.as_ref())
            .map_or(0, |times| times.at(Rng::new(bits).below(times.total())));
        Duration::from_micros(micros)
    }
}

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Requests by server.
    pub picks: Vec<u64>,
    /// Time from arrival to the choice.
    pub waits: Histogram,
    /// Requests that waited at all.
    pub waited: u64,
    /// Time from arrival to the response.
    pub responses: Histogram,
    /// Requests for which no server was up, or that waited too long.
    pub unserved: u64,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    arrived: Instant,
    hash: u64,
    bits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    ends: Instant,
    begun: Instant,
    id: BackendId,
}

/// A backend of the model, at its own index there.
#[derive(Clone, Copy, Debug)]
struct Place {
    server: usize,
    /// The record has removed it: it goes when its last request has ended.
    is_leaving: bool,
    is_gone: bool,
}

/// A trial was made for a request.
enum Tried {
    Begun,
    /// It may begin when another one ends.
    Full,
    NoServer,
}

/// One strategy at work.
pub struct Model<'a> {
    balancer: Balancer,
    times: &'a Times,
    /// The backend that each number of the record stands for.
    ids: Vec<Option<BackendId>>,
    places: Vec<Place>,
    in_flight: BinaryHeap<Reverse<Flight>>,
    queue: VecDeque<Request>,
    places_max: usize,
    queue_max: Duration,
    requests: u64,
    seed: u64,
    now: Instant,
    results: Results,
}

impl<'a> Model<'a> {
    /// The start of the run that `header` describes; `servers` are the numbers of its names.
    pub fn new(header: &Header, strategy: Strategy, servers: &[usize], times: &'a Times) -> Self {
        let place = |&server| Place { server, is_leaving: false, is_gone: false };
        Model {
            balancer: header.balancer(strategy),
            times,
            ids: (0..servers.len()).map(|index| Some(BackendId::new(index))).collect(),
            places: servers.iter().map(place).collect(),
            in_flight: BinaryHeap::new(),
            queue: VecDeque::new(),
            places_max: header.setting.places,
            queue_max: header.setting.queue,
            requests: 0,
            seed: header.setting.seed,
            now: Instant::START,
            results: Results::default(),
        }
    }

    /// What happens at this time; not before the last one.
    pub fn apply(&mut self, at: Instant, event: Event) {
        self.advance(at);
        match event {
            Event::Arrived { hash } => self.arrive(hash),
            Event::Added { id, server, spec } => self.add(id, server, spec),
            Event::Changed { id, spec } => self.with(id, |it, id| it.reconfigure(id, spec)),
            Event::Leaving(id) => self.with(id, |it, id| it.set_leaving(id, true)),
            Event::Readmitted(id) => self.with(id, |it, id| it.set_leaving(id, false)),
            Event::Removed(id) => self.remove(id),
            Event::Up(id) => self.with(id, |it, id| it.set_up(id, true)),
            Event::Down(id) => self.with(id, |it, id| it.set_up(id, false)),
            Event::Warmed(id) => {
                let now = self.now;
                self.with(id, |it, id| it.warm(id, now));
            }
            Event::Probed { id, duration_us } => {
                self.with(id, |it, id| it.probed(id, duration_us));
            }
            Event::Reported { id, requests, errors } => {
                self.with(id, |it, id| it.report(id, requests, errors));
            }
        }
        self.serve_queue();
    }

    /// Lets every request end.
    pub fn finish(mut self) -> Results {
        self.advance(Instant::NEVER);
        self.results.unserved += self.queue.len() as u64;
        self.results
    }

    fn with(&mut self, id: BackendId, change: impl FnOnce(&mut Balancer, BackendId)) {
        if let Some(Some(own)) = self.ids.get(id.index()) {
            change(&mut self.balancer, *own);
        }
    }

    /// Requests end up to this time, and others begin in their place.
    fn advance(&mut self, to: Instant) {
        while let Some(Reverse(flight)) =
            self.in_flight.peek().copied().filter(|it| it.0.ends <= to)
        {
            self.in_flight.pop();
            self.now = flight.ends;
            let response = flight.ends.since(flight.begun);
            self.balancer.served(flight.id, response.as_micros() as u64, self.now);
            self.balancer.ended(flight.id);
            self.leave_if_idle(flight.id);
            self.serve_queue();
        }
        self.now = self.now.max(to);
    }

    fn arrive(&mut self, hash: u64) {
        self.requests += 1;
        let bits = self.seed ^ self.requests;
        self.queue.push_back(Request { arrived: self.now, hash, bits });
    }

    /// First come, first served.
    fn serve_queue(&mut self) {
        while let Some(&request) = self.queue.front() {
            let is_late = self.now.since(request.arrived) > self.queue_max;
            match if is_late { Tried::NoServer } else { self.begin(request) } {
                Tried::Begun => {}
                Tried::NoServer => self.results.unserved += 1,
                Tried::Full => return,
            }
            self.queue.pop_front();
        }
    }

    fn begin(&mut self, request: Request) -> Tried {
        if self.in_flight.len() >= self.places_max {
            return Tried::Full;
        }
        let hint = Hint { tried: &[], hash: request.hash, now: self.now };
        let Some(id) = self.balancer.pick(&hint) else {
            return if self.has_full() { Tried::Full } else { Tried::NoServer };
        };
        self.balancer.began(id);
        let server = self.places[id.index()].server;
        let (time, waited) =
            (self.times.draw(server, request.bits), self.now.since(request.arrived));
        self.in_flight.push(Reverse(Flight { ends: self.now + time, begun: self.now, id }));
        let results = &mut self.results;
        if results.picks.len() <= server {
            results.picks.resize(server + 1, 0);
        }
        results.picks[server] += 1;
        results.waited += u64::from(!waited.is_zero());
        results.waits.add(waited.as_micros() as u64);
        results.responses.add((waited + time).as_micros() as u64);
        Tried::Begun
    }

    fn has_full(&self) -> bool {
        let present = (0..self.places.len()).filter(|&index| !self.places[index].is_gone);
        let mut candidates = present.map(|index| self.balancer.candidate(BackendId::new(index)));
        candidates.any(|candidate| candidate.up && candidate.is_full())
    }

    fn add(&mut self, id: BackendId, server: usize, spec: Spec) {
        let own = self.balancer.add(spec);
        let place = Place { server, is_leaving: false, is_gone: false };
        match self.places.get_mut(own.index()) {
            Some(vacant) => *vacant = place,
            None => self.places.push(place),
        }
        if self.ids.len() <= id.index() {
            self.ids.resize(id.index() + 1, None);
        }
        self.ids[id.index()] = Some(own);
    }

    fn remove(&mut self, id: BackendId) {
        let Some(own) = self.ids.get_mut(id.index()).and_then(Option::take) else { return };
        self.balancer.set_leaving(own, true);
        self.places[own.index()].is_leaving = true;
        self.leave_if_idle(own);
    }

    fn leave_if_idle(&mut self, own: BackendId) {
        let place = &mut self.places[own.index()];
        if place.is_leaving && !place.is_gone && self.balancer.in_flight(own) == 0 {
            place.is_gone = true;
            self.balancer.remove(own);
        }
    }
}
