//! `loadbalancer get https://…` against the balancer itself.

use crate::client::{Identity, VALID};
use crate::common::{Backend, binary, ok, pattern};
use loadbalancer::net::tls::SelfSigned;
use std::process::Output;

fn get(url: &str, trusted: &str) -> Output {
    let mut command = binary();
    command.env("SSL_CERT_FILE", trusted);
    command.args(["get", url, "-q", "-o", "-"]).output().expect("running get")
}

#[test]
fn a_file_is_downloaded_whole_from_a_server_that_is_trusted() {
    let identity = Identity::of(&["localhost", "127.0.0.1"]);
    let content = pattern(500_000);
    let answer = content.clone();
    let backend = Backend::start(move |_| ok(&answer));
    let balancer = identity.over(&[&backend], &[]);
    let port = balancer.address().port();
    for host in ["localhost", "127.0.0.1"] {
        let done = get(&format!("https://{host}:{port}/x"), &identity.certificate());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && done.stdout == content, "{host}: {said}");
    }
}

#[test]
fn a_server_that_cannot_be_trusted_is_said_in_words() {
    let identity = Identity::of(&["localhost"]);
    let backend = Backend::named("one");
    let balancer = identity.over(&[&backend], &[]);
    let url = format!("https://localhost:{}/", balancer.address().port());
    let other = SelfSigned::new(&["localhost"], VALID).expect("random bytes");
    let other = identity.directory.file("other.pem", other.certificate);
    let empty = identity.directory.file("empty.pem", "");
    let by_address = url.replace("localhost", "127.0.0.1");
    let plain = format!("https://localhost:{}/", backend.port());
    for (url, trusted, expected) in [
        (&url, &other, "certificate is signed by nobody we trust"),
        (&by_address, &identity.certificate(), "certificate is for localhost, not for 127.0.0.1"),
        (&url, &empty, "there is no certificate in"),
        (&plain, &other, "cannot connect: "),
    ] {
        let done = get(url, trusted);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains(expected) && said.lines().count() == 1, "{url}: {said}");
        assert_eq!(done.status.code(), Some(1), "{url}");
        assert!(done.stdout.is_empty());
    }
    assert!(backend.requests().is_empty());
}
