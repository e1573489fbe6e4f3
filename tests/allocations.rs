//! In steady state no request allocates: counted by the allocator, on the thread of the loop.

mod common;

use common::in_process::{Counting, add_admin, allocations_so_far, limits, proxy};
#[cfg(feature = "tls")]
use common::in_process::{acceptor, add_tls, proxy_over};
use common::{Backend, Peer};
use loadbalancer::balance::{NAMES, Strategy};
use loadbalancer::config::{AdminAddress, Config, HostPort, LogTarget, Mode};
#[cfg(feature = "tls")]
use loadbalancer::config::{BackendSpec, ServerTls, TlsServer, Trust};
use loadbalancer::net::kernel::Kernel;
use loadbalancer::net::log_writer::LogWriter;
#[cfg(feature = "tls")]
use loadbalancer::net::tls::{Authorities, Carries, Connector, Places, SelfSigned};
use loadbalancer::proxy::Proxy;
use std::io::{self, Write};
#[cfg(feature = "tls")]
use std::net::TcpListener;
use std::net::{SocketAddr, TcpStream};
#[cfg(feature = "tls")]
use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Enough for the backend's pool to have as many connections as it ever will.
const ROUNDS: usize = 300;

const PEAK_CLIENTS: usize = 8;

/// What the library allocates for a request and its response in TLS: for each record that comes, and
/// twice for each that goes.
#[cfg(feature = "tls")]
const IN_TLS_MAX: usize = 4;

/// What the library allocates for a request to a server in TLS and its response: once for the record
/// that goes (`crypto/ring/tls13.rs`), and once for that which comes (`conn/unbuffered.rs`). Nothing
/// else allocates.
#[cfg(feature = "tls")]
const TO_SERVER_IN_TLS: usize = 2;

/// Requests of each kind, one after the other, so that the peak does not depend on chance.
fn ask(address: SocketAddr, rounds: usize, is_forwarded: bool) {
    // A client that is redirected with content to send is not kept.
    let (content, statuses) =
        if is_forwarded { ("name=ivan", [200, 200]) } else { ("", [301, 308]) };
    let bytes = content.len();
    let post = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n{content}");
    let mut client = Peer::connect(address);
    for _ in 0..rounds {
        assert_eq!(client.get("/").status(), statuses[0]);
        client.send(&post);
        assert_eq!(client.response().status(), statuses[1]);
        assert_eq!(Peer::connect(address).get("/a").status(), statuses[0]);
    }
}

/// Clients at the same time, more than there are later: on a busy machine a closed one may still be
/// there when the next ones come, and the tables must have room for that.
fn peak(address: SocketAddr) {
    let mut clients: Vec<Peer> = (0..PEAK_CLIENTS).map(|_| Peer::connect(address)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for client in &mut clients {
        client.response();
    }
}

/// Stops the loop when its thread ends, by a panic too.
struct Done<'a>(&'a AtomicBool, SocketAddr);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
        // Ends the wait that may be under way.
        let _ = TcpStream::connect(self.1);
    }
}

/// How often the loop allocates from when `steady` is set until `done` is.
fn allocations_until(done: &AtomicBool, steady: &AtomicBool, proxy: &mut Proxy<Kernel>) -> usize {
    let mut before = None;
    while !done.load(SeqCst) {
        proxy.turn().expect("a wait that works");
        if steady.load(SeqCst) && before.is_none() {
            before = Some(allocations_so_far());
        }
    }
    allocations_so_far() - before.expect("a turn in steady state")
}

/// How often the loop allocates while it serves `3 * ROUNDS` requests as `set` says.
fn allocations(names: usize, set: impl FnOnce(&mut Config)) -> usize {
    let backend = Backend::named("a");
    let mut is_forwarded = true;
    let (mut proxy, address) = proxy(&backend, names, limits(), |config| {
        set(config);
        is_forwarded = config.mode != Mode::Redirect;
    });
    let (steady, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _done = Done(&done, address);
            peak(address);
            ask(address, ROUNDS, is_forwarded);
            steady.store(true, SeqCst);
            ask(address, ROUNDS, is_forwarded);
        });
        allocations_until(&done, &steady, &mut proxy)
    })
}

