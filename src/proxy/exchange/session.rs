//! Sticky sessions in an exchange: the cookie that a response sets, and the end of the wait for the
//! server that a cookie names.

use super::{Client, Exchanges};
use crate::net::Net;
use crate::proxy::client::admission::Line;
use crate::proxy::client::request::RequestState;
use crate::proxy::kinds::{ClientKey, Next, PairKey};

impl<N: Net> Exchanges<N> {
    /// Notes in a new pair what its response sets in the cookie of `--sticky`.
    #[cold]
    pub(super) fn note_cookie(&mut self, key: PairKey) {
        let cluster = self.upstreams.cluster();
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.cookie = cluster.cookie_to_set(pair.backend, pair.intent.session());
        }
    }

    /// The server that a cookie names was at its limit for too long: another one serves the request,
    /// if there is a slot for it.
    #[cold]
    pub(super) fn end_session_wait(&mut self, key: ClientKey, client: Client<'_, N>) -> Next {
        let state = client.request.state;
        if let (RequestState::WaitingForSlot(line), Some(retry)) =
            (state, &mut client.request.retry)
        {
            retry.tried.session_over = true;
            self.admission.leave(line);
            client.request.state = match self.admission.admit() {
                true => RequestState::Admitted,
                false => {
                    // Its deadline has passed: that wait ends at once.
                    self.admission.enqueue(key, Line::Open);
                    RequestState::WaitingForSlot(Line::Open)
                }
            };
        }
        Next::Again
    }
}
