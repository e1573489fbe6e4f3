//! Draws a run from its seed: configuration, kernel, servers, clients and their requests.

use super::client::{Client, Leave};
use super::epilogue::Epilogue;
use super::kernel::{Dice, Event, Kernel, Style};
use super::listing::{Listing, Reading, SITES_PER_NAME};
use super::net::{SimListener, SimNet};
use super::oracle::{Fate, Oracle};
use super::request::{self, Sender};
use super::server::Manner;
use super::talker::{Pace, Talker};
use super::world::World;
use loadbalancer::balance;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{Config, Endpoint, HeadLimits, LogTarget, Mode};
use loadbalancer::health::Check;
use loadbalancer::proxy::{Limits, Proxy};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// One run, ready to be turned.
pub struct Script {
    pub world: Rc<RefCell<World>>,
    pub proxy: Proxy<SimNet>,
    pub pairs_max: usize,
    /// After the last client: how long until nothing may be left.
    pub settle_micros: u64,
    pub epilogue: Option<Epilogue>,
}

/// Most clients of a run.
const CLIENTS_MOST: usize = 20;

/// How long steady clients send requests.
const STEADY_MICROS: u64 = 100_000;

pub fn draw(seed: u64, verbose: bool) -> Script {
    let mut rng = Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let names = rng.between(1, 4) as usize;
    let reloads = rng.chance(300);
    let listing = Listing::draw(names, rng.chance(300), &mut rng);
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
    let Reading { members, .. } = listing.read();
    // Connections that live long are what a change of the list has to find.
    let steady = reloads && rng.chance(500);
    if steady {
        (manner.closes, manner.closes_idle) = (0, 0);
        manner.body_max = 300;
    }
    let mut config = draw_config(mode, reloads, troubled, &mut rng);
    if steady {
        config.timeouts.pool = Duration::from_millis(300);
    }
    let pairs_most = if rng.chance(500) { 2 } else { 8 };
    let limits = Limits {
        pairs_max: rng.between(1, pairs_most) as usize,
        clients_max: if steady { CLIENTS_MOST } else { rng.between(1, 10) as usize },
        pipes_max: rng.below(4) as usize,
    };
    let proxy_seed = rng.bits();
    let mut kernel = Kernel::new(rng, style, names * SITES_PER_NAME);
    let mut oracle = Oracle {
        queue_micros: config.timeouts.queue.as_micros() as u64,
        attempts_max: config.attempts_max.into(),
        keep_alive_micros: config.timeouts.keep_alive.as_micros() as u64,
        in_redirect_mode: mode == Mode::Redirect,
        trusts_clients: config.trust_forwarded,
        clients_max: limits.clients_max,
        keep_alive_requests: config.keep_alive_requests,
        head: config.head,
        ..Oracle::default()
    };
    let clients = draw_clients(mode, troubled, steady, &manner, &mut kernel, &mut oracle);
    oracle.crowded = clients.len() > limits.clients_max;
    plan_trouble(troubled, &listing, &mut kernel);
    if reloads {
        let span = if steady { STEADY_MICROS } else { 30_000 };
        for _ in 0..kernel.rng.between(1, if steady { 10 } else { 5 }) {
            let at = kernel.now + kernel.rng.below(span);
            kernel.schedule(at, Event::Edit);
        }
    }
    let late = kernel.rng.chance(if reloads { 500 } else { 50 });
    let epilogue = late.then(|| Epilogue::draw(names, troubled, &config, &mut kernel));
    let world = Rc::new(RefCell::new(World {
        kernel,
        oracle,
        clients,
        conns: Vec::new(),
        manner,
        listing,
        reading: None,
        is_epilogue: false,
        frozen: Vec::new(),
        busy: 0,
        sleeps_for_ever: false,
    }));
    let net = SimNet { world: Rc::clone(&world) };
    let listener = SimListener::new(&world);
    let pairs_max = limits.pairs_max;
    let timeouts = &config.timeouts;
    let longest = [timeouts.idle, timeouts.response, timeouts.pool, timeouts.keep_alive];
    let longest = longest.into_iter().max().unwrap_or_default() + timeouts.queue + timeouts.head;
    let tunnel = if mode == Mode::Tcp || troubled { timeouts.tunnel } else { Duration::ZERO };
    let settle = longest * 4 + tunnel * 2 + Duration::from_secs(10);
    let settle_micros = settle.as_micros() as u64;
    let proxy = Proxy::new(net, listener, config, members, limits, HashMap::new(), proxy_seed);
    Script { world, proxy, pairs_max, settle_micros, epilogue }
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
        turn_max: [30, 30, 500, 5_000][rng.below(4) as usize],
        delay_max: [50, 500, 5_000][rng.below(3) as usize],
        verbose,
    }
}

