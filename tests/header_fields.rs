//! `--header-up` and `--header-down`: fields that are set in forwarded heads, or removed from them.

mod common;

use common::{Backend, Balancer, ok, reply, seen};

const GET: &str = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n";

#[test]
fn a_set_field_replaces_those_of_the_client_in_every_spelling() {
    let request = seen(
        "GET / HTTP/1.1\r\nHost: example.test\r\nX-User: admin\r\nX_User: admin\r\nx-USER: a\r\n\
         X-Users: kept\r\n\r\n",
        &["--header-up", "X-User: nobody"],
    );
    assert_eq!(request.fields("X-User"), ["nobody"]);
    assert_eq!(request.field("X_User"), None, "CGI-like servers take it for the other one");
    assert_eq!(request.field("X-Users"), Some("kept"));
}

#[test]
fn a_removed_field_does_not_reach_the_server() {
    for form in [&["--header-up", "-X-User"][..], &["--header-up=-X-User"]] {
        let request = seen(
            "GET / HTTP/1.1\r\nHost: example.test\r\nX-User: admin\r\nx_user: admin\r\n\r\n",
            form,
        );
        assert_eq!((request.field("X-User"), request.field("X_User")), (None, None), "{form:?}");
    }
}

#[test]
fn fields_that_the_balancer_adds_can_be_set_or_removed() {
    let edits = [
        "--header-up",
        "Host: inner.test",
        "--header-up",
        "X-Forwarded-Proto: https",
        "--header-up",
        "-X-Forwarded-For",
    ];
    for text in [GET, "GET http://example.test/ HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let request = seen(text, &edits);
        assert_eq!(request.field("Host"), Some("inner.test"));
        assert_eq!(request.field("X-Forwarded-Proto"), Some("https"));
        assert_eq!(request.field("X-Forwarded-For"), None);
        assert_eq!(request.field("X-Forwarded-Host"), Some("example.test"), "what was asked for");
    }
    let old = seen("GET / HTTP/1.0\r\n\r\n", &edits);
    assert_eq!(old.field("Host"), Some("inner.test"), "not the address of the server");
}

#[test]
fn a_body_follows_an_edited_head_and_its_trailers_do_not() {
    let request = seen(
        "POST / HTTP/1.1\r\nHost: example.test\r\nTrailer: X-User\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-User: admin\r\n\r\n",
        &["--header-up", "-X-User"],
    );
    assert_eq!(request.text(), "abc");
    assert_eq!(request.trailers, "", "a server may merge them into the head");
}

#[test]
fn a_response_is_edited_and_a_local_answer_is_not() {
    let edits =
        ["--header-down", "-Server", "--header-down", "Strict-Transport-Security: max-age=300"];
    let answer = reply("200 OK", "Server: secret/1\r\nX-Kept: 1\r\n", "hello");
    let backend = Backend::start(move |_| answer.clone());
    let response = Balancer::over(&[&backend], &edits).exchange(GET);
    assert_eq!(response.field("Server"), None);
    assert_eq!(response.field("Strict-Transport-Security"), Some("max-age=300"));
    assert_eq!((response.field("X-Kept"), response.text().as_str()), (Some("1"), "hello"));

    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &edits);
    let refused = balancer.exchange("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.field("Strict-Transport-Security"), None);
}

#[test]
fn an_interim_response_loses_the_fields_and_gets_none() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\nX-Inner: 1\r\n\r\n";
    let answer = [hints.as_bytes(), &reply("200 OK", "X-Inner: 2\r\n", "hello")].concat();
    let backend = Backend::start(move |_| answer.clone());
    let edits = ["--header-down", "-X-Inner", "--header-down", "X-Outer: 3"];
    let balancer = Balancer::over(&[&backend], &edits);
    let mut client = balancer.ask("/");
    let interim = client.response();
    assert_eq!((interim.status(), interim.field("Link")), (103, Some("x")));
    assert_eq!((interim.field("X-Inner"), interim.field("X-Outer")), (None, None));
    let last = client.response();
    assert_eq!((last.status(), last.text().as_str()), (200, "hello"));
    assert_eq!((last.field("X-Inner"), last.field("X-Outer")), (None, Some("3")));
}

#[test]
fn a_tunnel_opens_with_edited_heads() {
    let backend = Backend::raw(|peer| {
        let request = peer.request().expect("a request");
        assert_eq!(request.field("X-Env"), Some("prod"));
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\
             X-Inner: 1\r\n\r\n",
        );
        let bytes = peer.exactly(4);
        peer.send(bytes);
    });
    let edits = ["--header-up", "X-Env: prod", "--header-down", "-X-Inner"];
    let balancer = Balancer::over(&[&backend], &edits);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.field("X-Inner")), (101, None));
    assert_eq!(response.field("Upgrade"), Some("echo"));
    client.send("ping");
    assert_eq!(client.exactly(4), b"ping");
}

#[test]
fn the_largest_head_with_the_largest_edits_is_forwarded() {
    let backend = Backend::start(|request| ok(request.field("X-Set").unwrap_or_default()));
    let value = "v".repeat(4096 - "X-Set: \r\n".len());
    let edit = format!("X-Set: {value}");
    let balancer =
        Balancer::over(&[&backend], &["--max-head", "24576", "--header-up", edit.as_str()]);
    let (start, end) = ("GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", "\r\n\r\n");
    let pad = "p".repeat(24_576 - start.len() - end.len());
    let response = balancer.exchange(format!("{start}{pad}{end}"));
    assert_eq!((response.status(), response.text()), (200, value));
}
