//! Sequences of observations and the changes after each, and simulated probe schedules.

use super::check::jitter;
use super::*;
use crate::base::connect_fault::ConnectFault;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use std::cell::Cell;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

const REFUSED: ConnectFault = ConnectFault::System(ErrorKind::ConnectionRefused);
const TIMED_OUT: ConnectFault = ConnectFault::System(ErrorKind::TimedOut);

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// One observation per 10 ms; a probe or a request starts 5 ms before its step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass,
    /// A probe that started at the first step.
    OldPass,
    Fail(ProbeFault),
    Refused,
    Unanswered,
    Served,
    /// The answer to a request sent at the first step.
    OldServed,
    Erred,
    TrialDue,
    Late,
    ProbeLate,
    /// Another backend goes down or comes up: from here on there is none, or one.
    Alone,
    NotAlone,
}

/// The text of each reported transition, with the index of its step.
fn run(settings: &Settings, steps: &[Step]) -> (Health, Vec<(usize, String)>) {
    let mut health = Health::new();
    let mut others = Others::SomeUp;
    let mut lines = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let now = at(1_000 + 10 * index as u64);
        let (recent, first) = (at(995 + 10 * index as u64), at(995));
        let observation = match *step {
            Step::Pass => Observation::ProbePassed { started: recent, page: Page::Found },
            Step::OldPass => Observation::ProbePassed { started: first, page: Page::Found },
            Step::Fail(fault) => Observation::ProbeFailed { started: recent, fault },
            Step::Refused => Observation::ConnectFailed(REFUSED),
            Step::Unanswered => Observation::Unanswered,
            Step::Served => Observation::Served { sent: recent },
            Step::OldServed => Observation::Served { sent: first },
            Step::Erred => {
                Observation::Erred { sent: recent, client: IpAddr::from([192, 0, 2, index as u8]) }
            }
            Step::TrialDue => Observation::TrialDue,
            Step::Late => Observation::Late,
            Step::ProbeLate => Observation::ProbeLate,
            Step::Alone | Step::NotAlone => {
                others = if matches!(step, Step::Alone) { Others::NoneUp } else { Others::SomeUp };
                continue;
            }
        };
        let before = health.state();
        let transition = health.observe(observation, others, settings, now);
        assert_eq!(transition.is_some(), health.state() != before, "a change and only a change");
        let reported = transition.filter(Transition::is_reported);
        lines.extend(reported.map(|it| (index, it.to_string())));
    }
    (health, lines)
}

fn settings(rise: u16, fall: u16) -> Settings {
    Settings { rise, fall, ..Settings::default() }
}

use Step::{
    Alone, Erred, Late, NotAlone, OldPass, OldServed, Pass, ProbeLate, Refused, Served, TrialDue,
    Unanswered,
};

const DOWN: Step = Step::Fail(ProbeFault::Status(500));
const CANNOT: Step = Step::Fail(ProbeFault::Connect(REFUSED));
const UNREACHABLE: Step = Step::Fail(ProbeFault::Connect(TIMED_OUT));
const BROKEN: Step = Step::Fail(ProbeFault::Broken);
const HUNG: Step = Step::Fail(ProbeFault::TimedOut);
const HUNG_DOWN: &str = "down: health check timed out after 2s";

/// Name, `rise` and `fall`, what happens, and the transitions that follow.
type Case = (&'static str, (u16, u16), &'static [Step], &'static [(usize, &'static str)]);

