//! Servers that go down and come back: how it is noticed, and what clients get.

mod common;

use common::{Backend, Balancer, Message, TempDir, ok, reply, wait_until};
use std::time::Instant;

/// Frequent probes, so that tests need not wait.
const OFTEN: [&str; 2] = ["-c", "20ms"];

/// The event line for a backend that changed.
fn event(backend: &Backend, change: &str) -> String {
    format!("backend {} {change}", backend.argument())
}

/// Sends requests until a response is as wanted.
fn ask_until(balancer: &Balancer, what: &str, wanted: impl Fn(&Message) -> bool) {
    wait_until(what, || wanted(&balancer.get("/")));
}

#[test]
fn a_refused_connection_moves_the_request_to_the_next_server() {
    let (down, up) = (Backend::refusing(), Backend::named("up"));
    let balancer = Balancer::over(&[&down, &up], &[]);
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "up");
    }
}

#[test]
fn a_post_moves_on_too_when_nothing_of_it_was_sent() {
    let (down, up) = (Backend::refusing(), Backend::named("up"));
    let balancer = Balancer::over(&[&down, &up], &["-s", "first", "--retries", "0"]);
    let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(balancer.exchange(request).text(), "up");
    assert_eq!(up.requests()[0].text(), "ab");
}

#[test]
fn a_refused_connection_is_logged_at_once_and_once() {
    let (down, up) = (Backend::refusing(), Backend::named("up"));
    let balancer = Balancer::over(&[&down, &up], &[]);
    for _ in 0..10 {
        assert_eq!(balancer.get("/").status(), 200);
    }
    let line = balancer.stderr.wait_for(&event(&down, "down: "));
    assert!(line.contains("refused"), "{line}");
    assert_eq!(balancer.stderr.with(" down: ").len(), 1);
}

#[test]
fn refusing_servers_are_skipped_beyond_the_number_of_retries() {
    let down: Vec<Backend> = (0..12).map(|_| Backend::refusing()).collect();
    let up = Backend::named("up");
    let all: Vec<&Backend> = down.iter().chain([&up]).collect();
    let balancer = Balancer::over(&all, &["-s", "first", "--retries", "0"]);
    assert_eq!(balancer.get("/").text(), "up");
}

#[test]
fn all_down_is_answered_503_with_a_time_to_try_again() {
    let down: Vec<Backend> = (0..3).map(|_| Backend::refusing()).collect();
    let balancer = Balancer::over(&down.iter().collect::<Vec<_>>(), &[]);
    for _ in 0..3 {
        let answer = balancer.get("/");
        assert_eq!(answer.status(), 503);
        let seconds: u32 = answer.field("Retry-After").expect("a time").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert!(answer.text().contains("503 Service Unavailable"), "{}", answer.text());
    }
}

#[test]
fn the_status_for_all_down_can_be_chosen() {
    let down = Backend::refusing();
    let balancer = Balancer::over(&[&down], &["--all-down-status", "500"]);
    assert_eq!(balancer.get("/").status(), 500);
}

#[test]
fn no_server_at_all_is_answered_503() {
    let directory = TempDir::new();
    let list = directory.file("servers", "# none yet\n");
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list]);
    assert_eq!(balancer.get("/").status(), 503);
}

#[test]
fn a_server_that_comes_back_is_used_again() {
    let mut backend = Backend::closed(|_| ok("back"));
    let balancer = Balancer::probing(&[&backend], &OFTEN);
    balancer.stderr.wait_for(&event(&backend, "down: "));
    assert_eq!(balancer.get("/").status(), 503);
    backend.open();
    balancer.stderr.wait_for(&event(&backend, "up: "));
    assert_eq!(balancer.get("/").text(), "back");
}

#[test]
fn a_stopped_server_is_noticed_without_a_request() {
    let mut backend = Backend::named("a");
    let balancer = Balancer::probing(&[&backend], &OFTEN);
    backend.wait_for_probes(1);
    backend.close();
    balancer.stderr.wait_for(&event(&backend, "down: "));
    backend.open();
    balancer.stderr.wait_for(&event(&backend, "up: "));
}

#[test]
fn without_probes_a_server_that_comes_back_is_used_again() {
    let mut backend = Backend::closed(|_| ok("back"));
    let other = Backend::named("other");
    let balancer = Balancer::over(&[&backend, &other], &["-s", "first"]);
    assert_eq!(balancer.get("/").text(), "other");
    backend.open();
    ask_until(&balancer, "the first server again", |answer| answer.text() == "back");
}

