//! Work that may block for long (looking up names), done on a thread that lives as long as the
//! work and wakes the loop when it is done.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// Work under way.
#[derive(Debug)]
pub struct Task<T>(Receiver<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts `work`; the loop of `waker` wakes when it is done.
    ///
    /// Errors: the system has no thread to give.
    pub fn start(
        waker: Arc<mio::Waker>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Task<T>> {
        let (sender, receiver) = channel();
        std::thread::Builder::new().name(String::from("reload")).spawn(move || {
            // The result is sent before the wake-up, so that whoever wakes finds it. Nobody may
            // be waiting any more, which is fine.
            let _ = sender.send(work());
            let _ = waker.wake();
        })?;
        Ok(Task(receiver))
    }

    /// The result, if it is there; the task itself, if it is not.
    pub fn poll(self) -> Result<Option<T>, Task<T>> {
        match self.0.try_recv() {
            Ok(result) => Ok(Some(result)),
            Err(TryRecvError::Empty) => Err(self),
            Err(TryRecvError::Disconnected) => Ok(None),
        }
    }
}
