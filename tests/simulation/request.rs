//! Draws requests and writes them out: valid ones of all kinds, and those of hostile clients.

use super::hostile;
use super::kernel::{Dice, Kernel};
use super::oracle::{Fate, Oracle, Request};
use super::server::{self, Manner};
use super::sessions::Cookie;
use super::wire;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{HeadLimits, Heads};

/// What is held of a request.
pub const HELD_BYTES: usize = 32 * 1024;

/// Most content of a request with an empty line before it: that line is not held.
const LED_BODY_MAX: u64 = 1_000;

/// The properties of its client.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Bytes go a few at a time: nothing long.
    pub slow: bool,
    /// Malformed requests, in permille.
    pub malice: u64,
    /// It sent a malformed one already: what follows on this connection is no request.
    pub spoilt: bool,
    /// All its requests have this method, and its connection stays.
    pub method: Option<&'static str>,
}

/// A request and its bytes.
#[derive(Debug)]
pub struct Item {
    pub request: usize,
    pub bytes: Vec<u8>,
    pub head_bytes: usize,
    /// So much is collected before a server gets any of it.
    pub collected: usize,
    pub expects: bool,
}

impl Item {
    /// How long the empty line before its request line is.
    pub fn empty_bytes(&self) -> usize {
        empty_bytes(&self.bytes)
    }
}

/// Draws a request and writes it out.
pub fn draw(
    is_last: bool,
    sender: Sender,
    manner: &Manner,
    kernel: &mut Kernel,
    oracle: &mut Oracle,
) -> Item {
    let id = oracle.requests.len();
    if kernel.rng.chance(sender.malice / 2) {
        let (bytes, statuses) = hostile::request(id, sender.slow, &mut kernel.rng);
        let fate = Fate::Refused(statuses);
        let method = "POST";
        oracle.requests.push(Request { method, fate, behind: sender.spoilt, ..Request::default() });
        let head_bytes = bytes.len();
        return Item { request: id, head_bytes, collected: head_bytes, bytes, expects: false };
    }
    let mut meant = draw_intent(is_last, sender, manner, oracle.in_redirect_mode, &mut kernel.rng);
    meant.expect_is_seen = meant.expect && !oracle.collects;
    meant.target = format!("/r/{id}/{}?q={}", kernel.rng.below(9), kernel.rng.below(9));
    let sends_trailer = meant.trailer;
    let cookie = oracle.sessions.draw_cookie(&mut kernel.rng);
    let mut bytes = head(&mut meant, id, cookie, &mut kernel.rng).into_bytes();
    drop_ambiguous_line(&mut bytes, &oracle.head);
    meant.trailer &= !oracle.edits.drop_trailers(Heads::Up);
    let head_bytes = bytes.len();
    if let Some(statuses) = beyond_limits(&bytes, &oracle.head) {
        meant.fate = Fate::Refused(statuses);
    }
    let content = wire::bytes(2 * id as u64, meant.body_bytes);
    if meant.is_broken() {
        let right = kernel.rng.below(meant.body_bytes + 1) as usize;
        server::chunk(&content[..right], None, kernel, &mut bytes);
        let (bad, statuses) = hostile::chunks(&mut kernel.rng);
        bytes.extend(bad);
        // Without room for a trailer field it may be that which is refused first.
        meant.fate = Fate::Broken(match has_room_for_trailer(&bytes[..head_bytes], &oracle.head) {
            true => statuses,
            false => &[400, 431],
        });
    } else if meant.chunked {
        server::chunk(&content, Some(sends_trailer), kernel, &mut bytes);
    } else {
        bytes.extend(content);
    }
    let is_served = meant.fate == Fate::Served;
    if is_served && sends_trailer && !has_room_for_trailer(&bytes[..head_bytes], &oracle.head) {
        meant.fate = Fate::Broken(&[431]);
    }
    let expects = meant.expect;
    meant.collected = if oracle.collects { bytes.len().min(HELD_BYTES) } else { head_bytes };
    let collected = meant.collected;
    oracle.requests.push(meant);
    Item { request: id, bytes, head_bytes, collected, expects }
}

