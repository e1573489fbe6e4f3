//! The system calls per request, by kind and number, as `strace` shows them. Numbers that depend on
//! how busy the machine is are upper bounds; the others are exact.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Running, TempDir, binary, wait_until};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REQUESTS: usize = 200;

/// The lines of a trace, each call as one: where another thread comes in between, strace writes a
/// line for its beginning and one for its end, which alone says how it ended.
fn joined(trace: &str) -> Vec<String> {
    let mut begun = HashMap::new();
    let mut lines = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').expect("a process number");
        if let Some((start, _)) = line.split_once(" <unfinished ...>") {
            begun.insert(thread, start);
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            lines.extend(begun.remove(thread).map(|start| format!("{start}{end}")));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// The thread that made this call.
fn thread(line: &str) -> &str {
    line.split_once(' ').expect("a process number").0
}

/// The system calls of a balancer, one line of the trace each.
struct Trace {
    /// Those of the loop's thread.
    of_loop: Vec<String>,
    /// Those of its other threads: the writer of the log and name look-ups. They begin,
    /// end and allocate when the scheduler lets them, so only their number is checked.
    of_others: Vec<String>,
}

impl Trace {
    /// The calls of a balancer over `backend` under this load: those after the first `mark` at or
    /// after the request for `/begin`, up to the one for `/end`, included. None, and a note, where
    /// no program can be traced.
    fn of(backend: &Backend, mark: &str, load: impl FnOnce(&Balancer)) -> Option<Trace> {
        Trace::with(&[], backend, mark, load)
    }

    /// The same, of a balancer with these options.
    fn with(
        options: &[&str],
        backend: &Backend,
        mark: &str,
        load: impl FnOnce(&Balancer),
    ) -> Option<Trace> {
        let directory = TempDir::new();
        let file = directory.path().join("trace");
        // `-D`: strace runs as a grandchild, so that the balancer is our child, to be signalled and
        // waited for.
        let strace = || {
            let mut strace = Command::new("strace");
            strace.args(["-D", "-f", "-s", "32", "-o"]).arg(&file);
            strace
        };
        let mut trial = strace();
        trial.arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !trial.status().is_ok_and(|status| status.success()) {
            println!("skipped: strace is not installed, or may not trace here");
            return None;
        }
        let mut command = strace();
        command.arg(binary().get_program());
        command.args(["127.0.0.1:0", "--health", "off", &backend.argument()]).args(options);
        let balancer = Balancer::of(Running::start(&mut command));
        load(&balancer);
        balancer.stop();
        let mut whole = String::new();
        wait_until("the end of the trace", || {
            whole = std::fs::read_to_string(&file).expect("a trace");
            whole.contains("+++ exited with 0 +++")
        });
        let lines = joined(&whole);
        let after = |target: &str| {
            let is_request = |line: &String| line.contains(&format!("\"GET {target} "));
            let request = lines.iter().position(is_request).expect("the request in the trace");
            let is_mark = |line: &String| line.contains(&format!("{mark}("));
            request + lines[request..].iter().position(is_mark).expect("the mark in the trace") + 1
        };
        let counted = lines[after("/begin")..after("/end")].iter().cloned();
        let (of_loop, of_others) = counted.partition(|line| thread(line) == thread(&lines[0]));
        Some(Trace { of_loop, of_others })
    }

    /// How often each call was made; those that would have blocked are counted apart.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in &self.of_loop {
            // `26407 close(14)  = 0`.
            let (_, call) = line.split_once(' ').expect("a process number");
            let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
            // In debug builds the standard library checks a descriptor before it closes it.
            if cfg!(debug_assertions) && rest.contains(" F_GETFD)") {
                continue;
            }
            let (_, result) = rest.rsplit_once(" = ").unwrap_or_default();
            let without_result =
                result.starts_with("-1 EAGAIN") || name == "epoll_wait" && result == "0";
            let name =
                if without_result { format!("{name} without result") } else { name.to_owned() };
            *counts.entry(name).or_insert(0) += 1;
        }
        counts
    }

    /// Fails unless each call was made so often per request: exactly, or at most. Waits that end by
    /// a timer are not counted, as their number depends on how long the test takes.
    fn costs(&self, exactly: &[(&str, usize)], at_most: &[(&str, usize)]) {
        let mut complaints = String::new();
        let mut counts = self.counts();
        counts.remove("epoll_wait without result");
        for (name, times) in exactly {
            let (made, wanted) = (counts.remove(*name).unwrap_or(0), times * REQUESTS);
            if made != wanted {
                let _ = writeln!(complaints, "{name}: {made} times instead of {wanted}");
            }
        }
        for (name, times) in at_most {
            let (made, most) = (counts.remove(*name).unwrap_or(0), times * REQUESTS);
            if made > most {
                let _ = writeln!(complaints, "{name}: {made} times, {most} at most");
            }
        }
        for (name, made) in counts {
            let _ = writeln!(complaints, "{name}: {made} times, which is not expected");
        }
        // Nothing is handed to another thread per request; one that begins or ends makes about ten.
        let made = self.of_others.len();
        if made > REQUESTS / 2 {
            let _ = writeln!(complaints, "{made} calls of other threads");
        }
        let excerpt: Vec<&str> = self.of_loop.iter().map(String::as_str).take(40).collect();
        let excerpt = excerpt.join("\n");
        assert!(
            complaints.is_empty(),
            "{REQUESTS} requests:\n{complaints}\nwhich begin:\n{excerpt}"
        );
    }
}

