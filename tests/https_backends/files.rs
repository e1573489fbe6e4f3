//! The files of authorities: what is wrong with them, and what happens when they or the list change.

use crate::common::{Backend, Balancer, Running, binary, run, wait_until};
use crate::server::{Identity, Server, listed, trusting};

/// A server behind which each response ends its connection, so that each request has a new one.
fn closing() -> Backend {
    let answer = crate::common::reply("200 OK", "Connection: close\r\n", "one");
    Backend::start(move |_| answer.clone())
}

#[test]
fn authorities_that_change_are_used_for_new_connections() {
    let (old, new) = (Identity::of(&["localhost"]), Identity::of(&["localhost"]));
    let server = Server::new(&old, closing());
    let ca = old.directory.file("ca.pem", &old.made.certificate);
    let line = format!("{} ca={ca}", server.at("localhost"));
    let balancer = listed(&old.directory, &[line], &["--check-interval", "100ms"]);
    assert_eq!(balancer.get("/").text(), "one");
    server.show(&new);
    balancer.stderr.wait_for("down: health check could not connect: certificate is signed by");
    std::fs::write(&ca, &new.made.certificate).expect("a file");
    balancer.stderr.wait_for("the authorities of servers were read again");
    wait_until("an answer", || balancer.get("/").status() == 200);
}

#[test]
fn a_session_with_authorities_of_before_is_not_resumed() {
    let (old, new) = (Identity::of(&["localhost"]), Identity::of(&["localhost"]));
    let server = Server::new(&old, closing());
    let ca = old.directory.file("ca.pem", &old.made.certificate);
    let line = format!("{} ca={ca}", server.at("localhost"));
    let balancer = listed(&old.directory, &[line], &["--health", "off"]);
    assert_eq!(balancer.get("/").text(), "one");
    std::fs::write(&ca, &new.made.certificate).expect("a file");
    balancer.stderr.wait_for("the authorities of servers were read again");
    assert_eq!(balancer.get("/").status(), 503, "its certificate is not trusted any more");
}

#[test]
fn a_wrong_file_of_authorities_changes_nothing_until_it_is_right() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, closing());
    let ca = identity.directory.file("ca.pem", &identity.made.certificate);
    let line = format!("{} ca={ca}", server.at("localhost"));
    let balancer = listed(&identity.directory, std::slice::from_ref(&line), &["--health", "off"]);
    std::fs::write(&ca, "nonsense").expect("a file");
    balancer.stderr.wait_for("there is no certificate in");
    balancer.stderr.wait_for("list not loaded, still using the previous one");
    assert_eq!(balancer.get("/").text(), "one");
    let (is_done, said) = reload(&balancer);
    assert!(!is_done && said.contains("there is no certificate in"), "{said}");
    std::fs::write(&ca, &identity.made.certificate).expect("a file");
    let (is_done, said) = reload(&balancer);
    assert!(is_done, "{said}");
    assert_eq!(balancer.get("/").text(), "one");
}

/// What `ctl reload` prints, and whether it was carried out.
fn reload(balancer: &Balancer) -> (bool, String) {
    let done = run(&["ctl", &balancer.address().to_string(), "reload"]);
    (done.code == Some(0), format!("{}{}", done.stdout, done.stderr))
}

/// Servers of the command line, whose authorities no list names.
#[test]
fn authorities_of_the_command_line_are_read_again_when_they_change() {
    let (old, new) = (Identity::of(&["localhost"]), Identity::of(&["localhost"]));
    let server = Server::new(&old, closing());
    let ca = old.directory.file("ca.pem", &old.made.certificate);
    let (at, named) = (server.at("localhost"), format!("{} ca={ca}", server.at("localhost")));
    for (name, balancer) in
        [("ca=", trusting("/nowhere", &[&named])), ("the machine's", trusting(&ca, &[&at]))]
    {
        assert_eq!(balancer.get("/").text(), "one", "{name}");
        server.show(&new);
        wait_until("another certificate", || balancer.get("/").status() == 503);
        std::fs::write(&ca, &new.made.certificate).expect("a file");
        balancer.stderr.wait_for("the authorities of servers were read again");
        wait_until("an answer", || balancer.get("/").status() == 200);
        std::fs::write(&ca, &old.made.certificate).expect("a file");
        balancer.stderr.wait_for_count("the authorities of servers were read again", 2);
        server.show(&old);
        wait_until("an answer again", || balancer.get("/").status() == 200);
    }
}

