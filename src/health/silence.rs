//! Suspicion by silence: whether a backend with requests in flight has stalled.
//!
//! A backend that sends nothing for a while is probed at once. Only if this probe is late as well,
//! it is considered stuck: a page may take long, a probe takes what probes take. So a slow page
//! costs a probe at most, and both waits follow what is usual for the backend.

use crate::base::time::Instant;
use std::time::Duration;

/// Lowest silence threshold: a shorter silence is not worth a probe.
const THRESHOLD_MIN: Duration = Duration::from_millis(100);
/// A false alarm doubles the threshold, a response lowers it by this part: where silences are usual
/// at most every fifth response costs a probe.
const DECAY_PART: u32 = 8;
/// A probe is late after this many times the slowest of the latest probes,
const LATE_TIMES: u32 = 4;
/// at least after this,
const LATE_MIN: Duration = Duration::from_millis(100);
/// and after this while none has passed yet.
const LATE_UNKNOWN: Duration = Duration::from_secs(1);
/// Each faster probe lowers the slowest by this part. One slower probe doubles the wait at most: a
/// server that was stopped once is not slow from then on.
const FORGET_PART: u32 = 8;
const LATE_GROWTH: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspect {
    None,
    /// A probe is due or under way.
    Since(Instant),
    /// The probe was late.
    Stuck,
}

/// What to do about a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Probe at once.
    Probe,
    /// Do not wait for it any longer.
    GiveUp,
}

/// How long a backend has been silent, and what is usual for it.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// When the last byte came, or the first request was sent.
    since: Instant,
    silence_threshold: Duration,
    /// Duration of the slowest of the latest passed probes; none before the first.
    slowest_probe: Option<Duration>,
    suspect: Suspect,
}

impl Silence {
    /// Nothing known, nothing in flight.
    pub fn new() -> Silence {
        Silence {
            since: Instant::START,
            silence_threshold: THRESHOLD_MIN,
            slowest_probe: None,
            suspect: Suspect::None,
        }
    }

    /// The first request is in flight.
    pub fn begins(&mut self, now: Instant) {
        self.since = now;
    }

    /// A byte came; whether [`Silence::decay`] has something to do.
    pub fn broken(&mut self, now: Instant) -> bool {
        self.since = now;
        self.suspect != Suspect::None || self.silence_threshold > THRESHOLD_MIN
    }

    /// It has answered: it is no suspect, and the threshold decays.
    pub fn decay(&mut self) {
        self.suspect = Suspect::None;
        self.silence_threshold =
            (self.silence_threshold - self.silence_threshold / DECAY_PART).max(THRESHOLD_MIN);
    }

    /// A probe passed after `took`. `most`, the probe interval, is the highest useful threshold.
    pub fn probed(&mut self, took: Duration, most: Duration, now: Instant) {
        self.slowest_probe = Some(match self.slowest_probe {
            None => took,
            Some(slowest) => {
                let most = self.late_after() * LATE_GROWTH / LATE_TIMES;
                took.min(most).max(slowest - slowest / FORGET_PART)
            }
        });
        if matches!(self.suspect, Suspect::Since(_)) {
            self.silence_threshold = (self.silence_threshold * 2).min(most.max(THRESHOLD_MIN));
        }
        self.suspect = Suspect::None;
        self.since = now;
    }

    /// A probe is due.
    pub fn suspect(&mut self, now: Instant) {
        if self.suspect == Suspect::None {
            self.suspect = Suspect::Since(now);
        }
    }

    /// The probe is late.
    pub fn give_up(&mut self) {
        self.suspect = Suspect::Stuck;
    }

    /// Whether it is considered stuck.
    pub fn is_stuck(&self) -> bool {
        self.suspect == Suspect::Stuck
    }

