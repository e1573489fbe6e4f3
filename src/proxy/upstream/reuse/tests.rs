//! What is learned of servers that close, by tables; and whole lives of servers with time-outs.

use super::*;
use crate::base::rng::Rng;

const SILENT: KeepAlive = KeepAlive { timeout: None, max: None };

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

fn since(ms: u64) -> IdleSince {
    IdleSince { released: at(ms), answered: at(ms) }
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn a_connection_is_safe_for_half_of_what_the_server_has_kept_and_closed() {
    for (name, kept, closed, safe) in [
        ("nothing is known", 0, None, None),
        ("kept for 2 s", 2_000, None, Some(999)),
        ("kept for 30 s", 30_000, None, Some(14_999)),
        ("closed after 2 s", 2_000, Some(2_000), Some(999)),
        ("closed after 0.2 s once", 30_000, Some(200), Some(99)),
        ("closed after 5 s, kept until then", 3_000, Some(5_000), Some(2_499)),
    ] {
        let mut history = ReuseHistory::default();
        let now = at(100_000);
        history.kept(since(100_000 - kept), now);
        if let Some(closed) = closed {
            history.closed(since(100_000 - closed), 1, now);
        }
        let is_safe = |idle: u64| history.is_safe(since(100_000 - idle), &SILENT, now);
        match safe {
            None => assert!(!is_safe(0), "{name}"),
            Some(most) => {
                assert!(is_safe(most), "{name}: at the limit");
                assert!(!is_safe(most + 1), "{name}: past the limit");
            }
        }
    }
}

#[test]
fn what_the_server_says_is_one_more_limit() {
    let mut history = ReuseHistory::default();
    let now = at(100_000);
    history.kept(since(90_000), now);
    for (name, idle, timeout, max, safe) in [
        ("nothing", 4_999, None, None, true),
        ("nothing, but it has not kept one for so long", 5_000, None, None, false),
        ("more than is known", 4_999, Some(60), Some(100), true),
        ("more than is known is no promise", 5_000, Some(60), None, false),
        ("5 s", 2_500, Some(5), None, true),
        ("5 s, a moment later", 2_501, Some(5), None, false),
        ("no time at all", 1, Some(0), None, false),
        ("two more requests", 100, None, Some(2), true),
        ("the last request", 100, None, Some(1), false),
        ("no more request", 100, None, Some(0), false),
    ] {
        let said = KeepAlive { timeout: timeout.map(Duration::from_secs), max };
        assert_eq!(history.is_safe(since(100_000 - idle), &said, now), safe, "{name}");
    }
}

#[test]
fn a_close_that_was_not_announced_makes_requests_use_new_connections_for_a_while() {
    let mut history = ReuseHistory::default();
    let mut now = 10_000;
    for fresh in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
        history.kept(since(now - 5_000), at(now));
        assert!(history.is_safe(since(now - 50), &SILENT, at(now)));
        let lesson = history.closed(since(now - 99), 100, at(now));
        let fresh_for = Duration::from_secs(fresh);
        assert_eq!(lesson, Some(Lesson::ClosesUnannounced { requests: 100, fresh: fresh_for }));
        assert_eq!(history.closed(since(now), 100, at(now + 1)), None, "one more says nothing new");
        let last = now + fresh * 1_000 - 1;
        history.kept(since(last - 5_000), at(last));
        assert!(!history.is_safe(since(last), &SILENT, at(last)), "{fresh} s");
        now = last + 1;
        assert!(history.is_safe(since(now), &SILENT, at(now)), "{fresh} s are over");
    }
    now += 3_600_000;
    let lesson = history.closed(since(now), 1, at(now));
    let first = Lesson::ClosesUnannounced { requests: 1, fresh: FRESH_MIN };
    assert_eq!(lesson, Some(first), "an hour later it is forgotten");
}

#[test]
fn after_an_unannounced_close_trust_needs_new_evidence() {
    let mut history = ReuseHistory::default();
    history.kept(since(0), at(30_000));
    history.closed(since(30_000), 1, at(30_000));
    let later = at(100_000);
    assert!(!history.is_safe(since(99_999), &SILENT, later));
    history.kept(since(99_000), later);
    assert!(history.is_safe(since(99_501), &SILENT, later));
}

#[test]
fn a_close_after_a_time_is_forgotten_but_the_evidence_of_before_does_not_come_back() {
    let mut history = ReuseHistory::default();
    history.kept(since(0), at(30_000));
    assert_eq!(history.closed(since(28_000), 9, at(30_000)), Some(Lesson::ClosesIdle(ms(2_000))));
    history.kept(since(22_000), at(32_000));
    let is_safe =
        |history: &ReuseHistory, now, idle| history.is_safe(since(now - idle), &SILENT, at(now));
    assert!(!is_safe(&history, 32_000, 1_001), "one that lived longer proves nothing yet");
    assert!(!is_safe(&history, 629_999, 1_001));
    assert!(is_safe(&history, 630_000, 4_999), "as long as one was kept since then");
    assert!(!is_safe(&history, 630_000, 5_000), "not as long as one was kept before");
}

