//! Started as root, it gives that up with `--user`.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, TempDir, run, wait_until};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// Whether the tests run as root; says so if not.
fn is_root() -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        println!("skipped: only root can become another user");
    }
    is_root
}

/// The values of a line of `/proc/…/status`.
fn status(balancer: &Balancer, name: &str) -> Vec<String> {
    let path = format!("/proc/{}/status", balancer.id());
    let status = std::fs::read_to_string(path).expect("the status of a live process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_user_has_neither_groups_nor_capabilities_of_root() {
    if !is_root() {
        return;
    }
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--user", "1234:5678", "-l", &log]);
    assert_eq!(status(&balancer, "Uid"), ["1234"; 4]);
    assert_eq!(status(&balancer, "Gid"), ["5678"; 4]);
    assert_eq!(status(&balancer, "Groups"), ["5678"]);
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(&balancer, set), ["0000000000000000"], "{set}");
    }
    assert_eq!(status(&balancer, "NoNewPrivs"), ["1"]);
    assert_eq!(balancer.stderr.with("running as root"), [""; 0]);
    assert_eq!(balancer.get("/before").status(), 200);
    balancer.signal("HUP");
    balancer.stderr.wait_for("reopened the access log");
    assert_eq!(balancer.get("/after").status(), 200);
    wait_until("both lines in the log", || {
        let text = std::fs::read_to_string(&log).expect("the log");
        text.contains("/before") && text.contains("/after")
    });
    balancer.stop();
}

#[test]
fn a_named_user_has_the_groups_of_the_user_database() {
    if !is_root() {
        return;
    }
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--user", "nobody"]);
    assert_ne!(status(&balancer, "Uid")[0], "0");
    assert!(!status(&balancer, "Groups").contains(&"0".to_owned()));
    assert_eq!(status(&balancer, "CapEff"), ["0000000000000000"]);
    balancer.stop();
}

#[test]
fn root_is_reported_to_stay_root() {
    if !is_root() {
        return;
    }
    let balancer = Balancer::over(&[&Backend::named("a")], &[]);
    balancer.stderr.wait_for("running as root; --user NAME");
}

#[test]
fn a_user_that_does_not_exist_is_an_error() {
    let arguments = ["127.0.0.1:0", "1234", "--user", "no-such-user"];
    let finished = run(&arguments);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("there is no user no-such-user"), "{}", finished.stderr);
}

#[test]
fn the_directory_of_challenges_must_be_readable_for_the_user() {
    if !is_root() {
        return;
    }
    let directory = TempDir::new();
    let name = directory.path().to_str().expect("a path in UTF-8");
    let allow = |mode| std::fs::set_permissions(name, Permissions::from_mode(mode)).expect("root");
    let options = ["--acme-webroot", name, "--user", "1234:5678"];
    allow(0o700);
    let finished = run(&[&["127.0.0.1:0", "1234"], &options[..]].concat());
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let line = format!(
        "cannot use the --acme-webroot `{name}`: permission denied; let 1234:5678, the user of \
         --user, enter it"
    );
    assert!(finished.stderr.contains(&line), "{}", finished.stderr);
    allow(0o711);
    let balancer = Balancer::over(&[&Backend::named("a")], &options);
    assert_eq!(balancer.get("/.well-known/acme-challenge/token").status(), 404);
}
