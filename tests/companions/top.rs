//! The table of servers of a running balancer.

use super::common::{AtMax, Backend, Balancer, Finished};
use super::common::{ok, reply, run, wait_until};

/// What an admin address says, with a server whose name and reason would change a terminal.
const STATUS: &str = "loadbalancer 0.1.0 status 1\n\
    state running\n\
    ready_reason 1 of 2 servers up\n\
    in_flight 3\n\
    \n\
    name state in_flight reason\n\
    127.0.0.1:1234 up 3 -\n\
    h\u{1b}[2J:1 down 0 con\u{9b}2Jnection \u{202e}refused\n";

fn admin() -> Backend {
    Backend::start(|request| match request.target() {
        "/status?text" => ok(STATUS),
        _ => reply("404 Not Found", "", ""),
    })
}

fn top(address: &str) -> Finished {
    run(&["top", address])
}

#[test]
fn where_no_terminal_is_the_table_is_printed_once() {
    let admin = admin();
    let finished = top(&admin.argument());
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(lines[0].starts_with("loadbalancer 0.1.0   1 of 2 servers up"), "{finished:?}");
    let [.., up, down] = lines[..] else { panic!("{finished:?}") };
    assert!(up.starts_with("127.0.0.1:1234  up "), "{finished:?}");
    assert!(down.starts_with("h[2J:1 ") && down.ends_with("con2Jnection refused"), "{finished:?}");
    assert_eq!(admin.targets(), ["/status?text"]);
}

#[test]
fn a_running_balancer_is_shown_as_it_is() {
    let (up, down) = (Backend::named("a"), Backend::refusing());
    let options = ["127.0.0.1:0", &up.argument(), &down.argument(), "--admin", "127.0.0.1:0"];
    let balancer = Balancer::start(&options);
    let admin = balancer.admin().to_string();
    (0..4).for_each(|_| assert_eq!(balancer.get("/").status(), 200));
    let finished = top(&admin);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(lines[0].contains("   1 of 2 servers up   http, rr   on 127.0.0.1:"), "{finished:?}");
    let row = |name: &str| {
        let row = lines.iter().find(|line| line.starts_with(name));
        row.unwrap_or_else(|| panic!("{name}: {finished:?}"))
    };
    assert!(row(&up.argument()).contains("  up "), "{finished:?}");
    assert!(row(&down.argument()).contains("  down "), "{finished:?}");
    assert!(row(&down.argument()).to_lowercase().contains("refused"), "{finished:?}");
    // Its clients are not asked for what only the admin address has.
    let finished = top(&balancer.address().to_string());
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("is not the admin address"), "{finished:?}");
}

