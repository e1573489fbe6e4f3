//! [`Net`] over mio: epoll or kqueue, sockets, the system clock, standard error and the access log.

use super::control::ControlSocket;
use super::descriptors;
use super::listen::{self, Listener};
use super::log_file::LogFile;
use super::log_writer::LogWriter;
use super::memory;
use super::process::ProcessFigures;
use super::signals::Signals;
use super::stream::Stream;
use super::systemd::Manager;
use super::tls;
use super::unix::{self, Remover, SocketFile};
use super::{
    CONTROL, LogFailure, Net, Notice, Now, RELOAD, REOPEN, Ready, STOP, ServiceManager, Signal,
    Sink, WAKER, Waker,
};
use crate::base::address::Address;
use crate::base::table::Id;
use crate::base::time::Instant;
use crate::config::TlsServer;
use crate::wire::handover::Role;
use crate::wire::ticket_keys::TicketKeys;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Events per wait; further ones come with the next wait.
const EVENTS_MAX: usize = 1024;

/// How often the calendar clock is read in addition to the monotonic one, in microseconds, so that
/// `Date` follows when the clock is set.
const CALENDAR_INTERVAL_MICROS: u64 = 60_000_000;

/// Most earlier access logs with lines left to write, as each has a thread that may be blocked.
const RETIRED_MAX: usize = 4;

/// The last reading of the calendar clock, in microseconds.
#[derive(Debug)]
struct Calendar {
    /// When, since the start.
    read_at: u64,
    /// The time since 1970 at the start, going by that reading.
    at_start: u64,
}

/// The operating system.
#[derive(Debug)]
pub struct Kernel {
    poll: mio::Poll,
    events: mio::event::Events,
    signals: Signals,
    /// The access log.
    access: Option<LogWriter>,
    /// The access log is a terminal.
    access_is_watched: bool,
    /// Earlier access logs with lines left to write.
    retired: Vec<LogWriter>,
    /// The record of choices.
    record: Option<LogWriter>,
    /// Standard error; none while it is written directly.
    stderr: Option<LogWriter>,
    /// Standard error is no terminal.
    times_events: bool,
    /// Standard error must not be written directly.
    stderr_may_block: bool,
    /// Event lines are for nobody.
    discards_events: bool,
    manager: Option<Manager>,
    control: Option<ControlSocket>,
    /// How sessions with clients begin; none without certificates.
    acceptor: Option<tls::Acceptor>,
    /// How sessions with servers begin; none where no server speaks TLS.
    connector: Option<tls::Connector>,
    waker: Waker,
    start: std::time::Instant,
    calendar: Calendar,
}

