//! `--record` and `loadbalancer replay`: the same choices again, other strategies over the same
//! requests, and files that are no record.

mod common;

use common::{Backend, Balancer, Gate, TempDir, run, wait_until};
use std::process::Command;

/// The choices in a record, in the form of `loadbalancer replay` without number and time.
fn recorded(record: &str) -> Vec<String> {
    let mut names = std::collections::HashMap::new();
    let mut servers = Vec::new();
    for line in record.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["add", id, name, ..] => {
                names.insert(id.to_owned(), name.to_owned());
            }
            ["pick", id, ..] if id != "-" => servers.push(names[id].clone()),
            _ => {}
        }
    }
    servers
}

/// A record of `count` requests in a row over these backends.
fn record(backends: &[&Backend], options: &[&str], count: usize) -> (TempDir, String) {
    let directory = TempDir::new();
    let file = directory.path().join("run.record").to_str().expect("UTF-8").to_owned();
    let balancer = Balancer::over(backends, &[&["--record", &file], options].concat());
    for _ in 0..count {
        balancer.get("/");
    }
    balancer.stop();
    (directory, file)
}

#[test]
fn the_choices_of_a_run_are_made_again() {
    let (one, two, three) = (Backend::named("a"), Backend::named("b"), Backend::named("c"));
    for strategy in ["rr", "rand", "p2c", "least-time", "least-conn", "source", "uri", "rank"] {
        let probes = if strategy == "rank" { &["--health", "http"][..] } else { &[] };
        let directory = TempDir::new();
        let file = directory.path().join("run.record").to_str().expect("UTF-8").to_owned();
        let options = [&["--record", &file, "-s", strategy][..], probes].concat();
        let names: Vec<String> = [&one, &two, &three].map(Backend::argument).into();
        let mut arguments = vec!["127.0.0.1:0"];
        arguments.extend(names.iter().map(String::as_str));
        if probes.is_empty() {
            arguments.extend(["--health", "off"]);
        }
        arguments.extend(options);
        let balancer = Balancer::start(&arguments);
        let served: Vec<String> = (0..40)
            .map(|number| match balancer.get(&format!("/{number}")).text().as_str() {
                "a" => one.argument(),
                "b" => two.argument(),
                _ => three.argument(),
            })
            .collect();
        balancer.stop();
        let finished = run(&["replay", &file]);
        assert_eq!((finished.code, &finished.stderr[..]), (Some(0), ""), "{strategy}");
        let chosen: Vec<String> = finished
            .stdout
            .lines()
            .zip(1..)
            .map(|(line, number)| {
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(words.len(), 3, "{line}");
                assert_eq!(words[0], number.to_string(), "{line}");
                assert!(words[1].parse::<f64>().is_ok(), "{line}");
                words[2].to_owned()
            })
            .collect();
        assert_eq!(chosen, served, "{strategy}: what the servers saw");
        let text = std::fs::read_to_string(&file).expect("the record");
        assert_eq!(chosen, recorded(&text), "{strategy}: what the record says");
    }
}

#[test]
fn servers_of_every_form_have_their_places_in_the_replay() {
    let server = Backend::named("a");
    let mut servers = vec![server.argument().replace("127.0.0.1", "localhost") + " each"];
    if cfg!(feature = "tls") {
        servers.extend(["1", "2", "3"].map(|port| format!("https://127.0.0.1:{port} insecure")));
    }
    let directory = TempDir::new();
    let file = directory.path().join("run.record").to_str().expect("UTF-8").to_owned();
    let mut arguments = vec!["127.0.0.1:0", "--record", &file, "-s", "uri", "--health", "off"];
    arguments.extend(servers.iter().map(String::as_str));
    let balancer = Balancer::start(&arguments);
    for number in 0..30 {
        balancer.get(&format!("/{number}"));
    }
    balancer.stop();
    let finished = run(&["replay", &file]);
    assert_eq!((finished.code, &finished.stderr[..]), (Some(0), ""));
    assert!(finished.stdout.lines().count() >= 30, "{}", finished.stdout);
}

