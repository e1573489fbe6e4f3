//! Scripted servers: what one connection of theirs receives, checks and answers.

mod response;

pub use response::chunk;

use super::hostile;
use super::kernel::{Dice, Heard, Kernel, LinkId};
use super::oracle::{Answer, Oracle};
use super::talker::{Pace, Talker};
use super::wire::{self, Body};

/// How long a server keeps its connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keeps {
    /// Closes what is idle for a time between these, in microseconds.
    pub idle: Option<(u64, u64)>,
    /// Closes after so many requests, and says so with the last response.
    pub announced: Option<u32>,
    /// Closes after so many requests without a word.
    pub unannounced: Option<u32>,
}

/// What all servers of a run are like.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Misbehaves, in permille of exchanges.
    pub faults: u64,
    /// Closes after a response, in permille of exchanges that do not need it.
    pub closes: u64,
    /// Closes idle connections, in permille of exchanges.
    pub closes_idle: u64,
    pub keeps: Keeps,
    /// Answers before it has the whole request, in permille of exchanges with a body.
    pub early: u64,
    pub body_max: u64,
    /// It may be stopped for a while, all its connections at once.
    pub stops: bool,
    /// Does not speak HTTP.
    pub tcp: bool,
    /// Every connection begins with a PROXY header.
    pub is_introduced: bool,
    /// Which side of a tunnel waits for the other.
    pub patient_server: bool,
}

/// How an exchange goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Closes or resets after so many bytes of the answer.
    Close(usize),
    Reset(usize),
    /// Sends nothing more after so many bytes.
    Hang(usize),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Head,
    /// The request's body is coming; perhaps the answer is going.
    Exchange,
    /// It has sent unsolicited bytes: the balancer must not use this connection any more.
    Spoilt,
    Hung,
    Over,
}

#[derive(Debug)]
pub struct ServerConn {
    pub number: usize,
    pub link: LinkId,
    /// The address it was reached at.
    site: usize,
    manner: Manner,
    phase: Phase,
    pace: Pace,
    read_at: u64,
    write_at: u64,
    input: Vec<u8>,
    /// How much of it was searched for the end of a head.
    seen: usize,
    request: Option<usize>,
    body: Body,
    body_seen: u64,
    trailers: Vec<String>,
    answer: Option<usize>,
    /// The response was sent before the request had come whole.
    answered_early: bool,
    out: Vec<u8>,
    out_at: usize,
    /// Where in `out` the head of the final response ends.
    head_end: usize,
    cut: Option<Cut>,
    /// Closes without a response once it has read so much of the body.
    leaves_at: Option<u64>,
    closes: bool,
    /// The answer at hand ends with the connection.
    until_close: bool,
    tunnels: bool,
    talker: Option<Talker>,
    served: u32,
    idle_close_at: Option<u64>,
    /// Then it does not close but sends.
    speaks: bool,
}

impl ServerConn {
    pub fn new(
        number: usize,
        link: LinkId,
        manner: Manner,
        kernel: &mut Kernel,
        oracle: &mut Oracle,
    ) -> ServerConn {
        let faulty = manner.faults > 0;
        let talker = manner.tcp.then(|| Talker::new(oracle, kernel, manner.patient_server, faulty));
        let talker = talker.map(|mut talker| {
            if manner.is_introduced {
                talker.expect_header();
            }
            talker
        });
        let mut conn = ServerConn {
            number,
            link,
            site: kernel.links[link].site.expect("a server's connection leads to a site"),
            manner,
            phase: Phase::Head,
            pace: Pace::draw(kernel),
            read_at: 0,
            write_at: 0,
            input: Vec::new(),
            seen: 0,
            request: None,
            body: Body::Done,
            body_seen: 0,
            trailers: Vec::new(),
            answer: None,
            answered_early: false,
            out: Vec::new(),
            out_at: 0,
            head_end: usize::MAX,
            cut: None,
            leaves_at: None,
            closes: false,
            until_close: false,
            tunnels: false,
            talker,
            served: 0,
            idle_close_at: None,
            speaks: false,
        };
        if kernel.rng.chance(manner.faults / 4) {
            conn.fail_nameless(kernel, oracle);
        } else if kernel.rng.chance(manner.faults / 8) && !manner.tcp {
            conn.speak_unasked(kernel, oracle);
        }
        conn
    }

