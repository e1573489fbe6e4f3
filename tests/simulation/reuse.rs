//! Requests that cannot be repeated, on connections that were idle: only where the proxy has seen
//! that the server keeps such connections, and that it does not close them sooner. All times are as
//! the proxy can know them.

use super::kernel::{Kernel, Link, LinkId};
use super::listing::Listing;
use super::oracle::Oracle;

/// A close so soon after a response is no time-out.
const PROMPT_MICROS: u64 = 100_000;

/// For how long no connection is used again then, at least.
const FRESH_MICROS: u64 = 60_000_000;

/// A request, or another try of it, begins on a connection to a server.
pub fn check_begin(
    request: usize,
    link: LinkId,
    listing: &Listing,
    kernel: &mut Kernel,
    oracle: &Oracle,
) {
    let clock = kernel.clock;
    let it = &kernel.links[link];
    let idle = clock - it.idling.read_at;
    // Without a descriptor for a new one, any connection will do; after a jump, no time is right.
    let is_troubled = kernel.has_lacked() || kernel.jumped;
    if it.requests > 1 && oracle.requests[request].is_unrepeatable() && !is_troubled {
        let of_server = |other: &&Link| other.requests > 0 && listing.is_same_server(it, other);
        let others = || kernel.links.iter().filter(of_server);
        let kept = others().map(|other| longest_pause(other, clock)).max().unwrap_or_default();
        assert!(
            2 * idle < kept,
            "request {request} begins on link {link}, idle for {idle} µs: the longest known is {kept}: {:?}",
            oracle.requests[request]
        );
        for closed in others().filter(|other| other.idling.is_closed) {
            check_close(request, idle, closed, kernel, oracle);
        }
    }
    let idling = &mut kernel.links[link].idling;
    if idling.read_at > 0 {
        idling.longest = idling.longest.max(idle);
    }
}

/// The longest that a connection has been idle and open, at most.
fn longest_pause(link: &Link, clock: u64) -> u64 {
    let until = match (link.proxy_open, link.idling.end_reported) {
        (_, Some((_, reported))) => reported,
        (true, None) => clock,
        // The proxy closed it.
        (false, None) => link.idling.dropped_at,
    };
    let last = until.saturating_sub(link.idling.read_at);
    if link.idling.read_at > 0 { last.max(link.idling.longest) } else { 0 }
}

/// What the close of an idle connection has to teach about one that was idle for so long.
fn check_close(request: usize, idle: u64, closed: &Link, kernel: &Kernel, oracle: &Oracle) {
    let Some((turn, reported)) = closed.idling.end_reported else { return };
    let clock = kernel.clock;
    let lasted = |at: u64| match closed.idling.begun_at > at {
        true => closed.idling.begun_at - at,
        false => reported.saturating_sub(at),
    };
    // A server that is in trouble may have been forgotten, or its connections given up.
    let is_learned = turn < kernel.turn && oracle.fault_at.is_none();
    // Behind a client that reads slowly the rest of a response is read after the end was reported.
    // Of one that its client has left the proxy drops the rest: it was at work to the end.
    let was_at_work = !closed.to_proxy.data.is_empty()
        || closed.idling.left_unread
        || closed.idling.read_at > reported;
    if !is_learned || was_at_work {
        return;
    }
    if lasted(closed.idling.answer_at) < PROMPT_MICROS {
        assert!(
            clock >= reported + FRESH_MICROS,
            "request {request} begins on a pooled connection: one was closed at {reported} µs at once"
        );
    } else if lasted(closed.idling.read_at) >= 2 * PROMPT_MICROS {
        let closed_after = lasted(closed.idling.read_at);
        assert!(
            2 * idle <= closed_after,
            "request {request} begins after {idle} µs; one was closed after {closed_after}"
        );
    }
}