/// An empty line before the request counts for the limit if its bytes come apart: a head that
/// is within the limit without it alone has none.
fn drop_ambiguous_line(head: &mut Vec<u8>, limits: &HeadLimits) {
    let empty = empty_bytes(head);
    if head.len() > limits.bytes as usize && head.len() - empty <= limits.bytes as usize {
        head.drain(..empty);
    }
}

/// How long the empty line before a request line is.
fn empty_bytes(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count()
}

/// The limit on field lines is for the head and the trailer section together.
fn has_room_for_trailer(head: &[u8], limits: &HeadLimits) -> bool {
    field_lines(head) < limits.fields as usize
}

fn field_lines(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head);
    let lines = text.trim_start_matches("\r\n").split("\r\n").skip(1);
    lines.filter(|line| !line.is_empty()).count()
}

/// The status for a head that is larger than the limits allow.
fn beyond_limits(head: &[u8], limits: &HeadLimits) -> Option<&'static [u16]> {
    let text = String::from_utf8_lossy(head);
    let first = text.trim_start_matches("\r\n").split("\r\n").next();
    let target = first.and_then(|line| line.split(' ').nth(1)).map_or(0, str::len);
    match target > limits.target as usize {
        true => Some(&[414, 431]),
        false if field_lines(head) > limits.fields as usize => Some(&[431]),
        false => (head.len() > limits.bytes as usize).then_some(&[431][..]),
    }
}

fn draw_intent(
    is_last: bool,
    sender: Sender,
    manner: &Manner,
    in_redirect_mode: bool,
    rng: &mut Rng,
) -> Request {
    const METHODS: [&str; 13] = [
        "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PUT", "DELETE", "OPTIONS", "PATCH",
        "M-SEARCH", "get",
    ];
    let drawn = METHODS[rng.below(METHODS.len() as u64) as usize];
    let (method, stays) = (sender.method.unwrap_or(drawn), sender.method.is_some());
    let is_old = rng.chance(120) && !stays;
    let ends = rng.chance(if is_last { 300 } else { 60 }) && !stays;
    let keeps_alive = !ends && (!is_old || rng.chance(500));
    let has_body = matches!(method, "POST" | "PUT" | "PATCH") || rng.chance(50);
    let most = [1, 300, 5_000, manner.body_max][rng.below(4) as usize];
    let most = if sender.slow { most.min(400) } else { most };
    let body_bytes = if has_body { rng.below(most) } else { 0 };
    let chunked = has_body && !is_old && rng.chance(400);
    let expect =
        has_body && body_bytes > 0 && !is_old && !in_redirect_mode && !stays && rng.chance(250);
    let upgrade = is_last && !has_body && !is_old && keeps_alive && !stays && rng.chance(200);
    let broken = chunked && rng.chance(sender.malice * 2);
    let long = rng.chance(100) && !sender.slow;
    let pad_most = if long { manner.body_max.min(9_000) } else { 60 };
    Request {
        method,
        fate: if broken { Fate::Broken(&[]) } else { Fate::Served },
        behind: sender.spoilt,
        is_old,
        keeps_alive,
        body_bytes,
        chunked,
        trailer: chunked && rng.chance(300),
        expect,
        upgrade,
        authority: (!is_old || rng.chance(500)).then(|| "here".to_string()),
        is_absolute: rng.chance(80),
        pad: "q".repeat(rng.below(pad_most) as usize),
        ..Request::default()
    }
}

/// The field lines of a request, and those among them that its server must see.
struct Lines<'a> {
    text: Vec<String>,
    seen: Vec<(String, String)>,
    rng: &'a mut Rng,
}

impl Lines<'_> {
    /// A line as unusual as is allowed; one for the next hop only is not forwarded.
    fn add(&mut self, name: &str, value: &str, is_seen: bool) {
        let written = match self.rng.below(6) {
            0 => name.to_ascii_lowercase(),
            1 => name.to_ascii_uppercase(),
            _ => name.to_string(),
        };
        let space = ["", " ", " ", " ", "\t ", "    "][self.rng.below(6) as usize];
        let end = ["", "", "", " ", "\t"][self.rng.below(5) as usize];
        self.text.push(format!("{written}:{space}{value}{end}\r\n"));
        if is_seen {
            let value = value.bytes().map(char::from).collect();
            self.seen.push((name.to_ascii_lowercase(), value));
        }
    }
}

