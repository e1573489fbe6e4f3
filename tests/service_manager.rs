//! Started by a service manager: sockets that are passed, and notices, as systemd defines them.

mod common;

use common::{
    Backend, Balancer, DEADLINE, Gate, Peer, Running, TempDir, binary, datagram, with_socket,
};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// The manager's end of the socket for notices.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = TempDir::new();
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        Manager { socket, directory }
    }

    /// Starts the binary, with this watchdog time in microseconds.
    fn start(&self, arguments: &[&str], watchdog: &str) -> Balancer {
        let mut command = binary();
        command.args(arguments);
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        command.env("WATCHDOG_USEC", watchdog);
        Balancer::of(Running::start(&mut command))
    }

    /// The next notice.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let count = datagram(&self.socket, &mut bytes);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// Reads notices up to the one that begins with `start`.
    fn wait_for(&self, start: &str) -> String {
        loop {
            let notice = self.next();
            if notice.starts_with(start) {
                return notice;
            }
        }
    }
}

#[test]
fn the_manager_learns_that_it_is_ready_reloads_and_stops() {
    let gate = Gate::new();
    let (first, second) = (Backend::named("a"), Backend::held(&gate));
    let manager = Manager::new();
    let list = manager
        .directory
        .file("servers", format!("{}\n{} drain\n", first.argument(), second.argument()));
    let mut balancer = manager.start(&["127.0.0.1:0", "-f", &list, "-c", "1h"], "");
    assert_eq!(manager.next(), "READY=1\n", "first of all");
    assert_eq!(first.probes().len(), 1, "it is ready once the servers were probed");
    assert_eq!(manager.next(), "STATUS=1 of 2 servers up, 1 draining\n");
    balancer.signal("HUP");
    let notice = manager.next();
    let since = notice.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a reload");
    assert!(since.trim_end().parse::<u64>().is_ok_and(|micros| micros > 0), "{notice}");
    manager.wait_for("READY=1\n");
    manager.directory.file("servers", format!("{}\n", first.argument()));
    manager.wait_for("STATUS=1 of 1 server up\n");
    balancer.signal("TERM");
    manager.wait_for("STOPPING=1\n");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn it_is_ready_though_a_server_does_not_answer_its_first_probe() {
    let silent = Backend::named("a");
    silent.hang_probes();
    let manager = Manager::new();
    let _balancer = manager.start(&["127.0.0.1:0", &silent.argument()], "");
    assert_eq!(manager.next(), "READY=1\n");
}

#[test]
fn the_loop_gives_signs_of_life() {
    let backend = Backend::named("a");
    let manager = Manager::new();
    let _balancer = manager.start(&["127.0.0.1:0", &backend.argument()], "20000");
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1\n");
    }
}

#[test]
fn without_a_watchdog_there_are_none() {
    let backend = Backend::named("a");
    let manager = Manager::new();
    let balancer = manager.start(&["127.0.0.1:0", &backend.argument(), "-c", "1h"], "");
    manager.wait_for("STATUS=1 of 1");
    balancer.comes_to_rest(std::time::Duration::from_millis(50));
    manager.socket.set_nonblocking(true).expect("a socket");
    let error = manager.socket.recv(&mut [0; 64]).expect_err("no notice");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_passed_socket_is_used_for_its_address_and_outlives_the_process() {
    let backend = Backend::named("a");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (at, to) = (address.to_string(), backend.argument());
    for _ in 0..2 {
        let passed = listener.try_clone().expect("a descriptor");
        // Queued by the kernel before there is a process.
        let mut early = Peer::connect(address);
        early.send("GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut command = with_socket(passed, &[&at, &to]);
        let balancer = Balancer::of(Running::start_as_is(&mut command));
        assert_eq!(balancer.address(), address);
        assert_eq!(early.response().text(), "a");
        assert_eq!(balancer.get("/").text(), "a");
        balancer.stop();
    }
}

#[test]
fn a_passed_socket_is_used_for_the_admin_address() {
    let backend = Backend::named("a");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut early = Peer::connect(address);
    early.send("GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let arguments = ["127.0.0.1:0", &backend.argument(), "--admin", &address.to_string()];
    let balancer = Balancer::of(Running::start_as_is(&mut with_socket(listener, &arguments)));
    assert_eq!(early.response().status(), 200, "what waited in the kernel is answered");
    assert_ne!(balancer.address(), address);
    assert_eq!(balancer.get("/").text(), "a");
    balancer.stop();
}

#[test]
fn a_passed_socket_that_fits_no_address_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut command = with_socket(listener, &["127.0.0.1:0", "127.0.0.1:9"]);
    let mut process = Running::start_as_is(&mut command);
    process.stderr.wait_for(&format!("the service manager passed a socket for {address}, where"));
    assert_eq!(process.wait().code(), Some(1));
}

#[test]
fn processes_that_share_a_port_all_get_connections() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let one = Balancer::over(&[&first], &["--reuse-port"]);
    let at = one.address().to_string();
    let options = [&at, &second.argument(), "--health", "off"];
    let alone = Running::loadbalancer(&options);
    alone.stderr.wait_for("another program listens there");
    let other = Balancer::start(&[&options[..], &["--reuse-port"]].concat());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        seen.insert(one.get("/").text().to_owned());
        if seen.len() == 2 {
            break;
        }
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    drop(other);
}

#[test]
fn a_notice_that_finds_no_room_is_sent_again() {
    let backend = Backend::named("a");
    let manager = Manager::new();
    let path = manager.directory.path().join("notify");
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_nonblocking(true).expect("a socket");
    while filler.send_to(b"FILLED=1\n", &path).is_ok() {}
    let balancer = manager.start(&["127.0.0.1:0", &backend.argument(), "-c", "1h"], "");
    backend.wait_for_probes(1);
    assert_eq!(balancer.get("/").text(), "a", "it does not wait for the manager");
    manager.wait_for("READY=1\n");
    manager.wait_for("STATUS=1 of 1 server up\n");
}

#[test]
fn descriptors_that_are_not_there_are_refused() {
    let program = binary().get_program().to_owned();
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" 127.0.0.1:0 127.0.0.1:9 3<&-";
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(program);
    let mut process = Running::start(&mut command);
    process.stderr.wait_for("descriptor 3 of LISTEN_FDS is no listening socket for streams");
    assert_eq!(process.wait().code(), Some(1));
}
