//! What a request to the admin listener is answered with, from its head alone. Pure.

use crate::http::framing;
use crate::http::head::{Method, Refusal, RequestHead, Version};
use crate::http::target;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/live`: the process works.
    Alive,
    /// `/ready`: it would serve.
    Ready,
    /// What is too long for one line.
    Report(Subject),
}

/// What a report is about, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `/`, for a browser.
    Html,
    /// `/metrics`, for Prometheus.
    Metrics,
    /// `/status`, as JSON.
    Json,
    /// `/status?text`, for a terminal.
    Text,
}

/// A request, and what it is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Bytes of its head.
    pub head_bytes: usize,
    /// The answer has no content (RFC 9110 §9.3.2).
    pub head_only: bool,
    pub version: Version,
    /// The connection can take another request: the client wants to, and this one ends here.
    pub keep_alive: bool,
    /// What it gets.
    pub answer: Result<Page, Refusal>,
}

/// Methods that are not GET or HEAD.
pub const NOT_ALLOWED: u16 = 405;

const FOREIGN_HOST: Refusal = Refusal {
    status: 403,
    reason: "this Host is neither an address nor localhost; allow it with --admin-host NAME",
};
const UNKNOWN: Refusal = Refusal {
    status: 404,
    reason: "there are /, /metrics, /status, /status?text, /live and /ready",
};
const WRONG_METHOD: Refusal =
    Refusal { status: NOT_ALLOWED, reason: "only GET and HEAD are answered here" };

/// The answer to the request with this `head`, whose bytes are `bytes`. `hosts` are names that
/// `Host` may have, besides addresses and localhost: a page of a foreign origin reaches this
/// listener only by a name of its own (DNS rebinding).
pub fn route(bytes: &[u8], head: &RequestHead, hosts: &[String]) -> Route {
    let body = framing::request(head, u32::MAX);
    let ends_here = body.as_ref().is_ok_and(|body| body.is_ended());
    Route {
        head_bytes: head.bytes,
        head_only: head.method == Method::Head,
        version: head.version,
        keep_alive: ends_here && head.keeps_alive(),
        answer: body.and_then(|_| answer(bytes, head, hosts)),
    }
}

fn answer(bytes: &[u8], head: &RequestHead, hosts: &[String]) -> Result<Page, Refusal> {
    let target = target::target(bytes, head)?;
    if target.authority.is_some_and(|host| !is_allowed(host.of(bytes), hosts)) {
        return Err(FOREIGN_HOST);
    }
    let page = page(target.path.of(bytes)).ok_or(UNKNOWN)?;
    if head.method.is_get_or_head() { Ok(page) } else { Err(WRONG_METHOD) }
}

fn page(target: &[u8]) -> Option<Page> {
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    Some(match path {
        b"/" => Page::Report(Subject::Html),
        b"/metrics" => Page::Report(Subject::Metrics),
        b"/status" if query == b"?text" => Page::Report(Subject::Text),
        b"/status" => Page::Report(Subject::Json),
        b"/live" => Page::Alive,
        b"/ready" => Page::Ready,
        _ => return None,
    })
}

/// Whether an authority is an address, `localhost` or one of `hosts`, with any port.
fn is_allowed(authority: &[u8], hosts: &[String]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else { return false };
    if let Some(rest) = authority.strip_prefix('[') {
        let inner = rest.split(']').next().unwrap_or_default();
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let host = authority.split(':').next().unwrap_or_default();
    host.parse::<Ipv4Addr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{self, Parse};

    fn routed(request: &str) -> Route {
        let bytes = format!("{request}\r\n\r\n");
        let mut head = RequestHead::default();
        assert_eq!(head::request(bytes.as_bytes(), &mut head), Parse::Complete, "{request}");
        route(bytes.as_bytes(), &head, &[String::from("lb.example")])
    }

    #[test]
    fn each_path_has_its_page_and_its_methods() {
        for (line, expected) in [
            ("GET /", Ok(Page::Report(Subject::Html))),
            ("HEAD /", Ok(Page::Report(Subject::Html))),
            ("GET /?x", Ok(Page::Report(Subject::Html))),
            ("GET /metrics", Ok(Page::Report(Subject::Metrics))),
            ("GET /metrics?name[]=a", Ok(Page::Report(Subject::Metrics))),
            ("GET /status", Ok(Page::Report(Subject::Json))),
            ("GET /status?text", Ok(Page::Report(Subject::Text))),
            ("GET /status?texts", Ok(Page::Report(Subject::Json))),
            ("GET /live", Ok(Page::Alive)),
            ("GET /ready", Ok(Page::Ready)),
            ("GET http://localhost/ready", Ok(Page::Ready)),
            ("GET http://localhost", Err(404)),
            ("GET /ready/", Err(404)),
            ("GET //", Err(404)),
            ("GET /READY", Err(404)),
            ("POST /nothing", Err(404)),
            ("POST /status", Err(405)),
            ("OPTIONS /status", Err(405)),
            ("OPTIONS *", Err(404)),
            ("TRACE /status", Err(405)),
            ("DELETE /", Err(405)),
            ("get /", Err(405)),
            ("CONNECT localhost:80", Err(501)),
        ] {
            let found = routed(&format!("{line} HTTP/1.1\r\nHost: localhost")).answer;
            assert_eq!(found.map_err(|refusal| refusal.status), expected, "{line}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_localhost_or_allowed() {
        for (host, is_allowed) in [
            ("localhost", true),
            ("LocalHost:9000", true),
            ("127.0.0.1", true),
            ("10.1.2.3:80", true),
            ("[::1]:9000", true),
            ("[fe80::1]", true),
            ("lb.example", true),
            ("LB.example:1", true),
            ("", false),
            (":80", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1.", false),
            ("[v1.x]", false),
            ("xlb.example", false),
        ] {
            let found = routed(&format!("GET /live HTTP/1.1\r\nHost: {host}")).answer;
            let expected = if is_allowed { Ok(Page::Alive) } else { Err(FOREIGN_HOST) };
            assert_eq!(found, expected, "{host}");
        }
        // As old health checks send it; every browser sends a Host.
        assert_eq!(routed("GET /live HTTP/1.0").answer, Ok(Page::Alive));
        // The authority of the target counts, not the field.
        let foreign = "GET http://evil.example/live HTTP/1.1\r\nHost: localhost";
        assert_eq!(routed(foreign).answer, Err(FOREIGN_HOST));
        assert_eq!(routed("GET /live HTTP/1.1").answer.map_err(|it| it.status), Err(400));
    }

    #[test]
    fn a_request_with_content_ends_the_connection() {
        let host = "Host: localhost";
        for (request, keep_alive) in [
            (format!("GET /live HTTP/1.1\r\n{host}"), true),
            (format!("GET /live HTTP/1.1\r\n{host}\r\nConnection: close"), false),
            (format!("GET /live HTTP/1.1\r\n{host}\r\nContent-Length: 0"), true),
            (format!("GET /live HTTP/1.1\r\n{host}\r\nContent-Length: 1"), false),
            (format!("POST /live HTTP/1.1\r\n{host}\r\nTransfer-Encoding: chunked"), false),
            (format!("GET /live HTTP/1.0\r\n{host}"), false),
            (format!("GET /live HTTP/1.0\r\n{host}\r\nConnection: keep-alive"), true),
        ] {
            assert_eq!(routed(&request).keep_alive, keep_alive, "{request}");
        }
        let ambiguous = format!("GET /live HTTP/1.1\r\n{host}\r\nContent-Length: 1, 2");
        let found = routed(&ambiguous);
        assert_eq!(found.answer.map_err(|it| it.status), Err(400));
        assert!(!found.keep_alive);
    }
}
