//! Draws a run from its seed: configuration, kernel, servers, clients and their requests.

use super::client::{Client, Item, Leave};
use super::kernel::{Dice, Event, Kernel, Style};
use super::net::{SimListener, SimNet};
use super::oracle::{Oracle, Request};
use super::server::{self, Manner};
use super::talker::{Pace, Talker};
use super::wire;
use super::world::World;
use loadbalancer::balance;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{BackendSpec, Config, Endpoint, LogTarget, Mode};
use loadbalancer::health::Check;
use loadbalancer::proxy::{Limits, Member, Proxy};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// One run, ready to be turned.
pub struct Run {
    pub world: Rc<RefCell<World>>,
    pub proxy: Proxy<SimNet>,
    pub pairs_max: usize,
    /// After the last client: how long until nothing may be left.
    pub settle_micros: u64,
}

pub fn draw(seed: u64, verbose: bool) -> Run {
    let mut rng = Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let servers = rng.between(1, 3) as usize;
    let mode = match rng.below(20) {
        0..=13 => Mode::Http,
        14..=17 => Mode::Tcp,
        _ => Mode::Redirect,
    };
    let troubled = rng.chance(550);
    let style = draw_style(seed, verbose, troubled, &mut rng);
    let mut manner = draw_manner(mode, troubled, &mut rng);
    if style.buffer_max < 100 {
        manner.body_max = 1_500;
    }
    let config = draw_config(mode, servers, troubled, &mut rng);
    let pairs_most = if rng.chance(500) { 2 } else { 8 };
    let limits = Limits {
        pairs_max: rng.between(1, pairs_most) as usize,
        clients_max: rng.between(1, 10) as usize,
        pipes_max: rng.below(4) as usize,
    };
    let proxy_seed = rng.bits();
    let mut kernel = Kernel::new(rng, style, servers);
    let mut oracle = Oracle {
        queue_micros: config.timeouts.queue.as_micros() as u64,
        keep_alive_micros: config.timeouts.keep_alive.as_micros() as u64,
        in_redirect_mode: mode == Mode::Redirect,
        ..Oracle::default()
    };
    let clients = draw_clients(mode, troubled, &manner, &mut kernel, &mut oracle);
    oracle.crowded = clients.len() > limits.clients_max;
    plan_trouble(troubled, servers, &mut kernel);
    let world = Rc::new(RefCell::new(World {
        kernel,
        oracle,
        clients,
        conns: Vec::new(),
        manner,
        busy: 0,
        sleeps_for_ever: false,
    }));
    let net = SimNet { world: Rc::clone(&world) };
    let listener = SimListener::new(&world);
    let members = config.backends.iter().map(|spec| Member {
        spec: spec.clone(),
        addresses: vec![SocketAddr::from(([127, 0, 0, 1], spec.endpoint.port))],
    });
    let members = members.collect();
    let pairs_max = limits.pairs_max;
    let timeouts = &config.timeouts;
    let longest = [timeouts.idle, timeouts.response, timeouts.pool, timeouts.keep_alive];
    let longest = longest.into_iter().max().unwrap_or_default() + timeouts.queue + timeouts.head;
    let tunnel = if mode == Mode::Tcp || troubled { timeouts.tunnel } else { Duration::ZERO };
    let settle = longest * 4 + tunnel * 2 + Duration::from_secs(10);
    let settle_micros = settle.as_micros() as u64;
    let proxy = Proxy::new(net, listener, config, members, limits, HashMap::new(), proxy_seed);
    Run { world, proxy, pairs_max, settle_micros }
}

fn draw_style(seed: u64, verbose: bool, troubled: bool, rng: &mut Rng) -> Style {
    let (buffer_min, buffer_max) =
        [(1, 60), (400, 4_000), (4_000, 40_000), (100_000, 200_000)][rng.below(4) as usize];
    Style {
        spurious: seed % 2 == 1,
        reset_discards: rng.chance(500),
        mischief: [0, 20, 150][rng.below(3) as usize],
        interleave: [0, 100, 500][rng.below(3) as usize],
        shortages: if troubled && rng.chance(200) { rng.between(1, 5) as u32 } else { 0 },
        jumps: u32::from(troubled && rng.chance(60)),
        buffer_min,
        buffer_max,
        delay_max: [50, 500, 5_000][rng.below(3) as usize],
        verbose,
    }
}

fn draw_manner(mode: Mode, troubled: bool, rng: &mut Rng) -> Manner {
    Manner {
        faults: if troubled { [60, 250, 600][rng.below(3) as usize] } else { 0 },
        closes_idle: [0, 300, 900][rng.below(3) as usize],
        early: [0, 100, 500][rng.below(3) as usize],
        body_max: [2_000, 20_000, 90_000][rng.below(3) as usize],
        tcp: mode == Mode::Tcp,
        patient_server: rng.chance(500),
    }
}

