//! What is done before anything is served: files are opened and read, privileges given up. Each
//! failure is one sentence with the offending value and a hint.

use super::failure::{Failure, say};
use super::instances::holder;
use super::places::{Places, cannot_listen, cannot_listen_at};
use crate::base::address::Address;
use crate::base::reason::reason;
use crate::config::{AdminAddress, Config, Endpoint, LogTarget};
use crate::config::{SECRET_BYTES_MAX, StickyKey, quote};
use crate::net::control::{ControlSocket, Instances};
use crate::net::files::read_regular;
use crate::net::listen::{self, Listener, Place, Sharing, TcpPlace};
use crate::net::log_file::LogFile;
use crate::net::privileges::Identity;
use crate::net::systemd::PassedSockets;
use crate::net::unix::{self, Remover, SocketFile};
use crate::wire::name::listen_of;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// Largest page for `--error-page`, in bytes: with its head it must fit into one buffer.
const PAGE_BYTES_MAX: u64 = 8 * 1024;

const _: () = assert!(PAGE_BYTES_MAX as usize + 2048 <= crate::base::buffer::LARGE_BYTES);

/// What the loop cannot do without was refused.
pub fn system(error: io::Error) -> Failure {
    Failure(format!("the system refused what the loop needs: {}", reason(&error)))
}

/// The user of `--user`, if there is one.
///
/// Errors: no such user, or one that gives nothing up.
pub fn identity(user: Option<&str>) -> Result<Option<(&str, Identity)>, Failure> {
    let Some(user) = user else { return Ok(None) };
    let identity = Identity::find(user).map_err(|problem| {
        Failure(format!("--user: {problem}; name a user of this machine, such as nobody"))
    })?;
    if identity.is_root() {
        return Err(Failure(String::from("--user root gives nothing up; name another user")));
    }
    Ok(Some((user, identity)))
}

fn cannot_become(user: &str, error: &io::Error) -> Failure {
    let reason = reason(error);
    Failure(format!("cannot become the user {user}: {reason}; start as root, or without --user"))
}

/// A log that is a file becomes that of the user of `--user`, to be reopened.
pub fn own_log(user: Option<&str>, log: Option<&LogFile>) -> Result<(), Failure> {
    let (Some((user, identity)), Some(log)) = (identity(user)?, log) else { return Ok(()) };
    identity.own(log).map_err(|error| cannot_become(user, &error))
}

/// Becomes the user of `--user`.
pub fn drop_privileges(identity: Option<(&str, Identity)>) -> Result<(), Failure> {
    let Some((user, identity)) = identity else { return Ok(()) };
    identity.assume().map_err(|error| cannot_become(user, &error))
}

/// Reads the files of `--error-page`, by status.
pub fn error_pages(config: &Config) -> Result<HashMap<u16, Vec<u8>>, Failure> {
    let mut pages = HashMap::new();
    for (status, file) in &config.error_pages {
        let name = quote(&file.display().to_string());
        let bytes = read_regular(file, PAGE_BYTES_MAX + 1).map_err(|error| {
            Failure(format!("cannot read the error page {name}: {}", reason(&error)))
        })?;
        if bytes.len() as u64 > PAGE_BYTES_MAX {
            let message =
                format!("the error page {name} is larger than {PAGE_BYTES_MAX} bytes; shorten it");
            return Err(Failure(message));
        }
        pages.insert(*status, bytes);
    }
    Ok(pages)
}

/// The key of `--sticky-key`; none without.
pub fn sticky_key(config: &Config) -> Result<Option<StickyKey>, Failure> {
    let Some(file) = &config.sticky_key_file else { return Ok(None) };
    let name = quote(&file.display().to_string());
    // White space at its end does not count.
    let secret = read_regular(file, 2 * SECRET_BYTES_MAX as u64).map_err(|error| {
        let reason = reason(&error);
        let hint = "make one with openssl rand -hex 32, or name another file";
        Failure(format!("cannot read the sticky key {name}: {reason}; {hint}"))
    })?;
    let key = StickyKey::of_secret(&secret);
    key.map(Some).map_err(|problem| Failure(format!("the sticky key {name} {problem}")))
}

/// Opens the access log to append to it.
pub fn open_log(log: &LogTarget) -> Result<LogFile, Failure> {
    let file = match log {
        LogTarget::Stdout => LogFile::stdout(),
        LogTarget::File(path) => LogFile::open(path),
    };
    file.map_err(|error| cannot_open(log, &error))
}

/// Opens the file of `--record`.
///
/// Errors: it has content already, as a record begins with its first line; or it cannot be opened.
pub fn open_record(path: &Path) -> Result<LogFile, Failure> {
    is_new_record(path)?;
    LogFile::open(path).map_err(|error| cannot_record(path, &error))
}

/// As [`open_record`], leaving no trace.
pub fn check_record(path: &Path) -> Result<(), Failure> {
    is_new_record(path)?;
    LogFile::check(path).map_err(|error| cannot_record(path, &error))
}

