//! Every request, response and side of a tunnel as it was sent; the peers compare what they receive
//! with it. A local response must be justified by what happened.

use super::beliefs::Beliefs;
use super::edits::Edits;
use super::kernel::{End, Kernel, LinkId, Unasked};
use super::names::Names;
use super::rates::Rates;
use super::sessions::Sessions;
use super::waiting::Read;
use super::wire::Head;
use loadbalancer::config::{Config, HeadLimits, Mode, TrustedProxies};
use loadbalancer::proxy::Limits;
use loadbalancer::wire::proxy_protocol::Ends;
use std::num::NonZeroU64;

/// Longest that a pooled connection is kept.
const POOLED_MICROS: u64 = 3_000_000;

/// Fields an answer may have when a client reads it.
const IN_ANSWERS: [&str; 10] = [
    "x-ans",
    "x-answer-pad",
    "x-set-down",
    "set-cookie",
    "trailer",
    "date",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
];

/// What must become of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Served,
    /// No byte of it may be forwarded; its client gets one of these.
    Refused(&'static [u16]),
    /// Its chunked framing is broken somewhere: no server may take it for complete, and its client
    /// gets one of these if it is this program that answers.
    Broken(&'static [u16]),
}

/// A request as its client meant it.
#[derive(Debug, Default)]
pub struct Request {
    pub method: &'static str,
    pub fate: Fate,
    /// Its client sent something before that must not be followed by anything.
    pub behind: bool,
    /// As a server must see it.
    pub target: String,
    pub is_old: bool,
    pub keeps_alive: bool,
    pub body_bytes: u64,
    pub chunked: bool,
    /// Its trailer section is forwarded.
    pub trailer: bool,
    /// Its client waits for leave to send its body, and a server hears of that.
    pub expect: bool,
    pub expect_is_seen: bool,
    pub upgrade: bool,
    /// Its authority, if it has one, and whether that is in its target.
    pub authority: Option<String>,
    pub is_absolute: bool,
    /// Its client sends fields about another client.
    pub forges: bool,
    pub pad: String,
    /// What its cookie says.
    pub session: Option<NonZeroU64>,
    /// Field lines a server must see, but for those the balancer adds.
    pub seen: Vec<(String, String)>,
    /// The address it comes from.
    pub ip: String,
    /// When its first byte was sent, the first one of its request line, and its last one.
    pub begun_at: Option<u64>,
    pub line_at: Option<u64>,
    pub sent_at: Option<u64>,
    /// The connection of its client.
    pub link: Option<LinkId>,
    /// When the proxy had read of it what is collected before a server gets it: its head, and its
    /// body as far as both are held.
    pub ready: Option<Read>,
    /// So many bytes that is.
    pub collected: usize,
    /// Connections to servers on which it was begun.
    pub links: Vec<LinkId>,
    /// How often it was taken from a server that had not failed.
    pub taken: u32,
    /// Server connections that read a byte of it.
    pub deliveries: Vec<usize>,
    /// When a server last read of it.
    pub read_at: Option<u64>,
    /// A server that had it cut it off, and one that had it fell silent.
    pub cut: bool,
    pub hung: bool,
    /// Its client stops sending or reading for ever.
    pub silent: bool,
    /// Its client closed on purpose.
    pub aborted: bool,
}

impl Request {
    /// Whether its server closed the connection on which it was begun when that was idle.
    pub fn is_lost(&self, kernel: &Kernel) -> bool {
        let last = self.links.last().map(|&link| &kernel.links[link]);
        last.is_some_and(|link| link.idling.is_closed && link.requests > 1)
    }

    /// Whether its chunked framing is broken.
    pub fn is_broken(&self) -> bool {
        matches!(self.fate, Fate::Broken(_))
    }

    /// Whether it must not be repeated, whatever its size.
    pub fn is_unrepeatable(&self) -> bool {
        let is_idempotent = matches!(self.method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS");
        self.chunked || !is_idempotent
    }
}

/// An answer as its server meant it.
#[derive(Debug, Default)]
pub struct Answer {
    pub request: usize,
    /// The address of its server.
    pub site: usize,
    pub status: u16,
    pub bytes: u64,
    pub trailer: bool,
    pub pad: String,
    /// No byte of it may reach a client.
    pub spoilt: bool,
    /// Unsolicited: it came over this link.
    pub unasked: Option<LinkId>,
    /// Begun before the whole request had come.
    pub early: bool,
    /// The server stopped inside it.
    pub cut: bool,
}

/// One side of a tunnel.
#[derive(Debug, Default)]
pub struct Side {
    pub total: u64,
    pub finished: bool,
    pub reset: bool,
    pub napped: bool,
    pub other: Option<usize>,
    /// Of a client, whom the proxy has to take it for; of a server, whom a PROXY header names.
    pub ends: Option<Ends>,
}

/// A client that was ended because of `--min-rate`, as the log says.
#[derive(Debug)]
pub struct SlowEnd {
    ip: String,
    /// When, by the clock of the proxy.
    clock: u64,
    /// The connection that it was about.
    link: Option<LinkId>,
}

#[derive(Debug, Default)]
pub struct Oracle {
    pub requests: Vec<Request>,
    pub names: Names,
    /// Nothing fails but handshakes with one server of several.
    pub one_fails: bool,
    /// Clients speak TLS.
    pub is_tls: bool,
    pub answers: Vec<Answer>,
    pub sides: Vec<Side>,
    /// Sessions whose client a header named.
    pub introduced: u64,
    pub beliefs: Beliefs,
    /// When a server last failed in any way, and without having read whose request it was.
    pub fault_at: Option<u64>,
    pub nameless_cut_at: Option<u64>,
    pub nameless_hang_at: Option<u64>,
    /// When SIGTERM was sent.
    pub stopping_at: Option<u64>,
    /// Requests from this one on come after all faults.
    pub epilogue_from: Option<usize>,
    /// There are more clients than the limit.
    pub crowded: bool,
    pub clients_max: usize,
    /// How many servers may see a request.
    pub attempts_max: usize,
    pub queue_micros: u64,
    pub keep_alive_micros: u64,
    /// Requests on one connection, if they are limited.
    pub keep_alive_requests: Option<u32>,
    pub head: HeadLimits,
    /// Counted for the report: that the scripts reach what they should.
    pub served: u64,
    /// Answers that clients have read to their ends, and that were not begun before the whole
    /// request had come to the server.
    pub completed: u64,
    /// Requests whose answer was begun before the whole request had come to the server, and was read
    /// to its end: the exchange goes on until the server has the whole request, and is counted when
    /// it ends.
    pub completed_early: Vec<usize>,
    /// Requests to the admin listener that were answered.
    pub scraped: u64,
    /// The port of https that clients are redirected to.
    pub tls_port: u16,
    /// There are files of `--acme-webroot`.
    pub has_webroot: bool,
    /// Requests that were redirected to https, and challenges that were answered.
    pub to_https: u64,
    pub challenges: u64,
    pub local: u64,
    pub retried: u64,
    pub tunnelled: u64,
    pub redirected: u64,
    pub refused: u64,
    pub spoilt: u64,
    pub unasked: u64,
    /// How often a server became a suspect.
    pub suspicions: u64,
    /// Requests that were taken from a server that had not failed.
    pub taken: u64,
    /// Requests that were lost because their server closed its idle connection.
    pub lost: u64,
    /// Longest time that slow clients held every slot while others waited.
    pub stuck_micros: u64,
    /// Clients that were ended because of `--min-rate`: one of each line about it.
    pub slow: Vec<SlowEnd>,
    /// Tunnels at most.
    pub tunnels_max: usize,
    pub in_redirect_mode: bool,
    /// Bodies are collected before a server gets them.
    pub collects: bool,
    /// `X-Forwarded-*` of clients are trusted.
    pub trusts_clients: bool,
    pub edits: Edits,
    pub sessions: Sessions,
    pub rates: Rates,
    /// Requests that wait at most.
    pub queue_max: Option<usize>,
    /// Connections of one address at most, and those that were one too many.
    pub connections_per_client: Option<u32>,
    pub surplus: u64,
}

/// At capacity, a client that was idle for so long may be closed.
const CROWDED_MICROS: u64 = 1_000_000;

/// No client is ended by `--min-rate` sooner: rates are those of 10 s, in looks of 1 s.
const SLOW_CLIENT_MICROS: u64 = 8_000_000;

/// A server that has read from a request within this time still works on it.
const SLOW_MICROS: u64 = 1_000_000;

impl Oracle {
    pub fn new(config: &Config, limits: &Limits, names: Names) -> Oracle {
        Oracle {
            names,
            beliefs: Beliefs::new(names),
            queue_micros: config.timeouts.queue.as_micros() as u64,
            attempts_max: config.attempts_max.into(),
            keep_alive_micros: config.timeouts.keep_alive.as_micros() as u64,
            in_redirect_mode: config.mode == Mode::Redirect,
            collects: config.mode == Mode::Http && !config.stream_requests,
            trusts_clients: config.trust_forwarded == TrustedProxies::All,
            clients_max: limits.clients_max,
            tunnels_max: limits.tunnels_max,
            keep_alive_requests: config.keep_alive_requests,
            head: config.head,
            edits: Edits::new(config),
            rates: Rates::new(config.rate),
            connections_per_client: config.connections_per_client,
            queue_max: config.queue_max.map(|most| most as usize),
            ..Oracle::default()
        }
    }

    /// A line of the log of events: a client that is ended by `--min-rate` moved less than that.
    /// It is written in the turn in which that happens.
    pub fn note_slow(&mut self, line: &str, clock: u64) {
        let Some((head, rates)) = line.split_once(": ended, as it moved ") else { return };
        let rates = rates.split(' ').filter_map(|word| word.parse::<u64>().ok());
        let [moved, least] = rates.collect::<Vec<_>>()[..] else {
            panic!("two rates in {line}");
        };
        assert!(moved < least, "{line}");
        // One of a unix socket has no address.
        let ip = head.rsplit(' ').next().filter(|name| *name != "unix:").unwrap_or_default();
        self.slow.push(SlowEnd { ip: ip.to_string(), clock, link: None });
    }

    /// The proxy has said that `--min-rate` ends a client from the address of this one, which had
    /// been here for long enough. What is said once goes for one connection.
    pub fn is_ended_as_slow(&mut self, link: LinkId, kernel: &Kernel) -> bool {
        let mut requests = self.requests.iter().filter(|request| request.link == Some(link));
        let Some(Request { ip, .. }) = requests.next() else { return false };
        let ip = ip.clone();
        self.is_slow_from(&ip, link, kernel)
    }

    /// The same of a connection from this address.
    pub fn is_slow_from(&mut self, ip: &str, link: LinkId, kernel: &Kernel) -> bool {
        let it = &kernel.links[link];
        let was_here = |end: &&mut SlowEnd| {
            let is_whole = end.clock >= it.opened_at + SLOW_CLIENT_MICROS;
            is_whole && (it.proxy_open || it.idling.dropped_at >= end.clock)
        };
        let ends = self.slow.iter_mut().filter(was_here);
        let mut ends = ends.filter(|end| end.ip == ip && end.link.is_none_or(|of| of == link));
        ends.next().map(|end| end.link = Some(link)).is_some()
    }

    /// Answers that were read and whose exchanges have ended.
    pub fn ended(&self, kernel: &Kernel) -> u64 {
        let goes_on = |&&request: &&usize| {
            let it = &self.requests[request];
            let client = it.link.map(|link| &kernel.links[link]);
            let server = it.links.last().map(|&link| &kernel.links[link]);
            client.is_none_or(|link| link.proxy_open)
                && server.is_none_or(|link| link.has_last(request))
        };
        let early = self.completed_early.iter();
        let open = early.clone().filter(goes_on).count();
        self.completed + (early.len() - open) as u64
    }

    /// How long a client may be silent.
    pub fn silence_micros(&self) -> u64 {
        let most = if self.crowded { CROWDED_MICROS } else { u64::MAX };
        self.keep_alive_micros.min(most)
    }

    /// A byte of a request was read by a server.
    pub fn delivered(&mut self, request: usize, conn: usize) {
        let it = &mut self.requests[request];
        assert!(it.begun_at.is_some(), "request {request} was never sent");
        assert!(!matches!(it.fate, Fate::Refused(_)), "request {request} had to be refused");
        assert!(!it.behind, "request {request} is behind a malformed one");
        if it.deliveries.contains(&conn) {
            return;
        }
        it.deliveries.push(conn);
        if it.deliveries.len() > 1 {
            self.retried += 1;
            let idempotent = matches!(it.method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS");
            assert!(idempotent, "request {request}, a {}, went to a second server", it.method);
            let most = self.attempts_max;
            assert!(it.deliveries.len() <= most, "request {request}: seen by more than {most}");
        }
    }

    /// Compares a request head that a server received with the one that was sent; its number.
    /// It came over a connection to this site.
    pub fn check_request(&mut self, head: &Head, conn: usize, site: usize) -> usize {
        let id = head.number("x-req").unwrap_or_else(|| panic!("whose request is {head:?}?"));
        let id = id as usize;
        self.delivered(id, conn);
        let meant = &self.requests[id];
        assert_eq!(head.first, [meant.method, &meant.target, "HTTP/1.1"], "request {id}");
        let mut found = head.fields.clone();
        if meant.authority.is_none() && !self.edits.set_host() {
            let host = found.iter().position(|(name, _)| name == "host").expect("some Host");
            assert_eq!(found.remove(host).1, self.names.authority(site), "request {id}: {head:?}");
        }
        let mut expected = self.edits.of_request(self.expected_fields(meant));
        // Their order matters among those of one name only.
        found.sort_by(|one, two| one.0.cmp(&two.0));
        expected.sort_by(|one, two| one.0.cmp(&two.0));
        assert_eq!(found, expected, "fields of request {id}");
        self.sessions.check_request(meant.session, site, id);
        id
    }

    /// What its client sent, without what concerned that connection only, and what a gateway adds.
    fn expected_fields(&self, meant: &Request) -> Vec<(String, String)> {
        let mut fields = meant.seen.clone();
        let mut add = |name: &str, value: &str| fields.push((name.to_string(), value.to_string()));
        add("via", if meant.is_old { "1.0 loadbalancer" } else { "1.1 loadbalancer" });
        if meant.forges && self.trusts_clients {
            let more = if meant.ip.is_empty() { "" } else { ", " };
            add("x-forwarded-for", &format!("6.6.6.6, 7.7.7.7{more}{}", meant.ip));
            add("x-forwarded-proto", "https");
            add("x-forwarded-host", "elsewhere");
        } else {
            // The client of a unix socket has no address.
            if !meant.ip.is_empty() {
                add("x-forwarded-for", &meant.ip);
            }
            add("x-forwarded-proto", if self.is_tls { "https" } else { "http" });
            if let Some(host) = &meant.authority {
                add("x-forwarded-host", host);
            }
        }
        if meant.upgrade {
            add("connection", "upgrade");
            add("upgrade", "sim");
        }
        fields
    }

    /// Compares a final response head with the responses to `request`; which one it is, none for
    /// one made by the balancer.
    pub fn check_answer(&mut self, head: &Head, request: usize, kernel: &Kernel) -> Option<usize> {
        let status: u16 = head.first[1].parse().expect("a status");
        assert!(head.one("date").is_some(), "an answer without Date");
        let Some(answer) = head.number("x-ans") else {
            self.check_local(head, status, request, kernel);
            return None;
        };
        let answer = answer as usize;
        let meant = &self.answers[answer];
        assert!(!meant.spoilt, "answer {answer} is malformed: {head:?}");
        if let Some(link) = meant.unasked {
            let raced = kernel.links[link].unasked == Unasked::Raced;
            assert!(raced, "answer {answer} was not asked for, which could be known");
            return Some(answer);
        }
        let known = |(name, _): &(String, String)| IN_ANSWERS.contains(&name.as_str());
        assert!(head.fields.iter().all(known), "fields of answer {answer}: {head:?}");
        assert_eq!(meant.request, request, "an answer to another request");
        assert_eq!(meant.status, status, "answer {answer}");
        self.sessions.check_response(head, self.requests[request].session, meant.site);
        let it = &self.requests[request];
        if !it.ip.is_empty() {
            self.rates.admitted(it.link, it.begun_at.unwrap_or(0), kernel.now);
        }
        self.edits.check_response(head, &meant.pad, &format!("answer {answer}"));
        self.served += 1;
        Some(answer)
    }

    fn check_local(&mut self, head: &Head, status: u16, request: usize, kernel: &Kernel) {
        let it = &self.requests[request];
        let since = it.begun_at.unwrap_or(0);
        // The failure of a pooled connection may be older than the request that finds it.
        let happened = |at: Option<u64>| at.is_some_and(|at| at + POOLED_MICROS >= since);
        let waited = kernel.now - since >= self.queue_micros;
        let is_surplus = status == 503 && it.upgrade && self.upgrades() > self.tunnels_max;
        if status == 503 {
            let after = head.number("retry-after");
            assert!(matches!(after, Some(1..=60)), "request {request}: {head:?}");
        }
        let is_limited = status == 429;
        self.rates.refused += u64::from(is_limited);
        let is_surplus = is_surplus || is_limited || (status == 503 && self.queue_max.is_some());
        let refused = matches!(it.fate, Fate::Refused(with) if with.contains(&status));
        let is_lost = status == 502 && it.is_lost(kernel);
        self.lost += u64::from(is_lost);
        let is_broken = matches!(it.fate, Fate::Broken(with) if with.contains(&status));
        self.refused += u64::from(refused || is_broken);
        let justified = refused
            || kernel.jumped
            || match status {
                301 | 308 => {
                    let location = head.one("location").unwrap_or_default();
                    let server = location.strip_suffix(it.target.as_str()).unwrap_or_default();
                    let server = server.strip_prefix("http://").unwrap_or(server);
                    let is_known = self.names.find(server).is_some();
                    assert!(is_known, "request {request} goes to {location}");
                    assert_eq!(status == 301, matches!(it.method, "GET" | "HEAD"));
                    self.in_redirect_mode && !matches!(it.fate, Fate::Refused(_))
                }
                400 | 431 => is_broken,
                408 => it.silent,
                429 => self.rates.may_refuse(self.before(request)),
                502 => {
                    let tunnel = it.upgrade && self.fault_at.is_some();
                    is_lost || it.cut || tunnel || happened(self.nameless_cut_at)
                }
                503 => {
                    let has_failed = self.beliefs.has_fallen || self.fault_at.is_some();
                    (has_failed && !self.one_fails)
                        || kernel.shortage_at.is_some()
                        || is_surplus
                        || waited
                }
                504 => {
                    let is_read = |at| kernel.now - at < SLOW_MICROS;
                    it.hung || happened(self.nameless_hang_at) || it.read_at.is_some_and(is_read)
                }
                _ => false,
            };
        assert!(justified, "request {request} got an unjustified {status}: {head:?} {it:?}");
        if matches!(status, 301 | 308) {
            self.redirected += 1;
        } else {
            let is_late = self.epilogue_from.is_some_and(|from| request >= from);
            assert!(
                !is_late || waited || refused || is_surplus || is_lost || it.is_broken(),
                "request {request} got a {status} after all trouble: {head:?}"
            );
            self.local += 1;
        }
    }

    /// Requests of the same connection before this one.
    fn before(&self, request: usize) -> usize {
        let link = self.requests[request].link;
        self.requests[..request].iter().filter(|other| other.link == link).count()
    }

    /// Requests that may become tunnels.
    fn upgrades(&self) -> usize {
        self.requests.iter().filter(|request| request.upgrade).count()
    }

    /// A connection to a server was begun; its handshake may be going to fail.
    pub fn note_handshake(&mut self, link: LinkId, kernel: &Kernel) {
        let it = &kernel.links[link];
        let (Some(site), Some(shaking)) = (it.site, &it.shaking) else { return };
        if shaking.end != End::Completes {
            self.fault_at = Some(kernel.now);
            self.beliefs.of_site(site).handshakes.note(link, shaking.end);
        }
    }

    /// A server failed; `request` is the one it had read.
    pub fn cut(&mut self, request: Option<usize>, now: u64) {
        self.fault_at = Some(now);
        match request {
            Some(request) => self.requests[request].cut = true,
            None => self.nameless_cut_at = Some(now),
        }
    }

    /// A server fell silent.
    pub fn hung(&mut self, request: Option<usize>, now: u64) {
        self.fault_at = Some(now);
        match request {
            Some(request) => self.requests[request].hung = true,
            None => self.nameless_hang_at = Some(now),
        }
    }

    pub fn new_side(&mut self, total: u64) -> usize {
        self.sides.push(Side { total, ..Side::default() });
        self.sides.len() - 1
    }

    /// Each side is joined to one other side only.
    pub fn join(&mut self, side: usize, other: usize) {
        for (one, two) in [(side, other), (other, side)] {
            let known = self.sides[one].other.get_or_insert(two);
            assert_eq!(*known, two, "side {one} hears two others");
        }
        let ends = [side, other].map(|side| self.sides[side].ends);
        if let [Some(one), Some(two)] = ends {
            assert_eq!(one, two, "the header names another client: sides {side} and {other}");
            self.introduced += 1;
        }
    }
}
