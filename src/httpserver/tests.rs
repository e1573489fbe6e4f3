//! The server over real sockets: each test has its own directory and port.

mod client;

use super::pi::Pi;
use super::*;
use crate::base::rng::Rng;
use crate::http::head::{self, HEAD_BYTES_MAX, Method, Parse, TARGET_BYTES_MAX};
use client::{Client, Scratch, names, start};
use std::fs;
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

#[test]
fn an_uploaded_file_reads_back_with_any_framing() {
    let scratch = Scratch::new("roundtrip");
    let mut client = Client::new(scratch.serve());
    let big = "0123456789abcdef".repeat(20_000);
    assert_eq!(client.put("/big%20one.txt", &big).0, 201);
    assert_eq!(client.get("/big%20one.txt"), (200, big));
    let (status, text) = client.put("/big%20one.txt", "");
    assert_eq!(status, 200);
    assert!(text.starts_with("replaced /big%20one.txt, 0 bytes, by httpserver"), "{text}");
    assert_eq!(client.get("/big%20one.txt"), (200, String::new()));
    let (status, text) = client.ask(
        "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
    );
    assert_eq!(status, 201);
    assert!(text.starts_with("created /c, 5 bytes, by httpserver on port "), "{text}");
    assert_eq!(client.get("/c"), (200, "abcde".to_owned()));
    let (_, text) = client.put("/c", "x");
    assert!(text.starts_with("replaced /c, 1 byte, by httpserver on port "), "{text}");
    assert_eq!(names(&scratch.root()), ["big one.txt", "c"]);
}

#[test]
fn an_expected_continue_comes_before_the_body_and_not_before_a_refusal() {
    let scratch = Scratch::new("continue");
    let address = scratch.serve();
    let head = |path: &str| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = Client::new(address);
    assert_eq!(client.ask(&head("/a")).0, 100);
    assert_eq!(client.ask("abc").0, 201);
    assert_eq!(client.ask(&head("/../a")).0, 403);
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let scratch = Scratch::new("pipeline");
    for name in ["a", "b", "c"] {
        fs::write(scratch.root().join(name), name).unwrap();
    }
    let mut client = Client::new(scratch.serve());
    client.send(
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\nPUT /d HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\
         \r\ndHEAD /b HTTP/1.1\r\nHost: h\r\n\r\nGET /d HTTP/1.1\r\nHost: h\r\n\
         Connection: close\r\n\r\n",
    );
    assert_eq!(client.receive(Method::Get), (200, "a".to_owned()));
    assert_eq!(client.receive(Method::Put).0, 201);
    assert_eq!(client.receive(Method::Head), (200, String::new()));
    assert_eq!(client.receive(Method::Get), (200, "d".to_owned()));
    assert!(client.is_closed());
}

