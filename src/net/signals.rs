//! SIGTERM, SIGINT and SIGHUP as readiness: each writes a byte into a pipe that the loop polls.

use super::Signal;
use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::mem::MaybeUninit;

/// The read ends of the pipes.
#[derive(Debug)]
pub struct Signals {
    /// A byte per SIGTERM or SIGINT.
    pub stop: UnixStream,
    /// A byte per SIGHUP.
    pub reload: UnixStream,
    /// The meaning of SIGHUP.
    hang_up: Signal,
}

impl Signals {
    /// Installs the handlers.
    pub fn new() -> io::Result<Signals> {
        let hang_up = if is_ignored(SIGHUP)? { Signal::Reload } else { Signal::HangUp };
        let (stop, stop_in) = std::os::unix::net::UnixStream::pair()?;
        let (reload, reload_in) = std::os::unix::net::UnixStream::pair()?;
        for end in [&stop, &reload, &stop_in, &reload_in] {
            end.set_nonblocking(true)?;
        }
        pipe::register(SIGINT, stop_in.try_clone()?)?;
        pipe::register(SIGTERM, stop_in)?;
        pipe::register(SIGHUP, reload_in)?;
        let (stop, reload) = (UnixStream::from_std(stop), UnixStream::from_std(reload));
        Ok(Signals { stop, reload, hang_up })
    }

    /// The signals since the last call; several SIGHUP count as one.
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
            taken.push(self.hang_up);
        }
        taken
    }
}

/// Whether this process was started with `signal` ignored.
#[allow(unsafe_code)]
pub(super) fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes one `sigaction` to the pointer.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the value is written.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}