    /// How long it has been silent.
    pub fn lasts(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    /// When the silence began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// A probe or a connect that makes no progress for this long is late.
    pub fn late_after(&self) -> Duration {
        self.slowest_probe.map_or(LATE_UNKNOWN, |slowest| (slowest * LATE_TIMES).max(LATE_MIN))
    }

    /// The next action if nothing comes, and when. `in_flight`: a request is in flight; `probe`:
    /// when the probe under way last made progress.
    pub fn next(&self, in_flight: bool, probe: Option<Instant>) -> Option<(Instant, Action)> {
        match self.suspect {
            Suspect::None => {
                in_flight.then(|| (self.since + self.silence_threshold, Action::Probe))
            }
            Suspect::Since(at) => {
                probe.map(|moved| (at.max(moved) + self.late_after(), Action::GiveUp))
            }
            Suspect::Stuck => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// A backend whose last probe took `probe_ms`.
    fn known(probe_ms: u64) -> Silence {
        let mut silence = Silence::new();
        silence.probed(ms(probe_ms), ms(2_000), at(0));
        silence
    }

    #[test]
    fn a_probe_is_late_by_what_probes_take() {
        assert_eq!(Silence::new().late_after(), LATE_UNKNOWN);
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
            probes_ms.iter().for_each(|&took| silence.probed(ms(took), ms(2_000), at(0)));
            assert_eq!(silence.late_after().as_millis(), late_ms, "{probes_ms:?}");
        }
    }

    #[test]
    fn silence_leads_to_a_probe_and_a_late_probe_to_giving_up() {
        let mut silence = known(50);
        assert_eq!(silence.next(false, None), None, "nothing is in flight");
        silence.begins(at(1_000));
        assert_eq!(silence.next(true, None), Some((at(1_100), Action::Probe)));
        assert_eq!(silence.next(true, Some(at(900))), Some((at(1_100), Action::Probe)));
        silence.suspect(at(1_100));
        for (name, probe, expected) in [
            ("no probe could be started", None, None),
            ("one was under way", Some(at(900)), Some((at(1_300), Action::GiveUp))),
            ("one was started", Some(at(1_100)), Some((at(1_300), Action::GiveUp))),
            ("it was connected", Some(at(1_150)), Some((at(1_350), Action::GiveUp))),
        ] {
            assert_eq!(silence.next(true, probe), expected, "{name}");
            assert_eq!(silence.next(false, probe), expected, "{name}, and its clients left");
        }
        silence.suspect(at(1_200));
        assert_eq!(
            silence.next(true, Some(at(900))),
            Some((at(1_300), Action::GiveUp)),
            "at first"
        );
        silence.give_up();
        assert!(silence.is_stuck());
        assert_eq!(silence.next(true, Some(at(1_100))), None);
        assert_eq!(silence.lasts(at(1_300)), ms(300));
    }

    #[test]
    fn a_byte_or_a_passed_probe_ends_the_suspicion() {
        let suspicions: [fn(&mut Silence); 2] = [|it| it.suspect(at(10)), Silence::give_up];
        for suspect in suspicions {
            let mut by_byte = known(1);
            suspect(&mut by_byte);
            assert!(by_byte.broken(at(20)));
            by_byte.decay();
            let mut by_probe = known(1);
            suspect(&mut by_probe);
            by_probe.probed(ms(1), ms(2_000), at(20));
            for silence in [by_byte, by_probe] {
                assert!(!silence.is_stuck());
                assert_eq!(silence.since(), at(20));
                assert!(matches!(silence.next(true, None), Some((_, Action::Probe))));
            }
        }
        assert!(!known(1).broken(at(20)), "there was none");
    }

    #[test]
    fn the_threshold_grows_with_false_alarms_and_decays_with_responses() {
        let silence_threshold =
            |silence: &Silence| silence.next(true, None).unwrap().0.since(silence.since);
        let mut silence = known(1);
        let mut doubled = Vec::new();
        for _ in 0..6 {
            silence.suspect(at(5));
            silence.probed(ms(1), ms(2_000), at(6));
            doubled.push(silence_threshold(&silence).as_millis());
        }
        assert_eq!(doubled, [200, 400, 800, 1_600, 2_000, 2_000]);
        silence.probed(ms(1), ms(2_000), at(7));
        assert_eq!(silence_threshold(&silence), ms(2_000), "a scheduled probe is no false alarm");
        let answers = (1..).find(|_| {
            silence.decay();
            silence_threshold(&silence) == THRESHOLD_MIN
        });
        assert_eq!(answers, Some(23));
        let mut seldom = known(1);
        seldom.suspect(at(5));
        seldom.probed(ms(1), ms(20), at(6));
        assert_eq!(silence_threshold(&seldom), THRESHOLD_MIN, "frequent probes notice it anyway");
    }

    #[test]
    fn slow_pages_one_after_the_other_cost_few_probes() {
        // Pages of one second, probes of one millisecond.
        let mut silence = known(1);
        let (mut now, mut probes) = (at(0), 0);
        for _ in 0..1_000 {
            silence.begins(now);
            let answered = now + ms(1_000);
            while let Some((due, Action::Probe)) = silence.next(true, None)
                && due < answered
            {
                silence.suspect(due);
                silence.probed(ms(1), ms(2_000), due + ms(1));
                probes += 1;
            }
            now = answered;
            silence.broken(now);
            silence.decay();
        }
        assert!(probes <= 200, "{probes} probes for 1,000 pages");
    }
}
