//! What is reported to the service manager: that the program is ready, how many servers are up, that a
//! reload or the end has begun, and that the loop turns.

use super::context::{LoopContext, Phase};
use super::kinds::ManagerKind;
use super::standing::Counts;
use super::upstream::Upstreams;
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::net::{Net, Notice};
use std::fmt;
use std::time::Duration;

/// How long the first probes hold up the notice that the program is ready.
const FIRST_PROBES_MAX: Duration = Duration::from_secs(2);

/// How soon a notice that the manager had no room for is sent again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// The last state that the service manager has a notice of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announced {
    /// Nothing yet: the first probes are awaited until this time.
    Nothing {
        until: Instant,
    },
    Ready,
    Reloading,
    Stopping,
}

/// Whether the first probes hold up the notice that the program is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstProbes {
    /// For [`FIRST_PROBES_MAX`] at most.
    Awaited,
    /// They were awaited before.
    Over,
}

/// The service manager's view of the program.
#[derive(Debug)]
pub struct ManagerReport {
    announced: Announced,
    /// Of [`Upstreams::revision`], at the last line about the servers.
    revision: Option<u64>,
    /// Of the next sign of life, and of the end of the wait for the first probes.
    timer: Timer,
    alive_due: Option<Instant>,
    /// Half of what the manager waits for a sign of life.
    alive_interval: Option<Duration>,
    is_reloading: bool,
    /// The manager had no room for a notice.
    is_behind: bool,
}

impl ManagerReport {
    /// The report to the manager of this kernel, if there is one.
    pub fn begin<N: Net>(cx: &mut LoopContext<N>, probes: FirstProbes) -> Option<ManagerReport> {
        let manager = cx.net.service_manager()?;
        let now = cx.now.instant;
        let until = match probes {
            FirstProbes::Awaited => now + FIRST_PROBES_MAX,
            FirstProbes::Over => now,
        };
        let alive_interval = manager.watchdog.map(|span| span / 2);
        let mut report = ManagerReport {
            announced: Announced::Nothing { until },
            revision: None,
            timer: Timer::new(),
            alive_due: alive_interval.map(|span| now + span),
            alive_interval,
            is_reloading: false,
            is_behind: false,
        };
        report.arm(cx);
        Some(report)
    }

    /// The manager hears from another process from here on.
    pub fn end<N: Net>(mut self, cx: &mut LoopContext<N>) {
        cx.wheel.cancel(&mut self.timer);
    }

    /// The timer's node has fired.
    pub fn timer_fired(&mut self) {
        self.timer.fired();
    }

    fn arm<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        let until = match self.announced {
            Announced::Nothing { until } => Some(until),
            Announced::Ready | Announced::Reloading | Announced::Stopping => None,
        };
        let again = self.is_behind.then(|| cx.now.instant + TRY_AGAIN);
        let until = until.filter(|_| again.is_none());
        match [until, again, self.alive_due].into_iter().flatten().min() {
            Some(due) => cx.wheel.arm(&mut self.timer, due, Id::numbered::<ManagerKind>(0)),
            None => cx.wheel.cancel(&mut self.timer),
        }
    }

    /// Sends what the manager does not know yet. What it has no room for is sent later.
    pub fn update<N: Net>(&mut self, cx: &mut LoopContext<N>, upstreams: &Upstreams<N>) {
        self.is_behind = !self.catch_up(cx, upstreams);
        self.arm(cx);
    }

    /// As [`ManagerReport::update`]; false if there was no room.
    fn catch_up<N: Net>(&mut self, cx: &mut LoopContext<N>, upstreams: &Upstreams<N>) -> bool {
        let now = cx.now.instant;
        let wanted = match self.announced {
            Announced::Stopping => Announced::Stopping,
            Announced::Nothing { .. } | Announced::Ready | Announced::Reloading
                if cx.phase != Phase::Serving =>
            {
                Announced::Stopping
            }
            Announced::Nothing { until } if until > now && !upstreams.are_all_probed() => {
                self.announced
            }
            Announced::Nothing { .. } => Announced::Ready,
            Announced::Ready | Announced::Reloading if self.is_reloading => Announced::Reloading,
            Announced::Ready | Announced::Reloading => Announced::Ready,
        };
        if wanted != self.announced && !self.announce(cx, wanted) {
            return false;
        }
        let has_begun = !matches!(self.announced, Announced::Nothing { .. });
        if has_begun && self.revision != Some(upstreams.revision()) {
            let up = ServersUp(upstreams.counts());
            if !cx.net.notify_manager(&Notice::Status(format_args!("{up}"))) {
                return false;
            }
            self.revision = Some(upstreams.revision());
        }
        if let (Some(due), Some(interval)) = (self.alive_due, self.alive_interval)
            && due <= now
        {
            if !cx.net.notify_manager(&Notice::Alive) {
                return false;
            }
            self.alive_due = Some(now + interval);
        }
        true
    }

    /// Whether what was to be read again is being read. Said at once: it may be over within a turn.
    pub fn set_reloading<N: Net>(&mut self, cx: &mut LoopContext<N>, is_reloading: bool) {
        self.is_reloading = is_reloading;
        let wanted = match (self.announced, is_reloading) {
            (Announced::Ready, true) => Announced::Reloading,
            (Announced::Reloading, false) => Announced::Ready,
            (_, _) => return,
        };
        self.is_behind |= !self.announce(cx, wanted);
        self.arm(cx);
    }

    /// Sends the notice of this state; false if there was no room.
    fn announce<N: Net>(&mut self, cx: &mut LoopContext<N>, wanted: Announced) -> bool {
        let notice = match wanted {
            Announced::Nothing { .. } | Announced::Ready => Notice::Ready,
            Announced::Reloading => Notice::Reloading,
            Announced::Stopping => Notice::Stopping,
        };
        let is_sent = cx.net.notify_manager(&notice);
        if is_sent {
            self.announced = wanted;
        }
        is_sent
    }
}

/// How many servers can take requests, as a line for people.
struct ServersUp(Counts);

impl fmt::Display for ServersUp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServersUp(counts) = self;
        let plural = if counts.total == 1 { "" } else { "s" };
        write!(out, "{} of {} server{plural} up{}", counts.up, counts.total, counts.withdrawn())
    }
}
