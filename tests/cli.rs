//! The command line: errors, help, what is printed and what is logged.

mod common;

use common::{Backend, Balancer, Running, TempDir, ok, run, timed, wait_until};
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

/// Runs to the end and fails unless this was one line on standard error and this exit code.
fn fails_with(arguments: &[&str], code: i32, value: &str) {
    let finished = run(arguments);
    let shown = arguments.join(" ");
    assert_eq!(finished.code, Some(code), "{shown}: {}", finished.stderr);
    assert_eq!(finished.stdout, "", "{shown}");
    assert_eq!(finished.stderr.lines().count(), 1, "{shown}: {}", finished.stderr);
    assert!(finished.stderr.contains(value), "{shown}: {}", finished.stderr);
}

#[test]
fn a_wrong_command_line_is_one_line_that_names_the_value_and_exit_status_2() {
    for (line, value) in [
        ("", "no backend"),
        ("8080", "no backend"),
        ("8080 abc", "`abc`"),
        ("abc 1234", "`abc`"),
        ("8080 0", "`0`"),
        ("8080 65536", "`65536`"),
        ("65536 1234", "`65536`"),
        ("8080 -1", "`-1`"),
        ("8080 1234 1234", "`1234`"),
        ("8080 8080", "`8080`"),
        ("8080 [::1 1234", "`[::1`"),
        ("8080 http://localhost:1234/", "`http://localhost:1234/`"),
        ("8080 1234 --bogus", "`--bogus`"),
        ("8080 1234 -x", "`-x`"),
        ("8080 1234 --stratgy rr", "--strategy"),
        ("8080 1234 -N 8 -N 9", "-N"),
        ("8080 1234 -N", "-N"),
        ("8080 1234 -N 0", "`0`"),
        ("8080 1234 -N eight", "`eight`"),
        ("8080 1234 -R 0", "-R"),
        ("8080 1234 -c soon", "`soon`"),
        ("8080 1234 -s nonsense", "`nonsense`"),
        ("8080 1234 -m udp", "`udp`"),
        ("8080 1234 --health-timeout 6s", "`6s`"),
        ("8080 1234 --error-page 503", "`503`"),
        ("8080 1234 --redirect-status 302", "--redirect-status"),
        ("8080 1234 --verbose=yes", "--verbose"),
        ("8080 1234 -s header", "--hash-field"),
        ("8080 1234 -m tcp -s uri", "-s uri"),
        ("8080 1234 -m tcp --error-page 503=x", "--error-page"),
        ("8080 1234 -m redirect -N 8", "-N"),
        ("8080 1234 -s rank --health off", "-s rank"),
        ("dmeo", "demo"),
        ("version 1", "`1`"),
        ("8080 version", "`version`"),
        ("demo 1 2", "`2`"),
        ("demo --bogus", "`--bogus`"),
        ("httpserver", "port"),
        ("httpserver abc", "`abc`"),
        ("httpserver 1 2", "`2`"),
        ("get", "URL"),
        ("get localhost:1234/file", "localhost:1234/file"),
        ("get ftp://localhost/file", "ftp"),
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        fails_with(&arguments, 2, value);
    }
}

#[test]
fn a_taken_port_is_exit_code_1_and_names_the_port() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    fails_with(&[&address, "1234"], 1, &address);
    fails_with(&["httpserver", &address], 1, &address);
    fails_with(&["demo", &address], 1, &address);
}

#[test]
fn an_unknown_host_is_exit_code_1_and_named() {
    // A label longer than DNS allows: unknown without a query.
    let host = format!("{}.invalid", "a".repeat(64));
    fails_with(&["127.0.0.1:0", &format!("{host}:80")], 1, &host);
    fails_with(&[&format!("{host}:80"), "1234"], 1, &host);
}

#[test]
fn files_that_cannot_be_used_are_exit_code_1_and_named() {
    let directory = TempDir::new();
    let missing = directory.path().join("missing").join("file");
    let missing = missing.to_str().expect("a path in UTF-8");
    fails_with(&["127.0.0.1:0", "1234", "-l", missing], 1, missing);
    fails_with(&["127.0.0.1:0", "1234", "--error-page", &format!("503={missing}")], 1, missing);
    fails_with(&["httpserver", "127.0.0.1:0", "-d", missing], 1, missing);
    fails_with(&["httpserver", "127.0.0.1:0", "-l", missing], 1, missing);
    let large = directory.file("large.html", vec![b'x'; 100_000]);
    fails_with(&["127.0.0.1:0", "1234", "--error-page", &format!("503={large}")], 1, &large);
}