fn draw_config(mode: Mode, servers: usize, troubled: bool, rng: &mut Rng) -> Config {
    let backends = (1..=servers).map(|port| {
        let mut spec = BackendSpec::new(Endpoint { host: None, port: port as u16 });
        spec.weight = rng.between(1, 3) as u32;
        spec.backup = rng.chance(100);
        spec
    });
    let backends = backends.collect();
    let mut config = Config::new(Endpoint { host: None, port: 80 }, backends);
    config.mode = mode;
    config.strategy = balance::NAMES[rng.below(balance::NAMES.len() as u64) as usize].strategy;
    config.verbose = rng.chance(300);
    config.access_log = rng.chance(200).then_some(LogTarget::Stdout);
    config.attempts_max = rng.between(if troubled { 1 } else { 2 }, 3) as u8;
    config.trust_forwarded = rng.chance(300);
    config.health.check = match (mode, rng.below(3)) {
        (_, 0) => Check::Off,
        (Mode::Tcp, _) | (_, 1) => Check::Tcp,
        _ => Check::Http,
    };
    config.health.per_requests = rng.chance(200).then(|| rng.between(1, 5) as u32);
    let often = if troubled { 1_000 } else { 20 };
    config.health.interval = Duration::from_millis([often, 2_000][rng.below(2) as usize]);
    let timeouts = &mut config.timeouts;
    // Ticks of the wheel and ends of exchanges shall meet: short enough to expire in the run.
    timeouts.pool = Duration::from_millis([1, 3, 10, 3_000][rng.below(4) as usize]);
    timeouts.linger = Duration::from_millis([2_000, 5_000][rng.below(2) as usize]);
    timeouts.tunnel = Duration::from_secs(20);
    if troubled {
        timeouts.response = Duration::from_secs(5);
        timeouts.idle = Duration::from_secs(5);
        timeouts.queue = Duration::from_secs(8);
    } else {
        // Somebody slow in the only slot is no fault.
        timeouts.queue = Duration::from_secs(600);
    }
    config
}

fn plan_trouble(troubled: bool, servers: usize, kernel: &mut Kernel) {
    if troubled && kernel.rng.chance(400) {
        for _ in 0..kernel.rng.between(1, 6) {
            let server = kernel.rng.below(servers as u64) as usize;
            let at = kernel.now + kernel.rng.below(30_000);
            kernel.schedule(at, Event::Toggle(server));
        }
    }
    if kernel.rng.chance(60) {
        let at = kernel.now + kernel.rng.below(30_000);
        kernel.schedule(at, Event::Stop);
    }
}

fn draw_clients(
    mode: Mode,
    troubled: bool,
    manner: &Manner,
    kernel: &mut Kernel,
    oracle: &mut Oracle,
) -> Vec<Client> {
    let count = if kernel.rng.chance(100) { 20 } else { kernel.rng.between(1, 6) };
    // A burst, or one after the other.
    let spread = [1, 2_000, 20_000][kernel.rng.below(3) as usize];
    let mut clients = Vec::new();
    for number in 0..count as usize {
        let at = kernel.now + kernel.rng.below(spread);
        kernel.schedule(at, Event::Arrive(number));
        let pace = Pace::draw(kernel);
        if mode == Mode::Tcp {
            let mut client = Client::new(number, Vec::new(), Leave::Politely, 1, pace);
            let patient = !manner.patient_server;
            client.talker = Some(Talker::new(oracle, kernel, patient, troubled));
            clients.push(client);
            continue;
        }
        let requests = kernel.rng.between(1, 5);
        let slow = pace.write_most < 100;
        let mut items = Vec::new();
        for place in 1..=requests {
            items.push(draw_item(place == requests, slow, troubled, manner, kernel, oracle));
        }
        let total: u64 = items.iter().map(|item| item.bytes.len() as u64).sum();
        let leave = draw_leave(troubled, total, &mut kernel.rng);
        let upgrades = items.last().is_some_and(|item| oracle.requests[item.request].upgrade);
        let leave = if upgrades && leave == Leave::HalfClosed { Leave::Politely } else { leave };
        let window = [1, 1, 2, 100][kernel.rng.below(4) as usize];
        let mut client = Client::new(number, items, leave, window, pace);
        client.patient = !manner.patient_server;
        clients.push(client);
    }
    clients
}

fn draw_leave(troubled: bool, total: u64, rng: &mut Rng) -> Leave {
    match rng.below(20) {
        0..=2 => Leave::HalfClosed,
        3 => Leave::Closes(rng.below(total + 1)),
        4 => Leave::Resets(rng.below(total + 1)),
        5 => Leave::ResetsReading(rng.below(3_000)),
        6 if troubled => Leave::StopsSending(rng.below(total + 1)),
        7 if troubled => Leave::StopsReading(rng.below(3_000)),
        8 if troubled => Leave::Naps(rng.below(9_000)),
        _ => Leave::Politely,
    }
}

