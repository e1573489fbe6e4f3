//! Clients that are common, where they are installed.

use crate::client::Identity;
use crate::common::{Backend, Balancer};
use std::io::Write;
use std::process::{Command, Stdio};

/// What a program printed, if it is installed.
pub fn printed(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        println!("skipped: {program} is not installed");
        return None;
    };
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("writing");
    let output = child.wait_with_output().expect("its end");
    let all = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&all).into_owned())
}

fn balancer(identity: &Identity, backend: &Backend) -> (Balancer, String) {
    let balancer = identity.over(&[backend], &[]);
    let url = format!("https://localhost:{}/", balancer.address().port());
    (balancer, url)
}

#[test]
fn curl_speaks_both_versions() {
    let identity = Identity::of(&["localhost"]);
    let backend = Backend::named("one");
    let (_balancer, url) = balancer(&identity, &backend);
    let trusted = identity.certificate();
    for version in ["1.2", "1.3"] {
        let arguments = ["-sS", "--cacert", &trusted, "--tls-max", version, "--ipv4", &url];
        let Some(text) = printed("curl", &arguments, "") else { return };
        assert_eq!(text, "one", "TLS {version}");
    }
    let text = printed("curl", &["-sS", "--ipv4", &url], "").unwrap_or_default();
    assert!(text.contains("certificate"), "not trusted: {text}");
}

#[test]
fn openssl_resumes_its_session() {
    let identity = Identity::of(&["localhost"]);
    let backend = Backend::named("one");
    let (balancer, _) = balancer(&identity, &backend);
    let at = balancer.address().to_string();
    let session = identity.directory.path().join("session");
    let session = session.to_str().expect("a name in UTF-8");
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for version in ["-tls1_2", "-tls1_3"] {
        let common = ["s_client", "-connect", &at, "-servername", "localhost", version, "-ign_eof"];
        let first = [&common[..], &["-sess_out", session]].concat();
        let Some(text) = printed("openssl", &first, request) else { return };
        assert!(text.contains("New, TLSv1.") && text.contains("200 OK"), "{text}");
        let again = [&common[..], &["-sess_in", session]].concat();
        let text = printed("openssl", &again, request).unwrap_or_default();
        assert!(text.contains("Reused, TLSv1.") && text.contains("200 OK"), "{text}");
    }
}

#[test]
fn renegotiation_is_refused() {
    let identity = Identity::of(&["localhost"]);
    let backend = Backend::named("one");
    let (balancer, _) = balancer(&identity, &backend);
    let at = balancer.address().to_string();
    let arguments = ["s_client", "-connect", &at, "-servername", "localhost", "-tls1_2"];
    // A line of `R` asks for it.
    let Some(text) = printed("openssl", &arguments, "R\n") else { return };
    assert!(text.contains("RENEGOTIATING") && !text.contains("200 OK"), "{text}");
    let peer = identity.config();
    let mut client = crate::client::Client::connect(&balancer, &peer, "localhost");
    assert!(client.get("localhost").ends_with("one"), "others are served");
}

#[test]
fn python_and_node_get_a_page() {
    let identity = Identity::of(&["localhost"]);
    let backend = Backend::named("one");
    let (_balancer, url) = balancer(&identity, &backend);
    let trusted = identity.certificate();
    let python = format!(
        "import ssl, urllib.request as r\n\
         print(r.urlopen({url:?}, context=ssl.create_default_context(cafile={trusted:?}))\
         .read().decode())\n"
    );
    if let Some(text) = printed("python3", &["-c", &python], "") {
        assert_eq!(text.trim(), "one");
    }
    let node = format!(
        "require('https').get({url:?}, {{ca: require('fs').readFileSync({trusted:?}), family: 4}}, \
         (got) => got.on('data', (data) => console.log(String(data))))"
    );
    if let Some(text) = printed("node", &["-e", &node], "") {
        assert_eq!(text.trim(), "one");
    }
}
