//! Scripted clients: what they send, how they read, when they leave, and what they must get.

use super::crowd;
use super::kernel::{Dice, Heard, Kernel, LinkId, Peer};
use super::oracle::{Fate, Oracle, Request};
use super::request::Item;
use super::talker::{Pace, Talker};
use super::waiting::Read;
use super::wire::{self, Body};

/// Longer than the balancer waits for a client.
pub const NAP_MICROS: u64 = 30_000_000;

/// When and how a client leaves before it has what it came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Closes when it has every answer.
    Politely,
    /// Ends its output behind the last request, and reads on.
    HalfClosed,
    /// Closes or resets when it has sent so many bytes.
    Closes(u64),
    Resets(u64),
    /// Resets when it has read so many.
    ResetsReading(u64),
    /// Sends or reads nothing more, having sent or read so many.
    StopsSending(u64),
    StopsReading(u64),
    /// Reads nothing for a long time, having read so many, and then what is left.
    Naps(u64),
    /// Having sent so many, a while goes by between one byte and the next.
    Dribbles(u64),
}

/// Bytes that a client dribbles, and how long each takes at most: longer than a head may take.
const DRIBBLES: u64 = 12;
const DRIBBLE_MICROS: u64 = 2_000_000;

/// How long a new connection has for its first request once the balancer is to end.
const FIRST_REQUEST_MICROS: u64 = 2_000_000;

/// The answer that is being read.
#[derive(Debug)]
struct Reading {
    answer: Option<usize>,
    status: u16,
    body: Body,
    got: u64,
    trailers: Vec<String>,
}

#[derive(Debug)]
pub struct Client {
    pub number: usize,
    pub link: Option<LinkId>,
    pub items: Vec<Item>,
    /// Requests on their way at most.
    pub window: usize,
    pub leave: Leave,
    pub pace: Pace,
    pub talker: Option<Talker>,
    pub patient: bool,
    /// Between its connection and its first request.
    pub first_pause_micros: u64,
    /// Shortest and longest pause between two requests, in microseconds.
    pub think_micros: (u64, u64),
    read_at: u64,
    write_at: u64,
    sending: usize,
    sent: usize,
    sent_total: u64,
    read_total: u64,
    answered: usize,
    continued: bool,
    /// This program has given leave to send the request whose response is next.
    leave_given: bool,
    input: Vec<u8>,
    /// How much of it was searched for the end of a head.
    seen: usize,
    reading: Option<Reading>,
    /// An answer said that the connection ends, or it must end.
    closing: bool,
    /// It may end: the last answer did not wait for its whole request.
    may_close: bool,
    shut: bool,
    active_at: u64,
    silent: bool,
    /// Requests of which the proxy has read what is collected.
    pub collected: usize,
    /// When the last response was complete.
    answered_read: Option<Read>,
    /// Whose interim response came last.
    hinted: Option<usize>,
    napped: bool,
    /// The program was asked to stop while this request was under way: it is answered all the same.
    promised: Option<usize>,
    /// Its connection was reset: it sends no more.
    cut: bool,
    /// What comes now does not count.
    deaf: bool,
    pub over: bool,
}

impl Client {
    pub fn new(number: usize, items: Vec<Item>, leave: Leave, window: usize, pace: Pace) -> Client {
        Client {
            number,
            link: None,
            items,
            window,
            leave,
            pace,
            talker: None,
            patient: false,
            first_pause_micros: 0,
            think_micros: (0, 0),
            read_at: 0,
            write_at: 0,
            sending: 0,
            sent: 0,
            sent_total: 0,
            read_total: 0,
            answered: 0,
            continued: false,
            leave_given: false,
            input: Vec::new(),
            seen: 0,
            reading: None,
            closing: false,
            may_close: false,
            shut: false,
            active_at: 0,
            silent: false,
            collected: 0,
            answered_read: None,
            hinted: None,
            napped: false,
            promised: None,
            cut: false,
            deaf: false,
            over: false,
        }
    }