#[test]
fn http10_closes_unless_keep_alive_was_requested() {
    let scratch = Scratch::new("http10");
    let address = scratch.serve();
    let mut client = Client::new(address);
    assert_eq!(client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").0, 200);
    assert!(client.head.fields.connection.keep_alive);
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").0, 200);
    assert!(client.head.fields.connection.close);
    assert!(client.is_closed());
}

#[test]
fn paths_and_links_that_lead_outside_are_refused() {
    let scratch = Scratch::new("outside");
    let root = scratch.root();
    fs::write(scratch.0.join("secret"), "secret").unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    fs::write(root.join("dir/inside"), "inside").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("dir/inside", root.join("good")).unwrap();
    symlink("round", root.join("round")).unwrap();
    let address = scratch.serve();
    let mut client = Client::new(address);
    let table = [
        ("/../secret", 403),
        ("/%2e%2e/secret", 403),
        ("/dir/%2e%2e/%2e%2e/secret", 403),
        ("/..%2fsecret", 403),
        ("/link", 403),
        ("/up/secret", 403),
        ("/up/", 403),
        ("/round", 403),
        ("/link%00", 400),
        ("/good", 200),
        ("/dir/inside", 200),
        ("/dir/inside/", 404),
        ("/dir/inside/x", 404),
    ];
    for (target, status) in table {
        assert_eq!(client.get(target).0, status, "{target}");
    }
    // Writing through a link to a directory outside is refused, a link to a file is replaced.
    assert_eq!(client.put("/link", "new").0, 200);
    assert_eq!(client.put("/up/new", "new").0, 403);
    assert_eq!(fs::read_to_string(scratch.0.join("secret")).unwrap(), "secret");
    assert_eq!(names(&scratch.0), ["root", "secret"]);
}

#[test]
fn each_wrong_request_has_its_status() {
    let scratch = Scratch::new("wrong");
    fs::create_dir(scratch.root().join("dir")).unwrap();
    let address = scratch.serve();
    let long = "x".repeat(300);
    let partial = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Range: bytes 2-2/3\r\n\
                   Content-Length: 1\r\n\r\na";
    let table = [
        ("GET /none HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", 501),
        ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("\0\0\0\0\r\n\r\n", 400),
        ("PUT /a HTTP/1.1\r\nHost: h\r\n\r\n", 411),
        ("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", 400),
        ("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\na", 501),
        ("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400),
        ("PUT /a HTTP/1.1\r\nHost: h\r\nExpect: gold\r\nContent-Length: 1\r\n\r\na", 417),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", 403),
        ("PUT /dir HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", 403),
        ("PUT /dir/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", 403),
        ("PUT /none/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", 404),
        (partial, 400),
        ("PUT /healthcheck HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", 403),
        (&format!("PUT /{long} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"), 404),
        (&format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(TARGET_BYTES_MAX)), 414),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", "a".repeat(HEAD_BYTES_MAX)), 431),
    ];
    for (request, status) in table {
        let mut client = Client::new(address);
        let (found, page) = client.ask(request);
        assert_eq!(found, status, "{request}");
        assert!(page.contains(&status.to_string()), "{page}");
    }
    assert_eq!(names(&scratch.root()), ["dir"]);
}

#[test]
fn a_truncated_upload_leaves_nothing_and_the_old_file() {
    let scratch = Scratch::new("truncated");
    fs::write(scratch.root().join("old"), "old").unwrap();
    let address = scratch.serve();
    for target in ["/new", "/old"] {
        let mut client = Client::new(address);
        client.send(&format!("PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nnew"));
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.receive(Method::Put).0, 400);
        assert!(client.is_closed());
    }
    assert_eq!(names(&scratch.root()), ["old"]);
    assert_eq!(fs::read_to_string(scratch.root().join("old")).unwrap(), "old");
}

#[test]
fn the_root_names_the_server_and_directories_are_listed() {
    let scratch = Scratch::new("directories");
    let root = scratch.root();
    fs::create_dir(root.join("a b")).unwrap();
    fs::write(root.join("a b/<x>.txt"), "").unwrap();
    fs::write(root.join("a b/.hidden"), "").unwrap();
    let address = scratch.serve();
    let mut client = Client::new(address);
    let hello = format!("hello from httpserver on port {}\n", address.port());
    assert_eq!(client.get("/"), (200, format!("{hello}            a%20b/\n")));
    assert!(client.get("/?list").1.contains("<a href=\"./a%20b/\">"));
    assert_eq!(client.get("/a%20b").0, 301);
    let listing = client.get("/a%20b/").1;
    assert!(listing.contains("./%3Cx%3E.txt") && !listing.contains("hidden"), "{listing}");
    fs::write(root.join("index.html"), "index").unwrap();
    assert_eq!(client.get("/"), (200, "index".to_owned()));
}

#[test]
fn a_known_date_is_answered_304_and_head_has_no_content() {
    let scratch = Scratch::new("dates");
    fs::write(scratch.root().join("a.html"), "abc").unwrap();
    let mut client = Client::new(scratch.serve());
    client.send("HEAD /a.html HTTP/1.1\r\nHost: h\r\n\r\n");
    while head::response(client.reader.unread(), &mut client.head) != Parse::Complete {
        client.reader.fill().unwrap();
    }
    let unread = client.reader.unread();
    let value = |name: &[u8]| {
        let line = client.head.fields.find_text(unread, name).unwrap();
        String::from_utf8(line.value.of(unread).to_vec()).unwrap()
    };
    assert_eq!(value(b"content-type"), "text/html; charset=utf-8");
    assert_eq!(value(b"content-length"), "3");
    let date = value(b"last-modified");
    assert_eq!(client.receive(Method::Head).0, 200);
    let conditional = |date: &str| {
        format!("GET /a.html HTTP/1.1\r\nHost: h\r\nIf-Modified-Since: {date}\r\n\r\n")
    };
    assert_eq!(client.ask(&conditional(&date)), (304, String::new()));
    assert_eq!(client.ask(&conditional("x")), (200, "abc".to_owned()));
}

