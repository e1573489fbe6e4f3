//! The file server.

use super::common::{
    Balancer, Message, Peer, Running, TempDir, assert_same_bytes, binary, pattern, run, wait_until,
};
use super::names_in;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A running demo backend.
struct Server {
    process: Running,
    address: SocketAddr,
}

impl Server {
    /// Serves `directory` on a free port.
    fn start(directory: &Path, options: &[&str]) -> Server {
        let mut command = binary();
        command.args(["httpserver", "127.0.0.1:0", "-d"]).arg(directory).args(options);
        Server::of(Running::start(&mut command))
    }

    fn of(process: Running) -> Server {
        let line = process.stderr.wait_for("listening on http://");
        let (_, rest) = line.split_once("http://").expect("an address");
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        let address = rest[..end].replace("localhost", "127.0.0.1");
        Server { process, address: address.parse().expect("an address") }
    }

    fn exchange(&self, request: impl AsRef<[u8]>) -> Message {
        let mut client = Peer::connect(self.address);
        client.send(request);
        client.response()
    }

    fn get(&self, target: &str) -> Message {
        Peer::connect(self.address).get(target)
    }
}

#[test]
fn httpserver_serves_files_with_their_types() {
    let directory = TempDir::new();
    directory.file("page.html", "<p>hello</p>");
    directory.file("data.bin", pattern(300_000));
    let server = Server::start(directory.path(), &[]);
    let page = server.get("/page.html");
    assert_eq!((page.status(), page.text().as_str()), (200, "<p>hello</p>"));
    assert!(page.field("Content-Type").is_some_and(|t| t.starts_with("text/html")));
    assert_same_bytes("the file", &server.get("/data.bin").body, &pattern(300_000));
}

#[test]
fn httpserver_never_leaves_its_directory() {
    let outside = TempDir::new();
    outside.file("secret", "secret");
    let inside = outside.path().join("site");
    std::fs::create_dir(&inside).expect("a directory");
    let server = Server::start(&inside, &[]);
    for target in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/a/../../secret", "//../secret"]
    {
        let answer = server.get(target);
        assert!((400..500).contains(&answer.status()), "{target}: {}", answer.head);
        assert!(!answer.text().contains("secret\n"), "{target}");
    }
}

#[test]
fn httpserver_stores_uploads() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &[]);
    let mut request = b"PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".to_vec();
    request.extend(pattern(100_000));
    let status = server.exchange(request).status();
    assert!((200..300).contains(&status), "{status}");
    assert_same_bytes("the upload", &server.get("/up").body, &pattern(100_000));
    assert_eq!(names_in(&directory), ["up"]);
}

#[test]
fn httpserver_refuses_unknown_methods_versions_and_files() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &[]);
    for (request, status) in [
        ("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        ("nonsense\r\n\r\n", 400),
    ] {
        assert_eq!(server.exchange(request).status(), status, "{request:?}");
    }
}

#[test]
fn httpserver_reports_errors_and_requests_so_far() {
    let directory = TempDir::new();
    directory.file("a", "a");
    let server = Server::start(directory.path(), &[]);
    assert_eq!(server.get("/healthcheck").text(), "0\n0\n");
    for target in ["/a", "/a", "/missing"] {
        server.get(target);
    }
    // A request is counted after its response was sent, which a client may read before.
    wait_until("the report", || server.get("/healthcheck").text() == "1\n3\n");
}

#[test]
fn httpserver_computes_pi() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &[]);
    let page = server.get("/10");
    assert_eq!(page.status(), 200);
    assert!(page.text().contains("3.04183961892940"), "{}", page.text());
}

#[test]
fn httpserver_fails_on_purpose_when_asked() {
    let directory = TempDir::new();
    directory.file("a", "a");
    let server = Server::start(directory.path(), &["--fail-rate", "1"]);
    assert!(server.get("/a").status() >= 500);
    assert_eq!(server.get("/healthcheck").status(), 200);
}

#[test]
fn httpserver_logs_a_line_per_request() {
    let directory = TempDir::new();
    let logs = TempDir::new();
    let log = logs.file("log", "");
    let server = Server::start(directory.path(), &["-l", &log]);
    server.get("/missing");
    wait_until("a line in the log", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().any(|line| line.contains("/missing") && line.contains("404"))
    });
}

#[test]
fn the_binary_answers_to_the_name_httpserver() {
    let directory = TempDir::new();
    let link = directory.path().join("httpserver");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_loadbalancer"), &link).expect("a link");
    let mut command = Command::new(&link);
    command.arg("127.0.0.1:0").current_dir(directory.path());
    let server = Server::of(Running::start(&mut command));
    assert_eq!(server.get("/healthcheck").status(), 200);
}

