//! What every strategy must keep, checked against plain scans, and the published facts.

mod fairness;
mod policies;
mod slow_start;

use super::*;
use crate::base::backend_id::BackendId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use std::time::Duration;

fn id(index: usize) -> BackendId {
    BackendId::new(index)
}

fn spec(weight: u32, host: usize) -> Spec {
    let id = hash(format!("10.0.0.{host}:80").as_bytes());
    Spec { weight, backup: false, pairs_max: None, admin: AdminState::Ready, id }
}

fn specs(weights: &[u32]) -> Vec<Spec> {
    weights.iter().enumerate().map(|(id, &weight)| spec(weight, id)).collect()
}

fn strategies() -> impl Iterator<Item = Strategy> {
    NAMES.iter().map(|row| row.strategy)
}

/// Picks and begins.
fn take(balancer: &mut Balancer, hint: &Hint<'_>) -> usize {
    let picked = balancer.pick(hint).unwrap();
    balancer.began(picked);
    picked.index()
}

/// How often each was taken in `rounds` picks, each ended only `depth` picks later.
fn shares(balancer: &mut Balancer, backends: usize, rounds: usize, depth: usize) -> Vec<f64> {
    let mut rng = Rng::new(99);
    let mut counts = vec![0.0; backends];
    let mut held = std::collections::VecDeque::new();
    for _ in 0..rounds {
        let index = take(balancer, &Hint { hash: rng.bits(), ..Hint::default() });
        counts[index] += 1.0 / rounds as f64;
        held.push_back(index);
        if held.len() > depth {
            balancer.ended(id(held.pop_front().unwrap()));
        }
    }
    counts
}

#[test]
fn names_and_aliases_lead_to_their_strategy_and_back() {
    for row in &NAMES {
        assert_eq!(row.strategy.name(), row.name);
        for name in row.aliases.iter().chain([&row.name]) {
            assert_eq!(Strategy::from_name(name), Some(row.strategy), "{name}");
        }
    }
    let aliases = [
        ("roundrobin", "rr"),
        ("round_robin", "rr"),
        ("leastconn", "least-conn"),
        ("least_conn", "least-conn"),
        ("leasttime", "least-time"),
        ("least_time", "least-time"),
        ("ip_hash", "source"),
        ("uri_hash", "uri"),
        ("random", "rand"),
    ];
    for (alias, name) in aliases {
        assert_eq!(Strategy::from_name(alias).map(Strategy::name), Some(name), "{alias}");
    }
    for name in ["", "RR", "rr ", "round", "least"] {
        assert_eq!(Strategy::from_name(name), None, "{name}");
    }
}

/// The published test of seed 003's course, and what follows from "ties in turn".
#[test]
fn the_published_facts_hold() {
    let free: &[(usize, usize)] = &[];
    let all: Vec<(usize, usize)> = (0..8).map(|step| (step, step % 4)).collect();
    let cases = [
        ("rr", Strategy::RoundRobin, free, [0, 1, 2, 3, 0, 1, 2, 3]),
        ("least-conn, no release", Strategy::LeastConn, free, [0, 1, 2, 3, 0, 1, 2, 3]),
        (
            "least-conn, releases",
            Strategy::LeastConn,
            &[(4, 0), (5, 3), (6, 2), (7, 0)],
            [0, 1, 2, 3, 0, 0, 3, 2],
        ),
        ("least-conn, one client", Strategy::LeastConn, &all, [0, 1, 2, 3, 0, 1, 2, 3]),
        ("least-time, untried first", Strategy::LeastTime, free, [0, 1, 2, 3, 0, 1, 2, 3]),
        ("least-load, own counts", Strategy::LeastLoad, free, [0, 1, 2, 3, 0, 1, 2, 3]),
        ("first", Strategy::First, free, [0; 8]),
    ];
    for (name, strategy, releases, expected) in cases {
        let mut balancer = Balancer::new(strategy, &specs(&[1; 4]), 1);
        let mut picks = Vec::new();
        for step in 0..expected.len() {
            picks.push(take(&mut balancer, &Hint::default()));
            for &(_, index) in releases.iter().filter(|(at, _)| *at == step) {
                balancer.ended(id(index));
            }
        }
        assert_eq!(picks, expected, "{name}");
    }
}

/// A random walk through everything a proxy can do, checked at each pick against a plain scan.
struct Walk {
    balancer: Balancer,
    rng: Rng,
    size: usize,
    now: Instant,
}

impl Walk {
    fn new(strategy: Strategy, seed: u64) -> Walk {
        let mut rng = Rng::new(seed);
        let size = 1 + rng.below(9) as usize;
        let specs: Vec<_> = (0..size).map(|id| Walk::spec(&mut rng, id)).collect();
        Walk { balancer: Balancer::new(strategy, &specs, seed), rng, size, now: Instant::START }
    }

