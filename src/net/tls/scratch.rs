//! Memory through which ciphertext passes.

use crate::base::buffer::LARGE_BYTES;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// A record with all that is around its content (RFC 8446 §5.2).
pub(super) const RECORD_BYTES_MAX: usize = 5 + (1 << 14) + 256;

/// Ciphertext that passes through memory at once, in either direction: a buffer in records, and what
/// was left of a record before.
const SCRATCH_BYTES: usize = LARGE_BYTES + 3 * RECORD_BYTES_MAX;

/// Memory for ciphertext in passing, shared by the sessions of a loop.
#[derive(Debug)]
pub struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    /// Room for one read or write.
    pub fn shared() -> Rc<Scratch> {
        Rc::new(Scratch(RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice())))
    }

    /// All of it, for one read or write: one session at a time uses it.
    pub(super) fn borrow(&self) -> RefMut<'_, Box<[u8]>> {
        self.0.borrow_mut()
    }
}
