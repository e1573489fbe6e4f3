//! The authorities of servers that no list file names: read again when their files change or SIGHUP
//! asks for it. Where there is a list that can be read again, they are read with it.

use super::authorities;
use super::lists::Lists;
use super::watched::{Outcome, Stamped, Watched};
use crate::config::{BackendSpec, Config, Mode};
use crate::net::kernel::Kernel;
use crate::net::tls::Authorities;
use crate::proxy::Proxy;

/// The files of the authorities that are in use.
#[derive(Debug)]
pub struct AuthorityFiles {
    /// Those in TLS; none where none is verified, or the list's reading includes them.
    servers: Vec<BackendSpec>,
    mode: Mode,
    watched: Watched<Authorities>,
}

impl AuthorityFiles {
    /// Those of these servers, which were read when the files were as in `files`.
    pub fn new(lists: &Lists, config: &Config, files: Stamped) -> AuthorityFiles {
        let is_listed = lists.file.as_ref().is_some_and(|file| file.is_regular());
        let is_needed = !is_listed && lists.specs().any(BackendSpec::is_verified);
        let in_tls = lists.specs().filter(|spec| is_needed && spec.tls.is_some());
        let servers = in_tls.cloned().collect();
        let watched = Watched::new("authorities of servers", files);
        AuthorityFiles { servers, mode: config.mode, watched }
    }

    /// Whether there are none to be read here.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// SIGHUP: they are read, and the outcome is reported.
    pub fn reload(&mut self, proxy: &mut Proxy<Kernel>) {
        if !self.servers.is_empty() {
            self.watched.request();
            self.look(proxy);
        }
    }

    /// SIGHUP was not carried out yet.
    pub fn is_reloading(&self) -> bool {
        self.watched.is_reloading()
    }

    /// What the last reload has come to; none where there are none.
    pub fn outcome(&self) -> Option<&Outcome> {
        (!self.servers.is_empty()).then_some(self.watched.outcome())
    }

    /// Has them read if one has changed.
    pub fn look(&mut self, proxy: &mut Proxy<Kernel>) {
        if !self.servers.is_empty() {
            let (servers, mode) = (self.servers.clone(), self.mode);
            self.watched.look(proxy, move || {
                authorities::of_given(&servers, mode).map_err(|failure| failure.to_string())
            });
        }
    }

    /// Puts to use what was read since the last turn.
    #[inline]
    pub fn advance(&mut self, proxy: &mut Proxy<Kernel>) {
        if self.watched.advance(proxy, apply) {
            self.look(proxy);
        }
    }
}

fn apply(authorities: Authorities, proxy: &mut Proxy<Kernel>) -> Outcome {
    Ok(match proxy.net_mut().trust(authorities) {
        true => "the authorities of servers were read again".to_owned(),
        false => "the authorities of servers were read again: nothing has changed".to_owned(),
    })
}
