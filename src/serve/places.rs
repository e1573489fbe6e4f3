//! Where this program listens. Names are looked up once, at the start: a lookup that fails or takes
//! long disturbs nobody, least of all a process that is to be replaced.

use super::failure::Failure;
use super::prepare::cannot_listen;
use crate::config::{AdminAddress, Config, Endpoint, HostPort};
use crate::net::listen::{Place, TcpPlace};

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
