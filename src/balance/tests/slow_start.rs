//! Slow start: what a backend that came back gets of the requests, by every strategy.

use super::*;
use std::collections::VecDeque;

const SPAN: Duration = Duration::from_secs(100);
const BACKENDS: usize = 4;
/// The one that comes back. `first` sends it everything.
const BACK: usize = 0;

fn at(seconds: f64) -> Instant {
    Instant::from_micros((seconds * 1e6) as u64)
}

/// Clients in a closed loop: `depth` requests in flight, each takes as long as the next.
struct Load {
    balancer: Balancer,
    rng: Rng,
    in_flight: VecDeque<usize>,
    depth: usize,
}

impl Load {
    fn new(strategy: Strategy, weights: &[u32], span: Duration, depth: usize) -> Load {
        let mut balancer = Balancer::new(strategy, &specs(weights), 5).with_slow_start(span);
        for index in 0..weights.len() {
            balancer.probed(id(index), 1_000);
        }
        Load { balancer, rng: Rng::new(7), in_flight: VecDeque::new(), depth }
    }

    /// Part of `rounds` requests at `now` that goes to the one that comes back.
    fn share(&mut self, now: Instant, rounds: usize) -> f64 {
        let mut count = 0;
        for _ in 0..rounds {
            let hint = Hint { hash: self.rng.bits(), now, ..Hint::default() };
            let index = take(&mut self.balancer, &hint);
            count += usize::from(index == BACK);
            self.in_flight.push_back(index);
            if self.in_flight.len() > self.depth {
                let ended = id(self.in_flight.pop_front().expect("one"));
                self.balancer.served(ended, 1_000, now);
                self.balancer.ended(ended);
            }
        }
        count as f64 / rounds as f64
    }

    /// It goes down, and comes back when the others are busy.
    fn comes_back(&mut self, now: Instant) {
        self.balancer.set_up(id(BACK), false);
        self.share(now, 2_000);
        self.balancer.set_up(id(BACK), true);
        self.balancer.warm(id(BACK), now);
    }
}

