//! Where this program listens. Names are looked up once, at the start: a lookup that fails or takes
//! long disturbs nobody, least of all a process that is to be replaced.

use super::failure::Failure;
use crate::base::address::UnixName;
use crate::base::reason::reason;
use crate::config::{AdminAddress, Config, Endpoint, HostPort};
use crate::net::listen::{Place, TcpPlace};
use std::io;

/// The places of a configuration.
pub struct Places {
    /// Where clients connect.
    pub clients: Place,
    pub admin: Option<TcpPlace>,
    /// Where requests in the clear are redirected to https.
    pub redirect: Option<TcpPlace>,
}

impl Places {
    /// Looks up what is a name.
    ///
    /// Errors: one has no address.
    pub fn look_up(config: &Config) -> Result<Places, Failure> {
        let clients = match &config.listen {
            Endpoint::Tcp(at) => Place::Tcp(look_up(at)?),
            Endpoint::Unix(name) => Place::Unix(name.clone()),
        };
        let admin = config.admin.as_ref().map(AdminAddress::at);
        Ok(Places {
            clients,
            admin: admin.map(look_up).transpose()?,
            redirect: config.redirect_http.as_ref().map(look_up).transpose()?,
        })
    }
}

fn look_up(at: &HostPort) -> Result<TcpPlace, Failure> {
    let place = TcpPlace::look_up(at.host.as_deref(), at.port);
    place.map_err(|error| cannot_listen(at, &error))
}

/// A listener cannot be opened where clients are to connect.
pub fn cannot_listen_at(at: &Endpoint, error: &io::Error) -> Failure {
    match at {
        Endpoint::Tcp(at) => cannot_listen(at, error),
        Endpoint::Unix(name) => cannot_listen_on_socket(name, error),
    }
}

/// A unix socket cannot be listened on.
fn cannot_listen_on_socket(name: &UnixName, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; stop it or choose another name",
        io::ErrorKind::AlreadyExists => {
            "a file that is no socket is there; remove it or choose another name"
        }
        io::ErrorKind::NotFound => "its directory does not exist; create it",
        io::ErrorKind::PermissionDenied => {
            "its directory, or the socket of another user there, does not allow it; choose another \
             directory"
        }
        _ => "choose another name",
    };
    Failure(format!("cannot listen on {name}: {}: {hint}", reason(error)))
}

/// An address cannot be listened on.
pub fn cannot_listen(address: &HostPort, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
        io::ErrorKind::PermissionDenied => {
            "for a port below 1024 run `setcap cap_net_bind_service=+ep` on the program, set \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "choose another address",
    };
    Failure(format!("cannot listen on {address}: {}: {hint}", reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_port_names_the_ways_to_get_it() {
        let Failure(text) =
            cannot_listen(&HostPort::bare(80), &io::ErrorKind::PermissionDenied.into());
        for part in ["cannot listen on 80: permission denied", "setcap", "AmbientCapabilities"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