    /// Whether it keeps its connection in deliberate silence.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// The next request that is not collected, and where what is collected of it ends in all that
    /// is sent.
    pub fn next_to_collect(&self) -> Option<(usize, u64)> {
        let item = self.items.get(self.collected)?;
        let before: usize = self.items[..self.collected].iter().map(|item| item.bytes.len()).sum();
        Some((item.request, (before + item.collected) as u64))
    }

    /// The request whose response is next, if nothing of that has come.
    pub fn waiting_request(&self) -> Option<usize> {
        let waits = !self.over
            && !self.closing
            && !self.may_close
            && self.talker.is_none()
            && self.reading.is_none();
        let item = self.items.get(self.answered).filter(|_| waits && self.input.is_empty())?;
        Some(item.request)
    }

    /// Since when that request waits, at the latest; none for another one.
    pub fn waiting_since(&self, request: usize, oracle: &Oracle) -> Option<Read> {
        self.waiting_request().filter(|&waits| waits == request)?;
        let read = oracle.requests[request].ready?;
        Some(match self.answered_read {
            Some(answered) if answered.turn > read.turn => answered,
            Some(_) | None => read,
        })
    }

    pub fn arrive(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        self.active_at = kernel.now;
        self.write_at = kernel.now + self.first_pause_micros;
        self.link = kernel.arrive(Peer::Client(self.number));
        let Some(link) = self.link else {
            self.over = true;
            return;
        };
        let ends = kernel.introduce(link);
        if let Some(talker) = &self.talker {
            oracle.sides[talker.side()].ends = ends;
        }
        for item in &self.items {
            let request = &mut oracle.requests[item.request];
            request.ip = ends.map(|ends| ends.source.ip().to_string()).unwrap_or_default();
            request.link = Some(link);
        }
        let at = kernel.now + kernel.header_pause(link);
        kernel.wake_at(link, at);
    }

    pub fn step(&mut self, kernel: &mut Kernel, oracle: &mut Oracle) {
        let Some(link) = self.link.filter(|_| !self.over) else { return };
        if let Some(talker) = &mut self.talker {
            talker.step(link, kernel, oracle);
            self.over = talker.over;
            return;
        }
        if kernel.now >= self.read_at && !self.stopped_reading() {
            self.read(link, kernel, oracle);
        }
        if !self.over && self.talker.is_none() && kernel.now >= self.write_at {
            self.write(link, kernel, oracle);
        }
        // One whose connection was reset under a write has nothing else to do.
        if !self.over && self.talker.is_none() && self.stopped_reading() {
            self.fall_silent(oracle);
        }
        if self.over || self.talker.is_some() {
            return;
        }
        let complete = self.answered == self.items.len() && self.reading.is_none();
        if complete && !self.closing && !self.shut {
            assert!(self.input.is_empty(), "client {} got more than asked for", self.number);
            self.over = true;
            return kernel.peer_close(link);
        }
        if complete && self.shut {
            self.closing = true;
        }
        self.plan_wake(link, kernel);
    }

    fn plan_wake(&mut self, link: LinkId, kernel: &mut Kernel) {
        let mut at = u64::MAX;
        if kernel.peer_hears(link) && !self.stopped_reading() {
            at = at.min(self.read_at);
        }
        if self.sendable() > 0 && kernel.peer_room(link) > 0 {
            at = at.min(self.write_at);
        }
        if at != u64::MAX {
            kernel.wake_at(link, at.max(kernel.now + 1));
        }
    }

    fn stopped_reading(&self) -> bool {
        matches!(self.leave, Leave::StopsReading(limit) if self.read_total >= limit)
    }

    fn request(&self, oracle: &Oracle) -> String {
        let item = self.items.get(self.answered);
        item.map_or_else(String::new, |item| format!("{:?}", oracle.requests[item.request]))
    }

