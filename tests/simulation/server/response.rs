//! The responses of scripted servers, valid or not.

use super::super::hostile;
use super::super::kernel::{Dice, Kernel};
use super::super::oracle::{Answer, Oracle, Request};
use super::super::wire;
use super::{Cut, ServerConn};
use loadbalancer::base::rng::Rng;
use loadbalancer::config::Heads;

impl ServerConn {
    /// Writes the response to the current request, valid or not.
    pub(super) fn compose(&mut self, kernel: &mut Kernel, oracle: &mut Oracle, early: bool) {
        let Some(request) = self.request else { return };
        let number = oracle.answers.len();
        let meant = &oracle.requests[request];
        let mut out = std::mem::take(&mut self.out);
        out.drain(..self.out_at);
        self.out_at = 0;
        let start = out.len();
        out.extend(hints(number, meant.is_old, &mut kernel.rng).into_bytes());
        let hinted = out.len();
        kernel.links[self.link].idling.has_interim |= hinted > start;
        let answer = if kernel.rng.chance(self.manner.faults / 4) {
            out.extend(match meant.upgrade && kernel.rng.chance(500) {
                true => hostile::switch(number),
                false => hostile::answer(number, self.is_slow(), &mut kernel.rng),
            });
            self.end_anyhow(out.len(), kernel);
            self.leave_unanswered(oracle);
            Answer { spoilt: true, cut: true, ..Answer::default() }
        } else {
            let drawn = self.draw_answer(number, meant, &mut kernel.rng);
            out.extend(drawn.head().into_bytes());
            self.head_end = out.len();
            oracle.beliefs.of_site(self.site).errors += u32::from(drawn.status >= 500);
            let cut = self.write_content(&drawn, &mut out, kernel);
            if !cut {
                self.cut = self.draw_cut(kernel, start, hinted, out.len());
            }
            if let (true, Some(Cut::Close(at))) = (self.until_close, self.cut) {
                // An early end would be valid.
                self.cut = Some(Cut::Reset(at));
            }
            let Drawn { status, pad, .. } = drawn;
            let is_dropped = drawn.lists || oracle.edits.drop_trailers(Heads::Down);
            let trailer = drawn.trailer && !is_dropped;
            let bytes = if drawn.bodiless { 0 } else { drawn.bytes };
            Answer { status, bytes, trailer, pad, cut, ..Answer::default() }
        };
        if answer.cut {
            oracle.cut(Some(request), kernel.now);
            oracle.spoilt += 1;
        }
        kernel.trace(format_args!(
            "conn {} composes answer {number} to {request}, early: {early}, {:?}, {answer:?}",
            self.number, self.cut
        ));
        oracle.answers.push(Answer { request, early, site: self.site, ..answer });
        self.out = out;
        self.write_at = kernel.now + kernel.delay();
        self.answer = Some(number);
    }

    fn is_slow(&self) -> bool {
        self.pace.write_most < 100
    }

    /// After a malformed response the server may do anything, or nothing.
    fn end_anyhow(&mut self, at: usize, kernel: &mut Kernel) {
        (self.tunnels, self.until_close, self.closes) = (false, false, kernel.rng.chance(500));
        self.cut = [None, Some(Cut::Close(at)), Some(Cut::Reset(at)), Some(Cut::Hang(at))]
            [kernel.rng.below(4) as usize];
    }

    fn draw_answer(&mut self, number: usize, meant: &Request, rng: &mut Rng) -> Drawn {
        let switches = meant.upgrade && rng.chance(700);
        let is_head = meant.method == "HEAD";
        let status = match rng.below(12) {
            _ if switches => 101,
            0 => 204,
            1 => 304,
            2 => 404,
            3 => 500,
            _ => 200,
        };
        let bodiless = is_head || matches!(status, 101 | 204 | 304);
        let most = [1, 200, 3_000, self.manner.body_max][rng.below(4) as usize];
        let most = if self.is_slow() { most.min(400) } else { most };
        let bytes = if matches!(status, 101 | 204 | 304) { 0 } else { rng.below(most) };
        let pad_most = if rng.chance(100) { self.manner.body_max.min(6_000) } else { 60 };
        let pad = "p".repeat(rng.below(pad_most) as usize);
        let framing = match bodiless {
            true => 0,
            // Without a length a response ends with its connection.
            false => rng.below(if self.manner.closes == 0 { 2 } else { 3 }),
        };
        self.tunnels = switches;
        self.until_close = framing == 2;
        let is_last = self.manner.keeps.announced.is_some_and(|most| self.served + 1 >= most);
        self.closes = framing == 2 || is_last || rng.chance(self.manner.closes);
        Drawn {
            number,
            status,
            framing,
            bytes,
            bodiless,
            trailer: framing == 1 && rng.chance(300),
            lists: rng.chance(300),
            switches,
            closes: self.closes,
            says: rng.chance(300),
            quirk: match rng.below(40) {
                0 => Quirk::BareLf,
                1 => Quirk::LengthTwice,
                2 => Quirk::LengthList,
                _ => Quirk::None,
            },
            version: if framing == 2 && rng.chance(300) { "1.0" } else { "1.1" },
            pad,
        }
    }

