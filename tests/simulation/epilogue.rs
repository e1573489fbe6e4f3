//! The end of a run, without faults: one server is listed, perhaps again, every address answers,
//! and new clients must be served by it. An earlier leak (a slot, a client entry, a server that
//! is never used again) shows here.

use super::by_hand::Order;
use super::client::{Client, Leave};
use super::kernel::{Dice, Event, Kernel, Port};
use super::oracle::Oracle;
use super::request::{self, Sender};
use super::scene::Scene;
use super::server::Manner;
use super::talker::{Pace, Talker};
use super::world::World;
use loadbalancer::config::{Config, Mode};
use std::time::Duration;

/// Time between two probes of a server that is down, at most.
const DOWN_INTERVAL: Duration = Duration::from_secs(1);

/// A probe that hangs, late reports, and the pause of the acceptor.
const TROUBLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Epilogue {
    mode: Mode,
    name: usize,
    clients: usize,
    /// How long it may take the proxy to find that a server is up.
    recovery: Duration,
}

impl Epilogue {
    pub fn draw(scene: &Scene, config: &Config, kernel: &mut Kernel) -> Epilogue {
        let health = &config.health;
        let down_interval = health.interval.min(DOWN_INTERVAL);
        let recovery = match scene.troubled {
            true => (health.interval + down_interval * u32::from(health.rise)) * 2 + TROUBLE,
            false => Duration::from_millis(100),
        };
        Epilogue {
            mode: scene.mode,
            name: kernel.rng.below(scene.names as u64) as usize,
            // A session lasts as long as it likes: others could wait for it in vain.
            clients: if scene.mode == Mode::Tcp { 1 } else { kernel.rng.between(1, 3) as usize },
            recovery,
        }
    }

    /// All faults end, the list changes, and the clients connect.
    pub fn begin(&self, world: &mut World) {
        let kernel = &mut world.kernel;
        kernel.trace(format_args!("epilogue: server {} is listed, and no other", self.name));
        (world.is_epilogue, world.sleeps_for_ever) = (true, false);
        world.manner = Manner { faults: 0, closes_idle: 0, ..world.manner };
        (kernel.style.shortages, kernel.style.jumps) = (0, 0);
        kernel.style.descriptors = usize::MAX;
        kernel.ports.fill(Port::Listens);
        kernel.handshakes.become_sound();
        for link in std::mem::take(&mut world.frozen) {
            kernel.wake_at(link, kernel.now);
        }
        world.listing.list_only(self.name);
        world.orders = vec![Order::up(self.name)];
        kernel.reload();
        world.oracle.epilogue_from = Some(world.oracle.requests.len());
        world.oracle.crowded |= self.clients > world.oracle.clients_max;
        let at = kernel.now + self.recovery.as_micros() as u64;
        for _ in 0..self.clients {
            let number = world.clients.len();
            let at = at + kernel.rng.below(3_000);
            kernel.schedule(at, Event::Arrive(number));
            let client = self.client(number, &world.manner, kernel, &mut world.oracle);
            world.clients.push(client);
        }
    }

    fn client(
        &self,
        number: usize,
        manner: &Manner,
        kernel: &mut Kernel,
        oracle: &mut Oracle,
    ) -> Client {
        let pace = Pace::draw(kernel);
        if self.mode == Mode::Tcp {
            let mut client = Client::new(number, Vec::new(), Leave::Politely, 1, pace);
            client.talker = Some(Talker::new(oracle, kernel, !manner.patient_server, false));
            return client;
        }
        let sender = Sender { slow: true, malice: 0, spoilt: false, method: None };
        let requests = kernel.rng.between(1, 3);
        let items = (1..=requests)
            .map(|place| request::draw(place == requests, sender, manner, kernel, oracle))
            .collect();
        let mut client = Client::new(number, items, Leave::Politely, 1, pace);
        client.patient = !manner.patient_server;
        client
    }

    /// They were served.
    pub fn check(&self, world: &World) {
        let clients = &world.clients[world.clients.len() - self.clients..];
        for client in clients {
            let served = match &client.talker {
                Some(talker) if self.mode == Mode::Tcp => talker.has_met(),
                Some(_) | None => true,
            };
            assert!(served, "client {} was not served after all trouble", client.number);
        }
    }
}
