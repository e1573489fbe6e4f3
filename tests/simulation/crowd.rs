//! Several clients of one address, and how many connections it may have
//! (`--max-connections-per-client`): who may be refused, and how many may be served at a time.

use super::kernel::{Dice, Kernel, LinkId, Peer};
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

/// A connection was accepted.
pub fn accepted(link: LinkId, kernel: &mut Kernel) {
    if !kernel.has_crowds() || !matches!(kernel.links[link].peer, Peer::Client(_)) {
        return;
    }
    let crowd: Vec<LinkId> = others(link, kernel).collect();
    for one in crowd.iter().copied().chain([link]) {
        let it = &mut kernel.links[one];
        it.beside_max = it.beside_max.max(crowd.len());
    }
}

/// A client reads the head of a response; whether its connection was one too many.
pub fn is_refused(link: LinkId, head: &Head, most: Option<u32>, kernel: &mut Kernel) -> bool {
    let Some(most) = most.filter(|_| kernel.has_crowds()).map(|most| most as usize) else {
        return false;
    };
    if kernel.peer_address(link).is_none() {
        return false;
    }
    if head.first[1] == "429" {
        let it = &kernel.links[link];
        assert!(!it.is_counted, "link {link} is refused after it was served");
        assert!(it.beside_max >= most, "link {link} of {} is refused: {most}", it.beside_max + 1);
        assert_eq!((head.one("connection"), head.one("retry-after")), (Some("close"), Some("1")));
        return true;
    }
    kernel.links[link].is_counted = true;
    let served = others(link, kernel).filter(|&other| kernel.links[other].is_counted).count();
    let is_open = kernel.links[link].proxy_open;
    assert!(served + usize::from(is_open) <= most, "{} connections of {link}: {most}", served + 1);
    false
}