/// Draws a request and writes it out.
fn draw_item(
    is_last: bool,
    slow: bool,
    troubled: bool,
    manner: &Manner,
    kernel: &mut Kernel,
    oracle: &mut Oracle,
) -> Item {
    let id = oracle.requests.len();
    let rng = &mut kernel.rng;
    let method =
        ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PUT", "DELETE", "OPTIONS", "PATCH"]
            [rng.below(11) as usize];
    let is_old = rng.chance(120);
    let keeps_alive = !rng.chance(if is_last { 300 } else { 60 }) && (!is_old || rng.chance(500));
    let has_body = matches!(method, "POST" | "PUT" | "PATCH") || rng.chance(50);
    let most = [1, 300, 5_000, manner.body_max][rng.below(4) as usize];
    let most = if slow { most.min(400) } else { most };
    let body_bytes = if has_body { rng.below(most) } else { 0 };
    let chunked = has_body && !is_old && rng.chance(400);
    let trailer = chunked && rng.chance(300);
    let expect =
        has_body && body_bytes > 0 && !is_old && !oracle.in_redirect_mode && rng.chance(250);
    let upgrade = is_last && !has_body && !is_old && keeps_alive && rng.chance(200);
    let bad = troubled && rng.chance(40);
    let bad_body = bad && chunked && body_bytes > 0;
    let bad_head = bad && !bad_body;
    let pad_most = if rng.chance(100) && !slow { manner.body_max.min(9_000) } else { 60 };
    let pad = "q".repeat(rng.below(pad_most) as usize);
    let target = format!("/r/{id}/{}?q={}", rng.below(9), rng.below(9));
    let absolute = rng.chance(80);
    oracle.requests.push(Request {
        method,
        target: target.clone(),
        is_old,
        keeps_alive,
        body_bytes,
        chunked,
        trailer,
        expect,
        upgrade,
        pad: pad.clone(),
        bad_head,
        bad_body,
        begun_at: None,
        sent_at: None,
        deliveries: Vec::new(),
        cut: false,
        hung: false,
        silent: false,
        aborted: false,
    });
    let meant = &oracle.requests[id];
    let head = head_text(meant, id, absolute, rng);
    let mut bytes = head.into_bytes();
    let head_bytes = bytes.len();
    let content = wire::bytes(2 * id as u64, body_bytes);
    if chunked {
        server::chunk(&content, trailer, kernel, &mut bytes);
        if bad_body {
            bytes.truncate(head_bytes);
            bytes.extend_from_slice(b"zz\r\n");
        }
    } else {
        bytes.extend(content);
    }
    Item { request: id, bytes, head_bytes, expects: expect }
}

fn head_text(meant: &Request, id: usize, absolute: bool, rng: &mut Rng) -> String {
    let version = if meant.is_old { "1.0" } else { "1.1" };
    let authority = if absolute { "http://there:80" } else { "" };
    let mut head = format!("{} {authority}{} HTTP/{version}\r\n", meant.method, meant.target);
    if !meant.is_old || rng.chance(500) {
        head += "Host: here\r\n";
    }
    if meant.bad_head {
        head += ["Host: twice\r\nHost: thrice\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n"]
            [rng.below(2) as usize];
    }
    head += &format!("X-Req: {id}\r\nX-Pad: {}\r\n", meant.pad);
    if rng.chance(200) {
        head += "TE: trailers\r\nProxy-Connection: x\r\nKeep-Alive: 5\r\n";
    }
    head += match (meant.upgrade, meant.keeps_alive, meant.is_old) {
        (true, _, _) => "Connection: Upgrade\r\nUpgrade: sim\r\n",
        // A list of further fields would take the trailers away.
        (_, false, false) if meant.trailer => "Connection: close\r\n",
        (_, true, false) if meant.trailer => "",
        (_, false, false) => "Connection: close, X-Hop\r\nX-Hop: 1\r\n",
        (_, false, true) => "",
        (_, true, true) => "Connection: Keep-Alive\r\n",
        (_, true, false) => ["", "Connection: x-hop\r\nX-Hop: 1\r\n"][rng.below(2) as usize],
    };
    if meant.expect {
        head += "Expect: 100-continue\r\n";
    }
    let names_length = meant.body_bytes > 0 || meant.method == "POST";
    match (meant.chunked, meant.trailer) {
        (true, true) => head += "Transfer-Encoding: chunked\r\nTrailer: T\r\n",
        (true, false) => head += "Transfer-Encoding: chunked\r\n",
        (false, _) if names_length && !meant.bad_head => {
            head += &format!("Content-Length: {}\r\n", meant.body_bytes);
        }
        (false, _) => {}
    }
    head + "\r\n"
}
