//! What a run is about, and the settings that follow from it.

use super::kernel::{Dice, Style};
use super::server::{Keeps, Manner};
use loadbalancer::balance;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{
    AdminAddress, Config, HeadLimits, HostPort, LogTarget, Mode, TrustedProxies,
};
use loadbalancer::health::Check;
use loadbalancer::proxy::Limits;
use std::path::PathBuf;
use std::time::Duration;

/// Most clients of a run.
pub const CLIENTS_MOST: usize = 20;

#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub mode: Mode,
    /// Servers.
    pub names: usize,
    /// Peers and the kernel may fail.
    pub troubled: bool,
    /// The list of servers changes.
    pub reloads: bool,
    /// Few slots, and clients that hold theirs by doing nothing while others wait.
    pub hogs: bool,
    /// Connections live long: they are what a change of the list has to find.
    pub steady: bool,
}

impl Scene {
    pub fn draw(rng: &mut Rng) -> Scene {
        let reloads = rng.chance(300);
        let mode = match rng.below(20) {
            0..=13 => Mode::Http,
            14..=17 => Mode::Tcp,
            _ => Mode::Redirect,
        };
        let names = rng.between(1, 4) as usize;
        let troubled = rng.chance(550);
        let steady = reloads && rng.chance(500);
        let hogs = mode == Mode::Http && troubled && !steady && rng.chance(200);
        Scene { mode, names, troubled, reloads, hogs, steady }
    }

    pub fn style(&self, seed: u64, verbose: bool, rng: &mut Rng) -> Style {
        let (buffer_min, buffer_max) =
            [(1, 60), (400, 4_000), (4_000, 40_000), (100_000, 200_000)][rng.below(4) as usize];
        Style {
            spurious: seed % 2 == 1,
            reset_discards: rng.chance(500),
            mischief: [0, 20, 150][rng.below(3) as usize],
            interleave: [0, 100, 500][rng.below(3) as usize],
            shortages: if self.troubled && rng.chance(200) { rng.between(1, 5) as u32 } else { 0 },
            descriptors: match rng.chance(100) {
                true => rng.between(2, 10) as usize,
                false => usize::MAX,
            },
            refuses_at_once: [300, 1_000][rng.below(2) as usize],
            jumps: u32::from(self.troubled && rng.chance(60)),
            buffer_min,
            buffer_max,
            turn_max: [30, 30, 500, 5_000][rng.below(4) as usize],
            delay_max: [50, 500, 5_000][rng.below(3) as usize],
            verbose,
        }
    }

    pub fn manner(&self, style: &Style, rng: &mut Rng) -> Manner {
        let body_max = [2_000, 20_000, 90_000][rng.below(3) as usize];
        Manner {
            faults: if self.troubled { [60, 250, 600][rng.below(3) as usize] } else { 0 },
            closes: if self.steady { 0 } else { 250 },
            closes_idle: if self.steady { 0 } else { [0, 300, 900][rng.below(3) as usize] },
            keeps: Keeps::default(),
            early: [0, 100, 500][rng.below(3) as usize],
            body_max: match self.steady {
                true => 300,
                false if style.buffer_max < 100 => 1_500,
                false => body_max,
            },
            stops: self.mode == Mode::Http,
            tcp: self.mode == Mode::Tcp,
            is_introduced: false,
            patient_server: rng.chance(500),
        }
    }

    pub fn config(&self, rng: &mut Rng) -> Config {
        let Scene { mode, reloads, troubled, .. } = *self;
        let mut config = Config::new(HostPort::bare(80), Vec::new());
        // Then a timer asks for the list, too.
        config.list_file = (reloads && rng.chance(500)).then(|| PathBuf::from("servers"));
        config.keep_alive_requests = rng.chance(200).then(|| rng.between(1, 4) as u32);
        // Fewer bytes than peers move in 10 s of the run, or more.
        config.rate_min = [0, 100, 2_000, 1_000_000][rng.below(4) as usize];
        if self.hogs && rng.chance(700) {
            config.rate_min = 2_000;
        }
        config.retry_budget = [0, 20, 100][rng.below(3) as usize];
        if rng.chance(150) {
            config.head = HeadLimits {
                bytes: rng.between(400, 2_000) as u32,
                fields: rng.between(8, 30) as u32,
                target: rng.between(25, 100) as u32,
            };
        }
        // Even numbers of servers: nothing is drawn, so that the seeds keep their runs.
        let at = HostPort::bare(81);
        config.admin = self.names.is_multiple_of(2).then_some(AdminAddress::Given(at));
        config.mode = mode;
        config.stream_requests =
            mode == Mode::Http && rng.chance(if self.hogs { 800 } else { 250 });
        config.strategy = balance::NAMES[rng.below(balance::NAMES.len() as u64) as usize].strategy;
        config.verbose = rng.chance(300);
        config.access_log = rng.chance(200).then_some(LogTarget::Stdout);
        config.attempts_max = rng.between(if troubled { 1 } else { 2 }, 3) as u8;
        config.trust_forwarded =
            if rng.chance(300) { TrustedProxies::All } else { TrustedProxies::None };
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
        if self.steady {
            timeouts.pool = Duration::from_millis(300);
        }
        timeouts.linger = Duration::from_millis([2_000, 5_000][rng.below(2) as usize]);
        timeouts.tunnel = Duration::from_secs(20);
        timeouts.lame_duck = Duration::from_millis([0, 0, 5, 2_000][rng.below(4) as usize]);
        if troubled {
            timeouts.response = Duration::from_secs(5);
            timeouts.idle = Duration::from_secs(if self.hogs { 20 } else { 5 });
            let queue = if self.hogs { [25, 25] } else { [1, 8] };
            timeouts.queue = Duration::from_secs(queue[rng.below(2) as usize]);
        } else {
            // A slow client in the only slot is no fault.
            timeouts.queue = Duration::from_secs(600);
        }
        config
    }

    pub fn limits(&self, rng: &mut Rng) -> Limits {
        let pairs_most = match self.hogs {
            true => 1,
            false if rng.chance(500) => 2,
            false => 8,
        };
        Limits {
            pairs_max: rng.between(1, pairs_most) as usize,
            tunnels_max: rng.between(1, 3) as usize,
            clients_max: if self.steady || self.hogs {
                CLIENTS_MOST
            } else {
                rng.between(1, 10) as usize
            },
            pipes_max: rng.below(4) as usize,
            trim_bytes: [1, 4_000, 40_000, 1_000_000][rng.below(4) as usize],
        }
    }

    /// How long a server may refuse every connection before it is down: the rest of a check that
    /// hangs, the pause before the next one, `fall` checks, and what is late.
    pub fn absence(&self, config: &Config) -> Option<Duration> {
        let health = &config.health;
        let is_checked = health.check != Check::Off;
        let checks = Duration::from_millis(500) * u32::from(health.fall);
        let late = Duration::from_secs(1);
        is_checked.then(|| health.timeout + health.interval * 2 + checks + late)
    }

    /// After the last client: how long until nothing may be left.
    pub fn settle(&self, config: &Config) -> Duration {
        let times = &config.timeouts;
        let longest = [times.idle, times.response, times.pool, times.keep_alive];
        let longest = longest.into_iter().max().unwrap_or_default() + times.queue + times.head;
        let has_tunnels = self.mode == Mode::Tcp || self.troubled;
        let tunnel = if has_tunnels { times.tunnel } else { Duration::ZERO };
        longest * 4 + tunnel * 2 + Duration::from_secs(10)
    }
}
