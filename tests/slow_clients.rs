//! Clients that send or read slowly while others wait: they are ended. That nobody else is, and when
//! exactly, `timeouts/slow.rs` has under a virtual clock.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Message, Peer, ok, wait_until};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Chunked, so that it is not known how much is to come.
const UPLOAD: &str = "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Of a length that is collected before a server is taken.
const COLLECTED: &str = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n";

/// Sends a request for these bytes in chunks, one per pause, until it is dropped.
struct Uploads {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Uploads {
    fn begin(address: SocketAddr, count: usize, chunk: usize, pause: Duration) -> Uploads {
        let chunk = format!("{chunk:x}\r\n{}\r\n", "x".repeat(chunk));
        Uploads::of(UPLOAD, chunk, address, count, pause)
    }

    /// Of a body so small that it is collected.
    fn begin_collected(
        address: SocketAddr,
        count: usize,
        piece: usize,
        pause: Duration,
    ) -> Uploads {
        Uploads::of(COLLECTED, "x".repeat(piece), address, count, pause)
    }

    fn of(
        head: &str,
        chunk: String,
        address: SocketAddr,
        count: usize,
        pause: Duration,
    ) -> Uploads {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let mut peers: Vec<Peer> = (0..count).map(|_| Peer::connect(address)).collect();
        peers.iter_mut().for_each(|peer| peer.send(head));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                peers.retain_mut(|peer| peer.try_send(&chunk).is_ok());
                std::thread::sleep(pause);
            }
        });
        Uploads { over, thread: Some(thread) }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A server that reads whole requests, and answers `/large` with more than the kernel buffers.
fn server() -> Backend {
    Backend::start(|request: &Message| match request.target() {
        "/large" => ok(vec![b'x'; 20_000_000]),
        "/page" => ok(vec![b'x'; 20_000]),
        target => ok(target),
    })
}

fn silent() -> Backend {
    Backend::raw(|peer| {
        // Answers nothing but a GET, however long an upload lasts.
        while let Some(head) = peer.head() {
            match head.starts_with("GET") {
                true => peer.send(ok("got")),
                false => drop(peer.try_rest()),
            }
        }
    })
}

#[test]
fn slow_uploads_give_their_slots_to_a_get_that_waits() {
    let backend = silent();
    let balancer = Balancer::over(&[&backend], &["-N", "8", "-v"]);
    let mut first = balancer.connect();
    first.send(UPLOAD);
    let _uploads = Uploads::begin(balancer.address(), 7, 1, Duration::from_secs(2));
    wait_until("the uploads at the server", || backend.connections() == 8);
    let begun = Instant::now();
    assert_eq!(balancer.get("/").text(), "got");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(first.response().status(), 408);
    balancer.stderr.wait_for("bytes per second while others waited and --min-rate is 1024");
    balancer.stderr.wait_for("the client was slower than --min-rate while others waited");
}

#[test]
fn slow_readers_give_their_slots_to_a_get_that_waits() {
    let backend = server();
    let balancer = Balancer::over(&[&backend], &["-N", "8", "-l", "-", "--log-format", "json"]);
    let mut readers: Vec<Peer> = (0..8).map(|_| balancer.ask("/large")).collect();
    backend.wait_for_requests(8);
    assert_eq!(balancer.get("/").text(), "/");
    let line = balancer.stdout.wait_for("\"client_slow\"");
    assert!(line.contains("slower than --min-rate"), "{line}");
    let is_reset = readers.iter_mut().any(|reader| reader.try_response("GET").is_err());
    assert!(is_reset, "a response that is cut off must not look whole");
}

#[test]
fn where_every_place_is_taken_slow_clients_give_theirs_up() {
    // The second kind is collected here and holds no slot.
    let kinds = [Uploads::begin, Uploads::begin_collected];
    std::thread::scope(|scope| {
        for begin in kinds {
            scope.spawn(move || {
                let backend = silent();
                let balancer = Balancer::limited(100, &[&backend.argument(), "--health", "off"]);
                // More than there are places for.
                let _uploads = begin(balancer.address(), 60, 1, Duration::from_secs(2));
                assert_eq!(balancer.get("/").text(), "got");
            });
        }
    });
}

