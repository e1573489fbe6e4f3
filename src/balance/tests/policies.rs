//! One behaviour of one policy each; what all must keep is in the parent module.

use super::*;

#[test]
fn heavy_servers_interleave_with_light_ones() {
    let mut balancer = Balancer::new(Strategy::RoundRobin, &specs(&[5, 1, 1]), 1);
    let picks: Vec<_> = (0..28).map(|_| take(&mut balancer, &Hint::default())).collect();
    for round in picks.chunks(7) {
        assert_eq!(round.iter().filter(|&&index| index == 0).count(), 5, "{picks:?}");
    }
    let longest = picks.split(|&index| index != 0).map(<[usize]>::len).max();
    assert!(longest <= Some(3), "{picks:?}");
}

#[test]
fn a_server_that_was_away_does_not_catch_up() {
    for strategy in [Strategy::RoundRobin, Strategy::LeastConn] {
        let mut balancer = Balancer::new(strategy, &specs(&[1; 4]), 1);
        balancer.set_up(id(2), false);
        let mut turn = || {
            let index = take(&mut balancer, &Hint::default());
            balancer.ended(id(index));
            index
        };
        let _ = (0..1_000).map(|_| turn()).collect::<Vec<_>>();
        balancer.set_up(id(2), true);
        let mut counts = [0; 4];
        for _ in 0..8 {
            let index = take(&mut balancer, &Hint::default());
            balancer.ended(id(index));
            counts[index] += 1;
        }
        assert_eq!(counts, [2; 4], "{}", strategy.name());
    }
}

#[test]
fn a_tried_server_keeps_its_turn() {
    let mut balancer = Balancer::new(Strategy::RoundRobin, &specs(&[1; 4]), 1);
    assert_eq!(take(&mut balancer, &Hint::default()), 0);
    assert_eq!(take(&mut balancer, &Hint { tried: &[id(0), id(1)], ..Hint::default() }), 2);
    let picks: Vec<_> = (0..5).map(|_| take(&mut balancer, &Hint::default())).collect();
    assert_eq!(picks, [1, 3, 0, 1, 2]);
}

#[test]
fn a_backup_is_tried_before_giving_up_and_left_when_another_returns() {
    let backup = Spec { backup: true, ..spec(1, 1) };
    for strategy in strategies() {
        let mut balancer = Balancer::new(strategy, &[spec(1, 0), backup], 1);
        assert_eq!(balancer.pick(&Hint::default()), Some(id(0)));
        assert_eq!(balancer.pick(&Hint { tried: &[id(0)], ..Hint::default() }), Some(id(1)));
        assert_eq!(balancer.pick(&Hint { tried: &[id(0), id(1)], ..Hint::default() }), None);
        balancer.set_up(id(0), false);
        assert_eq!(balancer.pick(&Hint::default()), Some(id(1)));
        balancer.set_up(id(0), true);
        assert_eq!(balancer.pick(&Hint::default()), Some(id(0)));
    }
}

#[test]
fn no_backend_at_all_is_none() {
    for strategy in strategies() {
        let mut balancer = Balancer::new(strategy, &[], 1);
        assert_eq!(balancer.pick(&Hint::default()), None);
        assert_eq!(balancer.add(spec(1, 0)), id(0));
        assert_eq!(balancer.pick(&Hint::default()), Some(id(0)));
        balancer.remove(id(0));
        assert_eq!(balancer.pick(&Hint::default()), None);
    }
}

#[test]
fn a_thousand_backends_are_all_reached() {
    for strategy in [Strategy::RoundRobin, Strategy::LeastConn, Strategy::LeastLoad] {
        let mut balancer = Balancer::new(strategy, &specs(&[1; 1_000]), 1);
        let picks: Vec<_> = (0..2_000).map(|_| take(&mut balancer, &Hint::default())).collect();
        assert!(picks.iter().enumerate().all(|(step, &index)| index == step % 1_000));
    }
}

