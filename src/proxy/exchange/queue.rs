//! Which requests may wait in the queue (`--queue-max`), and the answer for the others.

use super::{Client, Exchanges};
use crate::net::Net;
use crate::observe::{ProxyError, Record};
use crate::proxy::client::admission::Line;
use crate::proxy::client::answer::Answer;
use crate::proxy::client::request::RequestState;
use crate::proxy::kinds::{ClientKey, Next};
use crate::proxy::retry::RetryState;
use crate::proxy::upstream::acquire::Unavailable;

const QUEUE_FULL: Answer =
    Answer::local(503, "too many requests wait already; please try again later", ProxyError::Limit);

impl<N: Net> Exchanges<N> {
    /// Whether a request for which there is no room may wait for it: one that has waited keeps its
    /// place.
    #[cold]
    pub(super) fn may_wait(&mut self, record: &Record) -> bool {
        let may = record.has_queued() || !self.admission.is_queue_full();
        if !may {
            self.count_refused();
        }
        may
    }

    /// A request is about to wait: the speed of the queue is measured while one does.
    pub(super) fn note_queue_begins(&mut self) {
        if self.admission.waiting() == 0 {
            self.queue_speed.began(self.context.now.instant);
        }
    }

    /// Answers at once a request for which the queue has no place; a session is closed.
    #[cold]
    pub(super) fn refuse_for_queue(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        self.count_refused();
        match client.intent(&self.context, &mut self.heads, key) {
            Ok(intent) => {
                let record = client.record(&mut self.context, &mut self.heads, key);
                self.answer(client, intent.message(), QUEUE_FULL, record)
            }
            Err(refusal) => self.refuse(key, client, refusal),
        }
    }

    fn count_refused(&mut self) {
        if let Some(counters) = self.context.counters() {
            counters.queue_refused += 1;
        }
    }

    /// Whether the end of a pair gives what is lacking: room at a backend, or the descriptor of its
    /// idle connection.
    pub(super) fn comes_free(&self, lacking: Unavailable) -> bool {
        match lacking {
            Unavailable::NoBackend => false,
            Unavailable::AllFull | Unavailable::SessionFull(_) => true,
            Unavailable::NoDescriptor => !self.pairs.is_empty(),
        }
    }

    /// Every backend is at its own limit, or this machine has no descriptor left: the request
    /// waits, first in the queue, for the next pair to end.
    #[cold]
    pub(super) fn wait_for_room(
        &mut self,
        key: ClientKey,
        client: Client<'_, N>,
        lacking: Unavailable,
        state: RetryState,
    ) -> Next {
        let (ready, has_queued) = (client.request.ready, state.record.has_queued());
        client.request.retry = Some(Box::new(state));
        let line = match lacking {
            Unavailable::SessionFull(backend) => Line::Session(backend),
            Unavailable::NoBackend | Unavailable::AllFull | Unavailable::NoDescriptor => Line::Open,
        };
        let line = client.line(line);
        let deadline = ready + self.context.config.timeouts.queue;
        client.request.wait(RequestState::WaitingForSlot(line), deadline);
        match line {
            Line::Session(_) | Line::HalfClosedSession(_) => {
                self.admission.wait_for_session(line, ready, key);
            }
            Line::Open | Line::HalfClosed => {
                match has_queued {
                    true => self.queue_speed.came_back(),
                    false => self.note_queue_begins(),
                }
                self.admission.step_back(key, line);
            }
        }
        // Not parked yet: what brought it here may have been the end of another wait, whose timer
        // is spent.
        Next::Again
    }
}
