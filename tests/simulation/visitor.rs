//! Clients of the admin listener, beside the traffic: what they ask, how they misbehave, and what
//! they must get. Each whole request is answered soon, whatever the traffic has filled up. And clients
//! of the listener of `--redirect-http`, which are sent to https, or read a challenge.

use super::challenge::{FILE, FILE_LATE_MICROS, FILE_MICROS};
use super::kernel::{Dice, Event, Heard, Kernel, LinkId, ListenerId, Peer};
use super::oracle::Oracle;
use super::question::Question;
use super::talker::Pace;
use super::wire::{self, Body};
use loadbalancer::base::rng::Rng;
use loadbalancer::proxy::ADMIN_PLACES;

/// The latest that a response begins after its request was sent: by far less than requests wait for
/// slots. Where places are short, two stalled connections may have to be given up first.
const PATIENCE_MICROS: u64 = 900_000;
const CROWDED_MICROS: u64 = 5_000_000;

/// How long one that has stopped stays before it resets, at most; some stay until they are ended.
const STAY_MICROS: u64 = 3_000_000;

/// Buffers below this size carry short responses only: a report would take too many turns.
const REPORT_BUFFER: u64 = 400;

/// What the page ends with.
const PAGE_END: &str = "</script>";

/// How a visitor behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Polite,
    /// Sends nothing more, or resets, having sent so many bytes.
    StopsSending(u64),
    Resets(u64),
    /// Reads nothing more, or resets, having read so many.
    StopsReading(u64),
    ResetsReading(u64),
}

/// What the world knows of the traffic at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    at: u64,
    turn: u64,
    accepted: u64,
    answered: u64,
    local: u64,
}

impl Known {
    fn now(kernel: &Kernel, oracle: &Oracle) -> Known {
        let accepted = kernel.accepted();
        let answered = oracle.ended(kernel);
        Known { at: kernel.now, turn: kernel.turn, accepted, answered, local: oracle.local }
    }
}

/// The response that is being read.
#[derive(Debug)]
struct Reading {
    status: u64,
    body: Body,
    content: Vec<u8>,
}

#[derive(Debug)]
pub struct Visitor {
    number: usize,
    at: ListenerId,
    link: Option<LinkId>,
    questions: Vec<Question>,
    conduct: Conduct,
    pace: Pace,
    /// When one that has stopped sending or reading resets.
    leaves_at: Option<u64>,
    stay_micros: Option<u64>,
    /// More of them than there are places may be here at once.
    is_crowded: bool,
    /// What is not sent yet of the present question.
    unsent: Vec<u8>,
    sent_total: u64,
    read_total: u64,
    answered: usize,
    /// When the present question was sent whole.
    asked: Option<Known>,
    input: Vec<u8>,
    seen: usize,
    reading: Option<Reading>,
    closing: bool,
    over: bool,
}

/// Draws them, and when they come.
pub fn draw(kernel: &mut Kernel) -> Vec<Visitor> {
    let count = match kernel.rng.below(10) {
        0 => ADMIN_PLACES as u64 + kernel.rng.below(8),
        1..=3 => 0,
        _ => kernel.rng.between(1, 4),
    };
    let spread = [1, 5_000, 40_000][kernel.rng.below(3) as usize];
    (0..count as usize)
        .map(|number| {
            let at = kernel.now + kernel.rng.below(spread);
            kernel.schedule(at, Event::Visit(number));
            let pace = Pace::draw(kernel);
            let takes_reports = kernel.style.buffer_min >= REPORT_BUFFER && pace.read_most >= 700;
            let rng = &mut kernel.rng;
            let questions = (0..rng.between(1, 3)).map(|_| Question::draw(takes_reports, rng));
            let (questions, conduct) = (questions.collect(), draw_conduct(rng));
            let stay_micros = rng.chance(950).then(|| rng.below(STAY_MICROS));
            Visitor {
                is_crowded: count as usize > ADMIN_PLACES,
                ..Visitor::new(number, ListenerId::Admin, questions, conduct, pace, stay_micros)
            }
        })
        .collect()
}