    /// The program is asked to stop. What had been sent by `before` is known to it.
    pub fn note_stop(&mut self, before: u64, oracle: &Oracle) {
        let Some(item) = self.items.get(self.answered) else { return };
        // With an empty line only it has not begun: the connection is idle.
        let begun = oracle.requests[item.request].line_at.is_some_and(|at| at < before);
        self.promised = (begun && !self.over && !self.closing).then_some(self.answered);
    }

    // Sending.

    /// How many bytes of the current request may go now.
    fn sendable(&self) -> usize {
        if self.closing || self.shut || self.silent || self.cut {
            return 0;
        }
        let Some(item) = self.items.get(self.sending) else { return 0 };
        if self.sending >= self.answered + self.window {
            return 0;
        }
        let waits = self.sent >= item.head_bytes && item.expects && !self.continued;
        let end = if item.expects && !self.continued { item.head_bytes } else { item.bytes.len() };
        if waits { 0 } else { end - self.sent }
    }

    fn write(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        let ready = self.sendable();
        if ready > 0 {
            let left = match self.leave {
                Leave::Closes(at) | Leave::Resets(at) | Leave::StopsSending(at) => {
                    at.saturating_sub(self.sent_total)
                }
                _ => u64::MAX,
            };
            let dribbles = self.dribbles();
            let most = if dribbles { 1 } else { self.pace.write_most };
            let most = (1 + kernel.rng.below(most)).min(left) as usize;
            let item = &self.items[self.sending];
            let bytes = &item.bytes[self.sent..self.sent + ready.min(most)];
            let it = &mut oracle.requests[item.request];
            let now = kernel.now;
            let Some(count) = kernel.peer_write(link, bytes) else {
                // What has come before the reset is read first.
                self.cut = true;
                return;
            };
            if count > 0 {
                it.begun_at.get_or_insert(now);
            }
            self.sent += count;
            if self.sent > item.empty_bytes() && it.line_at.is_none() {
                it.line_at = Some(now);
                let known_at = now + kernel.latest_edge_micros();
                let is_new = known_at < kernel.links[link].opened_at + FIRST_REQUEST_MICROS;
                if oracle.stopping_at.is_some() && self.sending == 0 && is_new {
                    self.promised = Some(0);
                }
            }
            self.sent_total += count as u64;
            self.active_at = kernel.now;
            let pause = if dribbles { DRIBBLE_MICROS } else { self.pace.pause };
            self.write_at = kernel.now + kernel.rng.below(pause);
            it.silent |= dribbles;
            if self.sent == item.bytes.len() {
                it.sent_at = Some(kernel.now);
                kernel.trace(format_args!("client {} sent request {}", self.number, item.request));
                self.sending += 1;
                self.sent = 0;
                let (least, most) = self.think_micros;
                self.write_at += kernel.rng.between(least, most);
                self.continued = false;
            }
        }
        self.leave_if_due(link, kernel, oracle);
    }

    fn dribbles(&self) -> bool {
        let slowly = |at| (at..at + DRIBBLES).contains(&self.sent_total);
        matches!(self.leave, Leave::Dribbles(at) if slowly(at))
    }

    fn leave_if_due(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        let all_sent = self.sending == self.items.len();
        match self.leave {
            Leave::HalfClosed if all_sent && !self.shut => {
                self.shut = true;
                kernel.peer_shut(link);
            }
            Leave::Closes(at) if self.sent_total >= at => self.abandon(false, link, kernel, oracle),
            Leave::Resets(at) if self.sent_total >= at => self.abandon(true, link, kernel, oracle),
            Leave::ResetsReading(at) if self.read_total >= at => {
                self.abandon(true, link, kernel, oracle);
            }
            Leave::Naps(at) if self.read_total >= at && !self.napped => {
                self.napped = true;
                self.read_at = kernel.now + NAP_MICROS;
                for item in &self.items {
                    oracle.requests[item.request].silent = true;
                }
            }
            Leave::StopsSending(at) if self.sent_total >= at && !self.silent => {
                self.fall_silent(oracle);
            }
            Leave::StopsReading(at) if self.read_total >= at && !self.silent => {
                self.fall_silent(oracle);
            }
            _ => {}
        }
    }

