//! The kernel as the proxy sees it: non-blocking sockets, readiness, the clock, signals, and the
//! logs. Implemented by [`kernel`] over mio, and by the simulation in memory.
//!
//! Readiness contract (edge-triggered, each socket registered once for both directions):
//! what [`Net::wait`] reports are hints to be remembered; only a read or write shows the state.
//! After a read that filled less than it could, later bytes are a new edge, unless the end of the
//! input was reported before.

pub mod background;
pub mod control;
pub mod descriptors;
pub mod files;
mod handshake_error;
pub mod interfaces;
pub mod kernel;
pub mod listen;
pub mod log_file;
pub mod log_writer;
pub mod memory;
pub mod part;
pub mod pipe;
pub mod privileges;
pub mod process;
pub mod resolver;
pub mod signals;
pub mod stop;
pub mod stream;
pub mod systemd;
mod tcp_info;
pub mod terminal;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
pub mod tls;
pub mod unix;

pub use handshake_error::{HandshakeError, connect_fault};

use crate::base::address::Address;
use crate::base::table::{Id, Kind};
use crate::base::time::Instant;
use crate::config::TlsServer;
use crate::wire::handover::Role;
use crate::wire::ticket_keys::TicketKeys;
use process::ProcessFigures;
use std::fmt::{self, Debug};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The kind of sockets that are in no table: the signal pipes and the waker.
#[derive(Debug)]
pub struct Fixed;

impl Kind for Fixed {
    const NUMBER: u8 = 0;
}

/// The registration of the pipe for [`Signal::Stop`].
pub const STOP: Id = Id::from_token(2);
/// The registration of the pipe for [`Signal::HangUp`] and [`Signal::Reload`].
pub const RELOAD: Id = Id::from_token(3);
/// The registration of the waker, for other threads.
pub const WAKER: Id = Id::from_token(4);
/// The registration of the pipe for [`Signal::ReopenLogs`].
pub const REOPEN: Id = Id::from_token(5);

/// The registration of the control socket.
pub const CONTROL: Id = Id::from_token(6);

const _: () = assert!(STOP.kind() == Fixed::NUMBER);

/// Ends a wait of the loop from another thread.
pub type Waker = Arc<mio::Waker>;

/// A report of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The socket's registration.
    pub id: Id,
    /// A read may return bytes or an end.
    pub readable: bool,
    /// A write may take bytes.
    pub writable: bool,
    /// The peer has sent its last byte; reads reach the end without another report.
    pub ended: bool,
    /// Reset, refused or closed in both directions; the next read or write returns which.
    pub broken: bool,
}

/// One reading of the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Monotonic, for deadlines.
    pub instant: Instant,
    /// Milliseconds since 1970 UTC, for `Date` and logs.
    pub unix_ms: u64,
}

impl Now {
    /// Seconds since 1970 UTC.
    pub fn unix_seconds(self) -> u64 {
        self.unix_ms / 1000
    }
}

/// A log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Event lines, on standard error.
    Events,
    /// The access log (`-l`).
    Access,
    /// The record of choices (`--record`).
    Record,
}

/// A write to a log that failed.
#[derive(Debug)]
pub struct LogFailure {
    /// What the last one failed with.
    pub error: io::Error,
    /// The lines that were lost with it and with those before.
    pub lines: u64,
}

/// A request made by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT, SIGQUIT: finish what is in flight and end.
    Stop,
    /// SIGHUP, because the terminal was closed.
    HangUp,
    /// SIGHUP without that: read the list and open the log again.
    Reload,
    /// SIGUSR1: open the log again.
    ReopenLogs,
}

/// The service manager that started the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceManager {
    /// It ends a program from which it hears nothing for so long.
    pub watchdog: Option<Duration>,
}

/// A notice to the service manager (sd_notify(3)).
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// Clients can connect; after [`Notice::Reloading`], what was to be read again was.
    Ready,
    Reloading,
    Stopping,
    /// The loop turns.
    Alive,
    /// One line for people.
    Status(fmt::Arguments<'a>),
}

/// Where the handshake of a secured socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Complete,
    /// The next bytes of the peer are a new edge.
    WantsRead,
    /// Room to write is a new edge.
    WantsWrite,
    /// The peer speaks in the clear; what it has sent is read next, and written to it as it is.
    NotTls,
}

/// Longest subject of a client's certificate, in bytes as RFC 4514 writes it.
pub const SUBJECT_BYTES_MAX: usize = 512;

/// What a handshake came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secured<'a> {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's name in the registry of IANA.
    pub cipher: &'static str,
    /// An earlier session goes on.
    pub is_resumed: bool,
    /// The name that the client has asked for (SNI).
    pub server_name: Option<&'a str>,
    /// Whose certificate the client has shown (RFC 4514), in printable ASCII.
    pub subject: Option<&'a str>,
}

