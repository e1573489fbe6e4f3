//! The control socket and `loadbalancer ctl`.

#![cfg(target_os = "linux")]

mod common;

use common::{
    Backend, Balancer, Finished, Gate, InFlight, Running, TempDir, binary, run, wait_until,
};
use loadbalancer::net::control::{self, connect};
use loadbalancer::wire::name::Name;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = common::DEADLINE;

/// Gives this balancer a command.
fn ctl(balancer: &Balancer, words: &str) -> Finished {
    let place = balancer.address().to_string();
    run(&[&["ctl", &place], &words.split(' ').collect::<Vec<_>>()[..]].concat())
}

/// The line that a command is answered with.
fn done(balancer: &Balancer, words: &str) -> String {
    let Finished { code, stdout, stderr } = ctl(balancer, words);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{words}: {stdout}");
    stdout.trim_end().to_owned()
}

/// The reason why a command was not carried out.
fn not_done(balancer: &Balancer, words: &str) -> String {
    let Finished { code, stdout, stderr } = ctl(balancer, words);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{words}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{words}: {stderr}");
    stderr.trim_end().to_owned()
}

fn name(balancer: &Balancer) -> Name {
    Name { user: control::user(), listen: balancer.address().to_string(), process: None }
}

/// A connection to its control socket.
fn connection(balancer: &Balancer) -> UnixStream {
    connect(&name(balancer), LIMIT).expect("it listens")
}

/// What these bytes are answered with.
fn answer(balancer: &Balancer, bytes: &[u8]) -> String {
    let mut stream = connection(balancer);
    stream.write_all(bytes).expect("it reads");
    rest(&mut stream)
}

/// Everything up to the end. With bytes that were not read, the end is a reset.
fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).expect("text")
}

/// The servers that answer the next requests.
fn answers(balancer: &Balancer, count: usize) -> Vec<String> {
    (0..count).map(|_| balancer.get("/").text()).collect()
}

#[test]
fn a_server_is_drained_and_comes_back() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&a, &b], &[]);
    let server = a.argument();
    let line = done(&balancer, &format!("drain {server}"));
    let idle = "(idle, it may be stopped)";
    assert_eq!(line, format!("{server} is draining {idle}; 1 of 2 up, 1 draining"));
    balancer.stderr.wait_for(&format!("{server} is draining {idle}, set by hand"));
    assert_eq!(answers(&balancer, 4), ["b"; 4]);
    let again = done(&balancer, &format!("drain {}", a.port()));
    assert_eq!(again, format!("{server} is draining already {idle}; 1 of 2 up, 1 draining"));
    let status = done(&balancer, "status");
    let of_it =
        status.lines().find(|line| line.starts_with(&format!("backend {server} drain for ")));
    let line = of_it.unwrap_or_else(|| panic!("{status}"));
    assert!(line.ends_with("s, 0 in flight, weight 1, drain by hand"), "{status}");
    let line = done(&balancer, &format!("up {}", a.port()));
    assert_eq!(line, format!("{server} is in rotation again; 2 of 2 up"));
    let four = answers(&balancer, 4);
    assert!(["a", "b"].iter().all(|name| four.iter().any(|it| it == name)), "{four:?}");
    assert!(!done(&balancer, "status").contains("by hand"));
}

#[test]
fn a_request_in_flight_ends_at_a_drained_server() {
    let mut held = InFlight::new(&[]);
    let server = held.backend.argument();
    let line = done(&held.balancer, &format!("down {server}"));
    let expected = format!("{server} is set to down (1 request left); none is up, 1 set to down");
    assert!(line.starts_with(&expected), "{line}");
    held.finish();
    assert_eq!(held.balancer.get("/").status(), 503);
    done(&held.balancer, &format!("up {server}"));
    assert_eq!(held.balancer.get("/x").text(), "/x");
}

