//! Draws a run from its seed: what it is about, and its clients with their requests.

use super::by_hand;
use super::client::{Client, Leave};
use super::crowd;
use super::edits;
use super::epilogue::Epilogue;
use super::kernel::{Dice, Event, Handshakes, Headers, Kernel, ListenerId};
use super::listing::Listing;
use super::names::Names;
use super::net::{SimListener, SimNet};
use super::oracle::{Fate, Oracle};
use super::question;
use super::request::{self, Sender};
use super::scene::{CLIENTS_MOST, Scene};
use super::server::Manner;
use super::sessions::{self, Sessions};
use super::sites::SITES_PER_NAME;
use super::talker::{Pace, Talker};
use super::visitor;
use super::world::World;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{Mode, RateLimit, TrustedProxies};
use loadbalancer::proxy::{ListenerSettings, Proxy, Service};
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
    /// How long a connect may take, the handshake included.
    pub connect_micros: u64,
    /// How long a server may refuse every connection before it is down, if it is checked.
    pub absence_micros: Option<u64>,
    /// The least rate is more than that of clients that hang.
    pub ends_slow: bool,
    pub epilogue: Option<Epilogue>,
    /// How often names are looked up; none: nobody has any.
    pub resolve_micros: Option<u64>,
}

/// How long steady clients send requests.
const STEADY_MICROS: u64 = 100_000;

/// Servers fail and the program is stopped within this span.
const TROUBLE_MICROS: u64 = 30_000;

pub fn draw(seed: u64, verbose: bool) -> Script {
    let mut rng = Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let scene = Scene::draw(&mut rng);
    let mut headers = Headers::draw(seed, scene.mode);
    // From numbers of its own, so that the other seeds keep their runs.
    let mut handshakes = Rng::new(seed ^ 0x54_4C_53);
    let names = Names::new(scene.names, handshakes.chance(250));
    let mut listing = Listing::draw(names, rng.chance(300), &mut rng);
    if scene.mode == Mode::Tcp {
        listing.send_proxy = headers.draw_sent();
    }
    let members = listing.read().members;
    let style = scene.style(seed, verbose, &mut rng);
    let mut manner = scene.manner(&style, &mut rng);
    manner.is_introduced = listing.send_proxy.is_some();
    let mut config = scene.config(&mut rng);
    // From numbers of their own, so that the seeds keep their runs.
    let mut features = Rng::new(rng.clone().bits());
    edits::draw(&mut config, &mut features);
    // PROXY headers may name one client for several connections.
    let is_alone = headers.from == TrustedProxies::None;
    if features.chance(200) && is_alone {
        let (per_second, burst) = (1 + features.below(20) as u32, 1 + features.below(4) as u32);
        config.rate = Some(RateLimit { per_second, burst });
        config.connections_per_client = Some(1 + features.below(2) as u32);
    }
    if is_alone {
        headers.hosts = crowd::draw(&mut config, seed);
    }
    sessions::draw(&mut config, &mut features);
    listing.has_sessions = config.sticky.is_some();
    if config.mode != Mode::Redirect && features.chance(150) {
        config.queue_max = Some(features.below(4) as u32);
    }
    if features.chance(300) {
        let millis = [2, 20, 1_000, 60_000][features.below(4) as usize];
        config.slow_start = Duration::from_millis(millis);
    }
    config.record = seed.is_multiple_of(3).then(|| PathBuf::from("record"));
    config.proxy_protocol = headers.from.clone();
    config.timeouts.resolve = headers.draw_interval();
    let resolve = config.timeouts.resolve.as_micros() as u64;
    let resolve_micros = listing.several_addresses.then_some(resolve);
    let limits = scene.limits(&mut rng);
    let proxy_seed = rng.bits();
    let mut kernel = Kernel::new(rng, style, names.count * SITES_PER_NAME, headers);
    let mut oracle = Oracle::new(&config, &limits, names);
    oracle.sessions = Sessions::new(&config, &scene, names);
    if let Some(secured) = names.twin(0) {
        oracle.sessions.become_lenient();
        // Of several servers the first, where nothing else goes wrong.
        let is_calm = !scene.troubled && !scene.reloads && config.health.fall_on_5xx.is_none();
        oracle.one_fails = is_calm && scene.names > 1;
        kernel.handshakes = match scene.troubled {
            true => Handshakes::any(names, handshakes),
            false => {
                let broken = oracle.one_fails.then_some(secured);
                Handshakes::one(names, broken, handshakes)
            }
        };
    }
    let clients = draw_clients(&scene, &manner, &mut kernel, &mut oracle);
    oracle.crowded = clients.len() > limits.clients_max;
    plan_trouble(&scene, &listing, &mut kernel);
    let late = kernel.rng.chance(if scene.reloads { 500 } else { 50 });
    let at_end =
        Scene { names: names.count, troubled: scene.troubled || names.twin(0).is_some(), ..scene };
    let epilogue = late.then(|| Epilogue::draw(&at_end, &config, &mut kernel));
    let visitors = match config.admin {
        Some(_) => visitor::draw(&mut kernel),
        None => Vec::new(),
    };
    let has_admin = config.admin.is_some();
    let mut world = World::new(kernel, oracle, clients, manner, listing);
    world.visitors = visitors;
    let world = Rc::new(RefCell::new(world));
    let net = SimNet { world: Rc::clone(&world) };
    let listener = SimListener::new(&world, ListenerId::Traffic);
    let absence_micros = scene.absence(&config).map(|span| span.as_micros() as u64);
    let settle_micros = scene.settle(&config).as_micros() as u64;
    let connect_micros = config.timeouts.connect.max(config.health.timeout).as_micros() as u64;
    // By the seed alone, so that the seeds keep their runs.
    let is_introduced = config.proxy_protocol != TrustedProxies::None;
    let is_tls = config.mode != Mode::Tcp && !is_introduced && seed.is_multiple_of(5);
    world.borrow_mut().oracle.is_tls = is_tls;
    world.borrow_mut().oracle.sessions.is_tls = is_tls;
    let settings = match is_tls {
        true => ListenerSettings::tls(config.mode.into()),
        false => ListenerSettings::plain(config.mode.into()),
    };
    let limits_clients = config.rate.is_some() || config.connections_per_client.is_some();
    let mut dice = Rng::new(seed ^ 0x33_30_38);
    // Every target of theirs is within the limit.
    let is_roomy = config.head.target as usize >= question::TARGET_MAX;
    let has_callers = is_tls && is_roomy && !limits_clients && dice.chance(600);
    if has_callers {
        config.acme_webroot = dice.chance(800).then(|| PathBuf::from("webroot"));
        let mut world = world.borrow_mut();
        let callers = visitor::draw_callers(&mut world.kernel, seed);
        world.oracle.crowded |= world.clients.len() + callers.len() > limits.clients_max;
        world.oracle.tls_port = [443, 8443][dice.below(2) as usize];
        world.oracle.has_webroot = config.acme_webroot.is_some();
        world.callers = callers;
    }
    let port = world.borrow().oracle.tls_port;
    let ends_slow = config.mode == Mode::Http && config.rate_min >= 2_000;
    let mut proxy = Proxy::new(net, config, members, limits, HashMap::new(), proxy_seed);
    proxy.listen(listener, settings).expect("listening");
    if has_admin {
        let listener = SimListener::new(&world, ListenerId::Admin);
        let settings = ListenerSettings::plain(Service::Admin);
        proxy.listen(listener, settings).expect("listening");
    }
    if has_callers {
        let listener = SimListener::new(&world, ListenerId::Redirect);
        let settings = ListenerSettings::plain(Service::ToHttps { port });
        proxy.listen(listener, settings).expect("listening");
    }
    proxy.plan_lookup(resolve_micros.is_some());
    Script {
        world,
        proxy,
        pairs_max: limits.pairs_max,
        settle_micros,
        connect_micros,
        absence_micros,
        ends_slow,
        epilogue,
        resolve_micros,
    }
}