    /// The body, at times not as the head announces it; whether it can never be complete.
    fn write_content(&mut self, drawn: &Drawn, out: &mut Vec<u8>, kernel: &mut Kernel) -> bool {
        if drawn.bodiless {
            return false;
        }
        let content = wire::bytes(2 * drawn.number as u64 + 1, drawn.bytes);
        let lies = kernel.rng.chance(self.manner.faults / 4);
        let right = kernel.rng.below(drawn.bytes.max(1)) as usize;
        match drawn.framing {
            0 if lies && drawn.bytes > 0 => {
                out.extend(&content[..right]);
                let at = out.len();
                self.cut = Some(
                    [Cut::Close(at), Cut::Reset(at), Cut::Hang(at)][kernel.rng.below(3) as usize],
                );
                return true;
            }
            1 if lies => {
                chunk(&content[..right], None, kernel, out);
                out.extend(hostile::chunks(&mut kernel.rng).0);
                self.end_anyhow(out.len(), kernel);
                return true;
            }
            1 => chunk(&content, Some(drawn.trailer), kernel, out),
            _ => out.extend(content),
        }
        false
    }

    fn draw_cut(
        &self,
        kernel: &mut Kernel,
        start: usize,
        hinted: usize,
        end: usize,
    ) -> Option<Cut> {
        if !kernel.rng.chance(self.manner.faults) {
            return None;
        }
        let at = match kernel.rng.below(4) {
            0 => start,
            1 => hinted,
            2 => start + kernel.rng.below(60) as usize,
            _ => start + kernel.rng.below((end - start) as u64) as usize,
        };
        let at = at.min(end - 1);
        Some([Cut::Close(at), Cut::Reset(at), Cut::Hang(at)][kernel.rng.below(3) as usize])
    }
}

/// Chunks of all sizes, extensions now and then; then the end, perhaps with a trailer field.
pub fn chunk(content: &[u8], trailer: Option<bool>, kernel: &mut Kernel, out: &mut Vec<u8>) {
    let mut rest = content;
    while !rest.is_empty() {
        let most = if kernel.rng.chance(300) { 20 } else { 9_000 };
        let count = (1 + kernel.rng.below(most) as usize).min(rest.len());
        let extension = [";x=\"y\"", ";x", " ; a=b;c", "", "", "", "", "", "", ""]
            [kernel.rng.below(10) as usize];
        let zeros = if kernel.rng.chance(50) { "000" } else { "" };
        out.extend_from_slice(format!("{zeros}{count:x}{extension}\r\n").as_bytes());
        out.extend_from_slice(&rest[..count]);
        out.extend_from_slice(b"\r\n");
        rest = &rest[count..];
    }
    match trailer {
        None => {}
        Some(false) => out.extend_from_slice(b"0\r\n\r\n"),
        Some(true) => out.extend_from_slice(b"0\r\nT: v\r\n\r\n"),
    }
}

/// Interim answers, perhaps several.
fn hints(number: usize, is_old: bool, rng: &mut Rng) -> String {
    const LINES: [&str; 4] = ["103 Early Hints", "103 ", "100 Continue", "199 Odd"];
    let mut head = String::new();
    let most = if rng.chance(50) { 12 } else { 3 };
    for _ in 0..rng.below(most) {
        if !is_old && rng.chance(400) || rng.chance(50) {
            let line = LINES[rng.below(4) as usize];
            head += &format!("HTTP/1.1 {line}\r\nX-Ans: {number}\r\n\r\n");
        }
    }
    head
}

/// What servers get wrong that is repaired, as there is one way to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quirk {
    None,
    /// Lines of the head end in a bare LF.
    BareLf,
    /// The length is said in two lines, or twice in one.
    LengthTwice,
    LengthList,
}

/// What was drawn for a final answer.
struct Drawn {
    number: usize,
    status: u16,
    framing: u64,
    bytes: u64,
    bodiless: bool,
    trailer: bool,
    /// `Connection` names another field, perhaps one of the trailers: so these go no further.
    lists: bool,
    switches: bool,
    closes: bool,
    /// Its `Keep-Alive` counts.
    says: bool,
    quirk: Quirk,
    version: &'static str,
    pad: String,
}

impl Drawn {
    fn head(&self) -> String {
        let Drawn { number, status, bytes, version, pad, .. } = self;
        let mut head = format!("HTTP/{version} {status} Reason here\r\nX-Ans: {number}\r\n");
        head += &format!("X-Answer-Pad: {pad}\r\nKeep-Alive: timeout=5\r\n");
        head += match (self.switches, self.closes) {
            (true, _) => "Connection: Upgrade\r\nUpgrade: sim\r\n",
            (false, true) if !self.lists => "Connection: close\r\n",
            (false, false) if !self.lists && self.says => "Connection: keep-alive\r\n",
            (false, false) if !self.lists => "",
            (false, true) => "Connection: X-Hop, close\r\nX-Hop: 1\r\n",
            (false, false) => "Connection: x-hop\r\nX-Hop: 1\r\n",
        };
        match self.framing {
            0 if matches!(status, 101 | 204) => {}
            0 => {
                head += &format!("Content-Length: {bytes}\r\n");
                match self.quirk {
                    Quirk::LengthTwice => head += &format!("Content-Length: {bytes}\r\n"),
                    Quirk::LengthList => head.insert_str(head.len() - 2, &format!(", {bytes}")),
                    Quirk::None | Quirk::BareLf => {}
                }
            }
            1 if self.trailer => head += "Transfer-Encoding: chunked\r\nTrailer: T\r\n",
            1 => head += "Transfer-Encoding: chunked\r\n",
            _ => {}
        }
        head += "\r\n";
        if self.quirk == Quirk::BareLf { head.replace("\r\n", "\n") } else { head }
    }
}
