//! Unix sockets: as servers and to listen on.

#[path = "../common/mod.rs"]
mod common;
mod steering;

use common::{Backend, Balancer, Running, TempDir, binary, ok, wait_until};
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;

/// A server on a unix socket that answers each request, on one connection after the other, with
/// what `answer` makes of its head.
fn serve(listener: UnixListener, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + Clone + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.expect("a connection"), answer.clone());
            std::thread::spawn(move || {
                while let Some(head) = head(&mut stream) {
                    if stream.write_all(&answer(&head)).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Bytes up to an empty line; none at the end.
fn head(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    Some(String::from_utf8(bytes).expect("UTF-8"))
}

fn field(head: &str, name: &str) -> String {
    let start = format!("{}: ", name.to_lowercase());
    let lines = head.lines().filter(|line| line.to_lowercase().starts_with(&start));
    lines.map(|line| &line[start.len()..]).collect::<Vec<_>>().join("|")
}

fn path_of(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().expect("UTF-8").to_owned()
}

/// A balancer that listens on this socket; it is waited for.
fn listening(socket: &str, options: &[&str]) -> Running {
    let process = Running::loadbalancer(&[&[socket], options].concat());
    process.stderr.wait_for(&format!("listening on {socket}, "));
    process
}

/// The whole response to this request, whose connection ends with it.
fn exchange(stream: UnixStream, request: &str) -> String {
    let mut stream = stream;
    stream.set_read_timeout(Some(common::DEADLINE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("sending");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[test]
fn a_server_may_be_a_unix_socket() {
    let directory = TempDir::new();
    let path = path_of(&directory, "app.sock");
    serve(UnixListener::bind(&path).expect("a socket"), |head| ok(field(head, "Host")));
    let socket = format!("unix:{path}");
    let balancer = Balancer::start(&["127.0.0.1:0", &socket, "-v", "--health-path", "/"]);
    assert!(
        balancer.start_line.ends_with(&format!("1 backend: {socket}")),
        "{}",
        balancer.start_line
    );
    let mut client = balancer.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").status(), 200);
    }
    // Without a Host of its own the request gets one that is a host.
    assert_eq!(balancer.exchange("GET / HTTP/1.0\r\n\r\n").text(), "localhost");
    balancer.stderr.wait_for(&format!("by {socket}"));
}

#[test]
fn a_server_may_have_an_abstract_name() {
    let name = format!("loadbalancer-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    serve(UnixListener::bind_addr(&address).expect("a socket"), |_| ok("abstract"));
    let balancer = Balancer::start(&["127.0.0.1:0", &format!("unix:@{name}")]);
    assert_eq!(balancer.get("/").text(), "abstract");
}

#[test]
fn probes_reach_a_unix_socket_with_a_host() {
    let directory = TempDir::new();
    let path = path_of(&directory, "app.sock");
    let (sender, probes) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let sender = std::sync::Arc::new(sender);
    serve(UnixListener::bind(&path).expect("a socket"), move |head| {
        let _ = sender.lock().expect("no panic").send(head.to_owned());
        ok("up")
    });
    let _balancer = Balancer::start(&["127.0.0.1:0", &format!("unix:{path}"), "-c", "20ms"]);
    let probe = probes.recv_timeout(common::DEADLINE).expect("a probe");
    assert!(probe.starts_with("GET /healthcheck "), "{probe}");
    assert_eq!(field(&probe, "Host"), "localhost");
}

#[test]
fn a_socket_without_a_process_is_down_and_another_server_answers() {
    let directory = TempDir::new();
    let stale = path_of(&directory, "stale.sock");
    drop(UnixListener::bind(&stale).expect("a socket"));
    let missing = path_of(&directory, "missing.sock");
    let file = directory.file("file", "");
    for path in [stale, missing, file, directory.path().display().to_string()] {
        let good = Backend::named("good");
        let socket = format!("unix:{path}");
        let balancer =
            Balancer::start(&["127.0.0.1:0", &socket, &good.argument(), "--health", "off"]);
        for _ in 0..4 {
            assert_eq!(balancer.get("/").text(), "good", "{path}");
        }
        balancer.stderr.wait_for(&format!("backend {socket} down: "));
    }
}

#[test]
fn a_server_that_comes_back_on_its_socket_is_used_again() {
    let directory = TempDir::new();
    let path = path_of(&directory, "app.sock");
    let balancer = Balancer::start(&["127.0.0.1:0", &format!("unix:{path}"), "-c", "20ms"]);
    balancer.stderr.wait_for(" down: ");
    serve(UnixListener::bind(&path).expect("a socket"), |_| ok("back"));
    balancer.stderr.wait_for(" up");
    assert_eq!(balancer.get("/").text(), "back");
}

#[test]
fn large_bodies_pass_both_ways() {
    let directory = TempDir::new();
    let path = path_of(&directory, "echo.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut bytes = vec![0; 60_000];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let listen = format!("unix:{}", path_of(&directory, "lb.sock"));
    let _balancer = listening(&listen, &[&format!("unix:{path}"), "-m", "tcp", "--health", "off"]);
    let mut client = UnixStream::connect(&listen["unix:".len()..]).expect("it listens");
    client.set_read_timeout(Some(common::DEADLINE)).expect("a time-out");
    let sent = common::pattern(3_000_000);
    let (mut writer, copy) = (client.try_clone().expect("a copy"), sent.clone());
    let sending = std::thread::spawn(move || {
        writer.write_all(&copy).expect("sending");
        writer.shutdown(std::net::Shutdown::Write).expect("an end");
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).expect("an echo");
    sending.join().expect("all was sent");
    common::assert_same_bytes("the echo", &received, &sent);
}

#[test]
fn it_listens_on_a_unix_socket() {
    let (backend, directory) = (naming(), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let log = path_of(&directory, "log");
    let options = [&backend.argument(), "--health", "off", "-l", &log, "-v"];
    let mut balancer = listening(&format!("unix:{path}"), &options);
    let answer = exchange(UnixStream::connect(&path).expect("it listens"), GET);
    // No address: no field that would name one.
    assert!(answer.ends_with("\r\n\r\nnobody"), "{answer}");
    balancer.stderr.wait_for(" unix: \"GET / HTTP/1.1\" 200 ");
    balancer.signal("TERM");
    assert!(balancer.wait().success());
    assert!(!Path::new(&path).exists(), "the socket file is removed");
    let text = std::fs::read_to_string(&log).expect("a log");
    assert!(text.starts_with("unix: - - ["), "{text}");
}

/// Answers with the client as the balancer names it.
fn naming() -> Backend {
    Backend::start(|request| ok(request.field("X-Forwarded-For").unwrap_or("nobody")))
}

#[test]
fn a_proxy_in_front_on_the_socket_can_name_its_clients() {
    let (backend, directory) = (naming(), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let forged = GET.replace("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n");
    let header = "PROXY TCP4 203.0.113.8 198.51.100.2 1 2\r\n";
    for (options, request, expected) in [
        (vec![], forged.clone(), "nobody"),
        (vec!["--trust-forwarded"], forged.clone(), "203.0.113.7"),
        (vec!["--trust-forwarded=127.0.0.1"], forged.clone(), "nobody"),
        (vec!["--trust-forwarded"], GET.to_owned(), "nobody"),
        (vec!["--proxy-protocol", "any"], format!("{header}{GET}"), "203.0.113.8"),
        (vec!["--proxy-protocol", "127.0.0.0/8"], GET.to_owned(), "nobody"),
    ] {
        let argument = backend.argument();
        let all = [&[argument.as_str(), "--health", "off"][..], &options].concat();
        let mut balancer = listening(&format!("unix:{path}"), &all);
        let answer = exchange(UnixStream::connect(&path).expect("it listens"), &request);
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{options:?}: {answer}");
        balancer.signal("TERM");
        assert!(balancer.wait().success());
    }
}

#[test]
fn the_file_has_the_mode_that_was_asked_for() {
    let (backend, directory) = (naming(), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    for (mode, expected) in [("660", 0o660), ("0600", 0o600), ("777", 0o777)] {
        let options = [&backend.argument(), "--socket-mode", mode];
        let mut balancer = listening(&format!("unix:{path}"), &options);
        let data = std::fs::metadata(&path).expect("a file");
        assert_eq!(data.permissions().mode() & 0o777, expected, "{mode}");
        balancer.signal("TERM");
        assert!(balancer.wait().success());
    }
}

#[test]
fn the_file_of_a_dead_process_is_replaced() {
    let (backend, directory) = (naming(), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let socket = format!("unix:{path}");
    let mut first = listening(&socket, &[&backend.argument()]);
    first.signal("KILL");
    first.wait();
    assert!(Path::new(&path).exists(), "nobody has removed it");
    let second = listening(&socket, &[&backend.argument()]);
    exchange(UnixStream::connect(&path).expect("it listens"), GET);
    drop(second);
}

/// What is said of a start that fails.
fn refusal(arguments: &[&str]) -> String {
    let output = binary().args(arguments).stdin(Stdio::null()).output().expect("it runs");
    assert!(!output.status.success(), "{arguments:?}");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let line = text.lines().last().unwrap_or_default().to_owned();
    line.strip_prefix("loadbalancer: ").unwrap_or(&line).to_owned()
}

#[test]
fn the_file_of_a_living_process_is_left_alone() {
    let (backend, directory) = (naming(), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let socket = format!("unix:{path}");
    let first = listening(&socket, &[&backend.argument()]);
    let said = refusal(&[&socket, &backend.argument()]);
    let expected = format!(
        "cannot listen on {socket}: address in use: another program listens there: loadbalancer, \
         process {} of the user ",
        first.id()
    );
    assert!(said.to_lowercase().starts_with(&expected), "{said}");
    let hint = "; add --takeover to replace it, stop it or choose another name";
    assert!(said.ends_with(hint), "{said}");
    exchange(UnixStream::connect(&path).expect("the first still listens"), GET);
}

#[test]
fn a_file_that_a_successor_has_made_is_not_removed() {
    let (backend, directory) = (naming(), TempDir::new());
    let path = path_of(&directory, "lb.sock");
    let mut first = listening(&format!("unix:{path}"), &[&backend.argument()]);
    std::fs::remove_file(&path).expect("a file");
    let _second = UnixListener::bind(&path).expect("a socket");
    first.signal("TERM");
    assert!(first.wait().success());
    assert!(Path::new(&path).exists(), "the successor's file is gone");
}

#[test]
fn what_cannot_be_listened_on_is_one_line() {
    let directory = TempDir::new();
    let file = directory.file("file", "x");
    let inside = path_of(&directory, "missing/lb.sock");
    let root = directory.path().display().to_string();
    for (path, part) in [
        (file.as_str(), "a file that is no socket is there; remove it or choose another name"),
        (root.as_str(), "a file that is no socket is there; remove it or choose another name"),
        (inside.as_str(), "its directory does not exist; create it"),
    ] {
        let said = refusal(&[&format!("unix:{path}"), "1"]);
        assert!(said.starts_with(&format!("cannot listen on unix:{path}: ")), "{said}");
        assert!(said.ends_with(part), "{said}");
    }
    assert_eq!(std::fs::read(&file).expect("it is still there"), b"x");
}

#[test]
fn names_are_refused_on_the_command_line_with_a_hint() {
    let long = format!("unix:/{}", "x".repeat(107));
    let cases: [(Vec<&str>, &str); 14] = [
        (
            vec![long.as_str(), "1"],
            "is too long for a unix socket: its name has 108 bytes, 107 are allowed",
        ),
        (vec!["unix:", "1"], "`unix:` is not a unix socket: write unix:/PATH or unix:@NAME"),
        (vec!["unix:a", "1"], "`unix:a` is not a unix socket: write unix:/PATH or unix:@NAME"),
        (vec!["8080", "/run/a"], "`/run/a` is a path: write `unix:/run/a`"),
        (vec!["8080", "unix:///run/a"], "`unix:///run/a` is a URL: write `unix:/run/a`"),
        (vec!["unix:/a", "unix:/a"], "the backend `unix:/a` is the balancer itself"),
        (vec!["8080", "unix:/a", "unix:/a"], "the backend `unix:/a` is given twice"),
        (vec!["8080", "1", "--socket-mode", "660"], "--socket-mode is for a unix socket"),
        (vec!["unix:@a", "1", "--socket-mode", "660"], "--socket-mode is for a unix socket"),
        (vec!["unix:/a", "1", "--socket-mode", "999"], "`999` is not a file mode"),
        (vec!["unix:/a", "1", "--reuse-port"], "--reuse-port is for ports"),
        (vec!["unix:/a", "1", "-s", "source"], "-s source goes by the client's address"),
        (vec!["8080", "unix:/a", "-m", "redirect"], "-m redirect sends clients to the"),
        (vec!["8080", "1", "--admin", "unix:/a"], "`unix:/a` is a unix socket: write PORT"),
    ];
    for (arguments, expected) in cases {
        let said = refusal(&arguments);
        let found = said.contains(expected);
        assert!(found, "{arguments:?}: {said}");
    }
}

#[test]
fn a_list_may_have_sockets() {
    let directory = TempDir::new();
    let path = path_of(&directory, "app.sock");
    serve(UnixListener::bind(&path).expect("a socket"), |_| ok("listed"));
    let list = directory.file("list", format!("unix:{path} weight=2 max=5\nunix:relative\n"));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list]);
    let line = balancer.stderr.wait_for("list:2:");
    assert!(line.contains("`unix:relative` is not a unix socket"), "{line}");
    assert_eq!(balancer.get("/").text(), "listed");
}

#[test]
fn metrics_and_status_name_sockets_as_they_are_written() {
    let directory = TempDir::new();
    let (app, front) = (path_of(&directory, "app.sock"), path_of(&directory, "lb.sock"));
    serve(UnixListener::bind(&app).expect("a socket"), |_| ok("x"));
    let options = [&format!("unix:{app}"), "--admin", "127.0.0.1:0"];
    let balancer = listening(&format!("unix:{front}"), &options);
    let label = format!("loadbalancer_backend_up{{backend=\"unix:{app}\"}}");
    assert!(balancer.ask_admin("/metrics").text().contains(&label));
    let status = balancer.ask_admin("/status").text();
    assert!(status.contains(&format!("\"listen\":[\"unix:{front}\"]")), "{status}");
    assert!(status.contains(&format!("\"name\":\"unix:{app}\"")), "{status}");
}

#[test]
fn a_reload_changes_sockets() {
    let directory = TempDir::new();
    let paths = ["a.sock", "b.sock"].map(|name| path_of(&directory, name));
    for (path, name) in paths.iter().zip(["a", "b"]) {
        serve(UnixListener::bind(path).expect("a socket"), move |_| ok(name));
    }
    let list = directory.file("list", format!("unix:{}\n", paths[0]));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    let mut client = balancer.connect();
    assert_eq!(client.get("/").text(), "a");
    directory.file("list", format!("unix:{}\n", paths[1]));
    balancer.signal("HUP");
    balancer.stderr.wait_for("removed unix:");
    wait_until("the other is used", || client.get("/").text() == "b");
}

#[test]
fn a_response_that_is_cut_off_looks_cut_off() {
    let directory = TempDir::new();
    let (app, front) = (path_of(&directory, "app.sock"), path_of(&directory, "lb.sock"));
    serve(UnixListener::bind(&app).expect("a socket"), |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec()
    });
    let options = [&format!("unix:{app}"), "--health", "off", "--idle-timeout", "100ms"];
    let _balancer = listening(&format!("unix:{front}"), &options);
    let answer = exchange(UnixStream::connect(&front).expect("it listens"), GET);
    assert!(answer.ends_with("abc"), "{answer}");
}