impl Kernel {
    /// Opens the poll and installs the signal handlers.
    ///
    /// Errors: the system's, such as no descriptor left.
    pub fn new() -> io::Result<Kernel> {
        let poll = mio::Poll::new()?;
        let mut signals = Signals::new()?;
        let read = mio::Interest::READABLE;
        poll.registry().register(&mut signals.stop, mio::Token(STOP.token()), read)?;
        poll.registry().register(&mut signals.reload, mio::Token(RELOAD.token()), read)?;
        poll.registry().register(&mut signals.reopen, mio::Token(REOPEN.token()), read)?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(WAKER.token()))?);
        let events = mio::event::Events::with_capacity(EVENTS_MAX);
        let start = std::time::Instant::now();
        let calendar = Calendar { read_at: 0, at_start: micros(since_1970()) };
        Ok(Kernel {
            poll,
            events,
            signals,
            access: None,
            access_is_watched: false,
            retired: Vec::new(),
            record: None,
            stderr: None,
            times_events: event_ms().is_some(),
            stderr_may_block: stderr_may_block(),
            discards_events: false,
            manager: None,
            control: None,
            acceptor: None,
            connector: None,
            waker,
            start,
            calendar,
        })
    }

    /// Ends a wait from another thread.
    pub fn waker(&self) -> Waker {
        Arc::clone(&self.waker)
    }

    /// This manager gets the notices.
    pub fn report_to(&mut self, manager: Option<Manager>) {
        self.manager = manager;
    }

    /// Connections to this control socket are reported from here on, and to none before.
    ///
    /// Errors: the system's, such as no room for another watch.
    pub fn steer_by(&mut self, mut socket: ControlSocket) -> io::Result<()> {
        let (token, read) = (mio::Token(CONTROL.token()), mio::Interest::READABLE);
        self.poll.registry().register(socket.source(), token, read)?;
        self.stop_steering();
        self.control = Some(socket);
        Ok(())
    }

    fn stop_steering(&mut self) {
        if let Some(mut socket) = self.control.take() {
            // Another process may have it, and closing would not end the reports then.
            let _ = self.poll.registry().deregister(socket.source());
        }
    }

    /// Listeners in TLS accept by this.
    pub fn secure_with(&mut self, acceptor: tls::Acceptor) {
        self.acceptor = Some(acceptor);
    }

    /// What listeners in TLS accept by.
    pub fn acceptor_mut(&mut self) -> Option<&mut tls::Acceptor> {
        self.acceptor.as_mut()
    }

    /// Servers in TLS are verified by these authorities from here on; whether others than before
    /// are trusted.
    pub fn trust(&mut self, authorities: tls::Authorities) -> bool {
        if let Some(connector) = &mut self.connector {
            return connector.replace(authorities);
        }
        self.connector = Some(tls::Connector::new(authorities));
        false
    }

    /// Event lines are taken and not written from here on.
    pub fn discard_events(&mut self) {
        self.discards_events = true;
    }

    /// Access log lines go to `file` from here on. What the previous log has taken is still written
    /// there, without anybody waiting for it.
    ///
    /// Errors: the system has no thread left; [`RETIRED_MAX`] logs are stalled.
    pub fn log_access_to(&mut self, file: LogFile) -> io::Result<()> {
        self.drop_finished_logs();
        if self.retired.len() == RETIRED_MAX {
            return Err(io::Error::other("the previous ones are not being read"));
        }
        self.access_is_watched = file.is_terminal();
        let log_writer = LogWriter::start("access-log", file, self.waker())?;
        self.retired.extend(self.access.replace(log_writer));
        Ok(())
    }

    /// The record of choices goes to `file` from here on.
    ///
    /// Errors: the system has no thread left.
    pub fn record_to(&mut self, file: LogFile) -> io::Result<()> {
        self.record = Some(LogWriter::start("record", file, self.waker())?);
        Ok(())
    }

    fn drop_finished_logs(&mut self) {
        self.retired.retain_mut(|log_writer| log_writer.unwritten_lines() > 0);
    }

    /// A thread writes standard error from here on, for `-v` with its line per request.
    ///
    /// Errors: the system has no thread left.
    pub fn write_stderr_by_thread(&mut self) -> io::Result<()> {
        self.stderr = Some(LogWriter::start("stderr", io::stderr(), self.waker())?);
        Ok(())
    }

    /// The sink's writer, and those that still write to earlier logs.
    fn log_writers(&mut self, sink: Sink) -> impl Iterator<Item = &mut LogWriter> {
        let (current, retired) = match sink {
            Sink::Events => (&mut self.stderr, &mut [][..]),
            Sink::Access => (&mut self.access, &mut self.retired[..]),
            Sink::Record => (&mut self.record, &mut [][..]),
        };
        current.iter_mut().chain(retired)
    }
}

/// Whether a write to standard error may block although `poll` reports room: a terminal has room as
/// soon as it has any, and a file on a slow disk always, yet both block until all is written.
fn stderr_may_block() -> bool {
    let copy = io::stderr().as_fd().try_clone_to_owned();
    let kind = copy.and_then(|copy| File::from(copy).metadata()).map(|data| data.file_type());
    !kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}

/// The time for an event line: milliseconds since 1970, none if standard error is a terminal.
pub fn event_ms() -> Option<u64> {
    (!io::stderr().is_terminal()).then(unix_ms)
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// Writes to standard error what it takes without blocking, as its reader may have stalled. Only
/// where not [`stderr_may_block`].
#[allow(unsafe_code)]
fn write_if_room(lines: &[u8]) -> io::Result<usize> {
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is to one live `pollfd`, and the count is one.
    if unsafe { libc::poll(&raw mut stderr, 1, 0) } == 0 {
        return Ok(0);
    }
    // A pipe that has room takes this much at once (POSIX, `write`).
    io::stderr().write(&lines[..lines.len().min(libc::PIPE_BUF)])
}

/// What a failed connect says: about the peer, or about this machine (`AddrNotAvailable`: it has no
/// port left). A machine without the peer's address family, or without an address to reach it from,
/// has the same error for that; `has_route` tells the two apart.
fn connect_error(error: io::Error, has_route: impl FnOnce() -> bool) -> io::Error {
    let is_unreachable = match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => true,
        Some(libc::EADDRNOTAVAIL) => !has_route(),
        Some(_) | None => false,
    };
    if is_unreachable { io::ErrorKind::NetworkUnreachable.into() } else { error }
}