#[test]
fn a_reload_reads_the_authorities_of_the_command_line_and_says_what_came_of_it() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, closing());
    let ca = identity.directory.file("ca.pem", &identity.made.certificate);
    let insecure = format!("https://127.0.0.1:{} insecure backup", server.port());
    let at = server.at("localhost");
    let balancer = trusting("/nowhere", &[&format!("{at} ca={ca}"), &insecure]);
    let same = "the authorities of servers were read again: nothing has changed";
    for _ in 0..2 {
        let (is_done, said) = reload(&balancer);
        assert!(is_done && said.contains(same), "{said}");
    }
    balancer.signal("HUP");
    balancer.stderr.wait_for_count(same, 3);
    std::fs::write(&ca, "nonsense").expect("a file");
    balancer.stderr.wait_for("there is no certificate in");
    for _ in 0..2 {
        let (is_done, said) = reload(&balancer);
        let why = format!("backend {at}: there is no certificate in `{ca}`; ");
        assert!(!is_done && said.contains(&why), "{said}");
        assert!(said.contains("still using the previous authorities of servers"), "{said}");
    }
    assert_eq!(balancer.get("/").text(), "one", "nothing has changed");
    std::fs::remove_file(&ca).expect("a file");
    let (is_done, said) = reload(&balancer);
    assert!(!is_done && said.contains("cannot read the authorities"), "{said}");
    std::fs::write(&ca, &identity.made.certificate).expect("a file");
    let (is_done, said) = reload(&balancer);
    assert!(is_done && said.contains(same), "{said}");
    assert_eq!(balancer.get("/").text(), "one");
}

#[test]
fn authorities_of_a_list_from_a_pipe_are_read_again_without_it() {
    let (old, new) = (Identity::of(&["localhost"]), Identity::of(&["localhost"]));
    let server = Server::new(&new, closing());
    let ca = old.directory.file("ca.pem", &old.made.certificate);
    let mut command = std::process::Command::new("/bin/sh");
    // Not by `|`: the program is to take the place of the shell, whose end is waited for.
    let script = "exec \"$0\" 127.0.0.1:0 --health off -f /dev/stdin <<END\n$1\nEND\n";
    command.args(["-c", script]).arg(binary().get_program());
    command.arg(format!("{} ca={ca}", server.at("localhost")));
    let balancer = Balancer::of(Running::start(&mut command));
    assert_eq!(balancer.get("/").status(), 503, "its certificate is not trusted");
    std::fs::write(&ca, &new.made.certificate).expect("a file");
    balancer.stderr.wait_for("the authorities of servers were read again");
    wait_until("an answer", || balancer.get("/").status() == 200);
}