    fn spec(rng: &mut Rng, id: usize) -> Spec {
        let limit = 1 + rng.below(4) as u32;
        Spec {
            backup: rng.below(4) == 0,
            pairs_max: (rng.below(3) == 0).then_some(limit),
            admin: match rng.below(10) {
                0 => AdminState::Drain,
                1 => AdminState::Down,
                _ => AdminState::Ready,
            },
            ..spec(1 + rng.below(4) as u32, id)
        }
    }

    /// Something happens to some backend.
    fn disturb(&mut self) {
        self.now = self.now + Duration::from_millis(self.rng.below(400));
        let index = self.rng.below(self.size as u64) as usize;
        let membership = self.balancer.candidate(id(index)).membership;
        if membership == Membership::Vacant {
            if self.rng.below(4) == 0 {
                let vacant =
                    |i: &usize| self.balancer.candidate(id(*i)).membership == Membership::Vacant;
                let lowest = (0..self.size).find(vacant);
                let spec = Walk::spec(&mut self.rng, index);
                assert_eq!(Some(self.balancer.add(spec)), lowest.map(id));
            }
            return;
        }
        let (one, other) = (self.rng.below(2_000), self.rng.below(30));
        match self.rng.below(13) {
            0 => self.balancer.set_up(id(index), one % 3 > 0),
            1 => self.balancer.set_leaving(id(index), one % 3 == 0),
            2 => self.balancer.served(id(index), one * 100, self.now),
            3 => self.balancer.probed(id(index), one),
            4 => self.balancer.report(id(index), other, one % 3),
            5 => self.balancer.failed(id(index), (one % 3 > 0).then_some(one * 100), self.now),
            6 if self.balancer.in_flight(id(index)) == 0 && other == 0 => {
                self.balancer.remove(id(index))
            }
            7 => {
                let spec = Walk::spec(&mut self.rng, index);
                self.balancer.reconfigure(id(index), spec);
            }
            8 => self.balancer.began(id(index)),
            _ if self.balancer.in_flight(id(index)) > 0 => self.balancer.ended(id(index)),
            _ => {}
        }
    }

    /// Those that may be picked, by scanning all.
    fn allowed(&self, tried: &[usize]) -> Vec<usize> {
        let open = |backup: bool| {
            let fits = move |index: &usize| {
                let candidate = self.balancer.candidate(id(*index));
                let full = candidate.spec.pairs_max.is_some_and(|max| candidate.in_flight >= max);
                let serving = candidate.is_in_rotation() && candidate.up && !full;
                serving && candidate.spec.backup == backup && !tried.contains(index)
            };
            (0..self.size).filter(fits).collect::<Vec<_>>()
        };
        if open(false).is_empty() { open(true) } else { open(false) }
    }

    /// A request: picks, compares with the scan, returns what happened.
    fn request(&mut self) -> Option<(usize, Explanation)> {
        let draws = self.rng.below(4) * self.rng.below(2);
        let size = self.size as u64;
        let tried: Vec<_> = (0..draws).map(|_| self.rng.below(size) as usize).collect();
        let tried_ids: Vec<_> = tried.iter().copied().map(id).collect();
        let hint = Hint { tried: &tried_ids, hash: self.rng.bits(), now: self.now };
        let picked = self.balancer.pick(&hint).map(BackendId::index);
        let allowed = self.allowed(&tried);
        assert_eq!(self.balancer.eligible_count(), self.allowed(&[]).len());
        match picked {
            None => assert!(allowed.is_empty(), "none picked of {allowed:?}"),
            Some(index) => assert!(allowed.contains(&index), "{index} is not in {allowed:?}"),
        }
        let index = picked?;
        let why = self.balancer.explain(id(index), &hint);
        assert_eq!(why.skipped.len() + allowed.len(), self.present());
        check(&why, &allowed, &self.balancer);
        self.balancer.began(id(index));
        Some((index, why))
    }

    fn present(&self) -> usize {
        let of = |index: &usize| self.balancer.candidate(id(*index)).membership;
        (0..self.size).filter(|index| of(index) != Membership::Vacant).count()
    }
}

/// The least by `key`, of equals the first, where keys come in index order.
fn least<F, K: PartialOrd>(among: &[(usize, F)], key: impl Fn(&F) -> K) -> usize {
    let mut best = &among[0];
    for other in &among[1..] {
        if key(&other.1) < key(&best.1) {
            best = other;
        }
    }
    best.0
}

