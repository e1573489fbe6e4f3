//! Shares over time: clients in a closed loop over servers whose responses take time and may fail.

use super::*;
use std::collections::BTreeSet;

/// How the time of responses varies around its mean.
#[derive(Clone, Copy, Debug)]
enum Noise {
    None,
    /// Evenly from half to one and a half times the mean.
    Uniform,
    /// Exponentially: many short ones, a few long ones.
    Exponential,
    /// One response in 100 takes 50 times as long.
    Hiccups,
}

/// A server under test.
#[derive(Clone, Copy, Debug)]
struct Server {
    mean_us: u64,
    noise: Noise,
    /// Percent of responses that are an error after 100 µs.
    errors: u64,
}

impl Server {
    fn response_us(&self, rng: &mut Rng) -> u64 {
        let mean = self.mean_us as f64;
        let uniform = rng.below(1_000_000) as f64 / 1e6;
        let us = match self.noise {
            Noise::None => mean,
            Noise::Uniform => mean * (0.5 + uniform),
            Noise::Exponential => mean * -(1.0 - uniform).ln(),
            Noise::Hiccups if uniform < 0.01 => mean * 50.0,
            Noise::Hiccups => mean * (0.9 + uniform / 5.0),
        };
        us as u64 + 1
    }
}

/// The share of each server in `requests` requests of so many clients.
fn shares(strategy: Strategy, servers: &[Server], clients: usize, requests: usize) -> Vec<f64> {
    let mut rng = Rng::new(clients as u64);
    let mut balancer = Balancer::new(strategy, &specs(&vec![1; servers.len()]), 7);
    for backend in 0..servers.len() {
        balancer.probed(id(backend), 1_000 + backend as u64);
    }
    let mut counts = vec![0.0; servers.len()];
    // Ends of what is in flight: time, request, server, duration, and whether it fails.
    let mut ends: BTreeSet<(u64, usize, usize, u64, bool)> = BTreeSet::new();
    let mut now = 0;
    for request in 0..requests {
        if ends.len() == clients {
            let (end, _, index, us, fails) = ends.pop_first().unwrap();
            now = end;
            let at = Instant::from_micros(end);
            match fails {
                true => balancer.failed(id(index), Some(us), at),
                false => balancer.served(id(index), us, at),
            }
            balancer.ended(id(index));
        }
        let hint = Hint { hash: rng.bits(), now: Instant::from_micros(now), ..Hint::default() };
        let index = take(&mut balancer, &hint);
        counts[index] += 1.0 / requests as f64;
        let fails = rng.below(100) < servers[index].errors;
        let us = if fails { 100 } else { servers[index].response_us(&mut rng) };
        ends.insert((now + us, request, index, us, fails));
    }
    counts
}

#[test]
fn equally_fast_servers_share_under_least_time() {
    for noise in [Noise::None, Noise::Uniform, Noise::Exponential, Noise::Hiccups] {
        for mean_us in [200, 5_000, 300_000] {
            for clients in [1, 4, 30] {
                let servers = [Server { mean_us, noise, errors: 0 }; 3];
                let shares = shares(Strategy::LeastTime, &servers, clients, 2_000);
                let is_even = |share: &f64| (0.23..0.43).contains(share);
                let name = format!("{noise:?}, {mean_us} µs, {clients} clients");
                assert!(shares.iter().all(is_even), "{name}: {shares:.2?}");
            }
        }
    }
}

#[test]
fn a_server_that_fails_fast_gets_at_most_its_even_share() {
    let good = Server { mean_us: 5_000, noise: Noise::Uniform, errors: 0 };
    for strategy in strategies() {
        for (count, clients) in [(2, 1), (2, 4), (2, 30), (3, 4), (5, 1), (5, 30)] {
            let good = vec![good; count];
            let plain = shares(strategy, &good, clients, 2_500)[1];
            for errors in [100, 50, 10] {
                let mut servers = good.clone();
                servers[1].errors = errors;
                let failing = shares(strategy, &servers, clients, 2_500)[1];
                let name = strategy.name();
                let case = format!("{name}: {errors} % errors of 1 in {count}, {clients} clients");
                let even = plain.max(1.0 / count as f64);
                assert!(failing < even + 0.025, "{case}: {failing:.3}, without {plain:.3}");
            }
        }
    }
}