/// Draws those that are redirected to https, from numbers of their own.
pub fn draw_callers(kernel: &mut Kernel, seed: u64) -> Vec<Visitor> {
    let mut dice = Rng::new(seed ^ 0x43_41_4C_4C);
    std::mem::swap(&mut kernel.rng, &mut dice);
    let spread = [1, 5_000, 40_000][kernel.rng.below(3) as usize];
    let callers = (0..kernel.rng.between(1, 4) as usize).map(|number| {
        let at = kernel.now + kernel.rng.below(spread);
        kernel.schedule(at, Event::Call(number));
        let pace = Pace::draw(kernel);
        let rng = &mut kernel.rng;
        let questions = (0..rng.between(1, 4)).map(|_| Question::draw_call(rng));
        let (questions, conduct) = (questions.collect(), draw_conduct(rng));
        let stay_micros = rng.chance(700).then(|| rng.below(STAY_MICROS));
        Visitor::new(number, ListenerId::Redirect, questions, conduct, pace, stay_micros)
    });
    let callers = callers.collect();
    std::mem::swap(&mut kernel.rng, &mut dice);
    callers
}

fn draw_conduct(rng: &mut Rng) -> Conduct {
    match rng.below(10) {
        0 => Conduct::StopsSending(rng.below(40)),
        1 => Conduct::Resets(rng.below(60)),
        2 => Conduct::StopsReading(rng.below(3_000)),
        3 => Conduct::ResetsReading(rng.below(3_000)),
        _ => Conduct::Polite,
    }
}

impl Visitor {
    fn new(
        number: usize,
        at: ListenerId,
        questions: Vec<Question>,
        conduct: Conduct,
        pace: Pace,
        stay_micros: Option<u64>,
    ) -> Visitor {
        Visitor {
            number,
            at,
            link: None,
            questions,
            conduct,
            pace,
            leaves_at: None,
            stay_micros,
            is_crowded: false,
            unsent: Vec::new(),
            sent_total: 0,
            read_total: 0,
            answered: 0,
            asked: None,
            input: Vec::new(),
            seen: 0,
            reading: None,
            closing: false,
            over: false,
        }
    }

    /// It has what it came for, or the proxy has ended the connection of one that waits for nothing.
    pub fn is_over(&self, kernel: &Kernel) -> bool {
        let is_gone = |link: LinkId| !kernel.links[link].proxy_open;
        self.over || self.conduct != Conduct::Polite && self.link.is_some_and(is_gone)
    }

    pub fn arrive(&mut self, kernel: &mut Kernel) {
        self.link = kernel.arrive(match self.at {
            ListenerId::Admin => Peer::Visitor(self.number),
            ListenerId::Traffic | ListenerId::Redirect => Peer::Caller(self.number),
        });
        match self.link {
            Some(link) => kernel.wake_at(link, kernel.now + 1),
            None => self.over = true,
        }
    }

    pub fn step(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let Some(link) = self.link.filter(|_| !self.over) else { return };
        let stops_reading = match self.conduct {
            Conduct::StopsReading(most) => self.read_total >= most,
            _ => false,
        };
        if stops_reading || self.stops_sending() {
            self.stay(link, kernel);
        }
        if !self.over && !stops_reading {
            self.read(link, kernel, oracle);
        }
        if !self.over {
            self.write(link, kernel, oracle);
        }
        let resets = match self.conduct {
            Conduct::Resets(most) => self.sent_total >= most,
            Conduct::ResetsReading(most) => self.read_total >= most && self.answered > 0,
            _ => false,
        };
        if self.over {
            return;
        }
        if resets {
            self.over = true;
            return kernel.peer_abort(link);
        }
        let hears = kernel.peer_hears(link) && !stops_reading;
        if hears || (self.may_send() && kernel.peer_room(link) > 0) {
            let pause = kernel.rng.below(self.pace.pause);
            kernel.wake_at(link, kernel.now + 1 + pause);
        }
    }

    /// Does nothing until it has stayed long enough.
    fn stay(&mut self, link: LinkId, kernel: &mut Kernel) {
        let Some(stay) = self.stay_micros else { return };
        let at = *self.leaves_at.get_or_insert(kernel.now + stay);
        if at > kernel.now {
            return kernel.wake_at(link, at);
        }
        self.over = true;
        kernel.peer_abort(link);
    }

    fn stops_sending(&self) -> bool {
        matches!(self.conduct, Conduct::StopsSending(most) if self.sent_total >= most)
    }

    fn may_send(&self) -> bool {
        let has_next = self.asked.is_none() && self.answered < self.questions.len();
        has_next && !self.stops_sending() && !self.closing
    }