#[test]
fn a_probe_has_a_user_agent_and_closes() {
    let backend = Backend::named("a");
    let _balancer = Balancer::probing(&[&backend], &OFTEN);
    backend.wait_for_probes(1);
    let probe = backend.probes().remove(0);
    assert_eq!(probe.start_line(), "GET /healthcheck HTTP/1.1");
    assert_eq!(probe.field("Host"), Some(backend.argument().as_str()));
}

#[test]
fn the_path_of_probes_can_be_chosen() {
    let backend = Backend::named("a");
    let options = [&OFTEN[..], &["--health-path", "/ready?a=b"]].concat();
    let _balancer = Balancer::probing(&[&backend], &options);
    assert_eq!(backend.wait_for_requests(1)[0].target(), "/ready?a=b");
}

#[test]
fn answers_below_500_are_healthy_and_others_are_not() {
    for (status, healthy) in [
        ("200 OK", true),
        ("204 No Content", true),
        ("404 Not Found", true),
        ("500 Internal Server Error", false),
        ("503 Service Unavailable", false),
    ] {
        let backend = Backend::named("a");
        backend.set_health(reply(status, "", ""));
        let balancer = Balancer::probing(&[&backend], &OFTEN);
        if healthy {
            backend.wait_for_probes(4);
            assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new(), "{status}");
        } else {
            let line = balancer.stderr.wait_for(" down: ");
            assert!(line.contains(&status[..3]), "{status}: {line}");
        }
    }
}

#[test]
fn only_the_expected_status_is_healthy_when_one_is_named() {
    let backend = Backend::named("a");
    backend.set_health(reply("404 Not Found", "", ""));
    let options = [&OFTEN[..], &["--health-expect", "200"]].concat();
    let balancer = Balancer::probing(&[&backend], &options);
    balancer.stderr.wait_for(&event(&backend, "down: health check answered 404"));
    backend.set_health(ok(""));
    balancer.stderr.wait_for(&event(&backend, "up: "));
}

#[test]
fn a_hung_server_is_down_and_requests_go_to_others() {
    let (hung, up) = (Backend::named("hung"), Backend::named("up"));
    hung.hang_probes();
    let options = [&OFTEN[..], &["--health-timeout", "50ms", "-s", "first"]].concat();
    let balancer = Balancer::probing(&[&hung, &up], &options);
    let line = balancer.stderr.wait_for(&event(&hung, "down: "));
    assert!(line.contains("timed out"), "{line}");
    ask_until(&balancer, "the other server", |answer| answer.text() == "up");
    hung.set_health(ok(""));
    balancer.stderr.wait_for(&event(&hung, "up: "));
}

#[test]
fn a_hung_server_is_down_within_the_default_times() {
    let (hung, up) = (Backend::named("hung"), Backend::named("up"));
    hung.hang_probes();
    let balancer = Balancer::probing(&[&hung, &up], &["--fall", "100"]);
    balancer.stderr.wait_for(&event(&hung, "down: "));
}

#[test]
fn tcp_probes_only_connect() {
    let backend = Backend::named("a");
    backend.set_health(reply("500 Internal Server Error", "", ""));
    let options = [&OFTEN[..], &["--health", "tcp"]].concat();
    let balancer = Balancer::probing(&[&backend], &options);
    wait_until("some probes", || backend.connections() >= 4);
    assert!(backend.probes().is_empty());
    assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
}

#[test]
fn no_probes_are_made_when_they_are_off() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    for _ in 0..20 {
        assert_eq!(balancer.get("/").status(), 200);
    }
    assert!(backend.probes().is_empty());
}

#[test]
fn every_server_is_probed_at_least_once_per_so_many_requests() {
    for (mode, status) in [("http", 200), ("redirect", 301)] {
        let (first, second) = (Backend::named("a"), Backend::named("b"));
        let options = ["-m", mode, "-R", "5", "-c", "1h"];
        let balancer = Balancer::probing(&[&first, &second], &options);
        // The first probes.
        first.wait_for_probes(1);
        second.wait_for_probes(1);
        for round in 1..=8 {
            for _ in 0..5 {
                assert_eq!(balancer.get("/").status(), status, "{mode}");
            }
            first.wait_for_probes(1 + round);
            second.wait_for_probes(1 + round);
        }
        // Not more often than asked. (Where requests wait for servers, a pause is probed as well.)
        if mode == "redirect" {
            assert_eq!((first.probes().len(), second.probes().len()), (9, 9));
        }
    }
}

