//! Which requests may wait in the queue (`--queue-max`), and the answer for the others.

use super::{Client, Exchanges};
use crate::net::Net;
use crate::observe::{ProxyError, Record};
use crate::proxy::client::answer::Answer;
use crate::proxy::kinds::{ClientKey, Next};

const QUEUE_FULL: Answer =
    Answer::local(503, "too many requests wait already; please try again later", ProxyError::Limit);

impl<N: Net> Exchanges<N> {
    pub(super) fn is_queue_full(&self) -> bool {
        let most = self.context.config.queue_max;
        most.is_some_and(|most| self.admission.waiting() >= most as usize)
    }

    /// Whether a request for which there is no room may wait for it: one that has waited keeps its
    /// place.
    #[cold]
    pub(super) fn may_wait(&mut self, record: &Record) -> bool {
        let may = record.has_queued() || !self.is_queue_full();
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
}
