//! The whole configuration as values with their defaults and units. Reads no file and no argument.

mod address;
mod backend;
mod certificate;
mod endpoint;
mod field_edit;
pub mod list;
mod network;
mod number;
mod own;
mod quote;
mod rate;
mod server_tls;
mod sticky;

pub use address::{AddressError, HostPort};
pub use backend::{BACKENDS_MAX, BackendSpec, Naming};
pub use certificate::CertificateFile;
pub use endpoint::Endpoint;
pub use field_edit::{EDIT_BYTES_MAX, FieldEdit, Heads};
pub use network::{Network, TrustedProxies};
pub use number::whole;
pub use own::OwnAddresses;
pub use quote::quote;
pub use rate::RateLimit;
pub use server_tls::{HTTPS, HTTPS_PORT, ServerTls, TlsServer, Trust};
pub use sticky::{COOKIE_NAME_BYTES_MAX, SECRET_BYTES_MAX, StickyKey, cookie_name};

use crate::balance::Strategy;
use crate::health;
use std::path::PathBuf;
use std::time::Duration;

/// What is done with a client's bytes (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each HTTP request is forwarded to a backend of its own.
    Http,
    /// Each connection is joined to a backend, bytes both ways.
    Tcp,
    /// Each HTTP request is answered with the address of a backend.
    Redirect,
}

impl Mode {
    /// As `-m` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Http => "http",
            Mode::Tcp => "tcp",
            Mode::Redirect => "redirect",
        }
    }
}

/// The longest time of each wait. Each restarts with progress, except `head`, `queue`, `linger` and
/// `drain`.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From the first byte of a request head to its last (408).
    pub head: Duration,
    /// A client connection between two requests.
    pub keep_alive: Duration,
    /// Connecting to a backend, per attempt.
    pub connect: Duration,
    /// From the request sent to the first byte of its response (504).
    pub response: Duration,
    /// Between two bytes of a body, either direction.
    pub idle: Duration,
    /// Between two bytes of a tunnel or TCP session.
    pub tunnel: Duration,
    /// Waiting for a slot (503).
    pub queue: Duration,
    /// Reading on after the final response, so that the client can read it (RFC 9112 §9.6).
    pub linger: Duration,
    /// A pooled connection to a backend without use.
    pub pool: Duration,
    /// Between two lookups of the names of backends.
    pub resolve: Duration,
    /// Serving on after a stop was requested, not ready; 0: not at all.
    pub lame_duck: Duration,
    /// Finishing the requests in flight after that.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            connect: Duration::from_secs(3),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
            queue: Duration::from_secs(30),
            linger: Duration::from_secs(30),
            pool: Duration::from_secs(30),
            resolve: Duration::from_secs(30),
            lame_duck: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}

/// Limits of a request head; one that exceeds them is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Its length in bytes, the empty line included (431).
    pub bytes: u32,
    /// Its field lines (431).
    pub fields: u32,
    /// The length of its target in bytes (414).
    pub target: u32,
}

impl HeadLimits {
    /// The most that can be allowed: what a buffer holds, and the parser's tables.
    pub const MOST: HeadLimits = HeadLimits { bytes: 24 * 1024, fields: 200, target: 16 * 1024 };
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { bytes: 16 * 1024, fields: 100, target: 8 * 1024 }
    }
}

/// The target of the access log (`-l`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output (`-`).
    Stdout,
    /// Appended to a file, made if missing.
    File(PathBuf),
}

/// How a line of the access log is written (`--log-format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// The combined format of web servers, then the request's id and the backend.
    Combined,
    /// One JSON object a line.
    Json,
}

/// How event lines are written (`--events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What becomes of the sessions of TCP mode when their backend goes down (`--on-down`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDown {
    /// They go on: the backend may only be slow to answer probes.
    Keep,
    /// They are reset, so that clients connect again and get another backend.
    Close,
}

/// What is done with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is served by.
    Serve,
    /// Its options and limits are printed, and the program ends (`--print-config`).
    Print,
    /// It is checked, and the program ends (`--check`).
    Check(Reach),
}

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Options and files; the network is not used.
    Files,
    /// Also names, the address to listen on, and every backend.
    Backends,
}

