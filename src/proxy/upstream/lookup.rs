//! When the names of backends are looked up again. Looking them up is not done in the loop: it only
//! says when it is due.

use crate::base::table::Id;
use crate::base::wheel::Timer;
use crate::net::Net;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::NamesKind;

/// The next lookup.
#[derive(Debug, Default)]
pub struct LookupWatch {
    timer: Timer,
    is_due: bool,
}

impl LookupWatch {
    /// Plans the next one, `--resolve-interval` from now, unless it is planned already.
    pub fn plan<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        if !self.timer.is_armed() {
            let due = cx.now.instant + cx.config.timeouts.resolve;
            cx.wheel.arm(&mut self.timer, due, Id::numbered::<NamesKind>(0));
        }
    }

    /// There is no name any more.
    pub fn cancel<N: Net>(&mut self, cx: &mut LoopContext<N>) {
        cx.wheel.cancel(&mut self.timer);
    }

    /// The timer's node has fired.
    pub fn timer_fired(&mut self) {
        self.timer.fired();
        self.is_due = true;
    }

    /// Whether one is due.
    pub fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }

    /// One is planned.
    pub fn is_planned(&self) -> bool {
        self.timer.is_armed()
    }
}
