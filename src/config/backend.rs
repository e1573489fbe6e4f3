//! One backend as configured, and how many there may be.

use super::endpoint::Endpoint;
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
            naming: Naming::AsWritten,
            admin: AdminState::Ready,
        }
    }
}

impl fmt::Display for BackendSpec {
    /// Its endpoint, and the name that it is an address of.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.naming {
            Naming::AsWritten | Naming::Each => self.endpoint.fmt(out),
            Naming::Of(name) => write!(out, "{} ({name})", self.endpoint),
        }
    }
}
