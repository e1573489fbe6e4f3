//! A balancer that listens on a unix socket is steered, replaced and started by a service manager
//! as one that listens on a port is.

use crate::common::{Backend, Gate, Running, TempDir, run, wait_until, with_socket};
use crate::{GET, exchange, listening, path_of, refusal};
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

/// One that has replaced `old` on this socket.
fn replaced(old: &Running, socket: &str, options: &[&str]) -> Running {
    let new = listening(socket, &[&["--takeover", "--health", "off"], options].concat());
    new.stderr.wait_for(&format!("took over {socket} from process {}", old.id()));
    old.stderr.wait_for(&format!("process {} has taken over", new.id()));
    new
}

/// What a request on a new connection to the socket with this path is answered with.
fn answer(path: &str) -> String {
    let answer = exchange(UnixStream::connect(path).expect("it listens"), GET);
    answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
}

fn inode(path: &str) -> u64 {
    fs::symlink_metadata(path).expect("a file").ino()
}

fn ends(mut process: Running) {
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr.whole());
}

fn stops(process: Running) {
    process.signal("TERM");
    ends(process);
}

#[test]
fn ctl_lists_it_and_steers_it() {
    let (a, directory) = (Backend::named("a"), TempDir::new());
    // The name of its control socket has no room for the longer one.
    for name in ["a_b,c.sock", &"x".repeat(60)] {
        let socket = format!("unix:{}", path_of(&directory, name));
        let (server, other) = (a.argument(), TcpListener::bind("127.0.0.1:0").expect("a port"));
        let taken = other.local_addr().expect("bound").to_string();
        let process = listening(&socket, &[&server, &taken, "--health", "off"]);
        let list = run(&["ctl"]).stdout;
        let pid = format!(" {} ", process.id());
        let line = list.lines().find(|line| line.contains(&pid)).expect("it is listed").to_owned();
        let place = line.split(' ').next().expect("a place");
        assert_eq!(place == socket, name.len() < 60, "{line}");
        for place in [socket.as_str(), place] {
            let status = run(&["ctl", place, "status"]);
            assert!(status.stdout.contains(&format!(" on {socket}\n")), "{status:?}");
        }
        let drained = run(&["ctl", &socket, "drain", &server]);
        let expected =
            format!("{server} is draining (idle, it may be stopped); 1 of 2 up, 1 draining\n");
        assert_eq!(drained.stdout, expected, "{drained:?}");
        assert_eq!(run(&["ctl", &format!("{socket}x"), "status"]).code, Some(1));
        assert_eq!(run(&["ctl", &socket, "stop"]).code, Some(0));
        ends(process);
    }
}

#[test]
fn the_next_process_serves_and_the_last_one_finishes_and_ends() {
    let (gate, directory) = (Gate::new(), TempDir::new());
    let (held, b) = (Backend::held(&gate), Backend::named("b"));
    let path = path_of(&directory, "lb.sock");
    let socket = format!("unix:{path}");
    let old = listening(&socket, &[&held.argument(), "--health", "off"]);
    let stream = UnixStream::connect(&path).expect("it listens");
    let in_flight = std::thread::spawn(move || exchange(stream, GET));
    held.wait_for_requests(1);
    let before = inode(&path);
    let new = replaced(&old, &socket, &[&b.argument(), "--socket-mode", "606"]);
    assert_eq!(answer(&path), "b");
    let status = run(&["ctl", &socket, "status"]).stdout;
    assert!(status.contains(&format!("pid {}, running", new.id())), "{status}");
    gate.open();
    assert!(in_flight.join().expect("a response").contains(" 200 OK"));
    ends(old);
    assert_eq!((inode(&path), answer(&path)), (before, "b".to_owned()), "its file is there");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o606);
    let last = replaced(&new, &socket, &[&b.argument()]);
    ends(new);
    assert_eq!(answer(&path), "b");
    stops(last);
    assert!(!Path::new(&path).exists(), "the last one removes its file");
}

#[test]
fn one_with_an_abstract_name_is_replaced() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let name = format!("lb-takeover-{}", std::process::id());
    let socket = format!("unix:@{name}");
    let old = listening(&socket, &[&a.argument(), "--health", "off"]);
    let new = replaced(&old, &socket, &[&b.argument()]);
    let at = SocketAddr::from_abstract_name(&name).expect("a name");
    let answer = exchange(UnixStream::connect_addr(&at).expect("it listens"), GET);
    assert!(answer.ends_with("\r\n\r\nb"), "{answer}");
    ends(old);
    stops(new);
}