#[test]
fn a_list_file_that_does_not_exist_at_the_start_is_an_error_with_a_hint() {
    let directory = TempDir::new();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().expect("a path in UTF-8");
    fails_with(&["127.0.0.1:0", "-f", missing], 1, missing);
    fails_with(&["127.0.0.1:0", "-f", missing], 1, "create it empty");
}

#[test]
fn every_all_down_status_comes_with_retry_after() {
    for status in ["500", "429", "503"] {
        let down = Backend::refusing();
        let balancer = Balancer::over(&[&down], &["--all-down-status", status]);
        let answer = balancer.get("/");
        assert_eq!(answer.status().to_string(), status);
        let seconds = answer.field("Retry-After").expect("a time").parse::<u32>();
        assert!(seconds.is_ok_and(|seconds| (1..=60).contains(&seconds)), "{}", answer.head);
    }
}

#[test]
fn an_unknown_host_in_the_list_is_reported_and_the_others_are_used() {
    let backend = Backend::named("a");
    let directory = TempDir::new();
    let host = format!("{}.invalid", "a".repeat(64));
    let list = directory.file("servers", format!("{host}:80\n{}\n", backend.argument()));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    let line = balancer.stderr.wait_for(&host);
    assert!(line.contains(&format!("{list}:1: ")), "{line}");
    for _ in 0..3 {
        assert_eq!(balancer.get("/").text(), "a");
    }
}

#[test]
fn help_goes_to_standard_output_with_exit_code_0() {
    for line in ["--help", "-h", "8080 1234 --help", "demo --help", "httpserver -h", "get --help"] {
        let finished = run(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(finished.code, Some(0), "{line}");
        assert_eq!(finished.stderr, "", "{line}");
        assert!(finished.stdout.contains("Usage"), "{line}: {}", finished.stdout);
    }
}

#[test]
fn help_fits_a_terminal_and_has_no_colours_when_piped() {
    for option in ["--help", "-h"] {
        let help = run(&[option]).stdout;
        for line in help.lines() {
            assert!(line.chars().count() <= 78, "{line}");
        }
        assert!(!help.contains('\x1b'));
    }
    assert!(run(&["-h"]).stdout.lines().count() <= 25);
}

#[test]
fn version_goes_to_standard_output_with_exit_code_0() {
    for option in ["--version", "-V", "version"] {
        let finished = run(&[option]);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
        assert!(finished.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", finished.stdout);
        assert_eq!(finished.stdout.lines().count(), 1);
    }
}

#[test]
fn the_start_line_says_where_how_and_over_what() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&first, &second], &["-s", "lc"]);
    let expected = format!(
        "loadbalancer: listening on http://{}, balancing by least-conn over 2 backends: {} {}",
        balancer.address(),
        first.argument(),
        second.argument()
    );
    assert_eq!(balancer.start_line, expected);
}

#[test]
fn what_is_printed_has_no_colours_when_it_is_no_terminal() {
    let down = Backend::refusing();
    let mut balancer = Balancer::over(&[&down], &["-v"]);
    assert_eq!(balancer.get("/").status(), 503);
    balancer.stderr.wait_for(" down: ");
    balancer.signal("TERM");
    balancer.wait();
    let all = balancer.stderr.whole();
    assert!(!all.contains('\x1b'), "{all}");
}

#[test]
fn a_probe_has_the_host_and_the_method_that_are_asked_for() {
    let plain = Backend::named("a");
    let balancer = Balancer::probing(&[&plain], &["-c", "20ms"]);
    plain.wait_for_probes(1);
    let probe = plain.probes().remove(0);
    assert_eq!(probe.field("Host"), Some(plain.argument().as_str()));
    assert!(probe.head.starts_with("GET /healthcheck HTTP/1.1\r\n"), "{}", probe.head);
    drop(balancer);

    let named = Backend::named("a");
    let options = ["-c", "20ms", "--health-host", "www.example.org", "--health-method", "OPTIONS"];
    let balancer = Balancer::probing(&[&named], &options);
    named.wait_for_probes(3);
    let probe = named.probes().remove(0);
    assert_eq!(probe.field("Host"), Some("www.example.org"));
    assert!(probe.head.starts_with("OPTIONS /healthcheck HTTP/1.1\r\n"), "{}", probe.head);
    assert!(balancer.stderr.with(" down").is_empty());
}