#[test]
fn the_share_rises_linearly_from_a_tenth_by_every_strategy() {
    for strategy in strategies() {
        for depth in [0, 40] {
            for weights in [[1; BACKENDS], [3, 1, 2, 6]] {
                let what = format!("{} {weights:?}, {depth} in flight", strategy.name());
                // What it would get without: of what is picked by state that is its weight's part.
                let whole = match strategy {
                    Strategy::First => 1.0,
                    Strategy::Rank => 1.0 / BACKENDS as f64,
                    _ => f64::from(weights[BACK]) / f64::from(weights.iter().sum::<u32>()),
                };
                let mut without = Load::new(strategy, &weights, Duration::ZERO, depth);
                without.comes_back(at(1.0));
                let usual = without.share(at(1.0), 4_000);
                let mut load = Load::new(strategy, &weights, SPAN, depth);
                load.comes_back(at(1.0));
                for percent in [0, 10, 30, 50, 70, 90] {
                    let factor = 0.1 + 0.9 * f64::from(percent) / 100.0;
                    let now = at(1.0 + f64::from(percent));
                    let share = load.share(now, 4_000);
                    let most = factor * whole;
                    let least = factor * whole.min(usual);
                    // The ring is uneven, and keys whose servers are busy go on to the next.
                    let (slack, more) = match strategy {
                        Strategy::Source | Strategy::Uri | Strategy::Header => (0.35, 0.03),
                        _ => (0.15, 0.01),
                    };
                    let range = least * (1.0 - slack) - more..=most * (1.0 + slack) + more;
                    assert!(
                        range.contains(&share),
                        "{what}, after {percent} %: {share:.3}, not {least:.3} to {most:.3}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_returned_server_is_not_flooded() {
    for strategy in strategies() {
        let mut load = Load::new(strategy, &[1; BACKENDS], SPAN, 100);
        load.comes_back(at(1.0));
        // The others have a hundred in flight, it has none.
        let first = (0..100).filter(|_| load.share(at(1.0), 1) > 0.0).count();
        let most = if strategy == Strategy::First { 10 } else { 8 };
        assert!(first <= most, "{}: {first} of the first 100", strategy.name());
    }
}

#[test]
fn after_its_time_nothing_is_left_of_it() {
    for strategy in strategies() {
        let mut with = Load::new(strategy, &[2, 1, 1, 1], SPAN, 5);
        with.comes_back(at(1.0));
        with.share(at(101.0), 1);
        assert!(!with.balancer.slow_start.is_active(), "{}", strategy.name());
        assert_eq!(with.balancer.candidate(id(BACK)).share, 1_000);
    }
}

#[test]
fn there_is_none_without_the_option_or_another_server() {
    for strategy in strategies() {
        let mut off = Load::new(strategy, &[1; BACKENDS], Duration::ZERO, 5);
        off.comes_back(at(1.0));
        assert!(!off.balancer.slow_start.is_active());
        let mut only = Load::new(strategy, &[1], SPAN, 0);
        only.balancer.set_up(id(BACK), false);
        only.balancer.set_up(id(BACK), true);
        only.balancer.warm(id(BACK), at(1.0));
        assert!(!only.balancer.slow_start.is_active());
        assert_eq!(only.share(at(1.0), 100), 1.0, "{}", strategy.name());
        // The others go down while it warms up.
        let mut load = Load::new(strategy, &[1; BACKENDS], SPAN, 3);
        load.comes_back(at(1.0));
        (1..BACKENDS).for_each(|other| load.balancer.set_up(id(other), false));
        assert_eq!(load.share(at(2.0), 100), 1.0, "{}: it is the only one", strategy.name());
    }
}

#[test]
fn its_limit_rises_with_its_share() {
    let limited = Spec { pairs_max: Some(20), ..spec(1, 0) };
    let mut balancer = Balancer::new(Strategy::First, &[limited, spec(1, 1)], 1);
    balancer = balancer.with_slow_start(SPAN);
    balancer.set_up(id(0), false);
    balancer.set_up(id(0), true);
    balancer.warm(id(0), at(0.0));
    let mut in_flight = 0;
    for (second, expected) in [(0.0, 2), (50.0, 11), (99.0, 20), (100.0, 20)] {
        let hint = Hint { now: at(second), ..Hint::default() };
        for _ in 0..2_000 {
            let picked = balancer.pick(&hint).expect("one is there");
            if picked == id(0) {
                balancer.began(picked);
                in_flight += 1;
            }
        }
        assert_eq!(in_flight, expected, "after {second} s");
    }
    // When the other one is down it takes all it can.
    balancer.warm(id(0), at(200.0));
    assert!(balancer.candidate(id(0)).is_full());
    for _ in 0..15 {
        balancer.ended(id(0));
    }
    balancer.set_up(id(1), false);
    let hint = Hint { now: at(201.0), ..Hint::default() };
    assert_eq!((0..30).filter_map(|_| balancer.pick(&hint)).count(), 30);
    for _ in 0..15 {
        take(&mut balancer, &hint);
    }
    assert_eq!(balancer.pick(&hint), None, "20 are in flight");
}

#[test]
fn keys_that_have_moved_back_stay() {
    let mut balancer = Balancer::new(Strategy::Uri, &specs(&[1; BACKENDS]), 1);
    balancer = balancer.with_slow_start(SPAN);
    balancer.set_up(id(BACK), false);
    balancer.set_up(id(BACK), true);
    balancer.warm(id(BACK), at(0.0));
    let mut rng = Rng::new(3);
    let keys: Vec<u64> = (0..2_000).map(|_| rng.bits()).collect();
    let mut before: Vec<Option<BackendId>> = vec![None; keys.len()];
    for second in (0..=100).step_by(5) {
        for (key, before) in keys.iter().zip(&mut before) {
            let hint = Hint { hash: *key, now: at(f64::from(second)), ..Hint::default() };
            let picked = balancer.pick(&hint);
            let is_same = before.is_none() || picked == *before;
            assert!(is_same || picked == Some(id(BACK)), "a key moved elsewhere");
            *before = picked;
        }
    }
    let back = before.iter().filter(|picked| **picked == Some(id(BACK))).count();
    assert!(back > 300, "{back} of 2000 keys");
}

#[test]
fn an_explanation_names_a_server_that_has_had_its_share() {
    let mut load = Load::new(Strategy::RoundRobin, &[1; BACKENDS], SPAN, 3);
    load.comes_back(at(1.0));
    let hint = Hint { now: at(1.0), ..Hint::default() };
    let skips = (0..20).filter(|_| {
        let picked = load.balancer.pick(&hint).expect("one is there");
        let explained = load.balancer.explain(picked, &hint).to_string();
        load.balancer.began(picked);
        explained.contains("#0 in slow start")
    });
    assert!(skips.count() > 5);
}
