//! Admission, the queue, and the time-outs that free what they hold.

mod common;

use common::{Backend, Balancer, Gate, InFlight, Peer, Running, TempDir, ok, wait_until};
use std::process::Command;
use std::sync::{Arc, Mutex};

#[test]
fn never_more_than_n_requests_are_at_the_servers() {
    let gate = Gate::new();
    let backends: Vec<Backend> = (0..3).map(|_| Backend::held(&gate)).collect();
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-N", "8"]);
    let at_servers = || backends.iter().map(|backend| backend.requests().len()).sum::<usize>();
    let mut clients: Vec<Peer> = (0..40).map(|n| balancer.ask(&format!("/{n}"))).collect();
    for answered in 0..40 {
        let expected = usize::min(answered + 8, 40);
        wait_until("the next request", || at_servers() >= expected);
        assert_eq!(at_servers(), expected, "after {answered} answers");
        gate.let_pass(1);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
}

#[test]
fn queued_requests_are_served_in_their_order() {
    let mut held = InFlight::new(&["-N", "1", "-v"]);
    let mut waiting = Vec::new();
    for number in 0..10 {
        waiting.push(held.balancer.ask(&format!("/{number}")));
        // A later request that is refused is answered only after all earlier ones were read.
        let answer = held.balancer.exchange("bad\r\n\r\n");
        assert_eq!(answer.status(), 400);
    }
    held.finish();
    for (number, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
    let expected: Vec<String> =
        ["/held".to_owned()].into_iter().chain((0..10).map(|n| format!("/{n}"))).collect();
    assert_eq!(held.backend.targets(), expected);
}

#[test]
fn queued_requests_of_half_closed_clients_are_served_after_the_others() {
    let mut held = InFlight::new(&["-N", "1", "-v"]);
    let mut half_closed = held.balancer.ask("/half-closed");
    half_closed.half_close();
    let mut open = Vec::new();
    for number in 0..3 {
        open.push(held.balancer.ask(&format!("/{number}")));
        // Answered only after the end of the first client and this request were read.
        assert_eq!(held.balancer.exchange("bad\r\n\r\n").status(), 400);
    }
    held.finish();
    for client in &mut open {
        client.response();
    }
    assert_eq!(half_closed.response().text(), "/half-closed", "it may still be reading");
    assert_eq!(held.backend.targets(), ["/held", "/0", "/1", "/2", "/half-closed"]);
}

#[test]
fn idle_clients_and_unfinished_heads_hold_no_slot() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["-N", "1"]);
    let idle: Vec<Peer> = (0..5).map(|_| balancer.connect()).collect();
    let kept: Vec<Peer> = (0..5)
        .map(|_| {
            let mut client = balancer.connect();
            assert_eq!(client.get("/").status(), 200);
            client
        })
        .collect();
    let typing: Vec<Peer> = (0..5)
        .map(|_| {
            let mut client = balancer.connect();
            client.send("GET / HTTP/1.1\r\nHost:");
            client
        })
        .collect();
    assert_eq!(balancer.get("/").text(), "a");
    drop((idle, kept, typing));
}

#[test]
fn a_request_past_its_queue_time_out_gets_503_and_the_others_are_served() {
    let mut held = InFlight::new(&["-N", "1", "--queue-timeout", "50ms"]);
    let answer = held.balancer.get("/waiting");
    assert_eq!(answer.status(), 503);
    assert!(answer.field("Retry-After").is_some(), "{}", answer.head);
    held.finish();
    assert_eq!(held.balancer.get("/after").text(), "/after");
    assert_eq!(held.backend.targets(), ["/held", "/after"]);
}

#[test]
fn a_head_request_past_its_queue_time_out_gets_no_content() {
    let mut held = InFlight::new(&["-N", "1", "--queue-timeout", "50ms"]);
    let mut waiting = held.balancer.connect();
    waiting.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(waiting.response_to("HEAD").status(), 503);
    waiting.half_close();
    waiting.expect_end();
    held.finish();
}

#[test]
fn a_queued_request_whose_client_resets_is_not_forwarded() {
    let mut held = InFlight::new(&["-N", "1"]);
    held.balancer.ask("/gone").reset();
    let mut last = held.balancer.ask("/last");
    // Answered after the reset and the last request were read.
    assert_eq!(held.balancer.exchange("bad\r\n\r\n").status(), 400);
    held.finish();
    assert_eq!(last.response().text(), "/last");
    assert_eq!(held.backend.targets(), ["/held", "/last"]);
}

#[test]
fn a_slot_comes_free_when_its_server_fails() {
    let down = Backend::refusing();
    let balancer = Balancer::over(&[&down], &["-N", "1"]);
    for _ in 0..5 {
        assert_eq!(balancer.get("/").status(), 503);
    }
}

