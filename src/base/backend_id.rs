//! Which backend: an index as a type of its own, so that it is not mistaken for a count or for an
//! address of the backend.

use std::fmt;

/// A backend, from the time it is added until it is removed; the id of a removed one is used
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(u32);

impl BackendId {
    /// The backend at `index` of the tables of backends.
    pub fn new(index: usize) -> BackendId {
        BackendId(u32::try_from(index).expect("backends are limited to far fewer"))
    }

    /// Its index in the tables of backends.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for BackendId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "#{}", self.0)
    }
}
