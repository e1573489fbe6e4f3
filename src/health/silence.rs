//! Suspicion by silence: whether a backend that owes answers has stopped altogether.
//!
//! One from which nothing comes for a while is probed at once, and only one that leaves this probe
//! unanswered too is believed to be stuck: pages may take long, probes take what probes take. So a
//! slow page costs a probe at most, and both waits follow what the backend is known for.

use crate::base::time::Instant;
use std::time::Duration;

/// The least silence that is worth a probe.
const PATIENCE_MIN: Duration = Duration::from_millis(100);
/// A silence that meant nothing doubles the threshold, an answer takes this part of it away: where
/// silences are usual at most every fifth answer costs a probe.
const RELAX_PART: u32 = 8;
/// A probe is late after the slowest of the latest probes so many times,
const LATE_TIMES: u32 = 4;
/// but not before this,
const LATE_MIN: Duration = Duration::from_millis(100);
/// and after this where none has passed yet.
const LATE_UNKNOWN: Duration = Duration::from_secs(1);
/// The slowest probe is forgotten by this part with each that is faster; one that is slower makes
/// that wait twice as long at most: a server that was stopped once is not slow from then on.
const FORGET_PART: u32 = 8;
const LATE_GROWTH: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspect {
    None,
    /// It is to be probed, or being so.
    Since(Instant),
    /// It is believed to be stuck.
    Stuck,
}

/// What a silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To be probed at once.
    Probe,
    /// Not to be waited for.
    GiveUp,
}

/// How long nothing has come from a backend, and what that means.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// Since when nothing has come although something was owed.
    since: Instant,
    silence_threshold: Duration,
    /// Of the latest passed probes; none before the first.
    slowest_probe: Option<Duration>,
    doubt: Suspect,
}

impl Silence {
    /// Nothing known, nothing owed.
    pub fn new() -> Silence {
        Silence {
            since: Instant::START,
            silence_threshold: PATIENCE_MIN,
            slowest_probe: None,
            doubt: Suspect::None,
        }
    }

    /// It owed nothing until now.
    pub fn begins(&mut self, now: Instant) {
        self.since = now;
    }

    /// A byte came; whether [`Silence::decay`] has something to do.
    pub fn broken(&mut self, now: Instant) -> bool {
        self.since = now;
        self.doubt != Suspect::None || self.silence_threshold > PATIENCE_MIN
    }

    /// It is heard of: no doubt is left, and the threshold decays a little.
    pub fn decay(&mut self) {
        self.doubt = Suspect::None;
        self.silence_threshold =
            (self.silence_threshold - self.silence_threshold / RELAX_PART).max(PATIENCE_MIN);
    }

    /// A probe passed after `took`. A threshold above `most` is of no use: probes run anyway.
    pub fn probed(&mut self, took: Duration, most: Duration, now: Instant) {
        self.slowest_probe = Some(match self.slowest_probe {
            None => took,
            Some(slowest) => {
                let most = self.late_after() * LATE_GROWTH / LATE_TIMES;
                took.min(most).max(slowest - slowest / FORGET_PART)
            }
        });
        if matches!(self.doubt, Suspect::Since(_)) {
            self.silence_threshold = (self.silence_threshold * 2).min(most.max(PATIENCE_MIN));
        }
        self.doubt = Suspect::None;
        self.since = now;
    }

    /// It is to be probed.
    pub fn suspect(&mut self, now: Instant) {
        if self.doubt == Suspect::None {
            self.doubt = Suspect::Since(now);
        }
    }

    /// It left the probe unanswered.
    pub fn give_up(&mut self) {
        self.doubt = Suspect::Stuck;
    }

    /// Whether it is believed to be stuck.
    pub fn is_stuck(&self) -> bool {
        self.doubt == Suspect::Stuck
    }

    /// How long nothing has come.
    pub fn lasts(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How long a probe, or a connect, may stand still before it is late.
    pub fn late_after(&self) -> Duration {
        self.slowest_probe.map_or(LATE_UNKNOWN, |slowest| (slowest * LATE_TIMES).max(LATE_MIN))
    }

    /// What comes next if nothing is heard, and when. `owes`: something is in flight with it;
    /// `probe`: when the probe under way last got on.
    pub fn next(&self, owes: bool, probe: Option<Instant>) -> Option<(Instant, Action)> {
        match self.doubt {
            Suspect::None => owes.then(|| (self.since + self.silence_threshold, Action::Probe)),
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

    /// One whose last probes took `probe_ms`.
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
        assert_eq!(silence.next(false, None), None, "who owes nothing may be silent");
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
    fn a_byte_or_a_passed_probe_ends_every_doubt() {
        let doubts: [fn(&mut Silence); 2] = [|it| it.suspect(at(10)), Silence::give_up];
        for doubt in doubts {
            let mut by_byte = known(1);
            doubt(&mut by_byte);
            assert!(by_byte.broken(at(20)));
            by_byte.decay();
            let mut by_probe = known(1);
            doubt(&mut by_probe);
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
    fn patience_grows_with_usual_silences_and_shrinks_with_answers() {
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
        assert_eq!(silence_threshold(&silence), ms(2_000), "a probe at its time shows nothing");
        let answers = (1..).find(|_| {
            silence.decay();
            silence_threshold(&silence) == PATIENCE_MIN
        });
        assert_eq!(answers, Some(23));
        let mut seldom = known(1);
        seldom.suspect(at(5));
        seldom.probed(ms(1), ms(20), at(6));
        assert_eq!(silence_threshold(&seldom), PATIENCE_MIN, "probes that run often need no help");
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
        assert!(probes <= 200, "{probes} probes for a thousand pages");
    }
}