/// Closed loop: `clients` at a time over three servers, the third taking `slow_us`; how many
/// answers came from the third within `span`.
struct Race {
    balancer: Balancer,
    now: u64,
    ends: std::collections::BTreeSet<(u64, u64, usize, u64)>,
    begun: u64,
}

impl Race {
    fn run(&mut self, clients: usize, slow_us: u64, span: Duration) -> f64 {
        let until = self.now + span.as_micros() as u64;
        let (mut slow, mut all) = (0.0, 0.0);
        while self.now < until {
            while self.ends.len() < clients {
                let now = Instant::from_micros(self.now);
                let index = take(&mut self.balancer, &Hint { now, ..Hint::default() });
                let time = if index == 2 { slow_us } else { 5_000 };
                self.begun += 1;
                self.ends.insert((self.now + time, self.begun, index, time));
                slow += f64::from(u8::from(index == 2));
                all += 1.0;
            }
            let (end, _, index, time) = self.ends.pop_first().unwrap();
            self.now = end;
            self.balancer.ended(id(index));
            self.balancer.served(id(index), time, Instant::from_micros(end));
        }
        slow / all
    }
}

#[test]
fn least_time_leaves_a_slow_server_and_finds_it_again() {
    for clients in [1, 4, 30] {
        let balancer = Balancer::new(Strategy::LeastTime, &specs(&[1; 3]), 1);
        let mut race = Race { balancer, now: 0, ends: Default::default(), begun: 0 };
        let name = format!("{clients} clients");
        let even = race.run(clients, 5_000, Duration::from_secs(20));
        assert!((0.25..0.42).contains(&even), "{name}: {even}");
        let slow = race.run(clients, 205_000, Duration::from_secs(60));
        assert!(slow < 0.05, "{name}: {slow}");
        race.run(clients, 5_000, Duration::from_secs(10));
        let again = race.run(clients, 5_000, Duration::from_secs(10));
        assert!((0.25..0.42).contains(&again), "{name}: {again}");
    }
}

#[test]
fn least_time_does_not_return_to_a_server_that_never_answers() {
    let mut balancer = Balancer::new(Strategy::LeastTime, &specs(&[1; 3]), 1);
    let mut counts = [0; 3];
    for step in 0..1_000 {
        let now = Instant::from_micros(step * 10_000);
        let index = take(&mut balancer, &Hint { now, ..Hint::default() });
        balancer.ended(id(index));
        counts[index] += 1;
        if index != 0 {
            balancer.served(id(index), 5_000, now);
        }
    }
    assert!(counts[0] <= 4, "{counts:?}");
}

#[test]
fn least_load_follows_the_reports_and_what_was_sent_since() {
    let mut balancer = Balancer::new(Strategy::LeastLoad, &specs(&[1; 3]), 1);
    for (index, requests, errors) in [(0, 10, 0), (1, 8, 1), (2, 8, 0)] {
        balancer.report(id(index), requests, errors);
    }
    let picks: Vec<_> = (0..6).map(|_| take(&mut balancer, &Hint::default())).collect();
    assert_eq!(picks, [2, 1, 2, 1, 0, 2]);
    balancer.report(id(1), 0, 0);
    assert_eq!(take(&mut balancer, &Hint::default()), 1);
}

#[test]
fn least_load_prefers_fewer_errors_among_equals() {
    let mut balancer = Balancer::new(Strategy::LeastLoad, &specs(&[1; 3]), 1);
    for expected in 0..3 {
        assert_eq!(take(&mut balancer, &Hint::default()), expected);
    }
    balancer.failed(id(0), None, Instant::START);
    let picks: Vec<_> = (0..3).map(|_| take(&mut balancer, &Hint::default())).collect();
    assert_eq!(picks, [1, 2, 0]);
}

#[test]
fn rank_prefers_fast_probes_by_their_rank() {
    let mut balancer = Balancer::new(Strategy::Rank, &specs(&[1; 4]), 3);
    for (index, us) in [(0, 400), (1, 100), (2, 90_000), (3, 200)] {
        balancer.probed(id(index), us);
    }
    let shares = shares(&mut balancer, 4, 40_000, 0);
    for (share, expected) in shares.iter().zip([0.2, 0.4, 0.1, 0.3]) {
        assert!((share - expected).abs() < 0.01, "{shares:?}");
    }
}

