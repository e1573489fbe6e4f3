//! Every time-out at its limit: nothing a moment before, what the manual says a moment after; and
//! while something moves within each time-out, a transfer may take any time.

mod challenges;
mod collected;
mod control;
mod ejected;
mod last_resort;
mod logged;
mod overload;
mod probes;
mod sessions;
mod shares;
mod slow;
mod slow_start;
mod stage;
mod stalled;

use loadbalancer::config::{BackendSpec, Config, HostPort, Mode, Timeouts};
use loadbalancer::health::Check;
use stage::{Link, Stage};
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(1);

/// The timers' resolution, and the moment before the limit.
const LATE: Duration = Duration::from_millis(4);

/// A probe is late after this, to a server whose probes were quick.
const PROBE_LATE: Duration = Duration::from_millis(100);

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A proxy over servers on ports 1 and 2 that are chosen in this order, with the default limits.
fn stage(mode: Mode, pairs_max: usize) -> Stage {
    stage_over(&[1, 2], mode, pairs_max)
}

fn stage_over(ports: &[u16], mode: Mode, pairs_max: usize) -> Stage {
    Stage::new(config(ports, mode), pairs_max)
}

/// A proxy that forwards request bodies as they come.
fn streaming() -> Stage {
    let mut config = config(&[1, 2], Mode::Http);
    config.stream_requests = true;
    Stage::new(config, 10)
}

fn config(ports: &[u16], mode: Mode) -> Config {
    let endpoint = |port| HostPort::on("10.0.0.1", port);
    let backends = ports.iter().map(|&port| BackendSpec::new(endpoint(port))).collect();
    let mut config = Config::new(endpoint(80), backends);
    config.mode = mode;
    config.health.check = Check::Off;
    config
}

fn limits() -> Timeouts {
    Timeouts::default()
}

/// A client has sent `request`, and the server of port 1 all that it may have of it.
fn asked(stage: &mut Stage, request: &str) -> (Link, Link) {
    let client = stage.client();
    stage.say(client, request);
    let [server] = stage.connections(1)[..] else { panic!("one connection to the server") };
    (client, server)
}

/// Of so many requests of a client, those that the server of port 1 gets; each is answered.
fn to_the_first(stage: &mut Stage, client: Link, count: usize) -> usize {
    let mut to_the_first = 0;
    for _ in 0..count {
        stage.say(client, GET);
        for port in [1, 2, 3] {
            for server in stage.connections(port) {
                if !stage.received_since(server).is_empty() {
                    to_the_first += usize::from(port == 1);
                    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
                }
            }
        }
    }
    to_the_first
}

/// Fails unless `is_over` comes true when this much time has passed, and not before.
fn is_over_after(limit: Duration, stage: &mut Stage, is_over: impl Fn(&Stage) -> bool) {
    stage.pass(limit - MOMENT);
    assert!(!is_over(stage), "over before {limit:?}");
    stage.pass(LATE);
    assert!(is_over(stage), "not over after {limit:?}");
}

/// Moves something repeatedly, each time just within the limit.
fn goes_on(limit: Duration, stage: &mut Stage, mut moves: impl FnMut(&mut Stage)) {
    for _ in 0..10 {
        stage.pass(limit - MOMENT);
        moves(stage);
    }
}

fn is_answered(stage: &Stage, client: Link, status: u16) -> bool {
    stage.received(client).starts_with(&format!("HTTP/1.1 {status} "))
}

#[test]
fn a_head_that_is_not_whole_in_time_is_answered_408_whatever_moves() {
    let mut stage = stage(Mode::Http, 10);
    let client = stage.client();
    stage.say(client, "GET / HTTP/1.1\r\nX: ");
    let tenth = limits().head / 10;
    for _ in 0..9 {
        stage.pass(tenth);
        stage.say(client, "y");
    }
    is_over_after(tenth, &mut stage, |stage| is_answered(stage, client, 408));
}

#[test]
fn a_client_without_a_request_is_closed() {
    let mut stage = stage(Mode::Http, 10);
    let client = stage.client();
    is_over_after(limits().keep_alive, &mut stage, |stage| stage.is_closed(client));
}

#[test]
fn a_client_between_two_requests_is_closed() {
    let mut stage = stage(Mode::Redirect, 10);
    let client = stage.client();
    goes_on(limits().keep_alive, &mut stage, |stage| stage.say(client, GET));
    assert_eq!(stage.received(client).matches("HTTP/1.1 301 ").count(), 10);
    is_over_after(limits().keep_alive, &mut stage, |stage| stage.is_closed(client));
}

