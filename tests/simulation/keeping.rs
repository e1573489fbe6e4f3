//! Servers that keep idle connections for as long as well-known ones do, and clients with POSTs at
//! such times that they meet the ends: almost none may be lost, and few may need a new connection.

use super::client::{Client, Leave};
use super::kernel::{Event, Headers, Kernel, ListenerId, Style};
use super::listing::Listing;
use super::names::Names;
use super::net::{SimListener, SimNet};
use super::oracle::Oracle;
use super::request::{self, Sender};
use super::run::{Phase, Run};
use super::scene::Scene;
use super::script::Script;
use super::server::{Keeps, Manner};
use super::sites::SITES_PER_NAME;
use super::talker::Pace;
use super::world::World;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{AdminAddress, Config, HostPort, Mode};
use loadbalancer::health::Check;
use loadbalancer::proxy::{Limits, ListenerSettings, Proxy};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

const SEEDS: u64 = 2;
const CLIENTS: usize = 3;
const REQUESTS: usize = 120;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000 * MS;

struct Case {
    name: &'static str,
    keeps: Keeps,
    /// Shortest and longest pause between two requests of a client.
    pauses: (u64, u64),
    /// Most that may be lost of all requests of a run, and connections that may be opened, percent.
    lost_max: u64,
    connects_percent: usize,
}

fn idle(least: u64, most: u64) -> Keeps {
    Keeps { idle: Some((least, most)), ..Keeps::default() }
}

const GUNICORN: (u64, u64) = (2 * SECOND, 3 * SECOND);

fn cases() -> Vec<Case> {
    let case = |name, keeps, pauses, lost_max, connects_percent| Case {
        name,
        keeps,
        pauses,
        lost_max,
        connects_percent,
    };
    let (gunicorn, uvicorn) = (idle(GUNICORN.0, GUNICORN.1), idle(5 * SECOND, 5 * SECOND));
    let nginx = Keeps { announced: Some(1_000), ..idle(75 * SECOND, 75 * SECOND) };
    let counts = |most| Keeps { unannounced: Some(most), ..Keeps::default() };
    vec![
        case("closes nothing", Keeps::default(), (0, 3 * MS), 0, 5),
        case("gunicorn, at once", gunicorn, (0, 3 * MS), 0, 5),
        case("gunicorn, at its time", gunicorn, (1_500 * MS, 2_500 * MS), 0, 100),
        case("2 s sharp", idle(2 * SECOND, 2 * SECOND), (1_500 * MS, 2_500 * MS), 0, 100),
        case("uvicorn, Node, Apache", uvicorn, (500 * MS, 1_500 * MS), 0, 10),
        case("uvicorn, Node, Apache, at their time", uvicorn, (4 * SECOND, 6 * SECOND), 0, 100),
        case("nginx", nginx, (SECOND, 4 * SECOND), 0, 10),
        case("nginx, many", Keeps { announced: Some(20), ..nginx }, (0, 3 * MS), 0, 15),
        // Each of the first connections may meet its end at the same time.
        case("closes after 40 requests", counts(40), (0, 3 * MS), CLIENTS as u64, 100),
        case("closes after each request", counts(1), (0, 3 * MS), CLIENTS as u64, 100),
    ]
}

#[test]
fn hardly_a_post_is_lost_by_servers_that_close_idle_connections() {
    for case in cases() {
        for seed in 0..SEEDS {
            let Case { name, lost_max, connects_percent, .. } = case;
            let (mut run, _) = Run::of(draw(&case, seed));
            assert_eq!(run.until_empty(), Phase::Running);
            let (world, lost_by_proxy) = run.outcome();
            let (served, lost) = (world.oracle.served, world.oracle.lost);
            assert_eq!(served + lost, (CLIENTS * REQUESTS) as u64, "{name}, seed {seed}");
            assert!(lost <= lost_max, "{name}, seed {seed}: {lost} lost");
            assert_eq!(lost, lost_by_proxy, "{name}, seed {seed}: counted");
            let connects = world.conns.len() * 100 / (CLIENTS * REQUESTS);
            assert!(connects <= connects_percent, "{name}, seed {seed}: {connects} % connect");
        }
    }
}

fn draw(case: &Case, seed: u64) -> Script {
    let mut rng = Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let scene = Scene {
        mode: Mode::Http,
        names: 1,
        troubled: false,
        reloads: false,
        hogs: false,
        steady: true,
    };
    let mut listing = Listing::draw(Names::new(scene.names, false), false, &mut rng);
    let members = listing.read().members;
    let style = Style {
        buffer_min: 100_000,
        buffer_max: 200_000,
        turn_max: 100,
        delay_max: 500,
        descriptors: usize::MAX,
        ..scene.style(seed, false, &mut rng)
    };
    let manner = Manner { keeps: case.keeps, early: 0, ..scene.manner(&style, &mut rng) };
    let mut config = Config::new(HostPort::bare(80), Vec::new());
    config.health.check = Check::Off;
    // So that lost requests are counted.
    config.admin = Some(AdminAddress::Given(HostPort::bare(81)));
    let limits =
        Limits { pairs_max: 8, tunnels_max: 8, clients_max: 8, pipes_max: 4, trim_bytes: 40_000 };
    let mut kernel = Kernel::new(rng, style, SITES_PER_NAME, Headers::none());
    let mut oracle = Oracle::new(&config, &limits, listing.names);
    let clients =
        (0..CLIENTS).map(|number| client(number, case, &manner, &mut kernel, &mut oracle));
    let clients = clients.collect();
    let world = Rc::new(RefCell::new(World::new(kernel, oracle, clients, manner, listing)));
    let (net, listener) =
        (SimNet { world: Rc::clone(&world) }, SimListener::new(&world, ListenerId::Traffic));
    let settings = ListenerSettings::plain(config.mode.into());
    let settle_micros = scene.settle(&config).as_micros() as u64;
    let mut proxy = Proxy::new(net, config, members, limits, HashMap::new(), seed);
    proxy.listen(listener, settings).expect("listening");
    Script {
        resolve_micros: None,
        ends_slow: false,
        world,
        proxy,
        pairs_max: limits.pairs_max,
        settle_micros,
        connect_micros: u64::MAX,
        absence_micros: None,
        epilogue: None,
    }
}

fn client(
    number: usize,
    case: &Case,
    manner: &Manner,
    kernel: &mut Kernel,
    oracle: &mut Oracle,
) -> Client {
    let sender = Sender { slow: false, malice: 0, spoilt: false, method: Some("POST") };
    let items = (1..=REQUESTS)
        .map(|place| request::draw(place == REQUESTS, sender, manner, kernel, oracle))
        .collect();
    let pace = Pace { read_most: 200_000, write_most: 200_000, pause: 1 };
    let mut client = Client::new(number, items, Leave::Politely, 1, pace);
    client.think_micros = case.pauses;
    kernel.schedule(kernel.now + number as u64, Event::Arrive(number));
    client
}