    /// Whether it keeps a connection open and sends nothing on purpose.
    pub fn is_silent(&self) -> bool {
        self.phase == Phase::Hung
    }

    /// Its server is stopped: the exchange at hand may last too long.
    pub fn hold_up(&self, oracle: &mut Oracle, now: u64) {
        oracle.hung(self.request, now);
        if let Some(answer) = self.answer.and_then(|answer| oracle.answers.get_mut(answer)) {
            answer.cut = true;
        }
    }

    /// Fails before it has read anything.
    fn fail_nameless(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        kernel.trace(format_args!("conn {} fails at once", self.number));
        match kernel.rng.below(3) {
            0 => {
                oracle.cut(None, kernel.now);
                self.leave_unanswered(oracle);
                self.phase = Phase::Over;
                kernel.peer_close(self.link);
            }
            1 => {
                oracle.cut(None, kernel.now);
                // The proxy may not even see that the connection was made.
                oracle.beliefs.of_site(self.site).absent += 1;
                self.leave_unanswered(oracle);
                self.phase = Phase::Over;
                kernel.peer_abort(self.link);
            }
            _ => {
                oracle.hung(None, kernel.now);
                self.leave_unanswered(oracle);
                self.phase = Phase::Hung;
            }
        }
    }

    /// A request, or a health check, gets no response, or not that it can use.
    pub(super) fn leave_unanswered(&self, oracle: &mut Oracle) {
        let evidence = oracle.beliefs.of_site(self.site);
        evidence.unanswered += 1;
        evidence.probes += 1;
    }

    pub fn step(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        match self.phase {
            Phase::Over => return,
            Phase::Hung => return self.sulk(kernel),
            Phase::Spoilt => return self.hear_in_vain(kernel, oracle),
            Phase::Head | Phase::Exchange => {}
        }
        if let Some(talker) = &mut self.talker {
            talker.step(self.link, kernel, oracle);
            if talker.over {
                if talker.has_reset(oracle) {
                    // The proxy may not even see that the connection was made, or that the protocol
                    // was switched.
                    oracle.beliefs.of_site(self.site).absent += 1;
                    self.leave_unanswered(oracle);
                }
                self.phase = Phase::Over;
            }
            return;
        }
        if kernel.now >= self.read_at {
            self.read(kernel, oracle);
        }
        if self.phase == Phase::Exchange && kernel.now >= self.write_at {
            self.write(kernel, oracle);
        }
        if self.phase == Phase::Exchange && self.out_at == self.out.len() && self.answer.is_some() {
            self.finish(kernel, oracle);
        }
        self.plan_wake(kernel, oracle);
    }

    /// Waits until the balancer gives up.
    fn sulk(&mut self, kernel: &mut Kernel) {
        loop {
            match kernel.peer_read(self.link, 100_000) {
                Heard::Data(_) => {}
                Heard::Nothing => return,
                Heard::End | Heard::Reset => {
                    self.phase = Phase::Over;
                    return kernel.peer_close(self.link);
                }
            }
        }
    }

    /// Sends unsolicited bytes. No request may be sent on this connection any more.
    pub fn speak_unasked(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let bytes = hostile::unasked(oracle.answers.len(), &mut kernel.rng);
        if !kernel.peer_speaks_unasked(self.link, &bytes) {
            return;
        }
        let unasked = Some(self.link);
        oracle.answers.push(Answer { unasked, early: true, cut: true, ..Answer::default() });
        oracle.unasked += 1;
        self.leave_unanswered(oracle);
        oracle.cut(None, kernel.now);
        self.phase = Phase::Spoilt;
        self.input.clear();
    }

