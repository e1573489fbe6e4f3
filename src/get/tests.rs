//! Downloads from tiny servers that play a script.

use super::*;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;

/// Gives each connection in turn the next answer, `HERE` replaced by its own address, and closes.
fn script(answers: &[&str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers: Vec<String> =
        answers.iter().map(|text| text.replace("HERE", &address.to_string())).collect();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /") && !request.contains(&b'#'));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

/// A directory of its own for one test, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("get-{name}-{}", std::process::id()));
        // What a test run that was killed under the same id has left.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    /// Downloads into the directory: the outcome as text, and the messages.
    fn get(&self, url: &str, output: Option<&str>) -> (Result<(), String>, String) {
        let output = output.map(|name| self.0.join(name));
        let mut messages = Vec::new();
        let get = Get { url: url.to_owned(), output, quiet: false };
        let outcome =
            download(&get, &self.0, &Parts::default(), Duration::from_secs(20), &mut messages);
        (outcome.map_err(|failure| failure.to_string()), String::from_utf8(messages).unwrap())
    }

    /// Names and contents of all files.
    fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = Vec::new();
        for entry in fs::read_dir(&self.0).unwrap() {
            let entry = entry.unwrap();
            let content = fs::read_to_string(entry.path()).unwrap();
            files.push((entry.file_name().into_string().unwrap(), content));
        }
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(name: &str, content: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), content.to_owned())]
}

