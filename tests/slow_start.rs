//! `--slow-start`: a server that came back, or was added, gets its share little by little.

mod common;

use common::{Backend, Balancer, TempDir, timed, wait_until};

/// Of so many requests, those that `backend` gets.
fn share(balancer: &Balancer, backend: &Backend, count: usize) -> usize {
    let before = backend.requests().len();
    (0..count).for_each(|_| assert_eq!(balancer.get("/").status(), 200));
    backend.requests().len() - before
}

#[test]
fn a_server_that_came_back_gets_a_tenth_of_its_share_by_every_strategy() {
    for strategy in ["rr", "least-conn", "p2c", "least-time"] {
        // Whether a server is slower than another, which least-time asks, is up to the machine.
        timed(|| comes_back(strategy));
    }
}

fn comes_back(strategy: &str) {
    let (first, mut second) = (Backend::named("a"), Backend::named("b"));
    let options = ["--slow-start", "1h", "-s", strategy, "-c", "10ms", "--rise", "1"];
    let balancer = Balancer::probing(&[&first, &second], &options);
    let start = share(&balancer, &second, 40);
    assert!(start >= 10, "{strategy}: there is none at the start: {start} of 40");
    second.close();
    balancer.stderr.wait_for(" down: ");
    second.open();
    balancer.stderr.wait_for(&format!("backend {} up", second.argument()));
    let back = share(&balancer, &second, 100);
    assert!((3..=7).contains(&back), "{strategy}: {back} of 100, not about 5");
}

#[test]
fn a_server_that_was_added_gets_a_tenth_of_its_share() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let list = directory.file("servers", format!("{}\n", first.argument()));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--slow-start", "1h", "-v"]);
    directory.file("servers", format!("{}\n{}\n", first.argument(), second.argument()));
    balancer.stderr.wait_for("added ");
    let added = share(&balancer, &second, 100);
    assert!((3..=7).contains(&added), "{added} of 100, not about 5");
    balancer.stderr.wait_for(&format!("skipped {} in slow start", second.argument()));
}

#[test]
fn servers_that_are_added_where_no_other_is_up_share_from_the_start() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let list = directory.file("servers", "");
    let options = ["127.0.0.1:0", "-f", &list, "--slow-start", "1h", "--health", "off"];
    let balancer = Balancer::start(&options);
    directory.file("servers", format!("{}\n{}\n", first.argument(), second.argument()));
    balancer.stderr.wait_for(&format!("added {}", second.argument()));
    assert_eq!(share(&balancer, &second, 40), 20);
}

#[test]
fn the_only_server_gets_everything() {
    let mut only = Backend::named("a");
    let options = ["--slow-start", "1h", "-c", "10ms", "--rise", "1"];
    let balancer = Balancer::probing(&[&only], &options);
    assert_eq!(share(&balancer, &only, 1), 1);
    only.close();
    wait_until("the server is down", || balancer.get("/").status() == 503);
    only.open();
    wait_until("the server is up", || balancer.get("/").status() == 200);
    assert_eq!(share(&balancer, &only, 50), 50);
}