    fn fall_silent(&mut self, oracle: &mut Oracle) {
        self.silent = true;
        for item in &self.items {
            oracle.requests[item.request].silent = true;
        }
        if self.stopped_reading() {
            self.over = true;
        }
    }

    fn abandon(&mut self, resets: bool, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        for item in &self.items[self.answered..] {
            oracle.requests[item.request].aborted = true;
        }
        kernel.trace(format_args!("client {} leaves, reset: {resets}", self.number));
        self.over = true;
        if resets { kernel.peer_abort(link) } else { kernel.peer_close(link) }
    }

    // Reading.

    fn read(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        let most = 1 + kernel.rng.below(self.pace.read_most) as usize;
        self.read_at = kernel.now + kernel.rng.below(self.pace.pause);
        match kernel.peer_read(link, most) {
            Heard::Data(data) => {
                self.read_total += data.len() as u64;
                self.active_at = kernel.now;
                if !self.deaf {
                    self.input.extend(data);
                }
                while self.digest(link, kernel, oracle) {}
            }
            Heard::Nothing => {}
            Heard::End => self.connection_ended(false, link, kernel, oracle),
            Heard::Reset => self.connection_ended(true, link, kernel, oracle),
        }
    }

    /// Reads one head or what there is of a body; whether there may be more.
    fn digest(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) -> bool {
        if self.talker.is_some() || self.input.is_empty() {
            return false;
        }
        if self.reading.is_none() && !self.digest_head(link, kernel, oracle) {
            return false;
        }
        let Some(reading) = &mut self.reading else { return true };
        let mut content = Vec::new();
        reading.body.take(&mut self.input, &mut content, &mut reading.trailers);
        if let Some(answer) = reading.answer
            && oracle.answers[answer].unasked.is_none()
        {
            wire::compare(2 * answer as u64 + 1, reading.got, &content, "answer body");
        }
        reading.got += content.len() as u64;
        if reading.body == Body::Done {
            self.answer_complete(kernel, oracle);
            return true;
        }
        false
    }