    /// Whether it has served and nothing is going on.
    pub fn is_idle(&self, kernel: &Kernel) -> bool {
        let is_idle = self.phase == Phase::Head && self.served > 0 && self.input.is_empty();
        is_idle && self.talker.is_none() && !kernel.peer_hears(self.link)
    }

    /// Nothing is going on, and the proxy has read all that it said: the proxy could do without this
    /// connection.
    pub fn is_unused(&self, kernel: &Kernel) -> bool {
        let link = &kernel.links[self.link];
        link.requests > 0 && link.is_drained() && self.is_idle(kernel)
    }

    /// A request that could not know is read, perhaps, and left without an answer.
    fn hear_in_vain(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        loop {
            match kernel.peer_read(self.link, 100_000) {
                Heard::Data(data) => self.input.extend(data),
                Heard::Nothing => return,
                Heard::End | Heard::Reset => {
                    self.phase = Phase::Over;
                    return kernel.peer_close(self.link);
                }
            }
            self.note_delivery(oracle);
            let Some((head, _)) = wire::head(&self.input, &mut self.seen) else { continue };
            if head.first[1] != "/healthcheck" {
                self.request = Some(oracle.check_request(&head, self.number, self.site));
            }
            oracle.cut(None, kernel.now);
            self.leave_unanswered(oracle);
            oracle.nameless_hang_at = Some(kernel.now);
            let cut = [Cut::Close(0), Cut::Reset(0), Cut::Hang(0)][kernel.rng.below(3) as usize];
            self.answer = None;
            self.answered_early = false;
            return self.cut_off(cut, kernel, oracle);
        }
    }

    fn plan_wake(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let lives = matches!(self.phase, Phase::Head | Phase::Exchange);
        if !lives || self.talker.is_some() {
            return;
        }
        let mut at = u64::MAX;
        if kernel.peer_hears(self.link) {
            at = at.min(self.read_at);
        }
        if self.out_at < self.out.len() && kernel.peer_room(self.link) > 0 {
            at = at.min(self.write_at);
        }
        let is_idle = self.phase == Phase::Head && self.input.is_empty();
        if let Some(close_at) = self.idle_close_at.filter(|_| is_idle) {
            let speaks = close_at <= kernel.now && self.speaks;
            if speaks && !kernel.peer_hears(self.link) {
                self.idle_close_at = None;
                return self.speak_unasked(kernel, oracle);
            }
            if close_at <= kernel.now && !kernel.peer_hears(self.link) {
                kernel.trace(format_args!("conn {} closes idle", self.number));
                if self.manner.faults > 0 {
                    oracle.nameless_cut_at = Some(kernel.now);
                }
                return self.close_idle(kernel);
            }
            at = at.min(close_at);
        }
        if at != u64::MAX {
            kernel.wake_at(self.link, at.max(kernel.now + 1));
        }
    }

    /// Closes a connection on which no request has come since the last one, or none is read.
    fn close_idle(&mut self, kernel: &mut Kernel) {
        kernel.links[self.link].idling.is_closed = true;
        self.phase = Phase::Over;
        kernel.peer_close(self.link);
    }

    fn read(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let most = 1 + kernel.rng.below(self.pace.read_most) as usize;
        self.read_at = kernel.now + kernel.rng.below(self.pace.pause);
        match kernel.peer_read(self.link, most) {
            Heard::Data(data) => {
                self.input.extend(data);
                self.digest(kernel, oracle);
                if let Some(request) = self.request {
                    oracle.requests[request].read_at = Some(kernel.now);
                }
            }
            Heard::Nothing => {}
            Heard::End | Heard::Reset => {
                // Whether that was right is for the client of the exchange to say.
                self.phase = Phase::Over;
                kernel.peer_close(self.link);
            }
        }
    }