#[test]
fn rank_gives_equals_equal_chances_wherever_they_stand() {
    let none: &[(usize, u64)] = &[];
    for (name, probes, expected) in [
        ("no probe yet", none, [0.25; 4]),
        ("one probed", &[(1, 100)], [0.2, 0.4, 0.2, 0.2]),
        ("two probed", &[(3, 100), (0, 200)], [0.3, 0.15, 0.15, 0.4]),
        ("all alike", &[(0, 100), (1, 100), (2, 100), (3, 100)], [0.25; 4]),
        ("two alike", &[(0, 100), (1, 200), (2, 200), (3, 300)], [0.4, 0.25, 0.25, 0.1]),
    ] {
        let mut balancer = Balancer::new(Strategy::Rank, &specs(&[1; 4]), 3);
        for &(index, us) in probes {
            balancer.probed(id(index), us);
        }
        let hint = Hint::default();
        let picked = balancer.pick(&hint).unwrap();
        let Reason::Chance { among } = balancer.explain(picked, &hint).reason else {
            panic!("{name}")
        };
        let total: u64 = among.iter().map(|(_, chance)| chance).sum();
        for (index, chance) in among {
            let stated = chance as f64 / total as f64;
            assert!(
                (stated - expected[index]).abs() < 1e-9,
                "{name}: #{index} is given as {stated}"
            );
        }
        let shares = shares(&mut balancer, 4, 40_000, 0);
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() < 0.01, "{name}: {shares:?}");
        }
    }
}

#[test]
fn a_key_moves_only_when_its_own_server_leaves() {
    let keys: Vec<u64> = (0..2_000u64).map(|key| hash(&key.to_le_bytes())).collect();
    let map = |balancer: &mut Balancer| -> Vec<usize> {
        let pick = |&hash| balancer.pick(&Hint { hash, ..Hint::default() }).unwrap().index();
        keys.iter().map(pick).collect()
    };
    let mut balancer = Balancer::new(Strategy::Uri, &specs(&[1; 5]), 1);
    let before = map(&mut balancer);
    balancer.set_up(id(3), false);
    let without = map(&mut balancer);
    for (old, new) in before.iter().zip(&without) {
        assert!(if *old == 3 { *new != 3 } else { old == new });
    }
    balancer.set_up(id(3), true);
    assert_eq!(map(&mut balancer), before);
    balancer.add(spec(1, 5));
    let moved = map(&mut balancer);
    for (old, new) in before.iter().zip(&moved) {
        assert!(*new == 5 || old == new);
    }
    // Another order of the list is the same mapping of addresses.
    let reversed: Vec<_> = specs(&[1; 5]).into_iter().rev().collect();
    let other = map(&mut Balancer::new(Strategy::Uri, &reversed, 2));
    assert!(before.iter().zip(&other).all(|(one, other)| *one == 4 - other));
}

#[test]
fn a_removed_server_leaves_the_hash_ring_at_once() {
    let map = |balancer: &mut Balancer| -> Vec<Option<BackendId>> {
        let key = |key: u64| Hint { hash: hash(&key.to_le_bytes()), ..Hint::default() };
        (0..2_000).map(|number| balancer.pick(&key(number))).collect()
    };
    // Shares of the ring depend on all weights: a heavy server that is gone must not count.
    let mut reduced = Balancer::new(Strategy::Uri, &specs(&[1, 2, 50]), 1);
    map(&mut reduced);
    reduced.remove(id(2));
    let mut fresh = Balancer::new(Strategy::Uri, &specs(&[1, 2]), 1);
    assert_eq!(map(&mut reduced), map(&mut fresh));
}

