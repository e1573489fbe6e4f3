//! The last thing the program does: its logs are written, for as long as may be.

use super::{Proxy, Stop};
use crate::balance::record::Line;
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
        let cut_off = self.close_clients();
        self.report_stop(cut_off);
        self.exchanges.upstreams.close_all();
        self.exchanges.upstreams.record().note(|| Line::Stopped);
        let least = self.exchanges.context.now.instant + FINISH_MIN;
        let drain = match self.stop {
            Stop::By(deadline) => deadline.max(least),
            Stop::No | Stop::DrainAt(_) | Stop::HandedOver(_) | Stop::Now => least,
        };
        self.flush_logs(drain, least);
        let context = &mut self.exchanges.context;
        let is_record_cut = self.record.give_up(&mut context.net, &mut context.logs);
        let is_access_cut = context.logs.give_up_access(&mut context.net);
        if is_record_cut || is_access_cut {
            let now = context.now.instant;
            self.flush_logs(now, now + FINISH_MIN);
        }
    }

    /// Closes every client's connection; how many requests that cuts off.
    fn close_clients(&mut self) -> usize {
        let mut cut_off = 0;
        for key in self.clients.keys() {
            let client = self.clients.get_mut(key).expect("a key of the table");
            cut_off += usize::from(self.exchanges.cut_off(key, client));
            self.close_client(key);
        }
        cut_off
    }

    fn report_stop(&mut self, cut_off: usize) {
        let context = &mut self.exchanges.context;
        let limit = context.config.timeouts.drain.as_secs_f32();
        let logs = &mut context.logs;
        match (cut_off, self.stop) {
            (0, _) => logs.event(format_args!("stopped: all finished")),
            (_, Stop::By(_)) => {
                logs.event(format_args!("stopped: {cut_off} cut off after {limit} s"));
            }
            (_, Stop::Now | Stop::DrainAt(_) | Stop::HandedOver(_) | Stop::No) => {
                logs.event(format_args!("stopped: {cut_off} cut off by the second signal"));
            }
        }
    }

    /// Writes what waits until these deadlines, or until a signal to stop.
    fn flush_logs(&mut self, access_until: Instant, events_until: Instant) {
        self.exchanges.context.logs.hand_over_now();
        loop {
            self.write_logs();
            let context = &mut self.exchanges.context;
            let access = context.logs.has_unwritten(&mut context.net, Sink::Access);
            let events = context.logs.has_unwritten(&mut context.net, Sink::Events);
            let now = context.now.instant;
            let record = self.record.has_unwritten(&mut context.net);
            let files = access || record;
            let deadlines = [files.then_some(access_until), events.then_some(events_until)];
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