#[test]
fn a_request_that_a_server_failed_is_chosen_for_again_in_the_replay() {
    let (refusing, other) = (Backend::refusing(), Backend::named("a"));
    let (_directory, file) = record(&[&refusing, &other], &["-s", "first"], 3);
    let finished = run(&["replay", &file]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let text = std::fs::read_to_string(&file).expect("the record");
    assert!(text.contains("\nfailed 0 - "), "{text}");
    assert!(text.contains("\ndown 0\n"), "{text}");
    assert_eq!(finished.stdout.lines().count(), recorded(&text).len());
}

#[test]
fn another_strategy_is_compared_over_the_same_requests() {
    let slow = Backend::start(|_| {
        // What a slow server is.
        std::thread::sleep(std::time::Duration::from_millis(20));
        common::ok("slow")
    });
    let (fast, quick) = (Backend::named("a"), Backend::named("b"));
    let (_directory, file) = record(&[&fast, &quick, &slow], &["-s", "rr"], 60);
    let finished = run(&["replay", &file, "-s", "least-time"]);
    assert_eq!((finished.code, &finished.stderr[..]), (Some(0), ""));
    let text = finished.stdout;
    assert!(text.starts_with("60 requests in "), "{text}");
    let percent = |column: usize, name: &str| {
        let row = text.lines().find(|line| line.contains(name)).expect("a row");
        let numbers: Vec<f64> = row.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        numbers[column]
    };
    let slow = slow.argument();
    assert_eq!(percent(0, &slow), 33.3, "{text}");
    assert!(percent(1, &slow) < 15.0, "{text}");
    assert!(percent(0, "response p99") >= 20.0, "{text}");
    // Draws are seeded: the same every time.
    assert_eq!(run(&["replay", &file, "-s", "least-time"]).stdout, text);
}

/// Three requests of 1 ms that came at 1.0, 1.1 and 1.5 ms, with one place.
const WAITING: &str = "loadbalancer-record 1
strategy rr
seed 0d4c8132555ee449
places 1
queue-timeout 30000000
add 0 127.0.0.1:39057 weight=1
run
at 1000
pick 0 0
begin 0
at 2000
served 0 1000 2000
end 0
waited 900
pick 0 0
begin 0
at 3000
served 0 1000 3000
end 0
waited 1500
pick 0 0
begin 0
at 4000
served 0 1000 4000
end 0
at 4567
stopped
";

#[test]
fn requests_that_waited_for_a_place_come_when_they_came() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let directory = TempDir::new();
    let file = directory.path().join("run.record").to_str().expect("UTF-8").to_owned();
    let options = ["-N", "1", "--record", &file, "--admin", "0"];
    let balancer = Balancer::over(&[&backend], &options);
    let mut clients: Vec<_> = (0..3).map(|number| balancer.ask(&format!("/{number}"))).collect();
    wait_until("two that wait", || balancer.ask_admin("/status").text().contains("\"queued\":2,"));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
    drop(clients);
    balancer.stop();
    let text = std::fs::read_to_string(&file).expect("the record");
    assert_eq!(text.matches("\nwaited ").count(), 2, "{text}");
    assert_eq!(run(&["replay", &file, "-s", "first"]).code, Some(0));
    // Which of them wait again depends on how long each takes: the same here, whatever is drawn.
    let file = directory.file("made.record", WAITING);
    let finished = run(&["replay", &file, "-s", "first"]);
    assert!(finished.stdout.starts_with("3 requests in "), "{}", finished.stdout);
    let row = finished.stdout.lines().find(|line| line.starts_with("waited")).expect("a row");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["waited", "66.7", "%", "66.7", "%"],
        "{text}"
    );
}