/// A connected or connecting non-blocking stream. Dropping it closes it.
pub trait Socket: Debug {
    /// Reads into `into`, which is not empty; returns 0 at the end of the input.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Whether a read that filled less than it could has left nothing behind, so that later bytes
    /// are a new edge: always, for a socket in the clear.
    fn is_drained(&self) -> bool {
        true
    }
    /// Writes some of `from`, which is not empty. After less than that, later calls begin with the
    /// rest of it.
    fn write(&mut self, from: &[u8]) -> io::Result<usize>;
    /// The same in the clear, before the handshake of a connection that carries TLS.
    fn write_clear(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write(from)
    }
    /// Whether it carries TLS.
    fn is_secured(&self) -> bool {
        false
    }
    /// Goes on with the handshake of a socket that carries TLS until it is complete.
    ///
    /// Errors: it failed, or the peer is gone.
    fn handshake(&mut self) -> io::Result<Handshake> {
        Ok(Handshake::Complete)
    }

    /// Bytes of the peer's that the handshake of a secured socket has read so far.
    fn handshake_bytes(&self) -> u64 {
        0
    }
    /// What the handshake came to; none in the clear.
    fn secured(&self) -> Option<Secured<'_>> {
        None
    }
    /// Whether what is read and written is encrypted; false before the end of the handshake.
    fn is_encrypted(&self) -> bool {
        self.secured().is_some()
    }
    /// Whose certificate the peer has shown, if it has.
    fn subject(&self) -> Option<&str> {
        self.secured()?.subject
    }
    /// Whether the certificate that the peer was shown is for `host`; true in the clear.
    fn covers(&self, _host: &[u8]) -> bool {
        true
    }
    /// After `writable` on a connecting socket: true once established, false when the report was
    /// spurious, the error when it failed.
    fn connected(&mut self) -> io::Result<bool>;
    /// The error behind a report of `broken`; none if it was spurious or returned already. After
    /// the end of the input a read does not return a reset, so that only this does.
    fn fault(&mut self) -> Option<io::Error>;
    /// Shuts the write side down: the peer reads an end after what was written.
    ///
    /// Errors: `WouldBlock` if there is no room for it: to be called again.
    fn end_output(&mut self) -> io::Result<()>;
    /// Something is missing at the end of the output: a peer that can be shown that, sees it.
    fn mark_cut_off(&mut self) {}
    /// Whether bytes may pass through a pipe.
    fn can_splice(&self) -> bool {
        true
    }
    /// A pipe for bytes that go from socket to socket without being copied to user space.
    type Pipe: Debug;
    /// A new, empty pipe.
    ///
    /// Errors: no descriptor is left, or the system has no `splice`.
    fn pipe() -> io::Result<Self::Pipe>;
    /// Moves 1 to `max` bytes into the empty `pipe`; returns 0 at the end of the input.
    fn read_into(&mut self, pipe: &mut Self::Pipe, max: usize) -> io::Result<usize>;
    /// About how many bytes a write would take now.
    fn send_room(&self) -> usize;
    /// Writes some of the `count` bytes in `pipe`.
    fn write_from(&mut self, pipe: &mut Self::Pipe, count: usize) -> io::Result<usize>;
    /// This end's address, by a system call; none where it is no IP address.
    fn local_address(&self) -> Option<SocketAddr>;
    /// Has the kernel probe the peer while the connection is idle, so that NAT keeps it and a peer
    /// that is gone is noticed. Best effort.
    fn enable_keep_alive(&mut self) {}
    /// Bytes that went between the peer's system and this one: those sent that it has acknowledged,
    /// and those received, whether read or not. None where this system does not count them.
    fn bytes_moved(&self) -> Option<u64> {
        None
    }
    /// Makes the drop reset the connection, so that a truncated message cannot look complete.
    fn reset_on_drop(&mut self);
}

/// The kernel.
pub trait Net: Debug {
    /// A stream.
    type Socket: Socket;
    /// An accepting socket.
    type Listener: Debug;

