//! What the proxy says about its servers: each change of belief is logged once, and a server is
//! taken down only for what it has done itself.

use super::listing::SITES_PER_NAME;
use loadbalancer::proxy::invariants::BackendCensus;

/// What a server has done that may take it down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    /// Requests that it left without the head of a response, or with a malformed one.
    pub unanswered: u32,
    /// Responses of 5xx.
    pub errors: u32,
    /// It could not be reached, or did nothing for a while.
    pub absent: u32,
    /// Health checks that it did not pass.
    pub probes: u32,
}

/// How a line of the log about a server begins.
const PREFIX: &str = "loadbalancer: backend localhost:";

#[derive(Debug, Default)]
pub struct Beliefs {
    /// A server went down.
    pub has_fallen: bool,
    up: Vec<bool>,
    pub evidence: Vec<Evidence>,
}

impl Beliefs {
    pub fn new(names: usize) -> Beliefs {
        Beliefs {
            has_fallen: false,
            up: vec![true; names],
            evidence: vec![Evidence::default(); names],
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
        let Some((port, change)) = line.strip_prefix(PREFIX).and_then(|it| it.split_once(' '))
        else {
            return;
        };
        let name = port.parse::<usize>().expect("a server's port") - 1;
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

    /// Between two turns: what is believed is what was logged.
    pub fn check(&self, backends: &[BackendCensus]) {
        for backend in backends.iter().filter(|backend| backend.serving) {
            let port = backend.name.rsplit(':').next().and_then(|port| port.parse::<usize>().ok());
            let name = port.expect("a server's port") - 1;
            let is_known = backend.up == self.up[name];
            assert!(is_known, "a change of {} was not logged", backend.name);
        }
    }
}

/// Whether a server that has done this may be taken down for `cause`.
fn is_justified(evidence: &Evidence, cause: &str, one_is_left: bool) -> bool {
    // Behind it stands how long, and how many others are up.
    let cause = cause.split(';').next().unwrap_or_default();
    let times = cause.split(' ').find_map(|word| word.parse::<u32>().ok()).unwrap_or(1);
    if cause.contains("5xx") {
        evidence.errors >= times && one_is_left
    } else if cause.contains("health check") {
        // Silence may be the slowness of an honest server, to all at once.
        evidence.probes + evidence.absent > 0 || cause.contains("silent")
    } else if cause.contains("valid") {
        evidence.unanswered >= times
    } else {
        evidence.absent > 0
    }
}