fn plan_trouble(scene: &Scene, listing: &Listing, kernel: &mut Kernel) {
    if scene.troubled && kernel.rng.chance(400) {
        for _ in 0..kernel.rng.between(1, 6) {
            let site = listing.draw_site(&mut kernel.rng);
            let at = kernel.now + kernel.rng.below(TROUBLE_MICROS);
            kernel.schedule(at, Event::Toggle(site));
        }
    }
    for _ in 0..if listing.several_addresses { kernel.headers.draw_moves() } else { 0 } {
        let at = kernel.now + kernel.headers.draw_span();
        kernel.schedule(at, Event::Move);
    }
    if kernel.rng.chance(80) {
        let at = kernel.now + kernel.rng.below(TROUBLE_MICROS);
        kernel.schedule(at, Event::Stop);
    }
    if scene.reloads {
        let span = if scene.steady { STEADY_MICROS } else { TROUBLE_MICROS };
        for _ in 0..kernel.rng.between(1, if scene.steady { 10 } else { 5 }) {
            let at = kernel.now + kernel.rng.below(span);
            kernel.schedule(at, Event::Edit);
        }
        by_hand::plan(span, kernel);
    }
}

fn draw_clients(
    scene: &Scene,
    manner: &Manner,
    kernel: &mut Kernel,
    oracle: &mut Oracle,
) -> Vec<Client> {
    let Scene { mode, troubled, steady, .. } = *scene;
    let count = match kernel.rng.below(10) {
        0 => CLIENTS_MOST as u64,
        _ if steady || scene.hogs => kernel.rng.between(4, 12),
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
        let mut sender = Sender { slow, malice, spoilt: false, method: None };
        let mut items = Vec::new();
        for place in 1..=requests {
            let item = request::draw(place == requests, sender, manner, kernel, oracle);
            sender.spoilt |= oracle.requests[item.request].fate != Fate::Served;
            items.push(item);
        }
        let total: u64 = items.iter().map(|item| item.bytes.len() as u64).sum();
        let leave = match steady && kernel.rng.chance(800) {
            true => Leave::Politely,
            false if scene.hogs && kernel.rng.chance(700) => draw_hog(total, &mut kernel.rng),
            false => draw_leave(troubled, total, &mut kernel.rng),
        };
        let upgrades = items.last().is_some_and(|item| oracle.requests[item.request].upgrade);
        let leave = if upgrades && leave == Leave::HalfClosed { Leave::Politely } else { leave };
        let window = [1, 1, 2, 100][kernel.rng.below(4) as usize];
        let mut client = Client::new(number, items, leave, window, pace);
        client.patient = !manner.patient_server;
        if kernel.rng.chance(100) {
            client.first_pause_micros = kernel.rng.below(TROUBLE_MICROS);
        }
        client.think_micros = (0, if steady { STEADY_MICROS / 5 } else { 0 });
        clients.push(client);
    }
    clients
}

/// How a client holds the slot of its request for long.
fn draw_hog(total: u64, rng: &mut Rng) -> Leave {
    match rng.below(3) {
        0 => Leave::StopsSending(rng.below(total + 1)),
        1 => Leave::StopsReading(rng.below(3_000)),
        _ => Leave::Dribbles(rng.below(total + 1)),
    }
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