/// Where the admin listener is (`--admin`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// There or nowhere.
    Given(HostPort),
    /// There, or on a free port if that one is taken.
    Preferred(HostPort),
}

impl AdminAddress {
    /// The address.
    pub fn at(&self) -> &HostPort {
        match self {
            AdminAddress::Given(at) | AdminAddress::Preferred(at) => at,
        }
    }
}

/// The whole configuration of a balancer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: Endpoint,
    /// Mode of the file of a unix socket there; none: what the umask leaves.
    pub socket_mode: Option<u32>,
    /// Other processes may listen there as well.
    pub reuse_port: bool,
    /// Peers that must send a PROXY header before anything else.
    pub proxy_protocol: TrustedProxies,
    /// The instance that listens there is replaced.
    pub takeover: bool,
    /// Backends of the command line in the given order; [`list::List`] adds those of the file.
    pub backends: Vec<BackendSpec>,
    /// The backend list file (`-f`).
    pub list_file: Option<PathBuf>,
    /// Certificates for clients, who then speak TLS; none: they do not.
    pub certificates: Vec<CertificateFile>,
    /// A certificate for localhost is made at the start, and named in `certificates` then (`demo
    /// --tls`).
    pub self_signed: bool,
    /// The authorities of clients' certificates, which are then required.
    pub client_ca: Option<PathBuf>,
    /// How long browsers are to use https only (`Strict-Transport-Security`); 0: not said.
    pub hsts: Duration,
    /// Where requests in the clear are redirected to https; none: nowhere.
    pub redirect_http: Option<HostPort>,
    /// Where ACME clients such as certbot put their challenges (`--acme-webroot`).
    pub acme_webroot: Option<PathBuf>,
    /// What is done with a client's bytes.
    pub mode: Mode,
    /// How backends are chosen.
    pub strategy: Strategy,
    /// The name of the cookie that keeps a client at its server (`--sticky`).
    pub sticky: Option<String>,
    /// Where the secret for its values is; none: a random key.
    pub sticky_key_file: Option<PathBuf>,
    /// What that file says, or the random key.
    pub sticky_key: StickyKey,
    /// How long the share of a server that came back or was added rises; zero: it has all at once.
    pub slow_start: Duration,
    /// Field name for [`Strategy::Header`], lower case.
    pub hash_field: Option<String>,
    /// Where `/metrics`, `/status` and the live page are (`--admin`); none: nowhere.
    pub admin: Option<AdminAddress>,
    /// Names that `Host` may have there, besides addresses and localhost.
    pub admin_hosts: Vec<String>,
    /// The admin listener may be reached from other machines.
    pub admin_public: bool,
    /// A path that is answered 200 on the clients' port; none: all are forwarded.
    pub live_path: Option<String>,
    /// There is a control socket, for `loadbalancer ctl`.
    pub control: bool,
    /// Pairs in flight at most; none: what the open-file limit allows.
    pub pairs_max: Option<u32>,
    /// Tunnels at most that were HTTP requests once, counted apart from the pairs; none: as many as
    /// pairs, of at most three quarters of the clients.
    pub tunnels_max: Option<u32>,
    /// Requests of each client at most; none: no limit.
    pub rate: Option<RateLimit>,
    /// Connections of each client at most; none: no limit.
    pub connections_per_client: Option<u32>,
    /// Requests that wait at most; none: no limit.
    pub queue_max: Option<u32>,
    /// Least bytes per second of a client while others wait; 0: none.
    pub rate_min: u32,
    /// Probes and thresholds.
    pub health: health::Settings,
    /// Time-outs.
    pub timeouts: Timeouts,
    /// Requests are forwarded as they come; otherwise a body is collected first, as far as it is held.
    pub stream_requests: bool,
    /// Limits of request heads.
    pub head: HeadLimits,
    /// Requests on one client connection, which is then closed; none: no limit.
    pub keep_alive_requests: Option<u32>,
    /// Most attempts for one request once a server may have received it, 1 to 10.
    pub attempts_max: u8,
    /// Limit for such further attempts, percent of the recent requests.
    pub retry_budget: u32,
    /// Status when every backend is down.
    pub all_down_status: u16,
    /// Status of redirect mode for every method; none: 301 for GET and HEAD, 308 else.
    pub redirect_status: Option<u16>,
    /// Files sent instead of the built-in page, by status (400 to 599).
    pub error_pages: Vec<(u16, PathBuf)>,
    /// Clients whose X-Forwarded-* are kept and extended instead of replaced.
    pub trust_forwarded: TrustedProxies,
    /// Fields of forwarded requests that are set or removed.
    pub header_up: Vec<FieldEdit>,
    /// Fields of forwarded responses that are set or removed.
    pub header_down: Vec<FieldEdit>,
    /// Sessions of a backend that went down, in TCP mode.
    pub on_down: OnDown,
    /// `NAME[:GROUP]` to run as once the port is bound; none: the user that started it.
    pub user: Option<String>,
    /// The access log.
    pub access_log: Option<LogTarget>,
    /// How its lines are written.
    pub log_format: LogFormat,
    /// How event lines are written, and those of `-v`.
    pub events: EventFormat,
    /// One line per request, with the reason for the choice (`-v`).
    pub verbose: bool,
    /// Where the record of choices is written.
    pub record: Option<PathBuf>,
    /// Whether it is served by or only looked at.
    pub purpose: Purpose,
}