const CASES: &[Case] = &[
    ("starts up", (1, 2), &[Pass, Served], &[]),
    ("one below fall", (1, 3), &[DOWN, DOWN], &[]),
    ("at fall", (1, 3), &[DOWN; 3], &[(2, "down: health check answered 500")]),
    ("past fall", (1, 3), &[DOWN; 4], &[(2, "down: health check answered 500")]),
    ("a pass starts the row again", (1, 2), &[DOWN, Pass, DOWN], &[]),
    (
        "the last fault is named",
        (1, 2),
        &[DOWN, CANNOT],
        &[(1, "down: health check could not connect: connection refused")],
    ),
    ("a broken answer", (1, 1), &[BROKEN], &[(0, "down: health check got a broken answer")]),
    (
        "at rise",
        (2, 1),
        &[DOWN, Pass, Pass, Pass],
        &[(0, "down: health check answered 500"), (2, "up: health check passed")],
    ),
    (
        "a failure starts the passes again",
        (2, 1),
        &[DOWN, Pass, DOWN, Pass],
        &[(0, "down: health check answered 500")],
    ),
    ("also below fall", (2, 9), &[Refused, Pass, DOWN, Pass], &[(0, "down: connection refused")]),
    ("refused at once", (1, 99), &[Refused, Refused], &[(0, "down: connection refused")]),
    ("unanswered below fall", (1, 2), &[Unanswered], &[]),
    (
        "unanswered at fall",
        (1, 2),
        &[Unanswered, Unanswered, Unanswered],
        &[(1, "down: gave no valid answer 2 times")],
    ),
    ("unanswered once", (1, 1), &[Unanswered], &[(0, "down: gave no valid answer")]),
    ("served in between", (1, 2), &[Unanswered, Served, Unanswered], &[]),
    (
        "passes do not hide them",
        (1, 2),
        &[Unanswered, Pass, Unanswered],
        &[(2, "down: gave no valid answer 2 times")],
    ),
    (
        "a response outweighs refusals",
        (3, 1),
        &[Refused, OldServed, Served],
        &[(0, "down: connection refused"), (2, "up: answered a request")],
    ),
    ("errors are answers", (1, 2), &[Erred; 9], &[]),
    (
        "so that they outweigh refusals",
        (3, 1),
        &[Refused, Erred],
        &[(0, "down: connection refused"), (1, "up: answered a request")],
    ),
    (
        "and a probe that could not connect",
        (3, 1),
        &[CANNOT, Served],
        &[
            (0, "down: health check could not connect: connection refused"),
            (1, "up: answered a request"),
        ],
    ),
    ("but not a bad status", (1, 1), &[DOWN, Served], &[(0, "down: health check answered 500")]),
    (
        "even when clients' requests took it down",
        (1, 9),
        &[Refused, DOWN, Served],
        &[(0, "down: connection refused")],
    ),
    (
        "a pass older than the failure proves nothing",
        (1, 2),
        &[Served, Refused, OldPass, Pass],
        &[(1, "down: connection refused"), (3, "up: health check passed")],
    ),
    (
        "counting restarts after coming up",
        (1, 2),
        &[DOWN, Refused, Pass, DOWN, Unanswered],
        &[(1, "down: connection refused"), (2, "up: health check passed")],
    ),
    ("a suspicion is not reported", (1, 1), &[Pass, Late, ProbeLate, Pass, Late, ProbeLate], &[]),
    ("probes that hang are", (1, 2), &[Late, ProbeLate, HUNG, HUNG], &[(3, HUNG_DOWN)]),
    ("but not those of the last one", (1, 2), &[Alone, HUNG, HUNG, HUNG, HUNG], &[]),
    ("until it is not the last", (1, 2), &[Alone, HUNG, HUNG, NotAlone, HUNG], &[(4, HUNG_DOWN)]),
    (
        "a bad answer takes down the last one",
        (1, 2),
        &[Alone, HUNG, HUNG, DOWN],
        &[(3, "down: health check answered 500")],
    ),
    (
        "so does a refused connect",
        (1, 2),
        &[Alone, CANNOT, CANNOT],
        &[(2, "down: health check could not connect: connection refused")],
    ),
    (
        "and one that is not even refused",
        (1, 2),
        &[Alone, UNREACHABLE, UNREACHABLE],
        &[(2, "down: health check could not connect: timed out")],
    ),
    ("requests without an answer do not", (1, 1), &[Alone, Unanswered, Unanswered], &[]),
    (
        "unless it is not the last any more",
        (1, 2),
        &[Alone, Unanswered, Unanswered, NotAlone, Unanswered],
        &[(4, "down: gave no valid answer 3 times")],
    ),
    (
        "an answer to a request sent since the probe hung brings it up",
        (9, 1),
        &[HUNG, OldServed, Served],
        &[(0, HUNG_DOWN), (2, "up: answered a request")],
    ),
    (
        "a trial without probes",
        (1, 2),
        &[TrialDue, Refused, TrialDue],
        &[(1, "down: connection refused"), (2, "up: on trial, health checks are off")],
    ),
];

