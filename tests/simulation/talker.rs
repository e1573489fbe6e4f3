//! One side of a tunnel or a TCP session: sends its number, then its stream; checks the other's.

use super::client::NAP_MICROS;
use super::kernel::{Dice, Heard, Kernel, LinkId};
use super::oracle::Oracle;
use super::wire;
use loadbalancer::wire::proxy_protocol::{self, Named, Parse};

/// How much a peer reads and writes at once, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub read_most: u64,
    pub write_most: u64,
    /// Longest pause between two reads or writes, in microseconds.
    pub pause: u64,
}

impl Pace {
    pub fn draw(kernel: &mut Kernel) -> Pace {
        let rng = &mut kernel.rng;
        let sizes = [3, 50, 700, 20_000, 200_000];
        let read_most = sizes[rng.below(5) as usize];
        let write_most = sizes[rng.below(5) as usize];
        let pause = if read_most.min(write_most) < 100 { 100 } else { 1_500 };
        Pace { read_most: read_most.max(20), write_most, pause: rng.below(pause) + 1 }
    }
}

#[derive(Debug)]
pub struct Talker {
    side: usize,
    /// What is left to send of the line with its number.
    tag: Vec<u8>,
    sent: u64,
    total: u64,
    /// After sending this much it waits until it has read this much.
    gate: Option<(u64, u64)>,
    /// Sends its end only after it has read the other's.
    waits_for_end: bool,
    reset_at: Option<u64>,
    /// Reads nothing for a long time, having read so much.
    naps_at: Option<u64>,
    read_at: u64,
    /// What has come of the PROXY header; none where there is none, or no longer.
    header: Option<Vec<u8>>,
    line: Vec<u8>,
    other: Option<usize>,
    got: u64,
    heard_end: bool,
    finished: bool,
    pub over: bool,
    pace: Pace,
}

impl Talker {
    /// `patient` sides wait for the other at times; only one of two may be.
    pub fn new(oracle: &mut Oracle, kernel: &mut Kernel, patient: bool, faulty: bool) -> Talker {
        let pace = Pace::draw(kernel);
        let slow = pace.read_most.min(pace.write_most) < 100 || kernel.style.buffer_max < 100;
        let most = if slow { 600 } else { 60_000 };
        let rng = &mut kernel.rng;
        let total = if rng.chance(200) { 0 } else { rng.below(most) };
        let side = oracle.new_side(total);
        let gate = (patient && rng.chance(500)).then(|| (rng.below(total + 1), 1));
        let waits_for_end = patient && rng.chance(300);
        let naps_at = (faulty && rng.chance(250)).then(|| rng.below(5_000));
        let reset_at = (faulty && rng.chance(300)).then(|| rng.below(total + 1));
        Talker {
            side,
            tag: format!("{side}\n").into_bytes(),
            sent: 0,
            total,
            gate,
            waits_for_end,
            reset_at,
            naps_at,
            read_at: 0,
            header: None,
            line: Vec::new(),
            other: None,
            got: 0,
            heard_end: false,
            finished: false,
            over: false,
            pace,
        }
    }

    /// A PROXY header comes first.
    pub fn expect_header(&mut self) {
        self.header = Some(Vec::new());
    }

    pub fn side(&self) -> usize {
        self.side
    }

    pub fn step(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        if self.over {
            return;
        }
        let awake = kernel.now >= self.read_at;
        let most = self.pace.read_most as usize;
        match if awake { kernel.peer_read(link, most) } else { Heard::Nothing } {
            Heard::Data(data) => self.hear(&data, oracle),
            Heard::Nothing => {}
            Heard::End if self.heard_end => {}
            Heard::End => self.hear_end(kernel, oracle),
            Heard::Reset => return self.hear_reset(link, kernel, oracle),
        }
        self.talk(link, kernel, oracle);
        if self.over {
            return;
        }
        if self.finished && self.heard_end {
            self.over = true;
            return kernel.peer_close(link);
        }
        if self.naps_at.is_some_and(|at| self.got >= at) {
            self.naps_at = None;
            self.read_at = kernel.now + NAP_MICROS;
            oracle.sides[self.side].napped = true;
        }
        let hears = kernel.peer_hears(link) && !self.heard_end;
        if hears && kernel.now < self.read_at {
            kernel.wake_at(link, self.read_at);
        } else if hears || (self.may_talk() && kernel.peer_room(link) > 0) {
            let at = kernel.now + 1 + kernel.rng.below(self.pace.pause);
            kernel.wake_at(link, at);
        }
    }

    /// It has read the other side's number.
    pub fn has_met(&self) -> bool {
        self.other.is_some()
    }

    pub fn has_reset(&self, oracle: &Oracle) -> bool {
        oracle.sides[self.side].reset
    }

