//! The list file and the log change while the program runs.

mod common;

use common::{Backend, Balancer, Gate, Peer, TempDir, wait_until};
use std::time::{Duration, Instant};

/// Balances over a list file of these servers, which is checked often.
fn over(backends: &[&Backend]) -> (Balancer, TempDir, String) {
    checking_every("20ms", backends, &[])
}

/// [`over`], without probes during the test.
fn over_until_signalled(backends: &[&Backend], options: &[&str]) -> (Balancer, TempDir, String) {
    checking_every("1h", backends, options)
}

fn checking_every(
    interval: &str,
    backends: &[&Backend],
    options: &[&str],
) -> (Balancer, TempDir, String) {
    let directory = TempDir::new();
    let list = directory.file("servers", lines(backends));
    let file = ["127.0.0.1:0", "-f", &list, "-c", interval];
    let balancer = Balancer::start(&[&file, options].concat());
    (balancer, directory, list)
}

fn lines(backends: &[&Backend]) -> String {
    backends.iter().map(|backend| format!("{}\n", backend.argument())).collect()
}

/// Sends requests until this server answers.
fn ask_until(balancer: &Balancer, name: &str) {
    wait_until(&format!("an answer by {name}"), || balancer.get("/").text() == name);
}

#[test]
fn a_server_added_to_the_list_is_used() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let (balancer, directory, _list) = over(&[&first]);
    assert_eq!(balancer.get("/").text(), "a");
    directory.file("servers", lines(&[&first, &second]));
    ask_until(&balancer, "b");
    ask_until(&balancer, "a");
}

#[test]
fn a_server_removed_from_the_list_is_not_used_any_more() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let (balancer, directory, _list) = over(&[&first, &second]);
    directory.file("servers", lines(&[&second]));
    wait_until("four answers in a row by b", || (0..4).all(|_| balancer.get("/").text() == "b"));
}

#[test]
fn a_request_at_a_server_removed_from_the_list_is_finished() {
    let gate = Gate::new();
    let first = Backend::holding(&gate, "a");
    let second = Backend::named("b");
    let (balancer, directory, _list) = over(&[&first]);
    let mut client: Peer = balancer.connect();
    client.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    first.wait_for_requests(1);
    directory.file("servers", lines(&[&second]));
    ask_until(&balancer, "b");
    gate.open();
    assert_eq!(client.response().text(), "a");
}

#[test]
fn sighup_reads_the_list_at_once() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let (balancer, directory, _list) = over_until_signalled(&[&first], &["--health", "tcp"]);
    directory.file("servers", lines(&[&second]));
    balancer.signal("HUP");
    ask_until(&balancer, "b");
}

#[test]
fn a_list_that_is_empty_for_a_moment_removes_no_server() {
    // Less than a file has to be unchanged before it is read.
    let moment = Duration::from_millis(50);
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let (balancer, directory, _list) = over_until_signalled(&[&first], &[]);
    let begun = Instant::now();
    directory.file("servers", "");
    balancer.signal("HUP");
    while begun.elapsed() < moment / 2 {
        let status = balancer.get("/").status();
        assert!(status == 200 || begun.elapsed() > moment, "{status}: the list was taken");
    }
    directory.file("servers", lines(&[&first, &second]));
    // On a machine slower than that the list was empty for long: it may have been applied.
    let is_late = begun.elapsed() > moment;
    if is_late {
        balancer.signal("HUP");
    }
    wait_until("an answer by b", || {
        let answer = balancer.get("/");
        assert!(is_late || answer.status() == 200, "the list was taken while it was empty");
        answer.text() == "b"
    });
}

#[test]
fn a_list_with_a_bad_line_changes_nothing_and_is_reported() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let (balancer, directory, list) = over_until_signalled(&[&first], &[]);
    directory.file("servers", format!("{}nonsense\n", lines(&[&second])));
    balancer.signal("HUP");
    balancer.stderr.wait_for(&format!("{list}:2: "));
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "a");
    }
    assert!(second.requests().is_empty());
}

#[test]
fn a_list_that_is_gone_changes_nothing() {
    let first = Backend::named("a");
    let (balancer, _directory, list) = over_until_signalled(&[&first], &[]);
    std::fs::remove_file(&list).expect("removing the list");
    balancer.signal("HUP");
    balancer.stderr.wait_for(&list);
    assert_eq!(balancer.get("/").text(), "a");
}

#[test]
fn servers_of_the_command_line_are_not_removed_by_the_list() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let name = first.argument();
    let (balancer, directory, _list) = over_until_signalled(&[&second], &[&name]);
    ask_until(&balancer, "b");
    directory.file("servers", "# none\n");
    balancer.signal("HUP");
    wait_until("four answers in a row by a", || (0..4).all(|_| balancer.get("/").text() == "a"));
}

#[test]
fn sighup_opens_the_access_log_again() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-l", &log]);
    assert_eq!(balancer.get("/before").status(), 200);
    let moved = format!("{log}.1");
    std::fs::rename(&log, &moved).expect("moving the log away");
    balancer.signal("HUP");
    wait_until("a new log", || std::path::Path::new(&log).exists());
    wait_until("a line in the new log", || {
        assert_eq!(balancer.get("/after").status(), 200);
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("/after"))
    });
    let old = std::fs::read_to_string(&moved).expect("the old log");
    assert!(old.contains("/before"), "{old}");
}