    fn digest(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        if self.phase == Phase::Head {
            self.note_delivery(oracle);
            let Some((head, used)) = wire::head(&self.input, &mut self.seen) else { return };
            self.input.drain(..used);
            self.idle_close_at = None;
            self.phase = Phase::Exchange;
            if head.first[1] == "/healthcheck" {
                return self.answer_probe(kernel, oracle);
            }
            let request = oracle.check_request(&head, self.number, self.site);
            kernel.trace(format_args!("conn {} has the head of request {request}", self.number));
            self.request = Some(request);
            self.head_end = usize::MAX;
            self.body = Body::of(&head).unwrap_or(Body::Done);
            self.body_seen = 0;
            self.trailers.clear();
            self.answer = None;
            let (faults, bytes) = (self.manner.faults, oracle.requests[request].body_bytes);
            let leaves = self.body != Body::Done && kernel.rng.chance(faults / 2);
            self.leaves_at = leaves.then(|| kernel.rng.below(bytes));
            let early = !leaves && kernel.rng.chance(self.manner.early);
            let expects = oracle.requests[request].expect_is_seen;
            if expects && !early {
                self.out = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
                kernel.links[self.link].idling.has_interim = true;
                self.out_at = 0;
            }
            if early || self.body == Body::Done {
                self.compose(kernel, oracle, early && self.body != Body::Done);
            }
        }
        self.take_body(kernel, oracle);
    }

    /// The number stands in the target, so that even a part of a head tells whose it is.
    fn note_delivery(&self, oracle: &mut Oracle) {
        let text = String::from_utf8_lossy(&self.input[..self.input.len().min(60)]).into_owned();
        let Some((_, rest)) = text.split_once(" /r/") else { return };
        if let Some((id, _)) = rest.split_once('/') {
            let id = id.parse().unwrap_or_else(|_| panic!("a request's number: {id:?}"));
            oracle.delivered(id, self.number);
        }
    }

    fn take_body(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let Some(request) = self.request else { return };
        let mut content = Vec::new();
        let meant = &oracle.requests[request];
        self.body.take(&mut self.input, &mut content, &mut self.trailers);
        wire::compare(2 * request as u64, self.body_seen, &content, "request body");
        self.body_seen += content.len() as u64;
        assert!(self.body_seen <= meant.body_bytes, "request {request} is too long");
        if self.leaves_at.is_some_and(|at| self.body_seen >= at) {
            return self.cut_off(Cut::Reset(0), kernel, oracle);
        }
        if self.body == Body::Done {
            assert!(!meant.is_broken(), "request {request} cannot be complete");
            assert_eq!(self.body_seen, meant.body_bytes, "request {request} is too short");
            let trailers: &[&str] = if meant.trailer { &["t: v"] } else { &[] };
            assert_eq!(self.trailers, trailers, "trailers of request {request}");
            // After an early response the next request may come at once, else only bytes of a
            // tunnel.
            let early = self.answer.is_some_and(|answer| oracle.answers[answer].early);
            let idle = self.input.is_empty() || self.tunnels || early;
            assert!(idle, "bytes behind request {request}");
            if self.answer.is_none() {
                self.compose(kernel, oracle, false);
            } else if std::mem::take(&mut self.answered_early) {
                self.finish(kernel, oracle);
            }
        }
    }

    fn answer_probe(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let fault = kernel.rng.chance(self.manner.faults);
        let kind = if fault { kernel.rng.below(3) } else { 3 };
        let status = if kind == 0 { 500 } else { 200 };
        let body = format!("{}\n{}\n", kernel.rng.below(5), kernel.rng.below(100));
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
        self.out = (head + &body).into();
        if kind == 1 {
            self.out = hostile::answer(0, true, &mut kernel.rng);
        }
        self.out_at = 0;
        self.cut = (kind == 2).then_some(Cut::Hang(0));
        if fault {
            oracle.fault_at = Some(kernel.now);
            oracle.beliefs.of_site(self.site).probes += 1;
        }
        self.request = None;
        self.until_close = false;
        self.closes = kernel.rng.chance(500);
        self.body = Body::Done;
        self.answer = Some(usize::MAX);
    }

