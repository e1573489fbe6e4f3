//! `--takeover`: this process replaces the one that listens at its address. Everything that can
//! fail is done while the other one serves; then that is asked for its sockets, and stops accepting
//! once it hears that they are in use.

use super::failure::{Failure, say};
use super::instances::replaceable;
use super::places::Places;
use super::prepare::system;
use crate::base::reason::reason;
use crate::config::{Config, StickyKey};
use crate::net::control::{self, ControlSocket};
use crate::net::descriptors;
use crate::net::kernel::Kernel;
use crate::net::process::ends_within;
use crate::net::systemd::PassedSockets;
use crate::net::unix::Remover;
use crate::proxy::{Proxy, Status};
use crate::wire::command::Command;
use crate::wire::handover::{BYTES_MAX, Fault, Handover, Role, SOCKETS_MAX, VERSION};
use crate::wire::line::{Line, line};
use crate::wire::name::Name;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long every server may take for its first probe, all together.
const PROBES_MAX: Duration = Duration::from_secs(2);

/// Longest wait for an answer of the other process.
const LIMIT: Duration = Duration::from_secs(5);

/// How long the end of a process may take after its connections have ended.
const END_MAX: Duration = Duration::from_secs(1);

/// Room for what one read brings.
const READ_BYTES: usize = 16 * 1024;

/// The process that is replaced.
pub struct Predecessor {
    stream: UnixStream,
    place: String,
    pub handover: Handover,
}

/// The instance to replace, if one is to be and runs.
pub fn find(config: &Config, places: &Places) -> Option<Name> {
    if !config.takeover {
        return None;
    }
    let found = replaceable(config, places);
    if found.is_none() {
        let at = &config.listen;
        say(
            config.events,
            format_args!("no balancer of this user listens on {at}: starting as usual"),
        );
    }
    found
}

/// Turns the loop until every server was probed, for [`PROBES_MAX`] at most. Nothing is accepted.
pub fn probe_once(proxy: &mut Proxy<Kernel>) -> Result<Status, Failure> {
    let (deadline, mut wish) = (proxy.now() + PROBES_MAX, None);
    while !proxy.are_all_probed() && proxy.now() < deadline {
        // A planned look at the list ends the wait of a turn.
        proxy.look_at_list_soon();
        if proxy.turn().map_err(system)? == Status::Ended {
            return Ok(Status::Ended);
        }
        wish = wish.max(proxy.take_reload());
    }
    // Signals that came meanwhile are heeded once it serves.
    if let Some(wish) = wish {
        proxy.ask_reload(wish);
    }
    Ok(Status::Running)
}

/// Asks the instance of this name for its sockets: listeners go to `passed`. None if it has ended
/// meanwhile.
///
/// Errors: it does not hand over, and goes on; why.
pub fn take(
    name: &Name,
    passed: &mut PassedSockets,
) -> Result<Option<(Predecessor, ControlSocket)>, Failure> {
    let place = name.place();
    let failure = |why: String| {
        Failure(format!("cannot take over from the balancer on {place}, which goes on: {why}"))
    };
    let (stream, handover, sockets) = match ask(name) {
        Ok(answer) => answer,
        Err(Refusal::Gone) => return Ok(None),
        Err(Refusal::Because(why)) => return Err(failure(why)),
    };
    if sockets.len() != handover.roles.len() {
        let (came, said) = (sockets.len(), handover.roles.len());
        return Err(failure(format!("{came} sockets came instead of {said}")));
    }
    let mut control = None;
    for (socket, role) in sockets.into_iter().zip(&handover.roles) {
        let outcome = match role {
            Role::Listener => passed.add(socket, Remover::Other),
            Role::ListenerWithFile => passed.add(socket, Remover::Undecided),
            Role::Control => ControlSocket::adopt(socket).map(|socket| control = Some(socket)),
        };
        outcome.map_err(|error| failure(format!("a socket is of no use: {}", reason(&error))))?;
    }
    let control = control.ok_or_else(|| failure("no control socket came".to_owned()))?;
    if control.name() != name {
        return Err(failure(format!("the control socket of {} came", control.name())));
    }
    Ok(Some((Predecessor { stream, place, handover }, control)))
}

enum Refusal {
    /// It has ended.
    Gone,
    Because(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotFound => Refusal::Gone,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Refusal::Because(format!("it does not answer within {} s", LIMIT.as_secs()))
            }
            io::ErrorKind::PermissionDenied => {
                Refusal::Because("its control socket is another user's".to_owned())
            }
            _ => Refusal::Because(reason(&error)),
        }
    }
}

