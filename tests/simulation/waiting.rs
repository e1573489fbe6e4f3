//! Requests that wait for a slot: in which order, for how long, and whose client must still be
//! there when they are forwarded. And how often a request may be taken from a server.

use super::client::Client;
use super::kernel::{Kernel, LinkId, Peer};
use super::oracle::{Fate, Oracle};
use super::request::HELD_BYTES;

/// What a turn may take to reach a client that waits.
const TURNS_TO_ACT: u64 = 2;

/// Lateness of a deadline beyond the longest turn: ticks of the timer wheel, and late reports.
const LATE_MICROS: u64 = 60_000;

/// How long the end of a body of unknown length is waited for.
const END_WAIT_MICROS: u64 = 1_000_000;

/// Where a client's requests are, as far as can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub turn: u64,
    pub at: u64,
}

/// The proxy has read from a client: which requests it has collected by now.
pub fn note_read(client: &mut Client, read_bytes: u64, kernel: &Kernel, oracle: &mut Oracle) {
    while let Some((request, end)) = client.next_to_collect() {
        if read_bytes < end {
            return;
        }
        client.collected += 1;
        let read = Read { turn: kernel.turn, at: kernel.now };
        oracle.requests[request].ready.get_or_insert(read);
    }
}

/// A request, or another try of it, begins on a connection to a server.
pub fn check_forward(
    request: usize,
    link: LinkId,
    clients: &[Client],
    kernel: &Kernel,
    oracle: &mut Oracle,
) {
    check_collected(request, kernel, oracle);
    check_order(request, link, clients, kernel, oracle);
    check_taken(request, kernel, oracle);
    oracle.requests[request].links.push(link);
    kernel.trace(format_args!("request {request} begins on link {link}"));
}

/// No server gets a request before what is held of it has come. The end of a body of unknown length
/// is waited for as long as a conversation can wait.
fn check_collected(request: usize, kernel: &Kernel, oracle: &Oracle) {
    let it = &oracle.requests[request];
    let waited = kernel.now - it.begun_at.expect("a request that is forwarded was sent");
    let may_be_conversation = it.chunked && oracle.collects && waited >= END_WAIT_MICROS;
    assert!(
        it.ready.is_some() || may_be_conversation,
        "a server gets request {request} after {waited} µs, and its client has not sent it: {it:?}"
    );
    let whole = it.is_broken() && it.collected < HELD_BYTES;
    assert!(
        !(oracle.collects && whole) || may_be_conversation,
        "a server gets request {request}, whose broken framing is collected"
    );
}

/// When the proxy chose the server at the latest: a connection is opened for a request, or used
/// again at once.
fn chosen(link: LinkId, kernel: &Kernel) -> Read {
    let it = &kernel.links[link];
    match it.requests {
        1 => Read { turn: it.opened_turn, at: it.opened_at },
        _ => Read { turn: kernel.turn, at: kernel.now },
    }
}

fn check_order(request: usize, link: LinkId, clients: &[Client], kernel: &Kernel, oracle: &Oracle) {
    let it = &oracle.requests[request];
    let client_link = it.link.expect("a request that is forwarded was sent");
    let client = &kernel.links[client_link];
    if let Some(turn) = client.reset_reported {
        assert!(turn >= kernel.turn, "request {request} is forwarded, but its client was reset");
    }
    let (Some(arrival), true) = (it.ready, it.links.is_empty()) else { return };
    let chosen = chosen(link, kernel);
    if let Peer::Client(number) = client.peer
        && let Some(since) = clients[number].waiting_since(request, oracle)
    {
        check_time(request, since.at, chosen.at, kernel, oracle);
    }
    // A request whose server was chosen but whose connection is not there yet, or failed, looks
    // like one that waits.
    if kernel.unused_closed_at >= arrival.at {
        return;
    }
    let connecting = |other: &super::kernel::Link| other.site.is_some() && other.requests == 0;
    if kernel.links.iter().any(|other| other.proxy_open && connecting(other)) {
        return;
    }
    let half_closed = client.end_reported_at_turn(chosen.turn, TURNS_TO_ACT);
    for other in clients {
        let Some((waits, since)) = waits(other, kernel, oracle) else { continue };
        if waits == request || since.turn + TURNS_TO_ACT >= chosen.turn {
            continue;
        }
        let other_link = &kernel.links[other.link.expect("it has sent a request")];
        // A request of a session may wait for its server, and the others pass it, but for those of
        // the same session.
        let session = oracle.requests[waits].session;
        let site = kernel.links[link].site;
        let is_theirs = it.session == session && oracle.sessions.is_of(site, session);
        let may_be_behind = other_link.fin_sent() || (session.is_some() && !is_theirs);
        let came_first = since.turn + TURNS_TO_ACT < arrival.turn;
        assert!(
            may_be_behind || !half_closed,
            "request {request}, whose client has ended its output, overtakes request {waits}: {:?}",
            oracle.requests[waits]
        );
        assert!(
            may_be_behind || !came_first,
            "request {request} overtakes request {waits}, which came before it"
        );
    }
}

/// The request of this client that waits for a slot, and since when at the latest.
fn waits(client: &Client, kernel: &Kernel, oracle: &Oracle) -> Option<(usize, Read)> {
    let request = client.waiting_request()?;
    let it = &oracle.requests[request];
    let link = &kernel.links[client.link?];
    let is_untouched = it.fate == Fate::Served && it.links.is_empty() && link.is_untouched();
    let since = client.waiting_since(request, oracle)?;
    is_untouched.then_some((request, since))
}

/// A client is about to learn that there is no server for its request.
pub fn check_refusal(client: &Client, kernel: &Kernel, oracle: &Oracle) {
    if let Some((request, since)) = waits(client, kernel, oracle) {
        check_time(request, since.at, kernel.now, kernel, oracle);
    }
}

/// A request has waited since then until `now`.
fn check_time(request: usize, since: u64, now: u64, kernel: &Kernel, oracle: &Oracle) {
    // Then it may have had a slot, and a connection that failed.
    if kernel.unused_closed_at >= since {
        return;
    }
    let waited = now.saturating_sub(since);
    let most = oracle.queue_micros + kernel.style.turn_max + LATE_MICROS;
    let is_late = waited > most && !kernel.jumped;
    assert!(!is_late, "request {request} waited for {waited} µs, {} are allowed", most);
}

/// A request that a server has, and that it has neither failed nor answered, is taken from it once.
fn check_taken(request: usize, kernel: &Kernel, oracle: &mut Oracle) {
    let it = &mut oracle.requests[request];
    if let Some(&last) = it.links.last()
        && !kernel.links[last].server_failed()
    {
        it.taken += 1;
        assert!(it.taken <= 1, "request {request} was taken from a server more than once");
        oracle.taken += 1;
    }
}
