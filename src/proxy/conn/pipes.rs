//! Pipes for bytes that stay in the kernel, lent to connections and taken back. Pure book-keeping.

use std::io;

/// Empty pipes kept for the next large body: two descriptors each.
const SPARE_MAX: usize = 8;

/// A pipe and what is in it.
#[derive(Debug)]
pub struct Piped<P> {
    pub pipe: P,
    /// Bytes in it.
    pub bytes: usize,
}

/// A pipe with something in it, if there is one.
pub type Lent<P> = Option<Box<Piped<P>>>;

/// Pipes, lent and taken back. Last in, first out.
#[derive(Debug)]
pub struct Pipes<P> {
    spare: Vec<Box<Piped<P>>>,
    lent: usize,
    max: usize,
}

impl<P> Pipes<P> {
    /// At most `max` pipes are lent at once, so that bodies cannot take all descriptors.
    pub fn new(max: usize) -> Pipes<P> {
        Pipes { spare: Vec::new(), lent: 0, max }
    }

    /// Pipes lent and not yet taken back.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Closes the pipes that are kept for the next large body.
    pub fn trim(&mut self) {
        self.spare = Vec::new();
    }

    /// An empty pipe, made by `make` when none is spare; none at the limit or when it cannot be
    /// made, as reading and writing works without one.
    pub fn lend(&mut self, make: impl FnOnce() -> io::Result<P>) -> Lent<P> {
        if self.lent >= self.max {
            return None;
        }
        let spare = self.spare.pop();
        let lent = spare.or_else(|| Some(Box::new(Piped { pipe: make().ok()?, bytes: 0 })));
        self.lent += usize::from(lent.is_some());
        lent
    }

    /// Takes a pipe back, if there is one. A pipe with bytes in it is closed: they must not reach
    /// another connection.
    pub fn take_back(&mut self, lent: &mut Lent<P>) {
        let Some(pipe) = lent.take() else { return };
        self.lent -= 1;
        if pipe.bytes == 0 && self.spare.len() < SPARE_MAX {
            self.spare.push(pipe);
        }
    }
}
