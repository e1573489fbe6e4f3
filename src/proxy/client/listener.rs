//! Listening sockets, each with its own settings.

use crate::base::address::Address;
use crate::config::Mode;

/// How clients reached a listener, as far as they can see it (RFC 9110 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    /// The connection is secured, here or by a proxy in front of the listener.
    Https,
}

impl Scheme {
    /// As `X-Forwarded-Proto` names it.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// What the connections of a listener carry below their protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    Plain,
    /// TLS, which ends here.
    Tls,
}

/// What is done with the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// [`Mode::Http`].
    Http,
    /// [`Mode::Tcp`].
    Tcp,
    /// [`Mode::Redirect`].
    Redirect,
    /// Each request is answered with the same in https, on this port (`--redirect-http`).
    ToHttps { port: u16 },
    /// Questions about this program, answered from memory (`--admin`).
    Admin,
}

impl From<Mode> for Service {
    fn from(mode: Mode) -> Service {
        match mode {
            Mode::Http => Service::Http,
            Mode::Tcp => Service::Tcp,
            Mode::Redirect => Service::Redirect,
        }
    }
}

/// What a listener does with its connections. A copy goes with every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    pub scheme: Scheme,
    pub security: Security,
    /// What the connections carry and what is done with it.
    pub service: Service,
}

impl ListenerSettings {
    /// Of a listener in the clear.
    pub fn plain(service: Service) -> ListenerSettings {
        ListenerSettings { scheme: Scheme::Http, security: Security::Plain, service }
    }

    /// Of a listener in TLS.
    pub fn tls(service: Service) -> ListenerSettings {
        ListenerSettings { scheme: Scheme::Https, security: Security::Tls, service }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener<L> {
    pub socket: L,
    /// Where it is; none if the system does not say.
    pub address: Option<Address>,
    pub settings: ListenerSettings,
    /// A connection may be waiting.
    pub readable: bool,
}
