//! Idle connections of one backend, and how many of them are worth keeping. Pure.

use super::reuse::ReuseHistory;
use super::starvation::Starvation;
use crate::base::time::Instant;
use crate::proxy::kinds::UpstreamKey;
use std::time::Duration;

/// Idle connections kept beyond as many as were in use at once lately: requests that cannot use an
/// idle one bring theirs along.
const SPARE_MAX: usize = 64;

/// Idle connections, the last used last; some may be closed already.
#[derive(Debug, Default)]
pub struct Idle {
    keys: Vec<UpstreamKey>,
    /// Most in use at once in the current period and in the one before. With what is in use now as
    /// the measure, a burst's connections were closed at its end and opened again at its next
    /// beginning: at 256 clients for every ninth request.
    peaks: [usize; 2],
    /// When the current period ends.
    until: Instant,
    /// Whether the server has a thread for each connection, and too few.
    pub starvation: Starvation,
    /// What the server has done with idle connections.
    pub reuse: ReuseHistory,
}

impl Idle {
    /// Keys of idle connections, and of some that are closed.
    pub fn keys(&self) -> &[UpstreamKey] {
        &self.keys
    }

    /// The last one used, which stays.
    pub fn last(&self) -> Option<UpstreamKey> {
        self.keys.last().copied()
    }

    /// The last one used.
    pub fn pop(&mut self) -> Option<UpstreamKey> {
        self.keys.pop()
    }

    /// Adds one that was used just now.
    pub fn push(&mut self, key: UpstreamKey) {
        self.keys.push(key);
    }

    /// Frees the places that are not needed now.
    pub fn shrink(&mut self) {
        self.keys.shrink_to_fit();
    }

    /// All of them; none is left.
    pub fn take(&mut self) -> Vec<UpstreamKey> {
        std::mem::take(&mut self.keys)
    }

    /// Whether the connection that just became idle is worth keeping while `in_use` others work.
    /// Peaks are remembered for one to two times `period`. Closed ones are forgotten before they
    /// would count.
    pub fn has_room(
        &mut self,
        in_use: usize,
        now: Instant,
        period: Duration,
        is_open: impl Fn(UpstreamKey) -> bool,
    ) -> bool {
        if now >= self.until {
            self.peaks = [0, self.peaks[0]];
            self.until = now + period;
        }
        self.peaks[0] = self.peaks[0].max(in_use + 1);
        if self.starvation.is_starving(now) {
            self.starvation.closed(in_use + self.keys.len() + 1);
            return false;
        }
        let limit = SPARE_MAX + self.peaks[0].max(self.peaks[1]);
        let limit = self.starvation.limit(now).map_or(limit, |most| most.min(limit));
        if in_use + self.keys.len() >= limit {
            self.keys.retain(|&key| is_open(key));
        }
        in_use + self.keys.len() < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::table::Table;

    #[test]
    fn as_many_stay_as_were_in_use_lately_and_some_more() {
        let mut table = Table::new();
        let mut key = || table.insert(());
        let mut idle = Idle::default();
        let (period, later) =
            (Duration::from_secs(30), |seconds| Instant::START + Duration::from_secs(seconds));
        // A burst of a thousand ends: all of them stay, whatever is in use in the end.
        for in_use in (0..1000).rev() {
            assert!(idle.has_room(in_use, later(0), period, |_| true), "{in_use} in use");
            idle.push(key());
        }
        // Surplus ones do so up to the spare ones.
        for _ in 0..SPARE_MAX {
            assert!(idle.has_room(0, later(29), period, |_| true));
            idle.push(key());
        }
        assert!(!idle.has_room(0, later(29), period, |_| true));
        // Closed ones take no place.
        assert!(idle.has_room(0, later(29), period, |_| false));
        assert_eq!(idle.keys().len(), 0);
        // The burst is remembered for one period behind its own, and not for two.
        idle.keys = (0..500).map(|_| key()).collect();
        assert!(idle.has_room(0, later(59), period, |_| true));
        assert!(!idle.has_room(0, later(89), period, |_| true));
    }
}
