//! The last thing the program does: its logs are written, for as long as may be.

use super::{Proxy, Stop};
use crate::base::time::Instant;
use crate::net::{Net, Signal, Sink};
use std::time::Duration;

/// Least time for the last lines, however little time is left for draining.
const FINISH_MIN: Duration = Duration::from_secs(1);

/// When to try standard error again at exit, if it had no room.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl<N: Net> Proxy<N> {
    /// Ends every connection, then waits for the logs: for the access log as long as draining may
    /// still last, [`FINISH_MIN`] at least, for standard error only so long. A signal to stop ends
    /// the wait. Lines that are not written by then are counted and reported.
    pub fn finish_logs(mut self) {
        let keys = self.clients.keys();
        keys.into_iter().for_each(|key| self.close_client(key));
        self.exchanges.upstreams.close_all();
        let least = self.exchanges.context.now.instant + FINISH_MIN;
        let drain = match self.stop {
            Stop::By(deadline) => deadline.max(least),
            Stop::No | Stop::Now => least,
        };
        self.flush_logs(drain, least);
        let context = &mut self.exchanges.context;
        if context.logs.give_up_access(&mut context.net) {
            let now = context.now.instant;
            self.flush_logs(now, now + FINISH_MIN);
        }
    }

    /// Writes what waits until these deadlines, or until a signal to stop.
    fn flush_logs(&mut self, access_until: Instant, events_until: Instant) {
        loop {
            self.write_logs();
            let context = &mut self.exchanges.context;
            let access = context.logs.has_unwritten(&mut context.net, Sink::Access);
            let events = context.logs.has_unwritten(&mut context.net, Sink::Events);
            let now = context.now.instant;
            let deadlines = [access.then_some(access_until), events.then_some(events_until)];
            let latest = deadlines.into_iter().flatten().max();
            let Some(deadline) = latest.filter(|end| *end > now) else { return };
            // Nothing reports that standard error has room again where it is written directly.
            let most = match context.logs.has_pending(Sink::Events) {
                true => LOOK_AGAIN,
                false => Duration::MAX,
            };
            if context.net.wait(Some(deadline.since(now).min(most)), &mut self.ready).is_err() {
                return;
            }
            self.ready.clear();
            self.exchanges.read_clock();
            if self.exchanges.context.net.signals().contains(&Signal::Stop) {
                return;
            }
        }
    }
}