    fn digest_head(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) -> bool {
        let before = self.read_total - self.input.len() as u64;
        let Some((head, used)) = wire::head(&self.input, &mut self.seen) else { return false };
        self.input.drain(..used);
        if crowd::is_refused(link, &head, kernel, oracle) {
            oracle.surplus += 1;
            self.abandon(true, link, kernel, oracle);
            return false;
        }
        let item = self.items.get(self.answered);
        let item = item.unwrap_or_else(|| panic!("client {}: answer to nothing", self.number));
        let request = item.request;
        let begun = self.sending > self.answered || self.sent > 0;
        assert!(begun, "client {}: answer to what was not sent", self.number);
        if head.first[1].starts_with('1') {
            return self.interim(&head, request, link, kernel, oracle);
        }
        let answer = oracle.check_answer(&head, request, kernel);
        // A server that has begun to answer is not left for another one.
        let hinted = self.hinted.take();
        assert!(hinted.is_none() || answer.is_none() || hinted == answer, "hinted {hinted:?}");
        let meant = &oracle.requests[request];
        let (is_head, is_old, keeps_alive) =
            (meant.method == "HEAD", meant.is_old, meant.keeps_alive);
        let refused = matches!(meant.fate, Fate::Refused(_));
        let status: u16 = head.first[1].parse().expect("a status");
        let bodiless = is_head || status == 204 || status == 304;
        let body = if bodiless { Body::Done } else { Body::of(&head).unwrap_or(Body::UntilClose) };
        assert!(!is_old || bodiless || head.one("transfer-encoding").is_none(), "chunked to 1.0");
        let connection = head.one("connection");
        assert!(matches!(connection, None | Some("close" | "keep-alive")), "{connection:?}");
        let closes = connection == Some("close")
            || body == Body::UntilClose
            || (is_old && connection != Some("keep-alive"));
        // Once the program is to stop, each response says that its connection ends (RFC 9112 §9.6).
        let is_stopping = kernel.links[link].is_made_while_stopping(before);
        assert!(
            !is_stopping || connection == Some("close"),
            "request {request}: goes on though the program is to stop: {head:?}"
        );
        assert!(keeps_alive || closes, "request {request} asked for the end: {head:?}");
        let most = oracle.keep_alive_requests.map_or(usize::MAX, |most| most as usize);
        let is_last = self.answered + 1 >= most;
        assert!(closes || !is_last, "request {request} is one too many to go on: {head:?}");
        assert!(closes || !refused, "the connection goes on behind request {request}: {head:?}");
        assert!(body != Body::UntilClose || is_old, "an end that 1.1 cannot tell: {head:?}");
        if closes && keeps_alive && answer.is_some() && !is_old {
            // A client that gets a response instead of the leave to send content may give it up.
            let may_give_up = meant.expect_is_seen;
            let may = oracle.stopping_at.is_some() || oracle.crowded || is_last || may_give_up;
            let may = may || kernel.unaccepted_at.or(kernel.shortage_at).is_some();
            assert!(may, "request {request} did not ask for the end: {head:?}");
        }
        self.closing |= closes;
        // Of a HEAD that was cut off or mutilated perhaps not even the method was read: its answer
        // has a page then.
        let shows = status != 408 && item.bytes.starts_with(b"HEAD ");
        if answer.is_none() && is_head && closes && !shows {
            self.input.clear();
            self.deaf = true;
        }
        // After a local answer to half a request nothing more will be understood. A server that has
        // answered may go on reading: then the other half follows.
        let whole = self.sending > self.answered;
        self.closing |= !whole && answer.is_none();
        self.may_close |= answer.is_some_and(|answer| oracle.answers[answer].early);
        self.reading = Some(Reading { answer, status, body, got: 0, trailers: Vec::new() });
        true
    }

    fn interim(
        &mut self,
        head: &wire::Head,
        request: usize,
        link: LinkId,
        kernel: &mut Kernel,
        oracle: &mut Oracle,
    ) -> bool {
        let meant = &oracle.requests[request];
        assert!(!meant.is_old, "an interim response to HTTP/1.0");
        assert_eq!(Body::of(head), None, "an interim response with a body: {head:?}");
        let hints = head.number("x-ans").map(|answer| answer as usize);
        match head.first[1].as_str() {
            "100" => {
                assert!(meant.expect || hints.is_some(), "a 100 nobody expects");
                let is_here = oracle.collects && hints.is_none();
                assert!(
                    !(is_here && self.leave_given),
                    "leave to send request {request} is given twice"
                );
                self.leave_given |= is_here;
                self.hinted = hints.or(self.hinted);
                self.continued = true;
                self.write_at = kernel.now;
            }
            "101" => {
                assert!(meant.upgrade, "a 101 nobody asked for");
                let answer = head.number("x-ans").expect("a server's 101") as usize;
                assert_eq!(oracle.answers[answer].request, request);
                assert_eq!(
                    (head.one("connection"), head.one("upgrade")),
                    (Some("upgrade"), Some("sim"))
                );
                let mut talker = Talker::new(oracle, kernel, self.patient, false);
                talker.hear(&std::mem::take(&mut self.input), oracle);
                self.talker = Some(talker);
                self.answered += 1;
                oracle.served += 1;
                kernel.wake_at(link, kernel.now + 1);
                return false;
            }
            _ => self.hinted = hints,
        }
        true
    }