impl Config {
    /// Balances over `backends` with every other setting at its default.
    pub fn new(listen: impl Into<Endpoint>, backends: Vec<BackendSpec>) -> Config {
        Config { listen: listen.into(), backends, ..Config::default() }
    }

    /// Files are looked at again and again: the list, certificates, or the authorities of servers.
    pub fn watches_files(&self) -> bool {
        let is_verified = || self.backends.iter().any(BackendSpec::is_verified);
        self.list_file.is_some() || !self.certificates.is_empty() || is_verified()
    }

    /// `max-age` of `Strict-Transport-Security` on connections in TLS; none without `--hsts`.
    pub fn hsts_seconds(&self) -> Option<u64> {
        let seconds = self.hsts.as_secs();
        (seconds > 0).then_some(seconds)
    }
}

impl Default for Config {
    /// Port 80, no backend; with [`Timeouts`] and [`health::Settings`] the one place of defaults.
    fn default() -> Config {
        Config {
            listen: HostPort::bare(80).into(),
            socket_mode: None,
            reuse_port: false,
            proxy_protocol: TrustedProxies::None,
            takeover: false,
            backends: Vec::new(),
            list_file: None,
            certificates: Vec::new(),
            self_signed: false,
            client_ca: None,
            hsts: Duration::ZERO,
            redirect_http: None,
            acme_webroot: None,
            mode: Mode::Http,
            strategy: Strategy::RoundRobin,
            sticky: None,
            sticky_key_file: None,
            sticky_key: StickyKey::from_bytes([0; 16]),
            slow_start: Duration::ZERO,
            hash_field: None,
            admin: None,
            admin_hosts: Vec::new(),
            admin_public: false,
            live_path: None,
            control: true,
            pairs_max: None,
            tunnels_max: None,
            rate: None,
            connections_per_client: None,
            queue_max: None,
            rate_min: 1024,
            health: health::Settings::default(),
            timeouts: Timeouts::default(),
            stream_requests: false,
            head: HeadLimits::default(),
            keep_alive_requests: None,
            attempts_max: 3,
            retry_budget: 20,
            all_down_status: 503,
            redirect_status: None,
            error_pages: Vec::new(),
            trust_forwarded: TrustedProxies::None,
            header_up: Vec::new(),
            header_down: Vec::new(),
            on_down: OnDown::Keep,
            user: None,
            access_log: None,
            log_format: LogFormat::Combined,
            events: EventFormat::Text,
            verbose: false,
            record: None,
            purpose: Purpose::Serve,
        }
    }
}
