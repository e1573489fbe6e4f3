//! When memory that a peak has left unused goes back to the system. It decides when;
//! [`super::Proxy::turn`] does it.

use crate::base::table::Id;
use crate::base::time::Instant;
use crate::base::wheel::{Timer, Wheel};
use crate::proxy::kinds::TrimKind;
use std::time::Duration;

/// How long less must have been in use. A burst that comes back every few seconds keeps its memory.
pub const QUIET: Duration = Duration::from_secs(4);

/// Watches how much is in use. Its timer is armed while less is in use than at the peak: once or
/// twice after each, and never in a process that is idle.
#[derive(Debug, Default)]
pub struct Trim {
    timer: Timer,
    /// Most bytes in use at once since the last trim.
    peak: usize,
    /// Most bytes in use at once since the timer was armed.
    recent: usize,
}

impl Trim {
    /// At the end of a turn `used` bytes are in use; `least` fewer than at the peak are worth a
    /// trim.
    #[inline]
    pub fn note(&mut self, used: usize, least: usize, wheel: &mut Wheel, now: Instant) {
        self.peak = self.peak.max(used);
        self.recent = self.recent.max(used);
        if used.saturating_add(least) <= self.peak && !self.timer.is_armed() {
            self.recent = used;
            wheel.arm(&mut self.timer, now + QUIET, Id::numbered::<TrimKind>(0));
        }
    }

    /// The timer's node has fired; whether the peak is over.
    pub fn timer_fired(&mut self, least: usize) -> bool {
        self.timer.fired();
        let is_over = self.recent.saturating_add(least) <= self.peak;
        self.peak = self.recent;
        is_over
    }

    /// A trim may come.
    pub fn is_planned(&self) -> bool {
        self.timer.is_armed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: usize = 100;

    /// What was in use in each second from the start on, and the seconds in which it is trimmed: the
    /// wheel fires in the tick after the deadline.
    #[test]
    fn a_trim_follows_a_peak_and_nothing_else() {
        for (name, used, expected) in [
            ("nothing happens", &[0][..], &[][..]),
            ("less than is worth it", &[99, 0], &[]),
            ("a peak, then idle", &[0, 500, 0], &[7]),
            ("a peak, then half of it", &[500, 250], &[6]),
            ("a peak that comes back in time", &[500, 0, 0, 500, 500, 500, 500], &[]),
            ("a burst every two seconds", &[500, 0, 500, 0, 500, 0, 500, 0, 500], &[]),
            ("a peak that decays", &[500, 400, 300, 200, 100, 0], &[6, 11]),
            ("a peak that grows", &[100, 200, 300], &[]),
            ("two peaks", &[500, 0, 0, 0, 0, 0, 0, 500, 0], &[6, 13]),
        ] {
            let mut wheel = Wheel::new();
            let mut trim = Trim::default();
            let mut trimmed = Vec::new();
            for second in 0..40 {
                let now = Instant::START + Duration::from_secs(second as u64);
                while let Some(id) = wheel.pop_expired(now) {
                    assert!(id.number::<TrimKind>().is_some());
                    if trim.timer_fired(LEAST) {
                        trimmed.push(second);
                    }
                }
                let used = used.get(second).or(used.last()).copied().unwrap_or_default();
                trim.note(used, LEAST, &mut wheel, now);
            }
            assert_eq!(trimmed, expected, "{name}");
            assert!(wheel.is_empty() && !trim.is_planned(), "{name}: an idle process is woken");
        }
    }
}
