//! What a client costs while it waits, and that the memory of a peak goes back: counted by the
//! allocator on the thread of the loop, and by the system for the whole program.

mod common;

#[cfg(feature = "tls")]
use common::in_process::add_tls;
use common::in_process::{Counting, bytes_in_use, limits, proxy};
use common::{Backend, Balancer, DEADLINE, Gate, Peer, wait_until};
use loadbalancer::net::kernel::Kernel;
#[cfg(feature = "tls")]
use loadbalancer::net::tls::{KEPT_BYTES_MAX, SelfSigned};
use loadbalancer::proxy::{Limits, Proxy};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Clients at the same time: with one more, the tables, which double, have few places to spare.
const CLIENTS: usize = 62;

/// Most bytes for a request that waits, or a head that is not complete, of up to 4 KiB.
const WAITING_MAX: isize = 5 * 1024;

/// Most bytes for a client that reads slowly.
const SLOW_MAX: isize = 40 * 1024;

/// A request whose head has so many bytes.
fn request(head_bytes: usize) -> String {
    let (begin, end) = ("GET / HTTP/1.1\r\nHost: x\r\nCookie: ", "\r\n\r\n");
    let cookie = "x".repeat(head_bytes - begin.len() - end.len());
    format!("{begin}{cookie}{end}")
}

/// Ends [`turn_while`], also when the clients have failed.
struct End<'a> {
    done: &'a AtomicBool,
    address: SocketAddr,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.done.store(true, SeqCst);
        // Ends the wait that may be under way.
        let _ = TcpStream::connect(self.address);
    }
}

/// Turns the loop while `clients` runs on another thread; calls `look` after each turn.
fn turn_while(
    proxy: &mut Proxy<Kernel>,
    address: SocketAddr,
    clients: impl FnOnce() + Send,
    mut look: impl FnMut(&Proxy<Kernel>),
) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _end = End { done: &done, address };
            clients();
        });
        while !done.load(SeqCst) {
            proxy.turn().expect("a wait that works");
            look(proxy);
        }
    });
}

/// So many clients that have sent `bytes`.
fn clients(address: SocketAddr, bytes: &[u8]) -> Vec<Peer> {
    let mut clients: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send(bytes));
    clients
}

/// Bytes in use, without what is kept for reuse.
fn kept_bytes(proxy: &Proxy<Kernel>) -> isize {
    bytes_in_use() - proxy.census().spare_bytes as isize
}

#[test]
fn a_request_that_waits_costs_little_more_than_its_head() {
    for head_bytes in [100, 900, 1_536, 3_584, 4_096] {
        let gate = Gate::new();
        let backend = Backend::held(&gate);
        let (mut proxy, address) = proxy(&backend, 1, limits(), |_| {});
        let before = kept_bytes(&proxy);
        let mut peers = Vec::new();
        let all_wait = || {
            peers = clients(address, request(head_bytes).as_bytes());
            backend.wait_for_requests(CLIENTS);
        };
        turn_while(&mut proxy, address, all_wait, |_| {});
        let each = (kept_bytes(&proxy) - before) / CLIENTS as isize;
        assert!(each <= WAITING_MAX, "{each} bytes for a head of {head_bytes}");
        gate.open();
    }
}

#[test]
fn an_unfinished_head_costs_little_more_than_what_has_come() {
    for head_bytes in [100, 900, 1_536, 3_584, 4_096] {
        let backend = Backend::named("a");
        let (mut proxy, address) = proxy(&backend, 1, limits(), |_| {});
        let before = kept_bytes(&proxy);
        let mut peers = Vec::new();
        let all_have_sent = || {
            peers = clients(address, &request(head_bytes).as_bytes()[..head_bytes - 2]);
            // In order: what came before it has been read once it is answered.
            assert_eq!(Peer::connect(address).get("/").status(), 200);
        };
        turn_while(&mut proxy, address, all_have_sent, |_| {});
        let each = (kept_bytes(&proxy) - before) / CLIENTS as isize;
        assert!(each >= head_bytes as isize, "{each} bytes for a head of {head_bytes}");
        assert!(each <= WAITING_MAX, "{each} bytes for a head of {head_bytes}");
    }
}