#[test]
fn a_client_that_sends_its_request_now_does_not_give_its_place_up() {
    let mut stage = Stage::with_places(config(&[1], Mode::Redirect), 10, 1);
    let client = stage.client();
    stage.pass(Duration::from_secs(2));
    let newcomer = stage.say_and_connect(client, GET);
    assert!(is_answered(&stage, client, 301), "{}", stage.received(client));
    stage.pass(limits().linger);
    stage.say(newcomer, GET);
    assert!(is_answered(&stage, newcomer, 301), "{}", stage.received(newcomer));
}

#[test]
fn a_connect_ends_at_its_time_out() {
    let mut stage = stage_over(&[1], Mode::Http, 10);
    stage.is_unreachable(1);
    let client = stage.client();
    stage.say(client, GET);
    is_over_after(limits().connect, &mut stage, |stage| is_answered(stage, client, 503));
}

#[test]
fn a_connect_is_given_up_for_another_server_after_a_quarter_of_its_time_out() {
    let mut stage = stage(Mode::Http, 10);
    stage.is_unreachable(1);
    let client = stage.client();
    stage.say(client, GET);
    is_over_after(limits().connect / 4, &mut stage, |stage| !stage.connections(2).is_empty());
    let server = stage.connections(2)[0];
    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(is_answered(&stage, client, 204), "{}", stage.received(client));
}

#[test]
fn an_answer_that_does_not_begin_is_replaced_by_504() {
    let mut stage = stage(Mode::Http, 10);
    let (client, server) = asked(&mut stage, GET);
    is_over_after(limits().response, &mut stage, |stage| is_answered(stage, client, 504));
    assert!(stage.is_closed(server));
}

#[test]
fn interim_responses_are_progress() {
    let mut stage = stage(Mode::Http, 10);
    let (client, server) = asked(&mut stage, GET);
    goes_on(limits().response, &mut stage, |stage| {
        stage.say(server, "HTTP/1.1 103 Early Hints\r\n\r\n");
    });
    assert_eq!(stage.received(client).matches("HTTP/1.1 103 ").count(), 10);
    let is_over = |stage: &Stage| stage.received(client).contains("HTTP/1.1 504 ");
    is_over_after(limits().response, &mut stage, is_over);
}

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";

#[test]
fn a_request_body_may_be_slow_but_not_stop() {
    let mut stage = streaming();
    let (client, server) = asked(&mut stage, POST);
    goes_on(limits().idle, &mut stage, |stage| stage.say(client, "x"));
    assert!(stage.received(server).ends_with("\r\n\r\nxxxxxxxxxx"));
    is_over_after(limits().idle, &mut stage, |stage| is_answered(stage, client, 408));
}

#[test]
fn a_server_may_take_a_request_body_slowly_but_not_stop() {
    let mut stage = streaming();
    let (client, server) = asked(&mut stage, POST);
    stage.take(server, 0);
    stage.say(client, [b'x'; 100_000]);
    goes_on(limits().idle, &mut stage, |stage| stage.take(server, 1));
    assert!(stage.received(server).ends_with("\r\n\r\nxxxxxxxxxx"));
    is_over_after(limits().idle, &mut stage, |stage| is_answered(stage, client, 504));
}

const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";

#[test]
fn a_response_body_may_be_slow_but_not_stop() {
    let mut stage = stage(Mode::Http, 10);
    let (client, server) = asked(&mut stage, GET);
    stage.say(server, LONG);
    goes_on(limits().idle, &mut stage, |stage| stage.say(server, "x"));
    assert!(stage.received(client).ends_with("\r\n\r\nxxxxxxxxxx"));
    let is_over = |stage: &Stage| stage.is_closed(client) && stage.is_closed(server);
    is_over_after(limits().idle, &mut stage, is_over);
}

#[test]
fn a_client_may_read_its_response_slowly_but_not_stop() {
    let mut stage = stage(Mode::Http, 10);
    let (client, server) = asked(&mut stage, GET);
    stage.say(server, LONG);
    stage.take(client, 0);
    stage.say(server, [b'x'; 100_000]);
    goes_on(limits().idle, &mut stage, |stage| stage.take(client, 1));
    assert!(stage.received(client).ends_with("\r\n\r\nxxxxxxxxxx"));
    let is_over = |stage: &Stage| stage.is_closed(client) && stage.is_closed(server);
    is_over_after(limits().idle, &mut stage, is_over);
}