#[test]
fn a_weight_decides_the_share() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&a, &b], &[]);
    let server = a.argument();
    let line = done(&balancer, &format!("weight {server} 3"));
    assert_eq!(line, format!("{server} has the weight 3, before 1"));
    let count = answers(&balancer, 8).iter().filter(|name| *name == "a").count();
    assert_eq!(count, 6);
    assert!(done(&balancer, "status").contains("weight 3, weight=3 by hand"));
    done(&balancer, &format!("weight {server} 1"));
    assert!(!done(&balancer, "status").contains("by hand"), "it is the list's again");
}

#[test]
fn a_reload_keeps_what_was_set_by_hand_and_says_so() {
    let (a, b, c) = (Backend::named("a"), Backend::named("b"), Backend::named("c"));
    let (directory, [one, two, three]) = (TempDir::new(), [&a, &b, &c].map(|it| it.argument()));
    let list = directory.file("list", format!("{one}\n{two} drain\n"));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    done(&balancer, &format!("drain {one}"));
    let line = done(&balancer, &format!("up {two}"));
    assert_eq!(line, format!("{two} is in rotation again; 1 of 2 up, 1 draining"));
    let kept = format!("set by hand and kept: {one} drain, {two} up");
    let line = done(&balancer, "reload");
    assert_eq!(line, format!("nothing has changed, 2 backends; {kept}"));
    directory.file("list", format!("{one} weight=2\n{two} drain\n{three}\n"));
    let line = done(&balancer, "reload");
    let expected = format!("backends reloaded: 1 added, 0 removed, 2 kept (1 changed); {kept}");
    assert_eq!(line, expected);
    balancer.stderr.wait_for(&expected);
    let four = answers(&balancer, 4);
    assert!(!four.contains(&"a".to_owned()) && four.contains(&"b".to_owned()), "{four:?}");
    directory.file("list", format!("{two} drain\n{three}\n"));
    assert!(done(&balancer, "reload").contains("1 removed, 2 kept"));
    balancer.stderr.wait_for(&format!(
        "removed {one} (idle, it may be stopped); drain, set by hand, is forgotten"
    ));
    directory.file("list", format!("{one}\n"));
    assert_eq!(done(&balancer, "reload"), "backends reloaded: 1 added, 2 removed, 0 kept");
    assert_eq!(answers(&balancer, 2), ["a"; 2], "a server that is listed again is a new one");
}

#[test]
fn a_reload_of_a_bad_list_says_what_is_wrong() {
    let a = Backend::named("a");
    let directory = TempDir::new();
    let list = directory.file("list", format!("{}\n", a.argument()));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    directory.file("list", "what is this\n");
    for _ in 0..2 {
        let reason = not_done(&balancer, "reload");
        assert!(reason.contains("list:1:") && reason.contains("list not loaded"), "{reason}");
    }
    assert_eq!(answers(&balancer, 1), ["a"]);
}

#[test]
fn without_anything_to_read_or_open_again_the_answer_says_so() {
    let a = Backend::named("a");
    let balancer = Balancer::over(&[&a], &[]);
    let reason = not_done(&balancer, "reload");
    assert_eq!(reason, "ctl: there is no list file (-f) to read and no name to look up");
    assert_eq!(not_done(&balancer, "reopen"), "ctl: there is no access log (-l) to open again");
}

#[test]
fn the_access_log_is_opened_again() {
    let a = Backend::named("a");
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let balancer = Balancer::over(&[&a], &["-l", &log]);
    let moved = directory.path().join("old.log");
    std::fs::rename(&log, &moved).expect("moved");
    assert_eq!(done(&balancer, "reopen"), format!("reopened the access log `{log}`"));
    balancer.get("/new");
    wait_until("the line in the new log", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("/new"))
    });
}

