//! Real child processes: this test binary runs as the servers, and once as the parent.

use super::*;
use crate::cli::HttpServer;
use crate::config::HostPort;
use crate::httpserver;
use std::io::Read;
use std::net::TcpStream;

/// The environment variable with the directory to serve.
const DIR: &str = "LOADBALANCER_TEST_DIR";

/// This binary, running one of the ignored tests below.
fn run_test(part: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("demo::tests::{part}"), "--exact", "--ignored", "--nocapture"]);
    command.env(DIR, dir);
    command
}

fn start(count: usize) -> Backends {
    Backends::spawn(count, |dir| run_test("runs_as_a_server", dir)).unwrap()
}

#[test]
#[ignore = "other tests start it as a process"]
fn runs_as_a_server() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let listen = HostPort::on("127.0.0.1", 0);
    let options = HttpServer {
        listen,
        dir: dir.into(),
        until_eof: true,
        remove_dir: true,
        ..HttpServer::default()
    };
    let Err(error) = httpserver::run(&options);
    panic!("{error}");
}

#[test]
#[ignore = "other tests start it as a process"]
fn runs_as_the_parent() {
    if std::env::var_os(DIR).is_none() {
        return;
    }
    let backends = start(2);
    let mut shown = backends.dir.display().to_string();
    for address in backends.addresses() {
        shown.push_str(&format!(" {address}"));
    }
    println!("\nbackends {shown}");
    // Until it is killed.
    let _ = io::stdin().read(&mut [0]);
}

/// Waits until nothing listens on `address`.
fn wait_until_gone(address: SocketAddr) {
    let due = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < due, "{address} still listens");
        thread::yield_now();
    }
}

fn answer(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn backends_listen_share_a_private_directory_and_end_with_their_value() {
    let backends = start(3);
    let (addresses, dir) = (backends.addresses(), backends.dir.clone());
    assert_eq!((addresses.len(), backends.pids().len()), (3, 3));
    for &address in &addresses {
        let hello = format!("hello from httpserver on port {}\n", address.port());
        assert!(answer(address).ends_with(&hello));
    }
    fs::write(dir.join("index.html"), "shared").unwrap();
    assert!(addresses.iter().all(|&address| answer(address).ends_with("shared")));
    let begun = Instant::now();
    drop(backends);
    assert!(begun.elapsed() < END, "they had to be killed");
    assert!(!dir.exists());
    for address in addresses {
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn backends_end_and_leave_no_directory_when_their_parent_is_killed() {
    let mut command = run_test("runs_as_the_parent", Path::new("-"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut parent = command.spawn().unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("backends ")).unwrap();
    let mut words = line.split(' ').skip(1);
    let dir = PathBuf::from(words.next().unwrap());
    let addresses: Vec<SocketAddr> = words.map(|word| word.parse().unwrap()).collect();
    assert_eq!(addresses.len(), 2);
    assert!(addresses.iter().all(|&address| answer(address).contains("hello")));
    parent.kill().unwrap();
    parent.wait().unwrap();
    addresses.into_iter().for_each(wait_until_gone);
    let due = Instant::now() + Duration::from_secs(20);
    while dir.exists() {
        assert!(Instant::now() < due, "{} is left", dir.display());
        thread::yield_now();
    }
}

#[test]
fn one_killed_backend_leaves_the_others() {
    let mut backends = start(2);
    backends.servers[0].child.kill().unwrap();
    wait_until_gone(backends.servers[0].address);
    assert!(answer(backends.servers[1].address).contains("hello"));
}

#[test]
fn a_server_that_exits_at_once_is_an_error_and_nothing_is_left() {
    let dir = std::cell::RefCell::new(PathBuf::new());
    let outcome = Backends::spawn(2, |fresh| {
        dir.replace(fresh.to_owned());
        Command::new("true")
    });
    assert_eq!(outcome.unwrap_err().to_string(), "a demo server ended before it listened");
    assert!(!dir.borrow().exists());
    assert!(Backends::spawn(1, |_| Command::new("/none")).is_err());
}

#[test]
fn only_the_first_line_of_a_server_is_an_address() {
    let table = [
        ("httpserver: listening on http://127.0.0.1:81, serving /x", Some("127.0.0.1:81")),
        ("httpserver: listening on http://[::]:81, serving /a, serving b", Some("[::]:81")),
        ("httpserver: listening on http://, serving /x", None),
        ("thread 'client' panicked", None),
    ];
    for (line, expected) in table {
        assert_eq!(address(line), expected.map(|text| text.parse().unwrap()), "{line}");
    }
}

#[test]
fn the_advice_shows_commands_that_can_be_copied() {
    let backends = start(1);
    let text = advice("127.0.0.1:8080".parse().unwrap(), None, &backends, None);
    let port = backends.addresses()[0].port();
    for part in [
        "  curl http://127.0.0.1:8080/ ",
        "  curl http://127.0.0.1:8080/200 ",
        "  curl -T FILE http://127.0.0.1:8080/ ",
        &format!("  kill {} ", backends.pids()[0]),
        &format!("# ends the server on port {port}\n"),
        "Ctrl-C",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.ends_with('\n'));
}