    fn write(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &Oracle) {
        if !self.may_send() {
            return;
        }
        if self.unsent.is_empty() {
            self.unsent = self.questions[self.answered].bytes();
        }
        let mut most = self.unsent.len().min(self.pace.write_most as usize);
        if let Conduct::StopsSending(total) | Conduct::Resets(total) = self.conduct {
            most = most.min((total - self.sent_total.min(total)) as usize);
        }
        let Some(count) = kernel.peer_write(link, &self.unsent[..most]) else { return };
        self.unsent.drain(..count);
        self.sent_total += count as u64;
        if self.unsent.is_empty() {
            self.asked = Some(Known::now(kernel, oracle));
        }
    }

    fn read(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        let most = 1 + kernel.rng.below(self.pace.read_most) as usize;
        match kernel.peer_read(link, most) {
            Heard::Data(data) => {
                self.read_total += data.len() as u64;
                self.input.extend(data);
                self.digest(link, kernel, oracle);
            }
            Heard::Nothing => {}
            Heard::End => self.connection_ended(false, link, kernel, oracle),
            Heard::Reset => self.connection_ended(true, link, kernel, oracle),
        }
    }

    fn digest(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        if self.reading.is_none() && !self.digest_head(kernel, oracle) {
            return;
        }
        let Some(Reading { status, body, content }) = &mut self.reading else { return };
        body.take(&mut self.input, content, &mut Vec::new());
        if *body != Body::Done {
            return;
        }
        assert!(self.input.is_empty(), "visitor {}: bytes behind the answer", self.number);
        let (status, content) = (*status, std::mem::take(content));
        self.reading = None;
        // After a jump of the clock a request may be too late for what it asks: `digest_head` has
        // checked that.
        if status != 408 {
            self.check_content(status, &String::from_utf8_lossy(&content), kernel, oracle);
        }
        self.asked = None;
        self.answered += 1;
        oracle.scraped += u64::from(self.at == ListenerId::Admin);
        oracle.to_https += u64::from(status == 308);
        oracle.challenges += u64::from(self.at == ListenerId::Redirect && status == 200);
        let is_last = self.answered == self.questions.len();
        if is_last && !self.closing && self.conduct == Conduct::Polite {
            self.over = true;
            kernel.peer_close(link);
        }
    }

    fn digest_head(&mut self, kernel: &Kernel, oracle: &Oracle) -> bool {
        let Some((head, bytes)) = wire::head(&self.input, &mut self.seen) else { return false };
        self.input.drain(..bytes);
        // One that has sent a part of a request only is answered when its time is over.
        let Some(asked) = self.asked else {
            assert_eq!(head.first[1], "408", "visitor {}: an answer to nothing", self.number);
            self.closing = true;
            self.reading =
                Some(Reading { status: 408, body: Body::UntilClose, content: Vec::new() });
            return true;
        };
        let question = self.questions[self.answered];
        let status: u64 = head.first[1].parse().expect("a status");
        let is_ready_page = question.line.ends_with("/ready");
        let stops = kernel.stopped_turn.is_some_and(|turn| turn < asked.turn);
        let is_admin = self.at == ListenerId::Admin;
        let waited = kernel.now - asked.at;
        let may_be_late = kernel.jumped || waited + FILE_LATE_MICROS >= FILE_MICROS;
        let is_right = match status {
            308 if !is_admin => {
                self.check_location(&head, oracle);
                question.status == 308 || !oracle.has_webroot
            }
            503 if !is_admin => oracle.has_webroot && may_be_late,
            503 => is_ready_page,
            // The head came in time, and the clock has jumped.
            408 => kernel.jumped,
            200 if is_ready_page => !stops,
            _ => status == question.status,
        };
        assert!(is_right, "visitor {}: {status} for {question:?}, stops: {stops}", self.number);
        let most = if self.is_crowded { CROWDED_MICROS } else { PATIENCE_MICROS };
        let is_troubled = kernel.jumped || kernel.shortage_at.is_some();
        // The others may wait for a place, or for a file.
        let is_late =
            is_admin && self.conduct == Conduct::Polite && waited > most + self.slowness(kernel);
        assert!(!is_late || is_troubled, "visitor {}: {waited} µs for {question:?}", self.number);
        self.closing |= head.one("connection") == Some("close");
        // Of a HEAD that came too late not even the method was read: its answer has content.
        let body = match question.line.starts_with("HEAD") && status != 408 {
            true => Body::Done,
            false => Body::of(&head).expect("a framing"),
        };
        self.reading = Some(Reading { status, body, content: Vec::new() });
        true
    }