#[test]
fn stop_drains_and_a_second_one_ends_it_at_once() {
    let held = InFlight::new(&[]);
    let line = done(&held.balancer, "stop");
    assert!(line.starts_with("stopping: 1 in flight, 0 waiting, 30 s at most"), "{line}");
    held.balancer.stderr.wait_for("stopping: 1 in flight");
    // Another instance may have its name now; its own has the process in it.
    let InFlight { mut balancer, .. } = held;
    let place = format!("{}/{}", balancer.address(), balancer.id());
    let status = run(&["ctl", &place, "status"]);
    assert!(status.stdout.contains("draining since"), "{status:?}");
    let stopped = run(&["ctl", &place, "stop"]);
    assert_eq!(stopped.stdout, "stopped at once: 1 in flight are cut off\n");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn an_idle_one_is_stopped() {
    let a = Backend::named("a");
    let mut balancer = Balancer::over(&[&a], &[]);
    assert!(done(&balancer, "stop").starts_with("stopping: 0 in flight"));
    assert_eq!(balancer.wait().code(), Some(0));
    assert!(not_done(&balancer, "stop").contains("no balancer"));
}

#[test]
fn the_next_instance_gets_the_name_while_the_last_one_drains() {
    let held = InFlight::new(&[]);
    held.drain();
    let place = held.balancer.address().to_string();
    let next = Balancer::of(Running::loadbalancer(&[&place, &held.backend.argument()]));
    let status = done(&next, "status");
    assert!(status.contains(&format!("pid {}, running", next.id())), "{status}");
    assert_eq!(next.stderr.with("control"), [""; 0]);
}

#[test]
fn what_cannot_be_done_is_refused_in_one_line() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&a, &b], &[]);
    let (one, two) = (a.argument(), b.argument());
    let reason = not_done(&balancer, "drain 10.9.8.7:1");
    assert_eq!(reason, format!("ctl: there is no server `10.9.8.7:1`; there are {one}, {two}"));
    let reason = not_done(&balancer, "drain 127.0.0.1:");
    assert_eq!(reason, format!("ctl: `127.0.0.1:` may be one of 2: {one}, {two}"));
    for (words, part) in [
        (&["ctl", "drain"][..], "write `drain SERVER`"),
        (&["ctl", "8080", "weight", "x", "0"], "no number from 1 to 1000"),
        (&["ctl", "takeover", "1"], "no command `takeover`"),
        (&["ctl", "stop", "now"], "write `stop`"),
    ] {
        let Finished { code, stderr, .. } = run(words);
        assert_eq!(code, Some(2), "{words:?}: {stderr}");
        assert!(stderr.contains(part) && stderr.lines().count() == 1, "{words:?}: {stderr}");
    }
    let mut both = answers(&balancer, 2);
    both.sort();
    assert_eq!(both, ["a", "b"]);
}

#[test]
fn lines_may_come_in_pieces_and_other_bytes_are_refused() {
    let a = Backend::named("a");
    let balancer = Balancer::over(&[&a], &[]);
    let mut stream = connection(&balancer);
    for byte in b"info" {
        stream.write_all(&[*byte]).expect("it reads");
    }
    // As `socat` does at the end of its input.
    stream.write_all(b"\n").expect("it reads");
    stream.shutdown(std::net::Shutdown::Write).expect("open");
    let info = rest(&mut stream);
    assert!(info.starts_with(&format!("ok pid={} version=", balancer.id())), "{info}");
    for (name, bytes, expected) in [
        ("too long", vec![b'x'; 10_000], "error the line has more than 4096 bytes\n"),
        ("no text", b"\x00\x01\n".to_vec(), "error the line is no text\n"),
        ("unknown", b"GET / HTTP/1.1\r\n".to_vec(), "error there is no command `GET`"),
        ("empty", b"\n".to_vec(), "error there is no command;"),
        ("alone", b"ready\n".to_vec(), "error no takeover is under way on this connection\n"),
    ] {
        let answer = answer(&balancer, &bytes);
        assert!(answer.starts_with(expected), "{name}: {answer:?}");
    }
    let mut half = connection(&balancer);
    half.write_all(b"sta").expect("it reads");
    half.shutdown(std::net::Shutdown::Write).expect("open");
    assert_eq!(rest(&mut half), "", "half a line is no command");
    let mut slow = connection(&balancer);
    slow.write_all(b"sta").expect("it reads");
    assert_eq!(rest(&mut slow), "error no line within 5 s\n");
    assert_eq!(answers(&balancer, 1), ["a"]);
}

