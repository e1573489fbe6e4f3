//! One backend: what it was made from, its health, its connections, and when it is probed.

use super::account::Account;
use super::addresses::Addresses;
use super::pool::Idle;
use crate::base::address::Address;
use crate::base::time::Instant;
use crate::base::wheel::Timer;
use crate::config::{BackendSpec, Endpoint, HTTPS, HostPort, Naming, TlsServer};
use crate::health::{Health, InWords, Page, ProbeFault};
use crate::proxy::kinds::ProbeKey;
use crate::wire::by_hand::ByHand;
use std::rc::Rc;
use std::time::Duration;

/// A configured backend with the addresses its name stands for.
#[derive(Clone, Debug)]
pub struct Member {
    pub spec: BackendSpec,
    /// In the order they are tried; at least one.
    pub addresses: Vec<Address>,
}

/// What the last probe of a backend came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// From the start of the connect to the end of the answer, or to the failure.
    pub took: Duration,
    pub outcome: Result<Page, ProbeFault>,
    /// Of the TLS handshake, if it has failed.
    pub words: Option<Box<str>>,
}

impl ProbeResult {
    /// Why it failed, in words.
    pub fn fault(&self) -> Option<InWords<'_, ProbeFault>> {
        let what = self.outcome.as_ref().err()?;
        Some(InWords { what, words: self.words.as_deref() })
    }
}

/// One backend.
#[derive(Debug)]
pub struct Backend {
    /// What is in force: `listed`, except for what is in `by_hand`.
    pub spec: BackendSpec,
    /// As the command line or the list has it.
    pub listed: BackendSpec,
    pub by_hand: ByHand,
    /// As people know it: as written, with `localhost` for a bare port; `address (name)` of an
    /// address of a name.
    pub name: String,
    /// `http://host:port` for `Location`.
    pub origin: String,
    /// The `Host` of requests that need one.
    pub host: String,
    pub addresses: Addresses,
    /// How it is spoken to in TLS; none in the clear. Another one when that has changed.
    pub tls: Option<Rc<TlsServer>>,
    /// Of the last TLS handshake with it that failed.
    pub handshake_words: Option<Box<str>>,
    pub health: Health,
    pub account: Account,
    pub idle: Idle,
    /// The probe under way.
    pub probe: Option<ProbeKey>,
    /// None before the first one has ended.
    pub last_probe: Option<ProbeResult>,
    /// When the next probe is due.
    pub probe_due: Instant,
    /// Of the next probe, and of the next look at its silence.
    pub timer: Timer,
    /// When the timer was last set back because its silence was over.
    pub set_back_at: Instant,
}

impl Backend {
    /// One that has just been configured.
    pub fn new(member: &Member, account: Account) -> Backend {
        Backend {
            spec: member.spec.clone(),
            listed: member.spec.clone(),
            by_hand: ByHand::default(),
            name: match &member.spec.naming {
                Naming::AsWritten | Naming::Each => recorded_name(&member.spec),
                Naming::Of(_) => member.spec.to_string(),
            },
            origin: match member.spec.tls {
                Some(_) => recorded_name(&member.spec),
                None => format!("http://{}", authority(&member.spec)),
            },
            host: host(&member.spec),
            addresses: Addresses::new(&member.addresses),
            tls: member.spec.tls_server().map(Rc::new),
            handshake_words: None,
            health: Health::new(),
            account,
            idle: Idle::default(),
            probe: None,
            last_probe: None,
            probe_due: Instant::START,
            timer: Timer::new(),
            set_back_at: Instant::START,
        }
    }
}

/// Its address, with the scheme if that is https: one word, from which its place on the hash ring
/// follows.
pub fn recorded_name(spec: &BackendSpec) -> String {
    match spec.tls {
        Some(_) => format!("{HTTPS}{}", authority(spec)),
        None => authority(spec),
    }
}

/// As written; a bare port is on this machine.
pub fn authority(spec: &BackendSpec) -> String {
    match &spec.endpoint {
        Endpoint::Tcp(HostPort { host: None, port }) => format!("localhost:{port}"),
        endpoint @ (Endpoint::Tcp(_) | Endpoint::Unix(_)) => endpoint.to_string(),
    }
}

/// `host:port` as it goes into `Host`. A unix socket has none: other programs say `localhost` for
/// it. Servers that are one service know it by its name.
fn host(spec: &BackendSpec) -> String {
    match (&spec.endpoint, &spec.naming) {
        (Endpoint::Unix(_), _) => String::from("localhost"),
        (Endpoint::Tcp(at), Naming::Of(name)) => format!("{name}:{}", at.port),
        (Endpoint::Tcp(_), Naming::AsWritten | Naming::Each) => authority(spec),
    }
}
