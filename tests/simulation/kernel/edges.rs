//! Readiness: which edges a socket gets, and when they are reported.

use super::link::{Bits, LinkId, Stage, Unasked};
use super::{Dice, Kernel};
use loadbalancer::base::table::Id;
use loadbalancer::net::{RELOAD, Ready, STOP, WAKER};

impl Kernel {
    pub(super) fn level(&self, link: LinkId) -> Bits {
        let it = &self.links[link];
        match it.stage {
            Stage::Connecting { .. } | Stage::BlackHole => Bits::default(),
            Stage::Refused => Bits { readable: true, writable: true, ended: true, broken: true },
            Stage::Established => Bits {
                readable: !it.to_proxy.data.is_empty() || it.to_proxy.fin || it.dead,
                writable: it.to_peer.room() > 0 || it.dead || !it.peer_open,
                ended: it.to_proxy.fin || it.dead,
                broken: it.dead || (it.to_proxy.fin && it.proxy_shut),
            },
        }
    }

    pub(super) fn edge(&mut self, link: LinkId, bits: Bits) {
        let late = if self.mischief() { self.delay() } else { 0 };
        let it = &mut self.links[link];
        if it.id.is_none() || !it.proxy_open || !bits.any() {
            return;
        }
        if !it.pending.any() {
            it.pending_at = self.now + late;
            self.hot.push(link);
        }
        it.pending.readable |= bits.readable;
        it.pending.writable |= bits.writable;
        it.pending.ended |= bits.ended;
        it.pending.broken |= bits.broken;
    }

    /// Reports what is pending by now; whether that was anything.
    pub fn deliver(&mut self, ready: &mut Vec<Ready>) -> bool {
        let before = ready.len();
        let mut due: Vec<LinkId> = Vec::new();
        let (now, links) = (self.now, &self.links);
        self.hot.retain(|&link| {
            let is_due = links[link].pending_at <= now;
            if is_due {
                due.push(link);
            }
            !is_due
        });
        for at in (1..due.len()).rev() {
            due.swap(at, self.rng.below(at as u64 + 1) as usize);
        }
        for link in due {
            self.report(link, ready);
        }
        let listeners = self.listeners.iter_mut();
        let listeners = listeners.filter_map(|it| it.id.map(|id| (id, &mut it.pending)));
        let fixed = [
            (STOP, &mut self.stop_pending),
            (RELOAD, &mut self.reload_pending),
            (WAKER, &mut self.waker_pending),
        ];
        for (id, pending) in listeners.chain(fixed) {
            if std::mem::take(pending) {
                let (readable, [writable, ended, broken]) = (true, [false; 3]);
                ready.push(Ready { id, readable, writable, ended, broken });
            }
        }
        if self.style.spurious && self.rng.chance(100) {
            self.report_spurious(ready);
        }
        ready.len() > before
    }

    fn report(&mut self, link: LinkId, ready: &mut Vec<Ready>) {
        let level = self.level(link);
        let (spurious, turn, now) = (self.style.spurious, self.turn, self.now);
        let it = &mut self.links[link];
        let pending = std::mem::take(&mut it.pending);
        let Some(id) = it.id else { return };
        let bits = if spurious {
            level
        } else {
            Bits {
                readable: pending.readable && level.readable,
                writable: pending.writable && level.writable,
                ended: pending.ended,
                broken: pending.broken,
            }
        };
        if !bits.any() {
            return;
        }
        let report = Ready {
            id,
            readable: bits.readable || bits.ended || bits.broken,
            writable: bits.writable || bits.broken,
            ended: bits.ended || bits.broken,
            broken: bits.broken,
        };
        if report.readable && it.unasked == Unasked::Sent {
            it.unasked = Unasked::Known;
        }
        it.armed &= !report.readable;
        it.end_reported |= report.ended;
        if report.ended {
            it.end_reported_turn.get_or_insert(turn);
            it.idling.end_reported.get_or_insert((turn, now));
        }
        if report.broken && it.dead {
            it.reset_reported.get_or_insert(turn);
        }
        self.trace(format_args!("link {link}: reported {bits:?}"));
        ready.push(report);
    }

    /// A hint without a reason, at times about a socket that is gone.
    fn report_spurious(&mut self, ready: &mut Vec<Ready>) {
        let known: Vec<Id> = if self.rng.chance(300) {
            self.closed_ids.clone()
        } else {
            self.links.iter().filter_map(|link| link.id).collect()
        };
        if let Some(&id) = known.get(self.rng.below(known.len() as u64) as usize) {
            let writable = self.rng.chance(500);
            ready.push(Ready { id, readable: !writable, writable, ended: false, broken: false });
        }
    }
}
