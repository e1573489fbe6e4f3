//! Sticky sessions: cookies that name servers, and where such requests may go.

use super::kernel::Dice;
use super::names::Names;
use super::scene::Scene;
use super::sites::SITES_PER_NAME;
use super::wire::Head;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{Config, Mode, StickyKey};
use std::num::NonZeroU64;

const NAME: &str = "srv";

/// A cookie field as a client sends it, as its server must see it, and what it says.
#[derive(Debug)]
pub struct Cookie {
    pub text: String,
    pub seen: Option<String>,
    pub session: Option<NonZeroU64>,
}

/// The sessions of a run.
#[derive(Debug, Default)]
pub struct Sessions {
    key: Option<StickyKey>,
    names: Names,
    /// No server fails and none leaves: each request gets to the one that its cookie names.
    is_strict: bool,
    /// Clients come over TLS.
    pub is_tls: bool,
    /// Requests that got to it, and responses that set a cookie.
    pub stayed: u64,
    pub set: u64,
}

/// Draws sessions in every fourth run of HTTP mode.
pub fn draw(config: &mut Config, rng: &mut Rng) {
    if config.mode == Mode::Http && rng.chance(250) {
        config.sticky = Some(NAME.to_string());
        config.sticky_key = StickyKey::from_bytes(std::array::from_fn(|_| rng.bits() as u8));
    }
}

impl Sessions {
    pub fn new(config: &Config, scene: &Scene, names: Names) -> Sessions {
        Sessions {
            key: config.sticky.as_ref().map(|_| config.sticky_key),
            names,
            is_strict: !scene.troubled && !scene.reloads && config.health.fall_on_5xx.is_none(),
            ..Sessions::default()
        }
    }

    fn tag(&self, site: usize) -> Option<NonZeroU64> {
        Some(self.key?.tag(&self.names.text(site / SITES_PER_NAME)))
    }

    /// Whether it is the session of a server of this address.
    pub fn is_of(&self, site: Option<usize>, session: Option<NonZeroU64>) -> bool {
        session.is_some() && site.and_then(|site| self.tag(site)) == session
    }

    /// The list of servers has changed, so that some may have left, or one fails.
    pub fn become_lenient(&mut self) {
        self.is_strict = false;
    }

    /// A cookie for most requests: of a server, or of none.
    pub fn draw_cookie(&self, rng: &mut Rng) -> Option<Cookie> {
        self.key.filter(|_| rng.chance(700))?;
        let name = rng.below(self.names.count as u64 + 1) as usize;
        let tag = self.tag(name * SITES_PER_NAME).expect("there is a key");
        let (value, session) = match rng.below(8) {
            0 => ("zz".to_string(), None),
            _ => (format!("{tag:016x}"), Some(tag)),
        };
        let (text, seen) = match rng.below(4) {
            0 => (format!("a=1; {NAME}={value}"), Some("a=1".to_string())),
            1 => (format!("a=1; {NAME}={value}; b=\"2\""), Some("a=1; b=\"2\"".to_string())),
            2 => (format!("{NAME}={value};{NAME}=0123456789abcdef"), None),
            _ => (format!("{NAME}={value}"), None),
        };
        Some(Cookie { text, seen, session })
    }

    /// A server of this address got a request with a cookie.
    pub fn check_request(&mut self, session: Option<NonZeroU64>, site: usize, request: usize) {
        let Some(session) = session else { return };
        if self.tag(site) == Some(session) {
            self.stayed += 1;
            return;
        }
        let of = |name: usize| self.tag(name * SITES_PER_NAME) == Some(session);
        let is_named = (0..self.names.count).any(of);
        assert!(!(self.is_strict && is_named), "request {request} left its session for {site}");
    }

    /// A response of this address sets the cookie if its client has another one.
    pub fn check_response(&mut self, head: &Head, session: Option<NonZeroU64>, site: usize) {
        let tag = self.tag(site).filter(|tag| session != Some(*tag));
        let more = if self.is_tls { "; Secure" } else { "" };
        let expected =
            tag.map(|tag| format!("{NAME}={tag:016x}; Path=/; HttpOnly; SameSite=Lax{more}"));
        assert_eq!(head.one("set-cookie"), expected.as_deref());
        self.set += u64::from(tag.is_some());
    }
}
