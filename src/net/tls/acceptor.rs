//! The side that clients connect to: how their sessions begin, with which certificates and which
//! ticket keys. Certificates change while it is in use; sessions keep those they began with.

use super::certificates::Certificates;
use super::engine::Engine;
use super::scratch::Scratch;
use super::session::Session;
use super::tickets::Tickets;
use super::{VERSIONS, provider};
use crate::wire::ticket_keys::TicketKeys;
use ring::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::server::{
    ServerConfig, ServerSessionMemoryCache, StoresServerSessions, UnbufferedServerConnection,
    WebPkiClientVerifier,
};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Sessions of TLS 1.2 that are kept for clients without tickets; about 1 KiB each.
const SESSIONS_MAX: usize = 2048;

/// How the library writes what is in a ticket. Another version of it may read it wrongly, and end
/// the handshake of a client that could have had a full one.
const TICKET_FORMAT: &str = "rustls 0.23";

/// What the connections carry, as it is agreed on with the client (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    Http,
    /// Any protocol: none is agreed on.
    Anything,
}

/// How sessions with clients begin.
#[derive(Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    tickets: Arc<Tickets>,
    sessions: Arc<dyn StoresServerSessions>,
    scratch: Rc<Scratch>,
    carries: Carries,
}

impl Acceptor {
    /// Sessions with these certificates.
    ///
    /// Errors: the system gives no random bytes; the authorities of clients cannot be used.
    pub fn new(certificates: Certificates, carries: Carries) -> Result<Acceptor, String> {
        let certificates = Arc::new(certificates);
        let tickets = Arc::new(Tickets::new()?);
        let sessions = ServerSessionMemoryCache::new(SESSIONS_MAX);
        Ok(Acceptor {
            config: config(&certificates, &tickets, sessions.clone(), carries)?,
            certificates,
            tickets,
            sessions,
            scratch: Scratch::shared(),
            carries,
        })
    }

    /// Sessions that begin from here on have these certificates.
    ///
    /// Errors: they cannot be used; nothing has changed.
    pub fn replace(&mut self, certificates: Certificates) -> Result<(), String> {
        let certificates = Arc::new(certificates);
        if context(&certificates) != context(&self.certificates) {
            self.tickets = Arc::new(Tickets::new()?);
            self.sessions = ServerSessionMemoryCache::new(SESSIONS_MAX);
        }
        let sessions = Arc::clone(&self.sessions);
        self.config = config(&certificates, &self.tickets, sessions, self.carries)?;
        self.certificates = certificates;
        Ok(())
    }

    /// A session with a client that has connected. `received` was read from its socket already.
    ///
    /// Errors: the library's, which has none for this at present.
    pub fn accept(&self, received: &[u8]) -> io::Result<Session> {
        let server =
            UnbufferedServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        let certificates = Some(Arc::clone(&self.certificates));
        Ok(Session::begin(Engine::Server(server), certificates, &self.scratch, received))
    }

    /// What its sessions keep between two steps, in bytes.
    pub fn kept_bytes(&self) -> usize {
        self.scratch.kept_bytes()
    }

    /// The keys of session tickets: for a successor.
    pub fn ticket_keys(&self) -> TicketKeys {
        TicketKeys { context: context(&self.certificates), keys: self.tickets.export() }
    }

    /// Takes over the ticket keys of a predecessor; false if they are of another context, which
    /// changes nothing.
    pub fn adopt_ticket_keys(&self, from: &TicketKeys) -> bool {
        let is_same = from.context == context(&self.certificates);
        if is_same {
            self.tickets.import(&from.keys);
        }
        is_same
    }
}

/// In which sessions may resume: a digest of the authorities of clients. A client that resumes a
/// session shows no certificate, so it must have shown one to a server with the same authorities.
fn context(certificates: &Certificates) -> [u8; 32] {
    let roots = certificates.client_authorities.as_deref().map(sorted_roots).unwrap_or_default();
    let mut digest = Context::new(&SHA256);
    let format = TICKET_FORMAT.as_bytes();
    for part in std::iter::once(&format).chain(roots.iter().flatten()) {
        // With its length, so that no two sets are the same bytes.
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut context = [0; 32];
    context.copy_from_slice(digest.finish().as_ref());
    context
}

/// Subject, key and constraints of each authority.
fn sorted_roots(authorities: &RootCertStore) -> Vec<[&[u8]; 3]> {
    let mut roots: Vec<[&[u8]; 3]> = authorities
        .roots
        .iter()
        .map(|root| {
            let constraints = root.name_constraints.as_ref().map_or(&[][..], |it| it);
            [&root.subject[..], &root.subject_public_key_info, constraints]
        })
        .collect();
    roots.sort_unstable();
    roots
}

fn config(
    certificates: &Arc<Certificates>,
    tickets: &Arc<Tickets>,
    sessions: Arc<dyn StoresServerSessions>,
    carries: Carries,
) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| error.to_string())?;
    let builder = match &certificates.client_authorities {
        Some(authorities) => {
            let authorities = Arc::clone(authorities);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(authorities, provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
        }
        None => builder.with_no_client_auth(),
    };
    let resolver: Arc<Certificates> = Arc::clone(certificates);
    let mut config = builder.with_cert_resolver(resolver);
    config.ticketer = Arc::<Tickets>::clone(tickets);
    config.session_storage = sessions;
    config.send_tls13_tickets = 1;
    // All are good: the server's order has the one that costs it least.
    config.ignore_client_order = true;
    config.alpn_protocols = match carries {
        Carries::Http => vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()],
        Carries::Anything => Vec::new(),
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_tickets_is_that_of_the_library_in_use() {
        let manifest = include_str!("../../../Cargo.toml");
        let version = TICKET_FORMAT.rsplit(' ').next().expect("a version");
        assert!(manifest.contains(&format!("rustls = {{ version = \"{version}\"")), "{version}");
    }
}