    /// It leads to the same in https.
    fn check_location(&self, head: &wire::Head, oracle: &Oracle) {
        let question = self.questions[self.answered];
        let port = match oracle.tls_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let expected = format!("https://{}{port}{}", question.host, question.target());
        assert_eq!(head.one("location"), Some(expected.as_str()), "caller {}", self.number);
    }

    /// What the kernel and its own pace may take of the time.
    fn slowness(&self, kernel: &Kernel) -> u64 {
        200 * (kernel.style.delay_max * 10 + self.pace.pause)
    }

    fn check_content(&self, status: u64, content: &str, kernel: &Kernel, oracle: &Oracle) {
        let question = self.questions[self.answered.min(self.questions.len() - 1)];
        let Some(asked) = self.asked else { return };
        match question.line {
            "GET /metrics" if question.status == 200 => {
                check_metrics(content, asked, Known::now(kernel, oracle));
            }
            "GET /.well-known/acme-challenge/there" if status == 200 => {
                assert_eq!(content, FILE, "caller {}", self.number);
            }
            "GET /status" => {
                let is_object = content.starts_with('{') && content.trim_end().ends_with('}');
                assert!(is_object, "visitor {}: {content:?}", self.number);
            }
            "GET /" if self.at == ListenerId::Admin => {
                assert!(content.trim_end().ends_with(PAGE_END), "visitor {}", self.number);
            }
            _ => {}
        }
    }

    /// The balancer ended the connection, by an end or a reset.
    fn connection_ended(
        &mut self,
        reset: bool,
        link: LinkId,
        kernel: &mut Kernel,
        oracle: &mut Oracle,
    ) {
        self.over = true;
        kernel.trace(format_args!("visitor {} meets the end, reset: {reset}", self.number));
        // Its request may have been on its way when the connection, idle until then, gave its place
        // to another one or was ended because the program stops.
        let was_unread = kernel.links[link].read_bytes < self.sent_total;
        let is_crowded = match self.at {
            ListenerId::Admin => self.is_crowded,
            ListenerId::Traffic | ListenerId::Redirect => oracle.crowded,
        };
        let may_end = was_unread && (is_crowded || oracle.stopping_at.is_some());
        let ip = kernel.peer_address(link).map(|peer| peer.ip().to_string()).unwrap_or_default();
        let is_slow = self.at == ListenerId::Redirect && oracle.is_slow_from(&ip, link, kernel);
        let is_troubled = kernel.jumped || kernel.shortage_at.is_some() || is_slow;
        let is_left = self.asked.is_some() && self.conduct == Conduct::Polite;
        assert!(
            !is_left || may_end || is_troubled,
            "visitor {} was left without an answer to {:?} (reset: {reset}, reading {:?})",
            self.number,
            self.questions[self.answered],
            self.reading.as_ref().map(|reading| reading.content.len()),
        );
        match reset {
            true => kernel.peer_abort(link),
            false => kernel.peer_close(link),
        }
    }
}

/// The counters are between what was known when they were asked for and what is known now.
fn check_metrics(text: &str, asked: Known, now: Known) {
    let sum = |name: &str| -> u64 {
        let samples = text.lines().filter_map(|line| line.strip_prefix(name));
        let samples = samples.filter(|rest| rest.starts_with([' ', '{']));
        let values = samples.map(|rest| rest.rsplit(' ').next().unwrap_or_default());
        values.map(|value| value.parse::<u64>().expect("a whole number")).sum()
    };
    // A connection may be accepted and wait for a place.
    let accepted = sum("loadbalancer_clients_accepted_total");
    assert!(accepted + 1 >= asked.accepted, "{accepted} accepted, {} known", asked.accepted);
    assert!(accepted <= now.accepted, "{accepted} accepted of {}", now.accepted);
    let requests = sum("loadbalancer_requests_total");
    assert!(requests >= asked.answered, "{requests} requests, {} known", asked.answered);
    let local = sum("loadbalancer_local_responses_total");
    assert!(local >= asked.local, "{local} answers of its own, {} known", asked.local);
    let waited = sum("loadbalancer_queue_seconds_count");
    assert!(waited >= requests, "{waited} waited, {requests} requests");
    let in_flight = sum("loadbalancer_requests_in_flight");
    let most = sum("loadbalancer_requests_in_flight_max");
    assert!(in_flight <= accepted && most > 0, "{in_flight} in flight of {most}");
}
