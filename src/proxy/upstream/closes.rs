//! Servers that close pooled connections: what that teaches about them.

use super::Upstreams;
use super::connection::{Sent, Upstream, UpstreamState};
use super::reuse::{self, IdleSince, Lesson, PooledClose};
use crate::base::backend_id::BackendId;
use crate::base::time::Instant;
use crate::net::Net;
use crate::proxy::context::LoopContext;
use crate::proxy::kinds::UpstreamKey;

impl<N: Net> Upstreams<N> {
    /// An idle upstream is not fit for use any more: its server closed it or sent something. A
    /// report that bytes have come may be wrong; then nothing is learned.
    pub(super) fn learn_from_idle(&mut self, cx: &mut LoopContext<N>, key: UpstreamKey) {
        let is_over = |it: &&Upstream<N::Socket>| !it.conn.is_reusable();
        let Some(upstream) = self.table.get(key).filter(is_over) else { return };
        let (UpstreamState::Idle { backend, since, .. }
        | UpstreamState::Owned { backend, since, .. }) = upstream.state
        else {
            return;
        };
        let served = upstream.served;
        self.learn_from_end(cx, backend, (since, served), cx.now.instant);
    }

    /// A connection that was idle since then, after so many responses, was closed by its server
    /// `at` this time.
    pub(super) fn learn_from_end(
        &mut self,
        cx: &mut LoopContext<N>,
        backend: BackendId,
        (since, served): (IdleSince, u32),
        at: Instant,
    ) {
        let lesson = self.cluster.idle(backend).reuse.closed(since, served, at);
        self.log_lesson(cx, backend, lesson);
    }

    /// A pooled upstream was closed under the request that was begun on it at `begun`.
    pub fn learn_from_close(
        &mut self,
        cx: &mut LoopContext<N>,
        (key, backend): (UpstreamKey, BackendId),
        begun: Instant,
    ) -> PooledClose {
        let upstream = self.table.get(key).expect("a pair's upstream stays as long as the pair");
        let UpstreamState::Busy { idle: Some(idle), sent, .. } = upstream.state else {
            panic!("the pair's upstream was idle before");
        };
        let served = upstream.served;
        let close = match (sent == Sent::Request, reuse::is_race(begun, cx.now.instant)) {
            (true, false) => return PooledClose::AtWork,
            (true, true) => PooledClose::Race,
            (false, _) => PooledClose::BeforeRequest,
        };
        if let (PooledClose::Race, Some(counters)) = (close, self.counters(backend)) {
            counters.races_lost += 1;
        }
        let lesson = self.cluster.idle(backend).reuse.closed(idle, served, begun);
        self.log_lesson(cx, backend, lesson);
        close
    }

    fn log_lesson(&self, cx: &mut LoopContext<N>, backend: BackendId, lesson: Option<Lesson>) {
        if let Some(lesson) = lesson.filter(|_| cx.config.verbose) {
            let name = self.cluster.name(backend);
            cx.logs.event(format_args!("backend {name} {lesson}"));
        }
    }
}