fn head(meant: &mut Request, id: usize, cookie: Option<Cookie>, rng: &mut Rng) -> String {
    let version = if meant.is_old { "1.0" } else { "1.1" };
    let origin = if meant.is_absolute { "http://there:80" } else { "" };
    // Empty lines before a request are to be ignored (RFC 9112 §2.2).
    let lead = if meant.body_bytes < LED_BODY_MAX && rng.chance(50) { "\r\n" } else { "" };
    let first = format!("{lead}{} {origin}{} HTTP/{version}\r\n", meant.method, meant.target);
    let mut lines = Lines { text: Vec::new(), seen: Vec::new(), rng };
    if let Some(host) = &meant.authority {
        lines.add("Host", host, !meant.is_absolute);
    }
    if meant.is_absolute {
        meant.authority = Some("there:80".to_string());
        lines.seen.push(("host".to_string(), "there:80".to_string()));
    }
    let sends_trailer = meant.trailer;
    add_connection(meant, &mut lines);
    add_others(meant, id, &mut lines);
    if let Some(Cookie { text, seen, session }) = cookie {
        lines.add("Cookie", &text, false);
        let seen = seen.map(|seen| ("cookie".to_string(), seen));
        lines.seen.extend(seen);
        meant.session = session;
    }
    if meant.expect {
        lines.add("Expect", "100-continue", meant.expect_is_seen);
    }
    let names_length = meant.body_bytes > 0 || meant.method == "POST";
    if meant.chunked {
        let coding = ["chunked", "chunked", "Chunked", ", chunked ,"][lines.rng.below(4) as usize];
        lines.add("Transfer-Encoding", coding, false);
        lines.seen.push(("transfer-encoding".to_string(), "chunked".to_string()));
    } else if names_length {
        lines.add("Content-Length", &meant.body_bytes.to_string(), true);
    }
    if sends_trailer {
        lines.add("Trailer", "T", true);
    }
    let Lines { text, seen, .. } = lines;
    meant.seen = seen;
    first + &text.concat() + "\r\n"
}

/// `Connection` in one line or two, with what it takes away and what it cannot.
fn add_connection(meant: &mut Request, lines: &mut Lines<'_>) {
    let mut options = Vec::new();
    match (meant.upgrade, meant.keeps_alive, meant.is_old) {
        (true, _, _) => {
            options.push("Upgrade");
            lines.add("Upgrade", "sim", false);
        }
        (_, false, false) => options.push("close"),
        (_, true, true) => options.push("Keep-Alive"),
        (_, false, true) | (_, true, false) => {}
    }
    if lines.rng.chance(300) {
        options.push(["X-Hop", "x-hop", ",X-HOP, "][lines.rng.below(3) as usize]);
        lines.add("X-Hop", "1", false);
    }
    if lines.rng.chance(100) {
        // They carry routing and framing: listing them changes nothing.
        options.push(["Host", "Content-Length", "transfer-encoding"][lines.rng.below(3) as usize]);
    }
    // Other listed names may be among the trailers, so these are not forwarded.
    meant.trailer &= options.iter().all(|it| ["close", "Keep-Alive", "Upgrade"].contains(it));
    if lines.rng.chance(200) {
        lines.add("TE", "trailers", false);
        lines.add("Proxy-Connection", "x", false);
        lines.add("Keep-Alive", "5", false);
    }
    if options.len() > 1 && lines.rng.chance(500) {
        lines.add("Connection", &options.split_off(1).join(", "), false);
    }
    if !options.is_empty() {
        lines.add("Connection", &options.join(","), false);
    }
}

fn add_others(meant: &mut Request, id: usize, lines: &mut Lines<'_>) {
    lines.add("X-Req", &id.to_string(), true);
    lines.add("X-Pad", &meant.pad, true);
    if lines.rng.chance(100) {
        lines.add("Cookie", "a=\u{e4}", true);
        lines.add("Cookie", "", true);
        lines.add("Via", "1.0 before", true);
        lines.add("Range", "bytes=0-1", true);
    }
    if lines.rng.chance(100) {
        for (name, value) in FORGED {
            lines.add(name, value, false);
        }
        meant.forges = true;
    }
}

/// Fields of a client about itself: forwarded when clients are trusted.
pub const FORGED: [(&str, &str); 4] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "elsewhere"),
    ("X-Forwarded-For", "7.7.7.7"),
];
