//! Which backend a request of a sticky session goes to, and what its response has to set.

use super::cluster::Cluster;
use super::sessions::{SessionBackend, Sessions};
use crate::balance::{AdminState, Membership};
use crate::base::backend_id::BackendId;
use crate::config::Config;
use crate::health::State;
use std::num::NonZeroU64;

impl Cluster {
    /// What cookies call the backends follows from the key that `config` has by now.
    pub fn use_sticky_key(&mut self, config: &Config) {
        self.sessions = Sessions::new(config, self.backends.iter().map(|it| it.name.as_str()));
    }

    /// The backend that a cookie names, if a request may go there: it is in the list and not set to
    /// down, and it is not down. One that drains serves its sessions.
    pub fn session_backend(&self, tag: NonZeroU64) -> Option<SessionBackend> {
        let backend = self.sessions.find(tag).filter(|&backend| self.keeps_sessions(backend))?;
        let candidate = self.candidate(backend);
        // The whole limit, also in slow start: the session can go nowhere else.
        let is_full = candidate.spec.pairs_max.is_some_and(|max| candidate.in_flight >= max);
        Some(if is_full { SessionBackend::Full(backend) } else { SessionBackend::Ready(backend) })
    }

    fn keeps_sessions(&self, backend: BackendId) -> bool {
        let candidate = self.candidate(backend);
        candidate.membership == Membership::Serving
            && candidate.spec.admin != AdminState::Down
            && self.health(backend).state() != State::Down
    }

    /// Whether a request of this session belongs to this backend and to no other.
    pub fn keeps_session(&self, backend: BackendId, session: NonZeroU64) -> bool {
        self.sessions.find(session) == Some(backend) && self.keeps_sessions(backend)
    }

    /// Whether requests of sessions have to wait for this backend.
    pub fn keeps_waiting(&self, backend: BackendId) -> bool {
        let tag = self.sessions.tag(backend);
        tag.and_then(|tag| self.session_backend(tag)) == Some(SessionBackend::Full(backend))
    }

    /// What a response of this backend sets, to a client whose cookie says `has`; none if that is
    /// right, or there are no cookies.
    #[inline]
    pub fn cookie_to_set(&self, backend: BackendId, has: Option<NonZeroU64>) -> Option<NonZeroU64> {
        let tag = self.sessions.tag(backend)?;
        (has != Some(tag)).then_some(tag)
    }
}
