//! Work that may block for long (reading a file, looking up a name), on a thread that ends with the
//! work and then wakes the loop.

use super::Waker;
use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// Work in progress on a thread of its own; when dropped, its result is discarded.
#[derive(Debug)]
pub struct Task<T>(Receiver<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts `work`; the loop of `waker` wakes when it is done.
    ///
    /// Errors: the system has no thread left.
    pub fn start(waker: Waker, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Task<T>> {
        let (sender, receiver) = channel();
        std::thread::Builder::new().name(String::from("reload")).spawn(move || {
            // The result is sent before the wake-up, so that the loop finds it. Both fail only if
            // the result is no longer wanted.
            let _ = sender.send(work());
            let _ = waker.wake();
        })?;
        Ok(Task(receiver))
    }

    /// The result if the work is done, none if its thread has panicked; else the task itself.
    pub fn poll(self) -> Result<Option<T>, Task<T>> {
        match self.0.try_recv() {
            Ok(result) => Ok(Some(result)),
            Err(TryRecvError::Empty) => Err(self),
            Err(TryRecvError::Disconnected) => Ok(None),
        }
    }
}
