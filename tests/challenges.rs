//! `--acme-webroot`: the challenges of certificate authorities (RFC 8555 §8.3) without TLS. On the
//! listener of `--redirect-http` they are tested in `tls/sessions.rs`.

mod common;

use common::{Backend, Balancer, Peer, TempDir, run};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

const FOLDER: &str = ".well-known/acme-challenge";

/// A directory as certbot fills it, with one challenge.
fn webroot() -> TempDir {
    let directory = TempDir::new();
    fs::create_dir_all(directory.path().join(FOLDER)).expect("a directory");
    directory.file(&format!("{FOLDER}/token-1_A"), "token-1_A.key");
    directory
}

fn over(directory: &TempDir, backend: &Backend) -> Balancer {
    let name = directory.path().to_str().expect("a path in UTF-8");
    Balancer::over(&[backend], &["--acme-webroot", name])
}

#[test]
fn a_challenge_is_answered_and_everything_else_is_forwarded() {
    let (directory, backend) = (webroot(), Backend::named("a"));
    let balancer = over(&directory, &backend);
    let mut client = balancer.connect();
    let answer = client.get(&format!("/{FOLDER}/token-1_A"));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "token-1_A.key"));
    assert_eq!(answer.field("Content-Type"), Some("application/octet-stream"));
    assert_eq!(answer.field("Cache-Control"), Some("no-store"));
    assert!(backend.requests().is_empty());
    for target in ["/".to_owned(), format!("/{FOLDER}/"), format!("/{FOLDER}/a/b")] {
        assert_eq!(client.get(&target).text(), "a", "{target}");
    }
    client.send(format!("POST /{FOLDER}/token-1_A HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!(client.response_to("POST").text(), "a");
}

#[test]
fn head_gets_the_length_alone() {
    let (directory, backend) = (webroot(), Backend::named("a"));
    let balancer = over(&directory, &backend);
    let mut client = balancer.connect();
    for _ in 0..2 {
        client.send(format!("HEAD /{FOLDER}/token-1_A HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.response_to("HEAD");
        assert_eq!((answer.status(), answer.field("Content-Length")), (200, Some("13")));
    }
}

#[test]
fn a_challenge_may_come_and_go_while_the_program_runs() {
    let (directory, backend) = (TempDir::new(), Backend::named("a"));
    let balancer = over(&directory, &backend);
    let target = format!("/{FOLDER}/later");
    assert_eq!(balancer.get(&target).status(), 404);
    fs::create_dir_all(directory.path().join(FOLDER)).expect("a directory");
    let file = directory.file(&format!("{FOLDER}/later"), "later.key");
    assert_eq!(balancer.get(&target).text(), "later.key");
    fs::remove_file(file).expect("removing");
    assert_eq!(balancer.get(&target).status(), 404);
    assert!(backend.requests().is_empty());
}

#[test]
fn what_is_no_small_plain_file_is_not_served_and_reported() {
    let (directory, backend) = (webroot(), Backend::named("a"));
    let at = |name: &str| directory.path().join(FOLDER).join(name);
    symlink("/etc/passwd", at("link")).expect("a link");
    fs::create_dir(at("folder")).expect("a directory");
    directory.file(&format!("{FOLDER}/fits"), "x".repeat(1024));
    directory.file(&format!("{FOLDER}/large"), "x".repeat(1025));
    let fifo = std::process::Command::new("mkfifo").arg(at("fifo")).status();
    assert!(fifo.expect("mkfifo").success());
    let balancer = over(&directory, &backend);
    for (name, why) in [
        ("link", "it is a symbolic link"),
        ("folder", "it is no regular file"),
        ("fifo", "it is no regular file"),
        ("large", "it is too large"),
    ] {
        let answer = balancer.get(&format!("/{FOLDER}/{name}"));
        assert_eq!(answer.status(), 500, "{name}");
        balancer.stderr.wait_for(&format!("challenge `{name}` of --acme-webroot: {why}"));
    }
    assert_eq!(balancer.get(&format!("/{FOLDER}/fits")).text().len(), 1024);
}

#[test]
fn many_challenges_at_once_are_answered_in_the_order_of_each_connection() {
    let (directory, backend) = (webroot(), Backend::named("a"));
    let names: Vec<String> = (0..8).map(|number| format!("token{number}")).collect();
    for name in &names {
        directory.file(&format!("{FOLDER}/{name}"), name);
    }
    let balancer = over(&directory, &backend);
    let mut clients: Vec<_> = names.iter().map(|_| balancer.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let requests = (0..4).map(|turn| {
            let name = &names[(at + turn) % names.len()];
            format!("GET /{FOLDER}/{name} HTTP/1.1\r\nHost: x\r\n\r\n")
        });
        client.send(requests.collect::<String>());
    }
    for (at, client) in clients.iter_mut().enumerate() {
        for turn in 0..4 {
            assert_eq!(client.response().text(), names[(at + turn) % names.len()]);
        }
    }
}

#[test]
fn half_a_request_is_answered_408_and_holds_up_nobody() {
    let (directory, backend) = (webroot(), Backend::named("a"));
    let name = directory.path().to_str().expect("a path in UTF-8");
    let options = ["--acme-webroot", name, "--head-timeout", "1s"];
    let balancer = Balancer::over(&[&backend], &options);
    let whole = format!("GET /{FOLDER}/token-1_A HTTP/1.1\r\nHost: x\r\n\r\n");
    let halves = ["GET /.well-known/ac", &whole[..whole.len() - 2]];
    let mut clients = halves.map(|half| {
        let mut client = balancer.connect();
        client.send(half);
        client
    });
    assert_eq!(balancer.get(&format!("/{FOLDER}/token-1_A")).text(), "token-1_A.key");
    for client in &mut clients {
        assert_eq!(client.response().status(), 408);
        client.half_close();
        client.expect_end();
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn a_challenge_that_comes_byte_by_byte_is_answered() {
    let (directory, backend) = (webroot(), Backend::named("a"));
    let balancer = over(&directory, &backend);
    let mut client = balancer.connect();
    for _ in 0..2 {
        for byte in format!("GET /{FOLDER}/token-1_A HTTP/1.1\r\nHost: x\r\n\r\n").bytes() {
            client.send([byte]);
        }
        assert_eq!(client.response().text(), "token-1_A.key");
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn a_client_that_reads_late_gets_every_challenge_and_holds_up_nobody() {
    const REQUESTS: usize = 3_000;
    let (directory, backend) = (webroot(), Backend::named("a"));
    let content = "x".repeat(1024);
    directory.file(&format!("{FOLDER}/longest"), &content);
    let balancer = over(&directory, &backend);
    let mut slow = balancer.connect();
    let mut writer = slow.writer();
    let request = format!("GET /{FOLDER}/longest HTTP/1.1\r\nHost: x\r\n\r\n");
    let sending = std::thread::spawn(move || {
        (0..REQUESTS).for_each(|_| writer.write_all(request.as_bytes()).expect("writing"));
    });
    let mut others: Vec<Peer> = (0..4).map(|_| balancer.connect()).collect();
    for other in &mut others {
        assert_eq!(other.get(&format!("/{FOLDER}/token-1_A")).text(), "token-1_A.key");
    }
    for number in 0..REQUESTS {
        assert!(slow.response().text() == content, "answer {number}");
    }
    sending.join().expect("all was sent");
    assert!(backend.requests().is_empty());
}

#[test]
fn a_directory_that_cannot_be_used_ends_the_start() {
    let directory = TempDir::new();
    let file = directory.file("file", "");
    let gone = format!("{file}-gone");
    for (name, hint) in [
        (gone, "no such file or directory; create it, or name the directory of certbot's -w"),
        (file, "not a directory; name a directory that can be read"),
    ] {
        let line = format!("cannot use the --acme-webroot `{name}`: {hint}");
        let arguments = ["127.0.0.1:0", "1234", "--acme-webroot", &name];
        for more in [&[][..], &["--check=config"]] {
            let finished = run(&[&arguments, more].concat());
            assert_eq!(finished.code, Some(1), "{}", finished.stderr);
            assert!(finished.stderr.contains(&line), "{}", finished.stderr);
        }
    }
}

#[test]
fn the_challenge_of_an_authority_is_answered_among_any_number_of_others() {
    const OTHERS: usize = 200;
    let (directory, backend) = (webroot(), Backend::named("a"));
    let balancer = over(&directory, &backend);
    let mut clients: Vec<Peer> = (0..=OTHERS).map(|_| balancer.connect()).collect();
    // Each is accepted by now.
    for client in &mut clients {
        assert_eq!(client.get("/").text(), "a");
    }
    // The program finds the requests of all in one turn.
    balancer.signal("STOP");
    let (authority, others) = clients.split_last_mut().expect("there is one");
    for (number, other) in others.iter_mut().enumerate() {
        other.send(format!("GET /{FOLDER}/guess{number} HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    authority.send(format!("GET /{FOLDER}/token-1_A HTTP/1.1\r\nHost: x\r\n\r\n"));
    balancer.signal("CONT");
    assert_eq!(authority.response().text(), "token-1_A.key");
    for other in others {
        assert_eq!(other.response().status(), 404);
    }
}
