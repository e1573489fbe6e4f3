//! What each signal does: which end the program, and which have it open files again.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Gate, Running, TempDir, binary, terminal, wait_until};
use std::os::fd::AsRawFd;
use std::process::Command;

/// A shell that becomes the balancer after `script`; the arguments are the balancer's.
fn shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{script} exec \"$0\" \"$@\"")]);
    command.arg(binary().get_program()).args(arguments);
    command
}

#[test]
fn sigquit_finishes_what_is_in_flight() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.ask("/held");
    backend.wait_for_requests(1);
    balancer.signal("QUIT");
    balancer.stderr.wait_for("stopping: 1 in flight");
    gate.open();
    assert_eq!(client.response().text(), "/held");
    assert_eq!(balancer.wait().code(), Some(0));
}

#[test]
fn sigusr2_ends_nothing() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.ask("/held");
    backend.wait_for_requests(1);
    balancer.signal("USR2");
    gate.open();
    assert_eq!(client.response().text(), "/held");
    assert_eq!(balancer.get("/next").status(), 200);
    balancer.stop();
}

#[test]
fn sigusr1_opens_the_access_log_again() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-l", &log]);
    std::fs::rename(&log, format!("{log}.1")).expect("moving the log away");
    balancer.signal("USR1");
    balancer.stderr.wait_for("reopened the access log");
    assert_eq!(balancer.get("/after").status(), 200);
    wait_until("a line in the new log", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("/after"))
    });
    balancer.stop();
}

#[test]
fn sigusr1_without_an_access_log_ends_nothing_and_is_answered() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    balancer.signal("USR1");
    balancer.stderr.wait_for("SIGUSR1: no access log (-l) to reopen");
    let state = balancer.stderr.wait_for("state: backend ");
    assert!(state.contains(" up for ") && state.ends_with("s, 0 in flight, weight 1"), "{state}");
    let program = balancer.stderr.wait_for(" in flight, 0 queued, ");
    assert!(program.ends_with("1 of 1 backends up"), "{program}");
    assert_eq!(balancer.get("/").status(), 200);
    balancer.stop();
}

#[test]
fn sighup_is_always_answered_with_a_line() {
    let directory = TempDir::new();
    let backend = Backend::named("a");
    let list = directory.file("list", format!("{}\n", backend.argument()));
    let log = directory.file("log", "");
    for (options, line) in [
        (&[][..], "SIGHUP: no list file (-f) and no access log (-l)"),
        (&["-l", &log], "reopened the access log"),
        (&["-f", &list, "-R", "9"], "was read again: nothing has changed"),
    ] {
        let argument = backend.argument();
        let servers = if options.contains(&"-f") { &[][..] } else { &[argument.as_str()] };
        let arguments = [&["127.0.0.1:0"], servers, options].concat();
        let balancer = Balancer::start(&arguments);
        for count in [1, 2] {
            balancer.signal("HUP");
            balancer.stderr.wait_for_count(line, count);
        }
        assert_eq!(balancer.get("/").status(), 200, "{options:?}");
        balancer.stop();
    }
}

#[test]
fn a_log_that_reaches_the_size_limit_ends_nothing_and_its_lines_are_counted() {
    let directory = TempDir::new();
    let log = directory.file("log", "");
    let backend = Backend::named("a");
    let argument = backend.argument();
    let arguments = ["127.0.0.1:0", &argument, "--health", "off", "-l", &log];
    let mut balancer = Balancer::of(Running::start(&mut shell("ulimit -f 1;", &arguments)));
    let mut client = balancer.connect();
    let count = 40;
    for _ in 0..count {
        assert_eq!(client.get("/").status(), 200);
    }
    balancer.stderr.wait_for("cannot write the access log: file too large; ");
    balancer.signal("TERM");
    assert_eq!(balancer.wait().code(), Some(0));
    let written = std::fs::read_to_string(&log).expect("the log");
    let stderr = balancer.stderr.whole();
    let lost = stderr.lines().filter_map(|line| {
        let (before, _) = line.split_once(" access log line")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    });
    let complete = written.bytes().filter(|byte| *byte == b'\n').count();
    assert_eq!(lost.sum::<usize>() + complete, count, "{stderr}");
}

#[test]
fn a_closed_terminal_stops_it_as_sigterm_does() {
    let (user, programs) = terminal();
    let path = std::fs::read_link(format!("/proc/self/fd/{}", programs.as_raw_fd()));
    let path = path.expect("the terminal").to_str().expect("a path in UTF-8").to_owned();
    let backend = Backend::named("a");
    // `setsid -c` makes its standard input the controlling terminal.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec setsid -c \"$0\" \"$@\" <{path}")]);
    command.arg(binary().get_program());
    command.args(["127.0.0.1:0", &backend.argument(), "--health", "off"]);
    let mut balancer = Balancer::of(Running::start(&mut command));
    balancer.signal("HUP");
    balancer.stderr.wait_for("SIGHUP: no list file");
    assert_eq!(balancer.get("/").status(), 200);
    drop((user, programs));
    assert_eq!(balancer.wait().code(), Some(0));
    balancer.stderr.wait_for("stopping: ");
}

/// The tests themselves may run under `nohup`.
#[cfg(target_os = "linux")]
#[test]
#[allow(unsafe_code)]
fn what_a_test_starts_ignores_no_signal_that_the_test_ignores() {
    // SAFETY: the call takes no pointer, and nobody sends this process a SIGHUP that counts.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let mut cat = Running::start(Command::new("cat").arg("/proc/self/status"));
    assert!(cat.wait().success());
    let ignored = cat.stdout.wait_for("SigIgn:");
    let mask = ignored.rsplit('\t').next().and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let hang_up = 1 << (libc::SIGHUP - 1);
    assert_eq!(mask.map(|mask| mask & hang_up), Some(0), "{ignored}");
}

#[test]
fn under_nohup_a_closed_terminal_stops_nothing() {
    let backend = Backend::named("a");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.args([binary().get_program(), "127.0.0.1:0".as_ref(), backend.argument().as_ref()]);
    let balancer = Balancer::of(Running::start(&mut command));
    let mut client = balancer.connect();
    balancer.signal("HUP");
    // The first response may be under way when the signal is read; the second is not.
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status(), 200);
    }
    balancer.stop();
}