#[test]
fn a_client_that_reads_slowly_has_one_buffer_filled() {
    const READERS: usize = 16;
    const BODY: usize = 32 << 20;
    let in_flight = AtomicUsize::new(0);
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let backend = Backend::raw(move |peer| {
        let _ = peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"));
        while peer.try_send([b'x'; 10_000]).is_ok() {
            count.fetch_add(1, SeqCst);
        }
    });
    let (mut proxy, address) = proxy(&backend, 1, limits(), |_| {});
    let before = bytes_in_use();
    let mut readers = Vec::new();
    let until_stalled = || {
        readers.extend((0..READERS).map(|_| Peer::connect(address)));
        readers.iter_mut().for_each(|reader| reader.send(request(100)));
        // A response waits for each reader, and the servers can write no more for a while. Were
        // that too short, less would be asked.
        let mut last = 0;
        wait_until("all readers to have stalled", || {
            std::thread::sleep(Duration::from_millis(500));
            let is_stalled = std::mem::replace(&mut last, written.load(SeqCst)) == last;
            is_stalled && last > 0 && in_flight.load(SeqCst) == READERS
        });
    };
    let mut most = 0;
    turn_while(&mut proxy, address, until_stalled, |proxy| {
        most = most.max(bytes_in_use() - before);
        in_flight.store(proxy.census().pairs, SeqCst);
    });
    // How much of the last read each client's kernel has taken, and so how large a buffer the rest
    // needs, is up to the kernel.
    assert!(most > 32 * 1024, "no response waits: {most} bytes");
    let each = most / READERS as isize;
    assert!(each <= SLOW_MAX, "{each} bytes for each reader");
}

/// What comes of handshakes is in no buffer of the pool.
#[cfg(feature = "tls")]
#[test]
fn what_connections_in_tls_keep_is_in_the_accounts_of_memory() {
    const HELLO: usize = 16_000;
    let made = SelfSigned::new(&["a.example"], ["20200101000000Z", "21200101000000Z"]);
    let limits = Limits { trim_bytes: CLIENTS * HELLO / 2, ..limits() };
    let backend = Backend::named("a");
    let (mut proxy, plain) = proxy(&backend, 1, limits, |_| {});
    let address = add_tls(&mut proxy, &made.expect("random bytes"));
    // A record of 16 KiB, of which more must come.
    let hello = [&b"\x16\x03\x01\x40\x00"[..], &[1; HELLO]].concat();
    let (kept, places) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let come_and_leave = || {
        let peers = clients(address, &hello);
        wait_until("all hellos to have come", || kept.load(SeqCst) >= CLIENTS * HELLO);
        drop(peers);
        wait_until("all to be gone", || places.load(SeqCst) == 0);
    };
    turn_while(&mut proxy, plain, come_and_leave, |proxy| {
        let census = proxy.census();
        kept.store(census.kept_bytes, SeqCst);
        places.store(census.clients, SeqCst);
        assert!(census.kept_bytes <= CLIENTS * KEPT_BYTES_MAX, "{census:?}");
    });
    let census = proxy.census();
    assert_eq!((census.kept_bytes, census.storages_lent), (0, 0), "{census:?}");
    let start = Instant::now();
    // Memory goes back to the system: that is what is waited for now, and nothing else.
    assert!(census.timers > 0, "{census:?}");
    while proxy.census().timers > 0 {
        proxy.turn().expect("a wait that works");
        assert!(start.elapsed() < DEADLINE, "timers are left: {:?}", proxy.census());
    }
}

#[test]
fn after_a_peak_memory_is_freed_and_no_timer_is_left() {
    let limits = Limits { trim_bytes: 64 * 1024, ..limits() };
    let backend = Backend::named("a");
    let (mut proxy, address) = proxy(&backend, 1, limits, |config| {
        config.timeouts.pool = Duration::from_millis(100);
    });
    let before = bytes_in_use();
    let mut most = 0;
    let come_and_leave = || {
        let peers = clients(address, &request(6_000).as_bytes()[..5_000]);
        assert_eq!(Peer::connect(address).get("/").status(), 200);
        drop(peers);
    };
    turn_while(&mut proxy, address, come_and_leave, |_| most = most.max(bytes_in_use() - before));
    assert!(most > CLIENTS as isize * 32 * 1024, "{most} bytes at the peak");
    let start = Instant::now();
    // Only timers end these waits: the last one is the trim's.
    while proxy.census().timers > 0 {
        proxy.turn().expect("a wait that works");
        assert!(start.elapsed() < DEADLINE, "timers are left: {:?}", proxy.census());
    }
    let left = bytes_in_use() - before;
    let spare = proxy.census().spare_bytes as isize;
    assert!(spare <= 16 * 37 * 1024, "{spare} bytes are kept for reuse");
    assert!(left <= spare + 16 * 1024, "{left} bytes are left, {spare} of them for reuse");
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn after_a_peak_the_system_has_its_memory_back() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    assert_eq!(balancer.get("/").status(), 200);
    let before = balancer.memory_kib();
    let peers: Vec<Peer> = (0..400)
        .map(|_| {
            let mut peer = balancer.connect();
            peer.send(&request(10_000).as_bytes()[..9_000]);
            peer
        })
        .collect();
    // Some of it is in the middle of what is still in use.
    wait_until("the peak", || balancer.memory_kib() > before + 10 * 1024);
    let stays: Vec<Peer> = peers.into_iter().step_by(100).collect();
    wait_until("the memory of the peak to go back", || balancer.memory_kib() < before + 3 * 1024);
    drop(stays);
    balancer.comes_to_rest(Duration::from_secs(1));
}