#[test]
fn the_last_bytes_of_a_response_may_be_read_slowly_but_not_stop() {
    let mut stage = stage(Mode::Http, 10);
    let (client, server) = asked(&mut stage, GET);
    stage.take(client, 0);
    stage.say(server, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nxxxxxxxxxxxxxxxxxxxx");
    goes_on(limits().idle, &mut stage, |stage| stage.take(client, 1));
    is_over_after(limits().idle, &mut stage, |stage| stage.is_closed(client));
}

#[test]
fn a_tcp_session_may_be_slow_but_not_stop() {
    let mut stage = stage(Mode::Tcp, 10);
    let (client, server) = asked(&mut stage, "x");
    goes_on(limits().tunnel, &mut stage, |stage| stage.say(client, "x"));
    goes_on(limits().tunnel, &mut stage, |stage| stage.say(server, "y"));
    assert_eq!((stage.received(client), stage.received(server)), ("y".repeat(10), "x".repeat(11)));
    let is_over = |stage: &Stage| stage.is_closed(client) && stage.is_closed(server);
    is_over_after(limits().tunnel, &mut stage, is_over);
}

#[test]
fn an_upgraded_connection_may_be_slow_but_not_stop() {
    let mut stage = stage(Mode::Http, 10);
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let (client, server) = asked(&mut stage, request);
    stage.say(
        server,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    );
    goes_on(limits().tunnel, &mut stage, |stage| stage.say(client, "x"));
    assert!(stage.received(server).ends_with("\r\n\r\nxxxxxxxxxx"));
    is_over_after(limits().tunnel, &mut stage, |stage| stage.is_closed(client));
}

#[test]
fn who_waits_for_a_slot_for_too_long_is_answered_503() {
    let mut stage = stage(Mode::Http, 1);
    asked(&mut stage, GET);
    let second = stage.client();
    stage.say(second, GET);
    is_over_after(limits().queue, &mut stage, |stage| is_answered(stage, second, 503));
}

#[test]
fn a_refused_client_may_stay_to_read_but_not_for_ever() {
    let mut stage = stage(Mode::Http, 10);
    let client = stage.client();
    stage.say(client, "bad\r\n\r\n");
    assert!(is_answered(&stage, client, 400));
    let tenth = limits().linger / 10;
    for _ in 0..9 {
        stage.pass(tenth);
        stage.say(client, "bytes that do not extend the time-out");
    }
    is_over_after(tenth, &mut stage, |stage| stage.is_closed(client));
}

#[test]
fn a_refused_client_may_send_much_but_not_pause() {
    const PAUSE_MAX: Duration = Duration::from_secs(5);
    let mut stage = stage(Mode::Http, 10);
    let client = stage.client();
    stage.say(client, "bad\r\n\r\n");
    for _ in 0..40 {
        stage.pass(limits().linger / 60);
        stage.say(client, vec![b'x'; 1024 * 1024]);
        assert!(!stage.is_closed(client), "cut off while it sends");
    }
    is_over_after(PAUSE_MAX, &mut stage, |stage| stage.is_closed(client));
}

#[test]
fn an_unused_server_connection_is_closed() {
    let mut stage = stage(Mode::Http, 10);
    let (client, server) = asked(&mut stage, GET);
    stage.say(server, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(is_answered(&stage, client, 204));
    is_over_after(limits().pool, &mut stage, |stage| stage.is_closed(server));
    assert!(!stage.is_closed(client), "its client is none the worse");
}

#[test]
fn a_server_counts_as_silent_when_its_probe_is_late_and_not_before() {
    let mut config = config(&[1], Mode::Http);
    config.health.check = Check::Http;
    let mut stage = Stage::new(config, 10);
    let connected = |stage: &mut Stage, count: usize| {
        let limit = Duration::from_secs(3).as_millis();
        let since = (0..limit).find(|_| {
            stage.pass(MOMENT);
            stage.connections(1).len() == count
        });
        assert!(since.is_some(), "{count} connections to the server");
        stage.connections(1)[count - 1]
    };
    let probe = connected(&mut stage, 1);
    stage.say(probe, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let client = stage.client();
    stage.say(client, GET);
    let idle = stage.connections(1)[1];
    stage.say(idle, "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(is_answered(&stage, client, 204));
    // Its idle connections are closed then, as new requests go elsewhere.
    let unanswered = connected(&mut stage, 3);
    is_over_after(PROBE_LATE - MOMENT, &mut stage, |stage| stage.is_closed(idle));
    assert!(!stage.is_closed(unanswered), "the probe goes on to its time-out");
}

#[test]
fn draining_waits_once_for_half_a_head() {
    const SLOW_MAX: Duration = Duration::from_secs(2);
    let mut stage = stage(Mode::Http, 10);
    let client = stage.client();
    stage.say(client, "GET / HT");
    stage.stop();
    is_over_after(SLOW_MAX, &mut stage, |stage| stage.ended);
    assert!(is_answered(&stage, client, 408));
}

#[test]
fn draining_ends_at_its_time_out() {
    let mut stage = stage(Mode::Http, 10);
    let (client, server) = asked(&mut stage, GET);
    stage.say(server, LONG);
    stage.stop();
    let tenth = limits().drain / 10;
    for _ in 0..9 {
        stage.pass(tenth);
        stage.say(server, "x");
    }
    assert!(stage.received(client).ends_with("\r\n\r\nxxxxxxxxx"));
    is_over_after(tenth, &mut stage, |stage| stage.ended);
}
