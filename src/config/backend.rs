//! One backend as configured, and how many there may be.

use super::address::{AddressError, HostPort};
use super::endpoint::Endpoint;
use super::server_tls::{HTTPS, HTTPS_PORT, ServerTls, TlsServer, Trust};
use crate::balance::AdminState;
use crate::wire::proxy_protocol::Version;
use std::fmt;

/// Most backends of one balancer, from the command line and the list file together.
pub const BACKENDS_MAX: usize = 1_000;

/// What the endpoint of a backend is to the host name it is written with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Naming {
    /// It is what is written. A name with several addresses is one backend.
    AsWritten,
    /// Each address of the name is a backend (`each`).
    Each,
    /// It is an address of this name.
    Of(String),
}

/// One backend as configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendSpec {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Share of the traffic relative to the others, 1 to 1000.
    pub weight: u32,
    /// Used only when no other is left.
    pub backup: bool,
    /// Most pairs in flight; none: no limit of its own.
    pub pairs_max: Option<u32>,
    /// Which PROXY header goes first on each connection to it; none: no header.
    pub send_proxy: Option<Version>,
    /// How it is spoken to in TLS; none: in the clear.
    pub tls: Option<ServerTls>,
    /// What the host name in its endpoint stands for.
    pub naming: Naming,
    /// What the operator wants of it.
    pub admin: AdminState,
}

impl BackendSpec {
    /// A backend with the weight 1, in rotation from the start, without a limit of its own.
    pub fn new(endpoint: impl Into<Endpoint>) -> BackendSpec {
        BackendSpec {
            endpoint: endpoint.into(),
            weight: 1,
            backup: false,
            pairs_max: None,
            send_proxy: None,
            tls: None,
            naming: Naming::AsWritten,
            admin: AdminState::Ready,
        }
    }

    /// Reads a backend as it is written: an address, or `https://` before one.
    pub fn parse(text: &str) -> Result<BackendSpec, AddressError> {
        let (scheme, rest) = text.split_at_checked(HTTPS.len()).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(HTTPS) {
            return Endpoint::backend(text).map(BackendSpec::new);
        }
        if !cfg!(feature = "tls") {
            return Err(AddressError::NoTls(text.to_owned()));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(end) = authority.find(['/', '?', '#']) {
            let hint = format!("{HTTPS}{}", &authority[..end]);
            return Err(AddressError::BeyondHost(text.to_owned(), hint));
        }
        if authority.is_empty() {
            return Err(AddressError::Neither(text.to_owned()));
        }
        let port = authority.strip_prefix(':').unwrap_or(authority);
        if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
            let hint = format!("{HTTPS}localhost:{port}");
            return Err(AddressError::NoHost(text.to_owned(), hint));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let endpoint = match has_port {
            true => HostPort::backend(authority),
            false => HostPort::backend(&format!("{authority}:{HTTPS_PORT}")),
        }?;
        Ok(BackendSpec { tls: Some(ServerTls::default()), ..BackendSpec::new(endpoint) })
    }

    /// It is spoken to in TLS, and its certificate is verified by authorities.
    pub fn is_verified(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.trust != Trust::Nobody)
    }

    /// How sessions with it begin; none in the clear.
    pub fn tls_server(&self) -> Option<TlsServer> {
        let ServerTls { name, trust } = self.tls.clone()?;
        let host = match &self.naming {
            Naming::Of(name) => Some(name),
            Naming::AsWritten | Naming::Each => match &self.endpoint {
                Endpoint::Tcp(at) => at.host.as_ref(),
                Endpoint::Unix(_) => None,
            },
        };
        // The zone of an address says something on this machine only (RFC 4007 §6).
        let host = || host.map_or("localhost", |host| host.split('%').next().unwrap_or(host));
        let name = name.unwrap_or_else(|| host().to_owned());
        Some(TlsServer { server: self.endpoint.to_string(), name, trust })
    }

    /// What makes it the same backend when everything else has changed: where it is, and whether it
    /// is spoken to in TLS.
    pub fn identity(&self) -> (&Endpoint, bool) {
        (&self.endpoint, self.tls.is_some())
    }

    /// What goes before its address.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { HTTPS } else { "" }
    }
}

impl fmt::Display for BackendSpec {
    /// Its endpoint, and the name that it is an address of.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.naming {
            Naming::AsWritten | Naming::Each => write!(out, "{}{}", self.scheme(), self.endpoint),
            Naming::Of(name) => write!(out, "{}{} ({name})", self.scheme(), self.endpoint),
        }
    }
}
