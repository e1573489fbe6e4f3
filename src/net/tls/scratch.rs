//! Memory through which ciphertext passes, and how much the sessions keep beside it.

use crate::base::buffer::LARGE_BYTES;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

/// A record with all that is around its content (RFC 8446 §5.2).
pub(super) const RECORD_BYTES_MAX: usize = 5 + (1 << 14) + 256;

/// Ciphertext that passes through memory at once, in either direction: a buffer in records, and what
/// was left of a record before.
const SCRATCH_BYTES: usize = LARGE_BYTES + 3 * RECORD_BYTES_MAX;

/// Most bytes that a session keeps between two steps: the ciphertext of a write of which the socket
/// has taken nothing, a record of which more must come, and content that its reader had no room
/// for. A handshake, which has no content, keeps its messages in as much.
pub const KEPT_BYTES_MAX: usize = SCRATCH_BYTES;

/// Memory for ciphertext in passing, shared by the sessions of a loop.
#[derive(Debug)]
pub struct Scratch {
    memory: RefCell<Box<[u8]>>,
    /// What all sessions keep, in bytes.
    kept: Cell<usize>,
}

impl Scratch {
    /// Room for one read or write.
    pub fn shared() -> Rc<Scratch> {
        let memory = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
        Rc::new(Scratch { memory, kept: Cell::new(0) })
    }

    /// All of it, for one read or write: one session at a time uses it.
    pub(super) fn borrow(&self) -> RefMut<'_, Box<[u8]>> {
        self.memory.borrow_mut()
    }

    /// What all sessions keep between two steps, in bytes.
    pub fn kept_bytes(&self) -> usize {
        self.kept.get()
    }
}

/// `received` is this from here on; empty, it holds no memory.
pub(super) fn keep_rest(received: &mut Vec<u8>, rest: &[u8]) {
    if rest.is_empty() {
        *received = Vec::new();
        return;
    }
    received.clear();
    received.reserve_exact(rest.len());
    received.extend_from_slice(rest);
}

/// What one session keeps, in the account of all.
#[derive(Debug)]
pub(super) struct Kept {
    scratch: Rc<Scratch>,
    bytes: usize,
}

impl Kept {
    /// Nothing yet.
    pub fn nothing(scratch: &Rc<Scratch>) -> Kept {
        Kept { scratch: Rc::clone(scratch), bytes: 0 }
    }

    /// The memory that it shares with the others.
    pub fn scratch(&self) -> &Rc<Scratch> {
        &self.scratch
    }

    /// It is so many bytes from here on.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        let all = &self.scratch.kept;
        all.set(all.get() - self.bytes + bytes);
        self.bytes = bytes;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}
