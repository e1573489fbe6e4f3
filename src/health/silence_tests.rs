//! When each action about a silence is due, what ends a suspicion, and what is learned.

use super::*;
use crate::base::time::Instant;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(2);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// A backend whose last probe took `probe_ms`.
fn known(probe_ms: u64) -> Silence {
    let mut silence = Silence::new();
    silence.probe_passed(at(0), INTERVAL, at(probe_ms));
    silence
}

/// A backend that has answered many requests in `response_ms`, each while another was outstanding.
fn concurrent(response_ms: u64) -> Silence {
    let mut silence = known(1);
    for _ in 0..200 {
        silence.sent(at(1));
        silence.sent(at(2));
        silence.answered(at(2), at(2 + response_ms));
        silence.answered(at(1), at(1 + response_ms));
    }
    silence
}

/// One that has answered so many requests in `response_ms`, one at a time.
fn one_at_a_time(count: u32, response_ms: u64) -> Silence {
    let mut silence = known(1);
    for _ in 0..count {
        silence.sent(at(1));
        silence.answered(at(1), at(1 + response_ms));
    }
    silence
}

#[test]
fn a_probe_is_late_by_what_probes_take() {
    assert_eq!(Silence::new().late_after(), ms(1_000));
    for (probes_ms, late_ms) in [
        (&[0][..], 100),
        (&[25], 100),
        (&[60], 240),
        (&[1_000], 4_000),
        (&[5, 40], 160),
        (&[5, 2_000], 200),
        (&[5, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000], 8_000),
        (&[80, 5], 280),
        (&[80, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], 100),
    ] {
        let mut silence = Silence::new();
        probes_ms.iter().for_each(|&took| silence.probe_passed(at(0), INTERVAL, at(took)));
        assert_eq!(silence.late_after().as_millis(), late_ms, "{probes_ms:?}");
    }
}

#[test]
fn silence_leads_to_a_probe_and_a_late_probe_to_suspicion() {
    let mut silence = known(50);
    assert_eq!(silence.next(None), None, "nothing is outstanding");
    silence.sent(at(1_000));
    assert_eq!(silence.next(None), Some((at(1_100), Action::Probe)));
    assert_eq!(silence.next(Some(at(900))), Some((at(1_100), Action::Probe)));
    silence.probe(at(1_100));
    for (name, probe, due) in [
        ("no probe could be started", None, None),
        ("one was under way", Some(at(900)), Some(1_200)),
        ("one was started", Some(at(1_100)), Some(1_200)),
        ("it was connected", Some(at(1_150)), Some(1_250)),
    ] {
        let expected = due.map(|due| (at(due), Action::CloseIdle));
        assert_eq!(silence.next(probe), expected, "{name}");
        let mut slow = silence;
        slow.probe_is_slow();
        let expected = due.map(|due| (at(due + 100), Action::Avoid));
        assert_eq!(slow.next(probe), expected, "{name}");
    }
    silence.probe_is_slow();
    silence.suspect(at(1_300));
    assert!(silence.is_suspect());
    assert_eq!(silence.since(), at(1_000));
}

#[test]
fn a_scheduled_probe_that_is_late_makes_a_suspect_of_an_idle_backend() {
    let mut silence = known(50);
    assert_eq!(silence.next(Some(at(500))), Some((at(700), Action::Avoid)));
    silence.suspect(at(700));
    assert_eq!(silence.next(Some(at(500))), None, "no request waits");
    silence.sent(at(800));
    assert_eq!(silence.next(Some(at(500))), Some((at(10_800), Action::Reroute)));
}

#[test]
fn a_request_is_repeated_only_if_much_later_than_usual() {
    for (name, silence, after_ms) in [
        ("nothing known", Silence::new(), 10_000),
        ("no response yet", known(1), 10_000),
        ("milliseconds, concurrent", concurrent(3), 1_000),
        ("a tenth of a second, concurrent", concurrent(100), 1_000),
        ("a second, concurrent", concurrent(1_000), 2_048),
        ("three seconds, concurrent", concurrent(3_000), 8_192),
        ("milliseconds, one at a time, few of them", one_at_a_time(199, 3), 10_000),
        ("milliseconds, one at a time, many", one_at_a_time(200, 3), 1_000),
        ("eight seconds, one at a time", one_at_a_time(1, 8_000), 16_384),
    ] {
        let mut silence = silence;
        silence.sent(at(10_000));
        silence.sent(at(10_000));
        assert_eq!(silence.reroute_after().as_millis(), after_ms, "{name}");
    }
}

#[test]
fn a_suspects_requests_are_looked_at_when_they_have_waited_for_long() {
    let mut silence = concurrent(3);
    silence.sent(at(5_000));
    silence.sent(at(5_150));
    silence.probe(at(5_100));
    silence.probe_is_slow();
    silence.suspect(at(5_200));
    assert_eq!(silence.next(None), Some((at(6_000), Action::Reroute)));
    silence.rerouted(1, Some(at(6_150)));
    assert_eq!(silence.next(None), Some((at(6_150), Action::Reroute)));
    silence.rerouted(1, None);
    assert_eq!(silence.next(None), None, "none is left that may be repeated");
}