#[test]
fn the_report_counts_the_requests_in_the_log_and_no_health_check() {
    let scratch = Scratch::new("report");
    let log = scratch.0.join("log");
    let mut options = scratch.options();
    options.log = Some(LogTarget::File(log.clone()));
    let mut client = Client::new(start(Server::bind(&options).unwrap()));
    assert_eq!(client.get("/healthcheck"), (200, "0\n0\n".to_owned()));
    client.put("/a?b", "abc");
    client.get("/a");
    client.ask("HEAD /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client.get("/none");
    assert_eq!(client.get("/healthcheck"), (200, "1\n4\n".to_owned()));
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.receive(Method::Get).0, 400);
    assert!(client.is_closed());
    let lines = wait_for_lines(&log, 5);
    assert!(lines[0].starts_with("PUT /a?b HTTP/1.1 201 "), "{lines:?}");
    assert_eq!(lines[1], "GET /a HTTP/1.1 200 3");
    assert_eq!(lines[2], "HEAD /a HTTP/1.0 200 0");
    assert!(lines[3].starts_with("GET /none HTTP/1.1 404 "), "{lines:?}");
    assert!(lines[4].starts_with("- - - 400 "), "{lines:?}");
}

/// A line is written once its answer is sent, so the client may be a moment ahead of it.
fn wait_for_lines(log: &Path, count: usize) -> Vec<String> {
    let due = Instant::now() + Duration::from_secs(20);
    loop {
        let lines: Vec<String> =
            fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
        if lines.len() >= count || Instant::now() > due {
            assert_eq!(lines.len(), count, "{lines:?}");
            return lines;
        }
        thread::yield_now();
    }
}

#[test]
fn a_number_is_pi_within_its_bounds_and_a_file_of_that_name_wins() {
    let scratch = Scratch::new("pi");
    let mut client = Client::new(scratch.serve());
    let begun = Instant::now();
    let (status, page) = client.get("/50");
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!(status, 200);
    assert!(page.contains("3.12159465259101"), "{page}");
    let table = [("/0", 400), ("/60001", 400), ("/-1", 404), ("/1.5", 404), ("/1/", 404)];
    for (target, status) in table {
        assert_eq!(client.get(target).0, status, "{target}");
    }
    assert_eq!(client.put("/50", "fifty").0, 201);
    assert_eq!(client.get("/50"), (200, "fifty".to_owned()));
}

#[test]
fn delay_and_fail_rate_leave_health_checks_alone() {
    let scratch = Scratch::new("knobs");
    let mut options = scratch.options();
    options.fail_rate = 0.25;
    let mut client = Client::new(start(Server::bind(&options).unwrap()));
    let failures = (0..400).filter(|_| client.get("/").0 == 500).count();
    assert!((60..140).contains(&failures), "{failures}");
    let report = format!("{failures}\n400\n");
    assert_eq!(client.get("/healthcheck"), (200, report));

    options.fail_rate = 1.0;
    options.delay = Duration::from_millis(30);
    let mut client = Client::new(start(Server::bind(&options).unwrap()));
    let begun = Instant::now();
    assert_eq!(client.put("/a", "abc").0, 500);
    assert!(begun.elapsed() >= options.delay);
    assert_eq!(client.get("/healthcheck"), (200, "1\n1\n".to_owned()));
    assert!(names(&scratch.root()).is_empty());
}

/// A server with timeouts set by `change`.
fn with_timeouts(scratch: &Scratch, change: impl Fn(&mut site::Timeouts)) -> SocketAddr {
    let mut server = Server::bind(&scratch.options()).unwrap();
    change(&mut Arc::get_mut(&mut server.site).unwrap().timeouts);
    start(server)
}