#[test]
fn a_server_that_is_down_keeps_to_its_schedule_however_many_requests_come() {
    let (bad, good) = (Backend::named("bad"), Backend::named("good"));
    bad.set_health(reply("500 Internal Server Error", "", ""));
    let started = Instant::now();
    let options = ["-m", "redirect", "-R", "1", "-c", "1s", "--fall", "1"];
    let balancer = Balancer::probing(&[&bad, &good], &options);
    balancer.stderr.wait_for(" down: ");
    for count in 1..=40 {
        assert_eq!(balancer.get("/").status(), 301);
        good.wait_for_probes(1 + count);
    }
    let probes = bad.probes().len();
    let most = 2 + started.elapsed().as_millis() as usize / 900;
    assert!(probes <= most, "{probes} probes, {most} at most");
}

#[test]
fn a_long_list_is_probed_to_the_letter_of_the_number_of_requests() {
    let servers: Vec<Backend> = (0..40).map(|_| Backend::named("a")).collect();
    let all: Vec<&Backend> = servers.iter().collect();
    let balancer = Balancer::probing(&all, &["-m", "redirect", "-R", "2", "-c", "1h"]);
    servers.iter().for_each(|server| server.wait_for_probes(1));
    for round in 1..=5 {
        for _ in 0..2 {
            assert_eq!(balancer.get("/").status(), 301);
        }
        servers.iter().for_each(|server| server.wait_for_probes(1 + round));
    }
    assert!(servers.iter().all(|server| server.probes().len() == 6));
}