#[test]
fn httpserver_is_balanced_over_and_its_load_report_followed() {
    let directory = TempDir::new();
    directory.file("a", "hello");
    let servers = [Server::start(directory.path(), &[]), Server::start(directory.path(), &[])];
    let names: Vec<String> = servers.iter().map(|server| server.address.to_string()).collect();
    let balancer =
        Balancer::start(&["127.0.0.1:0", &names[0], &names[1], "-s", "least-load", "-c", "20ms"]);
    for _ in 0..10 {
        assert_eq!(balancer.get("/a").text(), "hello");
    }
    for server in &servers {
        let report = server.get("/healthcheck").text();
        let requests: u32 = report.lines().nth(1).expect("requests").parse().expect("a number");
        assert!(requests > 0, "{report:?}");
    }
}

#[test]
fn a_stopped_demo_server_ends_by_term() {
    let directory = TempDir::new();
    let mut server = Server::start(directory.path(), &[]);
    server.process.signal("TERM");
    server.process.wait();
}

#[test]
fn hidden_names_are_neither_served_nor_stored_nor_listed() {
    let directory = TempDir::new();
    directory.file(".secret", "secret");
    directory.file(".up.part-1", "secret");
    fs::create_dir(directory.path().join(".ssh")).expect("a directory");
    fs::create_dir(directory.path().join("a")).expect("a directory");
    let server = Server::start(directory.path(), &[]);
    for target in [
        "/.secret",
        "/%2esecret",
        "/.up.part-1",
        "/.ssh/",
        "/.ssh/authorized_keys",
        "/a/.b",
        "/.none",
    ] {
        assert_eq!(server.get(target).status(), 403, "{target}");
        let put = format!("PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(server.exchange(put).status(), 403, "{target}");
    }
    assert_eq!(names_in(&directory), [".secret", ".ssh", ".up.part-1", "a"]);
    assert_eq!(fs::read_dir(directory.path().join(".ssh")).expect("it is there").count(), 0);
    for target in ["/", "/?list"] {
        let listing = server.get(target).text();
        assert!(!listing.contains("secret") && !listing.contains("ssh"), "{listing}");
    }
}

#[test]
fn the_root_lists_names_and_sizes_for_people_and_for_browsers() {
    let directory = TempDir::new();
    let outside = TempDir::new();
    directory.file("a b", pattern(12_345));
    directory.file("empty", "");
    fs::create_dir(directory.path().join("dir")).expect("a directory");
    symlink("a b", directory.path().join("link")).expect("a link");
    symlink(outside.path(), directory.path().join("outside")).expect("a link");
    symlink("none", directory.path().join("broken")).expect("a link");
    let _special = UnixListener::bind(directory.path().join("special")).expect("a socket");
    let server = Server::start(directory.path(), &[]);
    let port = server.address.port();
    let plain = server.get("/");
    assert_eq!(plain.field("Content-Type"), Some("text/plain; charset=utf-8"));
    let lines = [
        &format!("hello from httpserver on port {port}"),
        "     12345  a%20b",
        "            dir/",
        "         0  empty",
        "     12345  link\n",
    ];
    assert_eq!(plain.text(), lines.join("\n"));
    let accept = "Accept: application/xml, Text/HTML;q=0.9";
    let page = server.exchange(format!("GET / HTTP/1.1\r\nHost: x\r\n{accept}\r\n\r\n"));
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    let page = page.text();
    for part in [
        "<a href=\"./a%20b\">a b</a> 12345 bytes",
        "<a href=\"./dir/\">dir/</a></li>",
        "<a href=\"./empty\">empty</a> 0 bytes",
        &format!("httpserver on port {port}"),
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    for name in ["outside", "broken", "special"] {
        assert!(!page.contains(name), "{name} in {page}");
    }
    assert_eq!(server.get("/special").status(), 403);
}

/// The line a server printed first, and whether other machines could reach it: on Linux all of
/// 127.0.0.0/8 is this machine, but only a socket bound to all interfaces has more than one of it.
fn first_line(address: &str) -> (String, bool) {
    let directory = TempDir::new();
    let mut command = binary();
    command.args(["httpserver", address, "-d"]).arg(directory.path());
    let server = Server::of(Running::start(&mut command));
    let line = server.process.stderr.wait_for("listening on");
    let port = server.address.port();
    (line.replace(&port.to_string(), "PORT"), TcpStream::connect(("127.0.0.2", port)).is_ok())
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_alone_listens_on_this_machine_only_and_the_first_line_has_a_url() {
    for (address, start, is_reachable) in [
        ("0", "httpserver: listening on http://localhost:PORT, serving /", false),
        ("127.0.0.1:0", "httpserver: listening on http://127.0.0.1:PORT, serving /", false),
        ("localhost:0", "httpserver: listening on http://localhost:PORT, serving /", false),
        (
            "0.0.0.0:0",
            "httpserver: listening on http://localhost:PORT (all interfaces), serving /",
            true,
        ),
    ] {
        let (line, reachable) = first_line(address);
        assert!(line.starts_with(start), "{address}: {line}");
        assert_eq!(reachable, is_reachable, "{address}");
    }
}

#[test]
fn every_message_begins_with_the_name_of_the_command() {
    for arguments in
        [&["httpserver", "-N", "8"][..], &["httpserver"], &["httpserver", "0", "-d/no"]]
    {
        let finished = run(arguments);
        assert!(finished.stderr.starts_with("httpserver: "), "{}", finished.stderr);
    }
}

/// Sends the first 4 bytes of an upload of 8 and waits until they are in a file.
fn begin_upload(server: &Server, directory: &TempDir) -> Peer {
    let mut client = Peer::connect(server.address);
    client.send("PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n");
    client.send("four");
    wait_until("the beginning of an upload", || names_in(directory).len() == 1);
    client
}

#[test]
fn an_unfinished_upload_is_removed_when_a_signal_ends_the_server() {
    for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        let directory = TempDir::new();
        let mut server = Server::start(directory.path(), &[]);
        let _client = begin_upload(&server, &directory);
        server.process.signal(name);
        let status = server.process.wait();
        assert_eq!(status.signal(), Some(number), "{name}");
        assert_eq!(names_in(&directory), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let directory = TempDir::new();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" httpserver 127.0.0.1:0"]);
    command.arg(env!("CARGO_BIN_EXE_loadbalancer")).current_dir(directory.path());
    let mut server = Server::of(Running::start(&mut command));
    server.process.signal("HUP");
    assert_eq!(server.get("/healthcheck").status(), 200);
    server.process.signal("TERM");
    assert_eq!(server.process.wait().signal(), Some(15));
}

#[test]
fn an_unfinished_upload_is_removed_when_its_client_leaves() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &[]);
    drop(begin_upload(&server, &directory));
    wait_until("the file to be gone", || names_in(&directory).is_empty());
}

