//! What the proxy says about its servers: each change of belief is logged once, and a server is
//! taken down only for what it has done itself.

use super::kernel::{End, LinkId, marked};
use super::names::Names;
use super::sites::SITES_PER_NAME;
use loadbalancer::proxy::census::BackendCensus;

/// What a server has done that may take it down.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Requests that it left without the head of a response, or with a malformed one.
    pub unanswered: u32,
    /// Responses of 5xx.
    pub errors: u32,
    /// It could not be reached, or did nothing for a while.
    pub absent: u32,
    /// Health checks that it did not pass.
    pub probes: u32,
    pub handshakes: Handshakes,
}

/// The TLS handshakes with a server that did not complete, or late.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    /// Each has failed in words of its own.
    failed: Vec<LinkId>,
    closed: u32,
    reset: u32,
    late: u32,
}

impl Handshakes {
    pub fn note(&mut self, link: LinkId, end: End) {
        match end {
            End::Completes => {}
            End::Fails(_) => self.failed.push(link),
            End::Closes => self.closed += 1,
            End::Resets => self.reset += 1,
            End::Late(_) | End::Stalls => self.late += 1,
        }
    }
}

/// How a line of the log about a server begins.
const PREFIX: &str = "loadbalancer: backend ";

#[derive(Debug, Default)]
pub struct Beliefs {
    /// A server went down.
    pub has_fallen: bool,
    names: Names,
    up: Vec<bool>,
    /// After the last turn, whether each was up, and might get requests.
    was: Vec<(bool, bool)>,
    pub evidence: Vec<Evidence>,
}

impl Beliefs {
    pub fn new(names: Names) -> Beliefs {
        Beliefs {
            has_fallen: false,
            names,
            up: vec![true; names.count],
            was: vec![(true, false); names.count],
            evidence: vec![Evidence::default(); names.count],
        }
    }

    /// The server of a site has done something that may take it down.
    pub fn of_site(&mut self, site: usize) -> &mut Evidence {
        &mut self.evidence[site / SITES_PER_NAME]
    }

    /// A server is listed that was not before: it is trusted until something happens.
    pub fn listed(&mut self, name: usize) {
        self.up[name] = true;
    }

    /// A line of the log of events.
    pub fn logged(&mut self, line: &str, jumped: bool) {
        let Some((name, change)) = line.strip_prefix(PREFIX).and_then(|it| it.split_once(' '))
        else {
            return;
        };
        let name = self.names.known(name);
        let (state, cause) = change.split_once(": ").unwrap_or((change, ""));
        let is_up = match state {
            "up" => true,
            "down" => false,
            _ => return,
        };
        assert!(self.up[name] != is_up, "no change: {line}");
        self.up[name] = is_up;
        self.has_fallen |= !is_up;
        if !is_up && !jumped {
            let one_is_left = self.up.contains(&true);
            let is_just = is_justified(&self.evidence[name], cause, one_is_left);
            assert!(is_just, "{line}, but all it did is {:?}", self.evidence[name]);
        }
    }

    /// Between two turns: the servers that were down all through the last one, if another one might
    /// have had their requests.
    pub fn take_down(&mut self, backends: &[BackendCensus]) -> Vec<usize> {
        let mut now = vec![(true, false); self.names.count];
        for backend in backends.iter().filter(|backend| backend.serving) {
            now[self.names.known(&backend.name)] = (backend.up, backend.is_eligible);
        }
        let was = std::mem::replace(&mut self.was, now);
        let names = || was.iter().zip(&self.was).enumerate();
        let is_another = names().any(|(_, (was, is))| was.1 && is.1);
        let down = names().filter(|(_, (was, is))| is_another && !was.0 && !is.0);
        down.map(|(name, _)| name).collect()
    }

    /// Between two turns: what is believed is what was logged.
    pub fn check(&self, backends: &[BackendCensus]) {
        for backend in backends.iter().filter(|backend| backend.serving) {
            let is_known = backend.up == self.up[self.names.known(&backend.name)];
            assert!(is_known, "a change of {} was not logged", backend.name);
        }
    }
}

/// Whether a server that has done this may be taken down for `cause`.
fn is_justified(evidence: &Evidence, cause: &str, one_is_left: bool) -> bool {
    let handshakes = &evidence.handshakes;
    if let Some(link) = marked(cause) {
        return handshakes.failed.contains(&link);
    }
    // Behind it stands how long, and how many others are up.
    let cause = cause.split(';').next().unwrap_or_default();
    let times = cause.split(' ').find_map(|word| word.parse::<u32>().ok()).unwrap_or(1);
    if cause.contains("TLS handshake timed out") {
        handshakes.late + evidence.absent > 0
    } else if cause.contains("during the TLS handshake") {
        handshakes.closed + handshakes.reset + evidence.absent > 0
    } else if cause.contains("reset") || cause.contains("broken pipe") {
        evidence.absent + evidence.probes > 0
    } else if cause.contains("5xx") {
        evidence.errors >= times && one_is_left
    } else if cause.contains("health check") {
        // Silence may be the slowness of an honest server, to all at once.
        evidence.probes + evidence.absent + handshakes.late > 0 || cause.contains("silent")
    } else if cause.contains("valid") {
        evidence.unanswered >= times
    } else {
        evidence.absent > 0
    }
}
