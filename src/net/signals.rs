//! Signals as readiness: each writes a byte into a pipe that the loop polls.

use super::Signal;
use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::low_level::pipe;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream as StdStream;

/// Signals that would end the program and mean nothing to it: SIGUSR2, and SIGXFSZ, which a log
/// that reaches `ulimit -f` raises beside the error of the write.
const IGNORED: [libc::c_int; 2] = [libc::SIGUSR2, libc::SIGXFSZ];

/// The read ends of the pipes.
#[derive(Debug)]
pub struct Signals {
    /// A byte per SIGTERM, SIGINT or SIGQUIT.
    pub stop: UnixStream,
    /// A byte per SIGHUP.
    pub reload: UnixStream,
    /// A byte per SIGUSR1.
    pub reopen: UnixStream,
    hang_up: HangUp,
}

/// What SIGHUP may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HangUp {
    /// There was a terminal at the start, which may be closed.
    OnTerminal,
    /// There was none, or SIGHUP was ignored at the start, as by `nohup`: a request.
    Request,
}

impl Signals {
    /// Installs the handlers.
    pub fn new() -> io::Result<Signals> {
        let hang_up = match !is_ignored(SIGHUP)? && has_terminal() {
            true => HangUp::OnTerminal,
            false => HangUp::Request,
        };
        let (stop, stop_in) = pair()?;
        let (reload, reload_in) = pair()?;
        let (reopen, reopen_in) = pair()?;
        pipe::register(SIGINT, stop_in.try_clone()?)?;
        pipe::register(SIGQUIT, stop_in.try_clone()?)?;
        pipe::register(SIGTERM, stop_in)?;
        pipe::register(SIGHUP, reload_in)?;
        pipe::register(SIGUSR1, reopen_in)?;
        IGNORED.iter().try_for_each(|&signal| ignore(signal))?;
        Ok(Signals { stop, reload, reopen, hang_up })
    }

    /// The signals since the last call; several SIGHUP count as one, several SIGUSR1 too.
    pub fn take(&mut self) -> Vec<Signal> {
        let mut taken = vec![Signal::Stop; drain(&mut self.stop)];
        if drain(&mut self.reload) > 0 {
            taken.push(match self.hang_up {
                HangUp::OnTerminal if !has_terminal() => Signal::HangUp,
                HangUp::OnTerminal | HangUp::Request => Signal::Reload,
            });
        }
        if drain(&mut self.reopen) > 0 {
            taken.push(Signal::ReopenLogs);
        }
        taken
    }
}

/// A pipe that does not block, its read end first.
fn pair() -> io::Result<(UnixStream, StdStream)> {
    let (read, write) = StdStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    Ok((UnixStream::from_std(read), write))
}

/// Reads all there is; the number of bytes.
fn drain(pipe: &mut UnixStream) -> usize {
    let (mut bytes, mut total) = ([0; 16], 0);
    while let Ok(count @ 1..) = pipe.read(&mut bytes) {
        total += count;
    }
    total
}

/// Whether this process has a controlling terminal; the kernel takes it away when the terminal is
/// closed, before it sends SIGHUP.
fn has_terminal() -> bool {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    File::options().read(true).custom_flags(flags).open("/dev/tty").is_ok()
}

/// Whether this process was started with `signal` ignored.
#[allow(unsafe_code)]
pub fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes one `sigaction` to the pointer.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the value is written.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

#[allow(unsafe_code)]
fn ignore(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: no handler is installed, so no code of ours runs in a signal's context.
    match unsafe { libc::signal(signal, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