    fn answer_complete(&mut self, kernel: &Kernel, oracle: &mut Oracle) {
        let Some(reading) = self.reading.take() else { return };
        let request = self.items[self.answered].request;
        kernel.trace(format_args!(
            "client {} has answer {:?} ({}) to request {request}",
            self.number, reading.answer, reading.status
        ));
        if let Some(answer) = reading.answer
            && oracle.answers[answer].unasked.is_none()
        {
            let meant = &oracle.answers[answer];
            assert_eq!(reading.got, meant.bytes, "answer {answer} looks complete but is not");
            let kept = meant.trailer && !oracle.requests[request].is_old;
            let kept: &[&str] = if kept { &["t: v"] } else { &[] };
            assert_eq!(reading.trailers, kept, "trailers of answer {answer}");
        }
        self.answered += 1;
        match reading.answer.is_some_and(|answer| oracle.answers[answer].early) {
            true => oracle.completed_early.push(request),
            false => oracle.completed += 1,
        }
        self.leave_given = false;
        self.answered_read = Some(Read { turn: kernel.turn, at: kernel.now });
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
        kernel.trace(format_args!("client {} meets the end, reset: {reset}", self.number));
        if let Some(Reading { body: Body::UntilClose, .. }) = &self.reading
            && !reset
        {
            self.answer_complete(kernel, oracle);
        }
        if reset {
            kernel.peer_abort(link)
        } else {
            kernel.peer_close(link)
        }
        let complete = self.answered == self.items.len() && self.reading.is_none();
        if complete && self.input.is_empty() {
            return;
        }
        let behind = self.closing && self.reading.is_none() && !self.input.is_empty();
        assert!(reset || !behind, "client {}: bytes behind the last answer", self.number);
        let idle = kernel.now - self.active_at >= oracle.silence_micros();
        let request = &oracle.requests[self.items[self.answered].request];
        let pipelined = self.sending > self.answered + 1
            || (self.sending == self.answered + 1 && self.sent > 0);
        let pipelined = pipelined || self.cut;
        let sent = &self.items[self.answered..self.items.len().min(self.sending + 1)];
        let mut sent = sent.iter().map(|item| &oracle.requests[item.request]);
        // The reset that shows a truncation takes away what is unread before it.
        let cuts = |it: &Request| it.cut || it.hung || it.is_broken();
        let reset_for_cut = reset && sent.clone().any(cuts);
        let truncated = match &self.reading {
            Some(reading) => reading.answer.is_some_and(|answer| oracle.answers[answer].cut),
            None => false,
        };
        // So does what is sent on behind a request that ends the connection.
        let may_end = sent.any(|it| !it.keeps_alive || it.is_old);
        let until_close = matches!(&self.reading, Some(Reading { body: Body::UntilClose, .. }));
        let discards = kernel.style.reset_discards || until_close;
        let lost = reset && discards && pipelined && may_end;
        let upgrades = |item: &Item| oracle.requests[item.request].upgrade;
        let upgrading = self.items.iter().any(upgrades) && oracle.fault_at.is_some();
        // What it sends after the end of an idle connection takes away the response before it.
        let is_lost = reset && kernel.style.reset_discards && pipelined;
        let is_promised = self.promised == Some(self.answered) && !is_lost && !request.silent;
        let excused = kernel.jumped
            || kernel.shortage_at.is_some()
            || kernel.is_header_late(link)
            || self.silent
            || self.napped
            || (oracle.stopping_at.is_some() && !is_promised)
            || request.is_broken()
            || upgrading;
        let between = self.reading.is_none() && (self.closing || self.may_close || idle);
        assert!(
            truncated
                || reset_for_cut
                || between
                || excused
                || lost
                || oracle.is_ended_as_slow(link, kernel),
            "client {} was left without an answer (reset: {reset}, reading {:?}) to {}",
            self.number,
            self.reading,
            self.request(oracle)
        );
    }
}