#[test]
fn a_late_byte_clears_no_suspect_but_an_answer_to_something_sent_since_does() {
    type Event = fn(&mut Silence);
    for (name, event, clears) in [
        ("a byte", (|it| _ = it.heard(at(400))) as Event, false),
        ("the response to an old request", |it| it.answered(at(150), at(400)), false),
        ("the response to a newer one", |it| it.answered(at(300), at(400)), true),
        ("a passed probe", |it| it.probe_passed(at(200), INTERVAL, at(400)), true),
        ("a probe answered with an error", |it| it.probe_answered(at(200), at(400)), true),
        ("a probe from before the silence", |it| it.probe_passed(at(50), INTERVAL, at(400)), false),
    ] {
        let mut silence = known(1);
        silence.sent(at(100));
        silence.sent(at(150));
        silence.probe(at(200));
        silence.suspect(at(300));
        silence.sent(at(300));
        event(&mut silence);
        assert_eq!(silence.is_suspect(), !clears, "{name}");
        assert_eq!(silence.since(), at(if clears { 400 } else { 100 }), "{name}");
    }
}

#[test]
fn a_byte_ends_what_is_no_suspicion_yet() {
    let mut silence = known(1);
    silence.sent(at(100));
    silence.probe(at(200));
    silence.heard(at(250));
    assert_eq!(silence.next(Some(at(200))), Some((at(350), Action::Probe)));
}

#[test]
fn a_probe_that_hangs_makes_a_suspect_unless_something_came_meanwhile() {
    for (name, heard_ms, expected) in [("silent", None, true), ("streaming", Some(900), false)] {
        let mut silence = known(1);
        silence.sent(at(100));
        heard_ms.into_iter().for_each(|ms| _ = silence.heard(at(ms)));
        silence.probe_hung(at(500), at(2_500));
        assert_eq!(silence.is_suspect(), expected, "{name}");
    }
}

#[test]
fn requests_that_were_repeated_for_nothing_are_learned_from() {
    let mut silence = concurrent(3);
    for index in 0..10 {
        silence.sent(at(5_000 + index));
    }
    silence.probe(at(5_100));
    silence.suspect(at(5_200));
    for index in 0..10 {
        silence.abandoned(at(5_000 + index));
    }
    silence.rerouted(10, None);
    // It was busy for three seconds.
    silence.probe_passed(at(5_100), INTERVAL, at(8_000));
    assert_eq!(silence.reroute_after(), ms(8_192));
}

#[test]
fn the_threshold_grows_with_false_alarms_and_decays_with_responses() {
    let threshold = |silence: &Silence| {
        let mut silence = *silence;
        silence.sent(at(100));
        silence.next(None).map(|(due, _)| due.since(at(100)).as_millis())
    };
    let mut silence = known(1);
    let mut doubled = Vec::new();
    for _ in 0..6 {
        silence.probe(at(5));
        silence.probe_passed(at(5), INTERVAL, at(6));
        doubled.extend(threshold(&silence));
    }
    assert_eq!(doubled, [200, 400, 800, 1_600, 2_000, 2_000]);
    silence.probe_passed(at(6), INTERVAL, at(7));
    assert_eq!(threshold(&silence), Some(2_000), "a scheduled probe is no false alarm");
    let responses = (1..).find(|_| {
        silence.sent(at(8));
        silence.answered(at(8), at(9));
        threshold(&silence) == Some(100)
    });
    assert_eq!(responses, Some(23));
    let mut seldom = known(1);
    seldom.probe(at(5));
    seldom.probe_passed(at(5), ms(20), at(6));
    assert_eq!(threshold(&seldom), Some(100), "frequent probes notice it anyway");
}

#[test]
fn slow_pages_one_after_the_other_cost_few_probes() {
    // Pages of one second, probes of one millisecond.
    let mut silence = known(1);
    let (mut now, mut probes) = (at(10), 0);
    for _ in 0..1_000 {
        let sent = now;
        silence.sent(sent);
        let answered = sent + ms(1_000);
        while let Some((due, Action::Probe)) = silence.next(None)
            && due < answered
        {
            silence.probe(due);
            silence.probe_passed(due, INTERVAL, due + ms(1));
            probes += 1;
        }
        now = answered;
        silence.answered(sent, now);
    }
    assert!(probes <= 200, "{probes} probes for 1,000 pages");
}

#[test]
fn what_was_learned_survives_an_outage() {
    let settings = Settings::default();
    let mut health = Health::new();
    let mut observe = |observation, now| {
        health.observe(observation, Others::SomeUp, &settings, now);
    };
    observe(Observation::ProbePassed { started: at(0), page: Page::Found }, at(60));
    // Two false alarms: the threshold is 400 ms.
    for alarm in [1_000, 2_000] {
        observe(Observation::Late, at(alarm));
        observe(Observation::ProbePassed { started: at(alarm), page: Page::Found }, at(alarm + 60));
    }
    observe(Observation::ConnectFailed(std::io::ErrorKind::ConnectionRefused.into()), at(3_000));
    observe(Observation::ProbePassed { started: at(3_100), page: Page::Found }, at(3_160));
    assert_eq!(health.state(), State::Up);
    assert_eq!(health.silence().late_after(), ms(240), "four times a usual probe");
    health.silence_mut().sent(at(4_000));
    assert_eq!(health.silence_next(None), Some((at(4_400), Action::Probe)));
}

#[test]
fn a_backend_that_is_down_is_neither_probed_early_nor_suspected() {
    let settings = Settings { fall: 1, ..Settings::default() };
    let mut health = Health::new();
    health.silence_mut().sent(at(100));
    let hung = Observation::ProbeFailed { started: at(150), fault: ProbeFault::TimedOut };
    health.observe(hung, Others::SomeUp, &settings, at(2_150));
    assert_eq!(health.state(), State::Down);
    let reroute = Some((at(10_100), Action::Reroute));
    assert_eq!(health.silence_next(Some(at(3_000))), reroute, "its requests are not forgotten");
    health.silence_mut().abandoned(at(100));
    health.silence_mut().rerouted(1, None);
    assert_eq!(health.silence_next(Some(at(3_000))), None);
}