#[test]
fn evidence_leads_to_these_transitions() {
    for (name, (rise, fall), steps, expected) in CASES {
        let (_, lines) = run(&settings(*rise, *fall), steps);
        let lines: Vec<_> = lines.iter().map(|(step, text)| (*step, text.as_str())).collect();
        assert_eq!(lines, *expected, "{name}");
    }
}

#[test]
fn errors_in_a_row_eject_a_backend_for_a_while() {
    const OUT: &str = "down: answered 5xx 2 times in a row; out for 30ms";
    const PASSED: &str = "up: health check passed";
    type Case = (&'static str, &'static [Step], &'static [(usize, &'static str)]);
    let cases: &[Case] = &[
        ("one below", &[Erred], &[]),
        ("as many", &[Erred, Erred, Erred], &[(1, OUT)]),
        ("a good answer between", &[Erred, Served, Erred], &[]),
        ("never the last one", &[Alone, Erred, Erred, Erred], &[]),
        (
            "until it is not the last",
            &[Alone, Erred, Erred, NotAlone, Erred],
            &[(4, "down: answered 5xx 3 times in a row; out for 30ms")],
        ),
        (
            "probes prove nothing before their time",
            &[Erred, Erred, Pass, Pass, Pass, Pass],
            &[(1, OUT), (5, PASSED)],
        ),
        (
            "nor do answers",
            &[Erred, Erred, Served, Erred, Served, Served],
            &[(1, OUT), (5, "up: answered a request")],
        ),
        (
            "nor does a trial",
            &[Erred, Erred, TrialDue, TrialDue, TrialDue],
            &[(1, OUT), (4, "up: on trial, health checks are off")],
        ),
        (
            "another failure does not shorten it",
            &[Erred, Erred, Refused, Pass, Pass, Pass],
            &[(1, OUT), (5, PASSED)],
        ),
        (
            "again is for longer",
            &[Erred, Erred, Erred, Pass, Pass, Pass, Erred, Erred],
            &[(1, OUT), (5, PASSED), (7, "down: answered 5xx 2 times in a row; out for 60ms")],
        ),
        (
            "unless it answered well in between",
            &[Erred, Erred, Pass, Pass, Pass, Pass, Served, Erred, Erred],
            &[(1, OUT), (5, PASSED), (8, OUT)],
        ),
    ];
    let interval = Duration::from_millis(6);
    let settings = Settings { fall_on_5xx: Some(2), interval, ..Settings::default() };
    for (name, steps, expected) in cases {
        let (_, lines) = run(&settings, steps);
        let lines: Vec<_> = lines.iter().map(|(step, text)| (*step, text.as_str())).collect();
        assert_eq!(lines, *expected, "{name}");
    }
}

#[test]
fn a_hung_probe_is_named_with_its_limit() {
    for (ms, expected) in [(2_000, "2s"), (500, "500ms"), (1_500, "1.5s")] {
        let timeout = Duration::from_millis(ms);
        let settings = Settings { timeout, fall: 1, ..Settings::default() };
        let (_, lines) = run(&settings, &[Step::Fail(ProbeFault::TimedOut)]);
        assert_eq!(lines[0].1, format!("down: health check timed out after {expected}"));
    }
}

