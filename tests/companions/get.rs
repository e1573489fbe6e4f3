//! The download client.

use super::common::{
    Backend, Balancer, Finished, Running, TempDir, assert_same_bytes, binary, ok, pattern, reply,
    wait_until,
};
use super::names_in;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

/// Runs the download client in `directory` to its end.
fn get(directory: &TempDir, arguments: &[&str]) -> Finished {
    let mut command = binary();
    command.arg("get").args(arguments).current_dir(directory.path());
    let mut running = Running::start(&mut command);
    let code = running.wait().code();
    Finished { code, stdout: running.stdout.whole(), stderr: running.stderr.whole() }
}

#[test]
fn get_saves_a_file_under_its_last_segment() {
    let backend = Backend::start(|_| ok(pattern(500_000)));
    let directory = TempDir::new();
    let url = format!("http://{}/some/where/file.bin?query", backend.argument());
    let finished = get(&directory, &[&url]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(names_in(&directory), ["file.bin"]);
    let saved = std::fs::read(directory.path().join("file.bin")).expect("the file");
    assert_same_bytes("the file", &saved, &pattern(500_000));
}

#[test]
fn get_saves_under_the_name_given_by_output() {
    let backend = Backend::start(|_| ok("hello"));
    let directory = TempDir::new();
    let url = format!("http://{}/file", backend.argument());
    assert_eq!(get(&directory, &[&url, "-o", "other"]).code, Some(0));
    assert_eq!(names_in(&directory), ["other"]);
}

#[test]
fn get_follows_redirects_through_the_balancer() {
    let backend = Backend::start(|request| ok(request.target()));
    let balancer = Balancer::over(&[&backend], &["-m", "redirect"]);
    let directory = TempDir::new();
    let finished = get(&directory, &[&format!("http://{}/file", balancer.address())]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains(&backend.argument()), "{}", finished.stderr);
    let saved = std::fs::read_to_string(directory.path().join("file")).expect("the file");
    assert_eq!(saved, "/file");
}

#[test]
fn get_follows_every_redirecting_status() {
    for status in [301, 302, 303, 307, 308] {
        let backend = Backend::start(move |request| match request.target() {
            "/file" => reply(&format!("{status} X"), "Location: /there\r\n", ""),
            target => ok(target),
        });
        let directory = TempDir::new();
        let finished = get(&directory, &[&format!("http://{}/file", backend.argument())]);
        assert_eq!(finished.code, Some(0), "{status}: {}", finished.stderr);
        assert_eq!(backend.targets(), ["/file", "/there"], "{status}");
    }
}

#[test]
fn get_fails_without_a_file_when_it_cannot_have_the_whole_of_it() {
    let cut = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf";
    let chunked = "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   4\r\nhalf\r\n";
    for (name, answer) in [
        ("404", reply("404 Not Found", "", "no").clone()),
        ("503", reply("503 Service Unavailable", "", "no")),
        ("a body cut short", cut.as_bytes().to_vec()),
        ("chunks without a last one", chunked.as_bytes().to_vec()),
        ("a circle", reply("302 Found", "Location: /file\r\n", "")),
        ("no HTTP", b"SSH-2.0-x\r\nconnection: close\r\n\r\n".to_vec()),
        ("somewhere else", reply("302 Found", "Location: ftp://x/file\r\n", "")),
    ] {
        let backend = Backend::start(move |_| answer.clone());
        let directory = TempDir::new();
        let finished = get(&directory, &[&format!("http://{}/file", backend.argument())]);
        assert_eq!(finished.code, Some(1), "{name}: {}", finished.stderr);
        assert_eq!(names_in(&directory), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn get_fails_when_the_port_is_closed() {
    let backend = Backend::refusing();
    let directory = TempDir::new();
    let finished = get(&directory, &[&format!("http://{}/file", backend.argument())]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert_eq!(names_in(&directory), Vec::<String>::new());
}

#[test]
fn an_unfinished_download_is_removed_when_a_signal_ends_it() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let backend = Backend::raw(|peer| {
            peer.head();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour");
            // Until the client is gone.
            peer.some();
        });
        let directory = TempDir::new();
        let mut command = binary();
        command.args(["get", &format!("http://{}/file", backend.argument())]);
        let mut running = Running::start(command.current_dir(directory.path()));
        wait_until("the beginning of a download", || names_in(&directory).len() == 1);
        running.signal(name);
        assert_eq!(running.wait().signal(), Some(number), "{name}");
        assert_eq!(names_in(&directory), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn get_keeps_the_mode_of_the_file_it_replaces() {
    let backend = Backend::start(|_| ok("new"));
    let directory = TempDir::new();
    let path = directory.file("file", "old");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("a mode");
    let url = format!("http://{}/file", backend.argument());
    assert_eq!(get(&directory, &[&url]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).expect("the file"), "new");
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o640);
}

#[test]
fn no_byte_of_a_server_controls_the_terminal() {
    let evil = "a\u{1b}[2Jb\u{9b}2Jc\u{202e}d\u{2066}e\u{7}f";
    let fields = format!("Server: {evil}\r\nX-Served-By: {evil}\r\n");
    let status = format!("404 {evil}");
    let answers = [
        reply("200 OK", &fields.replace(['\u{1b}', '\u{7}'], ""), "x"),
        reply(
            &status.replace(['\u{1b}', '\u{7}'], ""),
            &fields.replace(['\u{1b}', '\u{7}'], ""),
            "x",
        ),
        reply("302 Found", &format!("Location: /{evil}\r\n").replace(['\u{1b}', '\u{7}'], ""), ""),
        reply("302 Found", "Location: http://\u{202e}h\u{9b}/\r\n", ""),
        reply("302 Found", "Location: \u{202e}x\u{9b}://h/\r\n", ""),
        reply(&status, &fields, ""),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let backend = Backend::start(move |_| answer.clone());
        let directory = TempDir::new();
        let url = format!("http://{}/%1b%5b2J%c2%9b%e2%80%aename", backend.argument());
        let finished = get(&directory, &[&url]);
        let is_safe = |c: char| !c.is_control() && !('\u{2000}'..'\u{2070}').contains(&c);
        assert!(
            finished.stderr.lines().all(|line| line.chars().all(is_safe)),
            "{number}: {finished:?}"
        );
        assert!(names_in(&directory).concat().chars().all(is_safe), "{number}");
    }
}

#[test]
fn get_is_quiet_but_for_errors_when_asked() {
    let backend = Backend::start(|request| match request.target() {
        "/file" => reply("302 Found", "Location: /there\r\n", ""),
        "/there" => ok("hello"),
        _ => reply("503 Service Unavailable", "", ""),
    });
    let directory = TempDir::new();
    let url = |path: &str| format!("http://{}{path}", backend.argument());
    for (arguments, code, output) in [
        (&["--quiet", &url("/file")][..], 0, ""),
        (&["-q", &url("/file"), "-o", "/dev/null"], 0, ""),
        (&["-qo-", &url("/file")], 0, "hello\n"),
        (&["-q", &url("/none")], 1, ""),
    ] {
        let finished = get(&directory, arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), output));
        assert_eq!(finished.stderr.is_empty(), code == 0, "{}", finished.stderr);
    }
    assert_eq!(names_in(&directory), ["file"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_shows_the_progress_and_then_the_result_in_its_place() {
    use super::common::{DEADLINE, terminal};
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::time::{Duration, Instant};
    let is_shown = Arc::new(AtomicBool::new(false));
    let is_enough = Arc::clone(&is_shown);
    let backend = Backend::raw(move |peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let start = Instant::now();
        while !is_enough.load(SeqCst) && start.elapsed() < DEADLINE && peer.try_send("x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let (mut user, programs) = terminal();
    let mut command = binary();
    command.args(["get", &format!("http://{}/", backend.argument()), "-o", "/dev/null"]);
    let mut child = command.stderr(programs).spawn().expect("starting a process");
    // The terminal ends for its user once no program has it open.
    drop(command);
    let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = user.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
        is_shown.store(true, SeqCst);
    }
    assert!(child.wait().expect("its end").success());
    let shown = String::from_utf8_lossy(&shown);
    let lines: Vec<&str> = shown.split("\x1b[K").collect();
    assert!(lines[0].starts_with('\r') && lines[0].ends_with(" B/s"), "{shown:?}");
    let [.., cleared, result] = &lines[..] else { panic!("{shown:?}") };
    assert_eq!(*cleared, "\r", "{shown:?}");
    assert!(result.starts_with("get: http://"), "{shown:?}");
}