#[test]
fn a_kept_connection_costs_four_socket_calls_a_request_and_nothing_else() {
    let backend = Backend::named("a");
    let trace = Trace::of(&backend, "recvfrom", |balancer| {
        let mut client = balancer.connect();
        client.get("/warms-up");
        client.get("/begin");
        for _ in 1..REQUESTS {
            assert_eq!(client.get("/").text(), "a");
        }
        client.get("/end");
    });
    let Some(trace) = trace else { return };
    trace.costs(&[("recvfrom", 2), ("sendto", 2)], &[("epoll_wait", 2)]);
}

#[test]
fn an_access_log_costs_no_call_per_request() {
    let backend = Backend::named("a");
    let mut took = Duration::ZERO;
    let directory = TempDir::new();
    let log = directory.path().join("log");
    let options = ["-l", log.to_str().expect("UTF-8")];
    let trace = Trace::with(&options, &backend, "recvfrom", |balancer| {
        let mut client = balancer.connect();
        client.get("/warms-up");
        let start = Instant::now();
        client.get("/begin");
        for _ in 1..REQUESTS {
            assert_eq!(client.get("/").text(), "a");
        }
        client.get("/end");
        took = start.elapsed();
    });
    let Some(mut trace) = trace else { return };
    let logged = std::fs::read_to_string(&log).expect("a log").lines().count();
    assert_eq!(logged, REQUESTS + 2, "nothing is lost");
    // Lines are handed over ten times a second: a call that wakes the writer, one with which it
    // writes, and one with which it waits; and as the lock is held then, perhaps one for that.
    let most = 4 * (took.as_millis() as usize / 100 + 2);
    // Its buffers grow to their size once.
    let is_of_log = |line: &String| {
        [" futex(", " write(", " brk(", " mremap("].iter().any(|call| line.contains(call))
    };
    let every_call = trace.of_loop.iter().chain(&trace.of_others);
    let of_log = every_call.filter(|line| is_of_log(line)).count();
    assert!(of_log <= most, "{of_log} calls for the log in {took:?}");
    trace.of_loop.retain(|line| !is_of_log(line));
    trace.of_others.retain(|line| !is_of_log(line));
    trace.costs(&[("recvfrom", 2), ("sendto", 2)], &[("epoll_wait", 2)]);
}

#[test]
fn a_large_upload_is_copied_twice_at_most_before_it_stays_in_the_kernel() {
    let backend = Backend::named("a");
    let body = vec![b'x'; 1024 * 1024];
    let trace = Trace::of(&backend, "recvfrom", |balancer| {
        let mut client = balancer.connect();
        client.get("/begin");
        for _ in 0..10 {
            let head =
                format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
            client.send([head.as_bytes(), &body].concat());
            assert_eq!(client.response().text(), "a");
        }
        client.get("/end");
    });
    let Some(trace) = trace else { return };
    let bytes = |line: &String| line.rsplit_once(" = ").and_then(|(_, it)| it.parse().ok());
    let is_copy = |line: &&String| {
        line.contains("recvfrom(") && bytes(line).is_some_and(|count: usize| count > 16 * 1024)
    };
    let copies = trace.of_loop.iter().filter(is_copy).count();
    // The head and what comes with it, and what more fits beside what a longer head has displaced.
    assert!(copies <= 2 * 10, "{copies} large reads for 10 uploads");
}

#[test]
fn a_connection_per_request_is_accepted_registered_served_and_closed() {
    let backend = Backend::named("a");
    let trace = Trace::of(&backend, "close", |balancer| {
        let ask = |target: &str| {
            let mut client = balancer.connect();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            assert_eq!(client.response().text(), "a");
            assert_eq!(client.some(), None, "the end");
        };
        ask("/warms-up");
        ask("/begin");
        (1..REQUESTS).for_each(|_| ask("/"));
        ask("/end");
    });
    let Some(trace) = trace else { return };
    // The request is read right after the accept; only if it has not arrived yet, one more call and
    // one more wait are needed. Edges come per connection, so each burst is accepted to its end.
    trace.costs(
        &[("accept4", 1), ("recvfrom", 2), ("sendto", 2), ("close", 1)],
        &[
            ("accept4 without result", 1),
            ("recvfrom without result", 1),
            ("epoll_ctl", 1),
            ("epoll_wait", 4),
        ],
    );
}
