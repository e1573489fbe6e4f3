//! Redirect mode: the client is sent to the chosen server, nothing is proxied.

mod common;

use common::{Backend, Balancer, TempDir};

fn over(backends: &[&Backend], options: &[&str]) -> Balancer {
    Balancer::over(backends, &[&["-m", "redirect"], options].concat())
}

#[test]
fn the_start_line_says_redirecting() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    assert!(balancer.start_line.contains("redirecting"), "{}", balancer.start_line);
}

#[test]
fn get_and_head_are_answered_301_and_others_308() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    for (method, status) in
        [("GET", 301), ("HEAD", 301), ("POST", 308), ("PUT", 308), ("DELETE", 308), ("X", 308)]
    {
        let mut client = balancer.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.response_to(method).status(), status, "{method}");
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn the_location_is_the_server_as_written_with_path_and_query() {
    let directory = TempDir::new();
    let list = directory.file("servers", "LocalHost:1234\n");
    let balancer =
        Balancer::start(&["127.0.0.1:0", "-f", &list, "-m", "redirect", "--health", "off"]);
    for (target, location) in [
        ("/", "http://LocalHost:1234/"),
        ("/a/b%20c?d=e&f", "http://LocalHost:1234/a/b%20c?d=e&f"),
        ("//evil.test/", "http://LocalHost:1234//evil.test/"),
        ("http://x/abs?q", "http://LocalHost:1234/abs?q"),
        ("http://x", "http://LocalHost:1234/"),
    ] {
        assert_eq!(balancer.get(target).field("Location"), Some(location), "{target}");
    }
}

#[test]
fn the_location_of_an_asterisk_is_the_server_without_a_path() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    let server = format!("http://{}", backend.argument());
    for (target, path) in [("*", ""), ("http://y", ""), ("http://y/", "/"), ("http://y?q", "/?q")] {
        let answer = balancer.exchange(format!("OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let location = format!("{server}{path}");
        assert_eq!(answer.field("Location"), Some(location.as_str()), "{target}");
    }
}

#[test]
fn a_redirect_is_not_cacheable() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    assert_eq!(balancer.get("/").field("Cache-Control"), Some("no-store"));
}

#[test]
fn a_redirect_has_a_small_page() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    let answer = balancer.get("/");
    assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(answer.text().contains("301 Moved Permanently"), "{}", answer.text());
}

#[test]
fn the_status_can_be_chosen() {
    for status in ["301", "302", "303", "307", "308"] {
        let backend = Backend::named("a");
        let balancer = over(&[&backend], &["--redirect-status", status]);
        for method in ["GET", "POST"] {
            let answer = balancer.exchange(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(answer.status().to_string(), status, "{method}");
        }
    }
}

#[test]
fn clients_are_sent_to_the_servers_in_turn() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let balancer = over(&[&first, &second], &[]);
    let locations: Vec<String> = (0..4)
        .map(|_| balancer.get("/").field("Location").expect("a location").to_owned())
        .collect();
    let expected = |backend: &Backend| format!("http://{}/", backend.argument());
    let (first, second) = (expected(&first), expected(&second));
    assert_eq!(locations, [first.clone(), second.clone(), first, second]);
}

#[test]
fn one_connection_gets_many_redirects() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    let mut client = balancer.connect();
    for number in 0..10 {
        let answer = client.get(&format!("/{number}"));
        let location = format!("http://{}/{number}", backend.argument());
        assert_eq!(answer.field("Location"), Some(location.as_str()));
        assert!(!answer.closes(), "{}", answer.head);
    }
}

#[test]
fn clients_are_not_sent_to_a_server_that_is_down() {
    let (down, up) = (Backend::refusing(), Backend::named("b"));
    let balancer = Balancer::probing(&[&down, &up], &["-m", "redirect", "-c", "20ms"]);
    balancer.stderr.wait_for(&format!("backend {} down: ", down.argument()));
    let location = format!("http://{}/", up.argument());
    for _ in 0..4 {
        assert_eq!(balancer.get("/").field("Location"), Some(location.as_str()));
    }
}

#[test]
fn with_all_servers_down_the_answer_is_503() {
    let down = Backend::refusing();
    let balancer = Balancer::probing(&[&down], &["-m", "redirect", "-c", "20ms"]);
    balancer.stderr.wait_for(" down: ");
    assert_eq!(balancer.get("/").status(), 503);
}

#[test]
fn ambiguous_requests_are_refused_in_redirect_mode_too() {
    let backend = Backend::named("a");
    let balancer = over(&[&backend], &[]);
    let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    assert_eq!(balancer.exchange(request).status(), 400);
}
