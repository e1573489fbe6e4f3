//! A backend as the policies see it: its configuration, its state and its pairs in flight.

/// One backend as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Share of the traffic relative to the others, at least 1.
    pub weight: u32,
    /// Used only when no other is left.
    pub backup: bool,
    /// Most pairs in flight; none: no limit of its own.
    pub pairs_max: Option<u32>,
    /// What the operator wants of it.
    pub admin: AdminState,
    /// `hash` of its address as written: its place on the hash ring, so that a key keeps
    /// its backend when the list is reordered or another balancer has it in another order.
    pub id: u64,
}

/// What the operator wants of a backend, apart from its health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AdminState {
    /// Takes requests.
    #[default]
    Ready,
    /// Gets no new pair; those in flight finish. It is probed as before.
    Drain,
    /// As `Drain`, and it is not probed.
    Down,
}

impl AdminState {
    /// As a list file says it; empty for `Ready`.
    pub fn word(self) -> &'static str {
        match self {
            AdminState::Ready => "",
            AdminState::Drain => "drain",
            AdminState::Down => "down",
        }
    }
}

/// Whether a backend is one of the service, apart from its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Its entry is free for the next addition.
    Vacant,
    /// Takes part.
    Serving,
    /// Removed, and gone once its last pair has ended. Gets no new pair.
    Leaving,
}

/// The share of a backend that is not warming up, in permille.
pub(super) const SHARE_FULL: u32 = 1000;

/// One backend as the policies see it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// As configured.
    pub spec: Spec,
    pub membership: Membership,
    /// Believed healthy. Independent of `membership`: a leaving backend goes down and up as well.
    pub up: bool,
    /// Pairs in flight.
    pub in_flight: u32,
    /// Failed requests that count as in flight until a usual response would have come.
    pub(super) held: u32,
    /// Average of its responses that were no error, microseconds.
    pub(super) usual_us: Option<u64>,
    /// Its last response was an error or did not come.
    pub(super) failing: bool,
    /// The policy of its tier may pick it. Not derived: a tried one is hidden during a pick.
    pub(super) visible: bool,
    /// What it gets now of its weight and limit, in permille: less than all while it warms up.
    pub(super) share: u32,
}

impl Candidate {
    pub(super) fn new(spec: Spec) -> Candidate {
        assert!(spec.weight > 0, "a weight is at least 1");
        Candidate {
            spec,
            membership: Membership::Serving,
            up: true,
            in_flight: 0,
            held: 0,
            usual_us: None,
            failing: false,
            visible: false,
            share: SHARE_FULL,
        }
    }

    /// It may get pairs if it is up and has room.
    pub fn is_in_rotation(&self) -> bool {
        self.membership == Membership::Serving && self.spec.admin == AdminState::Ready
    }

    /// In rotation and up: it may get pairs when it has room.
    pub fn is_usable(&self) -> bool {
        self.is_in_rotation() && self.up
    }

    /// In rotation, up and below its own limit. (A backup must also wait for the others.)
    pub fn is_eligible(&self) -> bool {
        self.is_usable() && !self.is_full()
    }

    /// As many pairs in flight as its own limit allows now.
    pub fn is_full(&self) -> bool {
        self.spec.pairs_max.is_some_and(|max| self.in_flight >= self.limit_now(max))
    }

    /// What it may have in flight now of its limit, at least 1.
    fn limit_now(&self, max: u32) -> u32 {
        match self.share {
            SHARE_FULL => max,
            share => {
                let most = u64::from(max) * u64::from(share);
                u32::try_from(most.div_ceil(u64::from(SHARE_FULL))).unwrap_or(max).min(max)
            }
        }
    }

    /// Pairs in flight and failed requests that count as such: what policies compare.
    pub(super) fn load(&self) -> u32 {
        self.in_flight.saturating_add(self.held)
    }

    /// Adds a response that was no error to the average: the latest counts 1/8 (RFC 6298 §2).
    pub(super) fn learn_usual(&mut self, response_us: u64) {
        let average_us = self.usual_us.unwrap_or(response_us);
        self.usual_us = Some(average_us - average_us / 8 + response_us / 8);
        self.failing = false;
    }

    pub(super) fn tier(&self) -> usize {
        usize::from(self.spec.backup)
    }
}