fn is_new_record(path: &Path) -> Result<(), Failure> {
    let name = quote(&path.display().to_string());
    match path.metadata() {
        Ok(data) if data.is_file() && data.len() > 0 => {
            let text =
                format!("--record: {name} is there already; remove it, or name another file");
            Err(Failure(text))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn cannot_record(path: &Path, error: &io::Error) -> Failure {
    let name = quote(&path.display().to_string());
    Failure(format!("cannot open the record {name}: {}; choose another file", reason(error)))
}

/// The access log cannot be opened.
pub fn cannot_open(log: &LogTarget, error: &io::Error) -> Failure {
    Failure(format!("cannot open {}: {}; choose another file", log_name(log), reason(error)))
}

/// The access log as messages name it.
pub fn log_name(log: &LogTarget) -> String {
    match log {
        LogTarget::Stdout => "the access log on standard output".to_owned(),
        LogTarget::File(path) => format!("the access log {}", quote(&path.display().to_string())),
    }
}

/// Listens on the address of clients, by the socket that was passed for it if there is one.
pub fn open_listener(
    config: &Config,
    places: &Places,
    passed: &mut PassedSockets,
) -> Result<Listener, Failure> {
    let opened = match &places.clients {
        Place::Tcp(place) => open(place, sharing(config), passed),
        Place::Unix(name) => match passed.take_for(&places.clients) {
            Some(listener) => Ok(listener),
            None => unix::listen(name, config.socket_mode).map(Listener::Unix),
        },
    };
    let holder = || holder(config, &places.clients);
    let listener = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => in_use(&config.listen, holder().as_deref(), &error),
        _ => cannot_listen_at(&config.listen, &error),
    })?;
    if let Some(file) = listener.file() {
        own_socket(config, file)?;
    }
    Ok(listener)
}

/// The file of a unix socket becomes that of the user of `--user`: clients see whose it is. One of a
/// service manager does not. Both get the mode that was asked for.
fn own_socket(config: &Config, file: &SocketFile) -> Result<(), Failure> {
    if let (Some((user, identity)), Remover::This | Remover::Undecided) =
        (identity(config.user.as_deref())?, file.remover())
    {
        identity.own_socket(file.path()).map_err(|error| cannot_become(user, &error))?;
    }
    let Some(mode) = config.socket_mode else { return Ok(()) };
    file.set_mode(mode).map_err(|error| {
        Failure(format!(
            "cannot set the mode of {}: {}; leave --socket-mode out, and set SocketMode= in its \
             socket unit",
            quote(&file.path().display().to_string()),
            reason(&error)
        ))
    })
}

/// The address of clients is in use; by which instance, if it is one.
fn in_use(at: &Endpoint, holder: Option<&str>, error: &io::Error) -> Failure {
    let other = match at {
        Endpoint::Tcp(_) => "port",
        Endpoint::Unix(_) => "name",
    };
    match holder {
        Some(holder) => Failure(format!(
            "cannot listen on {at}: {}: another program listens there: {holder}, stop it or choose \
             another {other}",
            reason(error)
        )),
        None => cannot_listen_at(at, error),
    }
}

/// Opens the admin listener, if there is to be one; where it is.
pub fn open_admin(
    config: &Config,
    places: &Places,
    passed: &mut PassedSockets,
) -> Result<Option<(Listener, SocketAddr)>, Failure> {
    let (Some(admin), Some(place)) = (&config.admin, &places.admin) else { return Ok(None) };
    let mut open = |place: &TcpPlace| -> io::Result<(Listener, SocketAddr)> {
        let listener = open(place, Sharing::Alone, passed)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let opened = match (open(place), admin) {
        (Err(error), AdminAddress::Preferred(_)) if error.kind() == io::ErrorKind::AddrInUse => {
            open(&place.on_port(0))
        }
        (opened, AdminAddress::Given(_) | AdminAddress::Preferred(_)) => opened,
    };
    opened.map(Some).map_err(|error| cannot_listen(admin.at(), &error))
}

/// Opens the control socket of the instance that listens at `address`, if there is to be one. It is
/// no reason not to serve.
pub fn open_control(config: &Config, address: &Address) -> Option<ControlSocket> {
    if !config.control {
        return None;
    }
    let instances = if config.reuse_port { Instances::Several } else { Instances::One };
    let opened = ControlSocket::open(&listen_of(address), instances);
    if let (Ok(socket), Instances::One) = (&opened, instances)
        && socket.name().process.is_some()
    {
        let place = socket.name().place();
        say(
            config.events,
            format_args!(
                "another process has the control socket of {address}: loadbalancer ctl knows this \
                 one as {place}"
            ),
        );
    }
    opened
        .inspect_err(|error| {
            let reason = reason(error);
            say(
                config.events,
                format_args!(
                    "no control socket ({reason}): loadbalancer ctl cannot steer this process"
                ),
            );
        })
        .ok()
}

/// Opens the listener that redirects to https, if there is to be one; where it is.
pub fn open_redirect(
    config: &Config,
    places: &Places,
    passed: &mut PassedSockets,
) -> Result<Option<(Listener, SocketAddr)>, Failure> {
    let (Some(at), Some(place)) = (&config.redirect_http, &places.redirect) else {
        return Ok(None);
    };
    let opened = open(place, sharing(config), passed);
    let listener = opened.map_err(|error| cannot_listen(at, &error))?;
    let address = listener.local_addr().map_err(system)?;
    Ok(Some((listener, address)))
}

fn sharing(config: &Config) -> Sharing {
    if config.reuse_port { Sharing::ReusePort } else { Sharing::Alone }
}

fn open(place: &TcpPlace, sharing: Sharing, passed: &mut PassedSockets) -> io::Result<Listener> {
    match passed.take_for(&Place::Tcp(place.clone())) {
        Some(listener) => Ok(listener),
        None => listen::listen(place, sharing),
    }
}

/// Every socket of the service manager has its use.
///
/// Errors: one does not fit the command line.
pub fn all_taken(passed: &PassedSockets) -> Result<(), Failure> {
    passed.left().map_or(Ok(()), |address| {
        Err(Failure(format!(
            "the service manager passed a socket for {address}, where this command line does not \
             listen; make its ListenStream= and the listen address equal"
        )))
    })
}