    /// Takes bytes the other side sent.
    pub fn hear(&mut self, data: &[u8], oracle: &mut Oracle) {
        assert!(!self.heard_end, "side {} hears bytes behind the end", self.side);
        let rest = self.hear_header(data, oracle);
        let mut data = &rest[..];
        if self.other.is_none() {
            let end = data.iter().position(|&byte| byte == b'\n');
            let (tag, rest) = data.split_at(end.map_or(data.len(), |end| end + 1));
            self.line.extend_from_slice(tag);
            data = rest;
            if end.is_some() {
                let text = String::from_utf8_lossy(&self.line);
                let other = text.trim().parse().unwrap_or_else(|_| panic!("a tag: {text:?}"));
                oracle.join(self.side, other);
                self.other = Some(other);
            }
        }
        if let (Some(other), false) = (self.other, data.is_empty()) {
            wire::compare(wire::TUNNELS + other as u64, self.got, data, "tunnel");
            self.got += data.len() as u64;
        }
    }

    /// Takes the PROXY header, if one is expected; what follows it.
    fn hear_header(&mut self, data: &[u8], oracle: &mut Oracle) -> Vec<u8> {
        let Some(header) = &mut self.header else { return data.to_vec() };
        header.extend_from_slice(data);
        match proxy_protocol::parse(header) {
            Parse::Partial => Vec::new(),
            Parse::Complete { bytes, named } => {
                if let Named::Client(ends) = named {
                    oracle.sides[self.side].ends = Some(ends);
                }
                let rest = header.split_off(bytes);
                self.header = None;
                rest
            }
            Parse::Malformed(fault) => panic!("{header:?} is no header: {}", fault.reason()),
        }
    }

    fn hear_end(&mut self, kernel: &Kernel, oracle: &mut Oracle) {
        self.heard_end = true;
        self.gate = None;
        if let Some(other) = self.other {
            let it = &oracle.sides[other];
            assert!(
                it.finished && it.total == self.got,
                "side {} hears an end after {} bytes, {other} meant {it:?}",
                self.side,
                self.got
            );
            oracle.tunnelled += 1;
        } else {
            let has_failed = oracle.fault_at.is_some() && !oracle.one_fails;
            let excused = has_failed || kernel.shortage_at.is_some();
            let is_probe = self.line.is_empty();
            assert!(excused || is_probe || kernel.jumped, "side {} hears a bare end", self.side);
        }
    }

    fn hear_reset(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        let other = self.other.map(|other| &oracle.sides[other]);
        let ended = other.is_some_and(|other| other.reset || (other.finished && self.finished));
        let excused = self.other.is_none() || oracle.stopping_at.is_some() || kernel.jumped;
        let hung = oracle.nameless_hang_at.is_some() || kernel.shortage_at.is_some();
        let napped = other.is_some_and(|other| other.napped) || oracle.sides[self.side].napped;
        assert!(
            ended || excused || hung || napped,
            "side {} is reset, other: {other:?}",
            self.side
        );
        self.over = true;
        oracle.sides[self.side].reset = true;
        kernel.peer_abort(link);
    }

    fn may_talk(&self) -> bool {
        if !self.tag.is_empty() {
            return true;
        }
        let (gate, needs) = self.gate.unwrap_or((u64::MAX, 0));
        let limit = if self.got >= needs { self.total } else { self.total.min(gate) };
        let may_end = !self.waits_for_end || self.heard_end;
        self.sent < limit || (self.sent == self.total && may_end && !self.finished)
    }

    fn talk(&mut self, link: LinkId, kernel: &mut Kernel, oracle: &mut Oracle) {
        if !self.may_talk() {
            return;
        }
        let (gate, needs) = self.gate.unwrap_or((u64::MAX, 0));
        let limit = if self.got >= needs { self.total } else { self.total.min(gate) };
        let most = 1 + kernel.rng.below(self.pace.write_most);
        let room = (kernel.peer_room(link) as u64).min(most);
        let tag = std::mem::take(&mut self.tag);
        let end = (self.sent + room).min(limit);
        let stream = wire::TUNNELS + self.side as u64;
        let body = (self.sent..end).map(|at| wire::byte(stream, at));
        let bytes: Vec<u8> = tag.iter().copied().chain(body).collect();
        if !bytes.is_empty() {
            let Some(count) = kernel.peer_write(link, &bytes) else {
                return self.hear_reset(link, kernel, oracle);
            };
            self.tag = tag[count.min(tag.len())..].to_vec();
            self.sent += count.saturating_sub(tag.len()) as u64;
        }
        if self.reset_at.is_some_and(|at| self.sent >= at) && self.tag.is_empty() {
            self.over = true;
            oracle.sides[self.side].reset = true;
            oracle.fault_at = Some(kernel.now);
            return kernel.peer_abort(link);
        }
        let may_end = !self.waits_for_end || self.heard_end;
        if self.sent == self.total && self.tag.is_empty() && may_end && !self.finished {
            self.finished = true;
            oracle.sides[self.side].finished = true;
            kernel.peer_shut(link);
        }
    }
}
