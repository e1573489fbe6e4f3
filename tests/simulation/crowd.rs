//! Several clients of one address, and how many connections it may have
//! (`--max-connections-per-client`): who may be refused, and how many may be served at a time.

use super::kernel::{Dice, Kernel, LinkId, Peer};
use super::oracle::Oracle;
use super::wire::Head;
use loadbalancer::base::rng::Rng;
use loadbalancer::config::{Config, Mode};

/// Draws clients that share addresses. Rates are for clients with addresses of their own.
pub fn draw(config: &mut Config, seed: u64) -> Option<u64> {
    let mut rng = Rng::new(seed ^ 0x43_52_4F_57_44);
    if config.mode == Mode::Tcp || !rng.chance(150) {
        return None;
    }
    config.rate = None;
    config.connections_per_client = Some(1 + rng.below(3) as u32);
    Some(1 + rng.below(3))
}

/// What a connection must be of those that its address may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quota {
    /// Its client is not known to the proxy, or whether others are here is not known.
    #[default]
    Unknown,
    /// One of them.
    Taken,
    /// One too many.
    Refused,
}

/// The connections of clients that come from the address of this one and are open.
fn others(link: LinkId, kernel: &Kernel) -> impl Iterator<Item = LinkId> {
    let ip = |link| kernel.peer_address(link).map(|peer| peer.ip());
    let is_other = move |&other: &LinkId| {
        let it = &kernel.links[other];
        other != link
            && it.proxy_open
            && matches!(it.peer, Peer::Client(_))
            && ip(other) == ip(link)
    };
    (0..kernel.links.len()).filter(is_other)
}

/// A connection in the clear was accepted. Where every place is taken it waits for one, and may be
/// counted any time later.
pub fn accepted(link: LinkId, kernel: &mut Kernel, oracle: &Oracle) {
    if oracle.is_tls {
        return;
    }
    let waits = kernel.open_clients() > oracle.clients_max;
    decide(link, kernel, oracle);
    let it = &mut kernel.links[link];
    if waits && it.quota == Quota::Refused {
        it.quota = Quota::Unknown;
    }
}

/// The client of a connection is known now: it counts, if it is not one too many.
pub fn decide(link: LinkId, kernel: &mut Kernel, oracle: &Oracle) {
    let Some(most) = most(link, kernel, oracle) else { return };
    let is = |quota| others(link, kernel).filter(|&it| kernel.links[it].quota == quota).count();
    let (taken, unknown) = (is(Quota::Taken), is(Quota::Unknown));
    kernel.links[link].quota = match (taken >= most, taken + unknown >= most) {
        (true, _) => Quota::Refused,
        (false, true) => Quota::Unknown,
        (false, false) => Quota::Taken,
    };
}

/// How many connections the address of this client may have, if it has one and they are limited.
fn most(link: LinkId, kernel: &Kernel, oracle: &Oracle) -> Option<usize> {
    let most = oracle.connections_per_client.filter(|_| kernel.has_crowds())?;
    let is_client = matches!(kernel.links[link].peer, Peer::Client(_));
    (is_client && kernel.peer_address(link).is_some()).then_some(most as usize)
}

/// A client reads the head of a response; whether its connection was one too many.
pub fn is_refused(link: LinkId, head: &Head, kernel: &mut Kernel, oracle: &Oracle) -> bool {
    let Some(most) = most(link, kernel, oracle) else { return false };
    let quota = &mut kernel.links[link].quota;
    if head.first[1] == "429" {
        assert!(*quota != Quota::Taken, "link {link} is refused: {most} are allowed");
        assert_eq!((head.one("connection"), head.one("retry-after")), (Some("close"), Some("1")));
        *quota = Quota::Refused;
        return true;
    }
    assert!(*quota != Quota::Refused, "link {link} is served: one more than {most}");
    *quota = Quota::Taken;
    false
}