#[test]
fn a_thousand_connections_keep_nobody_out() {
    let a = Backend::named("a");
    let balancer = Balancer::over(&[&a], &[]);
    let mut others = Vec::new();
    for _ in 0..1_000 {
        // One that finds the backlog full was refused.
        others.extend(connect(&name(&balancer), LIMIT));
    }
    wait_until("a place", || connect(&name(&balancer), LIMIT).is_ok());
    assert!(done(&balancer, "status").contains("1 of 1 backends up"));
    assert_eq!(answers(&balancer, 1), ["a"]);
    assert!(balancer.descriptors() < 100, "{}", balancer.descriptors());
}

#[test]
fn it_is_answered_when_every_place_for_clients_is_taken() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let server = backend.argument();
    let balancer = Balancer::limited(40, &[&server, "--health", "off", "-N", "1"]);
    let clients: Vec<_> = (0..30).map(|number| balancer.ask(&format!("/{number}"))).collect();
    backend.wait_for_requests(1);
    assert!(done(&balancer, "status").contains("1 of 1 in flight"));
    done(&balancer, &format!("drain {server}"));
    gate.open();
    drop(clients);
}

#[test]
fn marks_are_shown_wherever_a_server_is() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&a, &b], &["-v", "--admin", "127.0.0.1:0"]);
    let shown = |path: &str| balancer.ask_admin(path).text();
    assert!(shown("/status").contains("\"by_hand\":false,\"set_by_hand\":null"));
    done(&balancer, &format!("drain {}", a.argument()));
    done(&balancer, &format!("weight {} 7", a.argument()));
    let json = shown("/status");
    assert!(json.contains("\"by_hand\":true,\"set_by_hand\":\"drain weight=7\""), "{json}");
    let text = shown("/status?text");
    assert!(text.contains(" by_hand reason\n") && text.contains(" drain,weight=7 -\n"), "{text}");
    let page = shown("/");
    assert!(page.contains("<td data-label=\"Why\">by hand"), "{page}");
    let top = run(&["top", &balancer.admin().to_string()]);
    assert!(top.stdout.contains("by hand: drain weight=7"), "{top:?}");
    balancer.get("/");
    balancer.stderr.wait_for(&format!("{} (drain weight=7 by hand)", a.argument()));
    balancer.signal("USR1");
    balancer.stderr.wait_for(&format!("state: backend {} drain", a.argument()));
    assert_eq!(balancer.stderr.with("weight 7, drain weight=7 by hand").len(), 1);
}

#[test]
fn without_a_control_socket_it_is_not_there() {
    let a = Backend::named("a");
    let balancer = Balancer::over(&[&a], &["--no-control"]);
    let reason = not_done(&balancer, "status");
    assert!(reason.contains("no balancer of this user"), "{reason}");
    assert_eq!(answers(&balancer, 1), ["a"]);
}

/// The binary where every user can run it; none unless the tests run as root.
fn for_all_users() -> Option<(TempDir, PathBuf)> {
    if !std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
        println!("skipped: only root can become another user");
        return None;
    }
    let directory = TempDir::new();
    let path = directory.path().join("loadbalancer");
    std::fs::copy(binary().get_program(), &path).expect("a copy");
    Some((directory, path))
}

/// Runs it as this user.
fn run_as(user: u32, program: &PathBuf, arguments: &[&str]) -> Finished {
    let mut running = Running::start(Command::new(program).uid(user).gid(user).args(arguments));
    let status = running.wait();
    Finished { code: status.code(), stdout: running.stdout.whole(), stderr: running.stderr.whole() }
}

