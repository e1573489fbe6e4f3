//! Other projects' servers, where they are installed: what they send arrives unchanged.

mod common;

use common::{Balancer, Message, Peer, Running, TempDir, assert_same_bytes, pattern};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Whether a program can be run; prints a note if not.
fn is_installed(program: &str, option: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg(option).stdin(Stdio::null());
    let found = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// A directory with a large file, a text and an empty file.
fn site() -> TempDir {
    let directory = TempDir::new();
    directory.file("large.bin", pattern(2_000_001));
    directory.file("page.html", "<p>hello</p>\n".repeat(1000));
    directory.file("empty.txt", "");
    directory
}

/// `python3 -m http.server` on a free port.
fn python(directory: &TempDir) -> Option<(Running, SocketAddr)> {
    if !is_installed("python3", "--version") {
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
    command.current_dir(directory.path());
    let server = Running::start(&mut command);
    let line = server.stdout.wait_for("Serving HTTP on ");
    let (_, rest) = line.split_once(" port ").expect("a port");
    let port = rest.split(' ').next().unwrap_or_default().parse().expect("a port");
    Some((server, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

/// nginx on a port that was free a moment ago; on another one if it is taken by now.
fn nginx(directory: &TempDir) -> Option<(Running, SocketAddr)> {
    if !is_installed("nginx", "-v") {
        return None;
    }
    loop {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let mut server = start_nginx(directory, address);
        let start = Instant::now();
        while server.is_running() {
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                return Some((server, address));
            }
            assert!(start.elapsed() < common::DEADLINE, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let said = server.stderr.whole();
        assert!(said.contains("in use"), "nginx ended: {said}");
    }
}

fn start_nginx(directory: &TempDir, address: SocketAddr) -> Running {
    let root = directory.path().display();
    let config = directory.file(
        "nginx.conf",
        format!(
            "daemon off; master_process off; pid {root}/nginx.pid; error_log stderr warn;\n\
             events {{ }}\n\
             http {{\n\
               access_log off; default_type text/html;\n\
               client_body_temp_path {root}/t1; proxy_temp_path {root}/t2;\n\
               fastcgi_temp_path {root}/t3; uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;\n\
               gzip on; gzip_proxied any; gzip_min_length 1; gzip_types application/octet-stream;\n\
               server {{ listen {address}; root {root};\n\
                 location = /gone {{ return 410 'gone'; }}\n\
                 location = /nothing {{ return 204; }}\n\
                 location = /moved {{ return 302 /page.html; }}\n\
                 location = /echo {{ add_header X-Saw $http_via always; return 200 'echo'; }}\n\
               }}\n\
             }}\n"
        ),
    );
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-c", &config, "-p"]).arg(directory.path());
    Running::start(&mut command)
}

/// A response without what may differ between two requests.
fn essence(answer: &Message) -> (String, Vec<String>) {
    let lines = answer.head.split("\r\n").skip(1).filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        !["date", "connection", "keep-alive", "transfer-encoding", ""].contains(&&*name)
    });
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    let status = answer.start_line().split_once(' ').map(|(_, rest)| rest.to_owned());
    (status.unwrap_or_default(), lines)
}

/// Sends requests to the server directly and through the balancer, and compares.
fn same_through_the_balancer(server: SocketAddr, requests: &[(&str, &str, &str)]) {
    let balancer = Balancer::start(&["127.0.0.1:0", &server.to_string()]);
    let mut client = balancer.connect();
    for (method, target, lines) in requests {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        let mut direct = Peer::connect(server);
        direct.send(&request);
        let expected = direct.response_to(method);
        client.send(&request);
        let answer = client.response_to(method);
        assert_eq!(essence(&answer), essence(&expected), "{method} {target} {lines}");
        assert_same_bytes(target, &answer.body, &expected.body);
    }
}

#[test]
fn responses_of_python_are_unchanged() {
    let directory = site();
    let Some((_server, address)) = python(&directory) else { return };
    same_through_the_balancer(
        address,
        &[
            ("GET", "/large.bin", ""),
            ("GET", "/page.html", ""),
            ("GET", "/empty.txt", ""),
            ("HEAD", "/large.bin", ""),
            ("GET", "/missing", ""),
            ("HEAD", "/missing", ""),
            ("GET", "/", ""),
        ],
    );
}

#[test]
fn a_python_server_stays_up() {
    let directory = site();
    let Some((_server, address)) = python(&directory) else { return };
    let balancer = Balancer::start(&["127.0.0.1:0", &address.to_string(), "-c", "20ms"]);
    for _ in 0..20 {
        let body = balancer.get("/large.bin").body;
        assert_same_bytes("the file", &body, &pattern(2_000_001));
    }
    assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
}

#[test]
fn a_python_server_that_exits_is_down() {
    let directory = site();
    let Some((server, address)) = python(&directory) else { return };
    let balancer = Balancer::start(&["127.0.0.1:0", &address.to_string(), "-c", "20ms"]);
    assert_eq!(balancer.get("/page.html").status(), 200);
    drop(server);
    balancer.stderr.wait_for(" down: ");
    assert_eq!(balancer.get("/page.html").status(), 503);
}

#[test]
fn responses_of_nginx_are_unchanged() {
    let directory = site();
    let Some((_server, address)) = nginx(&directory) else { return };
    same_through_the_balancer(
        address,
        &[
            ("GET", "/large.bin", ""),
            ("GET", "/page.html", "Accept-Encoding: gzip\r\n"),
            ("GET", "/large.bin", "Accept-Encoding: gzip\r\n"),
            ("GET", "/large.bin", "Range: bytes=100-1999999\r\n"),
            ("GET", "/large.bin", "Range: bytes=0-0,100-200\r\nIf-Range: \"no\"\r\n"),
            ("GET", "/empty.txt", ""),
            ("HEAD", "/large.bin", ""),
            ("HEAD", "/page.html", "Accept-Encoding: gzip\r\n"),
            ("GET", "/page.html", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
            ("GET", "/missing", ""),
            ("GET", "/gone", ""),
            ("GET", "/nothing", ""),
            ("GET", "/page.html?query", ""),
        ],
    );
}

#[test]
fn nginx_sees_who_forwarded() {
    let directory = site();
    let Some((_server, address)) = nginx(&directory) else { return };
    let balancer = Balancer::start(&["127.0.0.1:0", &address.to_string()]);
    assert_eq!(balancer.get("/echo").field("X-Saw"), Some("1.1 loadbalancer"));
}

#[test]
fn an_http_1_0_client_gets_compressed_pages_of_nginx_complete() {
    let directory = site();
    let Some((_server, address)) = nginx(&directory) else { return };
    let request = "GET /page.html HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
    let mut direct = Peer::connect(address);
    direct.send(request);
    let expected = direct.response();
    assert_eq!(expected.field("Transfer-Encoding"), Some("chunked"), "{}", expected.head);
    let balancer = Balancer::start(&["127.0.0.1:0", &address.to_string()]);
    let answer = balancer.exchange(request.replace("HTTP/1.1", "HTTP/1.0"));
    assert_same_bytes("the page", &answer.body, &expected.body);
}

/// An application server on a unix socket, once it listens. `arguments` name what it runs.
fn on_socket(program: &str, directory: &TempDir, arguments: &[&str]) -> Option<(Running, String)> {
    if !is_installed(program, "--version") {
        return None;
    }
    let path = directory.path().join("app.sock");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory.path());
    match program {
        "gunicorn" => command.arg("--bind").arg(format!("unix:{}", path.display())),
        _ => command.arg("--uds").arg(&path),
    };
    let mut server = Running::start(&mut command);
    common::wait_until("the server listens", || {
        assert!(server.is_running(), "{program} ended: {}", server.stderr.whole());
        std::os::unix::net::UnixStream::connect(&path).is_ok()
    });
    Some((server, format!("unix:{}", path.display())))
}

/// Requests of several kinds to a server that answers with the client, the host and the length of
/// the content, over the connections that it keeps or does not.
fn serves_on_socket(socket: &str) {
    let balancer = Balancer::start(&["127.0.0.1:0", socket, "-c", "50ms"]);
    let mut client = balancer.connect();
    for round in 0..20 {
        assert_eq!(client.get("/").text(), "127.0.0.1 example.test 0", "round {round}");
        let content = pattern(round * 5_000);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: {}\r\n\r\n",
            content.len()
        ));
        client.send(&content);
        let expected = format!("127.0.0.1 example.test {}", content.len());
        assert_eq!(client.response().text(), expected, "round {round}");
    }
    assert_eq!(balancer.stderr.with(" down"), Vec::<String>::new());
}

#[test]
fn gunicorn_serves_on_a_unix_socket() {
    let directory = TempDir::new();
    directory.file(
        "app.py",
        "def app(environ, start_response):\n\
         \x20   length = len(environ['wsgi.input'].read())\n\
         \x20   text = '%s %s %d' % (environ.get('HTTP_X_FORWARDED_FOR'), environ['HTTP_HOST'], length)\n\
         \x20   start_response('200 OK', [('Content-Length', str(len(text)))])\n\
         \x20   return [text.encode()]\n",
    );
    let options = ["app:app", "--workers", "1", "--threads", "2"];
    let Some((_server, socket)) = on_socket("gunicorn", &directory, &options) else { return };
    serves_on_socket(&socket);
}

#[test]
fn uvicorn_serves_on_a_unix_socket() {
    let directory = TempDir::new();
    directory.file(
        "app.py",
        "async def app(scope, receive, send):\n\
         \x20   if scope['type'] != 'http':\n\
         \x20       return\n\
         \x20   length, more = 0, True\n\
         \x20   while more:\n\
         \x20       event = await receive()\n\
         \x20       length += len(event.get('body', b''))\n\
         \x20       more = event.get('more_body', False)\n\
         \x20   fields = {name: value.decode() for name, value in scope['headers']}\n\
         \x20   text = '%s %s %d' % (fields.get(b'x-forwarded-for'), fields[b'host'], length)\n\
         \x20   size = (b'content-length', str(len(text)).encode())\n\
         \x20   await send({'type': 'http.response.start', 'status': 200, 'headers': [size]})\n\
         \x20   await send({'type': 'http.response.body', 'body': text.encode()})\n",
    );
    let Some((_server, socket)) = on_socket("uvicorn", &directory, &["app:app"]) else { return };
    serves_on_socket(&socket);
}
