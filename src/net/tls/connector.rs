//! The side that connects: whom it trusts, and how sessions with servers begin and are resumed.

use super::acceptor::Carries;
use super::engine::Engine;
use super::roots::{self, Places, Roots};
use super::scratch::Scratch;
use super::session::Session;
use super::verifier::Verifier;
use super::{VERSIONS, provider};
use crate::config::{TlsServer, Trust, quote};
use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Tickets that are kept of one server; each is used once (RFC 8446 §C.4).
const TICKETS_MAX: usize = 8;

/// Servers of which tickets are kept, and more than there are at any time: those of before are
/// forgotten with the others.
const SERVERS_MAX: usize = 2_048;

/// Whom servers are verified by, read and not yet in use.
#[derive(Clone, Debug)]
pub struct Authorities {
    places: Places,
    carries: Carries,
    by_trust: HashMap<Trust, Verification>,
}

/// How servers are verified.
#[derive(Clone, Debug)]
struct Verification {
    /// None: they are not.
    roots: Option<Roots>,
    config: Arc<ClientConfig>,
}

impl Authorities {
    /// None yet; those of this machine are at these places.
    pub fn new(places: Places, carries: Carries) -> Authorities {
        Authorities { places, carries, by_trust: HashMap::new() }
    }

    /// Reads what this server is verified by, unless it was read already.
    ///
    /// Errors: one sentence about the file or the name that cannot be used.
    pub fn add(&mut self, server: &TlsServer) -> Result<(), String> {
        server_name(&server.name)?;
        if !self.by_trust.contains_key(&server.trust) {
            let roots = match &server.trust {
                Trust::System => Some(roots::of_system(&self.places)?),
                Trust::File(path) => Some(roots::of_file(path)?),
                Trust::Nobody => None,
            };
            let config = Arc::new(config(roots.as_ref(), self.carries)?);
            self.by_trust.insert(server.trust.clone(), Verification { roots, config });
        }
        Ok(())
    }
}

/// A configuration that verifies by these authorities, or not at all.
fn config(roots: Option<&Roots>, carries: Carries) -> Result<ClientConfig, String> {
    let verifier = Arc::new(Verifier::new(roots)?);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| error.to_string())?
        // The name of the library's interface for its own verifier not being used as it is.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = match carries {
        Carries::Http => vec![b"http/1.1".to_vec()],
        Carries::Anything => Vec::new(),
    };
    Ok(config)
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("{} is no name that a certificate can be for", quote(name)))
}

/// How sessions with servers begin.
#[derive(Debug)]
pub struct Connector {
    authorities: Authorities,
    /// Each with the tickets of its server.
    servers: HashMap<TlsServer, Arc<ClientConfig>>,
    scratch: Rc<Scratch>,
}

impl Connector {
    /// Verifies servers by these authorities.
    pub fn new(authorities: Authorities) -> Connector {
        Connector { authorities, servers: HashMap::new(), scratch: Scratch::shared() }
    }

    /// Sessions that begin from here on are verified by these authorities; whether others than
    /// before are trusted. Where they are, no session of before is resumed: one that is resumed is
    /// not verified again.
    pub fn replace(&mut self, authorities: Authorities) -> bool {
        let old = std::mem::replace(&mut self.authorities, authorities).by_trust;
        let new = &self.authorities.by_trust;
        let is_kept = |trust: &Trust| {
            let pair = old.get(trust).zip(new.get(trust));
            pair.is_some_and(|(old, new)| old.roots == new.roots)
        };
        self.servers.retain(|server, _| is_kept(&server.trust));
        old.keys().any(|trust| new.contains_key(trust) && !is_kept(trust))
    }

    /// What its sessions keep between two steps, in bytes.
    pub fn kept_bytes(&self) -> usize {
        self.scratch.kept_bytes()
    }

    /// A session with this server.
    ///
    /// Errors: the authorities have nothing to verify it by.
    pub fn connect(&mut self, server: &TlsServer) -> io::Result<Session> {
        let name = server_name(&server.name).map_err(io::Error::other)?;
        let config = match self.servers.get(server) {
            Some(config) => config,
            None => self.begin(server)?,
        };
        let client = UnbufferedClientConnection::new(Arc::clone(config), name);
        let engine = Engine::Client(client.map_err(io::Error::other)?);
        Ok(Session::begin(engine, None, &self.scratch, &[]))
    }

    /// The first session with a server: its tickets are kept from here on.
    fn begin(&mut self, server: &TlsServer) -> io::Result<&Arc<ClientConfig>> {
        let shared = self.authorities.by_trust.get(&server.trust);
        let shared = shared.ok_or(io::ErrorKind::Unsupported)?;
        let mut config = ClientConfig::clone(&shared.config);
        config.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        if self.servers.len() == SERVERS_MAX {
            self.servers = HashMap::new();
        }
        Ok(self.servers.entry(server.clone()).or_insert(Arc::new(config)))
    }
}
