//! The service manager, as sd_notify(3) and sd_listen_fds(3) describe it: a datagram socket that
//! takes notices, and listening sockets that the program inherits.

use super::listen::{Listener, Place};
use super::unix::Remover;
use super::{Notice, ServiceManager};
use crate::base::address::Address;
use crate::base::reason::reason;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::time::Duration;

/// The first inherited descriptor (`SD_LISTEN_FDS_START`).
const LISTEN_FDS_START: RawFd = 3;

/// Most sockets that are taken over.
const SOCKETS_MAX: usize = 16;

/// The variables of the environment that a service manager sets.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The environment of this process.
pub fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// A number in the environment, if it is meant for this process: `pid` names the variable with the
/// process it is for.
fn number(environment: Environment<'_>, pid: &str, name: &str) -> Option<u64> {
    let read = |name| environment(name)?.to_str()?.parse::<u64>().ok();
    let is_other = read(pid).is_some_and(|pid| pid != u64::from(std::process::id()));
    read(name).filter(|_| !is_other)
}

/// Listening sockets that the service manager opened for this program.
#[derive(Debug, Default)]
pub struct PassedSockets {
    listeners: Vec<(Address, Listener)>,
}

impl PassedSockets {
    /// Takes them from the environment. To be called once, before other descriptors are opened.
    ///
    /// Errors: one sentence, if a descriptor is no listening socket for streams or there are too
    /// many.
    pub fn take(environment: Environment<'_>) -> Result<PassedSockets, String> {
        let is_ours = environment("LISTEN_PID").is_some();
        let count = number(environment, "LISTEN_PID", "LISTEN_FDS").filter(|_| is_ours);
        let count = count.unwrap_or(0) as usize;
        if count > SOCKETS_MAX {
            return Err(format!("LISTEN_FDS={count} is more than {SOCKETS_MAX} sockets"));
        }
        let mut passed = PassedSockets::default();
        for fd in (LISTEN_FDS_START..).take(count) {
            let taken = inherited(fd).and_then(|owned| passed.add(owned, Remover::Other));
            taken.map_err(|error| {
                format!(
                    "descriptor {fd} of LISTEN_FDS is no listening socket for streams ({}); give \
                     the socket unit a ListenStream= with a port or a path",
                    reason(&error)
                )
            })?;
        }
        Ok(passed)
    }

    /// Adds one that was received in another way.
    ///
    /// Errors: as [`Listener::adopt`].
    pub fn add(&mut self, socket: OwnedFd, remover: Remover) -> io::Result<()> {
        let listener = Listener::adopt(socket, remover)?;
        self.listeners.push((listener.address()?, listener));
        Ok(())
    }

    /// The one for this place.
    pub fn take_for(&mut self, place: &Place) -> Option<Listener> {
        let found = self.listeners.iter().position(|(at, _)| place.has(at))?;
        Some(self.listeners.remove(found).1)
    }

    /// The address of one that nothing has taken.
    pub fn left(&self) -> Option<&Address> {
        self.listeners.first().map(|(at, _)| at)
    }
}

/// The descriptor of this number, which the environment says is ours.
#[allow(unsafe_code)]
fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call only reads the flags of a descriptor, if there is one of this number.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, the environment says that it was opened for this process, and it is
    // taken once, at the start.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The socket of the service manager that started the program.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    to: UnixAddr,
    watchdog: Option<Duration>,
    /// It started another process, which this one replaces.
    is_new_to_it: bool,
    /// Kept for its memory.
    text: String,
}

impl Manager {
    /// The manager that the environment names, if any.
    pub fn find(environment: Environment<'_>) -> Option<Manager> {
        let to = address(&environment("NOTIFY_SOCKET")?)?;
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        let micros = number(environment, "WATCHDOG_PID", "WATCHDOG_USEC").filter(|it| *it > 0);
        let watchdog = micros.map(Duration::from_micros);
        Some(Manager { socket, to, watchdog, is_new_to_it: false, text: String::new() })
    }

    /// The same for a process that replaces the one it started, which knows its watchdog.
    pub fn replacing(mut self, watchdog: Option<Duration>) -> Manager {
        self.is_new_to_it = true;
        self.watchdog = self.watchdog.or(watchdog);
        self
    }

    /// What it asks for.
    pub fn wishes(&self) -> ServiceManager {
        ServiceManager { watchdog: self.watchdog }
    }

    /// Sends a notice; false if the manager has no room for it now. One that is gone gets none.
    pub fn notify(&mut self, notice: &Notice<'_>) -> bool {
        self.text.clear();
        // Writing to a string does not fail.
        let _ = match notice {
            Notice::Ready if self.is_new_to_it => {
                writeln!(self.text, "READY=1\nMAINPID={}", std::process::id())
            }
            Notice::Ready => self.text.write_str("READY=1\n"),
            Notice::Reloading => {
                writeln!(self.text, "RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros())
            }
            Notice::Stopping => self.text.write_str("STOPPING=1\n"),
            Notice::Alive => self.text.write_str("WATCHDOG=1\n"),
            Notice::Status(status) => writeln!(self.text, "STATUS={status}"),
        };
        let outcome = self.socket.send_to_addr(self.text.as_bytes(), &self.to);
        !outcome.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A path, or a name in the abstract namespace after `@`.
fn address(name: &OsStr) -> Option<UnixAddr> {
    match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            UnixAddr::from_abstract_name(name).ok()
        }
        [b'/', ..] => UnixAddr::from_pathname(name).ok(),
        _ => None,
    }
}

/// `CLOCK_MONOTONIC`, the clock of the notice that a reload begins.
#[allow(unsafe_code)]
fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`, which the call writes.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(of: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            let value = of.iter().find(|(key, _)| *key == name).map(|(_, value)| value)?;
            Some(OsString::from(value))
        }
    }

    #[test]
    fn sockets_for_another_process_or_none_are_not_taken() {
        for of in [
            &[][..],
            &[("LISTEN_FDS", "1")],
            &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")],
            &[("LISTEN_FDS", "x"), ("LISTEN_PID", "1")],
        ] {
            let passed = PassedSockets::take(&variables(of)).expect("nothing is taken");
            assert_eq!(passed.left(), None, "{of:?}");
        }
    }

    #[test]
    fn a_watchdog_for_another_process_is_none_of_ours() {
        for (of, expected) in [
            (&[("NOTIFY_SOCKET", "@x")][..], None),
            (&[("NOTIFY_SOCKET", "@x"), ("WATCHDOG_USEC", "3000")], Some(3)),
            (&[("NOTIFY_SOCKET", "@x"), ("WATCHDOG_USEC", "0")], None),
            (&[("NOTIFY_SOCKET", "@x"), ("WATCHDOG_USEC", "9"), ("WATCHDOG_PID", "1")], None),
        ] {
            let manager = Manager::find(&variables(of)).expect("a manager");
            let expected = expected.map(Duration::from_millis);
            assert_eq!(manager.wishes().watchdog, expected, "{of:?}");
        }
        for name in ["", "relative", "host:1"] {
            let environment = |_: &str| Some(OsString::from(name));
            assert!(Manager::find(&environment).is_none(), "{name}");
        }
    }
}