/// A response to HEAD has the length of the content that GET would get, and no content.
#[test]
fn a_probe_by_head_does_not_wait_for_content() {
    timed(|| {
        use std::io::{Read, Write};
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let backend = listener.local_addr().expect("an address").to_string();
        let (sender, probed) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 1_024];
                let count = stream.read(&mut head).unwrap_or(0);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
                let is_head =
                    head[..count].starts_with(b"HEAD ") && stream.write_all(answer).is_ok();
                kept.push(stream);
                if sender.send(is_head).is_err() {
                    return;
                }
            }
        });
        let options = ["-c", "20ms", "--health-timeout", "200ms", "--fall", "1"];
        let arguments = ["127.0.0.1:0", &backend, "--health-method", "HEAD"];
        let balancer = Balancer::start(&[&arguments[..], &options[..]].concat());
        for _ in 0..20 {
            assert!(probed.recv_timeout(common::DEADLINE).expect("a probe"));
        }
        assert!(balancer.stderr.with(" down").is_empty());
    });
}

#[test]
fn every_spelling_of_an_option_works() {
    for options in [
        &["-N8"][..],
        &["-N", "8"],
        &["-N=8"],
        &["--max-pairs=8"],
        &["--max-pairs", "8"],
        &["-vN8"],
    ] {
        let backend = Backend::named("a");
        assert_eq!(Balancer::over(&[&backend], options).get("/").text(), "a", "{options:?}");
    }
}

#[test]
fn options_and_addresses_may_be_in_any_order() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let (first_name, second_name) = (first.argument(), second.argument());
    for arguments in [
        &["127.0.0.1:0", &first_name, "-N", "8", &second_name][..],
        &["-N", "8", "127.0.0.1:0", &first_name, &second_name],
        &["-b", &first_name, &second_name, "-s", "rr", "-p", "127.0.0.1:0"],
        &["--listen=127.0.0.1:0", "--", &first_name, &second_name],
        &["-p", "127.0.0.1:0", &first_name, "-b", &second_name],
    ] {
        let balancer = Balancer::start(&[&["--health", "off"], arguments].concat());
        let answers = [balancer.get("/").text(), balancer.get("/").text()];
        assert_eq!(answers, ["a", "b"], "{arguments:?}");
    }
}

/// The lines of a log once there are so many.
fn log_lines(path: &str, count: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    wait_until(&format!("{count} lines in the log"), || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        lines = text.lines().map(str::to_owned).collect();
        lines.len() >= count && text.ends_with('\n')
    });
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