/// Computes the choice again from the record's figures alone, by other arithmetic than the code's.
fn check(why: &Explanation, allowed: &[usize], balancer: &Balancer) {
    fn indices<F>(among: &[(usize, F)]) -> Vec<usize> {
        let mut indices: Vec<_> = among.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        indices
    }
    let per = |amount: u64, weight: u32| amount as f64 / f64::from(weight);
    let expected = |us: u64, it: &Score| match it.in_flight {
        0 => us as f64,
        in_flight => per(us * u64::from(in_flight + 1), it.weight),
    };
    let level = |it: &Level| (per(it.in_flight.into(), it.weight), it.due, it.order);
    let (expected, seen) = match &why.reason {
        Reason::First { among } => (among[0], among.clone()),
        Reason::Turn { due } => (least(due, |due| *due), indices(due)),
        Reason::Conns { among } => (least(among, level), indices(among)),
        Reason::Load { among } => {
            let load = |it: &Load| (per(it.requests, it.weight), it.errors, it.order);
            (least(among, load), indices(among))
        }
        Reason::Time { among } => {
            let score = |it: &Score| match it.time {
                ResponseTime::Untried => (0, 0.0, 0, it.order),
                ResponseTime::Average(us) => (1, expected(us.max(1), it), it.due, it.order),
                ResponseTime::Unanswered => (2, expected(1, it), it.due, it.order),
            };
            (least(among, score), indices(among))
        }
        Reason::Two { drawn } => {
            let distinct = drawn[0].0 != drawn[1].0 || allowed.len() == 1;
            assert!(distinct && drawn.iter().all(|(index, _)| allowed.contains(index)));
            (least(drawn, |it| per(it.in_flight.into(), it.weight)), allowed.to_vec())
        }
        Reason::Chance { among } => {
            let drawn = among.iter().find(|(index, _)| *index == why.picked).unwrap();
            assert!(drawn.1 > 0 && among.iter().all(|(_, chance)| *chance > 0));
            (why.picked, indices(among))
        }
        Reason::Explored { score } => {
            assert_eq!(score.in_flight, 0);
            (why.picked, allowed.to_vec())
        }
        Reason::Key { passed, in_flight, weight } => {
            let share = |weight_of: u32| {
                1.25 * (*in_flight as f64 + 1.0) * f64::from(weight_of) / *weight as f64
            };
            for it in passed {
                assert!(it.in_flight >= 8 && f64::from(it.in_flight) >= share(it.weight) - 1e-9);
                assert!(allowed.contains(&it.index) && it.index != why.picked);
            }
            let own = balancer.candidate(id(why.picked));
            let held = f64::from(own.in_flight);
            assert!(own.in_flight < 8 || held < share(own.spec.weight) + 1e-9);
            (why.picked, allowed.to_vec())
        }
    };
    assert_eq!(expected, why.picked, "{why:?}");
    assert_eq!(seen, allowed, "{why:?}");
}

/// Eligible only; never none while one is; backups only when no other; limits; tried ones avoided;
/// and the record's figures imply the pick: in more than 10^5 random states.
#[test]
fn every_strategy_keeps_the_rules_on_random_walks() {
    for strategy in strategies() {
        for seed in 0..60 {
            let mut walk = Walk::new(strategy, seed);
            for _ in 0..200 {
                for _ in 0..walk.rng.below(3) {
                    walk.disturb();
                }
                walk.request();
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_picks() {
    for strategy in strategies() {
        let run = |seed| {
            let mut walk = Walk::new(strategy, seed);
            let mut step = || {
                walk.disturb();
                walk.request().map(|(index, why)| (index, why.to_string()))
            };
            (0..300).map(|_| step()).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5), "{}", strategy.name());
    }
}

#[test]
fn shares_follow_the_weights() {
    let weights = [5, 1, 1, 3];
    let cases = [
        (Strategy::RoundRobin, 0, 0.001),
        (Strategy::RoundRobin, 50, 0.001),
        (Strategy::Random, 0, 0.01),
        (Strategy::LeastConn, 0, 0.001),
        (Strategy::LeastConn, 50, 0.02),
        (Strategy::LeastLoad, 0, 0.001),
        (Strategy::PowerOfTwo, 0, 0.01),
        (Strategy::PowerOfTwo, 200, 0.02),
        (Strategy::Source, 0, 0.08),
        (Strategy::Uri, 400, 0.08),
    ];
    for (strategy, depth, tolerance) in cases {
        let mut balancer = Balancer::new(strategy, &specs(&weights), 7);
        let shares = shares(&mut balancer, 4, 40_000, depth);
        for (share, weight) in shares.iter().zip(weights) {
            let off = (share - f64::from(weight) / 10.0).abs();
            assert!(off < tolerance, "{} at {depth}: {shares:?}", strategy.name());
        }
    }
}
