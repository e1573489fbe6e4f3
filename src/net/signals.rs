//! SIGTERM, SIGINT and SIGHUP as readiness: each writes a byte into a pipe the loop watches.

use super::Signal;
use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read};

/// The reading ends.
#[derive(Debug)]
pub struct Signals {
    /// A byte per SIGTERM or SIGINT.
    pub stop: UnixStream,
    /// A byte per SIGHUP.
    pub reload: UnixStream,
}

impl Signals {
    /// Takes the signals over.
    pub fn new() -> io::Result<Signals> {
        let (stop, stop_in) = std::os::unix::net::UnixStream::pair()?;
        let (reload, reload_in) = std::os::unix::net::UnixStream::pair()?;
        for end in [&stop, &reload, &stop_in, &reload_in] {
            end.set_nonblocking(true)?;
        }
        pipe::register(SIGINT, stop_in.try_clone()?)?;
        pipe::register(SIGTERM, stop_in)?;
        pipe::register(SIGHUP, reload_in)?;
        Ok(Signals { stop: UnixStream::from_std(stop), reload: UnixStream::from_std(reload) })
    }

    /// What came since it was asked last; several SIGHUP count as one.
    pub fn take(&mut self) -> Vec<Signal> {
        let mut bytes = [0; 16];
        let mut taken = Vec::new();
        while let Ok(count @ 1..) = self.stop.read(&mut bytes) {
            taken.extend(std::iter::repeat_n(Signal::Stop, count));
        }
        let mut reload = false;
        while let Ok(1..) = self.reload.read(&mut bytes) {
            reload = true;
        }
        if reload {
            taken.push(Signal::Reload);
        }
        taken
    }
}