#[test]
fn an_upload_keeps_the_mode_of_the_file_it_replaces_and_a_new_file_follows_the_umask() {
    let directory = TempDir::new();
    let mode = |name: &str| {
        let meta = fs::metadata(directory.path().join(name)).expect("a file");
        meta.permissions().mode() & 0o7777
    };
    let server = Server::start(directory.path(), &[]);
    directory.file("usual", "x");
    for (name, old, expected) in [
        ("private", Some(0o600), 0o600),
        ("shared", Some(0o664), 0o664),
        ("new", None, mode("usual")),
    ] {
        if let Some(old) = old {
            let path = directory.file(name, "old");
            fs::set_permissions(path, Permissions::from_mode(old)).expect("a mode");
        }
        let put = format!("PUT /{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnew");
        assert!(server.exchange(put).status() < 300, "{name}");
        assert_eq!(mode(name), expected, "{name}");
    }
}

#[test]
fn an_upload_past_the_limit_is_refused_with_413_and_leaves_nothing() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &["--max-upload", "1k"]);
    let length = |bytes: usize| format!("Content-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
    let chunked = |bytes: usize| {
        let (half, rest) = ("x".repeat(512), "x".repeat(bytes - 512));
        format!(
            "Transfer-Encoding: chunked\r\n\r\n200\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
            rest.len()
        )
    };
    for (name, body, expected) in [
        ("length-at", length(1_024), 201),
        ("chunked-at", chunked(1_024), 201),
        ("length-past", length(1_025), 413),
        ("chunked-past", chunked(1_025), 413),
    ] {
        let put = format!("PUT /{name} HTTP/1.1\r\nHost: x\r\n{body}");
        assert_eq!(server.exchange(put).status(), expected, "{name}");
    }
    let announced =
        "PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n";
    assert_eq!(server.exchange(announced).status(), 413);
    assert_eq!(names_in(&directory), ["chunked-at", "length-at"]);
}

#[test]
fn clients_that_left_do_not_make_others_wait_for_their_pages() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &[]);
    for _ in 0..20 {
        // A minute each.
        Peer::connect(server.address).send("GET /60000 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert_eq!(server.get("/1").status(), 200);
    assert_eq!(server.get("/healthcheck").status(), 200);
}

#[test]
fn a_client_that_closed_its_side_gets_its_page() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &[]);
    let mut client = Peer::connect(server.address);
    client.send("GET /200 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.half_close();
    assert_eq!(client.response().status(), 200);
}

#[test]
fn a_client_that_first_sends_its_whole_upload_reads_the_refusal_after_it() {
    let directory = TempDir::new();
    let server = Server::start(directory.path(), &["--max-upload", "1k"]);
    let body = "x".repeat(8 << 20);
    let mut client = Peer::connect(server.address);
    client.send(format!("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(body);
    assert_eq!(client.response().status(), 413);
}

#[test]
fn an_unfinished_upload_is_removed_when_standard_input_ends() {
    let directory = TempDir::new();
    let mut command = binary();
    command.args(["httpserver", "127.0.0.1:0", "--until-eof", "-d"]).arg(directory.path());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("a text");
    let (_, rest) = line.split_once("http://").expect("a URL");
    let address: SocketAddr = rest.split(',').next().expect("a word").parse().expect("an address");
    let mut client = Peer::connect(address);
    client.send("PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nfour");
    wait_until("the beginning of an upload", || names_in(&directory).len() == 1);
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("its end").code(), Some(0));
    assert_eq!(names_in(&directory), Vec::<String>::new());
}