fn ask(name: &Name) -> Result<(UnixStream, Handover, Vec<OwnedFd>), Refusal> {
    let deadline = control::deadline(LIMIT);
    let mut stream = control::connect(name, LIMIT)?;
    stream.write_all(format!("{}\n", Command::Takeover(VERSION)).as_bytes())?;
    let (mut bytes, mut sockets, mut part) = (Vec::new(), Vec::new(), [0; READ_BYTES]);
    loop {
        control::read_until(&stream, deadline)?;
        let count = match descriptors::receive(stream.as_fd(), &mut part, &mut sockets) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        };
        bytes.extend_from_slice(&part[..count]);
        if sockets.len() > SOCKETS_MAX {
            return Err(Refusal::Because(format!("more than {SOCKETS_MAX} sockets came")));
        }
        if bytes.len() > BYTES_MAX + READ_BYTES {
            return Err(Refusal::Because(Fault::TooLong.to_string()));
        }
        let first = line(&bytes);
        if let Line::Whole(text, _) = first
            && let Some(text) = text.strip_prefix("error ")
        {
            return Err(Refusal::Because(text.to_owned()));
        }
        let is_refusal =
            b"error ".starts_with(&bytes[..bytes.len().min(6)]) && first == Line::Partial;
        match Handover::read(&bytes) {
            Ok(Some(handover)) => return Ok((stream, handover, sockets)),
            Ok(None) if count > 0 => {}
            Err(_) if is_refusal && count > 0 => {}
            Ok(None) => return Err(Refusal::Gone),
            Err(fault) => return Err(Refusal::Because(fault.to_string())),
        }
    }
}

impl Predecessor {
    /// What was set by hand at the other process is in force here, and so are its keys.
    pub fn pass_on(&self, proxy: &mut Proxy<Kernel>) {
        if let Some(key) = self.handover.sticky_key {
            proxy.adopt_sticky_key(StickyKey::from_bytes(key));
        }
        if let (Some(keys), Some(acceptor)) =
            (&self.handover.ticket_keys, proxy.net_mut().acceptor_mut())
            && !acceptor.adopt_ticket_keys(keys)
        {
            proxy.log_event(format_args!(
                "sessions of TLS clients begin again, as the last process had another --client-ca \
                 or version of TLS"
            ));
        }
        for (server, by_hand) in &self.handover.by_hand {
            match proxy.take_by_hand(server, *by_hand) {
                true => proxy.log_event(format_args!("{server}: {by_hand}, set by hand before")),
                false => proxy.log_event(format_args!(
                    "{server}: {by_hand}, set by hand before, is forgotten, as it is no server here"
                )),
            }
        }
    }

    /// The sockets are in use: the other process is asked to stop accepting, and does. It does not end
    /// before the connection that is returned is closed.
    ///
    /// Errors: it serves on, and why.
    pub fn dismiss(mut self, proxy: &mut Proxy<Kernel>) -> Result<UnixStream, Failure> {
        let confirmation = self.confirmation();
        let Predecessor { place, handover, .. } = &self;
        let process = handover.process;
        match confirmation {
            Confirmation::Given | Confirmation::Ended => {
                proxy.log_event(format_args!("took over {place} from process {process}"));
            }
            Confirmation::Late => proxy.log_event(format_args!(
                "took over {place} from process {process}, which does not answer within {} s and \
                 stops accepting when it goes on",
                LIMIT.as_secs()
            )),
            Confirmation::Refused(why) => {
                return Err(Failure(format!(
                    "cannot take over from the balancer on {place}, which goes on: {why}"
                )));
            }
        }
        Ok(self.stream)
    }

    fn confirmation(&mut self) -> Confirmation {
        let deadline = control::deadline(LIMIT);
        // If it has closed the connection, what it wrote before can be read.
        let _ = self.stream.write_all(format!("{}\n", Command::Ready).as_bytes());
        let is_whole = |answer: &[u8]| answer.contains(&b'\n');
        let answer = match control::read_answer(&mut self.stream, deadline, is_whole) {
            Ok(answer) => answer,
            Err(error) if is_late(&error) => return Confirmation::Late,
            Err(_) => Vec::new(),
        };
        if let Line::Whole(text, _) = line(&answer) {
            if text.starts_with("ok ") {
                return Confirmation::Given;
            }
            let why = text.strip_prefix("error ").unwrap_or("it answers with something else");
            return Confirmation::Refused(why.to_owned());
        }
        if ends_within(self.handover.process, END_MAX) {
            return Confirmation::Ended;
        }
        Confirmation::Refused(format!("this process was not ready within {} s", LIMIT.as_secs()))
    }
}

/// What the other process answers when the sockets are in use here.
enum Confirmation {
    /// It accepts no more.
    Given,
    /// It has the notice, and has not read it yet.
    Late,
    /// It has ended.
    Ended,
    /// It serves on.
    Refused(String),
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
