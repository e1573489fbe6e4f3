//! The commands beside the balancer: the demo backend, the download client, the demo of it all.

mod common;

use common::{
    Backend, Balancer, Finished, Message, Peer, Running, TempDir, assert_same_bytes, binary, ok,
    pattern, reply, wait_until,
};
use std::net::SocketAddr;
use std::path::Path;

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
        Server { process, address: rest[..end].parse().expect("an address") }
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

/// Runs the download client in `directory` to its end.
fn get(directory: &TempDir, arguments: &[&str]) -> Finished {
    let mut command = binary();
    command.arg("get").args(arguments).current_dir(directory.path());
    let mut running = Running::start(&mut command);
    let code = running.wait().code();
    Finished { code, stdout: running.stdout.whole(), stderr: running.stderr.whole() }
}

fn names_in(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).expect("the directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
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
    // A request is counted when its answer was sent, which a client can be ahead of.
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
    let mut command = std::process::Command::new(&link);
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
fn get_saves_a_file_under_its_last_segment() {
    let backend = Backend::start(|_| ok(pattern(500_000)));
    let directory = TempDir::new();
    let url = format!("http://{}/some/where/file.bin?query", backend.argument());
    let finished = get(&directory, &[&url]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(names_in(&directory), ["file.bin"]);
    let saved = std::fs::read(directory.path().join("file.bin")).expect("the file");
    assert_same_bytes("the file", &saved, &pattern(500_000));
}

#[test]
fn get_saves_under_the_name_given_by_output() {
    let backend = Backend::start(|_| ok("hello"));
    let directory = TempDir::new();
    let url = format!("http://{}/file", backend.argument());
    assert_eq!(get(&directory, &[&url, "-o", "other"]).code, Some(0));
    assert_eq!(names_in(&directory), ["other"]);
}

#[test]
fn get_follows_redirects_through_the_balancer() {
    let backend = Backend::start(|request| ok(request.target()));
    let balancer = Balancer::over(&[&backend], &["-m", "redirect"]);
    let directory = TempDir::new();
    let finished = get(&directory, &[&format!("http://{}/file", balancer.address())]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains(&backend.argument()), "{}", finished.stderr);
    let saved = std::fs::read_to_string(directory.path().join("file")).expect("the file");
    assert_eq!(saved, "/file");
}

#[test]
fn get_follows_every_redirecting_status() {
    for status in [301, 302, 303, 307, 308] {
        let backend = Backend::start(move |request| match request.target() {
            "/file" => reply(&format!("{status} X"), "Location: /there\r\n", ""),
            target => ok(target),
        });
        let directory = TempDir::new();
        let finished = get(&directory, &[&format!("http://{}/file", backend.argument())]);
        assert_eq!(finished.code, Some(0), "{status}: {}", finished.stderr);
        assert_eq!(backend.targets(), ["/file", "/there"], "{status}");
    }
}

#[test]
fn get_fails_without_a_file_when_it_cannot_have_the_whole_of_it() {
    let cut = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf";
    let chunked = "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   4\r\nhalf\r\n";
    for (name, answer) in [
        ("404", reply("404 Not Found", "", "no").clone()),
        ("503", reply("503 Service Unavailable", "", "no")),
        ("a body cut short", cut.as_bytes().to_vec()),
        ("chunks without a last one", chunked.as_bytes().to_vec()),
        ("a circle", reply("302 Found", "Location: /file\r\n", "")),
        ("no HTTP", b"SSH-2.0-x\r\nconnection: close\r\n\r\n".to_vec()),
        ("somewhere else", reply("302 Found", "Location: ftp://x/file\r\n", "")),
    ] {
        let backend = Backend::start(move |_| answer.clone());
        let directory = TempDir::new();
        let finished = get(&directory, &[&format!("http://{}/file", backend.argument())]);
        assert_eq!(finished.code, Some(1), "{name}: {}", finished.stderr);
        assert_eq!(names_in(&directory), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn get_fails_when_the_port_is_closed() {
    let backend = Backend::refusing();
    let directory = TempDir::new();
    let finished = get(&directory, &[&format!("http://{}/file", backend.argument())]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert_eq!(names_in(&directory), Vec::<String>::new());
}

/// Whether a process of this number still runs (a zombie does not).
#[cfg(target_os = "linux")]
fn runs(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// The children of a process.
#[cfg(target_os = "linux")]
fn children(id: u32) -> Vec<String> {
    let parent = format!("PPid:\t{id}\n");
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|name| {
            std::fs::read_to_string(format!("/proc/{name}/status"))
                .is_ok_and(|status| status.contains(&parent))
        })
        .collect()
}

/// A demo that keeps its files in `home`: one that is killed has no time to clear up.
fn demo(home: &TempDir) -> Balancer {
    Balancer::of(Running::start(binary().args(["demo", "0"]).env("TMPDIR", home.path())))
}

#[test]
fn the_demo_balances_over_three_servers_of_its_own_on_this_machine_only() {
    let home = TempDir::new();
    let balancer = demo(&home);
    assert!(balancer.address().ip().is_loopback(), "{}", balancer.start_line);
    assert!(balancer.start_line.contains("3 backends"), "{}", balancer.start_line);
    let mut pages: Vec<String> = (0..6).map(|_| balancer.get("/1").text()).collect();
    pages.sort();
    pages.dedup();
    assert!(pages.iter().all(|page| !page.is_empty()));
    balancer.stderr.wait_for("curl ");
}

#[cfg(target_os = "linux")]
#[test]
fn the_demos_servers_end_with_it_however_it_ends() {
    let home = TempDir::new();
    for signal in ["TERM", "INT", "KILL"] {
        let mut balancer = demo(&home);
        assert_eq!(balancer.get("/1").status(), 200);
        let servers = children(balancer.id());
        assert_eq!(servers.len(), 3, "{signal}");
        balancer.signal(signal);
        let status = balancer.wait();
        assert_eq!(status.code(), (signal != "KILL").then_some(0), "{signal}");
        wait_until("the servers to end", || !servers.iter().any(|id| runs(id)));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_demo_server_is_reported_and_the_others_go_on() {
    let home = TempDir::new();
    let balancer = demo(&home);
    let servers = children(balancer.id());
    let killed = std::process::Command::new("/bin/kill").args(["-KILL", &servers[0]]).status();
    assert!(killed.expect("running kill").success());
    for _ in 0..9 {
        assert_eq!(balancer.get("/1").status(), 200);
    }
    balancer.stderr.wait_for(" down: ");
}

#[test]
fn a_stopped_demo_server_ends_by_term() {
    let directory = TempDir::new();
    let mut server = Server::start(directory.path(), &[]);
    server.process.signal("TERM");
    server.process.wait();
}