#[test]
fn equally_fast_servers_share_by_weight_under_least_time() {
    for clients in [1, 4, 30] {
        let mut balancer = Balancer::new(Strategy::LeastTime, &specs(&[3, 1]), 1);
        let mut held = std::collections::VecDeque::new();
        let mut counts = [0.0; 2];
        for step in 0..2_000 {
            let now = Instant::from_micros(step * 5_000);
            if held.len() == clients {
                let index = held.pop_front().unwrap();
                balancer.served(id(index), 5_000, now);
                balancer.ended(id(index));
            }
            let index = take(&mut balancer, &Hint { now, ..Hint::default() });
            counts[index] += 1.0 / 2_000.0;
            held.push_back(index);
        }
        assert!((0.72..0.78).contains(&counts[0]), "{clients} clients: {counts:?}");
    }
}

#[test]
fn where_every_server_fails_their_speed_counts_again() {
    let mut balancer = Balancer::new(Strategy::LeastTime, &specs(&[1; 2]), 1);
    let at = |us| Instant::from_micros(us);
    for (index, us) in [(0, 9_000), (1, 200)] {
        assert_eq!(take(&mut balancer, &Hint::default()), index);
        balancer.served(id(index), 5_000, at(0));
        balancer.failed(id(index), Some(us), at(0));
        balancer.ended(id(index));
    }
    let mut now = 0;
    let mut counts = [0; 2];
    for _ in 0..100 {
        let index = take(&mut balancer, &Hint { now: at(now), ..Hint::default() });
        let us = [9_000, 200][index];
        now += us;
        balancer.failed(id(index), Some(us), at(now));
        balancer.ended(id(index));
        counts[index] += 1;
    }
    assert!(counts[1] > 80, "{counts:?}");
}

/// A failure counts as in flight for the rest of a usual response, and not longer.
#[test]
fn a_failed_request_is_held_until_a_usual_response_would_have_come() {
    let at = |us| Hint { now: Instant::from_micros(us), ..Hint::default() };
    let picks_after = |response_us: Option<u64>| {
        let mut balancer = Balancer::new(Strategy::LeastConn, &specs(&[1; 2]), 1);
        balancer.served(id(0), 5_000, Instant::START);
        balancer.began(id(0));
        balancer.began(id(1));
        balancer.failed(id(1), response_us, Instant::from_micros(10_000));
        balancer.ended(id(1));
        // Held, it is as busy as the other one, whose turn it is.
        [14_000, 15_001].map(|us| balancer.pick(&at(us)).map(BackendId::index))
    };
    assert_eq!(picks_after(None), [Some(0), Some(1)]);
    assert_eq!(picks_after(Some(500)), [Some(0), Some(1)]);
    assert_eq!(picks_after(Some(4_500)), [Some(1), Some(1)]);
}

#[test]
fn a_removed_server_leaves_no_failed_requests_to_the_next_of_its_index() {
    let mut balancer = Balancer::new(Strategy::LeastConn, &specs(&[1; 2]), 1);
    balancer.served(id(0), 5_000, Instant::START);
    balancer.failed(id(1), None, Instant::START);
    balancer.remove(id(1));
    assert_eq!(balancer.add(spec(1, 2)), id(1));
    balancer.began(id(0));
    assert_eq!(balancer.pick(&Hint::default()), Some(id(1)));
    let later = Hint { now: Instant::from_micros(60_000), ..Hint::default() };
    assert_eq!(balancer.pick(&later), Some(id(1)));
}