#[test]
fn no_request_allocates_in_steady_state() {
    // With more than one server it would depend on chance when all pools have grown.
    for name in &NAMES {
        let count = allocations(1, |config| {
            config.strategy = name.strategy;
            config.hash_field = Some("Host".to_owned());
        });
        assert_eq!(count, 0, "{}", name.name);
    }
    for mode in [Mode::Redirect, Mode::Tcp] {
        assert_eq!(allocations(1, |config| config.mode = mode), 0, "{mode:?}");
    }
}

/// How often the loop allocates for a request in TLS to `host`, on a connection that has asked for
/// the name `asked`.
#[cfg(feature = "tls")]
fn allocations_in_tls(asked: &str, host: &'static str) -> usize {
    let (valid, names) = (["20200101000000Z", "21200101000000Z"], ["a.example", "b.example"]);
    let made = SelfSigned::new(&names, valid).expect("random bytes");
    let directory = common::TempDir::new();
    let backend = Backend::named("a");
    let (mut proxy, plain) = proxy(&backend, 1, limits(), |_| {});
    let address = add_tls(&mut proxy, &made);
    let trusted = directory.file("certificate.pem", &made.certificate);
    let (steady, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _done = Done(&done, plain);
            let trust = Trust::File(trusted.into());
            let server = TlsServer { server: asked.to_owned(), name: asked.to_owned(), trust };
            let mut authorities = Authorities::new(Places::default(), Carries::Http);
            authorities.add(&server).expect("a file");
            let mut session = Connector::new(authorities).connect(&server).expect("a name");
            let mut tcp = TcpStream::connect(address).expect("connecting");
            session.handshake(&mut tcp).expect("a handshake");
            let mut ask = || {
                for _ in 0..ROUNDS {
                    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
                    session.write(&mut tcp, request.as_bytes()).expect("writing");
                    let (mut got, mut into) = (Vec::new(), [0; 4096]);
                    while !got.ends_with(b"\r\n\r\na") {
                        let count = session.read(&mut tcp, &mut into).expect("a response");
                        got.extend_from_slice(&into[..count]);
                    }
                    assert!(got.starts_with(b"HTTP/1.1 200"));
                }
            };
            ask();
            steady.store(true, SeqCst);
            ask();
        });
        allocations_until(&done, &steady, &mut proxy)
    })
}

#[cfg(feature = "tls")]
#[test]
fn a_request_in_tls_costs_what_the_library_allocates_whatever_its_host() {
    let most = IN_TLS_MAX * ROUNDS;
    let usual = allocations_in_tls("a.example", "a.example");
    assert!(usual <= most, "{usual} for {ROUNDS} requests");
    for (asked, host) in [("a.example", "b.example"), ("a.example", "A.EXAMPLE:443")] {
        let count = allocations_in_tls(asked, host);
        // A turn more or less at the beginning and the end.
        assert!(count.abs_diff(usual) <= 2 * IN_TLS_MAX, "{host}: {count}, usual {usual}");
    }
}

/// A server in TLS that answers each request on a connection, until the test ends; where it is, and
/// the file of whom to trust.
#[cfg(feature = "tls")]
fn server_in_tls(directory: &common::TempDir) -> (SocketAddr, PathBuf) {
    let valid = ["20200101000000Z", "21200101000000Z"];
    let made = SelfSigned::new(&["a.example"], valid).expect("random bytes");
    let trusted = directory.file("certificate.pem", &made.certificate);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let made = Arc::new(made);
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let made = Arc::clone(&made);
            std::thread::spawn(move || {
                let mut session = acceptor(&made).accept(&[]).expect("a session");
                session.handshake(&mut tcp).expect("a handshake");
                let (mut got, mut into) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = session.read(&mut tcp, &mut into) {
                    got.extend_from_slice(&into[..count]);
                    if got.ends_with(b"\r\n\r\n") {
                        got.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
                        session.write(&mut tcp, answer).expect("writing");
                    }
                }
            });
        }
    });
    (address, trusted.into())
}

