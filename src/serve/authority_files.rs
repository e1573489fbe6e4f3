//! The authorities of servers that no list file names: read again when their files change or SIGHUP
//! asks for it. Where there is a list that can be read again, they are read with it.

use super::authorities;
use super::lists::Lists;
use super::watched::{Outcome, Source, Stamped, Watched};
use crate::config::{BackendSpec, Config, Mode};
use crate::net::kernel::Kernel;
use crate::net::tls::Authorities;
use crate::proxy::Proxy;

/// The files of the authorities that are in use.
pub type AuthorityFiles = Watched<Verified>;

/// The servers that they are for.
#[derive(Debug)]
pub struct Verified {
    /// Those in TLS; none where none is verified, or the list's reading includes them.
    servers: Vec<BackendSpec>,
    mode: Mode,
}

impl AuthorityFiles {
    /// Those of these servers, which were read when the files were as in `files`.
    pub fn of(lists: &Lists, config: &Config, files: Stamped) -> AuthorityFiles {
        let is_listed = lists.file.as_ref().is_some_and(|file| file.is_regular());
        let is_needed = !is_listed && lists.specs().any(BackendSpec::is_verified);
        let in_tls = lists.specs().filter(|spec| is_needed && spec.tls.is_some());
        Watched::new(Verified { servers: in_tls.cloned().collect(), mode: config.mode }, files)
    }
}

impl Source for Verified {
    const NAME: &'static str = "authorities of servers";
    type Content = Authorities;

    fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    fn reader(&self) -> impl FnOnce() -> Result<Authorities, String> + Send + 'static {
        let (servers, mode) = (self.servers.clone(), self.mode);
        move || authorities::of_given(&servers, mode).map_err(|failure| failure.to_string())
    }

    fn apply(authorities: Authorities, proxy: &mut Proxy<Kernel>) -> Outcome {
        Ok(match proxy.net_mut().trust(authorities) {
            true => "the authorities of servers were read again".to_owned(),
            false => "the authorities of servers were read again: nothing has changed".to_owned(),
        })
    }
}