#[test]
fn a_takeover_that_fails_leaves_the_last_one_and_its_file() {
    let (a, directory) = (Backend::named("a"), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let socket = format!("unix:{path}");
    let old = listening(&socket, &[&a.argument(), "--health", "off"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let admin = taken.local_addr().expect("bound").to_string();
    let server = a.argument();
    let next = [&socket, "--takeover", &server, "--health", "off"];
    let said = refusal(&[&next[..], &["--admin", &admin]].concat());
    assert!(said.contains(&format!("cannot listen on {admin}")), "{said}");
    old.stderr.wait_for("was about to take over and has gone away; this one serves on");
    assert_eq!(answer(&path), "a");
    fs::rename(&path, path_of(&directory, "away")).expect("a file");
    let said = refusal(&next);
    let part = format!("cannot take over from the balancer on {socket}, which goes on: ");
    assert!(said.starts_with(&part), "{said}");
    assert!(said.ends_with("no such file or directory"), "{said}");
    fs::rename(path_of(&directory, "away"), &path).expect("a file");
    old.stderr.wait_for_count("has gone away; this one serves on", 2);
    assert_eq!(answer(&path), "a");
    stops(old);
    assert!(!Path::new(&path).exists(), "it removes its file as ever");
}

#[test]
fn with_nobody_there_a_takeover_starts_as_usual() {
    let (a, directory) = (Backend::named("a"), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let socket = format!("unix:{path}");
    let process = listening(&socket, &[&a.argument(), "--health", "off", "--takeover"]);
    let line = format!("no balancer of this user listens on {socket}: starting as usual");
    assert_eq!(process.stderr.with(&line).len(), 1);
    assert_eq!(answer(&path), "a");
    stops(process);
}

/// Started with this socket by a service manager.
fn activated(listener: &UnixListener, socket: &str, options: &[&str]) -> Running {
    let passed = listener.try_clone().expect("a descriptor");
    let arguments = [&[socket, "--health", "off"], options].concat();
    let process = Running::start_as_is(&mut with_socket(passed, &arguments));
    process.stderr.wait_for(&format!("listening on {socket}, "));
    process
}

#[test]
fn a_passed_socket_is_used_and_its_file_outlives_the_process() {
    let (a, directory) = (Backend::named("a"), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let (socket, server) = (format!("unix:{path}"), a.argument());
    let listener = UnixListener::bind(&path).expect("a socket");
    let before = inode(&path);
    for _ in 0..2 {
        // Queued by the kernel before there is a process.
        let early = UnixStream::connect(&path).expect("it listens");
        let process = activated(&listener, &socket, &[&server, "--socket-mode", "640"]);
        assert!(exchange(early, GET).ends_with("\r\n\r\na"));
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o640);
        // Nor does one that replaces it remove what the manager has made.
        let next = replaced(&process, &socket, &[&server]);
        ends(process);
        assert_eq!(answer(&path), "a");
        stops(next);
        assert_eq!(inode(&path), before, "it is the manager's");
    }
}

#[test]
fn a_passed_socket_with_an_abstract_name_is_used() {
    let a = Backend::named("a");
    let name = format!("lb-passed-{}", std::process::id());
    let at = SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&at).expect("a socket");
    let process = activated(&listener, &format!("unix:@{name}"), &[&a.argument()]);
    let answer = exchange(UnixStream::connect_addr(&at).expect("it listens"), GET);
    assert!(answer.ends_with("\r\n\r\na"), "{answer}");
    stops(process);
}

#[test]
fn a_passed_socket_that_fits_no_address_is_refused() {
    let directory = TempDir::new();
    let path = path_of(&directory, "lb.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let other = format!("unix:{}", path_of(&directory, "other.sock"));
    let mut process = Running::start_as_is(&mut with_socket(listener, &[&other, "127.0.0.1:9"]));
    process.stderr.wait_for(&format!("the service manager passed a socket for unix:{path}, where"));
    assert_eq!(process.wait().code(), Some(1));
    wait_until("the file of the other one to be gone", || !Path::new(&other[5..]).exists());
}
