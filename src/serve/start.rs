//! The two halves of a start: files, names and the loop; and the sockets. A takeover opens its
//! sockets last, everybody else first.

use super::authorities;
use super::authority_files::AuthorityFiles;
use super::backends::Backends;
use super::certificates::{CertificateFiles, read_certificates};
use super::failure::{Failure, RunError};
use super::limits::{FILES_UNKNOWN, limits, report_limits};
use super::lists::{Lists, read_authorities, read_lists};
use super::places::Places;
use super::prepare::{
    error_pages, open_admin, open_control, open_listener, open_log, open_record, open_redirect,
    own_log, sticky_key, system,
};
use crate::base::address::Address;
use crate::config::{Config, OwnAddresses, StickyKey};
use crate::net::control::{self, ControlSocket};
use crate::net::kernel::Kernel;
use crate::net::listen::{self, Listener};
use crate::net::log_file::LogFile;
use crate::net::systemd::PassedSockets;
use crate::net::tls::{Acceptor, Authorities};
use crate::proxy::{Limits, ListenerSettings, Member, Proxy, Service};
use std::collections::HashMap;
use std::net::SocketAddr;

/// What was read and opened of files.
pub struct Prepared {
    lists: Lists,
    error_pages: HashMap<u16, Vec<u8>>,
    certificates: CertificateFiles,
    acceptor: Option<Acceptor>,
    authorities: Option<Authorities>,
    authority_files: AuthorityFiles,
    access: Option<LogFile>,
    record: Option<LogFile>,
    limits: Limits,
    sticky_key: StickyKey,
}

/// A loop that serves nobody yet.
pub struct Loop {
    pub proxy: Proxy<Kernel>,
    pub backends: Backends,
    pub certificates: CertificateFiles,
    pub authorities: AuthorityFiles,
    /// The servers that take part.
    pub members: Vec<Member>,
}

impl Prepared {
    /// Reads and opens what `config` names. It may wait for others, as signals end the program.
    pub fn of(config: &Config) -> Result<Prepared, Failure> {
        let mut lists = read_lists(config)?;
        let authority_files = authorities::stamps(lists.specs());
        let authorities = read_authorities(&mut lists, config)?;
        let authority_files = AuthorityFiles::of(&lists, config, authority_files);
        let error_pages = error_pages(config)?;
        let certificates = CertificateFiles::of(config);
        let acceptor = read_certificates(config)?;
        let sticky_key = sticky_key(config)?;
        let sticky_key = sticky_key.unwrap_or_else(|| StickyKey::from_bytes(listen::random_key()));
        let access = config.access_log.as_ref().map(open_log).transpose()?;
        own_log(config.user.as_deref(), access.as_ref())?;
        let record = config.record.as_deref().map(open_record).transpose()?;
        let files = listen::raise_file_limit().unwrap_or(FILES_UNKNOWN);
        let limits = limits(files, config);
        report_limits(files, &limits, config.events);
        Ok(Prepared {
            lists,
            error_pages,
            certificates,
            acceptor,
            authorities,
            authority_files,
            access,
            record,
            limits,
            sticky_key,
        })
    }

    /// Looks names up and makes the loop; `own` is where this program listens, which no server is.
    pub fn start(self, mut config: Config, own: OwnAddresses) -> Result<Loop, RunError> {
        let Prepared { lists, error_pages, certificates, acceptor, authorities, .. } = self;
        let Prepared { authority_files, access, record, limits, sticky_key, .. } = self;
        config.sticky_key = sticky_key;
        let mut kernel = Kernel::new().map_err(system)?;
        let (backends, members) = Backends::resolve(lists, kernel.waker(), own, &config)?;
        if let Some(file) = access {
            kernel.log_access_to(file).map_err(system)?;
        }
        if let Some(file) = record {
            kernel.record_to(file).map_err(system)?;
        }
        if let Some(acceptor) = acceptor {
            kernel.secure_with(acceptor);
        }
        if let Some(authorities) = authorities {
            kernel.trust(authorities);
        }
        if config.verbose {
            kernel.write_stderr_by_thread().map_err(system)?;
        }
        let seed = listen::seed();
        let proxy = Proxy::new(kernel, config, members.clone(), limits, error_pages, seed);
        Ok(Loop { proxy, backends, certificates, authorities: authority_files, members })
    }
}

/// The sockets that others connect to.
pub struct Sockets {
    listener: Listener,
    /// Where clients connect.
    pub address: Address,
    admin: Option<(Listener, SocketAddr)>,
    redirect: Option<(Listener, SocketAddr)>,
    control: Option<ControlSocket>,
}

impl Sockets {
    /// Takes those that were passed, and opens the others. Without `control` one is opened.
    pub fn open(
        config: &Config,
        places: &Places,
        passed: &mut PassedSockets,
        control: Option<ControlSocket>,
    ) -> Result<Sockets, Failure> {
        let listener = open_listener(config, places, passed)?;
        let address = listener.address().map_err(system)?;
        let admin = open_admin(config, places, passed)?;
        let redirect = open_redirect(config, places, passed)?;
        Ok(Sockets { listener, address, admin, redirect, control })
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// Where requests in the clear are redirected to https.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().map(|(_, address)| *address)
    }

    /// Where this program listens.
    pub fn addresses(&self) -> OwnAddresses {
        let ip = match &self.address {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        };
        let others = [self.admin_address(), self.redirect_address()];
        let ips = ip.into_iter().chain(others.into_iter().flatten()).collect();
        OwnAddresses::new(ips).with_socket(&self.address)
    }

    /// The loop accepts from them from here on. A control socket is opened as the user that the
    /// program runs as by now: its peers see whose it is.
    pub fn attach(self, config: &Config, proxy: &mut Proxy<Kernel>) -> Result<(), Failure> {
        let Sockets { listener, address, admin, redirect, control } = self;
        let service = config.mode.into();
        let settings = match config.certificates.is_empty() {
            true => ListenerSettings::plain(service),
            false => ListenerSettings::tls(service),
        };
        proxy.listen(listener, settings).map_err(system)?;
        if let Some((listener, _)) = admin {
            proxy.listen(listener, ListenerSettings::plain(Service::Admin)).map_err(system)?;
        }
        if let (Some((listener, _)), Address::Ip(secured)) = (redirect, &address) {
            let service = Service::ToHttps { port: secured.port() };
            proxy.listen(listener, ListenerSettings::plain(service)).map_err(system)?;
        }
        // One that is another user's or has the other process in its name is not this one's.
        let is_own = |socket: &ControlSocket| {
            let name = socket.name();
            config.control && name.user == control::user() && name.process.is_none()
        };
        let control = control.filter(is_own);
        if let Some(socket) = control.or_else(|| open_control(config, &address)) {
            proxy.net_mut().steer_by(socket).map_err(system)?;
            proxy.listen_control();
        }
        Ok(())
    }
}