#[test]
fn the_access_log_has_one_combined_line_per_request() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::start(|request| ok(request.target()));
    let balancer = Balancer::over(&[&backend], &["-l", &log]);
    let mut client = balancer.connect();
    client.send(
        "GET /a?b HTTP/1.1\r\nHost: x\r\nReferer: http://r/\r\nUser-Agent: test \"1\"\r\n\r\n",
    );
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.get("/second").status(), 200);
    let lines = log_lines(&log, 2);
    let (client, rest) = lines[0].split_once(" - - [").expect("a client and a time");
    assert_eq!(client, "127.0.0.1");
    let (time, rest) = rest.split_once("] ").expect("a time");
    assert!(time.ends_with(" +0000") && time.len() == 26, "{time}");
    let (combined, name) = rest.rsplit_once(' ').expect("the backend");
    let (combined, id) = combined.rsplit_once(' ').expect("an id");
    assert_eq!(combined, r#""GET /a?b HTTP/1.1" 200 4 "http://r/" "test \"1\"""#);
    assert_eq!(name, backend.argument());
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert!(lines[1].contains(r#""GET /second HTTP/1.1" 200 7 "-" "-" "#), "{}", lines[1]);
}

#[test]
fn the_json_log_has_one_object_per_request() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::start(|request| ok(request.target()));
    let balancer = Balancer::over(&[&backend], &["-l", &log, "--log-format", "json"]);
    assert_eq!(balancer.exchange("nonsense\r\n\r\n").status(), 400);
    assert_eq!(balancer.get("/second").status(), 200);
    let lines = log_lines(&log, 2);
    assert!(lines[0].contains(r#""status":400"#), "{}", lines[0]);
    assert!(lines[0].contains(r#""end":"http_request_error""#), "{}", lines[0]);
    let name = format!(r#""backend":"{}""#, backend.argument());
    for part in
        [r#""request":"GET /second HTTP/1.1""#, r#""bytes":7"#, r#""end":"complete""#, &name]
    {
        assert!(lines[1].contains(part), "{part} in {}", lines[1]);
    }
}

#[test]
fn an_answer_made_here_has_the_cause_and_the_id_of_its_log_line() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-l", &log]);
    let mut client = balancer.connect();
    client.send("nonsense\r\n\r\n");
    let answer = client.response();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.field("Proxy-Status"), Some("loadbalancer; error=http_request_error"));
    let id = answer.field("X-Request-Id").expect("an id");
    let line = log_lines(&log, 1).remove(0);
    assert!(line.contains(&format!(" {id} ")), "{id} in {line}");
}

#[test]
fn a_refused_request_is_logged_with_what_it_asked() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-l", &log]);
    for (request, line) in [
        ("GET /a HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", r#""GET /a HTTP/1.1" 417"#),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", r#""CONNECT x:1 HTTP/1.1" 501"#),
        ("\r\nnonsense at length\r\n\r\n", r#""nonsense at length" 400"#),
    ] {
        std::fs::write(&log, "").expect("the log is emptied");
        balancer.exchange(request);
        let logged = log_lines(&log, 1).remove(0);
        assert!(logged.contains(line), "{line} in {logged}");
    }
}

#[test]
fn the_access_log_is_appended_to() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "an old line\n");
    let backend = Backend::named("a");
    for _ in 0..2 {
        let balancer = Balancer::over(&[&backend], &["-l", &log]);
        assert_eq!(balancer.get("/").status(), 200);
        balancer.stop();
    }
    assert_eq!(log_lines(&log, 3)[0], "an old line");
}

#[test]
fn answers_of_the_balancer_itself_are_logged_too() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let down = Backend::refusing();
    let balancer = Balancer::over(&[&down], &["-l", &log]);
    assert_eq!(balancer.get("/none").status(), 503);
    assert_eq!(balancer.exchange("nonsense\r\n\r\n").status(), 400);
    let lines = log_lines(&log, 2);
    assert!(lines[0].contains("\"GET /none HTTP/1.1\" 503 "), "{}", lines[0]);
    assert!(lines[1].contains("\" 400 "), "{}", lines[1]);
}

#[test]
fn the_access_log_can_go_to_standard_output() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-l", "-"]);
    assert_eq!(balancer.get("/").status(), 200);
    balancer.stdout.wait_for("\"GET / HTTP/1.1\" 200 1 ");
}

#[test]
fn the_log_stays_one_line_per_request_whatever_clients_send() {
    let directory = TempDir::new();
    let log = directory.file("access.log", "");
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-l", &log]);
    let request = b"GET /\"\xff\xfe HTTP/1.1\r\nHost: x\r\nUser-Agent: \x1b[31m\t\\\r\n\r\n";
    let mut client = balancer.connect();
    client.send(request);
    client.response();
    let line = log_lines(&log, 1).remove(0);
    assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
}

#[test]
fn verbose_prints_a_line_per_request_with_the_reason_for_the_choice() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let balancer = Balancer::over(&[&first, &second], &["-v"]);
    for _ in 0..2 {
        assert_eq!(balancer.get("/x").status(), 200);
    }
    let lines = balancer.stderr.wait_for_count("\"GET /x HTTP/1.1\" 200", 2);
    for (line, backend) in lines.iter().zip([&first, &second]) {
        let (time, rest) = line.split_once(' ').expect("a time");
        let shape = time.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(shape, "0000-00-00T00:00:00.000Z", "as event lines: {line}");
        assert!(rest.starts_with("127.0.0.1 "), "{line}");
        let (_, choice) = line.split_once(" by ").expect("a choice");
        let (name, why) = choice.split_once("; ").expect("a reason");
        let (why, id) = why.rsplit_once("; ").expect("an id");
        assert_eq!(name, backend.argument());
        assert!(why.len() > 5 && id.len() == 16, "{line}");
    }
}

#[test]
fn without_verbose_requests_print_nothing() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    assert_eq!(balancer.get("/").status(), 200);
    let mut lines = balancer.stderr.so_far();
    lines.retain(|line| !line.contains("running as root"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with(&balancer.start_line), "{lines:?}");
}

#[test]
fn it_keeps_running_when_standard_error_is_closed() {
    let backend = Backend::named("a");
    let mut command = common::binary();
    command.args(["127.0.0.1:0", &backend.argument(), "-v", "-c", "20ms"]);
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("starting it");
    drop(child.stderr.take());
    let mut ended = None;
    wait_until("some probes, or the end", || {
        ended = child.try_wait().expect("looking after it");
        ended.is_some() || backend.probes().len() >= 3
    });
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(ended, None, "it ended because its standard error is closed");
}

#[test]
fn help_lists_the_chapters_of_the_manual_and_prints_one() {
    let contents = common::run(&["help"]);
    assert_eq!(contents.code, Some(0));
    for topic in loadbalancer::manual::TOPICS {
        let row = contents.stdout.lines().find(|line| line.trim().starts_with(topic.name));
        assert!(row.is_some_and(|row| row.ends_with(topic.about)), "{}", topic.name);
        let chapter = common::run(&["help", topic.name]);
        assert_eq!((chapter.code, chapter.stdout.as_str()), (Some(0), topic.text));
        assert_eq!(chapter.stderr, "");
    }
}

#[test]
fn an_unknown_topic_is_refused_with_a_suggestion() {
    let refused = common::run(&["help", "limit"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    let message =
        "loadbalancer: there is no topic `limit`; did you mean loadbalancer help limits?\n";
    assert_eq!(refused.stderr, message);
}

#[test]
fn a_line_on_standard_error_is_one_write() {
    let backend = Backend::named("a");
    let port = backend.argument();
    let table: [(&str, &[&str]); 3] = [
        ("loadbalancer: listening on http://", &["127.0.0.1:0", &port]),
        ("httpserver: listening on http://", &["httpserver", "127.0.0.1:0"]),
        ("loadbalancer: there is no option", &["--nonsense"]),
    ];
    for (start, arguments) in table {
        // A datagram is what one call wrote.
        let (reader, stderr) = UnixDatagram::pair().expect("a pair of sockets");
        reader.set_read_timeout(Some(common::DEADLINE)).expect("a time-out");
        let mut command = common::binary();
        command.args(arguments);
        let _running = Running::start_with_stderr(command, OwnedFd::from(stderr), std::io::empty());
        let mut bytes = [0; 1024];
        let count = common::datagram(&reader, &mut bytes);
        let line = String::from_utf8_lossy(&bytes[..count]);
        assert!(common::without_time(&line).starts_with(start), "{line:?}");
        assert!(line.ends_with('\n'), "{line:?}");
    }
}

/// What the program prints on a terminal, with this `PAGER`.
#[cfg(target_os = "linux")]
fn on_a_terminal(arguments: &[&str], pager: &str) -> String {
    let (mut user, programs) = common::terminal();
    let mut command = common::binary();
    command.args(arguments).env("PAGER", pager).stdin(Stdio::null()).stdout(programs);
    let mut child = command.spawn().expect("starting a process");
    // The terminal ends for its user once no program has it open.
    drop(command);
    let mut bytes = Vec::new();
    let _ = user.read_to_end(&mut bytes);
    assert!(child.wait().expect("its end").success(), "PAGER={pager}");
    String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_a_chapter_goes_through_the_pager() {
    let text = loadbalancer::manual::topic("signals").expect("a chapter").text;
    let paged: String = text.lines().map(|line| format!("> {line}\n")).collect();
    for (pager, expected) in [("sed 's/^/> /'", paged.as_str()), ("", text), ("/nonsense", text)] {
        assert_eq!(on_a_terminal(&["help", "signals"], pager), expected, "PAGER={pager}");
    }
}