#[test]
fn only_a_much_earlier_close_is_news() {
    let mut history = ReuseHistory::default();
    let mut closed = |idle: u64| history.closed(since(100_000 - idle), 1, at(100_000));
    for (idle, is_news) in
        [(5_000, true), (4_900, false), (30_000, false), (3_674, true), (3_600, false), (150, true)]
    {
        let expected = is_news.then_some(Lesson::ClosesIdle(ms(idle)));
        assert_eq!(closed(idle), expected, "{idle} ms");
    }
}

#[test]
fn a_response_that_was_read_late_makes_the_server_idle_for_longer() {
    let mut history = ReuseHistory::default();
    let late = IdleSince { released: at(20_000), answered: at(10_000) };
    // What it has kept: at least since the end of the response.
    history.kept(late, at(24_000));
    assert!(history.is_safe(since(22_001), &SILENT, at(24_000)));
    assert!(!history.is_safe(since(22_000), &SILENT, at(24_000)));
    // How long it is idle by now: at most since the beginning.
    assert!(!history.is_safe(late, &SILENT, at(20_001)));
    // A close at the end of the response: of its time nothing is known.
    assert_eq!(history.closed(late, 1, at(20_050)), None);
    assert!(history.is_safe(since(22_001), &SILENT, at(24_000)));
    // A close some time later: after so much at least.
    assert_eq!(history.closed(late, 1, at(23_000)), Some(Lesson::ClosesIdle(ms(3_000))));
}

#[test]
fn an_unanswered_request_that_fails_late_is_no_race() {
    assert!(is_race(at(0), at(999)) && !is_race(at(0), at(1_000)));
}

/// A server with one time-out, and requests of one client after random pauses. As the program does
/// it, a request uses the youngest connection or a new one; how many were new, how many were lost.
fn simulate(timeout_ms: u64, jitter_ms: u64, pauses: [u64; 2], seed: u64) -> [u64; 2] {
    let (mut history, mut rng) = (ReuseHistory::default(), Rng::new(seed));
    let (mut now, mut connects, mut lost) = (1_000, 0, 0);
    // Since when it is idle and when the server closes it; the youngest last.
    let mut pool: Vec<[u64; 2]> = Vec::new();
    for _ in 0..2_000 {
        now += pauses[0] + rng.below(pauses[1] - pauses[0] + 1);
        // An end takes a millisecond to get here.
        pool.retain(|&[idle, closes]| {
            let is_seen = closes < now;
            if is_seen {
                history.closed(since(idle), 1, at(closes + 1));
            }
            !is_seen
        });
        let safe = pool.pop().filter(|&[idle, closes]| {
            history.kept(since(idle), at(now));
            if let (true, Some(&[oldest, _])) =
                (history.lacks_evidence(since(idle), at(now)), pool.first())
            {
                history.kept(since(oldest), at(now));
            }
            let is_safe = history.is_safe(since(idle), &SILENT, at(now));
            if !is_safe {
                pool.push([idle, closes]);
            }
            is_safe
        });
        match safe {
            None => connects += 1,
            Some([idle, closes]) if closes == now => {
                history.closed(since(idle), 1, at(now));
                lost += 1;
            }
            Some(_) => {}
        }
        now += 1;
        pool.push([now, now + timeout_ms + rng.below(jitter_ms + 1)]);
        if let Some(place) = pool.iter().position(|&[idle, _]| idle + 30_000 < now) {
            let [idle, _] = pool.remove(place);
            history.kept(since(idle), at(idle + 30_000));
        }
    }
    [connects, lost]
}

#[test]
fn servers_with_time_outs_of_every_kind_lose_nothing_and_are_connected_to_rarely() {
    for (name, timeout, jitter, pauses, connects_most) in [
        ("gunicorn, at once", 2_000, 1_000, [0, 5], 10),
        ("gunicorn, every second", 2_000, 1_000, [800, 950], 100),
        ("gunicorn, about as slowly as it closes", 2_000, 1_000, [1_500, 2_500], 2_000),
        ("2 s sharp", 2_000, 0, [1_500, 2_500], 2_000),
        ("uvicorn, Node, Apache", 5_000, 0, [0, 2_400], 100),
        ("uvicorn, Node, Apache, about as slowly", 5_000, 0, [4_000, 6_000], 2_000),
        ("nginx", 75_000, 0, [0, 10], 10),
        ("nginx, slowly", 75_000, 0, [9_000, 10_000], 10),
        ("one that closes soon", 300, 0, [200, 400], 2_000),
        ("one that closes soon, at once", 300, 0, [0, 100], 100),
    ] {
        for seed in 0..20 {
            let [connects, lost] = simulate(timeout, jitter, pauses, seed);
            assert_eq!(lost, 0, "{name}, seed {seed}");
            assert!(connects <= connects_most, "{name}, seed {seed}: {connects} connects");
        }
    }
}