#[test]
fn the_least_suspicious_is_the_last_resort() {
    let suspicion = |steps: &[Step]| run(&settings(1, 1), steps).0.last_resort();
    let clients = suspicion(&[Refused]);
    let ordered = [
        clients,
        suspicion(&[Pass, Refused]),
        suspicion(&[Pass, Pass, Unanswered]),
        suspicion(&[HUNG]),
        suspicion(&[CANNOT]),
        suspicion(&[Refused, CANNOT]),
        suspicion(&[CANNOT, Pass, Refused, CANNOT]),
    ];
    assert!(ordered.iter().all(Option::is_some), "{ordered:?}");
    assert!(ordered.is_sorted_by(|a, b| a < b), "{ordered:?}");
    // After another failure it goes to the end, so that each is tried in turn.
    assert!(suspicion(&[Refused, Refused]) > clients);
    let unreachable = ProbeFault::Connect(TIMED_OUT);
    for fault in [unreachable, ProbeFault::Status(503), ProbeFault::Broken, ProbeFault::TooLong] {
        assert_eq!(suspicion(&[Step::Fail(fault)]), None, "{fault}");
        assert_eq!(suspicion(&[Step::Fail(fault), Refused]), None, "{fault}, then refused");
        let (health, _) = run(&settings(1, 9), &[Refused, Step::Fail(fault)]);
        assert_eq!(health.last_resort(), None, "refused, then {fault} below fall");
    }
    assert_eq!(suspicion(&[Pass]), None, "up");
    assert_eq!(suspicion(&[Late, ProbeLate]), None, "a suspect");
}

#[test]
fn probes_run_sooner_after_a_failure_and_while_down() {
    let cases: &[(&str, Check, u64, &[Step], u64)] = &[
        ("steady", Check::Http, 120_000, &[Pass], 120_000),
        ("after a failure", Check::Http, 120_000, &[BROKEN], 250),
        ("after a failure, short interval", Check::Tcp, 100, &[BROKEN], 100),
        ("after it passed again", Check::Http, 120_000, &[BROKEN, Pass], 120_000),
        ("a suspect", Check::Http, 120_000, &[Late, ProbeLate], 250),
        ("the last one, busy", Check::Http, 2_000, &[Alone, HUNG, HUNG, HUNG], 2_000),
        ("down", Check::Http, 120_000, &[BROKEN, BROKEN], 1_000),
        ("down, short interval", Check::Tcp, 100, &[BROKEN, BROKEN], 100),
        ("down without probes", Check::Off, 2_000, &[Refused], 2_000),
    ];
    for (name, check, interval_ms, steps, expected_ms) in cases {
        let interval = Duration::from_millis(*interval_ms);
        let settings = Settings { check: *check, interval, ..Settings::default() };
        let (health, _) = run(&settings, steps);
        assert_eq!(health.next_probe_in(&settings).as_millis(), (*expected_ms).into(), "{name}");
    }
}

#[test]
fn a_backend_without_the_default_health_check_is_left_in_peace() {
    let relaxed = Settings { pace: Pace::Default, ..Settings::default() };
    for (name, settings, page, interval_s, put_off) in [
        ("nothing configured", &relaxed, Page::Missing, 10, true),
        ("there is one", &relaxed, Page::Found, 2, false),
        ("configured", &Settings::default(), Page::Missing, 2, false),
    ] {
        let mut health = Health::new();
        let passed = Observation::ProbePassed { started: at(100), page };
        health.observe(passed, Others::SomeUp, settings, at(101));
        assert_eq!(health.next_probe_in(settings), Duration::from_secs(interval_s), "{name}");
        health.silence_mut().heard(at(5_000));
        let expected = put_off.then(|| at(15_000));
        assert_eq!(health.probe_put_off(settings), expected, "{name}: a byte is as good");
        let refused = ProbeFault::Connect(REFUSED);
        let failed = Observation::ProbeFailed { started: at(6_000), fault: refused };
        health.observe(failed, Others::SomeUp, settings, at(6_001));
        assert_eq!(health.probe_put_off(settings), None, "{name}: after a failure");
        assert_eq!(health.next_probe_in(settings), Duration::from_millis(250), "{name}");
    }
}

