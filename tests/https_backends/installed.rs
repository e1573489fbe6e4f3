//! Servers that are common, where they are installed.

use crate::common::{Balancer, Running, TempDir, wait_until};
use crate::server::listed;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// A directory with a certificate of OpenSSL's for `localhost`, which is marked as an authority's.
fn made_by_openssl() -> Option<TempDir> {
    let directory = TempDir::new();
    let mut command = Command::new("openssl");
    command.current_dir(directory.path()).args(["req", "-x509", "-newkey", "ec", "-nodes"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-days", "30", "-subj", "/CN=localhost"]);
    command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.args(["-keyout", "key.pem", "-out", "certificate.pem"]);
    let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) {
        println!("skipped: openssl is not installed");
        return None;
    }
    let read = |name: &str| {
        std::fs::read_to_string(directory.path().join(name)).expect("what openssl has written")
    };
    directory.file("both.pem", format!("{}{}", read("certificate.pem"), read("key.pem")));
    Some(directory)
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().expect("a name in UTF-8").to_owned()
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn started(program: &str, arguments: &[&str], port: u16) -> Option<Running> {
    let mut command = Command::new(program);
    let command = command.args(arguments).stdin(Stdio::null());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    {
        println!("skipped: {program} is not installed");
        return None;
    }
    let mut server = Running::start(command);
    wait_until("the server to listen", || {
        assert!(server.is_running(), "{}", server.stderr.whole());
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    Some(server)
}

/// Requests on kept and on new connections get their answers.
fn works(balancer: &Balancer) {
    let mut client = balancer.connect();
    for _ in 0..5 {
        let response = client.get("/file.txt");
        assert_eq!((response.status(), &*response.text()), (200, "content of the file"));
    }
    for _ in 0..3 {
        assert_eq!(balancer.get("/file.txt").text(), "content of the file");
    }
}

/// nginx with TLS of this version, and how many requests it takes on a connection.
fn nginx(directory: &TempDir, port: u16, version: &str, requests: u32) -> Option<Running> {
    directory.file("file.txt", "content of the file");
    let root = directory.path().display();
    let config = format!(
        "daemon off; master_process off; pid {root}/nginx.pid; error_log stderr;\n\
         events {{}}\n\
         http {{\n\
         access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p;\n\
         fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
         server {{\n\
         listen 127.0.0.1:{port} ssl; root {root}; keepalive_requests {requests};\n\
         ssl_certificate {root}/certificate.pem; ssl_certificate_key {root}/key.pem;\n\
         ssl_protocols {version};\n\
         }}\n}}\n"
    );
    let file = directory.file("nginx.conf", config);
    let run_as_root = format!("user root; {}", std::fs::read_to_string(&file).expect("a file"));
    directory.file("nginx.conf", run_as_root);
    started("nginx", &["-c", &file, "-p", &path(directory, "")], port)
}

#[test]
fn nginx_is_a_server_in_both_versions() {
    let Some(directory) = made_by_openssl() else { return };
    for (version, requests) in [("TLSv1.2", 1000), ("TLSv1.3", 1000), ("TLSv1.2 TLSv1.3", 2)] {
        let port = free_port();
        let Some(_server) = nginx(&directory, port, version, requests) else { return };
        let ca = path(&directory, "certificate.pem");
        let line = format!("https://localhost:{port} ca={ca}");
        let balancer = listed(&directory, &[line], &["--check-interval", "100ms"]);
        works(&balancer);
    }
}

#[test]
fn haproxy_is_a_server_and_takes_a_proxy_header() {
    let Some(directory) = made_by_openssl() else { return };
    let port = free_port();
    let both = path(&directory, "both.pem");
    let config = format!(
        "global\n  maxconn 100\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
         frontend secured\n  bind 127.0.0.1:{port} ssl crt {both} accept-proxy\n\
         \x20 http-request return status 200 content-type text/plain string \"%[src]\"\n"
    );
    let file =
        directory.file("haproxy.cfg", config.replace("\"%[src]\"", "\"content of the file\""));
    let Some(_server) = started("haproxy", &["-db", "-f", &file], port) else { return };
    let line =
        format!("https://127.0.0.1:{port} ca={} send-proxy", path(&directory, "certificate.pem"));
    let balancer = listed(&directory, &[line], &["-m", "tcp", "--check-interval", "100ms"]);
    works(&balancer);
}