#[test]
fn a_removed_server_is_named_and_reported_again_when_it_is_idle() {
    let gate = Gate::new();
    let (first, second) = (Backend::held(&gate), Backend::named("b"));
    let (balancer, directory, _list) = over(&[&first]);
    let mut client = balancer.ask("/held");
    first.wait_for_requests(1);
    directory.file("servers", lines(&[&second]));
    let name = first.argument();
    balancer.stderr.wait_for(&format!("removed {name} (1 request left)"));
    balancer.stderr.wait_for(&format!("added {}", second.argument()));
    assert_eq!(balancer.stderr.with("may be stopped"), [""; 0]);
    gate.open();
    assert_eq!(client.response().status(), 200);
    balancer.stderr.wait_for(&format!("{name} is idle, it may be stopped"));
    directory.file("servers", lines(&[&first]));
    balancer.stderr.wait_for(&format!("removed {} (idle, it may be stopped)", second.argument()));
}

#[test]
fn a_list_that_becomes_empty_is_reported_with_what_follows() {
    let backend = Backend::named("a");
    let (balancer, directory, _list) = over(&[&backend]);
    directory.file("servers", "# none\n");
    balancer.stderr.wait_for("no backend is left, every request is answered 503");
}

#[test]
fn added_servers_are_used_in_the_order_of_the_list() {
    let gate = Gate::new();
    let held = Backend::held(&gate);
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    for (one, other, expected) in [(&first, &second, "a"), (&second, &first, "b")] {
        let directory = TempDir::new();
        let list = directory.file("servers", lines(&[&held]));
        let options = ["127.0.0.1:0", "-f", &list, "-c", "20ms", "--strategy", "first"];
        let balancer = Balancer::start(&options);
        directory.file("servers", lines(&[one, other]));
        balancer.stderr.wait_for("2 added, 1 removed");
        assert_eq!(balancer.get("/").text(), expected);
    }
}

#[test]
fn a_limit_counts_the_requests_from_before_an_edit_and_a_removal() {
    let gate = Gate::new();
    let (held, other) = (Backend::held(&gate), Backend::named("b"));
    let (balancer, directory, _list) = over(&[&held]);
    let mut first = balancer.ask("/first");
    held.wait_for_requests(1);
    let limited = format!("{} max=1 weight=2\n", held.argument());
    directory.file("servers", &limited);
    balancer.stderr.wait_for("0 added, 0 removed, 1 kept (1 changed)");
    directory.file("servers", lines(&[&other]));
    balancer.stderr.wait_for("1 added, 1 removed");
    directory.file("servers", &limited);
    balancer.stderr.wait_for(&format!("removed {}", other.argument()));
    let mut second = balancer.ask("/second");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(held.targets(), ["/first"], "one request is the limit");
    gate.open();
    assert_eq!(first.response().text(), "/first");
    assert_eq!(second.response().text(), "/second");
}

#[test]
fn an_edit_brings_no_server_up() {
    let (down, up) = (Backend::named("a"), Backend::named("b"));
    down.set_health(common::reply("500 Broken", "", ""));
    let (balancer, directory, _list) = over(&[&down, &up]);
    balancer.stderr.wait_for(&format!("{} down", down.argument()));
    let edited = format!("{} weight=100\n{}", down.argument(), lines(&[&up]));
    directory.file("servers", edited);
    balancer.stderr.wait_for("2 kept (1 changed)");
    for _ in 0..8 {
        assert_eq!(balancer.get("/").text(), "b");
    }
}

#[test]
fn a_server_that_drains_finishes_what_it_has_and_gets_nothing_new() {
    let gate = Gate::new();
    let (held, other) = (Backend::held(&gate), Backend::named("b"));
    let (balancer, directory, _list) = over(&[&held]);
    let mut first = balancer.ask("/first");
    held.wait_for_requests(1);
    let drained = format!("{} drain\n{}", held.argument(), lines(&[&other]));
    directory.file("servers", drained);
    balancer.stderr.wait_for(&format!("{} is draining (1 request left)", held.argument()));
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "b");
    }
    held.wait_for_probes(held.probes().len() + 1);
    gate.open();
    assert_eq!(first.response().text(), "/first");
    balancer.stderr.wait_for(&format!("{} is idle, it may be stopped", held.argument()));
    assert_eq!(held.targets(), ["/first"]);
    directory.file("servers", lines(&[&held, &other]));
    balancer.stderr.wait_for(&format!("{} is in rotation again", held.argument()));
    ask_until(&balancer, "/");
}

#[test]
fn a_server_that_is_set_to_down_is_not_probed_until_it_is_back() {
    let (down, other) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let text = format!("{} down\n{}", down.argument(), lines(&[&other]));
    let list = directory.file("servers", text);
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "-c", "20ms"]);
    other.wait_for_probes(10);
    assert_eq!(balancer.get("/").text(), "b");
    assert_eq!((down.probes().len(), down.targets().len()), (0, 0));
    directory.file("servers", lines(&[&down, &other]));
    ask_until(&balancer, "a");
    down.wait_for_probes(1);
    directory.file("servers", format!("{} down\n{} drain\n", down.argument(), other.argument()));
    balancer
        .stderr
        .wait_for("none is up, 1 draining, 1 set to down, every request is answered 503");
    assert_eq!(balancer.get("/").status(), 503);
}