/// Whole microseconds, enough for half a million years.
fn micros(span: Duration) -> u64 {
    span.as_secs() * 1_000_000 + u64::from(span.subsec_micros())
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Net for Kernel {
    type Socket = Stream;
    type Listener = Listener;

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in self.events.iter() {
            let ended = event.is_read_closed();
            let broken = event.is_error() || event.is_write_closed();
            ready.push(Ready {
                id: Id::from_token(event.token().0),
                readable: event.is_readable() || ended || broken,
                writable: event.is_writable() || broken,
                ended,
                broken,
            });
        }
        Ok(())
    }

    fn now(&mut self) -> Now {
        let now = micros(self.start.elapsed());
        if now - self.calendar.read_at >= CALENDAR_INTERVAL_MICROS {
            let at_start = micros(since_1970()).saturating_sub(now);
            self.calendar = Calendar { read_at: now, at_start };
        }
        Now { instant: Instant::from_micros(now), unix_ms: (self.calendar.at_start + now) / 1000 }
    }

    fn listen(&mut self, listener: &mut Self::Listener, id: Id) -> io::Result<()> {
        let token = mio::Token(id.token());
        let (registry, read) = (self.poll.registry(), mio::Interest::READABLE);
        match listener {
            Listener::Tcp(listener) => registry.register(listener, token, read),
            Listener::Unix(listener) => registry.register(&mut listener.socket, token, read),
        }
    }

    fn address(&self, listener: &Listener) -> Option<Address> {
        listener.address().ok()
    }

    fn ignore(&mut self, listener: &mut Self::Listener) {
        // It is closed next, which is enough where no other process has it.
        let _ = match listener {
            Listener::Tcp(listener) => self.poll.registry().deregister(listener),
            Listener::Unix(listener) => self.poll.registry().deregister(&mut listener.socket),
        };
    }

    fn accept(
        &mut self,
        listener: &mut Self::Listener,
    ) -> io::Result<(Self::Socket, Option<SocketAddr>)> {
        match listener {
            Listener::Tcp(listener) => {
                listener.accept().map(|(tcp, peer)| (Stream::new(tcp), Some(peer)))
            }
            Listener::Unix(listener) => Ok((Stream::new(listener.accept()?), None)),
        }
    }

    fn secure(&mut self, socket: &mut Stream, received: &[u8]) -> io::Result<()> {
        let acceptor = self.acceptor.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        socket.secure(acceptor.accept(received)?);
        Ok(())
    }

    fn accept_control(&mut self) -> io::Result<(Self::Socket, Option<u32>)> {
        let Some(socket) = &self.control else { return Err(io::ErrorKind::WouldBlock.into()) };
        let (stream, peer) = socket.accept()?;
        // A stream is read, written and ended alike in every family.
        Ok((Stream::new(mio::net::TcpStream::from(stream)), peer.process))
    }

    fn hand_over(
        &mut self,
        to: &Self::Socket,
        listeners: &[&Self::Listener],
        message: &[u8],
    ) -> io::Result<usize> {
        let own = self.control.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let others = listeners.iter().map(|listener| listener.as_fd());
        let all: Vec<BorrowedFd<'_>> = std::iter::once(own.as_fd()).chain(others).collect();
        descriptors::send(to.as_fd(), message, &all)
    }

    fn role(&self, listener: &Self::Listener) -> Role {
        match listener.file().map(SocketFile::remover) {
            Some(Remover::This | Remover::Undecided) => Role::ListenerWithFile,
            Some(Remover::Other) | None => Role::Listener,
        }
    }

    fn lend(&mut self, listener: &mut Self::Listener) {
        match listener {
            Listener::Tcp(_) => {}
            Listener::Unix(listener) => listener.lend(),
        }
    }

    fn reclaim(&mut self, listener: &mut Self::Listener) {
        match listener {
            Listener::Tcp(_) => {}
            Listener::Unix(listener) => listener.reclaim(),
        }
    }

    fn ticket_keys(&self) -> Option<TicketKeys> {
        self.acceptor.as_ref().map(tls::Acceptor::ticket_keys)
    }

    fn step_aside(&mut self) {
        let Some(socket) = &self.control else { return };
        if socket.name().process == Some(std::process::id()) {
            return;
        }
        match socket.renamed().and_then(|socket| self.steer_by(socket)) {
            Ok(()) => {}
            // The next instance may have the socket: connections there are not for this one.
            Err(_) => self.stop_steering(),
        }
    }

    fn connect(&mut self, to: &Address, tls: Option<&TlsServer>) -> io::Result<Self::Socket> {
        let to = match to {
            Address::Ip(to) => *to,
            Address::Unix(name) => return unix::connect(name).map(Stream::new),
        };
        let stream = mio::net::TcpStream::connect(to)
            .map_err(|error| connect_error(error, || listen::has_route(to)))?;
        // Without it a second small write waits for the first one's acknowledgement.
        stream.set_nodelay(true)?;
        let mut stream = Stream::new(stream);
        if let Some(server) = tls {
            let connector = self.connector.as_mut().ok_or(io::ErrorKind::Unsupported)?;
            stream.secure(connector.connect(server)?);
        }
        Ok(stream)
    }

    fn register(&mut self, socket: &mut Self::Socket, id: Id) -> io::Result<()> {
        let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
        self.poll.registry().register(socket.tcp(), mio::Token(id.token()), both)
    }

    fn signals(&mut self) -> Vec<Signal> {
        self.signals.take()
    }

    #[inline]
    fn kept_bytes(&self) -> usize {
        let by_clients = self.acceptor.as_ref().map_or(0, tls::Acceptor::kept_bytes);
        by_clients + self.connector.as_ref().map_or(0, tls::Connector::kept_bytes)
    }

    fn return_free_memory(&mut self) {
        memory::return_free_pages();
    }

    fn times_events(&self) -> bool {
        self.times_events
    }

    fn is_watched(&self, sink: Sink) -> bool {
        match sink {
            Sink::Events => true,
            Sink::Access => self.access_is_watched,
            Sink::Record => false,
        }
    }

    fn service_manager(&self) -> Option<ServiceManager> {
        self.manager.as_ref().map(Manager::wishes)
    }

    fn notify_manager(&mut self, notice: &Notice<'_>) -> bool {
        self.manager.as_mut().is_none_or(|manager| manager.notify(notice))
    }

    fn log(&mut self, sink: Sink, lines: &[u8]) -> io::Result<usize> {
        if sink == Sink::Events && self.discards_events {
            return Ok(lines.len());
        }
        // Not before there is a line: with a second thread the C library's calls cost more, 200
        // instructions per request.
        if sink == Sink::Events && self.stderr.is_none() && self.stderr_may_block {
            self.write_stderr_by_thread()?;
        }
        let log_writer = match sink {
            Sink::Events => &mut self.stderr,
            Sink::Access => &mut self.access,
            Sink::Record => &mut self.record,
        };
        match (log_writer, sink) {
            (Some(log_writer), _) => Ok(log_writer.offer(lines)),
            (None, Sink::Events) => write_if_room(lines),
            (None, Sink::Access | Sink::Record) => Ok(lines.len()),
        }
    }

    fn process(&mut self) -> ProcessFigures {
        ProcessFigures::now()
    }

    fn unwritten_lines(&mut self, sink: Sink) -> u64 {
        self.log_writers(sink).map(LogWriter::unwritten_lines).sum()
    }

    fn may_have_log_failure(&self) -> bool {
        let has_failed =
            |log_writer: &Option<LogWriter>| log_writer.as_ref().is_some_and(LogWriter::has_failed);
        // Earlier logs are dropped when they are asked and have nothing left to write.
        has_failed(&self.access) || has_failed(&self.stderr) || !self.retired.is_empty()
    }

    fn log_failure(&mut self, sink: Sink) -> Option<LogFailure> {
        let failure = self.log_writers(sink).find_map(LogWriter::take_failure);
        if failure.is_none() && !self.retired.is_empty() {
            self.drop_finished_logs();
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_without_a_route_is_unreachable_and_no_shortage_of_ports() {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable};
        for (name, code, has_route, expected) in [
            ("no port is left", libc::EADDRNOTAVAIL, true, AddrNotAvailable),
            ("no address to connect from", libc::EADDRNOTAVAIL, false, NetworkUnreachable),
            ("no such address family", libc::EAFNOSUPPORT, true, NetworkUnreachable),
            ("no network", libc::ENETUNREACH, false, NetworkUnreachable),
            ("refused", libc::ECONNREFUSED, true, ConnectionRefused),
        ] {
            let error = connect_error(io::Error::from_raw_os_error(code), || has_route);
            assert_eq!(error.kind(), expected, "{name}");
        }
    }
}