    /// Waits until something is ready or `timeout` has passed (none: without limit), and adds
    /// reports to `ready`. A wait that a signal interrupts returns without any.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;
    /// Reads the clock; called once per turn.
    fn now(&mut self) -> Now;
    /// From here on, `wait` reports under `id` that connections may be waiting.
    fn listen(&mut self, listener: &mut Self::Listener, id: Id) -> io::Result<()>;
    /// Where it listens; none if the system does not say.
    fn address(&self, listener: &Self::Listener) -> Option<Address>;
    /// From here on, `wait` reports nothing of this listener. Closing it is not enough where another
    /// process has it as well.
    fn ignore(&mut self, _: &mut Self::Listener) {}
    /// Accepts the next waiting connection, with its peer's address: the client of a unix socket
    /// has none.
    fn accept(
        &mut self,
        listener: &mut Self::Listener,
    ) -> io::Result<(Self::Socket, Option<SocketAddr>)>;
    /// From here on, the client's socket carries TLS, with the certificates of this program.
    /// `received` are the bytes that were read of it.
    ///
    /// Errors: there are none for this.
    fn secure(&mut self, _: &mut Self::Socket, _received: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Starts to connect; the socket is not registered yet. With `tls` it carries TLS once it is
    /// connected: then comes what is to be written in the clear, and then the handshake.
    fn connect(&mut self, to: &Address, tls: Option<&TlsServer>) -> io::Result<Self::Socket>;
    /// From here on, `wait` reports the socket's readiness under `id`.
    fn register(&mut self, socket: &mut Self::Socket, id: Id) -> io::Result<()>;
    /// The signals since the last call: [`Signal::Stop`] as often as it came, one of the others
    /// once.
    fn signals(&mut self) -> Vec<Signal>;
    /// Accepts the next connection to the control socket, which `wait` reports under [`CONTROL`];
    /// and the process that made it, if that is known.
    ///
    /// Errors: none waits; `PermissionDenied`, another user made it.
    fn accept_control(&mut self) -> io::Result<(Self::Socket, Option<u32>)> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    /// Writes some of `message`, which is not empty, to a control connection, and with its first
    /// byte passes on the control socket and these listeners.
    ///
    /// Errors: nothing was sent.
    fn hand_over(
        &mut self,
        _: &Self::Socket,
        _: &[&Self::Listener],
        _message: &[u8],
    ) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// What a process that takes over is to know of this listener.
    fn role(&self, _: &Self::Listener) -> Role {
        Role::Listener
    }
    /// Another process may go on with this listener: closing it here leaves its file.
    fn lend(&mut self, _: &mut Self::Listener) {}
    /// After [`Net::lend`], here or in the last process: this one goes on with it.
    fn reclaim(&mut self, _: &mut Self::Listener) {}
    /// The keys of session tickets, for the process that takes over; none without TLS to clients.
    fn ticket_keys(&self) -> Option<TicketKeys> {
        None
    }
    /// The next instance may have the name of the control socket, which gets another.
    fn step_aside(&mut self) {}
    /// What connections in TLS keep between two steps, in bytes.
    fn kept_bytes(&self) -> usize {
        0
    }
    /// Much was freed: the system gets it back.
    fn return_free_memory(&mut self) {}
    /// Whether event lines begin with the time: not where a person watches them come.
    fn times_events(&self) -> bool {
        false
    }
    /// Whether a person watches the lines of this log come, so that none is held back.
    fn is_watched(&self, _: Sink) -> bool {
        false
    }
    /// The service manager that wants notices; none: nobody does.
    fn service_manager(&self) -> Option<ServiceManager> {
        None
    }
    /// Sends a notice to the service manager; false if it has no room for it now. Never blocks.
    fn notify_manager(&mut self, _: &Notice<'_>) -> bool {
        true
    }
    /// Takes whole lines to be written; how many bytes of them. Never blocks.
    ///
    /// Errors: the sink refuses lines; they were not taken.
    fn log(&mut self, sink: Sink, lines: &[u8]) -> io::Result<usize>;
    /// How many lines that [`Net::log`] has taken are not written yet; if there are any, `wait`
    /// ends after the next write. 0 where lines are written at once.
    fn unwritten_lines(&mut self, _: Sink) -> u64 {
        0
    }
    /// What the system says of this process.
    fn process(&mut self) -> ProcessFigures {
        ProcessFigures::default()
    }
    /// Whether [`Net::log_failure`] is worth a call, for either sink; asked in every turn.
    fn may_have_log_failure(&self) -> bool {
        true
    }
    /// What became of lines that [`Net::log`] had taken and that could not be written, since the
    /// last call; `wait` ends when there is something.
    fn log_failure(&mut self, _: Sink) -> Option<LogFailure> {
        None
    }
}

/// Whether a call failed for want of descriptors, memory or `epoll` watches on this machine, not
/// because of the peer. `EADDRNOTAVAIL` is not among them: no port is left, or the machine does not
/// have the address family.
pub fn is_shortage(error: &io::Error) -> bool {
    // ENOSPC: `epoll_ctl` is at the user's limit (/proc/sys/fs/epoll/max_user_watches).
    const SHORTAGES: [i32; 5] =
        [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC];
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_has_too_little_of_is_not_the_peers_fault() {
        for (code, expected) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOBUFS, true),
            (libc::ENOMEM, true),
            (libc::ENOSPC, true),
            (libc::ECONNREFUSED, false),
            (libc::ETIMEDOUT, false),
            (libc::EADDRNOTAVAIL, false),
            (libc::EAFNOSUPPORT, false),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_shortage(&error), expected, "{error}");
        }
        assert!(!is_shortage(&io::ErrorKind::StorageFull.into()), "no error of the system");
    }
}