#[test]
fn a_late_head_or_body_gets_408_and_an_idle_connection_is_closed() {
    let scratch = Scratch::new("late");
    let short = Duration::from_millis(20);
    let mut client = Client::new(with_timeouts(&scratch, |timeouts| timeouts.head = short));
    assert_eq!(client.ask("GET / HT").0, 408);
    assert!(client.is_closed());
    let mut client = Client::new(with_timeouts(&scratch, |timeouts| timeouts.body = short));
    let put = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na";
    assert_eq!(client.ask(put).0, 408);
    assert!(client.is_closed());
    assert!(Client::new(with_timeouts(&scratch, |timeouts| timeouts.idle = short)).is_closed());
    assert!(names(&scratch.root()).is_empty());
}

#[test]
fn an_unused_body_is_read_up_to_the_limit_and_closes_the_connection_past_it() {
    const LIMIT: usize = 1024 * 1024;
    let scratch = Scratch::new("unwanted");
    let address = scratch.serve();
    for (length, stays) in [(LIMIT, true), (LIMIT + 64 * 1024, false)] {
        let mut client = Client::new(address);
        client.send(&format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"));
        // The server may close before it has all.
        let _ = client.stream.write_all(&vec![b'x'; length]);
        assert_eq!(client.receive(Method::Post).0, 501);
        assert_eq!(client.head.keeps_alive(), stays, "{length}");
    }
}

#[test]
fn no_input_stops_the_server() {
    let scratch = Scratch::new("fuzz");
    let address = scratch.serve();
    let seeds = [
        "GET /a%20b?c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "PUT /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        "GET http://h:80/../x HTTP/1.0\r\nConnection: keep-alive, x\r\nAccept: */*\r\n\r\n",
    ];
    let mut rng = Rng::new(42);
    for round in 0..400 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..1 + rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(4) {
                0 => bytes[at] = rng.bits() as u8,
                1 => bytes.insert(at, b"\r\n\0%/.: \xff"[rng.below(9) as usize]),
                2 => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(at..),
            }
        }
        let mut stream = Client::new(address).stream;
        // The server may close before it has all.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // A thread that panicked would have closed without a response.
        assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
    }
    assert_eq!(Client::new(address).get("/healthcheck").0, 200);
    assert_eq!(names(&scratch.0), ["root"]);
}

#[test]
fn an_idle_connection_gives_way_to_a_new_one_when_all_slots_are_taken() {
    let scratch = Scratch::new("slots");
    let mut server = Server::bind(&scratch.options()).unwrap();
    server.slots = Slots::new(1);
    let address = start(server);
    // One that never sends a request is idle, too.
    let mut last = Client::new(address);
    for _ in 0..3 {
        let mut next = Client::new(address);
        assert_eq!(next.get("/").0, 200);
        assert!(last.is_closed());
        last = next;
    }
}

#[test]
fn a_page_of_pi_past_the_queue_is_answered_503_with_the_time_to_wait() {
    let scratch = Scratch::new("queue");
    let mut server = Server::bind(&scratch.options()).unwrap();
    Arc::get_mut(&mut server.site).unwrap().pi = Pi::full(2_500);
    let mut client = Client::new(start(server));
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    let (status, seconds) = (client.receive(Method::Get).0, client.field("retry-after"));
    assert_eq!((status, seconds.as_deref()), (503, Some("3")));
    assert_eq!(client.get("/").0, 200);
}

#[test]
fn each_start_error_is_one_line() {
    let scratch = Scratch::new("errors");
    let address = scratch.serve();
    let broken = |change: &dyn Fn(&mut HttpServer)| {
        let mut options = scratch.options();
        change(&mut options);
        Server::bind(&options).unwrap_err().to_string()
    };
    let text = broken(&|options| options.listen.port = address.port());
    assert_eq!(
        text,
        format!(
            "cannot listen on {address}: another program does, choose another port or 0 for any"
        )
    );
    let text = broken(&|options| options.dir = PathBuf::from("/none"));
    assert_eq!(text, "cannot serve /none: no such file or directory; name a directory with -d");
    let text = broken(&|options| options.log = Some(LogTarget::File("/none/log".into())));
    assert_eq!(
        text,
        "cannot log to /none/log: no such file or directory; name another file with -l"
    );
    let endpoint = |port| HostPort::bare(port);
    let denied = |port| Error::Listen(endpoint(port), ErrorKind::PermissionDenied.into());
    let text = "cannot listen on 80: ports below 1024 need root, choose another, such as 8080";
    assert_eq!(denied(80).to_string(), text);
    assert_eq!(denied(8080).to_string(), "cannot listen on 8080: permission denied");
}