#[test]
fn a_head_that_takes_too_long_is_answered_408() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--head-timeout", "50ms"]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n");
    let answer = client.response();
    assert_eq!(answer.status(), 408);
    assert!(answer.closes(), "{}", answer.head);
    client.half_close();
    client.expect_end();
    assert_eq!(backend.connections(), 0);
}

#[test]
fn single_bytes_do_not_extend_the_head_time_out() {
    let backend = Backend::named("a");
    let balancer =
        Balancer::over(&[&backend], &["--head-timeout", "100ms", "--linger-timeout", "300ms"]);
    let mut client = balancer.connect();
    let mut writer = client.writer();
    let dripping = std::thread::spawn(move || {
        use std::io::Write;
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    assert_eq!(client.response().status(), 408);
    drop(client);
    dripping.join().expect("writing ended");
}

#[test]
fn a_connection_without_a_byte_is_closed() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--keep-alive-timeout", "50ms"]);
    balancer.connect().expect_end();
}

#[test]
fn a_server_that_does_not_answer_in_time_gets_504() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let balancer = Balancer::over(&[&backend], &["--response-timeout", "50ms", "-N", "1"]);
    assert_eq!(balancer.get("/").status(), 504);
    gate.open();
    wait_until("the slot to be free", || balancer.get("/").status() == 200);
}

#[test]
fn a_body_that_stops_is_answered_408() {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &["--idle-timeout", "50ms"]);
    let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";
    assert_eq!(balancer.exchange(request).status(), 408);
    assert!(backend.requests().is_empty());
}

#[test]
fn a_response_that_stops_is_cut_off() {
    let backend = Backend::raw(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            let _ = peer.try_rest();
        }
    });
    let balancer = Balancer::over(&[&backend], &["--idle-timeout", "50ms"]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.try_response("GET").is_err());
    wait_until("the server to be released", || backend.open_connections() == 0);
}

#[test]
fn hundreds_of_clients_at_once_all_get_their_own_answers() {
    let backends: Vec<Backend> =
        (0..3).map(|_| Backend::start(|request| ok(request.target()))).collect();
    let balancer = Balancer::over(&backends.iter().collect::<Vec<_>>(), &["-N", "8"]);
    let balancer = Arc::new(balancer);
    let wrong = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..20)
        .map(|thread| {
            let (balancer, wrong) = (balancer.clone(), wrong.clone());
            std::thread::spawn(move || {
                let mut client = balancer.connect();
                for number in 0..20 {
                    let target = format!("/{thread}/{number}");
                    let answer = client.get(&target).text();
                    if answer != target {
                        wrong.lock().expect("not poisoned").push((target, answer));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("every client was answered");
    }
    assert_eq!(*wrong.lock().expect("not poisoned"), []);
    let most: usize = backends.iter().map(Backend::concurrent_max).sum();
    // The sum of the servers' maxima proves nothing; each of them is bounded by N.
    assert!(backends.iter().all(|backend| backend.concurrent_max() <= 8), "{most}");
}

#[test]
fn clients_that_send_nothing_do_not_keep_others_out() {
    let backend = Backend::named("a");
    let program = env!("CARGO_BIN_EXE_loadbalancer");
    let line =
        format!("ulimit -n 256; exec {program} 127.0.0.1:0 {} --health off", backend.argument());
    let balancer = Balancer::of(Running::start(Command::new("sh").args(["-c", &line])));
    let silent: Vec<Peer> = (0..200).map(|_| balancer.connect()).collect();
    assert_eq!(balancer.get("/").status(), 200);
    drop(silent);
}

#[test]
fn a_request_waits_for_a_server_at_its_connection_limit() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let directory = TempDir::new();
    let list = directory.file("list", format!("{} max=2\n", backend.argument()));
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    let mut clients: Vec<Peer> = (0..6).map(|at| balancer.ask(&format!("/{at}"))).collect();
    backend.wait_for_requests(2);
    gate.open();
    for (at, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().text(), format!("/{at}"));
    }
    assert!(backend.concurrent_max() <= 2);
}

#[test]
fn a_request_that_waits_after_a_failed_connect_has_the_usual_queue_time_out() {
    let gate = Gate::new();
    let (hole, full) = (common::BlackHole::new(), Backend::held(&gate));
    let directory = TempDir::new();
    let servers = format!("{} max=1\n{} max=1\n", full.argument(), hole.argument());
    let list = directory.file("list", servers);
    let short = ["--connect-timeout", "50ms", "--queue-timeout", "50ms", "-s", "first"];
    let start = ["127.0.0.1:0", "-f", &list, "--health", "off"];
    let balancer = Balancer::start(&[&start[..], &short[..]].concat());
    let mut first = balancer.ask("/first");
    full.wait_for_requests(1);
    // The connect times out, and then no server has room.
    assert_eq!(balancer.get("/second").status(), 503);
    gate.open();
    assert_eq!(first.response().text(), "/first");
}