#[test]
fn requests_that_wait_for_a_server_at_its_limit_are_counted_in_its_row() {
    let AtMax { balancer, backend, gate, clients: _clients, .. } = &AtMax::with_waiting(2);
    let admin = balancer.admin().to_string();
    let words = |finished: &Finished, start: &str| -> Vec<String> {
        let line = finished.stdout.lines().find(|line| line.starts_with(start));
        line.unwrap_or_default()
            .replace("IN FLIGHT", "IN-FLIGHT")
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    wait_until("two that wait", || {
        let finished = top(&admin);
        let head = words(&finished, "SERVER");
        let column = head.iter().position(|title| title == "WAITING").expect("the column");
        words(&finished, &backend.argument()).get(column).is_some_and(|count| count == "2")
    });
    gate.open();
}

#[test]
fn what_is_no_admin_address_is_said_in_one_line() {
    for (name, answer) in [
        ("another server", ok("hello")),
        ("no such page", reply("404 Not Found", "", "no")),
        ("not allowed", reply("403 Forbidden", "", "no")),
        ("an empty response", ok("")),
        ("no HTTP", b"SSH-2.0-x\r\nconnection: close\r\n\r\n".to_vec()),
        (
            "a short one",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n".to_vec(),
        ),
    ] {
        let other = Backend::start(move |_| answer.clone());
        let finished = top(&other.argument());
        let expected = format!(
            "top: 127.0.0.1:{} is not the admin address of a balancer: \
             write what follows its --admin\n",
            other.address().port()
        );
        assert_eq!((finished.code, finished.stderr), (Some(1), expected), "{name}");
        assert_eq!(finished.stdout, "", "{name}");
    }
}

#[test]
fn an_address_where_nothing_listens_is_said_in_one_line() {
    let closed = Backend::refusing();
    let finished = top(&closed.argument());
    assert_eq!(finished.code, Some(1));
    let message = finished.stderr;
    assert!(message.contains(": cannot connect: ") && message.contains("--admin"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[cfg(target_os = "linux")]
mod on_a_terminal {
    use super::super::common::{binary, set_size, settings, terminal};
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, ExitStatus};
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    /// What ends every use of the terminal: lines break, the cursor shows, the first screen is back.
    const RESTORED: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

    /// The command on a terminal of its own.
    struct Session {
        child: Child,
        user: File,
        programs: File,
        output: Arc<Mutex<String>>,
    }

    impl Session {
        fn start(address: &str, columns: u16, rows: u16) -> Session {
            let (user, programs) = terminal();
            set_size(&programs, columns, rows);
            let end = || programs.try_clone().expect("a second handle");
            let mut command = binary();
            command.args(["top", address]).stdin(end()).stdout(end()).env("TERM", "xterm");
            let child = command.spawn().expect("starting a process");
            let output = Arc::new(Mutex::new(String::new()));
            let (copy, mut reader) = (Arc::clone(&output), user.try_clone().expect("a handle"));
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = reader.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    copy.lock().expect("the output").push_str(&text);
                }
            });
            Session { child, user, programs, output }
        }

        fn output(&self) -> String {
            self.output.lock().expect("the output").clone()
        }

        fn wait_for(&self, text: &str) {
            wait_until(text, || self.output().contains(text));
        }

        fn end(&mut self) -> ExitStatus {
            let mut status = None;
            wait_until("the end", || {
                status = self.child.try_wait().expect("looking after a process");
                status.is_some()
            });
            status.expect("it has ended")
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn the_table_is_drawn_until_q_and_the_terminal_is_as_before() {
        let admin = admin();
        let (_user, fresh) = terminal();
        let before = settings(&fresh);
        let mut session = Session::start(&admin.argument(), 60, 12);
        session.wait_for("q ends");
        let changed = settings(&session.programs);
        assert_eq!(changed.0 & (libc::ICANON | libc::ECHO), 0);
        assert_ne!(changed.0 & libc::ISIG, 0, "Ctrl-C is a signal");
        let first = session.output();
        assert!(first.contains("1 of 2 servers up"), "{first:?}");
        assert!(!first.contains("\x1b[2J"), "a byte of a server: {first:?}");
        assert_eq!(first.matches("\r\n").count(), 11, "as many lines as the terminal has");
        // It goes on, and other keys do nothing.
        session.user.write_all(b"x").expect("a key");
        admin.wait_for_requests(3);
        session.user.write_all(b"q").expect("a key");
        assert!(session.end().success());
        session.wait_for(RESTORED);
        assert_eq!(settings(&session.programs), before);
    }

    /// Answers so many requests and sends no end of the others, a byte every 0.1 s. Its address.
    fn endless_after(answered: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                std::thread::spawn(move || serve(client, number < answered));
            }
        });
        address
    }

    fn serve(mut client: TcpStream, is_answered: bool) {
        let mut head = [0; 1024];
        let _ = client.read(&mut head);
        let length = if is_answered { STATUS.len() } else { 1 << 20 };
        let _ = write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        if is_answered {
            let _ = client.write_all(STATUS.as_bytes());
            return;
        }
        while client.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    #[test]
    fn q_ends_it_while_a_request_hangs() {
        // Accepts connections, and nothing ever reads or answers them.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = silent.local_addr().expect("an address").to_string();
        let (_user, fresh) = terminal();
        let mut session = Session::start(&address, 80, 24);
        session.user.write_all(b"q").expect("a key");
        // Had it not been read, the first request would have failed.
        assert!(session.end().success());
        assert_eq!(settings(&session.programs), settings(&fresh));
        assert!(!session.output().contains('\x1b'), "no frame, so nothing to restore");
        // Once there is a table, by a balancer whose answer never ends.
        let mut session = Session::start(&endless_after(1), 80, 24);
        session.wait_for("q ends");
        session.wait_for("no whole answer in time");
        session.user.write_all(b"q").expect("a key");
        assert!(session.end().success());
        session.wait_for(RESTORED);
    }

    #[test]
    fn a_first_answer_that_never_ends_is_a_failure() {
        let mut session = Session::start(&endless_after(0), 80, 24);
        assert_eq!(session.end().code(), Some(1));
    }

    #[test]
    fn a_signal_restores_the_terminal_and_ends_it() {
        for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
            let admin = admin();
            let mut session = Session::start(&admin.argument(), 80, 24);
            let (_user, fresh) = terminal();
            session.wait_for("q ends");
            let id = session.child.id().to_string();
            let sent = Command::new("/bin/kill").args([&format!("-{name}"), &id]).status();
            assert!(sent.expect("running kill").success());
            assert_eq!(session.end().signal(), Some(number), "{name}");
            session.wait_for(RESTORED);
            assert!(session.output().ends_with(RESTORED), "{name}: something followed");
            assert_eq!(settings(&session.programs), settings(&fresh), "{name}");
        }
    }

    /// The last whole frame.
    fn frame(output: &str) -> Option<&str> {
        output.rsplit("\x1b[H").nth(1)
    }

    #[test]
    fn a_window_of_another_size_gets_another_table() {
        let admin = admin();
        let session = Session::start(&admin.argument(), 200, 12);
        session.wait_for("q ends");
        assert!(session.output().contains("  WHY"), "{:?}", session.output());
        set_size(&session.programs, 30, 30);
        wait_until("30 lines", || {
            frame(&session.output()).is_some_and(|frame| frame.matches("\r\n").count() == 29)
        });
        let output = session.output();
        let frame = frame(&output).expect("a whole frame");
        assert!(!frame.contains("WHY") && frame.contains("  con2Jnection refused"), "{frame:?}");
    }

    #[test]
    fn the_last_table_stays_while_the_balancer_does_not_answer() {
        let is_gone = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&is_gone);
        let admin = Backend::start(move |_| match gone.load(SeqCst) {
            false => ok(STATUS),
            true => reply("503 Service Unavailable", "", ""),
        });
        let session = Session::start(&admin.argument(), 120, 12);
        session.wait_for("q ends");
        is_gone.store(true, SeqCst);
        wait_until("two frames without an answer", || {
            session.output().matches("no answer for ").count() > 1
        });
        let output = session.output();
        let frame = frame(&output).expect("a whole frame");
        assert!(frame.contains("no answer for ") && frame.contains("127.0.0.1:1234"), "{frame:?}");
        is_gone.store(false, SeqCst);
        wait_until("an answer", || session.output()[output.len()..].contains("q ends"));
    }
}
