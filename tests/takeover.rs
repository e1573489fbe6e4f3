//! `--takeover`: a process replaces the one that listens at its address.

#![cfg(target_os = "linux")]

mod common;

use common::{
    Backend, Balancer, DEADLINE, InFlight, Peer, Running, TempDir, binary, run, wait_until,
};
use loadbalancer::net::control::{self, ControlSocket, Instances, connect};
use loadbalancer::net::descriptors::{receive, send};
use loadbalancer::wire::handover::{Handover, Role};
use loadbalancer::wire::name::Name;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A process that is to replace `old`, over this server.
fn next(old: &Balancer, backend: &Backend, options: &[&str]) -> Running {
    next_at(old.address(), backend, options)
}

fn next_at(address: SocketAddr, backend: &Backend, options: &[&str]) -> Running {
    let (address, server) = (address.to_string(), backend.argument());
    let arguments = [&address, "--takeover", &server, "--health", "off"];
    Running::loadbalancer(&[&arguments, options].concat())
}

/// One that has replaced `old`.
fn replaced(old: &Balancer, backend: &Backend, options: &[&str]) -> Balancer {
    let new = Balancer::of(next(old, backend, options));
    new.stderr.wait_for(&format!("took over {} from process {}", old.address(), old.id()));
    old.stderr.wait_for(&format!("process {} has taken over", new.id()));
    assert_eq!(new.address(), old.address());
    new
}

/// The lines of one that could not replace another; it says why in the last one.
fn refused(mut new: Running) -> String {
    assert_eq!(new.wait().code(), Some(1), "{}", new.stderr.whole());
    let text = new.stderr.whole();
    text.lines().last().unwrap_or_default().to_owned()
}

fn name(balancer: &Balancer) -> Name {
    Name { user: control::user(), listen: balancer.address().to_string(), process: None }
}

/// A connection that was handed the sockets, and how many came.
fn handed_to(balancer: &Balancer) -> (UnixStream, usize) {
    let mut stream = connect(&name(balancer), DEADLINE).expect("it listens");
    stream.write_all(b"takeover 1\n").expect("it reads");
    let (mut bytes, mut sockets) = (vec![0; 4096], Vec::new());
    let count = receive(stream.as_fd(), &mut bytes, &mut sockets).expect("an answer");
    let handover = Handover::read(&bytes[..count]).expect("a message").expect("a whole one");
    assert_eq!(handover.process, balancer.id());
    assert_eq!(handover.roles.len(), sockets.len());
    (stream, sockets.len())
}

#[test]
fn the_next_process_serves_and_the_last_one_finishes_and_ends() {
    let mut old = InFlight::new(&[]);
    let b = Backend::named("b");
    let new = replaced(&old.balancer, &b, &[]);
    assert_eq!(new.get("/").text(), "b");
    let status = run(&["ctl", &new.address().to_string(), "status"]);
    assert!(status.stdout.contains(&format!("pid {}, running", new.id())), "{status:?}");
    assert!(old.balancer.is_running(), "a request is in flight");
    old.finish();
    assert_eq!(old.balancer.wait().code(), Some(0));
    assert_eq!(old.balancer.stderr.with("stopped: all finished").len(), 1);
    assert_eq!(new.get("/").text(), "b");
    new.stop();
}

#[test]
fn an_idle_connection_has_its_next_request_answered_and_ends_with_it() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let mut old = Balancer::over(&[&a], &[]);
    let mut client = old.connect();
    assert_eq!(client.get("/").text(), "a");
    let new = replaced(&old, &b, &[]);
    let answer = client.get("/");
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("a", Some("close")));
    client.expect_end();
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.get("/").text(), "b");
}

#[test]
fn no_connection_is_lost_over_many_takeovers() {
    let backend = Backend::named("a");
    let mut old = Balancer::over(&[&backend], &[]);
    let (address, is_over) = (old.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut count = 0;
                    while !is_over.load(Ordering::SeqCst) {
                        let mut client = Peer::connect(address);
                        // One request a connection, and as many as it carries.
                        let most = if number % 2 == 0 { 1 } else { 50 };
                        for _ in 0..most {
                            let answer = client.get("/");
                            assert_eq!(answer.text(), "a");
                            count += 1;
                            if answer.field("connection") == Some("close") {
                                break;
                            }
                        }
                    }
                    count
                })
            })
            .collect();
        let ended: Vec<Balancer> = (0..5)
            .map(|_| {
                let new = replaced(&old, &backend, &[]);
                std::mem::replace(&mut old, new)
            })
            .collect();
        is_over.store(true, Ordering::SeqCst);
        let counts: Vec<u64> = clients.into_iter().map(|it| it.join().expect("served")).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        for mut ended in ended {
            assert_eq!(ended.wait().code(), Some(0));
        }
    });
}