    fn write(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let limit = match self.cut {
            Some(Cut::Close(at) | Cut::Reset(at) | Cut::Hang(at)) => at,
            None => self.out.len(),
        };
        let most = 1 + kernel.rng.below(self.pace.write_most) as usize;
        let end = limit.min(self.out_at + most);
        if end > self.out_at {
            let Some(count) = kernel.peer_write(self.link, &self.out[self.out_at..end]) else {
                self.phase = Phase::Over;
                return kernel.peer_close(self.link);
            };
            self.out_at += count;
            self.write_at = kernel.now + kernel.rng.below(self.pace.pause);
        }
        if self.out_at == limit
            && let Some(cut) = self.cut
        {
            self.cut_off(cut, kernel, oracle);
        }
    }

    fn cut_off(&mut self, cut: Cut, kernel: &mut Kernel, oracle: &mut Oracle) {
        // A reset may take away what the proxy has not read yet.
        let resets = matches!(cut, Cut::Reset(_)) || kernel.peer_hears(self.link);
        if self.out_at < self.head_end || (resets && kernel.style.reset_discards) {
            self.leave_unanswered(oracle);
        }
        kernel.trace(format_args!("conn {}: {cut:?}", self.number));
        if let Some(answer) = self.answer.and_then(|answer| oracle.answers.get_mut(answer)) {
            answer.cut = true;
        }
        self.phase = Phase::Over;
        match cut {
            Cut::Close(_) => {
                oracle.cut(self.request, kernel.now);
                kernel.peer_close(self.link);
            }
            Cut::Reset(_) => {
                oracle.cut(self.request, kernel.now);
                kernel.peer_abort(self.link);
            }
            Cut::Hang(_) => {
                oracle.hung(self.request, kernel.now);
                self.phase = Phase::Hung;
            }
        }
    }

    /// The whole response was sent.
    fn finish(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        if !self.tunnels {
            kernel.request_over(self.link);
        }
        if self.tunnels {
            let (patient, faulty) = (self.manner.patient_server, self.manner.faults > 0);
            let mut talker = Talker::new(oracle, kernel, patient, faulty);
            talker.hear(&std::mem::take(&mut self.input), oracle);
            self.talker = Some(talker);
            return kernel.wake_at(self.link, kernel.now + 1);
        }
        if self.body != Body::Done {
            // An early response: the rest of the request is read, or until the balancer closes. A
            // server that closes first resets what is in flight, which may include its response.
            self.answered_early = true;
            if self.closes && kernel.rng.chance(self.manner.faults) {
                if let (Some(request), Some(answer)) = (self.request, self.answer) {
                    oracle.cut(Some(request), kernel.now);
                    self.leave_unanswered(oracle);
                    oracle.answers[answer].cut = true;
                }
                self.phase = Phase::Over;
                kernel.peer_close(self.link);
            } else if self.until_close {
                kernel.peer_shut(self.link);
            }
            return;
        }
        self.served += 1;
        self.out.clear();
        self.out_at = 0;
        self.phase = Phase::Head;
        let ended = self.input.is_empty() && !self.until_close;
        if ended && kernel.rng.chance(self.manner.faults / 5) {
            // After the response: may be read together with it.
            self.speak_unasked(kernel, oracle);
        }
        if self.closes {
            self.phase = Phase::Over;
            return kernel.peer_close(self.link);
        }
        if self.phase == Phase::Spoilt {
            return;
        }
        let Keeps { idle, unannounced, .. } = self.manner.keeps;
        if unannounced.is_some_and(|most| self.served >= most) {
            return self.close_idle(kernel);
        }
        self.speaks = kernel.rng.chance(self.manner.faults / 4);
        if let Some((least, most)) = idle {
            self.idle_close_at = Some(kernel.now + kernel.rng.between(least, most));
        }
        if self.speaks || kernel.rng.chance(self.manner.closes_idle) {
            self.idle_close_at = Some(kernel.now + kernel.delay());
        }
        kernel.wake_at(self.link, kernel.now + 1);
        if !self.input.is_empty() {
            self.digest(kernel, oracle);
        }
    }
}
