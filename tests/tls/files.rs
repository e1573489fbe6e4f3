//! The files of certificates and keys: what is wrong with them, and what happens when they change.

use crate::client::{Client, Identity, VALID};
use crate::common::{Backend, Finished, TempDir, run, wait_until};
use loadbalancer::net::tls::SelfSigned;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

#[test]
fn every_wrong_file_gets_one_line() {
    let directory = TempDir::new();
    let made = SelfSigned::new(&["a.example"], VALID).expect("random bytes");
    let other = SelfSigned::new(&["b.example"], VALID).expect("random bytes");
    let nameless = SelfSigned::new(&[""], VALID).expect("random bytes");
    let file = |name: &str, text: &str| directory.file(name, text);
    let certificate = file("certificate.pem", &made.certificate);
    let key = file("key.pem", &made.key);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n\
                     -----END ENCRYPTED PRIVATE KEY-----\n";
    let damaged = made.certificate.replace("MII", "M!!").replacen("MI", "M!", 1);
    for (name, options, expected) in [
        ("missing", vec!["/nowhere/c.pem"], "cannot read the certificate `/nowhere/c.pem`"),
        ("empty", vec![&*file("empty", "")], "has no `-----BEGIN CERTIFICATE-----`"),
        ("no key in it", vec![&*certificate], "there is no private key in"),
        ("a key only", vec![&*key], "has no `-----BEGIN CERTIFICATE-----`"),
        ("damaged", vec![&*file("damaged", &damaged), "--key", &key], "is damaged"),
        (
            "encrypted",
            vec![&*certificate, "--key", &*file("encrypted", encrypted)],
            "is encrypted; write it without a password",
        ),
        (
            "another's key",
            vec![&*certificate, "--key", &*file("other.key", &other.key)],
            "does not belong to the certificate",
        ),
        ("a directory", vec!["/tmp"], "it is no regular file"),
        (
            "no name",
            vec![&*file("nameless", &format!("{}{}", nameless.certificate, nameless.key))],
            "is for no name",
        ),
    ] {
        let arguments = [&["127.0.0.1:0", "1", "--cert"], &options[..]].concat();
        let done = run(&arguments);
        assert_eq!(done.code, Some(1), "{name}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{name}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{name}: {}", done.stderr);
        let checked = run(&[&arguments[..], &["--check=config"]].concat());
        assert_eq!(checked.code, Some(1), "{name}: {}", checked.stderr);
        assert!(checked.stderr.contains(expected), "{name}: {}", checked.stderr);
    }
}

#[test]
fn a_certificate_that_is_not_valid_now_is_a_warning() {
    let directory = TempDir::new();
    let backend = Backend::named("one");
    for (valid, expected) in [
        (["20200101000000Z", "20210101000000Z"], "has expired"),
        (["21000101000000Z", "21200101000000Z"], "is not valid for another"),
    ] {
        let made = SelfSigned::new(&["a.example"], valid).expect("random bytes");
        let pem = directory.file("c.pem", format!("{}{}", made.certificate, made.key));
        let balancer = crate::common::Balancer::over(&[&backend], &["--cert", &pem]);
        balancer.stderr.wait_for(expected);
    }
}

/// Connects until the server shows this certificate.
fn wait_until_shown(balancer: &crate::common::Balancer, new: &Identity) {
    let der = CertificateDer::from_pem_slice(new.made.certificate.as_bytes()).expect("PEM");
    wait_until("the new certificate", || {
        let mut client = Client::connect(balancer, &new.config(), "a.example");
        let sent = std::io::Write::write_all(&mut client.0, b"GET / HTTP/1.1\r\n");
        sent.is_ok()
            && client.0.conn.peer_certificates().is_some_and(|chain| chain.first() == Some(&der))
    });
}

#[test]
fn a_certificate_that_changes_is_used_and_connections_keep_theirs() {
    let (old, new) = (Identity::of(&["a.example"]), Identity::of(&["a.example"]));
    let backend = Backend::named("one");
    let balancer = old.over(&[&backend], &[]);
    let mut kept = Client::connect(&balancer, &old.config(), "a.example");
    kept.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    kept.wait_for("one");
    std::fs::copy(&new.pem, &old.pem).expect("a new certificate");
    wait_until_shown(&balancer, &new);
    balancer.stderr.wait_for("the certificates were read again");
    kept.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    kept.wait_for("one");
}

#[test]
fn a_wrong_certificate_changes_nothing_until_it_is_right() {
    let (old, new) = (Identity::of(&["a.example"]), Identity::of(&["a.example"]));
    let backend = Backend::named("one");
    let balancer = old.over(&[&backend], &[]);
    std::fs::write(&old.pem, "nonsense").expect("a file");
    balancer.stderr.wait_for("still using the previous certificates");
    let mut client = Client::connect(&balancer, &old.config(), "a.example");
    assert!(client.get("a.example").ends_with("one"));
    std::fs::copy(&new.pem, &old.pem).expect("a new certificate");
    balancer.signal("HUP");
    wait_until_shown(&balancer, &new);
}

/// What `ctl reload` prints, and whether it was carried out.
fn reload(balancer: &crate::common::Balancer) -> (bool, String) {
    let address = balancer.address().to_string();
    let Finished { code, stdout, stderr } = run(&["ctl", &address, "reload"]);
    (code == Some(0), format!("{stdout}{stderr}"))
}

#[test]
fn a_reload_is_answered_when_the_certificates_were_read() {
    let (old, new) = (Identity::of(&["a.example"]), Identity::of(&["a.example"]));
    let backend = Backend::named("one");
    let balancer = old.over(&[&backend], &[]);
    std::fs::copy(&new.pem, &old.pem).expect("a new certificate");
    let (is_done, text) = reload(&balancer);
    assert!(is_done && text.contains("the certificates were read again"), "{text}");
    let mut client = Client::connect(&balancer, &new.config(), "a.example");
    assert!(client.get("a.example").ends_with("one"), "the answer comes when it is in use");
    std::fs::write(&old.pem, "nonsense").expect("a file");
    let (is_done, text) = reload(&balancer);
    assert!(!is_done && text.contains("still using the previous certificates"), "{text}");
}