/// Time from the start of the first probe until the backend is down, if its probes fail with
/// `fault_of` their index and run on the proxy's schedule.
fn down_after(
    settings: &Settings,
    rng: &mut Rng,
    fault_of: impl Fn(u32) -> ProbeFault,
) -> Duration {
    let mut health = Health::new();
    let first = at(7_000);
    let mut started = first;
    for nth in 0.. {
        let fault = fault_of(nth);
        let took = match fault {
            ProbeFault::TimedOut => settings.timeout,
            ProbeFault::Connect(_) | ProbeFault::Status(_) => Duration::ZERO,
            ProbeFault::Broken | ProbeFault::Unexpected | ProbeFault::TooLong => Duration::ZERO,
        };
        let now = started + took;
        let failed = Observation::ProbeFailed { started, fault };
        let transition = health.observe(failed, Others::SomeUp, settings, now);
        if matches!(transition, Some(Transition::Down(_))) {
            return now.since(first);
        }
        started = now + jitter(health.next_probe_in(settings), rng);
    }
    unreachable!("the loop has no end")
}

#[test]
fn a_server_whose_probes_hang_is_down_within_five_seconds() {
    let mut rng = Rng::new(11);
    for fall in [1, 2, 3, 10, 1_000, u16::MAX] {
        for timeout_ms in [10, 100, 900, 1_000, 2_000, 2_375, 2_500, 3_000, 4_999, 5_000] {
            for interval_ms in [1, 100, 250, 1_000, 2_000, 120_000] {
                let timeout = Duration::from_millis(timeout_ms);
                let interval = Duration::from_millis(interval_ms);
                let settings = Settings { fall, timeout, interval, ..Settings::default() };
                let name = format!("fall {fall}, timeout {timeout:?}, interval {interval:?}");
                let took = down_after(&settings, &mut rng, |_| ProbeFault::TimedOut);
                assert!(took <= HUNG_WITHIN, "{name}: {took:?}");
                // Not sooner than needed: fewer than `fall` failures only when time ran out.
                let enough = timeout * u32::from(fall);
                let one_more =
                    took + (timeout + interval.min(Duration::from_millis(250))) * 12 / 10;
                assert!(took >= enough || one_more > HUNG_WITHIN, "{name}: {took:?}");
                let mixed = |nth| match nth % 2 {
                    0 => ProbeFault::TimedOut,
                    _ => ProbeFault::Connect(REFUSED),
                };
                let took = down_after(&settings, &mut rng, mixed);
                assert!(took <= HUNG_WITHIN, "{name}, mixed: {took:?}");
            }
        }
    }
}

#[test]
fn a_longer_time_out_is_waited_for_once() {
    let timeout = Duration::from_secs(8);
    let settings = Settings { timeout, fall: 5, ..Settings::default() };
    assert_eq!(down_after(&settings, &mut Rng::new(1), |_| ProbeFault::TimedOut), timeout);
}

#[test]
fn by_default_two_hung_probes_are_needed() {
    let took = down_after(&Settings::default(), &mut Rng::new(1), |_| ProbeFault::TimedOut);
    assert!(took > Duration::from_secs(4), "{took:?}");
}

#[test]
fn only_probes_that_hang_take_a_server_down_before_the_last_failure() {
    let settings = Settings { fall: 100, ..Settings::default() };
    for (fault, is_hang) in [
        (ProbeFault::TimedOut, true),
        // The system's own limit for a connect.
        (ProbeFault::Connect(TIMED_OUT), true),
        (ProbeFault::Connect(REFUSED), false),
        (ProbeFault::Status(500), false),
        (ProbeFault::Broken, false),
        (ProbeFault::TooLong, false),
    ] {
        let probes = Cell::new(0);
        let took = down_after(&settings, &mut Rng::new(1), |nth| {
            probes.set(nth + 1);
            fault
        });
        assert_eq!(took <= HUNG_WITHIN, is_hang, "{fault:?}: {took:?}");
        assert_eq!(probes.get() < 100, is_hang, "{fault:?}: {} probes", probes.get());
    }
}