#[cfg(feature = "tls")]
#[test]
fn a_request_to_a_server_in_tls_costs_what_the_library_allocates() {
    let directory = common::TempDir::new();
    let (at, trusted) = server_in_tls(&directory);
    let mut spec = BackendSpec::new(at);
    let name = Some("a.example".to_owned());
    spec.tls = Some(ServerTls { name, trust: Trust::File(trusted) });
    let mut authorities = Authorities::new(Places::default(), Carries::Http);
    authorities.add(&spec.tls_server().expect("in TLS")).expect("a file");
    let (mut proxy, address) = proxy_over(spec, at, 1, limits(), |_| {});
    proxy.net_mut().trust(authorities);
    let (steady, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let count = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _done = Done(&done, address);
            let mut client = Peer::connect(address);
            let mut ask = || (0..ROUNDS).for_each(|_| assert_eq!(client.get("/").status(), 200));
            ask();
            steady.store(true, SeqCst);
            ask();
        });
        allocations_until(&done, &steady, &mut proxy)
    });
    assert!(count <= TO_SERVER_IN_TLS * ROUNDS, "{count} for {ROUNDS} requests");
}

fn set_admin(config: &mut Config) {
    config.admin = Some(AdminAddress::Given(HostPort::bare(0)));
}

#[test]
fn no_request_that_is_counted_allocates() {
    for mode in [Mode::Http, Mode::Redirect, Mode::Tcp] {
        let count = allocations(1, |config| {
            config.mode = mode;
            set_admin(config);
        });
        assert_eq!(count, 0, "{mode:?}");
    }
}

const SCRAPES: usize = 5;

/// How often the loop allocates while it answers [`SCRAPES`] requests for `target`.
fn scrape_allocations(names: usize, target: &'static str) -> usize {
    let backend = Backend::named("a");
    let (mut proxy, address) = proxy(&backend, names, limits(), set_admin);
    let admin = add_admin(&mut proxy);
    let (steady, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _done = Done(&done, address);
            let mut client = Peer::connect(admin);
            let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut scrape = || {
                client.send(&request);
                assert_eq!(client.response().status(), 200);
            };
            (0..SCRAPES).for_each(|_| scrape());
            steady.store(true, SeqCst);
            (0..SCRAPES).for_each(|_| scrape());
        });
        allocations_until(&done, &steady, &mut proxy)
    })
}

#[test]
fn a_scrape_allocates_little_however_many_servers_there_are() {
    // What the system says of the process is read again each time.
    for target in ["/metrics", "/status", "/ready"] {
        for names in [1, 100] {
            let count = scrape_allocations(names, target);
            assert!(count <= SCRAPES * 4, "{target}, {names} servers: {count}");
        }
    }
    // For people: each number is a short text of its own.
    for target in ["/status?text", "/"] {
        for names in [1, 100] {
            let count = scrape_allocations(names, target);
            let most = SCRAPES * (40 + 20 * names);
            assert!(count <= most, "{target}, {names} servers: {count}, at most {most}");
        }
    }
}

#[test]
fn a_line_of_the_access_log_costs_the_same_however_many_servers_there_are() {
    let [few, many] = [1, 100].map(|names| {
        allocations(names, |config| {
            config.strategy = Strategy::First;
            // The lines of a log that was not opened are written nowhere.
            config.access_log = Some(LogTarget::Stdout);
        })
    });
    // The turn in which the counting begins may have served one of them.
    assert!(many.abs_diff(few) < ROUNDS, "{few} allocations with 1 server, {many} with 100");
}

/// Writes nothing until the test ends.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_a_log_refuses_are_not_copied() {
    let (until, stuck) = channel();
    let kernel = Kernel::new().expect("a poll");
    let mut log_writer =
        LogWriter::start("test-log", Stuck(stuck), kernel.waker()).expect("a thread");
    while log_writer.offer(b"a line\n") > 0 {}
    let before = allocations_so_far();
    for _ in 0..ROUNDS {
        assert_eq!(log_writer.offer(b"a line\n"), 0);
    }
    assert_eq!(allocations_so_far() - before, 0, "allocations in {ROUNDS} offers");
    drop(until);
}
