//! `--takeover`: this process replaces the one that listens at its address. Everything that can
//! fail is done while the other one serves; then that is asked for its sockets, and stops accepting
//! once it hears that they are in use.

use super::failure::{Failure, say};
use super::instances::instance_at;
use super::prepare::system;
use crate::base::reason::reason;
use crate::config::Config;
use crate::net::control::{self, ControlSocket};
use crate::net::kernel::Kernel;
use crate::net::systemd::PassedSockets;
use crate::proxy::{Proxy, Status};
use crate::wire::command::Command;
use crate::wire::handover::{Handover, Role, SOCKETS_MAX, VERSION};
use crate::wire::line::{Line, line};
use crate::wire::name::Name;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long every server may take for its first probe, all together.
const PROBES_MAX: Duration = Duration::from_secs(2);

/// Longest wait for a part of what the other process answers.
const LIMIT: Duration = Duration::from_secs(5);

/// Room for what one read brings.
const READ_BYTES: usize = 16 * 1024;

/// The process that is replaced.
pub struct Predecessor {
    stream: UnixStream,
    place: String,
    pub handover: Handover,
}

/// The instance to replace, if one is to be and runs.
pub fn find(config: &Config) -> Option<Name> {
    if !config.takeover {
        return None;
    }
    let found = instance_at(&config.listen).filter(|name| name.process.is_none());
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
    let deadline = proxy.now() + PROBES_MAX;
    while !proxy.are_all_probed() && proxy.now() < deadline {
        // A planned look at the list ends the wait of a turn.
        proxy.look_at_list_soon();
        if proxy.turn().map_err(system)? == Status::Ended {
            return Ok(Status::Ended);
        }
        proxy.take_reload();
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
            Role::Listener => passed.add(socket),
            Role::Control => ControlSocket::adopt(socket).map(|socket| control = Some(socket)),
        };
        outcome.map_err(|error| failure(format!("a socket is of no use: {}", reason(&error))))?;
    }
    let control = control.ok_or_else(|| failure("no control socket came".to_owned()))?;
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
    let mut stream = control::connect(name, LIMIT)?;
    stream.write_all(format!("{}\n", Command::Takeover(VERSION)).as_bytes())?;
    let (mut bytes, mut sockets, mut part) = (Vec::new(), Vec::new(), [0; READ_BYTES]);
    loop {
        let count = control::receive(stream.as_fd(), &mut part, &mut sockets)?;
        bytes.extend_from_slice(&part[..count]);
        if sockets.len() > SOCKETS_MAX {
            return Err(Refusal::Because(format!("more than {SOCKETS_MAX} sockets came")));
        }
        if let Line::Whole(text, _) = line(&bytes)
            && let Some(text) = text.strip_prefix("error ")
        {
            return Err(Refusal::Because(text.to_owned()));
        }
        let is_refusal = b"error ".starts_with(&bytes[..bytes.len().min(6)]);
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
    /// What was set by hand at the other process is in force here.
    pub fn pass_on(&self, proxy: &mut Proxy<Kernel>) {
        for (server, by_hand) in &self.handover.by_hand {
            match proxy.take_by_hand(server, *by_hand) {
                true => proxy.log_event(format_args!("{server}: {by_hand}, set by hand before")),
                false => proxy.log_event(format_args!(
                    "{server}: {by_hand}, set by hand before, is forgotten, as it is no server here"
                )),
            }
        }
    }

    /// The sockets are in use: the other process stops accepting.
    pub fn dismiss(mut self, proxy: &mut Proxy<Kernel>) {
        let Predecessor { place, handover, .. } = &self;
        proxy.log_event(format_args!("took over {place} from process {}", handover.process));
        // One that has died meanwhile needs no notice.
        let _ = self.stream.write_all(format!("{}\n", Command::Ready).as_bytes());
    }
}