#[test]
fn a_file_that_is_no_whole_record_is_one_line_with_file_and_number() {
    let backend = Backend::named("a");
    let (directory, file) = record(&[&backend], &[], 3);
    let text = std::fs::read_to_string(&file).expect("the record");
    let lines = text.lines().count();
    let head = "loadbalancer-record 1\nstrategy rr\nseed 1\nplaces 4\nadd 0 a:80 weight=1\n";
    let cases = [
        ("empty", String::new(), "1: the record is empty", 0),
        ("other", "#!/bin/sh\n".to_owned(), "1: expected `loadbalancer-record 1`: ", 0),
        ("later", "loadbalancer-record 2\n".to_owned(), "1: expected `loadbalancer-record 1`, ", 0),
        ("binary", "\u{0}\n".to_owned(), "1: expected `loadbalancer-record 1`: ", 0),
        ("cut", text[..text.len() - 3].to_owned(), &format!("{lines}: the record is cut off"), 3),
        (
            "short",
            text.trim_end_matches("stopped\n").to_owned(),
            &format!("{}: the record ends here without `stopped`", lines - 1),
            3,
        ),
        ("headless", "loadbalancer-record 1\n".to_owned(), "1: the record ends before `run`", 0),
        ("seedless", head.replace("seed 1\n", "") + "run\n", "5: before `run` there is no", 0),
        ("nonsense", format!("{head}run\nat 5\nfrob 1\n"), "8: expected a line of a record", 0),
        ("unknown", format!("{head}run\nat 5\nbegin 7\n"), "8: there is no backend 7", 0),
        ("end", format!("{head}run\nat 5\nend 0\n"), "8: backend 0 has nothing in flight", 0),
        ("back", format!("{head}run\nat 5\nat 4\n"), "8: the time goes back", 0),
        ("other choice", format!("{head}run\nat 5\npick - 0\n"), "8: the record has none, but", 0),
        ("lost", format!("{head}run\nat 5\npick 0 0\nlost 9\n"), "9: 9 lines were lost here", 1),
        ("long", format!("{head}run\n{}\n", "x".repeat(70_000)), "7: expected at most 65536", 0),
    ];
    for (name, content, message, choices) in cases {
        let path = directory.file("bad", content);
        let finished = run(&["replay", &path]);
        assert_eq!(finished.code, Some(1), "{name}: {}", finished.stderr);
        let expected = format!("replay: {path}:{message}");
        assert!(finished.stderr.starts_with(&expected), "{name}: {}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{name}: {}", finished.stderr);
        assert_eq!(finished.stdout.lines().count(), choices, "{name}: what comes before it");
    }
}

#[test]
fn wrong_use_of_the_replay_is_one_line() {
    let directory = TempDir::new();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().expect("UTF-8");
    let here = directory.path().to_str().expect("UTF-8");
    for (arguments, code, part) in [
        (&["replay"][..], 2, "no FILE given"),
        (&["replay", "a", "b"], 2, "`b`"),
        (&["replay", "a", "-s", "best"], 2, "`best`"),
        (&["replay", missing], 1, "cannot read the record"),
        (&["replay", here], 1, "is a directory"),
        (&["replay", "/dev/null", "-s", "rr"], 1, "is no regular file"),
        (&["8080", "1234", "--record", "-"], 2, "`-` is not a file"),
        (&["127.0.0.1:0", "1234", "--record", here], 1, "cannot open the record"),
    ] {
        let finished = run(arguments);
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(part), "{arguments:?}: {}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{arguments:?}: {}", finished.stderr);
    }
}

#[test]
fn a_file_with_content_is_never_written_to() {
    let directory = TempDir::new();
    let file = directory.file("kept", "precious\n");
    for check in [&[][..], &["--check=config"]] {
        let finished = run(&[&["127.0.0.1:0", "1234", "--record", &file], check].concat());
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert!(finished.stderr.contains("is there already"), "{}", finished.stderr);
    }
    assert_eq!(std::fs::read(&file).expect("readable"), b"precious\n");
}

/// A disk that is full ends the record, not the program.
#[test]
#[cfg(target_os = "linux")]
fn a_record_that_cannot_be_written_ends_and_the_program_goes_on() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--record", "/dev/full"]);
    let line = balancer.stderr.wait_for("cannot write the record: ");
    assert!(line.contains("no space left on device"), "{line}");
    for _ in 0..3 {
        assert_eq!(balancer.get("/").status(), 200);
    }
    assert_eq!(balancer.stderr.with("cannot write the record").len(), 1);
    balancer.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn lines_that_a_slow_reader_leaves_are_counted_and_reported() {
    let backend = Backend::named("a");
    let directory = TempDir::new();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // It is open for reading, and nobody reads.
    let reader = std::fs::File::options().read(true).write(true).open(&pipe).expect("a pipe");
    let path = pipe.to_str().expect("UTF-8");
    let balancer = Balancer::over(&[&backend], &["--record", path, "--drain-timeout", "100ms"]);
    let mut client = balancer.connect();
    for _ in 0..2_000 {
        assert_eq!(client.get("/").status(), 200);
    }
    drop(client);
    balancer.signal("TERM");
    let line = balancer.stderr.wait_for(" lost of the record");
    let count = line.split(" line").next().and_then(|text| text.rsplit(' ').next()?.parse().ok());
    assert!(count.is_some_and(|count: u64| count > 100), "{line}");
    drop(reader);
}
