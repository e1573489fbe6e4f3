//! Pipes and devices as list, error page and log: they never stop the program.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Peer, Running, TempDir, binary, run, wait_until};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A new FIFO in the directory; its path.
fn fifo(directory: &TempDir, name: &str) -> String {
    let path = directory.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let status = Command::new("mkfifo").arg(&path).status().expect("running mkfifo");
    assert!(status.success(), "mkfifo {path}");
    path
}

fn line(backend: &Backend) -> String {
    format!("{}\n", backend.argument())
}

#[test]
fn a_list_from_a_pipe_is_read_once_and_sighup_reports_that() {
    let (directory, backend) = (TempDir::new(), Backend::named("a"));
    let list = fifo(&directory, "list");
    let (path, lines) = (list.clone(), line(&backend));
    let writer = std::thread::spawn(move || {
        let mut fifo = File::options().write(true).open(path).expect("a reader");
        fifo.write_all(lines.as_bytes()).expect("a reader");
    });
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    writer.join().expect("written");
    balancer.signal("HUP");
    balancer.stderr.wait_for("is no regular file: it was read once, at the start");
    assert_eq!(balancer.get("/").text(), "a");
}

#[test]
fn a_list_that_is_a_device_ends_the_start() {
    for device in ["/dev/zero", "/dev/null"] {
        for more in [&[][..], &["--check"], &["--print-config"]] {
            let finished = run(&[&["127.0.0.1:0", "-f", device], more].concat());
            let expected = format!(
                "the list file `{device}` is a device; name a file with one HOST:PORT per line\n"
            );
            assert_eq!(finished.code, Some(1), "{more:?}: {}", finished.stderr);
            assert!(finished.stderr.contains(&expected), "{more:?}: {}", finished.stderr);
        }
    }
}

#[test]
fn a_list_whose_pipe_has_no_writer_does_not_keep_sigterm_from_ending_the_start() {
    let directory = TempDir::new();
    let list = fifo(&directory, "list");
    let mut process = Running::loadbalancer(&["127.0.0.1:0", "-f", &list]);
    process.signal("TERM");
    process.wait();
    assert_eq!(process.stderr.with("listening on"), [""; 0]);
}

#[test]
fn a_list_that_has_become_a_pipe_is_reported_and_the_next_file_is_read() {
    let directory = TempDir::new();
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let list = directory.file("list", line(&first));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    std::fs::remove_file(&list).expect("removing the list");
    fifo(&directory, "list");
    balancer.signal("HUP");
    let report = balancer.stderr.wait_for("it is no regular file");
    assert!(report.contains(&list), "{report}");
    assert_eq!(balancer.get("/").text(), "a");
    std::fs::remove_file(&list).expect("removing the pipe");
    directory.file("list", line(&second));
    wait_until("an answer by b", || balancer.get("/").text() == "b");
}

#[test]
fn a_list_replaced_by_one_of_the_same_size_and_time_is_noticed() {
    let directory = TempDir::new();
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    // Ports have 4 or 5 digits.
    let pad = |text: String| format!("{:<30}\n", text.trim_end());
    let list = directory.file("list", pad(line(&first)));
    let other = directory.file("other", pad(line(&second)));
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    for path in [&list, &other] {
        let file = File::options().write(true).open(path).expect("the list");
        file.set_modified(hour_ago).expect("setting the time");
    }
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    assert_eq!(balancer.get("/").text(), "a");
    std::fs::rename(other, list).expect("replacing the list");
    wait_until("an answer by b", || balancer.get("/").text() == "b");
}

#[test]
fn an_error_page_must_be_a_regular_file() {
    let directory = TempDir::new();
    let page = fifo(&directory, "page");
    for page in [page.as_str(), "/dev/zero", "/"] {
        let finished = run(&["127.0.0.1:0", "1234", "--error-page", &format!("503={page}")]);
        assert_eq!(finished.code, Some(1), "{page}");
        assert!(finished.stderr.contains("no regular file"), "{}", finished.stderr);
    }
}

