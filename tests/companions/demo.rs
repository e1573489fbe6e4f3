//! The balancer over servers of its own.

use super::common::{Balancer, Running, TempDir, binary, wait_until};
use super::names_in;

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

/// Its content is in the directory of the demo.
const UPLOAD: &str = "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na";

/// A demo that keeps its files in `home`: one that is killed cannot clean up.
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

#[cfg(feature = "tls")]
#[test]
fn the_demo_in_tls_prints_how_its_certificate_is_trusted_and_removes_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = TempDir::new();
    let mut demo = binary();
    demo.args(["demo", "0", "--tls"]).env("TMPDIR", home.path());
    let balancer = Balancer::of(Running::start(&mut demo));
    assert!(balancer.start_line.contains("https://127.0.0.1:"), "{}", balancer.start_line);
    let line = balancer.stderr.wait_for("curl --cacert ");
    let words: Vec<&str> = line.split_whitespace().collect();
    let (certificate, url) = (words[2], words[3]);
    let key = certificate.replace(".pem", "-key.pem");
    for (file, words) in [(certificate, "BEGIN CERTIFICATE"), (&key, "PRIVATE KEY")] {
        assert!(std::fs::read_to_string(file).expect("a file").contains(words), "{file}");
        let mode = std::fs::metadata(file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let by_name = url.replace("127.0.0.1", "localhost");
    for url in [url, &by_name] {
        let mut get = binary();
        get.args(["get", &format!("{url}1"), "-o", "-"]).env("SSL_CERT_FILE", certificate);
        let got = get.output().expect("running get");
        assert!(got.status.success(), "{url}: {}", String::from_utf8_lossy(&got.stderr));
    }
    balancer.stop();
    assert_eq!(names_in(&home), Vec::<String>::new(), "files are left");
}

#[cfg(target_os = "linux")]
#[test]
fn the_demos_servers_end_with_it_however_it_ends() {
    let home = TempDir::new();
    for signal in ["TERM", "INT", "KILL"] {
        let mut balancer = demo(&home);
        assert_eq!(balancer.get("/1").status(), 200);
        assert_eq!(balancer.exchange(UPLOAD).status(), 201, "{signal}");
        let servers = children(balancer.id());
        assert_eq!(servers.len(), 3, "{signal}");
        balancer.signal(signal);
        let status = balancer.wait();
        assert_eq!(status.code(), (signal != "KILL").then_some(0), "{signal}");
        wait_until("the servers to end", || !servers.iter().any(|id| runs(id)));
        assert_eq!(names_in(&home), Vec::<String>::new(), "{signal}: files are left");
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