#[test]
fn words_of_tls_can_change_and_so_can_the_scheme() {
    let identity = Identity::of(&["inner.example"]);
    let server = Server::new(&identity, Backend::named("secured"));
    let plain = Backend::named("plain");
    let (at, ca) = (server.at("127.0.0.1"), &identity.file);
    let list = |line: &str| identity.directory.file("list", format!("{line}\n"));
    let options = ["--health", "off"];
    let balancer = listed(&identity.directory, &[format!("{at} insecure")], &options);
    assert_eq!(balancer.get("/").text(), "secured");
    list(&format!("{at} ca={ca} sni=inner.example"));
    balancer.stderr.wait_for("1 kept (1 changed)");
    assert_eq!(balancer.get("/").text(), "secured");
    assert_eq!(server.seen().len(), 2, "the connection that was not verified is not used again");
    list(&format!("{at} ca={ca}"));
    balancer.stderr.wait_for("1 kept (1 changed)");
    wait_until("the other name", || balancer.get("/").status() == 503);
    list(&plain.argument());
    wait_until("the other server", || balancer.get("/").text() == "plain");
    list(&format!("https://{}", plain.argument()));
    let added = format!("added https://{}", plain.argument());
    balancer.stderr.wait_for(&added);
    wait_until("no TLS", || balancer.get("/").status() == 503);
    list(&plain.argument());
    wait_until("the server in the clear", || balancer.get("/").text() == "plain");
}

#[test]
fn every_wrong_file_gets_one_line() {
    let identity = Identity::of(&["localhost"]);
    let directory = &identity.directory;
    let damaged = identity.made.certificate.replacen("MI", "M!", 1);
    for (name, file, expected) in [
        ("missing", "/nowhere/ca.pem".to_owned(), "cannot read the authorities `/nowhere/ca.pem`"),
        ("empty", directory.file("empty", ""), "there is no certificate in"),
        ("a key", directory.file("key", &identity.made.key), "there is no certificate in"),
        ("damaged", directory.file("damaged", &damaged), "are damaged"),
        ("a directory", "/tmp".to_owned(), "it is no regular file"),
    ] {
        let list = directory.file("list", format!("# one\nhttps://localhost:1 ca={file}\n"));
        let checked = run(&["127.0.0.1:0", "-f", &list, "--check=config"]);
        assert_eq!(checked.code, Some(1), "{name}: {}", checked.stderr);
        let line = checked.stderr.lines().next().unwrap_or_default();
        assert!(line.contains(&format!("{list}:2: ")) && line.contains(expected), "{name}: {line}");
        let mut command = binary();
        command.env("SSL_CERT_FILE", &file).args(["127.0.0.1:0", "https://localhost:1"]);
        let done = command.output().expect("running it");
        let said = String::from_utf8_lossy(&done.stderr);
        let is_read = name != "damaged";
        let expected = if is_read { expected } else { "there is no certificate in" };
        assert!(
            said.contains("backend https://localhost:1: ") && said.contains(expected),
            "{said}"
        );
        assert_eq!((done.status.code(), said.lines().count()), (Some(1), 1), "{name}: {said}");
    }
}

#[test]
fn a_bad_line_at_the_start_is_skipped_and_the_others_serve() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, Backend::named("one"));
    let lines = [
        "https://localhost:1 ca=/nowhere/ca.pem".to_owned(),
        format!("{} ca={}", server.at("localhost"), identity.file),
    ];
    let balancer = listed(&identity.directory, &lines, &["--health", "off"]);
    balancer.stderr.wait_for("list:1: cannot read the authorities");
    assert!(balancer.start_line.contains("over 1 backend"), "{}", balancer.start_line);
    assert_eq!(balancer.get("/").text(), "one");
}

#[test]
fn a_folder_of_authorities_is_read_as_well() {
    let identity = Identity::of(&["localhost"]);
    let server = Server::new(&identity, Backend::named("one"));
    let name = server.at("localhost");
    let folder = identity.directory.path().to_str().expect("a name in UTF-8");
    let mut command = binary();
    command.env("SSL_CERT_DIR", folder).env_remove("SSL_CERT_FILE");
    command.args(["127.0.0.1:0", "--health", "off", &name]);
    let balancer = Balancer::of(crate::common::Running::start(&mut command));
    assert_eq!(balancer.get("/").text(), "one");
    let other = Identity::of(&["localhost"]);
    let balancer = trusting(&other.file, &[&name]);
    assert_eq!(balancer.get("/").status(), 503, "nobody else is trusted");
}