#[test]
fn a_response_that_waits_for_its_reader_holds_no_slot() {
    let backend = server();
    let balancer = Balancer::over(&[&backend], &["-N", "1"]);
    let mut reader = balancer.connect();
    // Until the kernel takes no more of the responses.
    let asks = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    reader.send(asks);
    wait_until("the responses to stall", || {
        let before = backend.requests().len();
        std::thread::sleep(Duration::from_millis(300));
        before > 0 && backend.requests().len() == before
    });
    let begun = Instant::now();
    assert_eq!(balancer.get("/").text(), "/");
    assert!(begun.elapsed() < Duration::from_secs(5), "it did not wait for the reader");
}

#[test]
fn nothing_wakes_it_for_slow_clients_while_nobody_waits() {
    let backend = server();
    let balancer = Balancer::over(&[&backend], &["-N", "2"]);
    let mut reader = balancer.ask("/large");
    assert!(reader.head().is_some(), "the response has begun");
    // A look would wake it every second.
    balancer.comes_to_rest(Duration::from_secs(2));
}

const UPGRADE: &str =
    "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Switches protocols when asked, and keeps such connections.
fn switching() -> (Backend, Arc<Mutex<usize>>) {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let backend = Backend::raw(move |peer| {
        while let Some(head) = peer.head() {
            if !head.to_lowercase().contains("upgrade: websocket") {
                peer.send(ok("got"));
                continue;
            }
            *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            peer.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n",
            );
            let _ = peer.try_rest();
            return;
        }
    });
    (backend, asked)
}

fn upgraded(balancer: &Balancer) -> Peer {
    let mut peer = balancer.connect();
    peer.send(UPGRADE);
    assert_eq!(peer.response().status(), 101);
    peer
}

#[test]
fn idle_tunnels_hold_no_slot_and_have_a_limit_of_their_own() {
    let (backend, asked) = switching();
    let balancer = Balancer::over(&[&backend], &["-N", "4", "-v"]);
    let tunnels: Vec<Peer> = (0..4).map(|_| upgraded(&balancer)).collect();
    let begun = Instant::now();
    assert_eq!(balancer.get("/").text(), "got");
    assert!(begun.elapsed() < Duration::from_secs(5), "it did not wait");
    let refused = balancer.exchange(UPGRADE);
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("all tunnels"), "{}", refused.text());
    assert!(refused.field("Retry-After").is_some());
    // Its content is not waited for.
    let unfinished = UPGRADE.replace("Host: x", "Host: x\r\nContent-Length: 9") + "half";
    assert_eq!(balancer.exchange(unfinished).status(), 503);
    let count = *asked.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(count, 4, "the server is not asked for what cannot be");
    let h2c = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n\
               Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    assert_eq!(balancer.exchange(h2c).text(), "got", "an offer that is not forwarded");
    drop(tunnels);
    wait_until("the places of the tunnels", || {
        let mut peer = balancer.connect();
        peer.send(UPGRADE);
        peer.response().status() == 101
    });
}

#[test]
fn tunnels_that_are_established_at_once_stay_within_their_limit() {
    let gate = common::Gate::new();
    let held = gate.clone();
    let backend = Backend::raw(move |peer| {
        let Some(_) = peer.head() else { return };
        held.pass();
        let _ = peer.try_send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n\r\n",
        );
        let _ = peer.try_rest();
    });
    let balancer = Balancer::over(&[&backend], &["--max-tunnels", "2"]);
    let mut peers: Vec<Peer> = (0..5).map(|_| balancer.connect()).collect();
    peers.iter_mut().for_each(|peer| peer.send(UPGRADE));
    wait_until("the requests at the server", || backend.connections() == 5);
    gate.open();
    let mut statuses: Vec<u16> = peers.iter_mut().map(|peer| peer.response().status()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [101, 101, 503, 503, 503]);
}