#[test]
fn another_user_is_refused_and_root_is_not() {
    let Some((_directory, program)) = for_all_users() else { return };
    let a = Backend::named("a");
    let (server, user) = (a.argument(), 61_001);
    let arguments = ["127.0.0.1:0", &server, "--health", "off", "--user", "61001:61001"];
    let balancer = Balancer::start(&arguments);
    let place = balancer.address().to_string();
    let words = ["ctl", &place, "status"];
    assert_eq!(run_as(user, &program, &words).code, Some(0), "the same user");
    assert_eq!(run(&words).code, Some(0), "root");
    let list = run(&["ctl"]);
    let shown = |line: &&str| line.starts_with(&place) && line.contains(" 61001 ");
    assert_eq!(list.stdout.lines().filter(shown).count(), 1, "{list:?}");
    let other = run_as(61_002, &program, &words);
    assert_eq!(other.code, Some(1));
    assert!(other.stderr.contains("no balancer of this user runs"), "{other:?}");
    // A connection of another user: its process knows the name.
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.connect('\\0' + sys.argv[1])\n\
        s.sendall(b'stop\\n')\n\
        print(s.recv(100))\n";
    let name = Name { user, listen: place.clone(), process: None }.to_string();
    let mut python = Command::new("python3");
    let Ok(outcome) = python.args(["-c", script, &name]).uid(61_002).gid(61_002).output() else {
        println!("skipped: no python3");
        return;
    };
    assert!(!outcome.stdout.starts_with(b"b'ok"), "{outcome:?}");
    balancer.stderr.wait_for("a connection of another user was refused");
    assert_eq!(answers(&balancer, 1), ["a"]);
}

#[test]
fn a_user_that_may_be_several_opens_no_control_socket() {
    let a = Backend::named("a");
    let mut unshare = Command::new("unshare");
    // No user has a number there.
    unshare.args(["--user", "--"]);
    if !Command::new("unshare").args(["--user", "true"]).status().is_ok_and(|it| it.success()) {
        println!("skipped: no user namespace");
        return;
    }
    unshare.arg(binary().get_program());
    unshare.args(["127.0.0.1:0", &a.argument(), "--health", "off"]);
    let balancer = Balancer::of(Running::start(&mut unshare));
    balancer.stderr.wait_for(
        "no control socket (in this user namespace 65534 may be any of several users): \
         loadbalancer ctl cannot steer this process",
    );
    let name = Name { user: 65_534, listen: balancer.address().to_string(), process: None };
    assert!(!control::names().contains(&name));
    assert_eq!(answers(&balancer, 1), ["a"]);
}

#[test]
fn with_several_the_one_that_is_meant_is_named() {
    let Some((_directory, program)) = for_all_users() else { return };
    let a = Backend::named("a");
    let (server, user) = (a.argument(), 61_003);
    let arguments = ["127.0.0.1:0", &server, "--health", "off", "--user", "61003:61003"];
    let none = run_as(user, &program, &["ctl"]);
    assert!(none.stderr.contains("no balancer of this user runs"), "{none:?}");
    let first = Balancer::start(&arguments);
    let alone = run_as(user, &program, &["ctl", "status"]);
    assert!(alone.stdout.contains(&format!("pid {}", first.id())), "{alone:?}");
    let second = Balancer::start(&arguments);
    let both = run_as(user, &program, &["ctl", "status"]);
    assert_eq!(both.code, Some(1));
    assert!(both.stderr.contains("2 balancers run: 127.0.0.1:"), "{both:?}");
    assert!(both.stderr.contains("name one, as in loadbalancer ctl 127.0.0.1:"), "{both:?}");
    let list = run_as(user, &program, &["ctl"]);
    assert_eq!(list.stdout.lines().count(), 3, "{list:?}");
    let port = second.address().port().to_string();
    let one = run_as(user, &program, &["ctl", &port, "status"]);
    assert!(one.stdout.contains(&format!("pid {}", second.id())), "{one:?}");
}