fn draw_manner(mode: Mode, troubled: bool, rng: &mut Rng) -> Manner {
    Manner {
        faults: if troubled { [60, 250, 600][rng.below(3) as usize] } else { 0 },
        closes: 250,
        closes_idle: [0, 300, 900][rng.below(3) as usize],
        early: [0, 100, 500][rng.below(3) as usize],
        body_max: [2_000, 20_000, 90_000][rng.below(3) as usize],
        stops: mode == Mode::Http,
        tcp: mode == Mode::Tcp,
        patient_server: rng.chance(500),
    }
}

fn draw_config(mode: Mode, reloads: bool, troubled: bool, rng: &mut Rng) -> Config {
    let mut config = Config::new(Endpoint { host: None, port: 80 }, Vec::new());
    // Then a timer asks for the list, too.
    config.list_file = (reloads && rng.chance(500)).then(|| PathBuf::from("servers"));
    config.keep_alive_requests = rng.chance(200).then(|| rng.between(1, 4) as u32);
    config.retry_budget = [0, 20, 100][rng.below(3) as usize];
    if rng.chance(150) {
        config.head = HeadLimits {
            bytes: rng.between(400, 2_000) as u32,
            fields: rng.between(8, 30) as u32,
            target: rng.between(25, 100) as u32,
        };
    }
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
    config.health.fall = rng.between(1, 3) as u16;
    config.health.rise = rng.between(1, 3) as u16;
    config.health.fall_on_5xx = rng.chance(200).then(|| rng.between(1, 3) as u16);
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

fn plan_trouble(troubled: bool, listing: &Listing, kernel: &mut Kernel) {
    if troubled && kernel.rng.chance(400) {
        for _ in 0..kernel.rng.between(1, 6) {
            let site = listing.draw_site(&mut kernel.rng);
            let at = kernel.now + kernel.rng.below(30_000);
            kernel.schedule(at, Event::Toggle(site));
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
    steady: bool,
    manner: &Manner,
    kernel: &mut Kernel,
    oracle: &mut Oracle,
) -> Vec<Client> {
    let count = match kernel.rng.below(10) {
        0 => CLIENTS_MOST as u64,
        _ if steady => kernel.rng.between(4, 12),
        _ => kernel.rng.between(1, 6),
    };
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
        let requests = kernel.rng.between(1, if steady { 9 } else { 5 });
        let slow = pace.write_most < 100 || kernel.style.buffer_max < 100;
        let malice = if steady {
            0
        } else {
            [0, if troubled { 80 } else { 0 }, 400][kernel.rng.below(3) as usize]
        };
        let mut sender = Sender { slow, malice, spoilt: false };
        let mut items = Vec::new();
        for place in 1..=requests {
            let item = request::draw(place == requests, sender, manner, kernel, oracle);
            sender.spoilt |= oracle.requests[item.request].fate != Fate::Served;
            items.push(item);
        }
        let total: u64 = items.iter().map(|item| item.bytes.len() as u64).sum();
        let leave = match steady && kernel.rng.chance(800) {
            true => Leave::Politely,
            false => draw_leave(troubled, total, &mut kernel.rng),
        };
        let upgrades = items.last().is_some_and(|item| oracle.requests[item.request].upgrade);
        let leave = if upgrades && leave == Leave::HalfClosed { Leave::Politely } else { leave };
        let window = [1, 1, 2, 100][kernel.rng.below(4) as usize];
        let mut client = Client::new(number, items, leave, window, pace);
        client.patient = !manner.patient_server;
        client.think_micros = if steady { STEADY_MICROS / 5 } else { 0 };
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
        9 if troubled => Leave::Dribbles(rng.below(total + 1)),
        _ => Leave::Politely,
    }
}