/// A weight, a limit and the role of a backup change in place: requests in flight, health and what
/// was learned stay.
#[test]
fn a_reconfigured_server_keeps_what_is_known_of_it() {
    for strategy in strategies() {
        let mut balancer = Balancer::new(strategy, &specs(&[1; 2]), 1);
        balancer.set_up(id(1), false);
        (0..2).for_each(|_| balancer.began(id(0)));
        balancer.reconfigure(id(0), Spec { pairs_max: Some(2), ..spec(3, 0) });
        balancer.reconfigure(id(1), spec(3, 1));
        assert_eq!(balancer.in_flight(id(0)), 2);
        assert_eq!(balancer.pick(&Hint::default()), None, "one is full, one is down");
        balancer.ended(id(0));
        assert_eq!(balancer.pick(&Hint::default()), Some(id(0)));
        balancer.reconfigure(id(0), Spec { backup: true, ..spec(1, 0) });
        balancer.set_up(id(1), true);
        assert_eq!(balancer.pick(&Hint::default()), Some(id(1)), "the other is a backup now");
        balancer.ended(id(0));
    }
    let mut balancer = Balancer::new(Strategy::LeastTime, &specs(&[1; 2]), 1);
    for (index, us) in [(0, 1_000), (1, 9_000)] {
        assert_eq!(take(&mut balancer, &Hint::default()), index);
        balancer.ended(id(index));
        balancer.served(id(index), us, Instant::START);
    }
    balancer.reconfigure(id(0), spec(2, 0));
    assert_eq!(balancer.pick(&Hint::default()), Some(id(0)), "its time is still known");
}

#[test]
fn another_weight_gives_another_share() {
    use Strategy::{Header, LeastConn, LeastLoad, PowerOfTwo, Random, RoundRobin, Source, Uri};
    for strategy in [RoundRobin, Random, LeastConn, LeastLoad, PowerOfTwo, Source, Uri, Header] {
        let mut balancer = Balancer::new(strategy, &specs(&[1, 1]), 7);
        shares(&mut balancer, 2, 1_000, 0);
        balancer.reconfigure(id(0), spec(3, 0));
        // Its own counts are those from before, so let the new weights catch up with them.
        shares(&mut balancer, 2, 2_000, 0);
        let shares = shares(&mut balancer, 2, 20_000, 0);
        assert!((shares[0] - 0.75).abs() < 0.08, "{}: {shares:?}", strategy.name());
    }
}

#[test]
fn one_hot_key_overflows_at_its_bound() {
    let mut balancer = Balancer::new(Strategy::Header, &specs(&[1; 4]), 1);
    let mut counts = [0; 4];
    for total in 1..=400 {
        counts[take(&mut balancer, &Hint { hash: 77, ..Hint::default() })] += 1;
        let most = f64::from(*counts.iter().max().unwrap());
        assert!(most <= (1.25 * f64::from(total) / 4.0).ceil().max(8.0), "{counts:?}");
    }
}

#[test]
fn an_explanation_is_one_clause() {
    let limited = Spec { pairs_max: Some(1), ..spec(1, 3) };
    let all = [spec(1, 0), spec(1, 1), spec(1, 2), limited, spec(2, 4)];
    let mut balancer = Balancer::new(Strategy::LeastConn, &all, 1);
    for (index, pairs) in [(0, 3), (1, 2), (3, 1), (4, 8)] {
        (0..pairs).for_each(|_| balancer.began(id(index)));
    }
    balancer.set_up(id(2), false);
    let picked = balancer.pick(&Hint::default()).unwrap();
    let why = balancer.explain(picked, &Hint::default());
    assert_eq!(
        why.named(&|index| format!("127.0.0.1:{}", 80 + index.index())).to_string(),
        "least-conn: 127.0.0.1:81 has 2 in flight (others 3, 8 by weight 2); \
         skipped 127.0.0.1:82 down, 127.0.0.1:83 at its max"
    );
}

#[test]
#[should_panic(expected = "ended more pairs than began")]
fn ending_what_never_began_is_our_own_error() {
    Balancer::new(Strategy::First, &specs(&[1]), 1).ended(id(0));
}