#[test]
fn a_log_on_a_pipe_without_a_reader_is_reported_and_used_when_a_reader_comes() {
    let (directory, backend) = (TempDir::new(), Backend::named("a"));
    let log = fifo(&directory, "log");
    let mut balancer = Balancer::over(&[&backend], &["-l", &log]);
    assert_eq!(balancer.get("/unread").status(), 200);
    balancer.stderr.wait_for("it is a pipe nobody reads; 1 access log line was lost");
    let (path, read) = (log.clone(), std::thread::spawn);
    let reader = read(move || {
        let mut text = [0; 100];
        let mut fifo = File::open(path).expect("a writer");
        let count = fifo.read(&mut text).expect("readable");
        String::from_utf8_lossy(&text[..count]).into_owned()
    });
    wait_until("a line that is read", || {
        assert_eq!(balancer.get("/read").status(), 200);
        reader.is_finished()
    });
    let text = reader.join().expect("read");
    assert!(text.contains("\"GET /read "), "{text}");
    balancer.signal("TERM");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn sighup_with_a_log_on_a_pipe_does_not_stop_the_balancer() {
    let (directory, backend) = (TempDir::new(), Backend::named("a"));
    let log = fifo(&directory, "log");
    // Both ends, so that nothing waits for anything here.
    let reader = File::options().read(true).write(true).open(&log).expect("the pipe");
    let mut balancer = Balancer::over(&[&backend], &["-l", &log]);
    assert_eq!(balancer.get("/").status(), 200);
    drop(reader);
    for _ in 0..3 {
        balancer.signal("HUP");
        assert_eq!(balancer.get("/").status(), 200);
    }
    balancer.stderr.wait_for_count("reopened the access log", 1);
    balancer.signal("TERM");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn an_access_log_is_opened_again_as_often_as_it_is_asked_for() {
    let directory = TempDir::new();
    let log = directory.file("log", "");
    let balancer = Balancer::over(&[&Backend::named("a")], &["-l", &log]);
    for count in 1..=6 {
        balancer.signal("HUP");
        balancer.stderr.wait_for_count("the access log", count);
    }
    assert_eq!(balancer.stderr.with("cannot reopen"), [""; 0]);
    balancer.stop();
}

#[test]
fn at_most_four_earlier_logs_wait_for_a_reader_that_stalls() {
    let (directory, backend) = (TempDir::new(), Backend::named("a"));
    let log = fifo(&directory, "log");
    let mut both_ends = File::options();
    both_ends.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let mut pipe = both_ends.open(&log).expect("the pipe");
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    let balancer = Balancer::over(&[&backend], &["-l", &log]);
    for count in 1..=5 {
        assert_eq!(balancer.get("/unwritten").status(), 200);
        balancer.signal("HUP");
        let reports = balancer.stderr.wait_for_count("the access log", count);
        let is_reopened = reports[count - 1].contains("reopened");
        assert_eq!(is_reopened, count <= 4, "{reports:?}");
    }
    balancer.stderr.wait_for("the previous ones are not being read; still using the previous log");
    assert_eq!(balancer.get("/still").status(), 200);
}

/// A process under which no DNS server ever answers, or none where that cannot be arranged: it
/// takes root and a mount namespace.
fn without_dns(arguments: &[&str]) -> Option<(Running, UdpSocket, TempDir)> {
    let directory = TempDir::new();
    let silent = UdpSocket::bind("127.77.77.77:53");
    let Ok(silent) = silent else {
        println!("skipped: only root may be a DNS server");
        return None;
    };
    let servers = directory.file("resolv.conf", "nameserver 127.77.77.77\noptions attempts:9\n");
    let inside = |command: &str| {
        let script = format!("mount --bind {servers} /etc/resolv.conf && exec {command}");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "/bin/sh", "-c", &script]);
        unshare
    };
    if !inside("true").status().is_ok_and(|status| status.success()) {
        println!("skipped: no mount namespace here");
        return None;
    }
    let mut command = inside("\"$0\" \"$@\"");
    command.arg(binary().get_program()).args(arguments);
    Some((Running::start(&mut command), silent, directory))
}

#[test]
fn a_name_that_no_dns_server_answers_delays_neither_the_start_nor_a_change() {
    let directory = TempDir::new();
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let dead = "unanswered.example.test:80\n";
    let list = directory.file("list", format!("{dead}{}", line(&first)));
    let arguments = ["127.0.0.1:0", "-f", &list, "--health", "off"];
    let Some((process, _silent, _resolver)) = without_dns(&arguments) else { return };
    let balancer = Balancer::of(process);
    balancer.stderr.wait_for("unanswered.example.test:80: no answer from DNS yet");
    assert_eq!(balancer.get("/").text(), "a");
    directory.file("list", format!("{dead}{}", line(&second)));
    balancer.signal("HUP");
    wait_until("an answer by b", || balancer.get("/").text() == "b");
    assert_eq!(balancer.get("/").text(), "b");
    assert_eq!(balancer.stderr.with("looked up again"), [""; 0], "it was not waited for");
    balancer.stop();
}

#[test]
fn a_log_on_standard_output_that_is_a_socket_is_written() {
    let backend = Backend::named("a");
    let (reader, socket) = UnixStream::pair().expect("a pair of sockets");
    let mut command = binary();
    command.args(["127.0.0.1:0", "--health", "off", "-l", "/dev/stdout", &backend.argument()]);
    command.stdin(Stdio::null()).stdout(OwnedFd::from(socket)).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starting a process");
    let mut lines = BufReader::new(child.stderr.take().expect("its standard error")).lines();
    let line = lines.find_map(|line| line.ok().filter(|line| line.contains("listening on ")));
    let line = line.expect("it listens");
    let (_, address) = line.split_once("://").expect("an address");
    let address = address.split(',').next().and_then(|address| address.parse().ok());
    let mut client = Peer::connect(address.expect("an address"));
    assert_eq!(client.get("/logged").status(), 200);
    drop(command);
    reader.set_read_timeout(Some(common::DEADLINE)).expect("a time-out");
    let mut log = String::new();
    BufReader::new(reader).read_line(&mut log).expect("a line");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(log.contains("\"GET /logged HTTP/1.1\" 200"), "{log}");
}