#[test]
fn a_body_of_any_framing_is_saved_whole() {
    let table = [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ("close", "HTTP/1.1 200 OK\r\n\r\nabc"),
        ("http10", "HTTP/1.0 200 OK\r\n\r\nabc"),
        ("interim", "HTTP/1.1 103 Hint\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc"),
        ("surplus", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"),
    ];
    for (name, answer) in table {
        let scratch = Scratch::new(&format!("framing-{name}"));
        let url = format!("http://{}/dir/a%20b?c#d", script(&[answer]));
        let (outcome, messages) = scratch.get(&url, None);
        assert_eq!(outcome, Ok(()), "{name}");
        assert!(messages.contains("a b: 3 bytes in "), "{messages}");
        assert_eq!(scratch.files(), file("a b", "abc"), "{name}");
    }
}

#[test]
fn the_server_is_named_by_its_fields_or_its_address() {
    let scratch = Scratch::new("named");
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    let both = format!("{head}X-Served-By: 1234\r\nServer: httpserver\r\n\r\n");
    let one = format!("{head}Server: some\u{9b}2J\u{202e}th\u{2067}ing\u{200f}\r\n\r\n");
    let none = format!("{head}\r\n");
    let address = script(&[&both, &one, &none]);
    for expected in ["1234 (httpserver)", "some2Jthing", &address.to_string()] {
        let (_, messages) = scratch.get(&format!("http://{address}/a"), None);
        assert!(messages.ends_with(&format!(", served by {expected}\n")), "{messages}");
    }
}

#[test]
fn each_redirect_is_followed_and_reported() {
    for status in [301, 302, 303, 307, 308] {
        let scratch = Scratch::new(&format!("redirect-{status}"));
        let head = format!("HTTP/1.1 {status} Moved\r\nContent-Length: 3\r\nLocation: ");
        let address = script(&[
            &format!("{head}http://HERE/b/c\r\n\r\nabc"),
            &format!("{head}../d?e\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        ]);
        let (outcome, messages) = scratch.get(&format!("http://{address}/a"), None);
        assert_eq!(outcome, Ok(()));
        let expected = format!("get: {status} http://{address}/b/c -> http://{address}/d?e\n");
        assert!(messages.contains(&expected), "{messages}");
        assert_eq!(scratch.files(), file("a", "abc"));
    }
}

#[test]
fn redirects_that_never_end_are_refused() {
    let scratch = Scratch::new("loop");
    let to = |path: &str| format!("HTTP/1.1 301 Moved\r\nLocation: {path}\r\n\r\n");
    let (outcome, _) = scratch.get(&format!("http://{}/a", script(&[&to("")])), None);
    assert!(outcome.unwrap_err().ends_with("/a: the redirects form a loop"));
    let address = script(&[&to("b"), &to("c"), &to("/b")]);
    let (outcome, _) = scratch.get(&format!("http://{address}/a"), None);
    assert!(outcome.unwrap_err().ends_with("/b: the redirects form a loop"));

    let hops: Vec<String> = (0..=REDIRECTS_MAX).map(|hop| to(&hop.to_string())).collect();
    let mut hops: Vec<&str> = hops.iter().map(String::as_str).collect();
    let (outcome, _) = scratch.get(&format!("http://{}/a", script(&hops)), None);
    assert!(outcome.unwrap_err().ends_with("/10: more than 10 redirects"));
    hops[REDIRECTS_MAX] = "HTTP/1.1 200 OK\r\n\r\nabc";
    let (outcome, _) = scratch.get(&format!("http://{}/a", script(&hops)), None);
    assert_eq!(outcome, Ok(()));
}

#[test]
fn each_failure_has_its_reason_and_leaves_no_file() {
    let table = [
        ("HTTP/1.1 404 Not Found\r\n\r\nno", "404 Not Found, served by "),
        ("HTTP/1.1 503 x\r\nServer: s\r\n\r\n", "503 Service Unavailable, served by s"),
        ("HTTP/1.1 304 x\r\n\r\n", "304 Not Modified"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "the body ended early, after 3 bytes"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "the body ended early, after 3 bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
            "the server's chunked framing is malformed",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\na", "Content-Length is malformed"),
        ("HTTP/1.1 301 Moved\r\n\r\n", "the redirect has no Location field"),
        ("HTTP/1.1 301 Moved\r\nLocation: ftp://h/\r\n\r\n", "redirected, but `ftp` is not"),
        ("HTTP/1.1 200", "the server closed without a response"),
        ("SSH-2.0-OpenSSH\r\n", "the status line is malformed"),
        ("", "the server closed without a response"),
    ];
    for (number, (answer, expected)) in table.iter().enumerate() {
        let scratch = Scratch::new(&format!("failure-{number}"));
        let (outcome, _) = scratch.get(&format!("http://{}/a", script(&[answer])), None);
        let text = outcome.unwrap_err();
        assert!(text.contains(expected) && !text.contains('\n'), "{text}");
        assert_eq!(scratch.files(), []);
    }
}

#[test]
fn an_old_file_stays_until_the_new_one_is_whole_and_a_link_is_not_followed() {
    let scratch = Scratch::new("replace");
    fs::write(scratch.0.join("a"), "old").unwrap();
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew";
    let address = script(&[cut, whole, whole]);
    let url = format!("http://{address}/a");
    assert!(scratch.get(&url, None).0.is_err());
    assert_eq!(scratch.files(), file("a", "old"));
    assert_eq!(scratch.get(&url, None).0, Ok(()));
    assert_eq!(scratch.files(), file("a", "new"));

    let elsewhere = Scratch::new("elsewhere");
    fs::write(elsewhere.0.join("b"), "kept").unwrap();
    fs::remove_file(scratch.0.join("a")).unwrap();
    symlink(elsewhere.0.join("b"), scratch.0.join("a")).unwrap();
    assert_eq!(scratch.get(&url, None).0, Ok(()));
    assert_eq!(elsewhere.files(), file("b", "kept"));
    assert_eq!(scratch.files(), file("a", "new"));
}

#[test]
fn an_output_named_by_the_user_is_taken_as_it_is() {
    let scratch = Scratch::new("output");
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    let url = format!("http://{}/a", script(&[whole, whole, whole]));
    assert_eq!(scratch.get(&url, Some("copy")).0, Ok(()));
    assert_eq!(scratch.files(), file("copy", "abc"));
    assert_eq!(scratch.get(&url, Some("/dev/null")).0, Ok(()));
    let (outcome, _) = scratch.get(&url, Some("."));
    assert!(outcome.unwrap_err().starts_with("cannot write "));
    assert_eq!(scratch.files(), file("copy", "abc"));
}

#[test]
fn a_wrong_url_is_exit_code_2_and_a_failure_1() {
    let outcome = |url: &str| {
        let get = Get { url: url.to_owned(), ..Get::default() };
        run(&get).unwrap_err()
    };
    for url in ["ftp://h/", "h", "http://u@h/", "http://h:0/"] {
        assert_eq!(outcome(url).exit_code(), 2, "{url}");
    }
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = outcome(&format!("http://{unused}/"));
    assert!(matches!(failure, Failure::Connect(..)), "{failure}");
    assert_eq!(failure.exit_code(), 1);
}

#[test]
fn a_silent_server_times_out() {
    let scratch = Scratch::new("silent");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    let get = Get { url, ..Get::default() };
    let failure =
        download(&get, &scratch.0, &Parts::default(), Duration::from_millis(20), &mut io::sink());
    assert!(matches!(failure, Err(Failure::TimedOut(..))), "{failure:?}");
}
