//! How servers in TLS are written, and what is wrong with what is not.

use crate::common::{TempDir, run};

#[test]
fn what_is_wrong_on_the_command_line_is_said_with_a_hint() {
    for (argument, expected) in [
        ("https://a.example/path", "is more than a server: write `https://a.example`"),
        ("https://a.example:8443?x", "is more than a server: write `https://a.example:8443`"),
        ("https://8443", "has no host to verify: write `https://localhost:8443`"),
        ("https://:8443", "has no host to verify: write `https://localhost:8443`"),
        ("https://a.example:0", "port 0 is not in use"),
        ("https://a.example:99999", "has too big a port"),
        ("https://", "is not an address"),
        ("https://unix:/run/x", "is more than a server"),
        ("https://user@a.example", "cannot be a host name"),
        ("ftp://a.example", "is a URL"),
    ] {
        let done = run(&["127.0.0.1:0", argument]);
        assert_eq!(done.code, Some(2), "{argument}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{argument}: {}", done.stderr);
    }
    let done = run(&["127.0.0.1:0", "https://a.example", "a.example:443"]);
    assert!(done.stderr.contains("twice"), "{}", done.stderr);
    assert_eq!(done.code, Some(2));
}

#[test]
fn a_list_is_printed_as_it_was_read() {
    let directory = TempDir::new();
    let list = directory.file(
        "list",
        "https://a.example weight=2\n\
         HTTPS://[::1]:8443/ insecure\n\
         https://b.example:8443 ca=/etc/ca.pem sni=inner.example max=3 backup\n\
         https://c.example each drain\n",
    );
    let done = run(&["127.0.0.1:0", "-f", &list, "--print-config"]);
    for (line, expected) in [
        (1, "https://a.example:443 weight=2"),
        (2, "https://[::1]:8443 insecure"),
        (3, "https://b.example:8443 max=3 backup ca=/etc/ca.pem sni=inner.example"),
        (4, "https://c.example:443 each drain"),
    ] {
        let expected = format!("backend {expected} file:{line}\n");
        assert!(done.stdout.contains(&expected), "{expected}: {}{}", done.stdout, done.stderr);
    }
}
