//! The whole proxy against a simulated kernel and scripted peers, thousands of times.
//!
//! One seed decides everything: the configuration, the scripts, how the kernel cuts and delays.
//! `SIM_SEED=123 cargo test --test simulation -- --nocapture` replays one seed and prints what
//! happened; `SIM_SEEDS=100000` runs more of them, `SIM_FROM=5000` others, `SIM_ALL=1` goes on
//! after a seed that failed. Half the seeds (the even ones) report exactly
//! the edges the contract of `net` promises and no more: spurious reports heal lost wake-ups.

mod beliefs;
mod by_hand;
mod challenge;
mod client;
mod crowd;
mod edits;
mod epilogue;
mod hostile;
mod keeping;
mod kernel;
mod listing;
mod names;
mod net;
mod oracle;
mod question;
mod rates;
mod record;
mod request;
mod reuse;
mod run;
mod scene;
mod script;
mod server;
mod sessions;
mod sites;
mod talker;
mod visitor;
mod waiting;
mod wire;
mod world;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Seeds per `cargo test`.
const SEEDS: u64 = 2_000;

/// What happened in the runs: shows that the scripts reach what they are for.
#[derive(Debug, Default)]
struct Tally {
    turns: u64,
    served: u64,
    local: u64,
    retried: u64,
    tunnelled: u64,
    redirected: u64,
    /// Bytes that went through pipes.
    piped: u64,
    /// Malformed requests that were refused, malformed responses, unsolicited responses.
    refused: u64,
    spoilt: u64,
    unasked: u64,
    /// How often a server became a suspect because of its silence.
    suspicions: u64,
    /// Requests that were taken from such a server.
    taken: u64,
    /// Requests that were lost because their server closed its idle connection.
    lost: u64,
    /// Runs in which slow clients held every slot for 8 s, and requests that ended because of it.
    stuck: u64,
    slow: u64,
    /// Lists of servers that were applied.
    reloads: u64,
    /// Commands for servers that were carried out.
    orders: u64,
    /// Sessions whose client a PROXY header named.
    introduced: u64,
    /// Requests to the admin listener that were answered.
    scraped: u64,
    /// Requests that were redirected to https, and challenges that were answered.
    to_https: u64,
    challenges: u64,
    /// Choices that were recorded and made again, and servers that warmed up meanwhile.
    replayed: u64,
    warmed: u64,
    /// Handshakes with servers that were completed, and that failed.
    handshakes: u64,
    failed_handshakes: u64,
    /// Requests whose cookie names the server that got them, and responses that set one.
    stayed: u64,
    /// Requests above the rates of their clients.
    limited: u64,
    /// Connections that were one too many for their address.
    surplus: u64,
    set: u64,
}

/// A seed that panics leaves nothing half-done behind a lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_seed_ends_well() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = match number("SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (number("SIM_FROM").unwrap_or(0), number("SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let verbose = number("SIM_SEED").is_some();
    let goes_on = number("SIM_ALL").is_some();
    let (next, end) = (AtomicU64::new(first), first + count);
    let tally = Mutex::new(Tally::default());
    let failed = Mutex::new(Vec::new());
    let work = || {
        while goes_on || locked(&failed).is_empty() {
            let seed = next.fetch_add(1, SeqCst);
            if seed >= end {
                break;
            }
            if catch_unwind(AssertUnwindSafe(|| run::run(seed, verbose, &tally))).is_err() {
                println!("seed {seed} failed");
                locked(&failed).push(seed);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let (failed, tally) = (locked(&failed), locked(&tally));
    println!("{count} seeds: {tally:?}");
    assert!(
        failed.is_empty(),
        "these seeds failed: {failed:?}; to see what happened:\n\
         SIM_SEED={} cargo test --test simulation -- --nocapture",
        failed[0]
    );
    if count >= 1_000 {
        let kinds = [tally.local, tally.retried, tally.tunnelled, tally.redirected, tally.piped];
        assert!(tally.served > count, "hardly anything was served: {tally:?}");
        assert!(kinds.iter().all(|&kind| kind > count / 100), "a kind is missing: {tally:?}");
        assert!(tally.replayed > count, "hardly any choice was recorded: {tally:?}");
        assert!(tally.stayed > count / 50 && tally.set > count / 50, "no sessions: {tally:?}");
        assert!(tally.limited > count / 100, "hardly any client was limited: {tally:?}");
        assert!(tally.surplus > count / 100, "hardly any connection was refused: {tally:?}");
        assert!(tally.warmed > count / 100, "hardly any server warmed up: {tally:?}");
        assert!(tally.suspicions > count / 100, "no server was silent: {tally:?}");
        assert!(tally.scraped > count, "the admin listener was hardly asked: {tally:?}");
        assert!(tally.to_https > count / 20, "hardly any client came without TLS: {tally:?}");
        assert!(tally.challenges > count / 100, "hardly any challenge was asked for: {tally:?}");
        assert!(tally.slow > 0, "no slow client was ended: {tally:?}");
        assert!(tally.introduced > count / 100, "hardly any server got a header: {tally:?}");
        assert!(tally.handshakes > count / 2, "hardly any server spoke TLS: {tally:?}");
        assert!(tally.failed_handshakes > count / 4, "hardly any handshake failed: {tally:?}");
        assert!(tally.orders > count / 10, "hardly anything was set by hand: {tally:?}");
        assert!(tally.reloads > count / 4, "the list of servers hardly changed: {tally:?}");
    }
}
