//! What the cookies of sticky sessions call the backends. Whether one can be used is the cluster's.

use crate::base::backend_id::BackendId;
use crate::config::{Config, StickyKey};
use std::num::NonZeroU64;

/// What the cookies of `--sticky` call the backends.
#[derive(Debug)]
pub struct Sessions {
    /// None without `--sticky`.
    key: Option<StickyKey>,
    /// By index, of removed backends too: side by side, as each request with a cookie looks for one.
    tags: Vec<NonZeroU64>,
}

/// The backend of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionBackend {
    Ready(BackendId),
    /// At its own limit.
    Full(BackendId),
}

impl Sessions {
    /// For backends with these names, in their order.
    pub fn new<'a>(config: &Config, names: impl Iterator<Item = &'a str>) -> Sessions {
        let key = config.sticky.as_ref().map(|_| config.sticky_key);
        let tags = key.map(|key| names.map(|name| key.tag(name)).collect());
        Sessions { key, tags: tags.unwrap_or_default() }
    }

    /// A backend was added.
    pub fn add(&mut self, backend: BackendId, name: &str) {
        let Some(key) = self.key else { return };
        match self.tags.get_mut(backend.index()) {
            Some(vacant) => *vacant = key.tag(name),
            None => self.tags.push(key.tag(name)),
        }
    }

    /// What a cookie calls a backend; none without `--sticky`.
    #[inline]
    pub fn tag(&self, backend: BackendId) -> Option<NonZeroU64> {
        self.tags.get(backend.index()).copied()
    }

    /// The backend that a cookie names.
    pub fn find(&self, tag: NonZeroU64) -> Option<BackendId> {
        self.tags.iter().position(|own| *own == tag).map(BackendId::new)
    }
}
