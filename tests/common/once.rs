//! One request through a balancer of its own: what the server received, what the client received.

use super::{Backend, Balancer, Message};

/// This request as the server received it; the response is `200`.
pub fn seen(request: impl AsRef<[u8]>, options: &[&str]) -> Message {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], options);
    let answer = balancer.exchange(request);
    assert_eq!(answer.status(), 200, "{}", answer.head);
    backend.requests().remove(0)
}

/// The client's response to this request when the server sends `answer` and closes.
pub fn got(request: &str, answer: impl AsRef<[u8]>) -> Message {
    let answer = answer.as_ref().to_vec();
    let backend = Backend::raw(move |peer| {
        if peer.request().is_some() {
            let _ = peer.try_send(&answer);
        }
    });
    let balancer = Balancer::over(&[&backend], &[]);
    let mut client = balancer.connect();
    client.send(request);
    let method = request.split(' ').next().unwrap_or_default();
    client.response_to(method)
}

/// The status of the response to `request`, which must close the connection and reach no server.
pub fn refused(name: &str, request: impl AsRef<[u8]>) -> u16 {
    let backend = Backend::named("a");
    let balancer = Balancer::over(&[&backend], &[]);
    let status = refused_by(&balancer, name, request.as_ref());
    assert_eq!(backend.requests().len(), 0, "{name}: a request reached the server");
    assert_eq!(backend.connections(), 0, "{name}: the server was connected to");
    status
}

/// [`refused`] by this balancer; the caller checks its servers.
pub fn refused_by(balancer: &Balancer, name: &str, request: &[u8]) -> u16 {
    let mut client = balancer.connect();
    // What follows a refused head must not be taken for a request.
    client.send([request, b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"].concat());
    let method = if request.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let answer = client.response_to(method);
    assert!(answer.closes(), "{name}: {}", answer.head);
    client.half_close();
    client.expect_end();
    answer.status()
}