#[test]
fn with_nobody_there_it_starts_as_usual_and_says_so() {
    let a = Backend::named("a");
    let address = {
        let before = Balancer::over(&[&a], &[]);
        let address = before.address();
        before.stop();
        address
    };
    let new = Balancer::of(next_at(address, &a, &[]));
    let line = format!("no balancer of this user listens on {address}: starting as usual");
    assert_eq!(new.stderr.with(&line).len(), 1);
    assert_eq!(new.get("/").text(), "a");
}

#[test]
fn beside_one_that_drains_it_starts_as_usual() {
    let mut old = InFlight::new(&[]);
    old.drain();
    let b = Backend::named("b");
    let new = Balancer::of(next(&old.balancer, &b, &[]));
    assert_eq!(new.stderr.with("starting as usual").len(), 1);
    assert_eq!(new.get("/").text(), "b");
    old.finish();
    assert_eq!(old.balancer.wait().code(), Some(0));
}

#[test]
fn what_fails_before_leaves_the_last_one_alone() {
    let (a, taken) = (Backend::named("a"), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let old = Balancer::over(&[&a], &[]);
    let taken = taken.local_addr().map(|at| (taken, at.to_string())).expect("bound");
    for (name, options, part) in [
        ("no log", &["-l", "/no/such/directory/log"][..], "cannot open the access log"),
        ("no list", &["-f", "/no/such/list"], "/no/such/list"),
        ("no admin address", &["--admin", &taken.1], "cannot listen on"),
    ] {
        let line = refused(next(&old, &a, options));
        assert!(line.contains(part), "{name}: {line}");
        assert_eq!(old.get("/").text(), "a", "{name}");
    }
    // The last of them had the sockets already.
    old.stderr.wait_for("was about to take over and has gone away; this one serves on");
    assert_eq!(old.stderr.with("has taken over"), [""; 0]);
    let new = replaced(&old, &a, &[]);
    assert_eq!(new.get("/").text(), "a");
}

/// Names are looked up before anything is asked of the one that serves: a lookup may take long.
#[test]
fn a_name_that_is_not_known_leaves_the_last_one_alone() {
    let a = Backend::named("a");
    let old = Balancer::over(&[&a], &[]);
    let options = ["--admin", "no-such-name.invalid:9000", "--admin-public"];
    let line = refused(next(&old, &a, &options));
    assert!(line.contains("cannot listen on no-such-name.invalid:9000: "), "{line}");
    assert_eq!(old.get("/").text(), "a");
    let new = replaced(&old, &a, &[]);
    assert_eq!(new.get("/").text(), "a");
    assert_eq!(old.stderr.with("take over and has gone away"), [""; 0], "it was asked for nothing");
}

#[test]
fn an_address_in_use_names_who_has_it_and_the_option() {
    let a = Backend::named("a");
    let old = Balancer::over(&[&a], &[]);
    let (address, server) = (old.address().to_string(), a.argument());
    let second = run(&[&address, &server]);
    assert_eq!(second.code, Some(1));
    let part = format!("another program listens there: loadbalancer, process {} of the", old.id());
    assert!(second.stderr.contains(&part), "{second:?}");
    assert!(second.stderr.contains("add --takeover to replace it"), "{second:?}");
    assert_eq!(second.stderr.lines().count(), 1, "{second:?}");
}

#[test]
fn the_port_of_another_program_is_not_taken() {
    let (a, other) = (Backend::named("a"), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = other.local_addr().expect("bound");
    let line = refused(next_at(address, &a, &[]));
    assert!(line.contains("another program listens there; stop it or choose another"), "{line}");
}

/// What answers a takeover in place of a balancer.
struct Impostor {
    listener: TcpListener,
    control: ControlSocket,
}

impl Impostor {
    fn new() -> Impostor {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let control = ControlSocket::open(&address, Instances::One).expect("a name");
        Impostor { listener, control }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    /// The next connection, with its line read.
    fn accept(&self) -> UnixStream {
        let (mut accepted, mut line) = (None, [0; 11]);
        // One that only looks whose name it is ends without a line.
        wait_until("a line", || {
            let Ok((stream, _)) = self.control.accept() else { return false };
            let mut stream = UnixStream::from(stream);
            stream.set_nonblocking(false).expect("blocking");
            let has_line = stream.read_exact(&mut line).is_ok();
            accepted = Some(stream);
            has_line
        });
        assert_eq!(&line, b"takeover 1\n");
        accepted.expect("a connection")
    }

    /// The message that hands over its sockets, as from this process.
    fn hand_over(&self, stream: &UnixStream, process: u32) {
        let roles = vec![Role::Control, Role::Listener];
        let message = Handover { process, roles, ..Handover::default() }.write();
        let sockets = [self.control.as_fd(), self.listener.as_fd()];
        let sent = send(stream.as_fd(), &message, &sockets).expect("room");
        assert_eq!(sent, message.len());
    }
}

#[test]
fn what_does_not_hand_over_is_refused_with_its_reason() {
    let a = Backend::named("a");
    for (answer, part) in [
        (&b"LBHO\x09\0\0\0\0"[..], "hands over in version 9 and this program takes over in"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answers with something else"),
        (b"error no time for that\n", "no time for that"),
        (b"LBHO\x01\xff\xff\xff\xff", "more than 1048576 bytes"),
        (b"LBHO\x01\0\0\0\0", "no control socket came"),
    ] {
        let impostor = Impostor::new();
        let new = next_at(impostor.address(), &a, &[]);
        let mut stream = impostor.accept();
        stream.write_all(answer).expect("it reads");
        let line = refused(new);
        assert!(line.contains(part), "{line}");
        assert!(line.contains("cannot take over from the balancer on 127.0.0.1:"), "{line}");
    }
}

/// The number of a process that has ended.
fn ended_process() -> u32 {
    let mut child = std::process::Command::new("true").spawn().expect("it runs");
    child.wait().expect("it ends");
    child.id()
}

#[test]
fn one_that_has_changed_its_mind_serves_on_alone() {
    let a = Backend::named("a");
    for (answer, part) in [
        (&b"error too late\n"[..], "which goes on: too late"),
        (b"", "which goes on: this process was not ready within 5 s"),
    ] {
        let impostor = Impostor::new();
        let new = next_at(impostor.address(), &a, &[]);
        let mut stream = impostor.accept();
        impostor.hand_over(&stream, std::process::id());
        let mut ready = [0; 6];
        stream.read_exact(&mut ready).expect("a line");
        assert_eq!(&ready, b"ready\n");
        stream.write_all(answer).expect("it reads");
        drop(stream);
        let line = refused(new);
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_control_socket_of_another_address_is_not_taken() {
    let a = Backend::named("a");
    let (impostor, other) = (Impostor::new(), Impostor::new());
    let new = next_at(impostor.address(), &a, &[]);
    let stream = impostor.accept();
    let mixed = Impostor { listener: impostor.listener, control: other.control };
    mixed.hand_over(&stream, std::process::id());
    let line = refused(new);
    assert!(line.contains("the control socket of loadbalancer/"), "{line}");
}

#[test]
fn a_signal_during_the_first_probes_is_not_lost() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let list = directory.file("list", format!("{}\n", b.argument()));
    let old = Balancer::over(&[&a], &[]);
    b.hang_probes();
    let at = old.address().to_string();
    let options = ["--takeover", "-f", &list, "--health-timeout", "5s", "-c", "1h"];
    let new = Running::loadbalancer(&[&[at.as_str()][..], &options].concat());
    wait_until("a probe", || !b.probes().is_empty());
    new.signal("HUP");
    let new = Balancer::of(new);
    new.stderr.wait_for("took over");
    new.stderr.wait_for("nothing has changed");
}

#[test]
fn a_process_of_another_user_under_the_name_is_no_obstacle() {
    let a = Backend::named("a");
    if control::user() != 0 {
        println!("skipped: only root can become another user");
        return;
    }
    let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let name = Name { user: 0, listen: address.to_string(), process: None };
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.bind('\\0' + sys.argv[1])\n\
        s.listen(9)\n\
        print('bound', flush=True)\n\
        sys.stdin.read()\n";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script, &name.to_string()]).uid(61_005).gid(61_005);
    let piped = std::process::Stdio::piped;
    let Ok(mut squatter) = python.stdin(piped()).stdout(piped()).spawn() else {
        println!("skipped: no python3");
        return;
    };
    let mut said = [0; 5];
    squatter.stdout.as_mut().expect("piped").read_exact(&mut said).expect("it is bound");
    let (at, server) = (address.to_string(), a.argument());
    let old = Balancer::start(&[&at, &server, "--health", "off"]);
    old.stderr.wait_for(&format!("another process has the control socket of {at}"));
    let status = run(&["ctl", &at, "status"]);
    assert!(status.stdout.contains(&format!("pid {}, running", old.id())), "{status:?}");
    let second = run(&[&at, &server]);
    assert!(second.stderr.contains("add --takeover to replace it"), "{second:?}");
    let new = Balancer::of(next(&old, &a, &[]));
    new.stderr.wait_for(&format!("from process {}", old.id()));
    old.stderr.wait_for(&format!("process {} has taken over", new.id()));
    assert_eq!(new.get("/").text(), "a");
    drop(squatter.stdin.take());
    squatter.wait().expect("it ends");
}

#[test]
fn several_at_one_address_are_not_said_to_be_replaceable() {
    let a = Backend::named("a");
    let first = Balancer::over(&[&a], &["--reuse-port"]);
    let (at, server) = (first.address().to_string(), a.argument());
    let _second = Balancer::start(&[&at, &server, "--health", "off", "--reuse-port"]);
    let third = run(&[&at, &server]);
    assert_eq!(third.code, Some(1));
    assert!(third.stderr.contains("2 processes of loadbalancer that share it"), "{third:?}");
    assert!(!third.stderr.contains("add --takeover"), "{third:?}");
}

#[test]
fn a_process_of_another_user_is_not_replaced() {
    let a = Backend::named("a");
    if control::user() != 0 {
        println!("skipped: only root can become another user");
        return;
    }
    let users = ["--user", "61006:61006"];
    let old = Balancer::over(&[&a], &users);
    let line = refused(next(&old, &a, &[]));
    assert!(line.contains("add --takeover and --user 61006 to replace it"), "{line}");
    assert_eq!(old.get("/").text(), "a");
    let place = old.address();
    let new = Balancer::of(next(&old, &a, &users));
    new.stderr.wait_for(&format!("took over {place} from process {}", old.id()));
    let status = run(&["ctl", &place.to_string(), "status"]);
    assert!(status.stdout.contains(&format!("pid {}, running", new.id())), "{status:?}");
}

#[test]
fn one_that_dies_before_it_hands_over_is_no_obstacle() {
    let a = Backend::named("a");
    let impostor = Impostor::new();
    let new = next_at(impostor.address(), &a, &[]);
    let stream = impostor.accept();
    drop((impostor, stream));
    let new = Balancer::of(new);
    assert_eq!(new.stderr.with("has ended: starting as usual").len(), 1);
    assert_eq!(new.get("/").text(), "a");
}

#[test]
fn one_that_dies_after_it_handed_over_loses_nothing() {
    let a = Backend::named("a");
    let impostor = Impostor::new();
    // It waits in the kernel, accepted by nobody.
    let mut waiting = Peer::connect(impostor.address());
    let new = next_at(impostor.address(), &a, &[]);
    let stream = impostor.accept();
    impostor.hand_over(&stream, ended_process());
    drop((impostor, stream));
    let new = Balancer::of(new);
    assert_eq!(waiting.get("/").text(), "a");
    let status = run(&["ctl", &new.address().to_string(), "status"]);
    assert!(status.stdout.contains(&format!("pid {}, running", new.id())), "{status:?}");
}

#[test]
fn a_second_one_is_refused_while_one_takes_over() {
    let a = Backend::named("a");
    let old = Balancer::over(&[&a], &[]);
    let (mut first, sockets) = handed_to(&old);
    assert_eq!(sockets, 2, "the control socket and the listener");
    let line = refused(next(&old, &a, &[]));
    let part = format!("process {} is taking over already", std::process::id());
    assert!(line.contains(&part), "{line}");
    assert_eq!(old.get("/").text(), "a");
    first.write_all(b"status\n").expect("it reads");
    let mut text = String::new();
    let _ = first.read_to_string(&mut text);
    assert_eq!(text, "error write `ready` next time\n");
    old.stderr.wait_for("has gone away; this one serves on");
    let (second, _) = handed_to(&old);
    drop(second);
    old.stderr.wait_for_count("has gone away; this one serves on", 2);
    let new = replaced(&old, &a, &[]);
    assert_eq!(new.get("/").text(), "a");
}

#[test]
fn what_is_set_by_hand_while_one_takes_over_is_refused_and_not_lost() {
    let a = Backend::named("a");
    let old = Balancer::over(&[&a], &[]);
    let (at, server) = (old.address().to_string(), a.argument());
    let (first, _) = handed_to(&old);
    let own = std::process::id();
    for words in [&["ctl", &at, "drain", &server][..], &["ctl", &at, "weight", &server, "9"]] {
        let outcome = run(words);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let expected = format!("ctl: process {own} is taking over: try again\n");
        assert_eq!(outcome.stderr, expected);
    }
    drop(first);
    old.stderr.wait_for("has gone away; this one serves on");
    assert_eq!(run(&["ctl", &at, "drain", &server]).code, Some(0));
}

#[test]
fn another_version_is_refused_by_the_one_that_serves() {
    let a = Backend::named("a");
    let old = Balancer::over(&[&a], &[]);
    let mut stream = connect(&name(&old), DEADLINE).expect("it listens");
    stream.write_all(b"takeover 2\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a line");
    assert!(text.starts_with("error this program takes part in takeovers of version 1"), "{text}");
    assert_eq!(old.get("/").text(), "a");
}

#[test]
fn what_was_set_by_hand_stays() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let old = Balancer::over(&[&a, &b], &[]);
    let at = old.address().to_string();
    let (one, two) = (a.argument(), b.argument());
    assert_eq!(run(&["ctl", &at, "drain", &one]).code, Some(0));
    assert_eq!(run(&["ctl", &at, "weight", &two, "9"]).code, Some(0));
    let new = replaced(&old, &a, &[&two]);
    assert_eq!((0..4).map(|_| new.get("/").text()).collect::<Vec<_>>(), ["b"; 4]);
    let status = run(&["ctl", &at, "status"]).stdout;
    assert!(status.contains(&format!("backend {one} drain for ")), "{status}");
    assert!(status.contains(", 0 in flight, weight 1, drain by hand"), "{status}");
    assert!(status.contains("weight 9, weight=9 by hand"), "{status}");
    let last = replaced(&new, &a, &[]);
    last.stderr.wait_for(&format!("{two}: weight=9, set by hand before, is forgotten"));
}

#[test]
fn every_server_is_probed_before_the_last_one_stops() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let old = Balancer::over(&[&a], &[]);
    b.hang_probes();
    let (at, one, two) = (old.address().to_string(), a.argument(), b.argument());
    let options = ["--health-timeout", "5s", "-c", "1h"];
    let arguments = [&[&at, "--takeover", &one, &two][..], &options[..]].concat();
    let new = Balancer::of(Running::loadbalancer(&arguments));
    new.stderr.wait_for("took over");
    assert_eq!((a.probes().len(), b.probes().len()), (1, 1), "one that hangs is not waited for");
    assert_eq!(new.get("/").status(), 200);
}

#[test]
fn the_admin_listener_goes_over_or_is_released() {
    let a = Backend::named("a");
    let old = Balancer::over(&[&a], &["--admin", "127.0.0.1:0"]);
    let admin = old.admin();
    let new = replaced(&old, &a, &["--admin", &admin.to_string()]);
    let live = old.ask_admin("/status").text();
    assert!(live.contains(&format!("\"pid\":{}", new.id())), "{live}");
    let last = replaced(&new, &a, &[]);
    wait_until("the admin address to be closed", || std::net::TcpStream::connect(admin).is_err());
    assert_eq!(last.get("/").text(), "a");
}

#[test]
fn the_service_manager_hears_of_the_new_main_process() {
    let directory = TempDir::new();
    let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    let start = |arguments: &[&str], watchdog: Option<&str>| {
        let mut command = binary();
        command.args(arguments).env("NOTIFY_SOCKET", directory.path().join("notify"));
        if let Some(micros) = watchdog {
            command.env("WATCHDOG_USEC", micros);
        }
        Balancer::of(Running::start(&mut command))
    };
    let wait_for = |start: &str| loop {
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).expect("a notice");
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        assert!(!text.starts_with("STOPPING"), "the service goes on");
        if text.starts_with(start) {
            return text;
        }
    };
    let a = Backend::named("a");
    let server = a.argument();
    let mut old = start(&["127.0.0.1:0", &server, "--health", "off"], Some("200000"));
    assert_eq!(wait_for("READY=1"), "READY=1\n");
    let at = old.address().to_string();
    let new = start(&[&at, &server, "--health", "off", "--takeover"], None);
    assert_eq!(wait_for("READY=1"), format!("READY=1\nMAINPID={}\n", new.id()));
    assert_eq!(old.wait().code(), Some(0));
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
}

#[test]
fn one_that_ends_after_a_takeover_stops_at_a_signal() {
    let old = InFlight::new(&[]);
    let b = Backend::named("b");
    let new = replaced(&old.balancer, &b, &[]);
    let InFlight { mut balancer, .. } = old;
    balancer.signal("TERM");
    balancer.stderr.wait_for("stopping: 1 in flight");
    let place = format!("{}/{}", balancer.address(), balancer.id());
    assert!(run(&["ctl", &place, "stop"]).stdout.starts_with("stopped at once"));
    assert_eq!(balancer.wait().code(), Some(0));
    assert_eq!(new.get("/").text(), "b");
}

#[test]
fn root_replaces_one_that_runs_as_another_user() {
    if control::user() != 0 {
        println!("skipped: only root can become another user");
        return;
    }
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let user = ["--user", "61004:61004"];
    let mut old = Balancer::over(&[&a], &user);
    // Twice: the second time the control socket has gone over once.
    for backend in [&b, &a] {
        let new = replaced(&old, backend, &user);
        assert_eq!(old.wait().code(), Some(0));
        let status = run(&["ctl", &new.address().to_string(), "status"]);
        assert!(status.stdout.contains(&format!("pid {}, running", new.id())), "{status:?}");
        let text = std::fs::read_to_string(format!("/proc/{}/status", new.id())).expect("it runs");
        assert!(text.contains("Uid:\t61004\t61004"), "{text}");
        old = new;
    }
    assert_eq!(old.get("/").text(), "a");
}

#[test]
fn a_check_for_a_takeover_leaves_the_one_that_serves_alone() {
    let a = Backend::named("a");
    let old = Balancer::over(&[&a], &[]);
    let (address, server) = (old.address().to_string(), a.argument());
    let check = run(&[&address, &server, "--takeover", "--check"]);
    assert_eq!(check.code, Some(0), "{check:?}");
    assert_eq!(run(&[&address, &server, "--check"]).code, Some(1), "the address is in use");
    assert_eq!(old.get("/").text(), "a");
    assert_eq!(old.stderr.with("take over"), [""; 0]);
}

#[test]
fn options_that_contradict_it_are_refused() {
    for (options, part) in [
        (
            &["8080", "1234", "--takeover", "--reuse-port"][..],
            "--takeover replaces the one process",
        ),
        (&["0", "1234", "--takeover"], "--takeover needs a port"),
    ] {
        let outcome = run(options);
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.stderr.contains(part), "{outcome:?}");
    }
}

#[test]
fn cookies_of_the_last_process_name_the_same_servers() {
    let b = Backend::named("b");
    let old = Balancer::over(&[&b], &["--sticky", "srv"]);
    let first = old.get("/");
    let cookie = first.field("Set-Cookie").and_then(|line| line.split(';').next());
    let cookie = cookie.expect("a cookie").to_owned();
    let new = replaced(&old, &b, &["--sticky", "srv"]);
    let next = new.exchange(format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"));
    assert_eq!((next.status(), next.field("Set-Cookie")), (200, None));
}