#[test]
fn an_answer_to_a_probe_without_an_end_is_a_failure() {
    for (name, head, piece) in [
        ("a long body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
        ("interim responses", "", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ] {
        let endless = Backend::raw(move |peer| {
            if peer.request().is_some() && peer.try_send(head).is_ok() {
                while peer.try_send(piece.repeat(100)).is_ok() {}
            }
        });
        let balancer = Balancer::probing(&[&endless], &OFTEN);
        let line = balancer.stderr.wait_for(" down: ");
        assert!(line.contains("exceeds 64 KiB or 16 interim responses"), "{name}: {line}");
    }
}

#[test]
fn a_missing_health_check_is_reported_once_unless_probes_were_configured() {
    let servers = [Backend::named("a"), Backend::named("b")];
    servers.iter().for_each(|server| server.set_health(reply("404 Not Found", "", "")));
    let all = [&servers[0], &servers[1]];
    let balancer = Balancer::probing(&all, &[]);
    let line = balancer.stderr.wait_for("answers 404 to GET /healthcheck");
    assert!(line.contains("--health-path") && line.contains("--health tcp"), "{line}");
    servers.iter().for_each(|server| server.wait_for_probes(1));
    let configured = Balancer::probing(&all, &OFTEN);
    servers.iter().for_each(|server| server.wait_for_probes(6));
    assert_eq!(configured.stderr.with("answers 404"), Vec::<String>::new());
    assert_eq!(balancer.stderr.with("answers 404").len(), 1);
    assert_eq!(balancer.get("/").status(), 200);
}

#[test]
fn the_load_report_of_probes_decides_least_load() {
    let (busy, idle) = (Backend::named("busy"), Backend::named("idle"));
    // Errors, then requests.
    busy.set_health(ok("0\n1000\n"));
    idle.set_health(ok("0\n10\n"));
    let options = [&OFTEN[..], &["-s", "least-load"]].concat();
    let balancer = Balancer::probing(&[&busy, &idle], &options);
    busy.wait_for_probes(2);
    idle.wait_for_probes(2);
    for _ in 0..10 {
        assert_eq!(balancer.get("/").text(), "idle");
    }
    busy.set_health(ok("0\n1\n"));
    idle.set_health(ok("0\n2000\n"));
    ask_until(&balancer, "the other server", |answer| answer.text() == "busy");
}

#[test]
fn of_equal_load_the_server_with_fewer_errors_is_chosen() {
    let (bad, good) = (Backend::named("bad"), Backend::named("good"));
    bad.set_health(ok("7\n100\n"));
    good.set_health(ok("0\n100\n"));
    let options = [&OFTEN[..], &["-s", "least-load"]].concat();
    let balancer = Balancer::probing(&[&bad, &good], &options);
    bad.wait_for_probes(2);
    good.wait_for_probes(2);
    ask_until(&balancer, "the server without errors", |answer| answer.text() == "good");
}

#[test]
fn a_server_is_down_after_as_many_failed_probes_as_asked() {
    let backend = Backend::named("a");
    backend.set_health(reply("500 Internal Server Error", "", ""));
    let options = [&OFTEN[..], &["--fall", "4"]].concat();
    let balancer = Balancer::probing(&[&backend], &options);
    balancer.stderr.wait_for(" down: ");
    let probes = backend.probes().len();
    assert!(probes >= 4, "{probes}");
}

#[test]
fn a_server_is_up_after_as_many_passed_probes_as_asked() {
    let backend = Backend::named("a");
    backend.set_health(reply("500 Internal Server Error", "", ""));
    let options = [&OFTEN[..], &["--rise", "4"]].concat();
    let balancer = Balancer::probing(&[&backend], &options);
    balancer.stderr.wait_for(" down: ");
    backend.set_health(ok(""));
    let failed = backend.probes().len();
    balancer.stderr.wait_for(" up: ");
    let passed = backend.probes().len() - failed;
    // One more may have been in flight when the response changed.
    assert!(passed >= 3, "{passed}");
}

#[test]
fn one_failed_probe_among_good_ones_changes_nothing() {
    let backend = Backend::named("a");
    let balancer = Balancer::probing(&[&backend], &[&OFTEN[..], &["--fall", "3"]].concat());
    backend.wait_for_probes(1);
    backend.set_health(reply("500 Internal Server Error", "", ""));
    backend.wait_for_probes(2);
    backend.set_health(ok(""));
    let seen = backend.probes().len();
    backend.wait_for_probes(seen + 3);
    // Two and three bad responses in a row look the same from here; only that it is up is certain.
    ask_until(&balancer, "the server", |answer| answer.status() == 200);
}

#[test]
fn of_the_servers_believed_down_more_than_one_is_tried() {
    let (closed, mut opens) = (Backend::refusing(), Backend::closed(|_| ok("back")));
    let balancer = Balancer::over(&[&closed, &opens], &["-s", "first"]);
    assert_eq!(balancer.get("/").status(), 503);
    opens.open();
    // The other server failed earlier.
    assert_eq!(balancer.get("/").text(), "back");
}

#[test]
fn a_server_that_answers_garbage_is_down_without_probes_too() {
    let (bad, good) = (Backend::start(|_| b"garbage\r\n\r\n".to_vec()), Backend::named("good"));
    let balancer = Balancer::over(&[&bad, &good], &["-s", "first"]);
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
    for _ in 0..2 {
        assert_eq!(balancer.exchange(post).status(), 502);
    }
    balancer.stderr.wait_for(&event(&bad, "down: gave no valid answer 2 times"));
    assert_eq!(balancer.exchange(post).text(), "good");
}

#[test]
fn the_last_server_stays_up_whatever_requests_report() {
    let bad = Backend::raw(|peer| {
        // Closes without an answer.
        let _ = peer.request();
    });
    let balancer = Balancer::over(&[&bad], &[]);
    for _ in 0..3 {
        // Each is tried until its attempts are used up.
        assert_eq!(balancer.get("/").status(), 502);
    }
    assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
}

#[test]
fn requests_that_fail_servers_never_empty_the_pool() {
    // Both servers close without a response to /bad, and answer everything else.
    let both: Vec<Backend> = (0..2)
        .map(|_| {
            Backend::raw(|peer| {
                while let Some(request) = peer.request() {
                    if request.target() == "/bad" || peer.try_send(ok("good")).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    let balancer = Balancer::probing(&both.iter().collect::<Vec<_>>(), &["-c", "1h"]);
    for _ in 0..20 {
        assert_eq!(balancer.get("/bad").status(), 502);
        assert_eq!(balancer.get("/good").text(), "good");
    }
}

#[test]
fn a_response_cut_short_takes_no_server_down() {
    let cut = Backend::raw(|peer| {
        if peer.request().is_some() {
            let _ = peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all of it");
        }
    });
    let other = Backend::named("other");
    let options = ["--health", "tcp", "-c", "1h", "--fall", "1", "-s", "first"];
    let balancer = Balancer::probing(&[&cut, &other], &options);
    for _ in 0..3 {
        let mut client = balancer.ask("/");
        assert!(
            client.try_response("GET").is_err(),
            "the response is cut short for the client too"
        );
    }
    assert!(cut.connections() >= 3, "it stays the first choice");
    assert_eq!(balancer.stderr.with(" down: "), Vec::<String>::new());
}

#[test]
fn a_server_believed_down_is_tried_before_giving_up() {
    let mut backend = Backend::closed(|_| ok("back"));
    let balancer = Balancer::probing(&[&backend], &["-c", "1h"]);
    assert_eq!(balancer.get("/").status(), 503);
    balancer.stderr.wait_for(" down: ");
    backend.open();
    assert_eq!(balancer.get("/").text(), "back");
}
